//! Connections that change, for people.

use super::View;
use crate::cli::output::Style;
use crate::cli::render::list::human::CUT;
use crate::cli::render::list::lines::{Lines, bold};
use crate::cli::render::list::table::Section;
use std::fmt::{self, Write};

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
    if !quiet {
        writeln!(out, "{}", view.headline())?;
    }
    for remark in view.remarks() {
        lines.remark(&remark, out)?;
    }
    for (part, sections) in &view.parts {
        if sections.is_empty() {
            continue;
        }
        if let Some((what, names)) = view.heading(*part) {
            gap(out);
            let heading = format!("{what}: {names}");
            writeln!(out, "{}", lines.painted(&heading, bold()))?;
        }
        for section in sections {
            gap(out);
            lines.section(&told(section, quiet), out)?;
        }
    }
    if view.has_inspected() {
        gap(out);
        writeln!(out, "{}", lines.painted(View::L7, bold()))?;
        for (sign, rule) in view.inspected() {
            writeln!(out, "  {sign} {rule}")?;
        }
    }
    if !quiet && out.contains('…') {
        writeln!(out, "\n{CUT}")?;
    }
    Ok(())
}

fn gap(out: &mut String) {
    if !out.is_empty() {
        out.push('\n');
    }
}

/// A section; quietly, without its notes.
fn told(section: &Section, quiet: bool) -> Section {
    let mut section = section.clone();
    for row in &mut section.rows {
        if quiet {
            row.notes.clear();
        }
    }
    section
}
