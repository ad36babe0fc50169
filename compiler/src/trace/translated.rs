//! Connections that a capture shows twice, under the address before a translation and under the one behind it.
//!
//! The sequence number with which a connection begins is drawn at random, so that two first segments with the same one, and
//! with the same end on one side, are one segment before and behind a translation. Where the snapshot has a service that
//! explains it, it is counted; where nothing explains it, it is told, and never guessed: each of the two is judged by the
//! addresses that it has.

use super::capture::{Tcp, Tuple};
use crate::cluster::peer::{self, PortSpec, Resolved};
use crate::cluster::{Cluster, Owner};
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// How long after the first segment a translated one is looked for, in nanoseconds.
const NEAR: u64 = 2_000_000_000;

/// How many first segments are remembered.
const MAX_SEGMENTS: usize = 1 << 16;

/// How many unexplained translations are kept.
pub(super) const MAX_KEPT: usize = 20;

/// What was found so far.
#[derive(Default)]
pub(super) struct Translations {
    recent: FxHashMap<u32, (Tuple, u64)>,
    /// When those that are too old are looked for again.
    trim_at: u64,
    /// How many a service explains.
    pub(super) explained: u64,
    /// How many nothing explains.
    pub(super) unexplained: u64,
    /// The first of these: how the capture shows the connection first, and how later.
    pub(super) examples: Vec<(Tuple, Tuple)>,
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
        let known = self.recent.get(&sequence);
        let known = known.filter(|(_, seen)| now.saturating_sub(*seen) <= NEAR);
        if let Some((before, _)) = known.copied() {
            self.compare(cluster, before, opening);
        } else if !tcp.flags.ack {
            if self.recent.len() >= MAX_SEGMENTS && now >= self.trim_at {
                self.recent
                    .retain(|_, (_, seen)| now.saturating_sub(*seen) <= NEAR);
                // Before this much of the capture has passed, looking through all again finds few.
                self.trim_at = now.saturating_add(NEAR / 4);
            }
            if self.recent.len() < MAX_SEGMENTS {
                self.recent.insert(sequence, (opening, now));
            }
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
