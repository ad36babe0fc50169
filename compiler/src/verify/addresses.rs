//! Who an image takes each address for, at every address at which it or the cluster changes its mind.

use super::mismatch::{Check, Mismatch, general};
use super::{Prover, Subject};
use crate::image::Image;
use crate::lir::{LeafId, Lowering};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use verdict_abi::{BLOCK_ENTRIES, Config, Section, TO_BLOCK, Tables as _, half};

/// The sections that say who an address is.
const SECTIONS: [Section; 3] = [Section::V4, Section::V6Starts, Section::V6Leaves];

/// The digests of sections that have been proved: nodes share them.
pub(super) type Proved = [[u8; 32]; SECTIONS.len()];

impl Prover<'_> {
    /// Holds the addresses of an image to the runs of the cluster, which were held to their owners.
    pub(super) fn addresses(&self, subject: &Subject<'_>) -> Result<(), Box<Mismatch>> {
        let digests = SECTIONS.map(|section| subject.image.digest_of(section));
        if self.proved.get() == Some(&digests) {
            return Ok(());
        }
        v4(subject)?;
        v6(subject)?;
        // Where another node was first, its sections are kept.
        let _ = self.proved.set(digests);
        Ok(())
    }
}

fn v4(subject: &Subject<'_>) -> Result<(), Box<Mismatch>> {
    let runs = subject.lowering.leaves().v4();
    let mut walk = Walk {
        image: subject.image,
        starts: Vec::new(),
        // A block is there because its addresses differ: each change of the cluster is in one block a step.
        blocks_left: runs.len() * 3 + 1,
    };
    walk.block(0, 0, 24)?;
    let starts = runs.iter().map(|(start, _)| *start).chain(walk.starts);
    for start in starts {
        compare(subject, Ipv4Addr::from_bits(start).into())?;
    }
    Ok(())
}

fn v6(subject: &Subject<'_>) -> Result<(), Box<Mismatch>> {
    let runs = subject.lowering.leaves().v6();
    let own = (0..subject.image.count(Config::V6Runs)).filter_map(|run| {
        let [upper, lower] =
            [0, 1].map(|half| subject.image.word(Section::V6Starts, run * 2 + half));
        Some(u128::from(upper?) << 64 | u128::from(lower?))
    });
    for start in runs.iter().map(|(start, _)| *start).chain(own) {
        compare(subject, Ipv6Addr::from_bits(start).into())?;
    }
    Ok(())
}

fn compare(subject: &Subject<'_>, address: IpAddr) -> Result<(), Box<Mismatch>> {
    let expected = of_run(subject.lowering, address);
    let found = match address {
        IpAddr::V4(address) => verdict_abi::leaf_v4(subject.image, address.to_bits()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            verdict_abi::leaf_v6(subject.image, (bits >> 64) as u64, bits as u64)
        }
    };
    if found == Some(expected.0) {
        return Ok(());
    }
    let say = |leaf: LeafId| subject.describe(leaf);
    Err(general(
        Check::Addresses,
        format!("who is {address}"),
        say(expected),
        found.map_or_else(|| "nothing".to_owned(), |leaf| say(LeafId(leaf))),
    ))
}

/// The leaf of the run in which an address is, as it stands: what looks like IPv4 in IPv6 is a run of IPv6 here.
fn of_run(lowering: &Lowering<'_>, address: IpAddr) -> LeafId {
    fn find<T: Copy + Ord>(runs: &[(T, LeafId)], value: T) -> LeafId {
        let after = runs.partition_point(|(start, _)| *start <= value);
        let run = after.checked_sub(1).and_then(|index| runs.get(index));
        run.map_or(LeafId(0), |(_, leaf)| *leaf)
    }
    match address {
        IpAddr::V4(address) => find(lowering.leaves().v4(), address.to_bits()),
        IpAddr::V6(address) => find(lowering.leaves().v6(), address.to_bits()),
    }
}

/// Goes through the trie in the order of addresses.
struct Walk<'i> {
    image: &'i Image<'i>,
    /// The first address of each entry.
    starts: Vec<u32>,
    blocks_left: usize,
}

impl Walk<'_> {
    fn block(&mut self, block: u32, from: u32, shift: u32) -> Result<(), Box<Mismatch>> {
        let Some(left) = self.blocks_left.checked_sub(1) else {
            return Err(general(
                Check::Addresses,
                "the trie of IPv4 addresses",
                "a block for each change of the cluster at most",
                "more",
            ));
        };
        self.blocks_left = left;
        for entry in 0..BLOCK_ENTRIES {
            let first = from | entry << shift;
            self.starts.push(first);
            let found = half(self.image, Section::V4, block * BLOCK_ENTRIES + entry);
            if let Some(found) = found.filter(|found| found & TO_BLOCK != 0) {
                // Decoding found the trie to end after the last step.
                self.block(found & !TO_BLOCK, first, shift.saturating_sub(8))?;
            }
        }
        Ok(())
    }
}
