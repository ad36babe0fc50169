//! Diagnostics as annotations of GitHub Actions: commands on standard output that the runner reads.
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use super::{Place, Report, clean};
use crate::diagnostic::{Diagnostic, Severity};
use std::io::{self, Write};

/// Writes one command for each diagnostic.
pub(in crate::cli) fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    for one in report.diagnostics {
        let command = match one.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let place = report.place_of(one.label.as_ref());
        let properties = properties(one, place)
            .into_iter()
            .map(|(name, value)| format!("{name}={}", escape(&value, true)))
            .collect::<Vec<_>>()
            .join(",");
        let help = one.help.as_ref().map(|help| format!("\nhelp: {help}"));
        let text = format!("{}{}", one.message, help.unwrap_or_default());
        writeln!(out, "::{command} {properties}::{}", escape(&text, false))?;
    }
    Ok(())
}

fn properties(one: &Diagnostic, place: Option<Place<'_>>) -> Vec<(&'static str, String)> {
    let mut properties = Vec::new();
    if let Some(Place { file, start, end }) = place {
        properties.push(("file", file.to_owned()));
        properties.push(("line", start.line.to_string()));
        properties.push(("endLine", end.line.to_string()));
        // Columns count only for an annotation of one line.
        if start.line == end.line {
            properties.push(("col", start.column.to_string()));
            properties.push(("endColumn", end.column.to_string()));
        }
    } else if let Some(file) = &one.file {
        properties.push(("file", file.to_string()));
    }
    properties.push(("title", format!("{} {}", one.code.id, one.code.title)));
    properties
}

/// The text as the runner takes it. What controls a terminal is made visible: the runner passes it on to its log.
fn escape(text: &str, property: bool) -> String {
    let text = clean(text).replace('%', "%25").replace('\n', "%0A");
    if property {
        text.replace(':', "%3A").replace(',', "%2C")
    } else {
        text
    }
}
