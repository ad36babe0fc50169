//! `merge-rules`: rules that cannot be told apart become one, with the origins of all.
//!
//! Equation: two rules with the same action, remotes and ports are one rule where they stand next to each other in a
//! list, or anywhere among the rules of a namespace. Proof: both match the same cells; in a list whichever stands
//! first decides with the same action, and among the rules of a namespace order means nothing.

use crate::lir::{Action, Asks, Chain, Match, PortsId, Program, RemotesId, Rule};
use rustc_hash::FxHashMap;

pub(super) fn run(program: &mut Program) {
    for chain in &mut program.chains {
        let Chain::Rules(chain) = chain else { continue };
        let levels = chain.admin.iter_mut().chain(&mut chain.baseline);
        for rules in levels.flat_map(|level| &mut level.lists) {
            rules.dedup_by(|next, rule| {
                let same = key(next) == key(rule);
                if same {
                    add_origins(rule, next);
                }
                same
            });
        }
        let mut known: FxHashMap<Key, usize> = FxHashMap::default();
        let mut kept: Vec<Rule> = Vec::new();
        for rule in chain.namespace.drain(..) {
            let index = *known.entry(key(&rule)).or_insert(kept.len());
            match kept.get_mut(index) {
                Some(first) => add_origins(first, &rule),
                None => kept.push(rule),
            }
        }
        chain.namespace = kept;
    }
}

type Key = (Action, Match<RemotesId>, Match<PortsId>, Option<Asks>);

fn key(rule: &Rule) -> Key {
    (rule.action, rule.remotes, rule.ports, rule.asks)
}

fn add_origins(rule: &mut Rule, other: &Rule) {
    rule.origins.extend(&other.origins);
    rule.origins.sort_unstable();
    rule.origins.dedup();
}
