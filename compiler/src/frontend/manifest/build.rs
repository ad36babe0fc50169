//! Puts nodes into the arena of a [`Document`].
//!
//! Input: the leaves and the opening and closing of collections, in document order. Output: a [`Raw`]
//! document: the arena, and what has to be done to it before it means what kubectl reads. Guarantee: a
//! collection knows its size; keys that stand twice in one mapping are reported. Refused: nesting beyond
//! [`MAX_DEPTH`], texts beyond [`MAX_TEXT_BYTES`] and more nodes than 32 bits count.

use super::{Document, Kind, Node, RepeatedKey};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::{FileId, Span, to_u32};

/// The deepest nesting of lists and mappings: the limit of encoding/json and of go-yaml.
pub(super) const MAX_DEPTH: usize = 10_000;

/// The longest key or text that is read, in bytes. The API server takes no request of more
/// (`MaxRequestBodyBytes` of `k8s.io/apiserver/pkg/server`), so that no object which it takes holds a longer one;
/// kubectl itself reads any length.
pub(super) const MAX_TEXT_BYTES: usize = 3 << 20;

/// Warnings of one document beyond this many are left out: a file of a million odd scalars says enough.
const MAX_WARNINGS: usize = 1_000;

/// Mappings up to this size are searched for duplicate keys pair by pair, larger ones by sorting.
const PAIRWISE: usize = 8;

/// An error on the way, boxed because it is rare.
pub(super) type Refused = Box<Diagnostic>;

/// An arena in which keys may stand twice and merges are not yet done.
#[derive(Debug)]
pub(super) struct Raw<'s> {
    pub(super) document: Document<'s>,
    /// The keys `<<`, ascending.
    pub(super) merges: Vec<u32>,
    /// The aliases that stand for a scalar, ascending. Their nodes hold the scalar itself.
    pub(super) scalar_aliases: Vec<u32>,
    /// Whether an alias stands for a list or mapping.
    pub(super) aliases: bool,
    /// Whether a value or key was met that JSON cannot hold.
    pub(super) not_json: bool,
}

/// Builds one document.
pub(super) struct Builder<'s> {
    pub(super) raw: Raw<'s>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// How many of the diagnostics are about keys that stand twice.
    duplicate_warnings: usize,
    open: Vec<Open>,
    /// The key nodes of all open mappings.
    keys: Vec<u32>,
}

/// A list or mapping that is not closed yet.
struct Open {
    index: u32,
    /// Where the mapping's own keys start in `keys`; none for a list.
    keys: Option<usize>,
    key_next: bool,
}

impl<'s> Builder<'s> {
    /// An empty document in `text`, `length` bytes of which belong to it.
    pub(super) fn new(file: FileId, text: &'s str, length: usize) -> Self {
        // Pods have a node for every 6 to 12 bytes; long documents grow as needed.
        let nodes = Vec::with_capacity((length / 6 + 4).min(1 << 16));
        Self {
            raw: Raw {
                document: Document {
                    file,
                    text,
                    nodes,
                    strings: Vec::new(),
                    repeated: Vec::new(),
                    json: false,
                },
                merges: Vec::new(),
                scalar_aliases: Vec::new(),
                aliases: false,
                not_json: false,
            },
            diagnostics: Vec::new(),
            duplicate_warnings: 0,
            open: Vec::with_capacity(8),
            keys: Vec::with_capacity(32),
        }
    }

    /// The index of the node that comes next.
    pub(super) fn next_index(&self) -> u32 {
        to_u32(self.raw.document.nodes.len())
    }

    /// Whether the node that comes next is a key.
    pub(super) fn at_key(&self) -> bool {
        self.open.last().is_some_and(|open| open.key_next)
    }

    /// The key whose value comes next.
    pub(super) fn current_key(&self) -> Option<&str> {
        self.open.last()?.keys?;
        self.text_of(*self.keys.last()?)
    }

    /// Whether all that was opened is closed.
    pub(super) fn is_complete(&self) -> bool {
        self.open.is_empty() && !self.raw.document.nodes.is_empty()
    }

