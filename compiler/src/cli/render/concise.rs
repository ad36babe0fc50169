//! Diagnostics for editors and `grep`: `file:line:column: error[V0101]: message`, one line each.

use super::{Report, clean, prefix};
use std::io::{self, Write};

/// Writes all diagnostics.
pub(in crate::cli) fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    for one in report.diagnostics {
        if let Some(place) = prefix(report, one) {
            write!(out, "{place}: ")?;
        }
        let message = clean(&one.message).replace('\n', " ");
        writeln!(out, "{}[{}]: {message}", one.severity, one.code.id)?;
    }
    Ok(())
}
