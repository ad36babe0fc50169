//! Connections that a capture shows twice, under the address before a translation and under the one behind it.
//!
//! The sequence number with which a connection begins is drawn at random, so that two first segments with the same one, and
//! with the same end on one side, are one segment before and behind a translation. Where the snapshot has a service that
//! explains it, it is counted; where nothing explains it, it is told, and never guessed: each of the two is judged by the
//! addresses that it has.

use super::capture::{Tcp, Tuple};
use crate::cluster::peer::{self, PortSpec, Resolved};
use crate::cluster::{Cluster, Owner};
use crate::hash::mixed;
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::net::IpAddr;

/// How long after the first segment a translated one is looked for, in nanoseconds.
const NEAR: u64 = 2_000_000_000;

/// How many first segments are remembered: of more, the first are forgotten.
const MAX_SEGMENTS: usize = 1 << 16;

/// How many unexplained translations are kept.
pub(super) const MAX_KEPT: usize = 20;

/// What was found so far.
#[derive(Default)]
pub(super) struct Translations {
    recent: Recent,
    /// How many a service explains.
    pub(super) explained: u64,
    /// How many nothing explains.
    pub(super) unexplained: u64,
    /// The first of these: how the capture shows the connection first, and how later.
    pub(super) examples: Vec<(Tuple, Tuple)>,
}

/// A first segment.
struct First {
    sequence: u32,
    ends: Tuple,
    seen: u64,
}

/// First segments in the order in which they came, with a table of them by their sequence number.
#[derive(Default)]
struct Recent {
    segments: VecDeque<First>,
    /// The numbers of segments, counted from the first of the trace.
    table: HashTable<u64>,
    /// The number of the first that is remembered.
    first: u64,
}

impl Recent {
    fn get(&self, sequence: u32, now: u64) -> Option<Tuple> {
        let found = self.table.find(number(sequence), |at| {
            let segment = self.segment(*at);
            segment.is_some_and(|segment| segment.sequence == sequence)
        });
        let found = found.and_then(|at| self.segment(*at))?;
        (now.saturating_sub(found.seen) <= NEAR).then_some(found.ends)
    }

    fn segment(&self, at: u64) -> Option<&First> {
        let at = usize::try_from(at - self.first).ok()?;
        self.segments.get(at)
    }

    /// Remembers a segment; one that has the same number is not found any more.
    fn push(&mut self, segment: First) {
        let (sequence, at) = (segment.sequence, self.first + self.segments.len() as u64);
        let (segments, first) = (&self.segments, self.first);
        let sequence_of = |at: &u64| {
            let segment = segments.get((at - first) as usize);
            segment.map_or(0, |segment| segment.sequence)
        };
        let same = self
            .table
            .find_entry(number(sequence), |at| sequence_of(at) == sequence);
        match same {
            Ok(mut same) => *same.get_mut() = at,
            Err(_) => {
                let number_of = |at: &u64| number(sequence_of(at));
                self.table.insert_unique(number(sequence), at, number_of);
            }
        }
        self.segments.push_back(segment);
    }

    /// Forgets those that are too old, and the first where there are too many.
    fn forget(&mut self, now: u64) {
        let is_old = |first: &First| now.saturating_sub(first.seen) > NEAR;
        while self.segments.len() >= MAX_SEGMENTS || self.segments.front().is_some_and(is_old) {
            let Some(gone) = self.segments.pop_front() else {
                return;
            };
            let at = self.first;
            if let Ok(entry) = self
                .table
                .find_entry(number(gone.sequence), |other| *other == at)
            {
                entry.remove();
            }
            self.first += 1;
        }
    }
}

fn number(sequence: u32) -> u64 {
    mixed(sequence.into(), 0)
}

impl Translations {
    /// Looks at a segment that opens a connection or accepts one.
    pub(super) fn see(&mut self, cluster: &Cluster, ends: &Tuple, tcp: Tcp, now: u64) {
        if !tcp.flags.syn {
            return;
        }
        let (sequence, opening) = if tcp.flags.ack {
            let opener = Tuple {
                src: ends.dst,
                dst: ends.src,
                protocol: ends.protocol,
                ports: (ends.ports.1, ends.ports.0),
            };
            (tcp.acknowledged.wrapping_sub(1), opener)
        } else {
            (tcp.sequence, *ends)
        };
        self.recent.forget(now);
        if let Some(before) = self.recent.get(sequence, now) {
            self.compare(cluster, before, opening);
        } else if !tcp.flags.ack {
            self.recent.push(First {
                sequence,
                ends: opening,
                seen: now,
            });
        }
    }

    fn compare(&mut self, cluster: &Cluster, before: Tuple, after: Tuple) {
        let src = |ends: &Tuple| (ends.src, ends.ports.0);
        let dst = |ends: &Tuple| (ends.dst, ends.ports.1);
        let (same_src, same_dst) = (src(&before) == src(&after), dst(&before) == dst(&after));
        if same_src == same_dst {
            return;
        }
        let is_explained = same_src
            && (is_behind(cluster, before.dst, after.dst)
                || is_behind(cluster, after.dst, before.dst));
        if is_explained {
            self.explained += 1;
            return;
        }
        let is_known = |pair: &(Tuple, Tuple)| {
            (pair.0.src, pair.0.dst, pair.1.src, pair.1.dst)
                == (before.src, before.dst, after.src, after.dst)
        };
        self.unexplained += 1;
        if self.examples.len() < MAX_KEPT && !self.examples.iter().any(is_known) {
            self.examples.push((before, after));
        }
    }
}

/// Whether a service with this address has the other among its backends.
fn is_behind(cluster: &Cluster, service: IpAddr, backend: IpAddr) -> bool {
    let Some(service) = cluster.service_by_address(service) else {
        return false;
    };
    let owner = cluster.owner(backend);
    peer::backends(cluster, service, &PortSpec::Any)
        .iter()
        .any(|one| match one.to {
            Resolved::Address(address) => address == backend,
            Resolved::Pod(id) => owner == Some(Owner::Pod(id)),
            Resolved::Node(_)
            | Resolved::Hypothetical { .. }
            | Resolved::Fqdn { .. }
            | Resolved::Service { .. }
            | Resolved::World => false,
        })
}
