//! Numbers of things that stay as they are where others come and go.
//!
//! A number hangs on what the thing is and not on what comes before it: each has a home that its digest says, and takes the first
//! free number from there on. So a new thing moves those next to it at most, and the sections of an image that name others by
//! their numbers stay the same but there. A third of the numbers at least are nothing's.

use crate::hash::digest;
use crate::lir::number;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::hash::Hash;

/// Below so many things no number is left out.
const FEW: usize = 64;

/// Things with their numbers.
#[derive(Debug)]
pub(super) struct Slots<K> {
    numbers: FxHashMap<K, u32>,
    /// By number.
    things: Vec<Option<K>>,
}

impl<K: Copy + Eq + Hash + Send> Slots<K> {
    /// Numbers things, equal ones once, whatever their order. What makes them differ is what `Hash` tells of them.
    pub(super) fn of(things: impl Iterator<Item = K>) -> Self {
        let mut numbers: FxHashMap<K, u32> = things.map(|thing| (thing, 0)).collect();
        let found = numbers.iter_mut().zip(0..);
        let found = found.map(|((thing, place), index)| {
            *place = index;
            (index, *thing)
        });
        let found: Vec<(u32, K)> = found.collect();
        let mut found: Vec<([u8; 32], u32, K)> = found
            .into_par_iter()
            .map(|(index, thing)| (digest(&thing), index, thing))
            .collect();
        found.sort_unstable_by_key(|(digest, ..)| *digest);
        let homes = if found.len() < FEW {
            0
        } else {
            (found.len() + found.len() / 2).next_power_of_two().ilog2()
        };
        let mut things: Vec<Option<K>> = Vec::new();
        let mut of_found = vec![0; found.len()];
        for (digest, index, thing) in found {
            let [first, second, third, fourth, ..] = digest;
            let upper = u32::from_be_bytes([first, second, third, fourth]);
            let home = u64::from(upper) << homes >> u32::BITS;
            things.resize(things.len().max(home as usize), None);
            if let Some(slot) = of_found.get_mut(index as usize) {
                *slot = number(things.len());
            }
            things.push(Some(thing));
        }
        for place in numbers.values_mut() {
            *place = of_found.get(*place as usize).copied().unwrap_or(u32::MAX);
        }
        Self { numbers, things }
    }

    /// The number of a thing that is there.
    pub(super) fn number(&self, thing: K) -> u32 {
        self.numbers.get(&thing).copied().unwrap_or(u32::MAX)
    }

    /// By number: what some make of the things, and `T::default` where there is none.
    pub(super) fn made<T>(&self, make: impl Fn(K) -> T, none: impl Fn() -> T) -> Vec<T> {
        let things = self.things.iter();
        things
            .map(|thing| thing.map_or_else(&none, &make))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustc_hash::FxHashSet;

    #[test]
    fn a_new_thing_moves_few_others() {
        let before = Slots::of(0..5_000);
        let after = Slots::of((0..5_000).chain([7_777]).rev());
        let moved = (0..5_000).filter(|thing| before.number(*thing) != after.number(*thing));
        let moved = moved.count();
        assert!(moved < 40, "{moved} are moved");
        assert!(before.things.len() < 10_000, "{}", before.things.len());
        let numbers: FxHashSet<u32> = (0..5_000).map(|thing| before.number(thing)).collect();
        assert_eq!(numbers.len(), 5_000);
        for (number, thing) in before.made(Some, || None).into_iter().zip(0..) {
            assert!(number.is_none_or(|own| before.number(own) == thing));
        }
    }

    #[test]
    fn few_things_have_no_gaps() {
        assert_eq!(Slots::of(0..60).things.len(), 60);
        assert_eq!(Slots::<u32>::of([].into_iter()).things.len(), 0);
    }
}
