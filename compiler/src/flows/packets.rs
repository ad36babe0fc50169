//! Sets of packets by what they carry: protocols with their ports or ICMP types.

use crate::cluster::Protocol;
use crate::hir::flow::Transport;
use crate::query::Family;
use crate::ranges::Ranges;
use std::collections::BTreeMap;

/// A set of packets, without regard to their ends.
///
/// A packet is a protocol with a number: the destination port for a protocol that has ports, the type for
/// ICMP and ICMPv6, nothing (0) for the rest. Port 0 is reserved and no service has it: it is no packet here.
/// Canonical: equality is set equality.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packets {
    /// Whether protocols that are not told are in the set as a whole.
    otherwise: bool,
    /// The numbers of protocols of which not all numbers are as `otherwise` says.
    told: BTreeMap<Protocol, Ranges<u16>>,
}

/// The numbers that packets of a protocol may have, both bounds included.
#[must_use]
pub(super) fn numbers(protocol: Protocol) -> (u16, u16) {
    match protocol {
        Protocol::TCP | Protocol::UDP | Protocol::SCTP => (1, u16::MAX),
        Protocol::ICMP | Protocol::ICMPV6 => (0, u8::MAX.into()),
        Protocol(_) => (0, 0),
    }
}

/// The packet of a protocol with a number.
fn packet(protocol: Protocol, number: u16) -> Transport {
    let kind = u8::try_from(number).unwrap_or(u8::MAX);
    let is_icmp = [Protocol::ICMP, Protocol::ICMPV6].contains(&protocol);
    Transport {
        protocol,
        port: protocol.has_ports().then_some(number),
        icmp: is_icmp.then_some((kind, 0)),
    }
}

/// The protocols of which a packet is taken for a set, in this order, before any other: the last stands for all that
/// nobody names.
const SHOWN: [Protocol; 6] = [
    Protocol::TCP,
    Protocol::UDP,
    Protocol::SCTP,
    Protocol::ICMP,
    Protocol::ICMPV6,
    GRE,
];

/// Generic Routing Encapsulation.
const GRE: Protocol = Protocol(47);

/// The number of a packet.
fn number(transport: Transport) -> u16 {
    let kind = transport.icmp.map(|(kind, _)| kind.into());
    transport.port.or(kind).unwrap_or(0)
}

impl Packets {
    /// No packet.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Every packet.
    #[must_use]
    pub fn all() -> Self {
        Self {
            otherwise: true,
            told: BTreeMap::new(),
        }
    }

    /// Packets of one protocol with these numbers; numbers that the protocol does not have are left out.
    #[must_use]
    pub fn of(protocol: Protocol, numbers: &Ranges<u16>) -> Self {
        Self::make(false, [(protocol, numbers.clone())])
    }

    /// All packets of one protocol.
    #[must_use]
    pub fn of_protocol(protocol: Protocol) -> Self {
        Self::of(protocol, &everything(protocol))
    }

    /// The packets that a family carries: ICMP goes over IPv4 alone and ICMPv6 over IPv6 alone.
    #[must_use]
    pub fn carried_by(family: Family) -> Self {
        Self::of_protocol(match family {
            Family::V4 => Protocol::ICMPV6,
            Family::V6 => Protocol::ICMP,
        })
        .complement()
    }

    fn make(otherwise: bool, told: impl IntoIterator<Item = (Protocol, Ranges<u16>)>) -> Self {
        let mut packets = Self {
            otherwise,
            told: BTreeMap::new(),
        };
        for (protocol, ranges) in told {
            let own = ranges.intersection(&everything(protocol));
            if own != untold(protocol, otherwise) {
                packets.told.insert(protocol, own);
            }
        }
        packets
    }

    /// The numbers of a protocol's packets in the set.
    #[must_use]
    pub fn of_this(&self, protocol: Protocol) -> Ranges<u16> {
        self.told
            .get(&protocol)
            .cloned()
            .unwrap_or_else(|| untold(protocol, self.otherwise))
    }

    /// The protocols that differ from the rest, with their numbers.
    pub fn told(&self) -> impl ExactSizeIterator<Item = (Protocol, &Ranges<u16>)> {
        self.told
            .iter()
            .map(|(protocol, ranges)| (*protocol, ranges))
    }

    /// Whether all packets of the protocols that are not [`told`](Self::told) are in the set.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.otherwise
    }

    /// Whether no packet is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::none()
    }

    /// One packet of the set, the same for the same set: of TCP where there is one, with the least number.
    #[must_use]
    pub fn first(&self) -> Option<Transport> {
        let others = (0..=u8::MAX).map(Protocol);
        let mut protocols = SHOWN.into_iter().chain(others);
        protocols.find_map(|protocol| Some(packet(protocol, self.of_this(protocol).first()?)))
    }

    /// Whether a packet is in the set.
    #[must_use]
    pub fn contains(&self, transport: Transport) -> bool {
        self.of_this(transport.protocol).contains(number(transport))
    }

    /// The packets in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let told = self.with(other, Ranges::union);
        Self::make(self.otherwise || other.otherwise, told)
    }

    /// The packets in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let told = self.with(other, Ranges::intersection);
        Self::make(self.otherwise && other.otherwise, told)
    }

    /// The packets that are not in the set.
    #[must_use]
    pub fn complement(&self) -> Self {
        let told = self.told();
        let told = told.map(|(protocol, ranges)| (protocol, ranges.gaps_in(numbers(protocol))));
        Self::make(!self.otherwise, told)
    }

    /// The packets in this set but not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.intersection(&other.complement())
    }

    /// An operation on the numbers of every protocol that one of two sets tells.
    fn with(
        &self,
        other: &Self,
        operation: fn(&Ranges<u16>, &Ranges<u16>) -> Ranges<u16>,
    ) -> Vec<(Protocol, Ranges<u16>)> {
        let protocols = self.told.keys().chain(other.told.keys());
        protocols
            .map(|protocol| {
                let (one, two) = (self.of_this(*protocol), other.of_this(*protocol));
                (*protocol, operation(&one, &two))
            })
            .collect()
    }
}

