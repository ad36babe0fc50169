//! What a chain tells apart: the classes that its own sets allow, far fewer than those of the program.

use super::classes::{Merged, open_classes};
use crate::lir::{Match, PortsId, Program, RemotesId, Rule, RuleChain};
use crate::ranges::Ranges;

/// The classes of a chain.
pub(super) struct Space<'p> {
    program: &'p Program,
    /// Of leaves; those of the own node are apart from others.
    pub(super) remotes: Merged,
    /// Of keys.
    pub(super) ports: Merged,
}

/// Pairs of a class of leaves and a class of keys of a chain: by class of keys, one bit for each class of leaves.
#[derive(Clone)]
pub(super) struct Cells(Vec<u64>);

impl<'p> Space<'p> {
    pub(super) fn of(program: &'p Program, chain: &RuleChain) -> Self {
        let mut remotes: Vec<RemotesId> = Vec::new();
        let mut ports: Vec<PortsId> = Vec::new();
        for rule in chain.rules() {
            remotes.extend([rule.remotes.yes, rule.remotes.maybe]);
            ports.extend([rule.ports.yes, rule.ports.maybe]);
        }
        remotes.sort_unstable();
        remotes.dedup();
        ports.sort_unstable();
        ports.dedup();
        let remotes = remotes.iter().map(|id| program.remote_set(*id));
        let ports = ports.iter().map(|id| program.port_set(*id));
        Self {
            program,
            remotes: {
                let open = open_classes(program);
                let sets = remotes.chain([&program.own_node]).chain(&open);
                Merged::by_sets(program.classes, sets)
            },
            ports: Merged::by_sets(program.port_classes, ports.chain([&program.unasked])),
        }
    }

    pub(super) fn no_cells(&self) -> Cells {
        Cells(vec![0; self.words() * self.ports.example.len()])
    }

    /// The cells that a rule surely matches, and those that it may match at all.
    pub(super) fn cells(&self, rule: &Rule) -> (Cells, Cells) {
        let (yes, either) = self.remotes_of(rule.remotes);
        let (mut sure, mut any) = (self.no_cells(), self.no_cells());
        let rows = sure
            .0
            .chunks_mut(self.words())
            .zip(any.0.chunks_mut(self.words()));
        for (class, (sure, any)) in self.ports.example.iter().zip(rows) {
            let (is_sure, may_be) = self.port_of(rule.ports, *class);
            if is_sure {
                sure.copy_from_slice(&yes);
            }
            if may_be {
                any.copy_from_slice(&either);
            }
        }
        (sure, any)
    }

    fn words(&self) -> usize {
        self.remotes.example.len().div_ceil(64).max(1)
    }

    /// The classes of leaves that surely are in a rule's peers, and those that may be.
    fn remotes_of(&self, remotes: Match<RemotesId>) -> (Vec<u64>, Vec<u64>) {
        let bits = |set: &Ranges<u32>| {
            let mut bits = vec![0_u64; self.words()];
            for (examples, word) in self.remotes.example.chunks(64).zip(&mut bits) {
                for (class, bit) in examples.iter().zip(0..) {
                    *word |= u64::from(set.contains(*class)) << bit;
                }
            }
            bits
        };
        let yes = bits(self.program.remote_set(remotes.yes));
        let mut either = bits(self.program.remote_set(remotes.maybe));
        either
            .iter_mut()
            .zip(&yes)
            .for_each(|(either, yes)| *either |= yes);
        (yes, either)
    }

    fn port_of(&self, ports: Match<PortsId>, class: u32) -> (bool, bool) {
        let yes = self.program.port_set(ports.yes).contains(class);
        (
            yes,
            yes || self.program.port_set(ports.maybe).contains(class),
        )
    }
}

impl Cells {
    pub(super) fn add(&mut self, other: &Self) {
        let pairs = self.0.iter_mut().zip(&other.0);
        pairs.for_each(|(own, more)| *own |= more);
    }

    pub(super) fn has(&self, other: &Self) -> bool {
        let mut pairs = self.0.iter().zip(&other.0);
        pairs.all(|(own, other)| other & !own == 0)
    }

    pub(super) fn without(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(own, other)| own & !other).collect())
    }
}
