//! What always holds of a program, and the check that it does.
//!
//! 1. The class of each leaf is below the number of classes, and so are the members of every set of classes and of
//!    the own node.
//! 2. Transport runs ascend from key 0, and their classes are below the number of port classes, and so are the
//!    members of every set of these.
//! 3. An endpoint's chains exist.
//! 4. A rule has origins, sorted, each once; its sets exist; what it surely matches and what it may match have
//!    nothing in common.
//! 5. No list of a level and no level is without rules behind it: a level has a list. Behind the last level is no tier.
//! 6. Rules of a namespace allow: they neither deny nor pass.
//! 7. A table has a row for each class, for both uses, and the rows exist. A row has a code for each port class,
//!    and the codes exist. A decision does not pass on; one that depends denies.
//! 8. Either every chain is rules, or every chain is a table.
//! 9. What is open stands in ascending order, and is one of classes that exist and are not open themselves.

use super::{Action, Chain, Program, Rule, RuleChain};
use crate::hir::Auth;
use crate::invariant::{Violation, ensure};
use crate::ranges::Ranges;

/// Checks every invariant.
///
/// # Errors
/// The first invariant that does not hold.
pub fn check(program: &Program) -> Result<(), Violation> {
    let below = |set: &Ranges<u32>, count: u32| set.iter().all(|(_, last)| last < count);
    let known = program.leaves.iter().all(|class| class.0 < program.classes);
    ensure(known, 1, "the leaves")?;
    let open = program.either.iter();
    let either = open
        .clone()
        .flat_map(|(open, classes)| classes.iter().chain([open]));
    let mut either = either.map(|class| class.0);
    ensure(
        either.all(|class| class < program.classes),
        9,
        "what is open",
    )?;
    let ascending = program.either.is_sorted_by(|(a, _), (b, _)| a < b);
    let is_open = |class| {
        program
            .either
            .binary_search_by_key(class, |(open, _)| *open)
            .is_ok()
    };
    let known = open
        .clone()
        .all(|(_, classes)| !classes.iter().any(is_open));
    ensure(ascending && known, 9, "what is open")?;
    ensure(
        below(&program.unasked, program.port_classes),
        2,
        "what passes unasked",
    )?;
    ensure(below(&program.own_node, program.classes), 1, "the own node")?;
    for (set, index) in program.remotes.iter().zip(0..) {
        ensure(below(set, program.classes), 1, super::RemotesId(index))?;
    }
    let starts = program.transports.iter().map(|(start, _)| *start);
    let ascending = starts.clone().next() == Some(0) && starts.is_sorted_by(|a, b| a < b);
    let known = program
        .transports
        .iter()
        .all(|(_, class)| class.0 < program.port_classes);
    ensure(ascending && known, 2, "the transports")?;
    for (set, index) in program.ports.iter().zip(0..) {
        ensure(below(set, program.port_classes), 2, super::PortsId(index))?;
    }
    for endpoint in &program.endpoints {
        let chains = [endpoint.chains.ingress, endpoint.chains.egress];
        let known = chains
            .iter()
            .all(|chain| chain.index() < program.chains.len());
        ensure(known, 3, &endpoint.name)?;
    }
    for (chain, index) in program.chains.iter().zip(0..) {
        self::chain(program, chain, super::ChainId(index))?;
    }
    tables(program)
}

fn chain(program: &Program, chain: &Chain, id: super::ChainId) -> Result<(), Violation> {
    match chain {
        Chain::Rules(chain) => rules(program, chain, id),
        Chain::Table(table) => {
            let full = |rows: &[super::RowId]| {
                rows.len() == program.classes as usize
                    && rows.iter().all(|row| row.index() < program.rows.len())
            };
            ensure(full(&table.rows) && full(&table.hairpin), 7, id)
        }
    }
}

fn rules(program: &Program, chain: &RuleChain, id: super::ChainId) -> Result<(), Violation> {
    for rule in chain.rules() {
        ensure(is_sound(program, rule), 4, id)?;
    }
    let levels = chain.admin.iter().chain(&chain.baseline);
    ensure(levels.clone().all(|level| !level.lists.is_empty()), 5, id)?;
    let last = [chain.admin.last(), chain.baseline.last()];
    let mut last = last.into_iter().flatten();
    ensure(last.all(|level| !level.ends_tier), 5, id)?;
    let allows = |rule: &Rule| match rule.action {
        Action::Deny | Action::Pass | Action::Prove(_, _) => false,
        Action::Audit | Action::Allow | Action::Redirect(_) => true,
    };
    ensure(chain.namespace.iter().all(allows), 6, id)
}

fn is_sound(program: &Program, rule: &Rule) -> bool {
    let origins = !rule.origins.is_empty() && rule.origins.is_sorted_by(|a, b| a < b);
    let remotes =
        [rule.remotes.yes, rule.remotes.maybe].map(|set| program.remotes.get(set.index()));
    let ports = [rule.ports.yes, rule.ports.maybe].map(|set| program.ports.get(set.index()));
    let apart = |sets: [Option<&Ranges<u32>>; 2]| match sets {
        [Some(yes), Some(maybe)] => yes.intersection(maybe).is_empty(),
        [_, _] => false,
    };
    let proves = rule.action.auth().is_some();
    origins && !proves && apart(remotes) && apart(ports)
}

fn tables(program: &Program) -> Result<(), Violation> {
    for (row, index) in program.rows.iter().zip(0..) {
        let full = row.len() == program.port_classes as usize
            && row.iter().all(|code| code.index() < program.codes.len());
        ensure(full, 7, super::RowId(index))?;
    }
    for (code, index) in program.codes.iter().zip(0..) {
        let sound = code.action != Action::Pass
            && code.action.auth() != Some(Auth::Disabled)
            && (!code.depends || code.action == Action::Deny);
        ensure(sound, 7, super::CodeId(index))?;
    }
    let is_table = |chain: &Chain| match chain {
        Chain::Rules(_) => false,
        Chain::Table(_) => true,
    };
    let mixed = program.chains.iter().any(is_table) && !program.chains.iter().all(is_table);
    ensure(!mixed, 8, "the chains")
}
