//! Connections as a table for a comment on a change.

use super::View;
use crate::cli::render::markdown::{cell, code};
use std::fmt::{self, Write};

/// The view as text, and behind it what new pods could reach, as text of its own.
pub(in crate::cli) fn text(view: &View<'_>, new_pods: Option<&str>) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(view, &mut out);
    if let Some(new_pods) = new_pods {
        let _ = write!(out, "\n```text\n{}```\n", new_pods.trim_start());
    }
    out
}

fn write(view: &View<'_>, out: &mut String) -> fmt::Result {
    writeln!(out, "**verdict**: {}", view.headline())?;
    for remark in view.remarks() {
        let (what, names) = remark.split_once(": ").unwrap_or((&remark, ""));
        writeln!(out, "\n{}: {}", cell(what), code(names))?;
    }
    if view.sections.is_empty() {
        return writeln!(out, "\n{}", view.nothing());
    }
    writeln!(out, "\n| to | what | from |\n|---|---|---|")?;
    for section in &view.sections {
        let dst = code(&view.names(&section.dst));
        for row in &section.rows {
            let src = code(&view.names(&row.src));
            writeln!(out, "| {dst} | {} | {src} |", cell(&row.text()))?;
        }
    }
    Ok(())
}
