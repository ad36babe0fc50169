//! Manifests as kubectl reads them, with a byte span on every node.
//!
//! Input: one [`SourceFile`](crate::source::SourceFile). Output: its documents as arenas of nodes, in order,
//! and diagnostics. Guarantee: a document that comes out has the value that kubectl's own reader
//! (sigs.k8s.io/yaml on go-yaml v2, and encoding/json for text that starts with `{`) gives it; a document that
//! kubectl refuses comes out as a diagnostic, and the documents behind it are read all the same. Refused: what
//! kubectl refuses.
//!
//! [`split`] cuts a file into chunks, [`parse`] reads one of them: ordinary YAML by lines, any other by
//! libyaml's events, JSON by a tokenizer. All of them fill the same arena, in which aliases, merges and keys
//! that stand twice are then settled. Known differences from kubectl: where a key stands twice as a number
//! and as a string (`1` and `"1"`) kubectl takes either, at random, and this reader the last; two carriage
//! returns in front of a line feed are two line breaks here, and one there; text behind a list or mapping in
//! brackets that is a whole document (`[] a`) may be refused here, and is dropped there.
//!
//! A document is a flat arena in document order: a node is followed by its children, and knows how many
//! nodes it spans. [`NodeRef`] is the only way to look at it.

mod split;

mod block;
mod yaml;

mod disguise;
mod libyaml;
mod problem;

mod leaf;
mod scalar;
mod tagged;

mod json;

mod build;
mod expand;
mod repeated;

mod dump;

pub use dump::Json;
pub use repeated::RepeatedKey;
pub use split::{Chunk, parse, split};

use crate::source::{FileId, Span};

/// A document: the nodes of one value, its root first.
#[derive(Debug)]
pub struct Document<'s> {
    file: FileId,
    text: &'s str,
    nodes: Vec<Node>,
    /// Strings that are not a slice of the text: unescaped, folded or resolved to another spelling.
    strings: Vec<Box<str>>,
    /// The keys that stand twice, by their mappings, ascending.
    repeated: Vec<RepeatedKey>,
    /// Whether it was read as JSON, where numbers keep their spelling.
    json: bool,
}

/// A node of the arena: 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Node {
    start: u32,
    end: u32,
    kind: Kind,
}

const _: () = assert!(size_of::<Node>() == 24);

/// What a node is. Mappings hold key and value nodes in turn. `size` counts the node itself and all below.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// The text of the document at `start..end`.
    Slice {
        start: u32,
        end: u32,
    },
    /// An index into `strings`.
    Owned(u32),
    Sequence {
        size: u32,
    },
    Mapping {
        size: u32,
    },
    /// Stands for the node with this index, which comes earlier.
    Alias(u32),
}

/// A value, as kubectl reads it.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above the range of [`Value::Int`].
    Uint(u64),
    /// Any other number.
    Float(f64),
    /// A string.
    String(&'a str),
    /// A list.
    Sequence(Items<'a>),
    /// A mapping.
    Mapping(Entries<'a>),
}

impl Value<'_> {
    /// The value's type in JSON's words.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) | Self::Uint(_) => "integer",
            Self::Float(_) => "number",
            Self::String(_) => "string",
            Self::Sequence(_) => "array",
            Self::Mapping(_) => "object",
        }
    }
}

/// A node of a document. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct NodeRef<'a> {
    document: &'a Document<'a>,
    index: u32,
}

impl<'s> Document<'s> {
    /// The root node.
    #[must_use]
    pub fn root(&self) -> NodeRef<'_> {
        NodeRef {
            document: self,
            index: 0,
        }
    }

    fn span_of(&self, index: u32) -> Span {
        let node = self.nodes.get(index as usize);
        Span::new(self.file, node.map_or(0..0, |node| node.start..node.end))
    }

    /// The string that a node holds, if it holds one.
    #[inline]
    fn string(&self, kind: Kind) -> Option<&str> {
        if let Kind::Slice { start, end } = kind {
            self.text.get(start as usize..end as usize)
        } else if let Kind::Owned(index) = kind {
            self.strings.get(index as usize).map(|text| &**text)
        } else {
            None
        }
    }
}

