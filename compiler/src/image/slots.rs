//! Numbers of things that stay as they are where others come and go.
//!
//! A number hangs on what the thing is and not on what comes before it: each has a home that its digest says, and takes the first
//! free number from there on. So a new thing moves those next to it at most, and the sections of an image that name others by
//! their numbers stay the same but there. A third of the numbers at least are nothing's.

use crate::hash::{Told, digest_by};
use crate::lir::number;
use rayon::prelude::*;
use std::hash::Hash;

/// Below so many things no number is left out.
const FEW: usize = 64;

/// The numbers of some things, which are given by their places in a list.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// By place.
    numbers: Vec<u32>,
    /// By number: the place.
    places: Vec<Option<u32>>,
}

impl Slots {
    /// Numbers things, each of which is there once, whatever their order. What makes them differ is what `Hash` tells of them.
    pub(super) fn of(things: impl IndexedParallelIterator<Item: Hash>) -> Self {
        let found = things
            .enumerate()
            .map_init(Told::default, |told, (place, thing)| {
                (digest_by(told, &thing), number(place))
            });
        let mut found: Vec<([u8; 32], u32)> = found.collect();
        found.sort_unstable_by_key(|(digest, _)| *digest);
        let homes = if found.len() < FEW {
            0
        } else {
            (found.len() + found.len() / 2).next_power_of_two().ilog2()
        };
        let mut places: Vec<Option<u32>> = Vec::new();
        let mut numbers = vec![u32::MAX; found.len()];
        for (digest, place) in found {
            let [first, second, third, fourth, ..] = digest;
            let upper = u32::from_be_bytes([first, second, third, fourth]);
            let home = u64::from(upper) << homes >> u32::BITS;
            places.resize(places.len().max(home as usize), None);
            if let Some(slot) = numbers.get_mut(place as usize) {
                *slot = number(places.len());
            }
            places.push(Some(place));
        }
        Self { numbers, places }
    }

    /// The number of the thing at a place.
    pub(super) fn number(&self, place: u32) -> u32 {
        self.numbers
            .get(place as usize)
            .copied()
            .unwrap_or(u32::MAX)
    }

    /// By number: what some make of the things, and `none` where there is no thing.
    pub(super) fn made<K, T>(
        &self,
        things: &[K],
        make: impl Fn(&K) -> T,
        none: impl Fn() -> T,
    ) -> Vec<T> {
        let places = self.places.iter();
        let things = places.map(|place| things.get((*place)? as usize));
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
        let things: Vec<u32> = (0..5_000).collect();
        let more: Vec<u32> = (0..5_000).chain([7_777]).rev().collect();
        let (before, after) = (Slots::of(things.par_iter()), Slots::of(more.par_iter()));
        let numbers = |of: &Slots, things: &[u32]| of.made(things, |own| Some(*own), || None);
        let moved = (0..5_000).filter(|thing| before.number(*thing) != after.number(5_000 - thing));
        let moved = moved.count();
        assert!(moved < 40, "{moved} are moved");
        assert!(before.places.len() < 10_000, "{}", before.places.len());
        let found: FxHashSet<u32> = (0..5_000).map(|thing| before.number(thing)).collect();
        assert_eq!(found.len(), 5_000);
        for (number, thing) in numbers(&before, &things).into_iter().zip(0..) {
            assert!(number.is_none_or(|own| before.number(own) == thing));
        }
    }

    #[test]
    fn few_things_have_no_gaps() {
        let things: Vec<u32> = (0..60).collect();
        assert_eq!(Slots::of(things.par_iter()).places.len(), 60);
        assert_eq!(Slots::of([0; 0].par_iter()).places.len(), 0);
    }
}
