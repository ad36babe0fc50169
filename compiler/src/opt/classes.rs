//! `identity-classes` and `port-classes`: what nothing tells apart becomes one class.
//!
//! Equation: let `x ~ y` where neither is open and every set of the program has both or neither (in a table: where every row, or every
//! column, has the same code for both). Then a question about `x` is decided as one about `y`. Proof: a decision is
//! a function of which sets have the class as a member, or of the code that stands for it. The classes of `~` are
//! the coarsest that the sets allow.

use super::sets::intern;
use crate::hir::spec::Truth;
use crate::lir::{Chain, ClassId, PortClassId, Program};
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
    fn by<T: Copy + Eq + Hash>(told: impl Iterator<Item = T>) -> Self {
        let mut known = FxHashMap::default();
        // What is told may be long, and where there is no room it is all looked at once more.
        known.reserve(told.size_hint().0);
        let mut example = Vec::new();
        let mut new = Vec::new();
        for (told, old) in told.zip(0..) {
            new.push(*known.entry(told).or_insert_with(|| {
                example.push(old);
                crate::lir::number(example.len() - 1)
            }));
        }
        Self {
            count: crate::lir::number(example.len()),
            new,
            example,
        }
    }

    /// The classes as what some lists tell of each says. What is told stands together, so that nothing is copied.
    fn by_columns<'t, T: Copy + Eq + Hash + 't>(
        count: u32,
        lists: impl Iterator<Item = &'t [T]>,
    ) -> Self {
        let lists: Vec<&[T]> = lists.collect();
        let mut told = Vec::with_capacity(lists.len() * count as usize);
        for class in 0..count as usize {
            told.extend(lists.iter().map(|list| list.get(class).copied()));
        }
        match lists.len() {
            0 => Self::by((0..count).map(|_| ())),
            width => Self::by(told.chunks(width)),
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

    /// The new classes that are surely in a set or may be in another, which none is in both of: by the examples, of
    /// which none is before another that it stands behind.
    pub(super) fn matched(&self, [yes, maybe]: [&Ranges<u32>; 2]) -> Vec<(u32, Truth)> {
        let mut matched = Vec::new();
        for (set, truth) in [(yes, Truth::Yes), (maybe, Truth::Unknown)] {
            for (first, last) in set.iter() {
                let from = self.example.partition_point(|class| *class < first);
                let members = self.example.get(from..).unwrap_or_default();
                let members = members.iter().take_while(|class| **class <= last);
                let members = members.zip(crate::lir::number(from)..);
                matched.extend(members.map(|(_, class)| (class, truth)));
            }
        }
        matched
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
        let mut examples = Vec::with_capacity(self.example.len());
        let found = self.example.iter();
        examples.extend(found.filter_map(|old| of_old.get(*old as usize).copied()));
        examples
    }

    /// Whether each class is as it was: all are told apart, and they are numbered as they come.
    fn is_same(&self) -> bool {
        self.count as usize == self.new.len()
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
        let tables = program.chains.iter().flat_map(|chain| match chain {
            Chain::Rules(_) => [None, None],
            Chain::Table(table) => [&table.rows, &table.hairpin].map(Some),
        });
        // In tables the own node is a class like others.
        let lists = tables.flatten().map(Vec::as_slice);
        Merged::by_columns(program.classes, lists)
    };
    if merged.is_same() && program.either.is_empty() {
        return;
    }
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

pub(super) fn ports(program: &mut Program) {
    let merged = if program.rows.is_empty() {
        let sets = program.ports.iter().chain([&program.unasked]);
        Merged::by_sets(program.port_classes, sets)
    } else {
        Merged::by_columns(program.port_classes, program.rows.iter().map(Vec::as_slice))
    };
    if merged.is_same() {
        program.transports.dedup_by_key(|(_, class)| *class);
        return;
    }
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