    /// Keeps a string that is not a slice of the text.
    pub(super) fn keep(&mut self, text: impl Into<Box<str>>) -> Kind {
        let strings = &mut self.raw.document.strings;
        strings.push(text.into());
        Kind::Owned(to_u32(strings.len() - 1))
    }

    /// Adds a key, a scalar or an alias.
    pub(super) fn leaf(&mut self, start: usize, end: usize, kind: Kind) -> Result<(), Refused> {
        let length = if let Kind::Slice { start, end } = kind {
            (end - start) as usize
        } else {
            self.raw.document.string(kind).map_or(0, str::len)
        };
        self.check_length(length, start)?;
        let index = self.push(start, end, kind)?;
        self.step(index);
        Ok(())
    }

    /// Refuses a text of that many bytes, which starts at `start`, where that is too long.
    pub(super) fn check_length(&self, length: usize, start: usize) -> Result<(), Refused> {
        if length > MAX_TEXT_BYTES {
            Err(too_long(self.span(start, start)))
        } else {
            Ok(())
        }
    }

    /// Opens a list.
    pub(super) fn open_sequence(&mut self, start: usize) -> Result<(), Refused> {
        let index = self.push(start, start, Kind::Sequence { size: 1 })?;
        self.enter(index, None)
    }

    /// Opens a mapping.
    pub(super) fn open_mapping(&mut self, start: usize) -> Result<(), Refused> {
        let index = self.push(start, start, Kind::Mapping { size: 1 })?;
        self.enter(index, Some(self.keys.len()))
    }

    /// Closes what was opened last.
    pub(super) fn close(&mut self, end: usize) {
        let Some(open) = self.open.pop() else {
            return;
        };
        if let Some(first) = open.keys {
            self.report_duplicates(open.index, first);
            self.keys.truncate(first);
        }
        let size = self.next_index() - open.index;
        if let Some(node) = self.raw.document.nodes.get_mut(open.index as usize) {
            node.end = to_u32(end);
            node.kind = match open.keys {
                Some(_) => Kind::Mapping { size },
                None => Kind::Sequence { size },
            };
        }
        self.step(open.index);
    }

    /// Reports what kubectl takes, but probably not as it was meant.
    pub(super) fn warn(&mut self, warning: impl FnOnce() -> Diagnostic) {
        if self.diagnostics.len() < MAX_WARNINGS {
            self.diagnostics.push(warning());
        }
    }

    /// A range of the text as a span.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.raw.document.file, to_u32(start)..to_u32(end))
    }

    fn push(&mut self, start: usize, end: usize, kind: Kind) -> Result<u32, Refused> {
        let index = self.next_index();
        if index == u32::MAX {
            let message = "the document has more values than verdict can number";
            return Err(Box::new(
                Diagnostic::new(&codes::TOO_LARGE, message)
                    .at(self.span(start, end), "")
                    .help("split the file into several"),
            ));
        }
        self.raw.document.nodes.push(Node {
            start: to_u32(start),
            end: to_u32(end),
            kind,
        });
        Ok(index)
    }

    fn enter(&mut self, index: u32, keys: Option<usize>) -> Result<(), Refused> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(self.raw.document.span_of(index)));
        }
        self.open.push(Open {
            index,
            keys,
            key_next: keys.is_some(),
        });
        Ok(())
    }

    /// A node is complete: in a mapping, a key is followed by a value and a value by a key.
    fn step(&mut self, index: u32) {
        if let Some(open) = self.open.last_mut()
            && open.keys.is_some()
        {
            if open.key_next {
                self.keys.push(index);
            }
            open.key_next = !open.key_next;
        }
    }

    fn text_of(&self, index: u32) -> Option<&str> {
        let document = &self.raw.document;
        document.string(document.nodes.get(index as usize)?.kind)
    }

    fn report_duplicates(&mut self, mapping: u32, first: usize) {
        let mut pairs = Vec::new();
        let own = self.keys.get(first..).unwrap_or_default();
        if own.len() <= PAIRWISE {
            for (at, key) in own.iter().enumerate().skip(1) {
                let text = self.text_of(*key);
                let earlier = own.iter().take(at);
                let same = earlier.rev().find(|other| self.text_of(**other) == text);
                if let Some(other) = same.filter(|_| text.is_some()) {
                    pairs.push((*other, *key));
                }
            }
        } else {
            let texts = own.iter().map(|key| (self.text_of(*key), *key));
            let mut sorted: Vec<_> = texts.filter(|(text, _)| text.is_some()).collect();
            sorted.sort();
            let equal = sorted.windows(2).filter_map(|window| match window {
                [(text, first), (other, second)] if text == other => Some((*first, *second)),
                _ => None,
            });
            pairs.extend(equal);
            pairs.sort_by_key(|(_, key)| *key);
        }
        pairs.retain(|(other, key)| {
            let merge = |key| self.raw.merges.binary_search(key).is_ok();
            !merge(other) && !merge(key)
        });
        for (other, key) in pairs {
            let document = &self.raw.document;
            let repeated = RepeatedKey {
                mapping,
                key: self.text_of(key).unwrap_or_default().into(),
                dropped: document.span_of(other),
                taken: document.span_of(key),
                merged: false,
            };
            if self.duplicate_warnings < MAX_WARNINGS {
                self.duplicate_warnings += 1;
                self.diagnostics.push(repeated.warning());
            }
            self.raw.document.repeated.push(repeated);
        }
    }
}

