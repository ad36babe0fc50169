//! What is said of one object, gathered.
//!
//! Input: places in the object ([`Place`], [`Spot`]) with a problem each. Output: diagnostics that name the
//! object and the field in the API server's notation. Guarantee: an object with an error is refused, and one without a
//! meaning is told apart from it.

use super::kinds::Kind;
use super::manifest::{Entry, NodeRef, Value};
use super::template;
use crate::diagnostic::{Code, Diagnostic, ObjectRef, Severity, codes};
use crate::source::Span;
use std::fmt::Write as _;

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Acceptance {
    /// It is read.
    Whole,
    /// The API server refuses something that leaves no doubt about what it says to policy (its own name, what a
    /// workload selects): it is read.
    Mendable,
    /// The API server takes it, but it says nothing that an implementation could act on.
    Unusable,
    /// The API server refuses it.
    Refused,
}

/// The problems of one object.
pub(super) struct Report<'a, 'd> {
    pub(super) kind: Kind,
    pub(super) root: NodeRef<'a>,
    diagnostics: &'d mut Vec<Diagnostic>,
    acceptance: Acceptance,
}

impl<'a, 'd> Report<'a, 'd> {
    pub(super) fn new(kind: Kind, root: NodeRef<'a>, diagnostics: &'d mut Vec<Diagnostic>) -> Self {
        Self {
            kind,
            root,
            diagnostics,
            acceptance: Acceptance::Whole,
        }
    }

    /// Adds a problem of the object.
    pub(super) fn add(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            self.acceptance = Acceptance::Refused;
        }
        self.push(diagnostic);
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        let diagnostic = if template::is_in(&diagnostic.message) {
            diagnostic.help(template::REMEDY)
        } else {
            diagnostic
        };
        let object = object_ref(self.kind, self.root);
        self.diagnostics.push(diagnostic.object(object));
    }

    /// Adds an error that leaves no doubt about what the object says to policy.
    pub(super) fn add_mendable(&mut self, diagnostic: Diagnostic) {
        self.acceptance = self.acceptance.max(Acceptance::Mendable);
        self.push(diagnostic);
    }

    /// Adds a value that the API server takes, and for which its API defines no meaning.
    pub(super) fn add_unusable(&mut self, diagnostic: Diagnostic) {
        self.acceptance = self.acceptance.max(Acceptance::Unusable);
        let help = match &diagnostic.help {
            Some(help) => format!("{help}; {UNUSABLE}"),
            None => UNUSABLE.into(),
        };
        self.add(Diagnostic {
            code: &codes::UNUSABLE_VALUE,
            severity: codes::UNUSABLE_VALUE.severity,
            ..diagnostic.help(help)
        });
    }

    /// What becomes of the object, after all that was found.
    pub(super) fn acceptance(&self) -> Acceptance {
        self.acceptance
    }
}

const UNUSABLE: &str = "the API server takes it as it is, but no implementation can use it";

/// The object as its author names it.
pub(super) fn object_ref(kind: Kind, root: NodeRef<'_>) -> ObjectRef {
    let text = |key| {
        root.at(&["metadata", key])
            .and_then(NodeRef::as_str)
            .filter(|text| !text.is_empty())
    };
    let name = text("name").or_else(|| text("generateName"));
    ObjectRef {
        kind: kind.name().into(),
        namespace: kind
            .is_namespaced()
            .then(|| text("namespace").unwrap_or("default").into()),
        name: name.unwrap_or("").into(),
    }
}

/// Where a problem is: the field's name, its key in the text and its value.
#[derive(Clone, Debug)]
pub(super) struct Spot<'a> {
    pub(super) field: String,
    /// The key, or the start of a list item.
    pub(super) head: Span,
    pub(super) node: NodeRef<'a>,
}

impl<'a> Spot<'a> {
    /// A diagnostic about the value: shown at a scalar itself, at the key of anything larger.
    pub(super) fn at_value(
        &self,
        code: &'static Code,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Diagnostic {
        let span = self.node.span();
        let is_scalar = !matches!(self.node.value(), Value::Sequence(_) | Value::Mapping(_));
        let span = if is_scalar && span.start < span.end {
            span
        } else {
            self.head
        };
        Diagnostic::new(code, message)
            .at(span, label)
            .field(&*self.field)
    }

    /// A diagnostic about something below that is not there: shown at the key of what lacks it.
    pub(super) fn at_head(
        &self,
        code: &'static Code,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::new(code, message)
            .at(self.head, label)
            .field(&*self.field)
    }

