//! `dead-rules`: rules that cannot decide are dropped.
//!
//! Equation: let a *cell* be a class of leaves with a class of keys. A rule is dropped where no cell of its is left
//! to it:
//! - in a list of a level: every cell that it may match is surely matched by a rule before it in the list, or was
//!   decided by a level before;
//! - in the rules of a namespace: every cell that it may match is surely matched by another rule with the same
//!   action that is kept; or nothing isolates, so that they are not asked; or the Admin tier decided there;
//! - in the Baseline tier: something isolates.
//!
//! A chain in which a rule says something of authentication is left as it is.
//!
//! Proof: the first rule of a list that surely matches ends the list, and a list that surely matches ends the tier;
//! of the rules of a namespace the greatest action among those that surely match decides, whichever rule has it.
//! Cells are pairs of the classes that the chain itself tells apart ([`super::space`]).

use super::space::{Cells, Space};
use crate::lir::{Action, Chain, Level, Program, Rule, RuleChain};
use rayon::prelude::*;

pub(super) fn run(program: &mut Program) {
    let mut chains = std::mem::take(&mut program.chains);
    chains.par_iter_mut().for_each(|chain| {
        if let Chain::Rules(chain) = chain {
            clean(program, chain);
        }
    });
    program.chains = chains;
}

fn clean(program: &Program, chain: &mut RuleChain) {
    // A rule that changes no verdict may still say what the ends must prove.
    if chain.rules().any(|rule| rule.asks.is_some()) {
        return;
    }
    let space = Space::of(program, chain);
    let decided = tiers(&space, &mut chain.admin, space.no_cells());
    if chain.isolated_by.is_none() {
        chain.namespace.clear();
        tiers(&space, &mut chain.baseline, decided);
    } else {
        chain.baseline.clear();
        let rules = std::mem::take(&mut chain.namespace);
        chain.namespace = union(&space, rules, &decided);
    }
}

/// Cleans tiers of which some cells were decided before, and returns where something surely decides.
fn tiers(space: &Space<'_>, levels: &mut Vec<Level>, mut decided: Cells) -> Cells {
    let mut cleaned = Vec::new();
    let mut tier = Vec::new();
    let mut rest = std::mem::take(levels).into_iter().peekable();
    while let Some(level) = rest.next() {
        let is_last = level.ends_tier || rest.peek().is_none();
        tier.push(level);
        if is_last {
            let mut ended = decided.clone();
            let passed = self::tier(space, &mut tier, &mut ended);
            // What may pass is decided only where it was decided before.
            let mut after = ended.without(&passed);
            after.add(&decided);
            decided = after;
            cleaned.append(&mut tier);
        }
    }
    if let Some(last) = cleaned.last_mut() {
        last.ends_tier = false;
    }
    *levels = cleaned;
    decided
}

/// Cleans a tier of which some cells were decided before; adds where the tier surely ends, and returns where it may
/// pass.
fn tier(space: &Space<'_>, levels: &mut Vec<Level>, ended: &mut Cells) -> Cells {
    let mut passed = space.no_cells();
    for level in levels.iter_mut() {
        let mut ends = ended.clone();
        for rules in &mut level.lists {
            let is_alone = rules.len() == 1;
            let mut before: Option<Cells> = None;
            rules.retain(|rule| {
                let matched = space.cells(rule);
                if before.as_ref().unwrap_or(ended).has(&matched) {
                    return false;
                }
                if rule.action == Action::Pass {
                    passed.add_any(&matched);
                }
                if !is_alone {
                    let before = before.get_or_insert_with(|| ended.clone());
                    before.add_sure(&matched);
                }
                ends.add_sure(&matched);
                true
            });
        }
        *ended = ends;
        level.lists.retain(|rules| !rules.is_empty());
    }
    levels.retain(|level| !level.lists.is_empty());
    if let Some(last) = levels.last_mut() {
        last.ends_tier = true;
    }
    passed
}

/// The rules of a namespace that may decide: first what those in front cover is dropped, then what those behind do.
fn union(space: &Space<'_>, rules: Vec<Rule>, decided: &Cells) -> Vec<Rule> {
    let mut rules = sweep(space, rules, decided);
    rules.reverse();
    let mut rules = sweep(space, rules, decided);
    rules.reverse();
    rules
}

fn sweep(space: &Space<'_>, rules: Vec<Rule>, decided: &Cells) -> Vec<Rule> {
    let mut covered: Vec<(Action, Cells)> = Vec::new();
    let is_kept = |rule: &Rule| {
        let matched = space.cells(rule);
        let index = covered
            .iter()
            .position(|(action, _)| *action == rule.action);
        let index = index.unwrap_or_else(|| {
            covered.push((rule.action, decided.clone()));
            covered.len() - 1
        });
        let Some((_, known)) = covered.get_mut(index) else {
            return true;
        };
        if known.has(&matched) {
            return false;
        }
        known.add_sure(&matched);
        true
    };
    let mut rules = rules;
    rules.retain(is_kept);
    rules
}
