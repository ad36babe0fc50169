//! Writes a value as JSON.
//!
//! Input: a node. Output: compact JSON in one line. Guarantee: the value that kubectl's reader passes on,
//! numbers in its spelling; the depth of the document does not matter, since nothing recurses. Refused:
//! nothing.

use super::{Entries, Items, NodeRef, Value};
use std::fmt;

/// A value whose `Display` is JSON.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub(super) NodeRef<'a>);

/// A list or mapping that is being written, and whether something was written in it.
enum Open<'a> {
    Items(Items<'a>),
    Entries(Entries<'a>),
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut open: Vec<(Open<'_>, bool)> = Vec::new();
        let mut current = Some(self.0);
        loop {
            if let Some(node) = current.take() {
                match node.value() {
                    Value::Sequence(items) => {
                        f.write_str("[")?;
                        open.push((Open::Items(items), false));
                    }
                    Value::Mapping(entries) => {
                        f.write_str("{")?;
                        open.push((Open::Entries(entries), false));
                    }
                    Value::Null => f.write_str("null")?,
                    Value::Bool(value) => write!(f, "{value}")?,
                    Value::Int(value) => write!(f, "{value}")?,
                    Value::Uint(value) => write!(f, "{value}")?,
                    Value::Float(value) => write_float(f, node, value)?,
                    Value::String(text) => write_string(f, text)?,
                }
            }
            let Some((top, started)) = open.last_mut() else {
                return Ok(());
            };
            let (next, key, end) = match top {
                Open::Items(items) => (items.next(), None, "]"),
                Open::Entries(entries) => match entries.next() {
                    Some(entry) => (Some(entry.value), Some(entry.key), "}"),
                    None => (None, None, "}"),
                },
            };
            if next.is_none() {
                f.write_str(end)?;
                open.pop();
                continue;
            }
            if *started {
                f.write_str(",")?;
            }
            *started = true;
            if let Some(key) = key {
                write_string(f, key)?;
                f.write_str(":")?;
            }
            current = next;
        }
    }
}

/// Numbers of JSON texts as they are written, others as Go writes them.
fn write_float(f: &mut fmt::Formatter<'_>, node: NodeRef<'_>, value: f64) -> fmt::Result {
    if node.document.json {
        f.write_str(node.raw())
    } else if (1e-6..1e21).contains(&value.abs()) {
        write!(f, "{value}")
    } else {
        write!(f, "{value:e}")
    }
}

/// Line and paragraph separators are escaped as well: readers that cut a stream at lines may cut there.
fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    let mut written = 0;
    for (at, found) in text.char_indices() {
        let escape = match found {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\0'..' ' | '\u{7F}' | '\u{85}' | '\u{2028}' | '\u{2029}' => "",
            _ => continue,
        };
        f.write_str(text.get(written..at).unwrap_or(""))?;
        if escape.is_empty() {
            write!(f, "\\u{:04x}", u32::from(found))?;
        } else {
            f.write_str(escape)?;
        }
        written = at + found.len_utf8();
    }
    f.write_str(text.get(written..).unwrap_or(""))?;
    f.write_str("\"")
}
