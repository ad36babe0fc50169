//! From what rules say of an identity to its rows.
//!
//! A row holds what all rules together say of a block of ports, those that speak of a wider one included. Since the
//! longest row that covers a packet is in exactly the blocks that cover it, that is what the packet gets.

use super::entry::{Block, Demand};
use super::order::precedence as weight;
use super::order::{DENIES, Order, PASSES, Stage};
use crate::hir::Auth;
use std::collections::{BTreeMap, BTreeSet};

/// What one rule says of one block of ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) stage: Stage,
    pub(super) number: u64,
    pub(super) does: u8,
    pub(super) auth: Option<Auth>,
}

impl Said {
    /// What comes first in a tier is the greatest.
    fn rank(&self) -> (std::cmp::Reverse<u64>, u8) {
        (std::cmp::Reverse(self.number), self.does)
    }

    /// Takes in what another rule says of the same, in the same tier.
    fn merge(&mut self, other: Self) {
        let is_allow = |does: u8| does != DENIES && does != PASSES;
        let both_allow = is_allow(self.does) && is_allow(other.does);
        let auth = match (
            self.number == other.number && both_allow,
            self.auth,
            other.auth,
        ) {
            (true, Some(one), Some(two)) => Some(one.max(two)),
            (true, one, two) => one.or(two),
            (false, one, two) => {
                if other.rank() > self.rank() {
                    two
                } else {
                    one
                }
            }
        };
        if other.rank() > self.rank() {
            *self = other;
        }
        self.auth = auth;
    }
}

/// What the rules say of an identity, by block: one of each tier.
#[derive(Clone, Debug, Default)]
pub(super) struct Sayings(BTreeMap<Block, Vec<Said>>);

impl Sayings {
    pub(super) fn add(&mut self, block: Block, said: Said) {
        let all = self.0.entry(block).or_default();
        match all.iter_mut().find(|own| own.stage == said.stage) {
            Some(own) => own.merge(said),
            None => all.push(said),
        }
    }

    /// What is said of a block, the narrowest first.
    fn covering(&self, block: Block) -> impl Iterator<Item = (Block, Said)> {
        block.wider().flat_map(move |wider| {
            let all = self.0.get(&wider).into_iter().flatten();
            all.map(move |said| (wider, *said))
        })
    }

    fn has_pass(&self) -> bool {
        self.0.values().flatten().any(|said| said.does == PASSES)
    }
}

/// What a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) precedence: u32,
    pub(super) auth: Demand,
}

impl Value {
    pub(super) fn does(self) -> u8 {
        self.precedence.to_le_bytes()[0]
    }
}

/// The rows of an identity.
pub(super) type Table = BTreeMap<Block, Value>;

fn longest(table: &Table, block: Block) -> Option<Value> {
    block.wider().find_map(|wider| table.get(&wider).copied())
}

/// What becomes of packets of which all this is said, in tiers one after the other: a pass leads to the next and lifts
/// what is said there to its own place. At equal places the narrowest counts, which comes first.
fn decide(said: &[(Block, Said)], order: &Order) -> Option<Value> {
    let mut lifted = 0;
    for stage in Stage::ALL {
        let of_stage = said.iter().map(|(_, said)| said);
        let of_stage = of_stage.filter(|said| said.stage == stage);
        let first = of_stage.reduce(|one, two| if two.rank() > one.rank() { two } else { one });
        let Some(first) = first else { continue };
        if first.does == PASSES {
            lifted += order.lift(stage, first.number);
            continue;
        }
        let number = first.number.saturating_sub(lifted);
        return Some(Value {
            precedence: weight(number, first.does),
            auth: demand(first),
        });
    }
    None
}

fn demand(said: &Said) -> Demand {
    let auth = said.auth.filter(|_| said.does != DENIES);
    auth.map_or(Demand::default(), Demand::explicit)
}

/// The rows of an identity, made of what is said of itself and of what it is taken together with.
pub(super) fn together(own: &Sayings, shared: Option<(&Sayings, &Table)>, order: &Order) -> Table {
    let passes = own.has_pass() || shared.is_some_and(|(shared, _)| shared.has_pass());
    let mut blocks: BTreeSet<Block> = own.0.keys().copied().collect();
    if passes && let Some((shared, _)) = shared {
        blocks.extend(shared.0.keys());
    }
    let mut rows = Table::new();
    // A wider block comes first.
    for block in blocks {
        let mut said: Vec<(Block, Said)> = own.covering(block).collect();
        said.extend(
            shared
                .into_iter()
                .flat_map(|(shared, _)| shared.covering(block)),
        );
        said.sort_by_key(|(block, _)| std::cmp::Reverse(block.length));
        let Some(value) = decide(&said, order) else {
            continue;
        };
        let without = longest(&rows, block);
        let of_all = shared.and_then(|(_, table)| longest(table, block));
        let without = without.into_iter().chain(of_all);
        // At equal precedence the longer row counts, which is that of the identity itself only by chance.
        let without = without.reduce(|one, two| {
            if two.precedence > one.precedence {
                two
            } else {
                one
            }
        });
        let is_same = without.is_some_and(|without| {
            without.precedence == value.precedence
                && (without.auth == value.auth || !value.auth.is_explicit())
        });
        if !is_same {
            rows.insert(block, value);
        }
    }
    rows
}

/// The rows of an identity where rules demand proofs: a row without a demand of its own takes over that of the
/// narrowest wider one, and one with such a demand stays behind a wider row that comes first, with the precedence of
/// that.
pub(super) fn with_demands(own: &Sayings, shared: Option<&Table>, order: &Order) -> Table {
    let mut rows = Table::new();
    for block in own.0.keys().copied() {
        let said: Vec<(Block, Said)> = own.covering(block).collect();
        let Some(most) = decide(&said, order) else {
            continue;
        };
        let of_block: Vec<(Block, Said)> = said
            .iter()
            .copied()
            .filter(|(covering, _)| *covering == block)
            .collect();
        let Some(itself) = decide(&of_block, order) else {
            continue;
        };
        let is_denied = most.does() == DENIES;
        let value = if is_denied {
            most
        } else if itself.auth.is_explicit() {
            Value {
                auth: itself.auth,
                ..most
            }
        } else {
            let wider = said.iter().filter(|(_, said)| said.does != DENIES);
            let demands = wider.filter_map(|(_, said)| said.auth).next();
            Value {
                auth: demands.map_or(Demand::default(), |auth| Demand::explicit(auth).derived()),
                ..most
            }
        };
        let comes_second = itself.precedence < most.precedence;
        let is_needless = comes_second && (is_denied || !itself.auth.is_explicit())
            || shared.and_then(|table| table.get(&block)) == Some(&value);
        if !is_needless {
            rows.insert(block, value);
        }
    }
    rows
}