/// Nested beyond [`MAX_DEPTH`].
pub(super) fn too_deep(at: Span) -> Refused {
    let message = format!("lists and mappings are nested more than {MAX_DEPTH} deep");
    Box::new(
        Diagnostic::new(&codes::TOO_DEEP, message)
            .at(at, "too deep here")
            .help("kubectl refuses the document too: write it with less nesting"),
    )
}

/// Longer than [`MAX_TEXT_BYTES`].
pub(super) fn too_long(at: Span) -> Refused {
    let message = format!("a text of more than {MAX_TEXT_BYTES} bytes is not read");
    Box::new(
        Diagnostic::new(&codes::TOO_LARGE, message)
            .at(at, "it starts here")
            .help("the API server takes no request of that size: leave the text out, or the file if it is no manifest"),
    )
}

#[cfg(test)]
mod tests {
    use super::MAX_TEXT_BYTES;
    use crate::frontend::manifest::{parse, split};
    use crate::source::{FileId, SourceFile};

    /// Whether a text is read, or refused for its length.
    fn check(text: &str) -> bool {
        let source = SourceFile::new("", text.as_bytes().to_vec()).unwrap();
        let chunk = &split(FileId(0), &source)[0];
        let (document, diagnostics) = parse(&source, chunk);
        let codes: Vec<&str> = diagnostics.iter().map(|one| one.code.id).collect();
        let expected: &[&str] = if document.is_some() { &[] } else { &["V0003"] };
        assert_eq!(codes, expected);
        document.is_some()
    }

    #[test]
    fn texts_are_read_up_to_the_limit_however_they_are_written() {
        type Written = fn(&str) -> String;
        let ways: [Written; 8] = [
            |text| format!("a: {text}\n"),
            |text| format!("a: '{text}'\n"),
            |text| format!("a: \"{text}\"\n"),
            |text| format!("a: |-\n  {text}\n"),
            |text| format!("a: >-\n  {text}\n"),
            |text| format!("a: {{b: {text}}}\n"),
            |text| format!("{{\"a\": \"{text}\"}}\n"),
            |text| format!("? {text}\n: b\n"),
        ];
        for way in ways {
            let text = "x".repeat(MAX_TEXT_BYTES);
            assert!(check(&way(&text)), "{}", way("x"));
            assert!(!check(&way(&(text + "x"))), "{}", way("x"));
        }
    }

    #[test]
    fn what_an_escape_takes_does_not_count() {
        let escapes = "\\U00000078".repeat(MAX_TEXT_BYTES);
        assert!(check(&format!("a: \"{escapes}\"\n")));
        assert!(!check(&format!("a: \"x{escapes}\"\n")));
    }

    #[test]
    fn comments_and_blank_lines_may_have_any_length() {
        let comments = "# comment\n\n  # another\n".repeat(MAX_TEXT_BYTES / 2);
        assert!(check(&format!("a:\t\n{comments}  b: [1]\n")));
    }
}
