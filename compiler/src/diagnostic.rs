//! What is said about an input: a stable code, a place, a label and a remedy.
//!
//! A stage returns `(T, Vec<Diagnostic>)`, never its first error only. Messages are lower case without a
//! final period and quote the user's words in backticks. Every code stands once in [`codes`] and has a page
//! in the book. Rendering is the caller's: see `cli::render`.

pub mod codes;

use crate::source::Span;
use std::fmt;
use std::sync::Arc;

/// How much a diagnostic weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Accepted, but probably not meant, or accepted by some versions only.
    Warning,
    /// Refused by the reader, the API server or the enforcing agent.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A kind of diagnostic: one page of the book.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// `V0101`: stable, never used again for something else.
    pub id: &'static str,
    /// What the code usually weighs.
    pub severity: Severity,
    /// The kind in a few words.
    pub title: &'static str,
}

/// A place with what is to be seen there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What; may be empty.
    pub text: String,
}

/// The object that a diagnostic or a rule is about, as its author names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// `NetworkPolicy`, `Pod`, ...
    pub kind: Box<str>,
    /// The namespace, for kinds that have one.
    pub namespace: Option<Box<str>>,
    /// The name; empty where the object has none.
    pub name: Box<str>,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

/// One thing that is said about the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind.
    pub code: &'static Code,
    /// The weight: the code's own unless the case is milder or graver.
    pub severity: Severity,
    /// One sentence: lower case, no final period, user text in backticks.
    pub message: String,
    /// The place that it is about, if there is one.
    pub label: Option<Label>,
    /// Further places: where the other definition stands, which rule wins.
    pub related: Vec<Label>,
    /// The remedy.
    pub help: Option<String>,
    /// The field in the API server's notation: `spec.ingress[0].ports[0].port`.
    pub field: Option<String>,
    /// The object.
    pub object: Option<ObjectRef>,
    /// The file, where it is about a whole file of which there is no text to point into.
    pub file: Option<Arc<str>>,
}

impl Diagnostic {
    /// A diagnostic of this kind with the code's own severity and nothing but a message.
    #[must_use]
    pub fn new(code: &'static Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity,
            message: message.into(),
            label: None,
            related: Vec::new(),
            help: None,
            field: None,
            object: None,
            file: None,
        }
    }

    /// With the place and what is to be seen there.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.label = Some(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// With a further place.
    #[must_use]
    pub fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// With a remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With the field in the API server's notation.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// With the object.
    #[must_use]
    pub fn object(mut self, object: ObjectRef) -> Self {
        self.object = Some(object);
        self
    }

    /// With the file, where there is no text to point into.
    #[must_use]
    pub fn file(mut self, name: impl Into<Arc<str>>) -> Self {
        self.file = Some(name.into());
        self
    }

    /// With another severity than the code's own.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The key by which diagnostics are shown: by place, then by code. Nothing depends on the order in
    /// which they were found.
    #[must_use]
    pub fn order(&self) -> (Option<Span>, &'static str, &str) {
        (
            self.label.as_ref().map(|label| label.span),
            self.code.id,
            &self.message,
        )
    }
}

/// `1 error`, `2 errors`.
pub fn counted<N: From<u8> + PartialEq + fmt::Display>(count: N, noun: &str) -> String {
    let ending = if count == N::from(1) { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
