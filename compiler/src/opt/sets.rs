//! `intern-sets`: equal sets become one, and sets that no rule names are dropped.
//!
//! Equation: a rule with a set `a` decides as with a set `b` where `a = b`. Proof: [`Program::decide`] asks of a set
//! only what its members are.

use crate::lir::{Chain, PortsId, Program, RemotesId, number};
use crate::ranges::Ranges;
use rustc_hash::FxHashMap;
use std::hash::Hash;

pub(super) fn run(program: &mut Program) {
    let mut remotes = Interner::new(std::mem::take(&mut program.remotes));
    let mut ports = Interner::new(std::mem::take(&mut program.ports));
    for chain in &mut program.chains {
        let Chain::Rules(chain) = chain else { continue };
        for rule in chain.lists_mut().flatten() {
            for id in [&mut rule.remotes.yes, &mut rule.remotes.maybe] {
                *id = RemotesId(remotes.new_id(id.0));
            }
            for id in [&mut rule.ports.yes, &mut rule.ports.maybe] {
                *id = PortsId(ports.new_id(id.0));
            }
        }
    }
    program.remotes = remotes.kept;
    program.ports = ports.kept;
}

/// Gives equal sets one number, in the order in which they are first asked for.
struct Interner {
    given: Vec<Ranges<u32>>,
    /// By number in `given`: the new one.
    new: Vec<Option<u32>>,
    known: FxHashMap<Ranges<u32>, u32>,
    kept: Vec<Ranges<u32>>,
}

impl Interner {
    fn new(given: Vec<Ranges<u32>>) -> Self {
        Self {
            new: vec![None; given.len()],
            given,
            known: FxHashMap::default(),
            kept: Vec::new(),
        }
    }

    fn new_id(&mut self, old: u32) -> u32 {
        let slot = self.new.get_mut(old as usize);
        let Some((slot, set)) = slot.zip(self.given.get(old as usize)) else {
            return intern(&mut self.known, &mut self.kept, Ranges::default());
        };
        let (known, kept) = (&mut self.known, &mut self.kept);
        *slot.get_or_insert_with(|| intern(known, kept, set.clone()))
    }
}

/// The number of a thing: the one that it has, or the next.
pub(super) fn intern<T: Clone + Eq + Hash>(
    known: &mut FxHashMap<T, u32>,
    kept: &mut Vec<T>,
    thing: T,
) -> u32 {
    *known.entry(thing).or_insert_with_key(|thing| {
        kept.push(thing.clone());
        number(kept.len() - 1)
    })
}
