//! JSON values as YAML in block style, as `kubectl get -o yaml` writes it.

use serde_json::Value;
use std::fmt::Write as _;

/// Documents, each behind `---`.
#[must_use]
pub fn documents<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let mut text = String::new();
    for value in values {
        text.push_str("---\n");
        document(value, &mut text);
    }
    text
}

/// One document at the end of a text.
pub fn document(value: &Value, text: &mut String) {
    block(value, 0, text);
}

/// A value that starts at the beginning of a line, or behind a dash and a space.
fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (index, (key, value)) in fields.iter().enumerate() {
                if index > 0 {
                    pad(indent, text);
                }
                scalar(key, text);
                text.push(':');
                nested(value, indent, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    pad(indent, text);
                }
                text.push_str("- ");
                block(item, indent + 2, text);
            }
        }
        Value::String(value) => {
            scalar(value, text);
            text.push('\n');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::Array(_) => {
            let _ = writeln!(text, "{value}");
        }
    }
}

/// A value behind a key.
fn nested(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            pad(indent + 2, text);
            block(value, indent + 2, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            pad(indent, text);
            block(value, indent, text);
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Object(_)
        | Value::Array(_) => {
            text.push(' ');
            block(value, indent, text);
        }
    }
}

fn pad(indent: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// Plain where every reader takes it for a string, else quoted.
fn scalar(value: &str, text: &mut String) {
    let mut bytes = value.bytes();
    let plain = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-./_".contains(&byte))
        && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
            .contains(&value.to_ascii_lowercase().as_str());
    if plain {
        text.push_str(value);
    } else {
        let _ = write!(text, "{}", Value::from(value));
    }
}
