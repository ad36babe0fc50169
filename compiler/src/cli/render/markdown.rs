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
    // Of an odd one it is open which of them a user wrote.
    if text.matches('`').count() % 2 == 1 {
        return plain(text);
    }
    let parts = text.split('`').enumerate().map(|(index, part)| {
        if index % 2 == 1 {
            code(part)
        } else {
            plain(part)
        }
    });
    parts.collect()
}

/// Text without any markup.
fn plain(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => "<br>".into(),
        '&' | '<' | '|' | '[' | '*' | '_' | '`' | '\\' => format!("&#{};", u32::from(c)),
        c => c.to_string(),
    };
    clean(text).chars().map(shown).collect()
}

/// Text of users as code. What could end a code span or a cell stands in an element, whose text is plain.
pub(super) fn code(text: &str) -> String {
    let text = clean(text).replace('\n', " ");
    if text.is_empty() || text.contains(['`', '|']) {
        format!("<code>{}</code>", plain(&text))
    } else {
        format!("`{text}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_words_are_no_markup() {
        assert_eq!(cell("a | `<b>` <b>"), "a &#124; `<b>` &#60;b>");
        assert_eq!(cell("`b\\|c`"), "<code>b&#92;&#124;c</code>");
        assert_eq!(cell("`a`<b>`"), "&#96;a&#96;&#60;b>&#96;");
    }
}
