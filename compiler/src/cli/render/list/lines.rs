//! Sections of connections as lines of text.

use super::table::{Row, Section, Tone};
use crate::cli::output::Style;
use crate::cli::render::clean;
use crate::list::Party;
use crate::list::words::Names;
use clap::builder::styling::{AnsiColor, Effects, Style as Ansi};
use std::fmt::{self, Write};

/// How wide the column of ports is at most.
const MAX_PORTS: usize = 24;

/// Prints sections with the names of parties, in a style.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli::render) struct Lines<'a> {
    pub(in crate::cli::render) names: &'a Names<'a>,
    pub(in crate::cli::render) style: Style,
}

impl Lines<'_> {
    /// Something that must be known to read the rest.
    pub(in crate::cli::render) fn remark(&self, remark: &str, out: &mut String) -> fmt::Result {
        for line in textwrap::wrap(remark, self.options("", "  ")) {
            writeln!(out, "{}", self.painted(&line, yellow()))?;
        }
        Ok(())
    }

    /// Some parties in one text.
    pub(in crate::cli::render) fn names(&self, parties: &[Party]) -> String {
        clean(&self.names.of(parties)).into_owned()
    }

    /// Some destinations and all that reaches them.
    pub(in crate::cli::render) fn section(
        &self,
        section: &Section,
        out: &mut String,
    ) -> fmt::Result {
        let names = self.names(&section.dst);
        for line in textwrap::wrap(&names, self.options("to ", "   ")) {
            writeln!(out, "{}", self.painted(&line, bold()))?;
        }
        let widths = section.rows.iter().map(|row| row.text().len());
        let width = widths.filter(|width| *width <= MAX_PORTS).max();
        for row in &section.rows {
            self.row(row, width.unwrap_or(0), out)?;
        }
        Ok(())
    }

    fn row(&self, row: &Row, width: usize, out: &mut String) -> fmt::Result {
        self.what(row, width, out)?;
        for note in &row.notes {
            for line in textwrap::wrap(&clean(note), self.options("      ", "        ")) {
                writeln!(out, "{}", self.painted(&line, dim()))?;
            }
        }
        Ok(())
    }

    fn what(&self, row: &Row, width: usize, out: &mut String) -> fmt::Result {
        let style = match row.tone {
            Tone::Surely => Ansi::new(),
            Tone::Perhaps | Tone::Changed => yellow(),
            Tone::Added => AnsiColor::Green.on_default(),
            Tone::Removed => AnsiColor::Red.on_default(),
        };
        let ports = row.text();
        let indent = " ".repeat(width + 4);
        let from = format!("{indent}from ");
        let further = " ".repeat(from.len());
        let sources = self.names(&row.src);
        let lines = textwrap::wrap(&sources, self.options(&from, &further));
        if ports.len() > width {
            for line in textwrap::wrap(&ports, self.options("  ", "    ")) {
                writeln!(out, "{}", self.painted(&line, style))?;
            }
            return lines.iter().try_for_each(|line| writeln!(out, "{line}"));
        }
        for (index, line) in lines.iter().enumerate() {
            if index == 0 {
                let rest = line.get(indent.len()..).unwrap_or_default();
                let ports = self.painted(&format!("{ports:width$}"), style);
                writeln!(out, "  {ports}  {rest}")?;
            } else {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }

    pub(super) fn options<'b>(&self, first: &'b str, further: &'b str) -> textwrap::Options<'b> {
        textwrap::Options::new(self.style.width)
            .initial_indent(first)
            .subsequent_indent(further)
            .break_words(false)
            .word_separator(textwrap::WordSeparator::AsciiSpace)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
    }

    pub(in crate::cli::render) fn painted(&self, text: &str, style: Ansi) -> String {
        if self.style.color {
            format!("{style}{text}{style:#}")
        } else {
            text.into()
        }
    }
}

/// For headings.
pub(in crate::cli::render) fn bold() -> Ansi {
    Ansi::new().effects(Effects::BOLD)
}

/// For what is not sure.
pub(super) fn yellow() -> Ansi {
    AnsiColor::Yellow.on_default()
}

fn dim() -> Ansi {
    Ansi::new().effects(Effects::DIMMED)
}
