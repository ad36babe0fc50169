//! `tabulate` and `share-rows`: from rules to rows.
//!
//! `tabulate`. Equation: a chain is the table of its decisions. Proof: each cell of the table is what
//! [`Program::decide`] says of it; a chain is asked once for each pair of classes that its own sets tell apart.
//!
//! `share-rows`. Equation: a row stands for every row that is equal. Proof: a table asks of a row only its codes.

use super::space::Space;
use super::{chains, sets::intern};
use crate::hir::spec::Truth;
use crate::lir::decide::Placed;
use crate::lir::{
    Chain, ClassId, CodeId, Decision, PortClassId, Program, RowId, RuleChain, Table, ToItself,
    number,
};
use crate::ranges::Ranges;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

pub(super) fn tabulate(program: &mut Program) {
    let chains = std::mem::take(&mut program.chains);
    let decided: Vec<Option<Decided>> = chains
        .par_iter()
        .map(|chain| Decided::of_chain(program, chain))
        .collect();
    if decided.iter().any(Option::is_some) {
        program.rows = Vec::new();
        program.codes = Vec::new();
        program.either = Vec::new();
        program.unasked = Ranges::default();
        program.remotes = Vec::new();
        program.ports = Vec::new();
    }
    let mut known = FxHashMap::default();
    let made = chains.into_iter().zip(decided);
    program.chains = made
        .map(|(chain, decided)| match decided {
            Some(decided) => Chain::Table(decided.table(program, &mut known)),
            None => chain,
        })
        .collect();
}

/// The rules that match a class of leaves and one of keys, in their order.
type Cell = Vec<(u32, Truth)>;

/// Which rules of a chain match, by its own classes.
struct Matching<'c> {
    rules: Placed<'c>,
    chain: &'c RuleChain,
    /// By class of leaves: the rules whose peers match, in their order.
    remotes: Vec<Vec<(u32, Truth)>>,
    /// By rule: the classes of keys that its ports match.
    ports: Vec<Vec<(u32, Truth)>>,
}

impl<'c> Matching<'c> {
    fn of(program: &Program, chain: &'c RuleChain, space: &Space<'_>) -> Self {
        let rules = Placed::of(chain);
        let mut remotes = vec![Vec::new(); space.remotes.example.len()];
        let mut ports = Vec::with_capacity(rules.rules().len());
        for (rule, number) in rules.rules().zip(0..) {
            let peers = rule.remotes;
            let sets = [peers.yes, peers.maybe].map(|set| program.remote_set(set));
            for (class, truth) in space.remotes.matched(sets) {
                if let Some(row) = remotes.get_mut(class as usize) {
                    row.push((number, truth));
                }
            }
            let sets = [rule.ports.yes, rule.ports.maybe].map(|set| program.port_set(set));
            ports.push(space.ports.matched(sets));
        }
        Self {
            rules,
            chain,
            remotes,
            ports,
        }
    }

    /// What is decided of a class of leaves of the program, by class of keys of the chain.
    fn row(
        &self,
        program: &Program,
        space: &Space<'_>,
        class: ClassId,
        hairpin: bool,
    ) -> Vec<Decision> {
        let count = space.ports.example.len();
        let behind = program.classes_behind(&class).iter();
        let cells: Vec<(ClassId, Vec<Cell>)> = behind
            .map(|class| {
                let mut cells = vec![Vec::new(); count];
                let own = space.remotes.new.get(class.index());
                let rules = own.and_then(|own| self.remotes.get(*own as usize));
                for (rule, peers) in rules.into_iter().flatten() {
                    let ports = self.ports.get(*rule as usize);
                    for (port, truth) in ports.into_iter().flatten() {
                        if let Some(cell) = cells.get_mut(*port as usize) {
                            cell.push((*rule, *peers.min(truth)));
                        }
                    }
                }
                (*class, cells)
            })
            .collect();
        let ports = space.ports.example.iter().enumerate();
        let decide = |(index, port): (usize, &u32)| {
            if program.passes_unasked(self.chain, PortClassId(*port), hairpin) {
                return Decision::OPEN;
            }
            let cells = cells.iter().map(|(class, cells)| {
                let cell = cells.get(index).map_or(&[][..], Vec::as_slice);
                (*class, cell)
            });
            self.rules.decide(program, cells, hairpin)
        };
        ports.map(decide).collect()
    }
}

/// What a chain decides, by its own classes.
pub(super) struct Decided {
    /// By class of leaves of the program: that of the chain.
    pub(super) remotes: Vec<u32>,
    /// By class of keys of the program: that of the chain.
    pub(super) ports: Vec<u32>,
    /// By both classes of the chain.
    pub(super) rows: Vec<Vec<Decision>>,
    /// For what an endpoint sends to itself by way of a service; none where that makes no difference.
    pub(super) hairpin: Option<Vec<Vec<Decision>>>,
}

impl Decided {
    /// What a chain of rules decides.
    pub(super) fn of_chain(program: &Program, chain: &Chain) -> Option<Self> {
        match chain {
            Chain::Rules(rules) => Some(Self::of(program, rules)),
            Chain::Table(_) => None,
        }
    }

    fn of(program: &Program, rules: &RuleChain) -> Self {
        let space = Space::of(program, rules);
        let cells = Matching::of(program, rules, &space);
        let all = |hairpin| -> Vec<Vec<Decision>> {
            let classes = space.remotes.example.iter();
            classes
                .map(|class| cells.row(program, &space, ClassId(*class), hairpin))
                .collect()
        };
        Self {
            rows: all(false),
            // Only the policies of a namespace do not keep an endpoint from itself.
            hairpin: match rules.to_itself {
                ToItself::Asked => rules.isolated_by.is_some().then(|| all(true)),
                ToItself::Passes => Some(all(true)),
                ToItself::AsOthers => None,
            },
            remotes: space.remotes.new,
            ports: space.ports.new,
        }
    }

    fn table(self, program: &mut Program, known: &mut FxHashMap<Decision, u32>) -> Table {
        let mut add = |decided: &[Vec<Decision>]| -> Vec<RowId> {
            let own: Vec<RowId> = decided
                .iter()
                .map(|decisions| {
                    let codes: Vec<CodeId> = decisions
                        .iter()
                        .map(|decision| CodeId(intern(known, &mut program.codes, *decision)))
                        .collect();
                    let row = self.ports.iter();
                    let row = row.filter_map(|port| codes.get(*port as usize).copied());
                    program.rows.push(row.collect());
                    RowId(number(program.rows.len() - 1))
                })
                .collect();
            let by_class = self.remotes.iter();
            by_class
                .filter_map(|class| own.get(*class as usize).copied())
                .collect()
        };
        let rows = add(&self.rows);
        let hairpin = self.hairpin.as_deref().map(add);
        Table {
            hairpin: hairpin.unwrap_or_else(|| rows.clone()),
            rows,
        }
    }
}

pub(super) fn share(program: &mut Program) {
    let mut given = std::mem::take(&mut program.rows);
    let mut known = FxHashMap::default();
    let mut new: Vec<Option<RowId>> = vec![None; given.len()];
    for chain in &mut program.chains {
        let Chain::Table(table) = chain else { continue };
        for row in table.rows.iter_mut().chain(&mut table.hairpin) {
            let slot = new.get_mut(row.index()).zip(given.get_mut(row.index()));
            if let Some((slot, codes)) = slot {
                let rows = &mut program.rows;
                *row = *slot.get_or_insert_with(|| {
                    // It is asked for once.
                    RowId(intern(&mut known, rows, std::mem::take(codes)))
                });
            }
        }
    }
    chains::run(program);
}