impl<'a> NodeRef<'a> {
    #[inline]
    fn node(self) -> Option<&'a Node> {
        self.document.nodes.get(self.index as usize)
    }

    /// The node itself, or the one that an alias stands for.
    #[inline]
    fn target(self) -> Self {
        match self.node().map(|node| node.kind) {
            Some(Kind::Alias(index)) => Self { index, ..self },
            _ => self,
        }
    }

    /// Where the node is written. For an alias this is the alias, not its target.
    #[must_use]
    pub fn span(self) -> Span {
        self.document.span_of(self.index)
    }

    /// The node as it is written, unresolved.
    #[must_use]
    pub fn raw(self) -> &'a str {
        self.document.text.get(self.span().range()).unwrap_or("")
    }

    /// The value.
    #[must_use]
    #[inline]
    pub fn value(self) -> Value<'a> {
        let target = self.target();
        let Some(node) = target.node() else {
            return Value::Null;
        };
        let document = target.document;
        match node.kind {
            Kind::Null | Kind::Alias(_) => Value::Null,
            Kind::Bool(value) => Value::Bool(value),
            Kind::Int(value) => Value::Int(value),
            Kind::Uint(value) => Value::Uint(value),
            Kind::Float(value) => Value::Float(value),
            kind @ (Kind::Slice { .. } | Kind::Owned(_)) => {
                Value::String(document.string(kind).unwrap_or(""))
            }
            Kind::Sequence { size } => Value::Sequence(Items {
                document,
                next: target.index + 1,
                end: target.index + size,
            }),
            Kind::Mapping { size } => {
                let items = Items {
                    document,
                    next: target.index + 1,
                    end: target.index + size,
                };
                Value::Mapping(Entries { items })
            }
        }
    }

    /// Whether the value is null: absent and null mean the same almost everywhere in Kubernetes.
    #[must_use]
    pub fn is_null(self) -> bool {
        let node = self.target().node();
        node.is_none_or(|node| matches!(node.kind, Kind::Null | Kind::Alias(_)))
    }

    /// The string, if it is one.
    #[must_use]
    #[inline]
    pub fn as_str(self) -> Option<&'a str> {
        let Self { document, .. } = self;
        document.string(self.target().node()?.kind)
    }

    /// The whole number, if it is one.
    #[must_use]
    pub fn as_int(self) -> Option<i64> {
        if let Value::Int(value) = self.value() {
            Some(value)
        } else {
            None
        }
    }

    /// The boolean, if it is one.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        if let Value::Bool(value) = self.value() {
            Some(value)
        } else {
            None
        }
    }

    /// The items of a list; none for anything else.
    #[must_use]
    pub fn items(self) -> Items<'a> {
        if let Value::Sequence(items) = self.value() {
            items
        } else {
            self.nothing()
        }
    }

    /// The entries of a mapping; none for anything else.
    #[must_use]
    pub fn entries(self) -> Entries<'a> {
        if let Value::Mapping(entries) = self.value() {
            entries
        } else {
            Entries {
                items: self.nothing(),
            }
        }
    }

    fn nothing(self) -> Items<'a> {
        Items {
            document: self.document,
            next: 0,
            end: 0,
        }
    }

    /// The value of a key in a mapping, unless it is absent or null.
    #[must_use]
    pub fn get(self, key: &str) -> Option<NodeRef<'a>> {
        self.entries()
            .find(|entry| entry.key == key)
            .map(|entry| entry.value)
            .filter(|value| !value.is_null())
    }

    /// The value as JSON in one line.
    #[must_use]
    pub fn json(self) -> Json<'a> {
        Json(self)
    }

    /// The value at the end of a path of keys, unless something on the way is absent or null.
    #[must_use]
    pub fn at(self, path: &[&str]) -> Option<NodeRef<'a>> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }
}

/// The items of a list.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a> {
    document: &'a Document<'a>,
    next: u32,
    end: u32,
}

impl<'a> Iterator for Items<'a> {
    type Item = NodeRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<NodeRef<'a>> {
        if self.next >= self.end {
            return None;
        }
        let item = NodeRef {
            document: self.document,
            index: self.next,
        };
        self.next += item.node()?.size();
        Some(item)
    }
}

/// A key with its value.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The key, as kubectl reads it.
    pub key: &'a str,
    /// The node of the key.
    pub key_node: NodeRef<'a>,
    /// The value.
    pub value: NodeRef<'a>,
}

/// The entries of a mapping, as they stand in the text; of a key that stands twice, the last.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    items: Items<'a>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let key_node = self.items.next()?;
        let value = self.items.next()?;
        Some(Entry {
            key: key_node.as_str().unwrap_or(""),
            key_node,
            value,
        })
    }
}
