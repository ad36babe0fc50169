//! What a chain tells apart: the classes that its own sets allow, far fewer than those of the program.

use super::classes::{Merged, open_classes};
use crate::hir::spec::Truth;
use crate::lir::{PortsId, Program, RemotesId, Rule, RuleChain};

/// The classes of a chain.
pub(super) struct Space<'p> {
    program: &'p Program,
    /// Of leaves; those of the own node are apart from others.
    pub(super) remotes: Merged,
    /// Of keys.
    pub(super) ports: Merged,
}

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
        Cells {
            words: self.words(),
            bits: vec![0; self.words() * self.ports.example.len()],
        }
    }

    /// The cells that a rule matches.
    pub(super) fn cells(&self, rule: &Rule) -> Matched {
        let sets = [rule.remotes.yes, rule.remotes.maybe];
        let sets = sets.map(|set| self.program.remote_set(set));
        let [mut sure, mut any] = [const { Vec::new() }; 2];
        sure.resize(self.words(), 0);
        any.resize(self.words(), 0);
        for (class, truth) in self.remotes.matched(sets) {
            let (word, bit) = (class as usize / BITS, 1_u64 << (class as usize % BITS));
            if let Some(word) = any.get_mut(word) {
                *word |= bit;
            }
            if let Some(word) = sure.get_mut(word).filter(|_| truth == Truth::Yes) {
                *word |= bit;
            }
        }
        let sets = [rule.ports.yes, rule.ports.maybe].map(|set| self.program.port_set(set));
        Matched {
            sure,
            any,
            ports: self.ports.matched(sets),
        }
    }

    fn words(&self) -> usize {
        self.remotes.example.len().div_ceil(BITS).max(1)
    }
}

const BITS: usize = u64::BITS as usize;

/// Pairs of a class of leaves and a class of keys of a chain: by class of keys, one bit for each class of leaves.
#[derive(Clone)]
pub(super) struct Cells {
    /// How many there are of each class of keys.
    words: usize,
    bits: Vec<u64>,
}

/// The cells that a rule matches.
pub(super) struct Matched {
    /// The classes of leaves that surely are its peers, as bits.
    sure: Vec<u64>,
    /// Those that may be.
    any: Vec<u64>,
    /// The classes of keys.
    ports: Vec<(u32, Truth)>,
}

impl Cells {
    /// Adds those that a rule surely matches.
    pub(super) fn add_sure(&mut self, rule: &Matched) {
        let sure = rule.ports.iter().filter(|(_, truth)| *truth == Truth::Yes);
        for (port, _) in sure {
            self.add_row(*port, &rule.sure);
        }
    }

    /// Adds those that a rule may match.
    pub(super) fn add_any(&mut self, rule: &Matched) {
        for (port, _) in &rule.ports {
            self.add_row(*port, &rule.any);
        }
    }

    fn add_row(&mut self, port: u32, leaves: &[u64]) {
        let rows = self.bits.chunks_mut(self.words);
        let row = rows.into_iter().nth(port as usize);
        let pairs = row.into_iter().flatten().zip(leaves);
        pairs.for_each(|(own, more)| *own |= more);
    }

    /// Whether all that a rule may match are among these.
    pub(super) fn has(&self, rule: &Matched) -> bool {
        rule.ports.iter().all(|(port, _)| {
            let row = self.bits.chunks(self.words).nth(*port as usize);
            let mut pairs = row.into_iter().flatten().zip(&rule.any);
            pairs.all(|(own, other)| other & !own == 0)
        })
    }

    pub(super) fn add(&mut self, other: &Self) {
        let pairs = self.bits.iter_mut().zip(&other.bits);
        pairs.for_each(|(own, more)| *own |= more);
    }

    pub(super) fn without(&self, other: &Self) -> Self {
        let pairs = self.bits.iter().zip(&other.bits);
        Self {
            words: self.words,
            bits: pairs.map(|(own, other)| own & !other).collect(),
        }
    }
}
