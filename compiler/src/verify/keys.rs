//! What packets carry, cut wherever a rule may change its mind: the exact partition that ranges and named ports cut.

use super::enforcement;
use crate::cluster::{Cluster, Protocol};
use crate::hir::{PolicySet, PortMatch};
use crate::lir::transport::{LAST, NOT_KNOWN, is_icmp, key, packet_from};
use crate::lir::{PortClassId, Program, number};
use rustc_hash::FxHashSet;

/// The packet of ICMPv4 that asks for smaller ones: type and code. It may pass without being asked about.
pub(super) const FRAGMENTATION_NEEDED: (u8, u8) = (3, 4);

/// The cells of transport keys.
#[derive(Debug)]
pub(super) struct Keys {
    /// The first key of each, ascending from 0.
    starts: Vec<u32>,
    /// A key in each that packets have; none where no packet has one.
    pub(super) packets: Vec<Option<u32>>,
}

/// A part of a cell that a program does not cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// A key in it that packets have.
    pub(super) packet: u32,
    /// The cell.
    pub(super) cell: u32,
    /// The class in the program.
    pub(super) class: PortClassId,
}

impl Keys {
    pub(super) fn of(cluster: &Cluster, policies: &PolicySet) -> Self {
        let mut starts: Vec<u32> = vec![0];
        let mut cut = |protocol: Protocol, first: u32, last: u32| {
            starts.extend([key(protocol, first), key(protocol, last) + 1]);
        };
        let mut names = FxHashSet::default();
        let rules = policies
            .policies
            .iter()
            .flat_map(|policy| policy.rules.ingress.iter().chain(&policy.rules.egress));
        for port in rules.flat_map(|rule| rule.ports.iter().flatten()) {
            match port {
                PortMatch::Range { protocol, ports } => {
                    let (first, last) = (u32::from(ports.first), u32::from(ports.last));
                    cut(*protocol, first, last);
                    if is_icmp(*protocol) && last < 256 {
                        // Where rules ask for types, each has its codes behind it.
                        cut(*protocol, first << 8, last << 8 | 255);
                    }
                    whole(*protocol, &mut cut);
                }
                PortMatch::Named { name, .. } => {
                    names.insert(&**name);
                }
            }
        }
        for own in cluster.port_sets.iter().flatten() {
            if names.contains(&*own.name) {
                cut(own.protocol, own.number.into(), own.number.into());
                whole(own.protocol, &mut cut);
            }
        }
        if enforcement(policies).is_some() {
            let (kind, code) = FRAGMENTATION_NEEDED;
            let value = u32::from(kind) << 8 | u32::from(code);
            cut(Protocol::ICMP, value, value);
            for protocol in [Protocol::ICMP, Protocol::ICMPV6] {
                whole(protocol, &mut cut);
            }
        }
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP] {
            whole(protocol, &mut cut);
        }
        starts.retain(|start| *start <= LAST);
        starts.sort_unstable();
        starts.dedup();
        let packets = parts(&starts).collect();
        Self { starts, packets }
    }

    /// The cells, cut further where a program does.
    pub(super) fn with(&self, program: &Program) -> Vec<Part> {
        let parts = self.cut(&program.transports).into_iter();
        parts.map(|(_, part)| part).collect()
    }

    /// The cells, cut further where some classes of keys are (the first key of each run and its class, ascending from 0): each part
    /// with its first key. Keys of no part are those that no packet has.
    pub(super) fn cut(&self, transports: &[(u32, PortClassId)]) -> Vec<(u32, Part)> {
        let own = transports.iter().map(|(start, _)| *start);
        let mut starts: Vec<u32> = self.starts.iter().copied().chain(own).collect();
        starts.sort_unstable();
        starts.dedup();
        let found = parts(&starts).zip(&starts).filter_map(|(packet, start)| {
            let after = self.starts.partition_point(|cut| cut <= start);
            let run = transports.partition_point(|(first, _)| first <= start);
            let part = Part {
                packet: packet?,
                cell: number(after.checked_sub(1)?),
                class: transports.get(run.checked_sub(1)?)?.1,
            };
            Some((*start, part))
        });
        found.collect()
    }
}

/// Cuts a protocol off from others, and what is not known from what is.
fn whole(protocol: Protocol, cut: &mut impl FnMut(Protocol, u32, u32)) {
    let (_, last) = crate::lir::transport::whole(protocol);
    cut(protocol, 0, last - key(protocol, 0));
    cut(protocol, NOT_KNOWN, NOT_KNOWN);
}

/// A packet between each start and the next, where there is one.
fn parts(starts: &[u32]) -> impl Iterator<Item = Option<u32>> {
    let ends = starts.iter().skip(1).copied().chain([LAST + 1]);
    let pairs = starts.iter().copied().zip(ends);
    pairs.map(|(start, end)| packet_from(start).filter(|packet| *packet < end))
}
