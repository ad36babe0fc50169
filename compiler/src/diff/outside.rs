//! What changes with addresses outside: the ranges of all lists, cut where one of them is.

use super::compare::Which;
use super::{DeltaId, Diff};
use crate::cluster::Cluster;
use crate::flows::{AnswerId, Outside};
use crate::hir::Direction;
use crate::list::directory::{Addresses, after, push, without_nodes};
use crate::list::matrix::Matrix;
use crate::list::peers::ClassId;
use crate::list::{Listing, RangesId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl Diff<'_> {
    /// The addresses with which something changes for the peers of a class; those with one difference together.
    pub(super) fn make_outside(
        &mut self,
        class: ClassId,
        direction: Direction,
    ) -> Vec<(RangesId, DeltaId)> {
        let on = self.matching.on(class, None);
        let runs = Which::ALL.map(|which| {
            let class = self.matching.class(which, class)?;
            Some(runs(self.listing(which)?, class, direction))
        });
        let mut found: Vec<(DeltaId, Addresses)> = Vec::new();
        let both = [&self.old, &self.new];
        let apart = both.iter().all(|list| list.sets_nodes_apart());
        let clusters: Vec<&Cluster> = both
            .iter()
            .filter(|_| apart)
            .map(|list| list.cluster())
            .collect();
        for (first, last) in pieces(&runs) {
            let Some((first, last)) = without_nodes(&clusters, first, last) else {
                continue;
            };
            let delta = self.compared(
                |_, which| {
                    let [old, new, crossed] = &runs;
                    let runs = match which {
                        Which::Old => old,
                        Which::New => new,
                        Which::Crossed => crossed,
                    };
                    Some(at(runs.as_ref()?, first))
                },
                on,
            );
            if delta == DeltaId::NOTHING {
                continue;
            }
            match found.iter_mut().find(|(known, _)| *known == delta) {
                Some((_, addresses)) => push(addresses, (first, last)),
                None => found.push((delta, vec![(first, last)])),
            }
        }
        let numbered = found.into_iter();
        numbered
            .map(|(delta, addresses)| (self.directory.ranges_id(addresses), delta))
            .collect()
    }
}

/// The addresses with which peers of a class have connections, in order.
fn runs(listing: &Listing<'_>, class: ClassId, direction: Direction) -> Vec<Outside> {
    let mut runs: Vec<Outside> = Vec::new();
    for (ranges, answer) in Matrix::outside_of(listing, class, direction) {
        let addresses = listing.addresses(*ranges).iter();
        runs.extend(addresses.map(|(first, last)| (*first, *last, *answer)));
    }
    runs.sort_unstable();
    runs
}

/// What a list says of an address.
fn at(runs: &[Outside], address: IpAddr) -> AnswerId {
    let behind = runs.partition_point(|(first, ..)| *first <= address);
    let run = behind.checked_sub(1).and_then(|index| runs.get(index));
    match run {
        Some((_, last, answer)) if address <= *last => *answer,
        Some(_) | None => AnswerId::NOTHING,
    }
}

/// The coarsest partition that has every bound of every list.
fn pieces(lists: &[Option<Vec<Outside>>]) -> Vec<(IpAddr, IpAddr)> {
    let runs = lists.iter().flatten().flatten();
    let mut starts: Vec<IpAddr> = runs
        .flat_map(|(first, last, _)| std::iter::once(*first).chain(after(*last)))
        .collect();
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).copied().map(Some).chain([None]);
    starts
        .iter()
        .zip(ends)
        .map(|(first, next)| (*first, before(*first, next)))
        .collect()
}

/// The last address in front of the next piece, which may be of another family.
fn before(first: IpAddr, next: Option<IpAddr>) -> IpAddr {
    match (first, next) {
        (IpAddr::V4(_), Some(IpAddr::V4(next))) => {
            Ipv4Addr::from_bits(next.to_bits().saturating_sub(1)).into()
        }
        (IpAddr::V6(_), Some(IpAddr::V6(next))) => {
            Ipv6Addr::from_bits(next.to_bits().saturating_sub(1)).into()
        }
        (IpAddr::V4(_), Some(IpAddr::V6(_)) | None) => Ipv4Addr::BROADCAST.into(),
        (IpAddr::V6(_), Some(IpAddr::V4(_)) | None) => Ipv6Addr::from_bits(u128::MAX).into(),
    }
}