fn everything(protocol: Protocol) -> Ranges<u16> {
    Ranges::new(vec![numbers(protocol)])
}

fn untold(protocol: Protocol, otherwise: bool) -> Ranges<u16> {
    if otherwise {
        everything(protocol)
    } else {
        Ranges::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROTOCOLS: [Protocol; 4] = [
        Protocol::TCP,
        Protocol::ICMP,
        Protocol::ICMPV6,
        Protocol(47),
    ];

    fn packets() -> impl Strategy<Value = Packets> {
        let bound = || prop::sample::select(vec![0, 1, 2, 79, 80, 81, 255, 256, 65_534, 65_535]);
        let range = (prop::sample::select(&PROTOCOLS[..]), bound(), bound());
        let ranges = prop::collection::vec(range, 0..4);
        (any::<bool>(), ranges).prop_map(|(all, ranges)| {
            let start = if all { Packets::all() } else { Packets::none() };
            ranges
                .into_iter()
                .fold(start, |set, (protocol, first, last)| {
                    let one = Packets::of(protocol, &Ranges::new(vec![(first, last)]));
                    if all {
                        set.minus(&one)
                    } else {
                        set.union(&one)
                    }
                })
        })
    }

    fn sample() -> impl Iterator<Item = Transport> {
        let ports = [1, 2, 79, 80, 81, 255, 256, 65_534, 65_535];
        let tcp = ports.map(|port| Transport::to_port(Protocol::TCP, port));
        let icmp = [0, 1, 2, 79, 80, 81, 255].into_iter().flat_map(|kind| {
            [Protocol::ICMP, Protocol::ICMPV6].map(|protocol| Transport {
                protocol,
                port: None,
                icmp: Some((kind, 0)),
            })
        });
        let bare = [47, 50].map(|number| Transport {
            protocol: Protocol(number),
            port: None,
            icmp: None,
        });
        tcp.into_iter().chain(icmp).chain(bare)
    }

    proptest! {
        #[test]
        fn operations_are_pointwise(a in packets(), b in packets()) {
            let (or, and, not) = (a.union(&b), a.intersection(&b), a.complement());
            let minus = a.minus(&b);
            for packet in sample() {
                let (one, two) = (a.contains(packet), b.contains(packet));
                prop_assert_eq!(or.contains(packet), one || two);
                prop_assert_eq!(and.contains(packet), one && two);
                prop_assert_eq!(not.contains(packet), !one);
                prop_assert_eq!(minus.contains(packet), one && !two);
            }
        }

        #[test]
        fn equal_sets_are_equal_values(a in packets(), b in packets(), c in packets()) {
            let no = |set: &Packets| set.complement();
            prop_assert_eq!(no(&no(&a)), a.clone());
            prop_assert_eq!(no(&a.union(&b)), no(&a).intersection(&no(&b)));
            prop_assert_eq!(a.union(&a.intersection(&b)), a.clone());
            prop_assert_eq!(a.union(&no(&a)), Packets::all());
            prop_assert_eq!(a.minus(&a), Packets::none());
            prop_assert_eq!(
                a.intersection(&b.union(&c)),
                a.intersection(&b).union(&a.intersection(&c))
            );
            prop_assert_eq!(a.union(&b), b.union(&a));
        }
    }

    #[test]
    fn one_packet_stands_for_a_set() {
        let ports = Packets::of(Protocol::UDP, &Ranges::new(vec![(53, 80)]));
        let dns = Transport::to_port(Protocol::UDP, 53);
        assert_eq!(ports.first(), Some(dns));
        let first = Packets::all().first();
        assert_eq!(first, Some(Transport::to_port(Protocol::TCP, 1)));
        assert_eq!(Packets::none().first(), None);
        let rare = Packets::of_protocol(Protocol(3));
        assert_eq!(rare.first().map(|one| one.protocol), Some(Protocol(3)));
    }

    #[test]
    fn each_family_carries_its_own_icmp() {
        let [v4, v6] = [Family::V4, Family::V6].map(Packets::carried_by);
        assert_eq!(v4.complement(), Packets::of_protocol(Protocol::ICMPV6));
        assert_eq!(v6.complement(), Packets::of_protocol(Protocol::ICMP));
        assert_eq!(v4.union(&v6), Packets::all());
    }
}
