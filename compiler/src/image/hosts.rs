//! The IPv6 addresses that stand alone, as those of pods do: a table without collisions.
//!
//! Input: runs of addresses. Output: a place for each address of short runs ([`Section::V6Hosts`](verdict_abi::Section::V6Hosts)),
//! and the runs that are left. Addresses fall into groups by their hash; each group is given the first displacement that moves all
//! its addresses to places that are free, larger groups first. Whatever finds no place stays in its run, so there is a table for
//! any addresses, those among them that somebody chose by their hashes: groups that can find none are not tried. Hangs on nothing
//! but the addresses.

use crate::lir::{LeafId, number};
use verdict_abi::{HOST_WORDS, group, hash, slot};

/// A run of more addresses is no matter of single ones: as words, it is smaller than they.
const LONGEST: u128 = 8;
/// Addresses of a group on average.
const OF_GROUP: usize = 3;
/// A larger group is none of chance: it is not tried.
const LARGEST: usize = 16;
/// Displacements have 16 bits.
const DISPLACEMENTS: u32 = 1 << 16;

/// The table, and what is left.
pub(super) struct Hosts {
    /// The displacement of each group.
    pub(super) groups: Vec<u32>,
    /// The places.
    pub(super) slots: Vec<[u64; HOST_WORDS]>,
    /// The runs with what is in no place. Those of equal leaves are one.
    pub(super) runs: Vec<(u128, LeafId)>,
}

impl Hosts {
    pub(super) fn of(runs: &[(u128, LeafId)]) -> Self {
        let ends = runs.iter().skip(1).map(|(start, _)| *start).chain([0]);
        // The last run ends behind the last address.
        let lengths: Vec<u128> = runs
            .iter()
            .zip(ends)
            .map(|((start, _), end)| end.wrapping_sub(*start))
            .collect();
        let short = |length: u128| (1..=LONGEST).contains(&length);
        let singles = runs
            .iter()
            .zip(&lengths)
            .filter(|(_, length)| short(**length))
            .flat_map(|((start, leaf), length)| {
                (0..*length).map(move |at| (start.wrapping_add(at), *leaf))
            });
        let singles: Vec<(u128, LeafId)> = singles.collect();
        let (groups, slots) = places(&singles);
        let mut table = Self {
            groups,
            slots,
            runs: Vec::new(),
        };
        for ((start, leaf), length) in runs.iter().zip(lengths) {
            let has_place = |at| table.has(start.wrapping_add(at));
            let is_placed = short(length) && *start != 0 && (0..length).all(has_place);
            let is_same = table.runs.last().is_some_and(|(_, last)| last == leaf);
            if !is_placed && !is_same {
                table.runs.push((*start, *leaf));
            }
        }
        table
    }

    fn has(&self, address: u128) -> bool {
        let [upper, lower] = super::encode::halves(address);
        let hash = hash(upper, lower);
        let displacement = self
            .groups
            .get(group(hash, number(self.groups.len())) as usize);
        let slot = slot(hash, *displacement.unwrap_or(&0), number(self.slots.len()));
        let found = self.slots.get(slot as usize);
        found.is_some_and(|[a, b, leaf]| (*a, *b) == (upper, lower) && *leaf != 0)
    }
}

/// The displacement of each group, and the places.
fn places(singles: &[(u128, LeafId)]) -> (Vec<u32>, Vec<[u64; HOST_WORDS]>) {
    if singles.is_empty() {
        return (Vec::new(), Vec::new());
    }
    // A quarter of all places is free, or a little more: the last groups find one of them soon.
    let slots = round(singles.len() + singles.len() / 4);
    // Whole words of displacements, so that their number follows from them.
    let groups = round(singles.len() / OF_GROUP).next_multiple_of(4);
    let mut members: Vec<Vec<(u64, usize)>> = vec![Vec::new(); groups];
    for (index, (address, _)) in singles.iter().enumerate() {
        let [upper, lower] = super::encode::halves(*address);
        let hash = hash(upper, lower);
        if let Some(members) = members.get_mut(group(hash, number(groups)) as usize) {
            members.push((hash, index));
        }
    }
    let mut order: Vec<usize> = (0..groups).collect();
    order.sort_by_key(|group| std::cmp::Reverse(members.get(*group).map_or(0, Vec::len)));
    let mut displacements = vec![0; groups];
    let mut table = vec![[0; HOST_WORDS]; slots];
    for group in order {
        let (Some(members), Some(own)) = (members.get(group), displacements.get_mut(group)) else {
            continue;
        };
        let Some((displacement, places)) = fit(members, &table) else {
            continue;
        };
        *own = displacement;
        for (place, (_, index)) in places.into_iter().zip(members) {
            if let (Some(slot), Some((address, leaf))) = (table.get_mut(place), singles.get(*index))
            {
                let [upper, lower] = super::encode::halves(*address);
                *slot = [upper, lower, u64::from(leaf.0) + 1];
            }
        }
    }
    (displacements, table)
}

/// Whether a group may find places: it is small, and no two of its addresses have one hash, which no displacement tells apart.
fn may_fit(members: &[(u64, usize)]) -> bool {
    let mut hashes = members.iter().map(|(hash, _)| hash);
    members.len() <= LARGEST
        && !hashes.any(|hash| members.iter().filter(|(other, _)| other == hash).count() > 1)
}

/// The first displacement that moves a group to places that are free, and these.
fn fit(members: &[(u64, usize)], table: &[[u64; HOST_WORDS]]) -> Option<(u32, Vec<usize>)> {
    if !may_fit(members) {
        return None;
    }
    let mut places: Vec<usize> = Vec::with_capacity(members.len());
    'next: for displacement in 0..DISPLACEMENTS {
        places.clear();
        for (hash, _) in members {
            let place = slot(*hash, displacement, number(table.len())) as usize;
            let is_free = table.get(place).is_some_and(|[_, _, leaf]| *leaf == 0);
            if !is_free || places.contains(&place) {
                continue 'next;
            }
            places.push(place);
        }
        return Some((displacement, places));
    }
    None
}

/// The next of the numbers that are 8 to 15 times a power of two: a few addresses more or less leave the size of a table as it is,
/// and so most of its places.
fn round(count: usize) -> usize {
    let unit = 1 << count.max(8).ilog2().saturating_sub(3);
    count.next_multiple_of(unit)
}
