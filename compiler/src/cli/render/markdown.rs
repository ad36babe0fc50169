//! Diagnostics as a table for a comment on a change.

use super::human::summary;
use super::{Report, clean, prefix};
use std::io::{self, Write};

/// Writes the summary and a table with a row for each diagnostic.
pub(in crate::cli) fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "**verdict**: {}", summary(report).trim_end())?;
    if report.diagnostics.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n| | where | what |\n|---|---|---|")?;
    for one in report.diagnostics {
        let place = prefix(report, one).map(|place| code(&place));
        let help = one.help.as_ref().map(|help| format!("<br>{}", cell(help)));
        writeln!(
            out,
            "| {} {} | {} | {}{} |",
            one.severity,
            one.code.id,
            place.unwrap_or_default(),
            cell(&one.message),
            help.unwrap_or_default()
        )?;
    }
    Ok(())
}

/// Text of ours in a cell: code spans in it stay, markup of users does not.
pub(super) fn cell(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(index, part)| {
        if index % 2 == 1 {
            code(part)
        } else {
            clean(part)
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('|', "\\|")
                .replace('\n', "<br>")
        }
    });
    parts.collect()
}

/// Text of users as code.
pub(super) fn code(text: &str) -> String {
    let text = clean(text).replace('|', "\\|").replace(['\n', '`'], " ");
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_words_are_no_markup() {
        assert_eq!(cell("a | `b|c` <script>"), "a \\| `b\\|c` &lt;script>");
    }
}
