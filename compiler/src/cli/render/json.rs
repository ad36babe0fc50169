//! What `check --format json` and `jsonl` print.

use super::{Place, Report};
use crate::diagnostic::{Diagnostic, Label, ObjectRef, Severity};
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};

/// The version of the shape.
pub const VERSION: u32 = 1;

/// What `verdict check --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CheckReport<'a> {
    /// The version of this shape.
    pub version: u32,
    /// What was found, by file, position and code.
    pub diagnostics: Vec<DiagnosticReport<'a>>,
}

/// One thing that was found; a line of `verdict check --format jsonl`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DiagnosticReport<'a> {
    /// The kind of problem: `V0101`.
    pub code: &'a str,
    /// How much it weighs.
    pub severity: SeverityWord,
    /// What is wrong.
    pub message: &'a str,
    /// The remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<&'a str>,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'a str>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The line on which it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u32>,
    /// The column behind its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_column: Option<u32>,
    /// What is to be seen there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<&'a str>,
    /// The field in the API server's notation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
    /// The object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectReport<'a>>,
    /// Further places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<RelatedReport<'a>>,
}

/// How much a problem weighs.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeverityWord {
    /// Refused by the reader, the API server or the enforcing agent.
    Error,
    /// Accepted, but probably not meant, or accepted by some versions only.
    Warning,
    /// Worth knowing.
    Note,
}

/// An object as its author names it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ObjectReport<'a> {
    /// The kind.
    pub kind: &'a str,
    /// The namespace, for kinds that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<&'a str>,
    /// The name.
    pub name: &'a str,
}

/// A further place.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RelatedReport<'a> {
    /// The file.
    pub file: &'a str,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is to be seen there.
    pub message: &'a str,
}

/// Writes one object with everything.
pub(in crate::cli) fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let diagnostics = report.diagnostics.iter();
    let check = CheckReport {
        version: VERSION,
        diagnostics: diagnostics.map(|one| diagnostic(report, one)).collect(),
    };
    line(&check, out)
}

/// Writes one object for each diagnostic.
pub(in crate::cli) fn write_lines(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    report
        .diagnostics
        .iter()
        .try_for_each(|one| line(&diagnostic(report, one), &mut *out))
}

/// Writes a value on a line of its own.
pub(in crate::cli) fn line(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

fn diagnostic<'a>(report: &Report<'a>, one: &'a Diagnostic) -> DiagnosticReport<'a> {
    let place = report.place_of(one.label.as_ref());
    let at = |get: fn(Place<'_>) -> u32| place.map(get);
    let label = one.label.as_ref().map(|label| label.text.as_str());
    DiagnosticReport {
        code: one.code.id,
        severity: one.severity.into(),
        message: &one.message,
        help: one.help.as_deref(),
        file: place.map(|place| place.file).or(one.file.as_deref()),
        line: at(|place| place.start.line),
        column: at(|place| place.start.column),
        end_line: at(|place| place.end.line),
        end_column: at(|place| place.end.column),
        label: label.filter(|text| !text.is_empty()),
        field: one.field.as_deref(),
        object: one.object.as_ref().map(object),
        related: one
            .related
            .iter()
            .filter_map(|label| related(report, label))
            .collect(),
    }
}

impl From<Severity> for SeverityWord {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Error => Self::Error,
            Severity::Warning => Self::Warning,
            Severity::Note => Self::Note,
        }
    }
}

fn object(object: &ObjectRef) -> ObjectReport<'_> {
    ObjectReport {
        kind: &object.kind,
        namespace: object.namespace.as_deref(),
        name: &object.name,
    }
}

fn related<'a>(report: &Report<'a>, label: &'a Label) -> Option<RelatedReport<'a>> {
    let place = report.place(label.span)?;
    Some(RelatedReport {
        file: place.file,
        line: place.start.line,
        column: place.start.column,
        message: &label.text,
    })
}
