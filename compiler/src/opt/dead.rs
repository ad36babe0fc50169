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
//! Cells are kept as sets of classes for each class of keys that the chain tells apart.

use super::classes::Merged;
use crate::lir::leaves::without;
use crate::lir::{Action, Chain, Level, Program, Rule, RuleChain};
use crate::ranges::Ranges;

pub(super) fn run(program: &mut Program) {
    let mut chains = std::mem::take(&mut program.chains);
    for chain in &mut chains {
        if let Chain::Rules(chain) = chain {
            clean(program, chain);
        }
    }
    program.chains = chains;
}

/// Sets of classes of leaves, by class of keys of the chain.
#[derive(Clone)]
struct Cells(Vec<Ranges<u32>>);

impl Cells {
    fn none(count: u32) -> Self {
        Self(vec![Ranges::default(); count as usize])
    }

    fn add(&mut self, other: &Self) {
        for (own, more) in self.0.iter_mut().zip(&other.0) {
            if !more.is_empty() {
                *own = own.union(more);
            }
        }
    }

    fn has(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        pairs
            .into_iter()
            .all(|(own, other)| without(other, own).is_empty())
    }

    fn without(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(own, other)| without(own, other)).collect())
    }
}

/// What a chain tells apart.
struct Space<'p> {
    program: &'p Program,
    ports: Merged,
}

impl<'p> Space<'p> {
    fn of(program: &'p Program, chain: &RuleChain) -> Self {
        let sets = chain
            .rules()
            .flat_map(|rule| [rule.ports.yes, rule.ports.maybe]);
        let sets = sets.map(|id| program.port_set(id));
        let ports = Merged::by_sets(program.port_classes, sets);
        Self { program, ports }
    }

    /// The cells that a rule surely matches, and those that it may match at all.
    fn cells(&self, rule: &Rule) -> (Cells, Cells) {
        let program = self.program;
        let remotes = program.remote_set(rule.remotes.yes);
        let either = remotes.union(program.remote_set(rule.remotes.maybe));
        let mut sure = Cells::none(self.ports.count);
        let mut any = Cells::none(self.ports.count);
        for (class, (sure, any)) in self
            .ports
            .example
            .iter()
            .zip(sure.0.iter_mut().zip(&mut any.0))
        {
            if program.port_set(rule.ports.yes).contains(*class) {
                *sure = remotes.clone();
                *any = either.clone();
            } else if program.port_set(rule.ports.maybe).contains(*class) {
                *any = either.clone();
            }
        }
        (sure, any)
    }
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
    let mut ended = Cells::none(space.ports.count);
    let passed = levels_after(space, levels, &mut ended);
    ended.without(&passed)
}

/// Cleans a tier of which some cells were decided before; adds where the tier surely ends, and returns where it may
/// pass.
fn levels_after(space: &Space<'_>, levels: &mut Vec<Level>, ended: &mut Cells) -> Cells {
    let mut passed = Cells::none(space.ports.count);
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
