//! What is said of traces on standard error.

use crate::cli::output;
use crate::cli::render::clean;
use crate::cli::traces::shown;
use crate::diagnostic::{Diagnostic, codes};
use crate::trace::{Outcome, Place, Problem};
use std::fmt::Write as _;
use std::path::PathBuf;

/// How many problems are named.
const MAX_NAMED: usize = 20;

/// An empty trace agrees with everything: nothing was replayed, so that nothing is answered.
pub(super) fn no_records(files: &[PathBuf], asked: &[PathBuf]) -> String {
    let nothing = match files {
        [] => {
            let folders = asked.iter().map(|path| format!("`{}`", shown(path)));
            let folders = folders.collect::<Vec<_>>().join(", ");
            Diagnostic::new(
                &codes::NO_RECORDS,
                format!("there is no trace in {folders}"),
            )
        }
        [_] => Diagnostic::new(&codes::NO_RECORDS, "the trace has no records"),
        [_, _, ..] => Diagnostic::new(&codes::NO_RECORDS, "the traces have no records"),
    };
    let nothing = nothing.help("is it the right file, and did the recorder write anything?");
    let mut text = String::new();
    let name = files.first().map(|file| format!("{}: ", shown(file)));
    describe(&mut text, &name.unwrap_or_default(), "", &nothing);
    text
}

fn describe(text: &mut String, place: &str, excerpt: &str, diagnostic: &Diagnostic) {
    let Diagnostic {
        code,
        severity,
        message,
        help,
        ..
    } = diagnostic;
    // Writing to a string does not fail.
    let _ = writeln!(text, "{place}{severity}[{}]: {message}", code.id);
    if !excerpt.is_empty() {
        let _ = writeln!(text, "  | {excerpt}");
    }
    if let Some(help) = help {
        let _ = writeln!(text, "  = help: {help}");
    }
}

/// Names what has no answer, the defects, and what nothing explains.
pub(super) fn report(files: &[PathBuf], outcome: &Outcome) {
    let mut text = String::new();
    for problem in outcome.problems.iter().take(MAX_NAMED) {
        let place = place(files, problem);
        describe(&mut text, &place, &problem.excerpt, &problem.diagnostic);
    }
    let named = outcome.problems.len().min(MAX_NAMED) as u64;
    let more = outcome.problems.len() as u64 + outcome.more_problems - named;
    if more > 0 {
        // Writing to a string does not fail.
        let _ = writeln!(text, "... and {more} more");
    }
    if let Some(first) = outcome.translations.first() {
        let count = outcome.unexplained;
        let message = format!(
            "{count} times a connection is seen under a second address that no service of the inputs explains: {first}"
        );
        let translated = Diagnostic::new(&codes::UNEXPLAINED_TRANSLATION, message).help(
            "each is judged by the addresses that it has; capture where addresses are those of pods, or add the Services \
             and EndpointSlices",
        );
        describe(&mut text, "", "", &translated);
    }
    if !text.is_empty() {
        output::remark(&clean(&text));
    }
}

fn place(files: &[PathBuf], problem: &Problem) -> String {
    let name = files
        .get(problem.trace)
        .map_or_else(String::new, |file| shown(file));
    match problem.place {
        Place::Line { line, column } => {
            let column = column
                .map(|column| format!(":{column}"))
                .unwrap_or_default();
            format!("{name}:{line}{column}: ")
        }
        Place::Byte(at) => format!("{name}: byte {at}: "),
        Place::Trace => format!("{name}: "),
    }
}
