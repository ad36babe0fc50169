//! `identity-classes` and `port-classes`: what nothing tells apart becomes one class.
//!
//! Equation: let `x ~ y` where neither is open and every set of the program has both or neither (in a table: where every row, or every
//! column, has the same code for both). Then a question about `x` is decided as one about `y`. Proof: a decision is
//! a function of which sets have the class as a member, or of the code that stands for it. The classes of `~` are
//! the coarsest that the sets allow.

use super::sets::intern;
use crate::lir::{Chain, ClassId, CodeId, PortClassId, Program, RowId};
use crate::ranges::Ranges;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::hash::Hash;

/// Old classes as new ones, and how many of these there are.
pub(super) struct Merged {
    pub(super) new: Vec<u32>,
    pub(super) count: u32,
    /// An old class of each new one.
    pub(super) example: Vec<u32>,
}

impl Merged {
    /// The classes as what is told of each says.
    fn by<T: Clone + Eq + Hash>(told: impl Iterator<Item = T>) -> Self {
        let (mut known, mut kept) = (FxHashMap::default(), Vec::new());
        let mut example = Vec::new();
        let mut new = Vec::new();
        for (told, old) in told.zip(0..) {
            let id = intern(&mut known, &mut kept, told);
            if id as usize == example.len() {
                example.push(old);
            }
            new.push(id);
        }
        Self {
            count: crate::lir::number(kept.len()),
            new,
            example,
        }
    }

    /// The coarsest classes that some sets allow.
    pub(super) fn by_sets<'a>(count: u32, sets: impl Iterator<Item = &'a Ranges<u32>>) -> Self {
        // At each class: the sets that begin there, and those that have ended.
        let mut bounds: Vec<(u32, u32, bool)> = Vec::new();
        for (set, index) in sets.zip(0..) {
            for (first, last) in set.iter() {
                bounds.push((first, index, true));
                bounds.extend(last.checked_add(1).map(|end| (end, index, false)));
            }
        }
        bounds.sort_unstable();
        let mut members = BTreeSet::new();
        let mut told: Vec<u32> = Vec::with_capacity(count as usize);
        let (mut known, mut kept) = (FxHashMap::default(), Vec::new());
        let mut current = intern(&mut known, &mut kept, Vec::new());
        let mut rest = bounds.iter().peekable();
        for class in 0..count {
            let mut changed = false;
            while let Some((_, set, begins)) = rest.next_if(|(at, ..)| *at <= class) {
                changed = true;
                if *begins {
                    members.insert(*set);
                } else {
                    members.remove(set);
                }
            }
            if changed {
                let list: Vec<u32> = members.iter().copied().collect();
                current = intern(&mut known, &mut kept, list);
            }
            told.push(current);
        }
        Self::by(told.into_iter())
    }

    fn set(&self, old: &Ranges<u32>) -> Ranges<u32> {
        let members = old.iter().flat_map(|(first, last)| {
            let new = self.new.get(first as usize..=last as usize);
            new.unwrap_or_default().iter()
        });
        let mut members: Vec<u32> = members.copied().collect();
        members.sort_unstable();
        members.dedup();
        Ranges::new(members.into_iter().map(|class| (class, class)).collect())
    }

    fn class(&self, old: u32) -> u32 {
        self.new.get(old as usize).copied().unwrap_or_default()
    }

    /// What stands for one class of each new one.
    fn examples<T: Copy>(&self, of_old: &[T]) -> Vec<T> {
        let examples = self.example.iter();
        examples
            .filter_map(|old| of_old.get(*old as usize).copied())
            .collect()
    }
}

pub(super) fn leaves(program: &mut Program) {
    let merged = if program.rows.is_empty() {
        let sets = program.remotes.iter();
        let open = open_classes(program);
        Merged::by_sets(
            program.classes,
            sets.chain([&program.own_node]).chain(&open),
        )
    } else {
        Merged::by((0..program.classes).map(|class| column(program, class)))
    };
    for class in &mut program.leaves {
        *class = ClassId(merged.class(class.0));
    }
    let either = std::mem::take(&mut program.either).into_iter();
    let either = either.map(|(open, classes)| {
        let classes = classes.iter().map(|class| ClassId(merged.class(class.0)));
        let classes: BTreeSet<ClassId> = classes.collect();
        (ClassId(merged.class(open.0)), classes.into_iter().collect())
    });
    program.either = either.collect();
    program.either.sort();
    program.own_node = merged.set(&program.own_node);
    program.classes = merged.count;
    for set in &mut program.remotes {
        *set = merged.set(set);
    }
    for chain in &mut program.chains {
        if let Chain::Table(table) = chain {
            table.rows = merged.examples(&table.rows);
            table.hairpin = merged.examples(&table.hairpin);
        }
    }
}

/// Each class of which it is open what it is, as a set of its own.
pub(super) fn open_classes(program: &Program) -> Vec<Ranges<u32>> {
    let open = program.either.iter();
    open.map(|(open, _)| Ranges::new(vec![(open.0, open.0)]))
        .collect()
}

/// The rows that all tables have for a class. In tables the own node is a class like others.
fn column(program: &Program, class: u32) -> Vec<RowId> {
    let tables = program.chains.iter().flat_map(|chain| match chain {
        Chain::Rules(_) => [None, None],
        Chain::Table(table) => [&table.rows, &table.hairpin].map(|rows| rows.get(class as usize)),
    });
    tables.flatten().copied().collect()
}

pub(super) fn ports(program: &mut Program) {
    let merged = if program.rows.is_empty() {
        let sets = program.ports.iter().chain([&program.unasked]);
        Merged::by_sets(program.port_classes, sets)
    } else {
        let of = |class| -> Vec<CodeId> {
            let rows = program.rows.iter();
            rows.filter_map(|row| row.get(class as usize).copied())
                .collect()
        };
        Merged::by((0..program.port_classes).map(of))
    };
    for (_, class) in &mut program.transports {
        *class = PortClassId(merged.class(class.0));
    }
    program.transports.dedup_by_key(|(_, class)| *class);
    program.port_classes = merged.count;
    program.unasked = merged.set(&program.unasked);
    for set in &mut program.ports {
        *set = merged.set(set);
    }
    for row in &mut program.rows {
        *row = merged.examples(row);
    }
}