    /// The same place with a field below it, which need not exist.
    pub(super) fn below(&self, key: &str) -> Self {
        let separator = if self.field.is_empty() { "" } else { "." };
        Self {
            field: format!("{}{separator}{key}", self.field),
            ..self.clone()
        }
    }
}

/// How a value is reached from the one that holds it.
#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Key(&'a str, Span),
    Index(usize),
}

/// A value with its way from the root of the object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
    pub(super) node: NodeRef<'a>,
}

impl<'a> Place<'a> {
    /// The object itself.
    pub(super) fn root(node: NodeRef<'a>) -> Self {
        Self {
            parent: None,
            step: Step::Root,
            node,
        }
    }

    /// The value of a field, unless it is absent or null.
    pub(super) fn get(&'a self, key: &str) -> Option<Self> {
        let entry = self.node.entries().find(|entry| entry.key == key)?;
        (!entry.value.is_null()).then(|| self.below(&entry))
    }

    /// The values of several fields, found in one go: each unless it is absent or null.
    pub(super) fn fields<const N: usize>(&'a self, keys: [&str; N]) -> [Option<Self>; N] {
        let mut found = [None; N];
        for entry in self.node.entries() {
            let mut wanted = keys.iter().zip(&mut found);
            if let Some((_, slot)) = wanted.find(|(key, _)| **key == entry.key)
                && !entry.value.is_null()
            {
                *slot = Some(self.below(&entry));
            }
        }
        found
    }

    fn below(&'a self, entry: &Entry<'a>) -> Self {
        Self {
            parent: Some(self),
            step: Step::Key(entry.key, entry.key_node.span()),
            node: entry.value,
        }
    }

    /// Each key with its value.
    pub(super) fn entries(&'a self) -> impl Iterator<Item = (&'a str, Self)> {
        let entries = self.node.entries();
        entries.map(move |entry| (entry.key, self.below(&entry)))
    }

    /// The items of a list, nulls included.
    pub(super) fn items(&'a self) -> impl Iterator<Item = Self> {
        self.node
            .items()
            .enumerate()
            .map(move |(index, node)| Self {
                parent: Some(self),
                step: Step::Index(index),
                node,
            })
    }

    /// The place, ready for a diagnostic.
    pub(super) fn spot(&self) -> Spot<'a> {
        let mut field = String::new();
        self.write_field(&mut field);
        Spot {
            field,
            head: self.head(),
            node: self.node,
        }
    }

    fn head(&self) -> Span {
        match self.step {
            Step::Key(_, span) => span,
            Step::Root | Step::Index(_) => item_head(self.node),
        }
    }

    fn write_field(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write_field(out);
        }
        match self.step {
            Step::Root => {}
            Step::Key(key, _) => push_key(out, key),
            Step::Index(index) => push_index(out, index),
        }
    }
}

/// Where a list item, or a whole object, is shown: at its first key if it has one.
pub(super) fn item_head(node: NodeRef<'_>) -> Span {
    node.entries()
        .next()
        .map_or(node.span(), |entry| entry.key_node.span())
}

/// Where a policy of any kind names its subject.
pub(super) fn subject_span(root: NodeRef<'_>) -> Span {
    const SUBJECTS: [&str; 4] = ["podSelector", "subject", "endpointSelector", "nodeSelector"];
    let entries = root.get("spec").into_iter().flat_map(NodeRef::entries);
    let mut subjects = entries.filter(|entry| SUBJECTS.contains(&entry.key));
    let subject = subjects.next().map(|entry| entry.key_node.span());
    subject.unwrap_or_else(|| key_span(root, &["spec"]))
}

/// Where a field is shown: at its key, or at that of the nearest one above it that is there.
pub(super) fn key_span(root: NodeRef<'_>, path: &[&str]) -> Span {
    let start = (root, item_head(root));
    let end = path.iter().try_fold(start, |(node, span), key| {
        let entry = node.entries().find(|entry| entry.key == *key);
        entry
            .map(|entry| (entry.value, entry.key_node.span()))
            .ok_or(span)
    });
    end.map_or_else(|span| span, |(_, span)| span)
}

/// Appends a field to a path.
pub(super) fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

/// Appends a position to a path.
pub(super) fn push_index(path: &mut String, index: usize) {
    // Writing to a string cannot fail.
    let _ = write!(path, "[{index}]");
}
