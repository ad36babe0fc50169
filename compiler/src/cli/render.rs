//! Diagnostics and answers in every format.
//!
//! Input: a [`Report`] or an answer of the library. Output: text. Renderers do no I/O; they are given what
//! they need to know of the terminal. What users wrote is cleaned of control characters before people see it.

pub(super) mod concise;
pub(super) mod diff;
pub(super) mod explain;
pub(super) mod github;
pub(super) mod human;
pub mod json;
pub(super) mod junit;
pub(super) mod list;
pub(super) mod markdown;
pub(super) mod sarif;
mod snippet;

use super::args::{CheckFormat, Global};
use super::output::Style;
use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::source::{Location, Sources, Span};
use std::borrow::Cow;
use std::io::{self, Write};

/// What was found in the input of one run.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The texts.
    pub sources: &'a Sources,
    /// What there is to say, in the order of [`Diagnostic::order`].
    pub diagnostics: &'a [Diagnostic],
    /// How many of the texts are manifests; those of settings come behind them.
    pub files: usize,
    /// How many objects were in them.
    pub objects: usize,
}

/// A place as all formats need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) start: Location,
    pub(super) end: Location,
}

impl<'a> Report<'a> {
    fn count(&self, severity: Severity) -> usize {
        let alike = |one: &&Diagnostic| one.severity == severity;
        self.diagnostics.iter().filter(alike).count()
    }

    fn place(&self, span: Span) -> Option<Place<'a>> {
        let file = self.sources.get(span.file)?;
        Some(Place {
            file: file.name(),
            start: file.location(span.start),
            end: file.location(span.end),
        })
    }

    /// Whether the text at a label is not to be shown.
    fn is_secret(&self, label: Option<&Label>) -> bool {
        label.is_some_and(|Label { span, .. }| {
            let file = self.sources.get(span.file);
            file.is_some_and(|file| file.is_secret(span.start..span.end))
        })
    }

    fn place_of(&self, label: Option<&Label>) -> Option<Place<'a>> {
        self.place(label?.span)
    }
}

/// Writes what `check` found. What has the severity of `denied` or a higher one counts as an error.
///
/// # Errors
/// Where `out` cannot be written.
pub fn write(
    format: CheckFormat,
    report: &Report<'_>,
    denied: Severity,
    global: &Global,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        CheckFormat::Human => {
            let style = Style::of_answer(global);
            out.write_all(human::check(report, style, global).as_bytes())
        }
        CheckFormat::Concise => concise::write(report, out),
        CheckFormat::Json => json::write(report, out),
        CheckFormat::Jsonl => json::write_lines(report, out),
        CheckFormat::Github => github::write(report, out),
        CheckFormat::Sarif => sarif::write(report, out),
        CheckFormat::Markdown => markdown::write(report, out),
        CheckFormat::Junit => junit::write(report, denied, out),
    }
}

/// Where a diagnostic is, in the words of editors: `file:line:column`, or the file alone.
fn prefix(report: &Report<'_>, diagnostic: &Diagnostic) -> Option<String> {
    match report.place_of(diagnostic.label.as_ref()) {
        Some(place) => Some(format!("{}:{}", place.file, place.start)),
        None => Some(diagnostic.file.as_ref()?.to_string()),
    }
}

/// The text with control characters made visible: they could change what a terminal shows, those for the
/// direction of writing among them.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    let directs = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let harmless = |c: char| c == '\n' || !(c.is_control() || directs(c));
    if text.chars().all(harmless) {
        return text.into();
    }
    let visible = |c: char| {
        if harmless(c) {
            c.to_string()
        } else {
            c.escape_default().to_string()
        }
    };
    text.chars().map(visible).collect::<String>().into()
}

/// The text as [`clean`] gives it, with words that no name can be as long as cut in their middle.
pub(super) fn brief(text: &str) -> Cow<'_, str> {
    /// A name has 253 characters at most.
    const MOST: usize = 300;
    const KEPT: usize = 40;
    let text = clean(text);
    let is_long = |word: &str| word.len() > MOST && word.chars().nth(MOST).is_some();
    if !text.split_inclusive(char::is_whitespace).any(is_long) {
        return text;
    }
    let words = text.split_inclusive(char::is_whitespace).map(|word| {
        if !is_long(word) {
            return word.to_owned();
        }
        let count = word.chars().count();
        let start: String = word.chars().take(KEPT).collect();
        let end: String = word.chars().skip(count - KEPT).collect();
        format!("{start}…({} characters)…{end}", count - 2 * KEPT)
    });
    words.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_too_long_are_cut() {
        assert!(matches!(brief("the name `web` is one"), Cow::Borrowed(_)));
        let name = "é".repeat(300);
        assert_eq!(brief(&name), name);
        let name = format!("the name `a{}z` is", "é".repeat(1000));
        let shown = brief(&name);
        assert!(shown.starts_with("the name `aé"), "{shown}");
        assert!(shown.ends_with("éz` is"), "{shown}");
        assert!(shown.contains("…(925 characters)…"), "{shown}");
    }

    #[test]
    fn control_characters_are_made_visible() {
        assert_eq!(clean("a\u{1b}[2Jb\tc\nd"), "a\\u{1b}[2Jb\\tc\nd");
        assert_eq!(clean("a\u{202e}b"), "a\\u{202e}b");
        assert!(matches!(clean("plain é"), Cow::Borrowed(_)));
    }
}
