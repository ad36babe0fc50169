//! Random flows between everything that a cluster has, and much that it has not.

use super::random::Random;
use std::net::IpAddr;
use verdict_compiler::cluster::{Cluster, Labels, NodeId, PodId, Protocol};
use verdict_compiler::hir::flow::EndpointKind;
use verdict_compiler::hir::flow::{Address, Flow, NodeView, Transport};
use verdict_compiler::query::{Families, Hypothetical, Who, flows_between};

/// Labels of pods and namespaces that do not exist.
#[derive(Debug)]
pub struct Strangers {
    labels: Vec<Labels>,
    none: Labels,
}

impl Default for Strangers {
    /// All combinations of the small worlds' labels.
    fn default() -> Self {
        let mut labels = Vec::new();
        for a in [None, Some("0"), Some("1")] {
            for b in [None, Some("0"), Some("1")] {
                let pairs = [("a", a), ("b", b)];
                labels.push(
                    pairs
                        .into_iter()
                        .filter_map(|(key, value)| Some((key, value?)))
                        .collect(),
                );
            }
        }
        Self {
            labels,
            none: Labels::default(),
        }
    }
}

/// Addresses in and around the blocks of the small worlds.
const ADDRESSES: &[&str] = &[
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "10.1.2.3",
    "172.18.0.1",
    "172.18.0.9",
    "192.0.2.6",
    "192.0.2.7",
    "192.0.2.200",
    "203.0.113.1",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8::5",
    "2001:db8:1::7",
    "2001:db8:2::1",
    "255.255.255.255",
    "0.0.0.0",
    "::",
];

/// These addresses.
pub fn addresses() -> impl Iterator<Item = IpAddr> {
    ADDRESSES.iter().filter_map(|text| text.parse().ok())
}

fn end<'c>(random: &mut Random, cluster: &'c Cluster, strangers: &'c Strangers) -> Who<'c> {
    let index =
        |random: &mut Random, length: usize| u32::try_from(random.below(length)).unwrap_or(0);
    match random.below(10) {
        0..=4 if !cluster.pods().is_empty() => Who::Pod(PodId(index(random, cluster.pods().len()))),
        5 if !cluster.nodes().is_empty() => Who::Node(NodeId(index(random, cluster.nodes().len()))),
        6 => Who::World,
        7 => {
            let namespace = random.pick(cluster.namespaces());
            let namespace = namespace.filter(|_| random.chance(60));
            let labels = random.pick(&strangers.labels).unwrap_or(&strangers.none);
            Who::Hypothetical(Hypothetical {
                namespace: namespace.map_or("", |namespace| &namespace.name),
                namespace_labels: namespace.map_or_else(
                    || random.pick(&strangers.labels).unwrap_or(&strangers.none),
                    |namespace| cluster.labels(namespace.labels),
                ),
                labels,
            })
        }
        _ => {
            let address: Option<IpAddr> = random.one(ADDRESSES).parse().ok();
            address.map_or(Who::World, Who::Address)
        }
    }
}

fn transport(random: &mut Random) -> Transport {
    let protocol = random.one(&[6, 6, 6, 17, 17, 132, 1, 58, 47]);
    let port = random.one(&[80, 80, 81, 79, 85, 8080, 9000, 9001, 0, 65_535]);
    let protocol = Protocol(protocol);
    let known = protocol.has_ports() && random.chance(90);
    Transport {
        protocol,
        port: known.then_some(port),
        icmp: None,
    }
}

/// A few flows: those of one random question, some by a service, some with what is known of an end taken away.
pub fn flows<'c>(
    random: &mut Random,
    cluster: &'c Cluster,
    strangers: &'c Strangers,
) -> Vec<Flow<'c>> {
    let families = Families::of(cluster);
    let src = end(random, cluster, strangers);
    let dst = if random.chance(90) {
        end(random, cluster, strangers)
    } else {
        src
    };
    let mut flows: Vec<Flow<'c>> =
        flows_between(cluster, families, src, dst, transport(random)).collect();
    let by_service = random.chance(30);
    for flow in &mut flows {
        flow.dst.by_service = by_service;
    }
    if let Some(mut vague) = flows.first().copied().filter(|_| random.chance(30)) {
        let (v4, v6) = random
            .pick(&[(true, false), (false, true), (true, true), (false, false)])
            .copied()
            .unwrap_or_default();
        let end = if random.chance(50) {
            &mut vague.src
        } else {
            &mut vague.dst
        };
        end.address = Address::Unknown { v4, v6 };
        if let EndpointKind::Node(node) = end.kind
            && random.chance(50)
        {
            end.kind = EndpointKind::Node(NodeView { id: None, ..node });
        }
        flows.push(vague);
    }
    flows
}

/// Every flow between the pods and nodes of a cluster and some addresses, with these ports over TCP.
pub fn every_flow<'c>(cluster: &'c Cluster, ports: &[u16]) -> impl Iterator<Item = Flow<'c>> {
    let families = Families::of(cluster);
    let pods = (0_u32..)
        .zip(cluster.pods())
        .map(|(id, _)| Who::Pod(PodId(id)));
    let nodes = (0_u32..)
        .zip(cluster.nodes())
        .map(|(id, _)| Who::Node(NodeId(id)));
    let addresses = addresses().map(Who::Address);
    let ends: Vec<Who<'c>> = pods.chain(nodes).chain(addresses).collect();
    let mut flows = Vec::new();
    for src in &ends {
        for dst in &ends {
            for port in ports {
                let transport = Transport::to_port(Protocol::TCP, *port);
                for flow in flows_between(cluster, families, *src, *dst, transport) {
                    let mut by_service = flow;
                    by_service.dst.by_service = true;
                    flows.extend([flow, by_service]);
                }
            }
        }
    }
    flows.into_iter()
}
