//! Who has which address, as an image has it: what decoding checks of it, and all of it in order.

use super::Image;
use super::decode::Decoded;
use rustc_hash::FxHashSet;
use std::ops::ControlFlow;
use verdict_abi::{
    Block, Config, HOST_WORDS, Section, TO_BLOCK, Tables as _, V4_STEPS, V6_STEPS, half, leaf_v6,
};

/// A block, and the addresses that lead to it.
#[derive(Clone, Copy)]
struct Place {
    block: Block,
    first: u32,
    /// How many bits of the addresses are left.
    bits: u32,
}

impl Place {
    /// The entries: the index, and the first address of each.
    fn entries(self) -> impl Iterator<Item = (u32, u32)> {
        let Self { block, first, bits } = self;
        let parts = 1_u64 << (bits - block.shift);
        (0..parts).map(move |part| {
            let first = first | (part << block.shift) as u32;
            (block.index(first), first)
        })
    }
}

impl Image<'_> {
    /// The sections that say which leaf an address has.
    pub(super) fn check_addresses(&self) -> Decoded<()> {
        self.check_v4()?;
        self.check_near()?;
        self.check_hosts()?;
        self.check_runs()?;
        self.halves(Section::V6Leaves, Config::V6Runs, Config::Leaves)
    }

    /// Every entry that can be reached is a leaf, or leads to a block that is there and looks at fewer bits. Blocks that lead
    /// further are reached once, and no two blocks overlap, so that each entry is looked at once.
    fn check_v4(&self) -> Decoded<()> {
        let root = half(self, Section::V4, 0).unwrap_or(TO_BLOCK);
        let is_root = Some(root) == verdict_abi::config(self, Config::V4Root);
        self.ensure(
            is_root,
            Section::V4,
            0,
            "is not the root of the configuration",
        )?;
        let mut left = vec![(0, root, 0, 32, V4_STEPS)];
        // Where blocks begin, and how many bits they look at; those that lead further.
        let mut leaves_alone: FxHashSet<(u32, u32)> = FxHashSet::default();
        let mut leading: FxHashSet<u32> = FxHashSet::default();
        // Of blocks that do not overlap there are no more entries than these.
        let mut entries_left = u64::from(self.count(Config::V4Entries));
        while let Some((at, entry, first, bits, steps)) = left.pop() {
            let ensure = |holds, why| self.ensure(holds, Section::V4, at as usize, why);
            if entry & TO_BLOCK == 0 {
                ensure(entry < self.count(Config::Leaves), "is no leaf")?;
                continue;
            }
            ensure(steps > 0, "leads below the last step")?;
            let block = Block::of(entry);
            ensure(block.shift < bits, "looks at no bits")?;
            let place = Place { block, first, bits };
            let begin = block.index(first);
            let parts = 1_u64 << (bits - block.shift);
            let is_there = u64::from(begin) + parts <= u64::from(self.count(Config::V4Entries));
            ensure(is_there, "is no block")?;
            if !leaves_alone.insert((begin, bits - block.shift)) {
                continue;
            }
            let others = entries_left.checked_sub(parts);
            ensure(others.is_some(), "leads to a block that overlaps others")?;
            entries_left = others.unwrap_or_default();
            let found = left.len();
            for (index, first) in place.entries() {
                let entry = half(self, Section::V4, index).unwrap_or(TO_BLOCK);
                if entry & TO_BLOCK != 0 {
                    left.push((index, entry, first, block.shift, steps - 1));
                } else {
                    let known = entry < self.count(Config::Leaves);
                    self.ensure(known, Section::V4, index as usize, "is no leaf")?;
                }
            }
            if left.len() > found {
                leaves_alone.remove(&(begin, bits - block.shift));
                ensure(
                    leading.insert(begin),
                    "leads to a block that others lead to",
                )?;
            }
        }
        Ok(())
    }

    /// Where most lookups begin is where the root leads their addresses.
    fn check_near(&self) -> Decoded<()> {
        let [first, bits] = [Config::V4NearFirst, Config::V4NearBits].map(|of| self.count(of));
        let mut entry = self.count(Config::V4Root);
        let mut left = 32;
        // The root was looked at: every block leads to fewer bits.
        while left > bits && entry & TO_BLOCK != 0 {
            let block = Block::of(entry);
            entry = half(self, Section::V4, block.index(first)).unwrap_or(TO_BLOCK);
            left = block.shift;
        }
        let is_first = u64::from(first).trailing_zeros() >= bits;
        let leads_there = left == bits && is_first && entry == self.count(Config::V4Near);
        let field = Config::V4Near as usize;
        self.ensure(
            leads_there,
            Section::Config,
            field,
            "is not where the root leads",
        )
    }

    /// Every address that stands alone is found.
    fn check_hosts(&self) -> Decoded<()> {
        for slot in 0..self.count(Config::V6Hosts) {
            let host: Option<[u64; HOST_WORDS]> = self.element(Section::V6Hosts, slot);
            let Some([upper, lower, leaf]) = host else {
                continue;
            };
            let ensure = |holds, why| self.ensure(holds, Section::V6Hosts, slot as usize, why);
            if leaf == 0 {
                ensure(upper == 0 && lower == 0, "is no place that is free")?;
                continue;
            }
            ensure(leaf <= self.count(Config::Leaves).into(), "has no leaf")?;
            let hash = verdict_abi::hash(upper, lower);
            let group = verdict_abi::group(hash, self.count(Config::V6Groups));
            let displacement = verdict_abi::quarter(self, Section::V6Groups, group);
            let slots = self.count(Config::V6Hosts);
            let own = displacement.map(|moved| verdict_abi::slot(hash, moved, slots));
            ensure(own == Some(slot), "is not where it is looked for")?;
        }
        Ok(())
    }

    fn check_runs(&self) -> Decoded<()> {
        let runs = self.count(Config::V6Runs);
        let start = |run: u32| -> Option<[u64; 2]> { self.element(Section::V6Starts, run) };
        self.ensure(start(0) == Some([0, 0]), Section::V6Starts, 0, "is not 0")?;
        let few = runs <= 1 << V6_STEPS;
        self.ensure(few, Section::V6Starts, 0, "is one of too many")?;
        for run in 1..runs {
            let ascends = start(run - 1) < start(run);
            self.ensure(ascends, Section::V6Starts, run as usize, "does not ascend")?;
        }
        Ok(())
    }

    /// Goes through IPv4 addresses in order: the first of each part of the trie, with its leaf. `blocks` are looked at, at most;
    /// they may be shared, so that a small trie may have four billion parts.
    pub(crate) fn visit_v4<B>(
        &self,
        blocks: usize,
        mut visit: impl FnMut(u32, u32) -> ControlFlow<B>,
    ) -> Visited<B> {
        let root = self.count(Config::V4Root);
        let mut visitor = Visitor {
            image: self,
            blocks,
            visit: &mut visit,
        };
        match visitor.entry(root, 0, 32) {
            ControlFlow::Continue(()) => Visited::All,
            ControlFlow::Break(end) => end,
        }
    }

    /// The runs of IPv6 addresses: where each begins, ascending from 0, with its leaf.
    pub(crate) fn v6_runs(&self) -> Vec<(u128, u32)> {
        let whole = |upper: u64, lower: u64| u128::from(upper) << 64 | u128::from(lower);
        let runs = (0..self.count(Config::V6Runs)).filter_map(|run| {
            let [upper, lower] = self.element(Section::V6Starts, run)?;
            Some(whole(upper, lower))
        });
        let hosts = (0..self.count(Config::V6Hosts)).filter_map(|slot| {
            let [upper, lower, leaf] = self.element(Section::V6Hosts, slot)?;
            (leaf != 0).then(|| whole(upper, lower))
        });
        let hosts = hosts.flat_map(|host| [Some(host), host.checked_add(1)]);
        let mut starts: Vec<u128> = runs.chain(hosts.flatten()).collect();
        starts.sort_unstable();
        starts.dedup();
        let leaf = |start: u128| leaf_v6(self, (start >> 64) as u64, start as u64);
        let mut found: Vec<(u128, u32)> = starts
            .into_iter()
            .filter_map(|start| Some((start, leaf(start)?)))
            .collect();
        found.dedup_by_key(|(_, leaf)| *leaf);
        found
    }
}

/// How a visit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visited<B> {
    /// Behind the last address.
    All,
    /// Where there were too many blocks.
    TooMany,
    /// Where whoever visits wanted no more.
    Stopped(B),
}

struct Visitor<'v, 'a, F> {
    image: &'v Image<'a>,
    blocks: usize,
    visit: &'v mut F,
}

impl<F> Visitor<'_, '_, F> {
    fn entry<B>(&mut self, entry: u32, first: u32, bits: u32) -> ControlFlow<Visited<B>>
    where
        F: FnMut(u32, u32) -> ControlFlow<B>,
    {
        if entry & TO_BLOCK == 0 {
            return (self.visit)(first, entry).map_break(Visited::Stopped);
        }
        let Some(blocks) = self.blocks.checked_sub(1) else {
            return ControlFlow::Break(Visited::TooMany);
        };
        self.blocks = blocks;
        let block = Block::of(entry);
        // Decoding found each block to look at fewer bits.
        for (index, first) in (Place { block, first, bits }).entries() {
            let entry = half(self.image, Section::V4, index).unwrap_or_default();
            self.entry(entry, first, block.shift)?;
        }
        ControlFlow::Continue(())
    }
}
