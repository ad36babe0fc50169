//! Connections that change, as tables for a comment on a change.

use super::View;
use crate::cli::render::clean;
use crate::cli::render::list::table::{Row, Section};
use crate::cli::render::markdown::{cell, code};
use std::fmt::{self, Write};

/// The view as text.
pub(in crate::cli) fn text(view: &View<'_>) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(view, &mut out);
    out
}

fn write(view: &View<'_>, out: &mut String) -> fmt::Result {
    writeln!(out, "**verdict**: {}", view.headline())?;
    for remark in view.remarks() {
        let (what, names) = remark.split_once(": ").unwrap_or((&remark, ""));
        writeln!(out, "\n{}: {}", cell(what), code(names))?;
    }
    for (part, sections) in &view.parts {
        if sections.is_empty() {
            continue;
        }
        match view.heading(*part) {
            // What comes and goes with workloads is looked at second.
            Some((what, names)) => {
                let names = cell(&names);
                writeln!(out, "\n<details><summary>{what}: {names}</summary>")?;
                table(view, sections, out)?;
                writeln!(out, "\n</details>")?;
            }
            None => table(view, sections, out)?,
        }
    }
    if view.has_inspected() {
        writeln!(out, "\n{}\n", View::L7)?;
        for (sign, rule) in view.inspected() {
            writeln!(out, "- {} {}", cell(sign), code(&rule))?;
        }
    }
    Ok(())
}

fn table(view: &View<'_>, sections: &[Section], out: &mut String) -> fmt::Result {
    writeln!(out, "\n| | to | what | from | why |\n|---|---|---|---|---|")?;
    for section in sections {
        let dst = code(&clean(&view.names.of(&section.dst)));
        for row in &section.rows {
            let src = code(&clean(&view.names.of(&row.src)));
            writeln!(
                out,
                "| {} | {dst} | {} | {src} | {} |",
                cell(row.tone.sign().trim()),
                cell(&row.what),
                why(row)
            )?;
        }
    }
    Ok(())
}

/// The rules, a line each; names and places are those of users.
fn why(row: &Row) -> String {
    let notes = row.notes.iter().map(|note| {
        let (what, rules) = note.split_once(": ").unwrap_or((note, ""));
        let rules: Vec<String> = rules.split("; ").map(code).collect();
        format!("{}: {}", cell(what), rules.join("; "))
    });
    notes.collect::<Vec<_>>().join("<br>")
}
