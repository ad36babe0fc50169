//! `tabulate` and `share-rows`: from rules to rows.
//!
//! `tabulate`. Equation: a chain is the table of its decisions. Proof: each cell of the table is what
//! [`Program::decide`] says of it; a chain is asked once for each pair of classes that its own sets tell apart.
//!
//! `share-rows`. Equation: a row stands for every row that is equal. Proof: a table asks of a row only its codes.

use super::classes::Merged;
use super::{chains, sets::intern};
use crate::lir::{
    Chain, ClassId, CodeId, Decision, PortClassId, Program, RowId, RuleChain, Table, number,
};
use rustc_hash::FxHashMap;

pub(super) fn tabulate(program: &mut Program) {
    let chains = std::mem::take(&mut program.chains);
    let mut codes = Codes::default();
    let mut rows = Vec::new();
    let made = chains.iter().map(|chain| match chain {
        Chain::Rules(rules) => Chain::Table(table(program, rules, chain, &mut codes, &mut rows)),
        Chain::Table(table) => Chain::Table(table.clone()),
    });
    let made = made.collect();
    if chains.iter().any(|chain| matches!(chain, Chain::Rules(_))) {
        program.rows = rows;
        program.codes = codes.kept;
        program.remotes = Vec::new();
        program.ports = Vec::new();
    }
    program.chains = made;
}

#[derive(Default)]
struct Codes {
    known: FxHashMap<Decision, u32>,
    kept: Vec<Decision>,
}

fn table(
    program: &Program,
    rules: &RuleChain,
    chain: &Chain,
    codes: &mut Codes,
    rows: &mut Vec<Vec<CodeId>>,
) -> Table {
    let remotes = rules
        .rules()
        .flat_map(|rule| [rule.remotes.yes, rule.remotes.maybe]);
    let remotes = remotes.map(|id| program.remote_set(id));
    let classes = Merged::by_sets(program.classes, remotes.chain([&program.own_node]));
    let ports = rules
        .rules()
        .flat_map(|rule| [rule.ports.yes, rule.ports.maybe]);
    let ports = Merged::by_sets(program.port_classes, ports.map(|id| program.port_set(id)));
    let mut all = |hairpin| -> Vec<RowId> {
        let mut own = Vec::with_capacity(classes.example.len());
        for class in &classes.example {
            let decided: Vec<CodeId> = ports
                .example
                .iter()
                .map(|port| {
                    let decision =
                        program.decide(chain, ClassId(*class), PortClassId(*port), hairpin);
                    CodeId(intern(&mut codes.known, &mut codes.kept, decision))
                })
                .collect();
            let row = ports
                .new
                .iter()
                .filter_map(|port| decided.get(*port as usize).copied());
            own.push(RowId(number(rows.len())));
            rows.push(row.collect());
        }
        let by_class = classes.new.iter();
        by_class
            .filter_map(|class| own.get(*class as usize).copied())
            .collect()
    };
    Table {
        rows: all(false),
        hairpin: all(true),
    }
}

pub(super) fn share(program: &mut Program) {
    let given = std::mem::take(&mut program.rows);
    let mut known = FxHashMap::default();
    for chain in &mut program.chains {
        let Chain::Table(table) = chain else { continue };
        for row in table.rows.iter_mut().chain(&mut table.hairpin) {
            if let Some(codes) = given.get(row.index()) {
                *row = RowId(intern(&mut known, &mut program.rows, codes.clone()));
            }
        }
    }
    chains::run(program);
}
