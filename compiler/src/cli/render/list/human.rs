//! Connections for people.

use super::View;
use super::lines::Lines;
use crate::cli::output::Style;
use std::fmt::{self, Write};

/// What is said where names are cut.
pub(in crate::cli::render) const CUT: &str = "long lists of names are cut: `-v` shows all";

/// The view as text; quietly, the connections alone.
pub(in crate::cli) fn text(view: &View<'_>, style: Style, quiet: bool) -> String {
    let mut out = String::new();
    let lines = Lines {
        names: &view.names,
        style,
    };
    // Writing to a string does not fail.
    let _ = all(view, lines, quiet, &mut out);
    out
}

fn all(view: &View<'_>, lines: Lines<'_>, quiet: bool, out: &mut String) -> fmt::Result {
    let has_peers = !view.listing.peers().is_empty();
    if has_peers && !quiet {
        writeln!(out, "{}", view.headline())?;
    }
    for remark in view.remarks() {
        // What is missing is no remark that can be left out.
        if !quiet || remark.starts_with("incomplete") {
            lines.remark(&remark, out)?;
        }
    }
    if view.sections.is_empty() {
        return writeln!(out, "{}", view.nothing());
    }
    for section in &view.sections {
        if !out.is_empty() {
            out.push('\n');
        }
        lines.section(section, out)?;
    }
    if !quiet && out.contains('…') {
        writeln!(out, "\n{CUT}")?;
    }
    Ok(())
}
