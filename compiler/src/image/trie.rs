//! The trie of IPv4 addresses: [`Section::V4`](verdict_abi::Section::V4).
//!
//! Input: runs of addresses, each with its leaf. Output: the entries, and where most lookups may begin. How many bits each block looks at is chosen so that bytes
//! and steps together are fewest, by what is best for the blocks below it. Blocks of the same leaves stand once.

use crate::lir::{LeafId, number};
use rustc_hash::FxHashMap;
use verdict_abi::{Block, TO_BLOCK};

/// What a step is worth for each change of leaves that lies behind it, in bytes.
const STEP: u64 = 24;
/// A block looks at so many pairs of bits at most.
const WIDEST: usize = 8;
/// Where the first block begins, so that blocks are in whole cache lines.
const BEGIN: usize = 16;

type Runs<'r> = &'r [(u32, LeafId)];

/// Addresses that have their first bits in common.
#[derive(Clone, Copy)]
struct Region<'r> {
    first: u32,
    /// How many bits they do not have in common.
    bits: u32,
    /// The leaf of the first.
    leaf: LeafId,
    /// The runs that begin behind it.
    inside: Runs<'r>,
}

impl<'r> Region<'r> {
    /// Its parts, when `width` further bits are looked at.
    fn parts(self, width: u32) -> impl Iterator<Item = Self> {
        let bits = self.bits - width;
        let mut rest = self.inside;
        let mut leaf = self.leaf;
        (0..1_u32 << width).map(move |part| {
            let first = self.first | part.checked_shl(bits).unwrap_or_default();
            let last = first | (1_u64 << bits).saturating_sub(1) as u32;
            let before = rest.partition_point(|(start, _)| *start <= first);
            if let Some((_, last_before)) = before.checked_sub(1).and_then(|at| rest.get(at)) {
                leaf = *last_before;
            }
            rest = rest.get(before..).unwrap_or_default();
            let count = rest.partition_point(|(start, _)| *start <= last);
            let (inside, behind) = rest.split_at_checked(count).unwrap_or_default();
            let part = Self {
                first,
                bits,
                leaf,
                inside,
            };
            if let Some((_, last)) = inside.last() {
                leaf = *last;
            }
            rest = behind;
            part
        })
    }
}

/// By first address and bits of a region, how many pairs of bits its block looks at.
type Widths = FxHashMap<(u32, u32), u32>;

/// What the regions so many pairs of bits further down cost together.
type Below = [u64; WIDEST + 1];

/// Chooses the width of the block of a region that has changes inside, and of all below it.
fn choose(region: Region<'_>, widths: &mut Widths) -> Below {
    let mut below: Below = [0; WIDEST + 1];
    if region.bits > 2 {
        for part in region.parts(2).filter(|part| !part.inside.is_empty()) {
            let of_part = choose(part, widths);
            let shifted = below.iter_mut().skip(1).zip(of_part);
            shifted.for_each(|(sum, cost)| *sum += cost);
        }
    }
    let steps = STEP * region.inside.len() as u64;
    let options = (1..).zip(below.iter().skip(1));
    let options = options.filter(|(pairs, _)| {
        let bits = pairs * 2;
        bits <= region.bits && (bits >= 4 || bits == region.bits)
    });
    let cost = |(pairs, below): (u32, &u64)| ((4 << (pairs * 2)) + below + steps, pairs);
    let (cost, pairs) = options.map(cost).min().unwrap_or((0, 1));
    widths.insert((region.first, region.bits), pairs);
    if let Some(own) = below.first_mut() {
        *own = cost;
    }
    below
}

/// The trie.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    /// The entries, the first of which leads to the root.
    pub(super) entries: Vec<u32>,
    pub(super) near: Near,
}

/// Where lookups begin of addresses that have their first bits in common, as most of those have that are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Near {
    /// The entry to which the root leads all of them.
    pub(super) entry: u32,
    pub(super) first: u32,
    /// How many bits they do not have in common.
    pub(super) bits: u32,
}

impl Trie {
    pub(super) fn of(runs: Runs<'_>) -> Self {
        let (leaf, inside) = match runs {
            [(0, leaf), inside @ ..] => (*leaf, inside),
            _ => (LeafId(0), runs),
        };
        let all = Region {
            first: 0,
            bits: 32,
            leaf,
            inside,
        };
        let mut writer = Writer {
            widths: Widths::default(),
            entries: vec![0; BEGIN],
            known: FxHashMap::default(),
        };
        if !inside.is_empty() {
            choose(all, &mut writer.widths);
        }
        let root = writer.entry(all);
        if let Some(first) = writer.entries.first_mut() {
            *first = root;
        }
        Self {
            near: near(all, root, &writer.entries),
            entries: writer.entries,
        }
    }
}

/// The smallest block of the trie in which nearly all changes of leaves lie.
fn near(all: Region<'_>, root: u32, entries: &[u32]) -> Near {
    let (mut region, mut entry) = (all, root);
    while entry & TO_BLOCK != 0 {
        let block = Block::of(entry);
        let parts = region.parts(region.bits - block.shift);
        let Some(fullest) = parts.max_by_key(|part| part.inside.len()) else {
            break;
        };
        let below = entries.get(block.index(fullest.first) as usize);
        match below {
            Some(below) if below & TO_BLOCK != 0 && holds_most(fullest, all) => {
                (region, entry) = (fullest, *below);
            }
            _ => break,
        }
    }
    Near {
        entry,
        first: region.first,
        bits: region.bits,
    }
}

/// Whether seven eighths of all changes are in a region.
fn holds_most(region: Region<'_>, all: Region<'_>) -> bool {
    region.inside.len() >= all.inside.len() - all.inside.len() / 8
}

struct Writer {
    widths: Widths,
    entries: Vec<u32>,
    /// Blocks of leaves alone, and where they stand.
    known: FxHashMap<Vec<u32>, u32>,
}

impl Writer {
    /// The entry of a region: its leaf, or where its block is, which is written.
    fn entry(&mut self, region: Region<'_>) -> u32 {
        if region.inside.is_empty() {
            return region.leaf.0;
        }
        let pairs = self.widths.get(&(region.first, region.bits));
        let width = pairs.map_or(2, |pairs| pairs * 2);
        let parts = region.parts(width);
        let block: Vec<u32> = parts.map(|part| self.entry(part)).collect();
        let is_shared = block.iter().all(|entry| entry & TO_BLOCK == 0);
        let known = self.known.get(&block).filter(|_| is_shared);
        let index = match known {
            Some(index) => *index,
            None => {
                let index = number(self.entries.len());
                self.entries.extend(&block);
                if is_shared {
                    self.known.insert(block, index);
                }
                index
            }
        };
        Block::at(index, region.first, region.bits - width).entry()
    }
}
