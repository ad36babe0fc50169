//! The packets that an entry or a rule tells from another, one of each class.
//!
//! Between two neighbouring cuts nothing of either side tells ports apart, so one port stands for all of them; so does
//! one protocol for all that neither side names.

use crate::cluster::{NamedPort, Protocol};
use crate::hir::flow::Transport;
use crate::hir::{Policy, PortMatch, PortRange};
use crate::policymap::{Entry, Packet};
use std::collections::{BTreeMap, BTreeSet};

/// Packets that are the same to both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// The protocol; `None` for all that neither side names.
    pub(super) protocol: Option<Protocol>,
    /// The ports, or the types of ICMP; `None` where packets have neither.
    pub(super) ports: Option<(u16, u16)>,
    /// One of its packets, as rules see it.
    pub(super) transport: Transport,
    /// The same, as it is looked up.
    pub(super) packet: Packet,
}

/// Where each protocol is cut: the first port of every class.
#[derive(Debug)]
pub(super) struct Cuts {
    first: BTreeMap<Protocol, BTreeSet<u16>>,
    has_icmp_types: bool,
}

impl Cuts {
    /// No cuts, in the protocols of which rules can speak.
    pub(super) fn new(has_icmp_types: bool) -> Self {
        let spoken = [
            Protocol::ICMP,
            Protocol::TCP,
            Protocol::UDP,
            Protocol::ICMPV6,
            Protocol::SCTP,
        ];
        let whole = || BTreeSet::from([0]);
        Self {
            first: spoken
                .into_iter()
                .map(|protocol| (protocol, whole()))
                .collect(),
            has_icmp_types,
        }
    }

    fn cut(&mut self, protocol: Protocol, first: u16, last: u16) {
        let cuts = self
            .first
            .entry(protocol)
            .or_insert_with(|| BTreeSet::from([0]));
        cuts.insert(first);
        cuts.extend(last.checked_add(1));
    }

    /// Cuts where an entry does.
    pub(super) fn add_entry(&mut self, entry: &Entry) {
        if entry.block.length > 0 {
            let (first, last) = entry.block.ports();
            self.cut(Protocol(entry.block.protocol), first, last);
        }
    }

    /// Cuts where the rules of a policy do. `named` are the ports that have names at either end.
    pub(super) fn add_policy(&mut self, policy: &Policy, named: &BTreeSet<NamedPort>) {
        let rules = policy.rules.ingress.iter().chain(&policy.rules.egress);
        for port in rules.flat_map(|rule| rule.ports.iter().flatten()) {
            match port {
                PortMatch::Range { protocol, ports } => {
                    let PortRange { first, last } = *ports;
                    self.cut(*protocol, first, last);
                }
                PortMatch::Named { name, .. } => {
                    for port in named.iter().filter(|port| port.name == *name) {
                        self.cut(port.protocol, port.number, port.number);
                    }
                }
            }
        }
    }

    /// The classes, by protocol and port.
    pub(super) fn classes(&self) -> Vec<Class> {
        let mut classes = Vec::new();
        for (protocol, cuts) in &self.first {
            let most = self.last_port(*protocol);
            let Some(most) = most else {
                classes.push(self.class(*protocol, None));
                continue;
            };
            let firsts = cuts.iter().copied().filter(|first| *first <= most);
            let next = cuts.iter().skip(1).map(|next| next.saturating_sub(1));
            let lasts = next.map(|last| last.min(most)).chain([most]);
            classes.extend(
                firsts
                    .zip(lasts)
                    .map(|range| self.class(*protocol, Some(range))),
            );
        }
        let named = |number: &u8| self.first.contains_key(&Protocol(*number));
        let other = (0..=u8::MAX).find(|number| !named(number));
        classes.extend(other.map(|number| Class {
            protocol: None,
            ..self.class(Protocol(number), None)
        }));
        classes
    }

    /// The highest port or ICMP type; `None` for a protocol without either.
    fn last_port(&self, protocol: Protocol) -> Option<u16> {
        match protocol {
            Protocol::ICMP | Protocol::ICMPV6 => self.has_icmp_types.then_some(u8::MAX.into()),
            _ => protocol.has_ports().then_some(u16::MAX),
        }
    }

    fn class(&self, protocol: Protocol, ports: Option<(u16, u16)>) -> Class {
        let port = ports.map_or(0, |(first, _)| first);
        let is_icmp = matches!(protocol, Protocol::ICMP | Protocol::ICMPV6);
        Class {
            protocol: Some(protocol),
            ports,
            transport: Transport {
                protocol,
                port: protocol.has_ports().then_some(port),
                // Of code 0: the exemption of messages that ask for smaller packets has code 4, on either side.
                icmp: is_icmp.then(|| (u8::try_from(port).unwrap_or(u8::MAX), 0)),
            },
            packet: Packet {
                protocol: protocol.0,
                port,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_cover_every_port_once() {
        let mut cuts = Cuts::new(true);
        cuts.cut(Protocol::TCP, 80, 90);
        cuts.cut(Protocol::TCP, 0, u16::MAX);
        cuts.cut(Protocol::ICMP, 8, 8);
        cuts.cut(Protocol::ICMP, 255, 300);
        let ranges = |protocol| -> Vec<_> {
            let classes = cuts.classes().into_iter();
            classes
                .filter(|class| class.protocol == protocol)
                .map(|class| class.ports)
                .collect()
        };
        assert_eq!(
            ranges(Some(Protocol::TCP)),
            [Some((0, 79)), Some((80, 90)), Some((91, 65535))]
        );
        assert_eq!(
            ranges(Some(Protocol::ICMP)),
            [Some((0, 7)), Some((8, 8)), Some((9, 254)), Some((255, 255))]
        );
        assert_eq!(ranges(None), [None]);
    }
}
