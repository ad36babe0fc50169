//! Diagnostics for people: the lines of text, the labels, the remedy.
//!
//! Input: a [`Report`], and how text is set. Output: text for standard error. Repeated problems of one code are
//! shown a few times and counted beyond.

use super::snippet::{self, Snippet};
use super::{Report, brief, prefix};
use crate::cli::args::Global;
use crate::cli::output::Style;
use crate::cli::session::is_incomplete;
use crate::diagnostic::{Diagnostic, Label, Severity, codes, counted};
use crate::source::SourceFile;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, ThemeCharacters, ThemeStyles};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// How many errors or warnings of one code are shown.
const SHOWN: usize = 20;
/// How many notes of one code are shown.
const SHOWN_NOTES: usize = 3;

/// All that `check` found, and a summary.
pub(in crate::cli) fn check(report: &Report<'_>, style: Style, global: &Global) -> String {
    let mut text = list(report, report.diagnostics.iter(), style, global);
    if !global.common.quiet {
        text.push_str(&summary(report));
    }
    text
}

/// What must be said before an answer: errors and what makes the answer incomplete; the rest is counted.
pub(in crate::cli) fn before_answer(report: &Report<'_>, style: Style, global: &Global) -> String {
    let needed = |one: &&Diagnostic| {
        one.severity == Severity::Error || is_incomplete(one.code) || global.verbose
    };
    let mut text = list(
        report,
        report.diagnostics.iter().filter(needed),
        style,
        global,
    );
    let hidden = report.diagnostics.iter().filter(|one| !needed(one));
    let warnings = hidden
        .filter(|one| one.severity == Severity::Warning)
        .count();
    if warnings > 0 && !global.common.quiet {
        let warnings = counted(warnings, "warning");
        let _ = writeln!(
            text,
            "{warnings} about the input (`verdict check` or `-v` shows them)"
        );
    }
    text
}

/// What there is to say about a question.
pub(in crate::cli) fn question(report: &Report<'_>, style: Style, global: &Global) -> String {
    list(report, report.diagnostics.iter(), style, global)
}

fn list<'a>(
    report: &Report<'_>,
    diagnostics: impl Iterator<Item = &'a Diagnostic>,
    style: Style,
    global: &Global,
) -> String {
    let mut text = String::new();
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for diagnostic in diagnostics {
        let limit = match diagnostic.severity {
            Severity::Error | Severity::Warning => SHOWN,
            Severity::Note => SHOWN_NOTES,
        };
        let (count, hidden) = counts.entry(diagnostic.code.id).or_default();
        *count += 1;
        if *count > limit && !global.verbose {
            *hidden += 1;
        } else {
            one(&mut text, report, diagnostic, style);
        }
    }
    for (code, (_, hidden)) in counts {
        if hidden > 0 {
            let _ = writeln!(
                text,
                "… and {hidden} more of {code} (`-v` or `--format json` shows all)"
            );
        }
    }
    text
}

/// `3 errors, 2 warnings in 12 files, 340 objects`
pub(in crate::cli) fn summary(report: &Report<'_>) -> String {
    let counts = [
        (Severity::Error, "error"),
        (Severity::Warning, "warning"),
        (Severity::Note, "note"),
    ];
    let found: Vec<String> = counts
        .into_iter()
        .map(|(severity, word)| (report.count(severity), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| counted(count, word))
        .collect();
    let found = if found.is_empty() {
        "no problems".into()
    } else {
        found.join(", ")
    };
    // What is no text was looked at, and has no text among the sources.
    let is_text = |one: &&Diagnostic| *one.code != codes::NOT_TEXT;
    let others = report.diagnostics.len() - report.diagnostics.iter().filter(is_text).count();
    format!(
        "{found} in {}, {}\n",
        counted(report.files + others, "file"),
        counted(report.objects, "object")
    )
}

fn one(text: &mut String, report: &Report<'_>, diagnostic: &Diagnostic, style: Style) {
    let shown = Shown::new(report, diagnostic);
    // Writing to a string does not fail; a label outside its file is shown without its lines.
    if handler(style).render_report(text, &shown).is_err() {
        let place = prefix(report, diagnostic).unwrap_or_default();
        let _ = writeln!(text, "{place}: {shown}");
    }
    if report.is_secret(diagnostic.label.as_ref()) {
        let place = prefix(report, diagnostic).unwrap_or_default();
        let _ = writeln!(text, "  at:   {}", brief(&place));
    }
    let _ = write_origin(text, diagnostic);
    text.push('\n');
}

/// The object and the field, which lines alone do not tell.
fn write_origin(text: &mut String, diagnostic: &Diagnostic) -> fmt::Result {
    let object = diagnostic.object.as_ref().map(ToString::to_string);
    let parts: Vec<&str> = object
        .as_deref()
        .into_iter()
        .chain(diagnostic.field.as_deref())
        .collect();
    if parts.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "  in:   {}",
        brief(&parts.join(" ")).replace('\n', " ")
    )
}

