//! The place of every rule of a direction in one order, as a number of 32 bits: its precedence.
//!
//! Transcribed from `pkg/policy` of Cilium 1.20 (`rules.go`, `types/entry.go`, `mapstate.go`): the distinct priorities of
//! all tiers get numbers one behind the other, with gaps behind those that hold a pass, into which the rules of the
//! tiers behind are lifted that the pass leads to. In 1.19 every rule has the number 0.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The tiers of Cilium, with that of the rules that it adds itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Stage {
    Admin,
    Normal,
    Baseline,
    /// What holds where no rule decides.
    Default,
}

impl Stage {
    pub(super) const ALL: [Self; 4] = [Self::Admin, Self::Normal, Self::Baseline, Self::Default];
}

impl From<crate::hir::Tier> for Stage {
    fn from(tier: crate::hir::Tier) -> Self {
        match tier {
            crate::hir::Tier::Admin => Self::Admin,
            crate::hir::Tier::Namespace => Self::Normal,
            crate::hir::Tier::Baseline => Self::Baseline,
        }
    }
}

/// A rule as the order sees it: its tier, its rank in it, and whether it passes.
pub(super) type Placed = (Stage, u32, bool);

/// The lowest 8 bits of a precedence: what an entry does.
pub(super) const PASSES: u8 = 0;
pub(super) const ALLOWS: u8 = 1;
pub(super) const DENIES: u8 = u8::MAX;

/// The highest number.
const MAX_NUMBER: u64 = (1 << 24) - 1;

/// The rules of one direction of an endpoint have more priorities than there are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelsError {
    /// How many numbers are needed.
    pub needed: u64,
}

impl fmt::Display for LevelsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needed = self.needed;
        write!(
            f,
            "the priorities of its rules need {needed} levels, and Cilium has {}",
            MAX_NUMBER + 1
        )
    }
}

/// The numbers of the rules of a direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    numbers: BTreeMap<(Stage, u32), u64>,
    /// The first number of each tier.
    base: BTreeMap<Stage, u64>,
    /// Whether there are tiers at all.
    is_flat: bool,
}

impl Order {
    /// The order of some rules. `is_flat` where all are in one place.
    pub(super) fn new(
        rules: impl IntoIterator<Item = Placed>,
        is_flat: bool,
    ) -> Result<Self, LevelsError> {
        let mut levels: BTreeMap<Stage, BTreeMap<u32, bool>> = BTreeMap::new();
        for (stage, rank, passes) in rules {
            *levels.entry(stage).or_default().entry(rank).or_default() |= passes;
        }
        let mut order = Self {
            is_flat,
            ..Self::default()
        };
        if is_flat {
            return Ok(order);
        }
        let mut lengths: BTreeMap<Stage, u64> = BTreeMap::new();
        let mut behind = 0;
        for stage in Stage::ALL.into_iter().rev() {
            let of_stage = levels.get(&stage);
            let count = of_stage.map_or(0, |levels| levels.len() as u64);
            let passing = of_stage.map_or(0, |levels| {
                levels.values().filter(|passes| **passes).count() as u64
            });
            behind = tens(tens(count) + (passing + 1) * behind);
            lengths.insert(stage, behind);
        }
        if behind > MAX_NUMBER {
            return Err(LevelsError { needed: behind });
        }
        let length = |stage: Stage| lengths.get(&stage).copied().unwrap_or(0);
        let mut base = 0;
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            let next = Stage::ALL.get(index + 1);
            let behind = next.map_or(0, |next| length(*next));
            order.base.insert(stage, base);
            let mut number = base;
            for (rank, passes) in levels.get(&stage).into_iter().flatten() {
                order.numbers.insert((stage, *rank), number);
                number += if *passes { behind + 1 } else { 1 };
            }
            base += length(stage) - behind;
        }
        Ok(order)
    }

    /// The number of a rule.
    pub(super) fn number(&self, stage: Stage, rank: u32) -> u64 {
        self.numbers.get(&(stage, rank)).copied().unwrap_or(0)
    }

    /// How far a pass with a number lifts what stands in the tiers behind its own.
    pub(super) fn lift(&self, stage: Stage, number: u64) -> u64 {
        let next = Stage::ALL.into_iter().find(|next| *next > stage);
        let base = next.and_then(|next| self.base.get(&next));
        let last_before = base.map_or(0, |base| base.saturating_sub(1));
        last_before.saturating_sub(number)
    }

    /// Whether rules have tiers and ranks.
    pub(super) fn is_flat(&self) -> bool {
        self.is_flat
    }
}

/// The next multiple of ten.
fn tens(number: u64) -> u64 {
    number.div_ceil(10) * 10
}

/// The precedence of an entry by the number of its rule, of which the lowest comes first, and what it does: 255 denies, 1
/// allows, and what is between leads to a proxy by 255 less the priority of its listener.
#[must_use]
pub fn precedence(number: u64, does: u8) -> u32 {
    let number = MAX_NUMBER.saturating_sub(number);
    u32::try_from(number << 8).unwrap_or(u32::MAX) | u32::from(does)
}

/// The ranks of the rules that Cilium adds: the first comes first.
pub(super) fn added() -> impl Iterator<Item = u32> {
    0..
}

/// Whether some rules pass.
pub(super) fn pass(rules: &BTreeSet<Placed>) -> bool {
    rules.iter().any(|(_, _, passes)| *passes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_leave_gaps_behind_a_pass() {
        let one = |stage| (stage, 0, false);
        let order = Order::new([one(Stage::Normal), one(Stage::Default)], false).unwrap();
        assert_eq!(order.number(Stage::Normal, 0), 0);
        assert_eq!(order.number(Stage::Default, 0), 10);
        assert_eq!(precedence(10, ALLOWS), 0xFFFF_F501);
        let rules = [
            (Stage::Admin, 7, true),
            one(Stage::Normal),
            one(Stage::Default),
        ];
        let order = Order::new(rules, false).unwrap();
        assert_eq!(order.number(Stage::Normal, 0), 30);
        assert_eq!(order.number(Stage::Default, 0), 40);
        let lift = order.lift(Stage::Admin, 0);
        assert_eq!(30 - lift, 1);
        assert_eq!(40 - lift, 11);
    }

    #[test]
    fn constants_are_those_of_cilium() {
        assert_eq!(precedence(0, ALLOWS), 0xFFFF_FF01);
        assert_eq!(precedence(0, DENIES), u32::MAX);
        assert_eq!(precedence(0, u8::MAX - 101), 0xFFFF_FF9A);
    }

    #[test]
    fn more_levels_than_there_are_numbers_are_an_error() {
        let ranks = 0..4_000u32;
        let rules = ranks.map(|rank| (Stage::Admin, rank, true));
        let behind = (0..50_000u32).map(|rank| (Stage::Baseline, rank, false));
        assert!(Order::new(rules.chain(behind), false).is_err());
    }
}
