//! Connections for people.

use super::table::{Row, Section};
use super::{View, bold, painted, wrapping, yellow};
use crate::cli::output::Style;
use clap::builder::styling::Style as Ansi;
use std::fmt::{self, Write};

/// How wide the column of ports is at most.
const MAX_PORTS: usize = 24;

/// The view as text; quietly, the connections alone.
pub(in crate::cli) fn text(view: &View<'_>, style: Style, quiet: bool) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = Printer { view, style }.all(quiet, &mut out);
    out
}

struct Printer<'a> {
    view: &'a View<'a>,
    style: Style,
}

impl Printer<'_> {
    fn all(&self, quiet: bool, out: &mut String) -> fmt::Result {
        let has_peers = !self.view.listing.peers().is_empty();
        if has_peers && !quiet {
            writeln!(out, "{}", self.view.headline())?;
        }
        for remark in self.view.remarks() {
            // What is missing is no remark that can be left out.
            if !quiet || remark.starts_with("incomplete") {
                for line in textwrap::wrap(&remark, wrapping(self.style, "", "  ")) {
                    writeln!(out, "{}", painted(self.style, &line, yellow()))?;
                }
            }
        }
        if self.view.sections.is_empty() {
            return writeln!(out, "{}", self.view.nothing());
        }
        for section in &self.view.sections {
            if !out.is_empty() {
                out.push('\n');
            }
            self.section(section, out)?;
        }
        if !quiet && out.contains('…') {
            writeln!(out, "\nlong lists of names are cut: `-v` shows all")?;
        }
        Ok(())
    }

    fn section(&self, section: &Section, out: &mut String) -> fmt::Result {
        let names = self.view.names(&section.dst);
        for line in textwrap::wrap(&names, wrapping(self.style, "to ", "   ")) {
            writeln!(out, "{}", painted(self.style, &line, bold()))?;
        }
        let widths = section.rows.iter().map(|row| row.text().len());
        let width = widths.filter(|width| *width <= MAX_PORTS).max();
        for row in &section.rows {
            self.row(row, width.unwrap_or(0), out)?;
        }
        Ok(())
    }

    fn row(&self, row: &Row, width: usize, out: &mut String) -> fmt::Result {
        let style = if row.perhaps { yellow() } else { Ansi::new() };
        let ports = row.text();
        let indent = " ".repeat(width + 4);
        let from = format!("{indent}from ");
        let further = " ".repeat(from.len());
        let sources = self.view.names(&row.src);
        let lines = textwrap::wrap(&sources, wrapping(self.style, &from, &further));
        if ports.len() > width {
            for line in textwrap::wrap(&ports, wrapping(self.style, "  ", "    ")) {
                writeln!(out, "{}", painted(self.style, &line, style))?;
            }
            return lines.iter().try_for_each(|line| writeln!(out, "{line}"));
        }
        for (index, line) in lines.iter().enumerate() {
            if index == 0 {
                let rest = line.get(indent.len()..).unwrap_or_default();
                let ports = painted(self.style, &format!("{ports:width$}"), style);
                writeln!(out, "  {ports}  {rest}")?;
            } else {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }
}
