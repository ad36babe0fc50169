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
    let space = Space::of(program, chain);
    let decided = levels(&space, &mut chain.admin);
    if chain.isolated_by.is_empty() {
        chain.namespace.clear();
        let mut before = decided;
        levels_after(&space, &mut chain.baseline, &mut before);
    } else {
        chain.baseline.clear();
        let rules = std::mem::take(&mut chain.namespace);
        chain.namespace = union(&space, rules, &decided);
    }
}

/// Cleans the first tier, and returns where it surely decides.
fn levels(space: &Space<'_>, levels: &mut Vec<Level>) -> Cells {
    let mut ended = space.no_cells();
    let passed = levels_after(space, levels, &mut ended);
    ended.without(&passed)
}

/// Cleans a tier of which some cells were decided before; adds where the tier surely ends, and returns where it may
/// pass.
fn levels_after(space: &Space<'_>, levels: &mut Vec<Level>, ended: &mut Cells) -> Cells {
    let mut passed = space.no_cells();
    for level in levels.iter_mut() {
        let mut ends = ended.clone();
        for rules in &mut level.lists {
            let mut matched = ended.clone();
            rules.retain(|rule| {
                let (sure, any) = space.cells(rule);
                if matched.has(&any) {
                    return false;
                }
                if rule.action == Action::Pass {
                    passed.add(&any);
                }
                matched.add(&sure);
                true
            });
            ends.add(&matched);
        }
        *ended = ends;
        level.lists.retain(|rules| !rules.is_empty());
    }
    levels.retain(|level| !level.lists.is_empty());
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
        let (sure, any) = space.cells(rule);
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
        if known.has(&any) {
            return false;
        }
        known.add(&sure);
        true
    };
    let mut rules = rules;
    rules.retain(is_kept);
    rules
}
