//! Connections for people: by destination, with what is equal put together.

use super::clean;
use crate::cli::output::Style;
use crate::flows::{AnswerId, Packets};
use crate::list::{Block, Listing, Party, words};
use clap::builder::styling::{AnsiColor, Effects, Style as Ansi};
use std::fmt::{self, Write};

/// How wide the column of ports is at most.
const MAX_PORTS: usize = 32;

/// Shows blocks of connections.
pub(in crate::cli) fn text(listing: &Listing<'_>, blocks: &[Block], style: Style) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = Printer { listing, style }.all(blocks, &mut out);
    out
}

struct Printer<'a> {
    listing: &'a Listing<'a>,
    style: Style,
}

impl Printer<'_> {
    fn all(&self, blocks: &[Block], out: &mut String) -> fmt::Result {
        if blocks.is_empty() {
            return writeln!(out, "no connection is allowed");
        }
        for (index, block) in blocks.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            self.block(block, out)?;
        }
        Ok(())
    }

    fn block(&self, block: &Block, out: &mut String) -> fmt::Result {
        let names = self.names(&block.dst);
        let lines = textwrap::wrap(&names, self.options("to ", "   "));
        for line in lines {
            writeln!(out, "{}", self.painted(&line, bold()))?;
        }
        let rows = self.rows(block);
        let width = rows.iter().map(|(ports, ..)| ports.len()).max();
        let width = width.unwrap_or(0).min(MAX_PORTS);
        for (ports, sources, perhaps) in rows {
            self.row(&ports, &sources, perhaps, width, out)?;
        }
        Ok(())
    }

    /// What passes, from whom, and whether that is not sure.
    fn rows(&self, block: &Block) -> Vec<(String, String, bool)> {
        let mut rows = Vec::new();
        for (answer, src) in &block.src {
            let sources = self.names(src);
            let (allow, depends) = self.packets(*answer);
            if !allow.is_empty() {
                rows.push((words::packets(&allow), sources.clone(), false));
            }
            if !depends.is_empty() {
                let packets = format!("perhaps {}", words::packets(&depends));
                rows.push((packets, sources, true));
            }
        }
        rows
    }

    fn packets(&self, answer: AnswerId) -> (Packets, Packets) {
        let answer = self.listing.answer(answer);
        (answer.allow.clone(), answer.depends.clone())
    }

    fn row(
        &self,
        ports: &str,
        sources: &str,
        perhaps: bool,
        width: usize,
        out: &mut String,
    ) -> fmt::Result {
        let style = if perhaps { yellow() } else { Ansi::new() };
        let indent = " ".repeat(width + 4);
        let from = format!("{indent}from ");
        let further = " ".repeat(from.len());
        let lines = textwrap::wrap(sources, self.options(&from, &further));
        if ports.len() > width {
            for line in textwrap::wrap(ports, self.options("  ", "    ")) {
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

    fn names(&self, parties: &[Party]) -> String {
        clean(&words::parties(self.listing, parties).join(", ")).into_owned()
    }

    fn options<'b>(&self, first: &'b str, further: &'b str) -> textwrap::Options<'b> {
        textwrap::Options::new(self.style.width)
            .initial_indent(first)
            .subsequent_indent(further)
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
    }

    fn painted(&self, text: &str, style: Ansi) -> String {
        if self.style.color {
            format!("{style}{text}{style:#}")
        } else {
            text.into()
        }
    }
}

fn bold() -> Ansi {
    Ansi::new().effects(Effects::BOLD)
}

fn yellow() -> Ansi {
    AnsiColor::Yellow.on_default()
}