fn handler(style: Style) -> GraphicalReportHandler {
    let theme = GraphicalTheme {
        characters: ThemeCharacters::unicode(),
        styles: if style.color {
            ThemeStyles::ansi()
        } else {
            ThemeStyles::none()
        },
    };
    GraphicalReportHandler::new_themed(theme)
        .with_width(style.width)
        .with_links(false)
        .with_urls(false)
        .with_context_lines(snippet::CONTEXT as usize)
        .with_show_related_as_nested(true)
}

/// A diagnostic as miette takes it.
#[derive(Debug)]
struct Shown<'a> {
    header: String,
    severity: miette::Severity,
    help: Option<String>,
    snippet: Option<Snippet<'a>>,
    labels: Vec<LabeledSpan>,
    /// Labels in other files.
    elsewhere: Vec<Shown<'a>>,
}

impl<'a> Shown<'a> {
    fn new(report: &Report<'a>, diagnostic: &Diagnostic) -> Self {
        let header = format!(
            "{}[{}]: {}",
            diagnostic.severity,
            diagnostic.code.id,
            brief(&diagnostic.message)
        );
        // Nothing that is labelled may hang on a text that is not shown.
        if report.is_secret(diagnostic.label.as_ref()) {
            let help = diagnostic.help.as_deref();
            return Self {
                help: help.map(|help| brief(help).into_owned()),
                ..Self::labelled(header, diagnostic.severity, None, &[])
            };
        }
        let home = diagnostic.label.as_ref().map(|label| label.span.file);
        let (near, far): (Vec<&Label>, Vec<&Label>) = diagnostic
            .related
            .iter()
            .filter(|label| !report.is_secret(Some(label)))
            .partition(|label| Some(label.span.file) == home);
        let labels: Vec<&Label> = diagnostic.label.iter().chain(near).collect();
        let file = home.and_then(|file| report.sources.get(file));
        let mut shown = Self::labelled(header, diagnostic.severity, file, &labels);
        shown.help = diagnostic
            .help
            .as_deref()
            .map(|help| brief(help).into_owned());
        shown.elsewhere = far
            .into_iter()
            .map(|label| {
                let bare = Label {
                    span: label.span,
                    text: String::new(),
                };
                let file = report.sources.get(label.span.file);
                let header = brief(&label.text).into_owned();
                Self::labelled(header, Severity::Note, file, &[&bare])
            })
            .collect();
        shown
    }

    /// A header with the labels of one file, the first of them the primary one.
    fn labelled(
        header: String,
        severity: Severity,
        file: Option<&'a SourceFile>,
        labels: &[&Label],
    ) -> Self {
        let snippet = file.map(|file| Snippet::new(file, labels.iter().map(|label| label.span)));
        let spans = labels.iter().enumerate().map(|(index, label)| {
            let range = snippet
                .as_ref()
                .map_or(0..0, |snippet| snippet.shown(label.span));
            let text = Some(brief(&label.text).into_owned()).filter(|text| !text.is_empty());
            if index == 0 {
                LabeledSpan::new_primary_with_span(text, range)
            } else {
                LabeledSpan::new_with_span(text, range)
            }
        });
        Self {
            header,
            severity: match severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
                Severity::Note => miette::Severity::Advice,
            },
            help: None,
            labels: spans.collect(),
            snippet,
            elsewhere: Vec::new(),
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.header)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.help.as_ref()?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        let snippet = self.snippet.as_ref()?;
        Some(snippet)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        let elsewhere = self.elsewhere.iter();
        Some(Box::new(
            elsewhere.map(|shown| shown as &dyn miette::Diagnostic),
        ))
    }
}
