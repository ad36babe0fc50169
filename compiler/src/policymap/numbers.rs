//! The numbers of identities, and which address has which.
//!
//! A cluster numbers identities as they come; here they are numbered in the order of their labels, in the ranges from
//! which Cilium takes the numbers of each kind (`pkg/identity/numericidentity.go`).

use super::lookup::{AGGREGATES, number_of};
use crate::cluster::{Cluster, NamedPort, NodeId, PodId, Protocol};
use crate::hir::Enforcement;
use crate::identity::{Aggregate, Identity, LabelSet, key, source};
use crate::query::pod_view;
use crate::source::to_u32;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};

/// Identities whose numbers are fixed.
const RESERVED: [(u32, &[&str]); 10] = [
    (1, &[key::HOST]),
    (2, &[key::WORLD]),
    (3, &[key::UNMANAGED]),
    (4, &[key::HEALTH]),
    (5, &[key::INIT]),
    (6, &[key::REMOTE_NODE]),
    (7, &[key::API_SERVER, key::REMOTE_NODE]),
    (8, &[key::INGRESS]),
    (9, &[key::WORLD_V4]),
    (10, &[key::WORLD_V6]),
];

/// The first numbers of pods in a cluster, of blocks and names on a node, and of other nodes.
const OF_PODS: u32 = 256;
const OF_BLOCKS: u32 = 1 << 24;
const OF_NODES: u32 = 2 << 24;

/// An identity as the other end of packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its labels.
    pub identity: Identity,
    /// The named ports of its pods.
    pub ports: Vec<NamedPort>,
}

/// Identities, by their numbers.
pub type Known = BTreeMap<u32, Peer>;

/// An identity with a fixed number.
pub(crate) fn reserved(number: u32) -> Option<Identity> {
    let (_, keys) = RESERVED.iter().find(|(reserved, _)| *reserved == number)?;
    let mut labels = LabelSet::default();
    for key in *keys {
        labels.add(source::RESERVED, key, "");
    }
    Some(Identity {
        labels,
        ..Identity::default()
    })
}

/// The identity of every block of addresses, as the endpoints of a node see it: those that the agent learns from
/// policies, nodes and services, and the addresses of pods. Where `node` is `None`, every node is another one.
pub(crate) fn addresses(
    cluster: &Cluster,
    enforcement: &Enforcement,
    node: Option<NodeId>,
) -> BTreeMap<IpNet, Identity> {
    let identities = &enforcement.identities;
    let mut all: BTreeMap<IpNet, Identity> = identities
        .blocks(node)
        .map(|(block, identity)| (block, identity.clone()))
        .collect();
    for (index, pod) in cluster.pods().iter().enumerate() {
        if pod.host_network || pod.finished {
            continue;
        }
        let view = pod_view(cluster, PodId(to_u32(index)), pod);
        for address in pod.addresses.iter().map(|address| address.to_canonical()) {
            all.insert(
                IpNet::from(address),
                identities.pod(view.into(), Some(address)),
            );
        }
    }
    all
}

/// The identities of a node with their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    pub(super) known: Known,
    by_identity: BTreeMap<Identity, u32>,
}

impl Numbers {
    /// Numbers everything that an address of `addresses` and a pod of the cluster is, and what has a fixed number.
    pub(super) fn new(
        cluster: &Cluster,
        enforcement: &Enforcement,
        addresses: &BTreeMap<IpNet, Identity>,
    ) -> Self {
        let mut numbers = Self::default();
        let aggregates = enforcement.identities.options().aggregates;
        for (number, _) in RESERVED {
            let identity = reserved(number).unwrap_or_default();
            numbers.add(number, identity);
        }
        for aggregate in AGGREGATES.into_iter().filter(|_| aggregates) {
            let identity = aggregate.identity().unwrap_or_default();
            numbers.add(
                number_of(aggregate),
                Identity {
                    aggregate,
                    ..identity
                },
            );
        }
        let mut all: BTreeSet<Identity> = addresses.values().cloned().collect();
        let mut ports: BTreeMap<Identity, BTreeSet<NamedPort>> = BTreeMap::new();
        for (index, pod) in cluster.pods().iter().enumerate() {
            if pod.host_network || pod.finished {
                continue;
            }
            let view = pod_view(cluster, PodId(to_u32(index)), pod);
            let own = pod.addresses.iter().map(|address| address.to_canonical());
            let own = own
                .map(Some)
                .chain(pod.addresses.is_empty().then_some(None));
            for address in own {
                let identity = enforcement.identities.pod(view.into(), address);
                let of_identity = ports.entry(identity.clone()).or_default();
                of_identity.extend(cluster.ports(pod.ports).iter().cloned());
                all.insert(identity);
            }
        }
        let cluster_bits = enforcement.identities.options().cluster_id << 16;
        let mut next = [cluster_bits | OF_PODS, OF_BLOCKS, OF_NODES];
        for identity in all {
            let [pods, blocks, nodes] = &mut next;
            if identity.labels.has_reserved(key::HOST) {
                numbers.add_host(identity);
                continue;
            }
            if numbers.by_identity.contains_key(&identity) {
                continue;
            }
            let kind = if identity.is_world() {
                blocks
            } else if identity.is_node() {
                nodes
            } else {
                pods
            };
            let number = *kind;
            *kind = kind.saturating_add(1);
            numbers.add(number, identity);
        }
        for peer in numbers.known.values_mut() {
            let own = ports.get(&peer.identity).into_iter().flatten();
            peer.ports = own.cloned().collect();
        }
        numbers
    }

    fn add(&mut self, number: u32, identity: Identity) {
        self.by_identity.insert(identity.clone(), number);
        let peer = Peer {
            identity,
            ports: Vec::new(),
        };
        self.known.insert(number, peer);
    }

    /// All addresses of the own node are one identity with the labels of each.
    fn add_host(&mut self, identity: Identity) {
        self.by_identity.insert(identity.clone(), HOST);
        let host = &mut self.known.entry(HOST).or_default().identity;
        for label in identity.labels.iter() {
            host.labels.add(&label.source, &label.key, &label.value);
        }
        host.blocks.extend(identity.blocks);
        host.blocks.sort();
        host.blocks.dedup();
    }

    /// The number of an identity; that of what is not known where it has none.
    pub(super) fn of(&self, identity: &Identity) -> u32 {
        let unknown = number_of(Aggregate::None);
        self.by_identity.get(identity).copied().unwrap_or(unknown)
    }
}

const HOST: u32 = 1;

/// The named ports of a pod, by the labels that Cilium 1.20 makes of them: `name.PROTOCOL.number`, joined by `_`.
pub(crate) fn named_ports(identity: &Identity) -> Vec<NamedPort> {
    let labels = identity.labels.iter();
    let labels = labels.filter(|label| {
        &*label.source == source::GENERATED && label.key.starts_with(key::NAMED_PORTS)
    });
    labels
        .flat_map(|label| label.value.split('_'))
        .filter_map(named_port)
        .collect()
}

fn named_port(text: &str) -> Option<NamedPort> {
    let (rest, number) = text.rsplit_once('.')?;
    let (name, protocol) = rest.rsplit_once('.')?;
    let known = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
    Some(NamedPort {
        name: name.into(),
        protocol: known
            .into_iter()
            .find(|known| known.to_string() == protocol)?,
        number: number.parse().ok()?,
    })
}
