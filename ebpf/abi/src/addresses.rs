//! From an address to its leaf.
//!
//! IPv4 is a trie whose blocks have as many entries as pay: wide where addresses are dense, narrow where they are not. Addresses
//! of the block in which most stand begin there, not at the root: of a cluster's pods the first bits are no news. IPv6
//! addresses that stand alone, as those of pods do, are in a table that is found by a hash without collisions: two loads, found or
//! not. All others are in runs, which are searched.

use crate::{Config, Section, Tables, config, half, quarter};

/// In an entry of [`Section::V4`]: it leads to a block, see [`Block`]. Else it is a leaf.
pub const TO_BLOCK: u32 = 1 << 31;
/// Steps of the trie at most: a block has entries for 4 bits of the address at least, or for the last 2.
pub const V4_STEPS: u32 = 8;
/// Entries of the trie at most: what a [`Block`] has bits for.
pub const V4_ENTRIES: u32 = 1 << 26;
/// Steps of the search among runs of IPv6 addresses: there are at most `2^22`.
pub const V6_STEPS: u32 = 22;
/// Words of an entry of [`Section::V6Hosts`].
pub const HOST_WORDS: usize = 3;

/// Where an entry leads that is no leaf: the entry of an address is at `base + (address >> shift)`, modulo [`V4_ENTRIES`].
///
/// So `base` is the place of the block less what the addresses of the block have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// How many bits of an address are left for the blocks behind it.
    pub shift: u32,
    /// See above.
    pub base: u32,
}

impl Block {
    /// The block whose first entry has an index, and is that of an address.
    #[must_use]
    pub const fn at(index: u32, first: u32, shift: u32) -> Self {
        Self {
            shift,
            base: index.wrapping_sub(first >> shift) & (V4_ENTRIES - 1),
        }
    }

    /// The entry that leads to the block: 5 bits of the shift, 26 bits of the base.
    #[must_use]
    pub const fn entry(self) -> u32 {
        TO_BLOCK | (self.shift & 31) << 26 | self.base
    }

    /// Where an entry leads that has [`TO_BLOCK`].
    #[must_use]
    #[inline(always)]
    pub const fn of(entry: u32) -> Self {
        Self {
            shift: (entry >> 26) & 31,
            base: entry & (V4_ENTRIES - 1),
        }
    }

    /// The index of the entry of an address.
    #[must_use]
    #[inline(always)]
    pub const fn index(self, address: u32) -> u32 {
        self.base.wrapping_add(address >> self.shift) & (V4_ENTRIES - 1)
    }
}

/// The leaf of an IPv4 address.
#[inline(always)]
pub fn leaf_v4(tables: &impl Tables, address: u32) -> Option<u32> {
    let apart = u64::from(address ^ config(tables, Config::V4NearFirst)?);
    let begin = if apart >> (config(tables, Config::V4NearBits)? & 63) == 0 {
        Config::V4Near
    } else {
        Config::V4Root
    };
    let mut entry = config(tables, begin)?;
    let mut step = 0;
    while step < V4_STEPS && entry & TO_BLOCK != 0 {
        entry = half(tables, Section::V4, Block::of(entry).index(address))?;
        step += 1;
    }
    (entry & TO_BLOCK == 0).then_some(entry)
}

/// The leaf of an IPv6 address: its upper and its lower half.
#[inline(always)]
pub fn leaf_v6(tables: &impl Tables, upper: u64, lower: u64) -> Option<u32> {
    if let Some(leaf) = host(tables, upper, lower) {
        return Some(leaf);
    }
    let count = config(tables, Config::V6Runs)?;
    let run = last_from(tables, V6_STEPS, count, |index| {
        let [start_upper, start_lower] = tables.element(Section::V6Starts, index)?;
        Some((start_upper, start_lower) <= (upper, lower))
    });
    half(tables, Section::V6Leaves, run)
}

/// The leaf of an IPv6 address that stands alone.
#[inline(always)]
fn host(tables: &impl Tables, upper: u64, lower: u64) -> Option<u32> {
    let hash = hash(upper, lower);
    let group = group(hash, config(tables, Config::V6Groups)?);
    let displacement = quarter(tables, Section::V6Groups, group)?;
    let slot = slot(hash, displacement, config(tables, Config::V6Hosts)?);
    let [own_upper, own_lower, leaf] = tables.element(Section::V6Hosts, slot)?;
    let differs = own_upper ^ upper | own_lower ^ lower;
    // A place that is free has 0, and leaves are counted from 1.
    (differs == 0 && leaf != 0).then(|| leaf as u32 - 1)
}

/// The hash of an IPv6 address. Nobody has to find it hard to make addresses of one hash: whoever makes tables keeps out what has
/// no place of its own.
#[must_use]
#[inline(always)]
pub const fn hash(upper: u64, lower: u64) -> u64 {
    let sum = upper
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(lower.wrapping_mul(0xC2B2_AE3D_27D4_EB4F));
    (sum ^ sum >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

/// The group of a hash, of so many.
#[must_use]
#[inline(always)]
pub const fn group(hash: u64, groups: u32) -> u32 {
    (((hash >> 32) * groups as u64) >> 32) as u32
}

/// The place of a hash, of so many, with the displacement of its group.
#[must_use]
#[inline(always)]
pub const fn slot(hash: u64, displacement: u32, slots: u32) -> u32 {
    let moved = hash ^ (displacement as u64).wrapping_mul(0xA076_1D64_78BD_642F);
    let moved = moved.wrapping_mul(0xE703_7ED1_A0B4_28DB);
    (((moved >> 32) * slots as u64) >> 32) as u32
}

/// The last of a number of ascending entries, fewer than `2^steps`, that does not lie behind what is looked for; the
/// first where all do.
#[inline(always)]
pub(crate) fn last_from(
    tables: &impl Tables,
    steps: u32,
    count: u32,
    is_before: impl Fn(u32) -> Option<bool>,
) -> u32 {
    let mut first = tables.blur(0) as u32;
    let mut step = steps;
    while step > 0 {
        step -= 1;
        let probe = first + (1 << step);
        if probe < count && is_before(probe) == Some(true) {
            first = probe;
        }
    }
    first
}
