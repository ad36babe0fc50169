//! Connections that change, for people: by destination, with what is equal put together.
//!
//! [`View`] holds what both formats show; each is a module of its own name.

pub(in crate::cli) mod human;
pub(in crate::cli) mod markdown;
mod notes;
mod parts;

use super::clean;
use super::list::MOST_NAMES;
use super::list::table::Section;
use crate::diff::report::InspectedRule;
use crate::diff::{DeltaId, Diff, Reason, Told, Way};
use crate::explain::report::RuleReport;
use crate::list::words::Names;
use crate::list::{Block, Party, PeerId};
use notes::Most;
use parts::Part;
use std::collections::BTreeSet;

/// What a view shows beside connections.
#[derive(Debug)]
pub(in crate::cli) struct Setting {
    /// What was left out of the input.
    pub(in crate::cli) incomplete: Vec<String>,
    /// Whether all names are told.
    pub(in crate::cli) verbose: bool,
}

/// Connections that change, in words.
#[derive(Debug)]
pub(in crate::cli) struct View<'a> {
    names: Names<'a>,
    totals: Totals,
    /// Those of workloads that both sides have, those of new ones, those of vanished ones.
    parts: Vec<(Part, Vec<Section>)>,
    /// Workloads that are new, and that have vanished.
    unmatched: [Vec<Party>; 2],
    /// L7 rules that change.
    inspected: Vec<InspectedRule>,
    setting: Setting,
}

/// How many connections change.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    added: usize,
    removed: usize,
    changed: usize,
    of_new: usize,
    of_vanished: usize,
}

impl Totals {
    fn of(diff: &mut Diff<'_>, blocks: &[Block<DeltaId>]) -> Self {
        let mut totals = Self::default();
        for (id, pairs) in diff.counted(blocks) {
            let delta = diff.delta(id);
            let total = match (Part::of(&delta), delta.way()) {
                (Part::Both, Way::Added) => &mut totals.added,
                (Part::Both, Way::Removed) => &mut totals.removed,
                (Part::Both, Way::Changed) => &mut totals.changed,
                (Part::New, _) => &mut totals.of_new,
                (Part::Vanished, _) => &mut totals.of_vanished,
            };
            *total += pairs;
        }
        totals
    }
}

impl<'a> View<'a> {
    /// The view of some blocks.
    pub(in crate::cli) fn new(
        diff: &'a mut Diff<'_>,
        blocks: &[Block<DeltaId>],
        setting: Setting,
    ) -> Self {
        let totals = Totals::of(diff, blocks);
        let told = Most::of(setting.verbose);
        let parts = Part::ALL.map(|part| (part, part.sections(diff, blocks, told)));
        let diff: &'a Diff<'_> = diff;
        let inspected = Told::inspected(diff);
        let (new, vanished) = diff.unmatched();
        let shown = shown(blocks);
        let unmatched = [new, vanished].map(|peers: Vec<PeerId>| {
            let parties = peers.into_iter().map(Party::Peer);
            parties.filter(|peer| shown.contains(peer)).collect()
        });
        let most = if setting.verbose {
            usize::MAX
        } else {
            MOST_NAMES
        };
        Self {
            names: Names::new(diff.directory(), most),
            totals,
            parts: parts.into_iter().collect(),
            unmatched,
            inspected,
            setting,
        }
    }

    /// Whether an L7 rule changes.
    pub(in crate::cli) fn has_inspected(&self) -> bool {
        !self.inspected.is_empty()
    }

    /// What stands above L7 rules that change.
    const L7: &'static str =
        "L7 rules that change (which requests they let through is not compared)";

    /// L7 rules that change, each with its sign: `CiliumNetworkPolicy/shop/api spec.ingress[0]  a.yaml:12 -> b.yaml:12`.
    fn inspected(&self) -> impl Iterator<Item = (&'static str, String)> {
        let place = |rule: &RuleReport| format!("{}:{}", rule.file, rule.line);
        self.inspected.iter().filter_map(move |one| {
            let (sign, rule, places) = match (&one.before, &one.after) {
                (Some(before), Some(after)) => {
                    let places = format!("{} -> {}", place(before), place(after));
                    ("~", after, places)
                }
                (Some(rule), None) => ("-", rule, place(rule)),
                (None, Some(rule)) => ("+", rule, place(rule)),
                (None, None) => return None,
            };
            let text = format!("{} {}  {places}", rule.policy, rule.rule);
            Some((sign, clean(&text).into_owned()))
        })
    }

    /// `connections: 2 added, 1 removed, 0 changed; 3 of new workloads`
    fn headline(&self) -> String {
        let Totals {
            added,
            removed,
            changed,
            of_new,
            of_vanished,
        } = self.totals;
        let inspected = match self.inspected.len() {
            0 => String::new(),
            1 => "; 1 L7 rule differs".into(),
            more => format!("; {more} L7 rules differ"),
        };
        if added + removed + changed + of_new + of_vanished == 0 {
            return format!("no connection differs{inspected}");
        }
        let mut text = format!("connections: {added} added, {removed} removed, {changed} changed");
        let noun = self.names.noun();
        let apart = [(of_new, "new"), (of_vanished, "vanished")];
        let apart = apart.into_iter().filter(|(count, _)| *count > 0);
        let apart: Vec<String> = apart
            .map(|(count, what)| format!("{count} of {what} {noun}s"))
            .collect();
        if !apart.is_empty() {
            text.push_str("; ");
            text.push_str(&apart.join(", "));
        }
        text + &inspected
    }

    /// What must be known to read the rest.
    fn remarks(&self) -> Vec<String> {
        let incomplete = self.setting.incomplete.iter();
        incomplete
            .map(|missing| clean(&format!("incomplete: {missing}")).into_owned())
            .collect()
    }

    /// What stands above a part: `new workloads: shop/cart`; nothing above the first.
    fn heading(&self, part: Part) -> Option<(String, String)> {
        let [new, vanished] = &self.unmatched;
        let (what, peers) = match part {
            Part::Both => return None,
            Part::New => ("new", new),
            Part::Vanished => ("vanished", vanished),
        };
        let names = clean(&self.names.of(peers)).into_owned();
        Some((format!("{what} {}s", self.names.noun()), names))
    }
}

/// Those of whom a connection is shown.
fn shown(blocks: &[Block<DeltaId>]) -> BTreeSet<Party> {
    let mut shown = BTreeSet::new();
    for block in blocks {
        shown.extend(&block.dst);
        shown.extend(block.src.iter().flat_map(|(_, src)| src));
    }
    shown
}

/// Why something changes, where it is not for the policies alone.
fn cause(reason: Reason) -> &'static str {
    match reason {
        Reason::Policy | Reason::Workload => "",
        Reason::Cluster => " (cluster changed)",
        Reason::Both => " (policies and cluster changed)",
    }
}
