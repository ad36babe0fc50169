//! What a suggestion opens and closes beside what is asked, flow by flow, and whether another edit would have changed less.

use crate::World;
use std::net::IpAddr;
use verdict_compiler::cluster::{PodId, Protocol};
use verdict_compiler::explain::report::{Explanation, Further, Party, PartyKind, Suggestion};
use verdict_compiler::hir::flow::Transport;
use verdict_compiler::hir::spec::Verdict;
use verdict_compiler::list::report::{PeerReport, Ports};
use verdict_compiler::query::Who;
use verdict_tests::judging::between;

/// Addresses outside of both families, in and beside the blocks that policies name.
const OUTSIDE: [&str; 4] = ["192.0.2.7", "192.0.2.8", "198.51.100.1", "2001:db8::1"];

/// Ports in and beside those that policies name and that are asked about.
fn packets() -> Vec<Transport> {
    let tcp = [1, 69, 70, 78, 79, 80, 81, 100, 443, 8080, 9000, 65_535];
    let bare = |protocol, icmp| Transport {
        protocol,
        port: None,
        icmp,
    };
    let tcp = tcp.map(|port| Transport::to_port(Protocol::TCP, port));
    let udp = [52, 53].map(|port| Transport::to_port(Protocol::UDP, port));
    let others = [
        Transport::to_port(Protocol::SCTP, 80),
        bare(Protocol::ICMP, Some((8, 0))),
        bare(Protocol::ICMPV6, Some((128, 0))),
        bare(Protocol(47), None),
    ];
    tcp.into_iter().chain(udp).chain(others).collect()
}

/// One end of what a list has.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Pod(PodId),
    Address(IpAddr),
}

impl End {
    fn who(self) -> Who<'static> {
        match self {
            Self::Pod(id) => Who::Pod(id),
            Self::Address(address) => Who::Address(address),
        }
    }

    fn is(self, world: &World, told: &PeerReport) -> bool {
        match (self, told) {
            (
                Self::Pod(id),
                PeerReport::Workload {
                    namespace, name, ..
                },
            ) => {
                let cluster = &world.loaded.cluster;
                let pod = cluster.pod(id).unwrap();
                *pod.name == **name && cluster.namespace_name(pod.namespace) == &**namespace
            }
            (Self::Address(address), PeerReport::Ip { ranges }) => {
                ranges.iter().any(|(first, last)| {
                    first.is_ipv4() == address.is_ipv4() && *first <= address && address <= *last
                })
            }
            _ => false,
        }
    }

    /// Whether it is what was asked about, or may be.
    fn is_asked(self, world: &World, asked: &Party) -> bool {
        match self {
            Self::Pod(id) => {
                let cluster = &world.loaded.cluster;
                let pod = cluster.pod(id).unwrap();
                asked.kind == PartyKind::Pod
                    && asked.name.as_deref() == Some(&*pod.name)
                    && asked.namespace.as_deref() == Some(cluster.namespace_name(pod.namespace))
            }
            Self::Address(address) => {
                asked.kind == PartyKind::Ip
                    && asked
                        .ip
                        .as_ref()
                        .is_none_or(|ip| *ip == address.to_string())
            }
        }
    }
}

fn ends(world: &World) -> Vec<End> {
    let pods = (0..).map(PodId).zip(world.loaded.cluster.pods());
    let pods = pods.map(|(id, _)| End::Pod(id));
    let outside = OUTSIDE.map(|address| End::Address(address.parse().unwrap()));
    pods.chain(outside).collect()
}

fn names(ports: &[Ports], packet: Transport) -> bool {
    let protocol = packet.protocol.to_string();
    let told = ports.iter().find(|ports| *ports.protocol == *protocol);
    let kind = packet.icmp.map(|(kind, _)| u16::from(kind));
    let number = packet.port.or(kind).unwrap_or(0);
    match told {
        Some(told) => told
            .ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&number)),
        None => {
            let is_named = ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6"].contains(&&*protocol);
            !is_named && ports.iter().any(|ports| *ports.protocol == *"other")
        }
    }
}

/// What is told of a packet between two ends: surely, or perhaps.
fn told(world: &World, further: &Further, [src, dst]: [End; 2], packet: Transport) -> [bool; 2] {
    let here = further
        .connections
        .iter()
        .filter(|one| src.is(world, &one.src) && dst.is(world, &one.dst));
    let mut found = [false; 2];
    for connection in here {
        found[0] |= names(&connection.ports, packet);
        found[1] |= names(&connection.depends, packet);
    }
    found
}

/// Every connection of a world and of a changed one, compared with what is told of the change.
pub(crate) fn check(
    world: &World,
    changed: &World,
    explanation: &Explanation,
    suggestion: &Suggestion,
) {
    let ends = ends(world);
    let asked = &explanation.flow;
    for (src, dst) in ends
        .iter()
        .flat_map(|src| ends.iter().map(move |dst| (*src, *dst)))
    {
        let both_outside = matches!((src, dst), (End::Address(_), End::Address(_)));
        if src == dst || both_outside {
            continue;
        }
        let is_asked = src.is_asked(world, &asked.src) && dst.is_asked(world, &asked.dst);
        for packet in packets() {
            let judge = |world: &World| between(&world.loaded, src.who(), dst.who(), packet);
            let (before, after) = (judge(world), judge(changed));
            // The flows of one question that are alike are all asked about.
            if is_asked && packet.protocol.to_string() == asked.protocol {
                continue;
            }
            let opened = [
                after == Verdict::Allow && before != Verdict::Allow,
                after == Verdict::Depends && before == Verdict::Deny,
            ];
            let closed = [
                after == Verdict::Deny && before != Verdict::Deny,
                after == Verdict::Depends && before == Verdict::Allow,
            ];
            for (further, expected) in [(&suggestion.opens, opened), (&suggestion.closes, closed)] {
                assert_eq!(
                    told(world, further, [src, dst], packet),
                    expected,
                    "{before:?} {after:?} {packet:?}\n{}",
                    serde_json::to_string_pretty(explanation).unwrap()
                );
            }
        }
    }
}
