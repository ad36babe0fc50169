//! What pods that do not exist yet could reach, and from where they could be reached, for people.

use super::View;
use super::lines::{Lines, bold, yellow};
use crate::cli::output::Style;
use crate::cli::render::clean;
use crate::hir::Direction;
use crate::list::exposure::{Exposed, Exposure, NewPods, words as new_pods};
use crate::list::{Focus, Party, words};
use clap::builder::styling::Style as Ansi;
use rustc_hash::FxHashMap;
use std::fmt::{self, Write};

/// How wide the column of ports is at most.
const MAX_PORTS: usize = 32;

/// How many kinds of pods are shown for one group of workloads: the most general ones.
const MAX_KINDS: usize = 24;

/// Shows what new pods could reach and be reached from: workloads with the same exposure together, of those that
/// are looked at.
pub(in crate::cli) fn text(
    view: &View<'_>,
    exposure: &Exposure,
    focus: &Focus,
    style: Style,
) -> String {
    let mut out = String::new();
    let printer = Printer {
        view,
        exposure,
        focus,
        lines: Lines {
            names: &view.names,
            style,
        },
    };
    // Writing to a string does not fail.
    let _ = printer.all(&mut out);
    out
}

struct Printer<'a> {
    view: &'a View<'a>,
    exposure: &'a Exposure,
    focus: &'a Focus,
    lines: Lines<'a>,
}

/// The words for a direction.
struct Way {
    heading: &'static str,
    peer: &'static str,
    pods: &'static str,
}

fn way(direction: Direction) -> Way {
    match direction {
        Direction::Ingress => Way {
            heading: "what new pods could reach",
            peer: "to ",
            pods: "from ",
        },
        Direction::Egress => Way {
            heading: "what could reach new pods",
            peer: "from ",
            pods: "to ",
        },
    }
}

impl Printer<'_> {
    fn all(&self, out: &mut String) -> fmt::Result {
        if self.view.listing.peers().is_empty() {
            return Ok(());
        }
        for direction in [Direction::Ingress, Direction::Egress] {
            self.direction(direction, out)?;
        }
        Ok(())
    }

    fn direction(&self, direction: Direction, out: &mut String) -> fmt::Result {
        let way = way(direction);
        writeln!(out, "\n{}", self.lines.painted(way.heading, bold()))?;
        let groups = self.groups(direction);
        if groups.is_empty() {
            return writeln!(out, "  nothing");
        }
        for (exposed, peers) in groups {
            out.push('\n');
            self.wrapped(&self.lines.names(&peers), way.peer, "   ", out)?;
            self.exposed(exposed, &way, out)?;
        }
        Ok(())
    }

    /// The peers that have the same exposure.
    fn groups(&self, direction: Direction) -> Vec<(&Exposed, Vec<Party>)> {
        let listing = self.view.listing;
        let mut groups: Vec<(&Exposed, Vec<Party>)> = Vec::new();
        let mut known: FxHashMap<&Exposed, usize> = FxHashMap::default();
        for peer in listing.peer_ids() {
            let exposed = self.exposure.of(listing, peer, direction);
            let exposed = exposed.filter(|one| !one.entries.is_empty());
            let Some(exposed) = exposed.filter(|_| self.focus.wants_side(peer, direction)) else {
                continue;
            };
            let index = *known.entry(exposed).or_insert(groups.len());
            match groups.get_mut(index) {
                Some((_, peers)) => peers.push(Party::Peer(peer)),
                None => groups.push((exposed, vec![Party::Peer(peer)])),
            }
        }
        groups
    }

    fn exposed(&self, exposed: &Exposed, way: &Way, out: &mut String) -> fmt::Result {
        let mut rows: Vec<(String, bool, Vec<&NewPods>)> = Vec::new();
        let mut add =
            |packets: String, perhaps, pods| match rows.iter_mut().find(|row| row.0 == packets) {
                Some((.., same)) => same.push(pods),
                None => rows.push((packets, perhaps, vec![pods])),
            };
        for pods in exposed.entries.iter().take(MAX_KINDS) {
            let answer = self.view.listing.answer(pods.answer);
            if !answer.allow.is_empty() {
                add(words::packets(&answer.allow), false, pods);
            }
            if !answer.depends.is_empty() {
                add(
                    format!("perhaps {}", words::packets(&answer.depends)),
                    true,
                    pods,
                );
            }
        }
        let widths = rows.iter().map(|(packets, ..)| packets.len());
        let width = widths
            .filter(|width| *width <= MAX_PORTS)
            .max()
            .unwrap_or(0);
        for (packets, perhaps, pods) in rows {
            self.row(&packets, perhaps, &pods, width, way, out)?;
        }
        let left_out = exposed.entries.len().saturating_sub(MAX_KINDS);
        if left_out > 0 {
            let note = format!("and {left_out} more kinds of pods: `--format json` shows all");
            self.wrapped(&note, "  ", "  ", out)?;
        }
        if exposed.coarse {
            let note = "there are more kinds of pods than are told apart: what is shown as `perhaps \
                        everything` is not known";
            self.wrapped(note, "  ", "  ", out)?;
        }
        Ok(())
    }

    fn row(
        &self,
        packets: &str,
        perhaps: bool,
        pods: &[&NewPods],
        width: usize,
        way: &Way,
        out: &mut String,
    ) -> fmt::Result {
        let style = if perhaps { yellow() } else { Ansi::new() };
        let indent = " ".repeat(width + 4);
        let first = format!("{indent}{}", way.pods);
        let further = " ".repeat(first.len() + 2);
        let mut lines = String::new();
        for one in pods {
            let text = new_pods::new_pods(self.view.listing.cluster(), one);
            self.wrapped(&clean(&text), &first, &further, &mut lines)?;
        }
        if packets.len() > width {
            writeln!(out, "  {}", self.lines.painted(packets, style))?;
            out.push_str(&lines);
        } else {
            let rest = lines.get(indent.len()..).unwrap_or_default();
            let packets = self.lines.painted(&format!("{packets:width$}"), style);
            write!(out, "  {packets}  {rest}")?;
        }
        Ok(())
    }

    fn wrapped(&self, text: &str, first: &str, further: &str, out: &mut String) -> fmt::Result {
        textwrap::wrap(text, self.lines.options(first, further))
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))
    }
}
