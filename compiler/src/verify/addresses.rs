//! Who an image takes each address for, at every address at which it or the cluster changes its mind.

use super::mismatch::{Check, Mismatch, general};
use super::{Prover, Subject};
use crate::image::{COUNTS, Visited};
use crate::lir::{LeafId, Lowering};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use verdict_abi::{Section, V4_STEPS};

/// The digests of sections that have been proved, and the configuration: nodes share them.
pub(crate) type ProvedAddresses = ([[u8; 32]; Section::OF_LEAVES.len()], [u32; COUNTS.len()]);

impl Prover<'_> {
    /// Holds the addresses of an image to the runs of the cluster, which were held to their owners.
    pub(super) fn addresses(&self, subject: &Subject<'_>) -> Result<(), Box<Mismatch>> {
        let digests = Section::OF_LEAVES.map(|section| subject.image.digest_of(section));
        let counts = COUNTS.map(|field| subject.image.count(field));
        if self.proved.get() == Some(&(digests, counts)) {
            return Ok(());
        }
        v4(subject)?;
        v6(subject)?;
        // Where another node was first, its sections are kept.
        let _ = self.proved.set((digests, counts));
        Ok(())
    }
}

fn v4(subject: &Subject<'_>) -> Result<(), Box<Mismatch>> {
    let runs = subject.lowering.leaves().v4();
    for (start, _) in runs {
        compare(subject, Ipv4Addr::from_bits(*start).into())?;
    }
    let mut last = None;
    let visit = |start, leaf| {
        // Where the image does not change its mind it says what it said, and where the cluster does was looked at above.
        let is_change = last.replace(leaf) != Some(leaf);
        let compared = is_change.then(|| compare(subject, Ipv4Addr::from_bits(start).into()));
        match compared {
            Some(Err(mismatch)) => ControlFlow::Break(mismatch),
            Some(Ok(())) | None => ControlFlow::Continue(()),
        }
    };
    // A block is there because its addresses differ: each change of the cluster is in one block a step.
    let blocks = runs.len() * V4_STEPS as usize + 1;
    match subject.image.visit_v4(blocks, visit) {
        Visited::All => Ok(()),
        Visited::Stopped(mismatch) => Err(mismatch),
        Visited::TooMany => Err(general(
            Check::Addresses,
            "the trie of IPv4 addresses",
            "a block for each change of the cluster at most",
            "more",
        )),
    }
}

fn v6(subject: &Subject<'_>) -> Result<(), Box<Mismatch>> {
    let runs = subject.lowering.leaves().v6().iter();
    let own = subject.image.v6_runs();
    let own = own.iter().map(|(start, _)| *start);
    for start in runs.map(|(start, _)| *start).chain(own) {
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
