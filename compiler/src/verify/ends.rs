//! Who stands at the other end of a flow: an end for each leaf, and the proof that it stands for all who have the leaf.
//!
//! What rules can tell of an end is cut out of the rules themselves, by what the definition asks: the namespace and the
//! labels of a pod, its named ports and its node where it uses the network of that; which node it is and its labels; and
//! where its address lies between the bounds of all blocks, exceptions and DNS answers.

use super::enforcement;
use super::identities::{Seen, same_identities};
use super::mismatch::{Check, Mismatch, general};
use super::runs::{Runs, extend};
use crate::cluster::{Cluster, Labels, NamedPort, NodeId, Owner, PodId};
use crate::hir::flow::{Address, Endpoint, EndpointKind, NodeView, PodView};
use crate::hir::{Peer, PolicySet};
use crate::lir::{LeafId, Lowering, number};
use crate::query::{Families, Family, Who, endpoint, families_of};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The ends. See the module.
#[derive(Debug)]
pub(super) struct Ends<'a> {
    /// By leaf.
    pub(super) examples: Vec<Endpoint<'a>>,
    /// Leaves in a row that no selector of pods tells apart: the first and the last of each.
    pub(super) kinds: Vec<(u32, u32)>,
    /// By leaf: what it is, where rules ask for identities.
    pub(super) identities: Vec<Seen>,
    /// The leaves by what named ports they have.
    pub(super) ports: Runs<u32>,
    /// A leaf for each number in `ports`.
    pub(super) with_ports: Vec<LeafId>,
    /// The leaves of each node.
    of_node: FxHashMap<NodeId, Vec<LeafId>>,
}

impl<'a> Ends<'a> {
    pub(super) fn of(cluster: &'a Cluster, policies: &PolicySet, lowering: &Lowering<'_>) -> Self {
        let leaves = lowering.leaves();
        let count = number(leaves.list().len());
        // Each leaf of the list has an example.
        let examples: Vec<Endpoint<'a>> = (0..count)
            .filter_map(|leaf| leaves.example(cluster, LeafId(leaf)))
            .collect();
        let mut ends = Self {
            examples,
            kinds: Vec::new(),
            identities: Vec::new(),
            ports: Vec::new(),
            with_ports: Vec::new(),
            of_node: FxHashMap::default(),
        };
        if let Some(enforcement) = enforcement(policies) {
            let examples = ends.examples.par_iter();
            ends.identities = examples.map(|end| Seen::of(enforcement, end)).collect();
        }
        let mut known = FxHashMap::default();
        let mut last: Option<&Endpoint<'a>> = None;
        for (leaf, end) in (0..).zip(&ends.examples) {
            match ends.kinds.last_mut() {
                Some(run) if last.is_some_and(|last| same_pods(last, end)) => run.1 = leaf,
                Some(_) | None => ends.kinds.push((leaf, leaf)),
            }
            let with_ports = &mut ends.with_ports;
            let ports = *known.entry(ports_of(end)).or_insert_with(|| {
                with_ports.push(LeafId(leaf));
                number(with_ports.len() - 1)
            });
            extend(&mut ends.ports, leaf, ports);
            if let EndpointKind::Node(NodeView { id: Some(node), .. }) = end.kind {
                ends.of_node.entry(node).or_default().push(LeafId(leaf));
            }
            last = Some(end);
        }
        ends
    }

    /// The leaves of a node.
    pub(super) fn of_node(&self, node: Option<NodeId>) -> &[LeafId] {
        let found = node.and_then(|node| self.of_node.get(&node));
        found.map_or(&[], |leaves| leaves)
    }

    /// Holds the leaf of every end, and of every address at which the owner or a rule changes its mind, to its example.
    pub(super) fn check(
        &self,
        cluster: &'a Cluster,
        policies: &PolicySet,
        lowering: &Lowering<'_>,
    ) -> Result<(), Box<Mismatch>> {
        let cells = AddressCells::of(cluster, policies);
        let enforcement = enforcement(policies);
        let leaves = lowering.leaves();
        let stands_for = |end: &Endpoint<'_>, leaf: Option<LeafId>| {
            let example = leaf.and_then(|leaf| self.examples.get(leaf.index()));
            let is_same = |example: &Endpoint<'_>| match enforcement {
                None => same(&cells, example, end),
                Some(enforcement) => same_identities(enforcement, example, end),
            };
            if example.is_some_and(is_same) {
                return None;
            }
            let found = leaf.map(|leaf| leaves.describe(cluster, lowering.resolved(), leaf));
            Some(general(
                Check::Leaves,
                format!("the leaf of {:?} at {:?}", end.kind, end.address),
                "one that stands for it",
                found.unwrap_or_else(|| "none".to_owned()),
            ))
        };
        let families = Families::of(cluster).or_any();
        let pods = (0..number(cluster.pods().len())).into_par_iter();
        let nodes = (0..number(cluster.nodes().len())).into_par_iter();
        let whos = pods
            .map(|pod| Who::Pod(PodId(pod)))
            .chain(nodes.map(|node| Who::Node(NodeId(node))));
        let of_who = whos.find_map_first(|who| {
            let ends = questioned(cluster, families, who);
            ends.into_iter()
                .find_map(|end| stands_for(&end, leaves.of(lowering.resolved(), &end)))
        });
        let of_world = || {
            Families::ALL.iter().find_map(|family| {
                let end = endpoint(cluster, Who::World, family);
                stands_for(&end, leaves.of(lowering.resolved(), &end))
            })
        };
        let of_address = || {
            let addresses = self.addresses(cluster, lowering, &cells);
            addresses
                .into_par_iter()
                .find_map_first(|(address, owner)| {
                    let who =
                        owner.map_or(Who::Address(address), |owner| Who::Owned(address, owner));
                    let end = endpoint(cluster, who, Family::of(address));
                    stands_for(&end, Some(leaves.of_address(address)))
                })
        };
        let found = of_who.or_else(of_world).or_else(of_address);
        found.map_or(Ok(()), Err)
    }

    /// Every address at which the owner, a rule or the leaf changes, in order, with its owner where that is known already.
    fn addresses(
        &self,
        cluster: &Cluster,
        lowering: &Lowering<'_>,
        cells: &AddressCells,
    ) -> Vec<(IpAddr, Option<Owner>)> {
        let leaves = lowering.leaves();
        let v4 = cells
            .v4
            .iter()
            .chain(leaves.v4().iter().map(|(start, _)| start));
        let v6 = cells
            .v6
            .iter()
            .chain(leaves.v6().iter().map(|(start, _)| start));
        let mut v4: Vec<(u32, Option<Owner>)> = v4.map(|start| (*start, None)).collect();
        let mut v6: Vec<(u128, Option<Owner>)> = v6.map(|start| (*start, None)).collect();
        for (address, owner) in cluster.owned() {
            match address.to_canonical() {
                IpAddr::V4(address) => {
                    v4.push((address.to_bits(), Some(owner)));
                    v4.extend(address.to_bits().checked_add(1).map(|next| (next, None)));
                }
                IpAddr::V6(address) => {
                    v6.push((address.to_bits(), Some(owner)));
                    v6.extend(address.to_bits().checked_add(1).map(|next| (next, None)));
                }
            }
        }
        rayon::join(|| sort(&mut v4), || sort(&mut v6));
        let v4 = v4
            .into_iter()
            .map(|(bits, owner)| (Ipv4Addr::from_bits(bits).into(), owner));
        let v6 = v6
            .into_iter()
            .map(|(bits, owner)| (Ipv6Addr::from_bits(bits).into(), owner));
        v4.chain(v6).collect()
    }
}

/// Sorts addresses, each once, with its owner where that is known.
fn sort<T: Copy + Ord>(addresses: &mut Vec<(T, Option<Owner>)>) {
    // An owner stands behind none.
    addresses.sort_unstable_by_key(|(address, owner)| (*address, std::cmp::Reverse(*owner)));
    addresses.dedup_by_key(|(address, _)| *address);
}

/// The ends that questions about a pod or a node have, but for addresses that it owns: those are asked as addresses.
fn questioned<'a>(cluster: &'a Cluster, families: Families, who: Who<'a>) -> Vec<Endpoint<'a>> {
    let (owner, addresses): (_, &[IpAddr]) = match who {
        Who::Pod(id) => (
            Owner::Pod(id),
            cluster.pod(id).map_or(&[], |pod| &pod.addresses),
        ),
        Who::Node(id) => (
            Owner::Node(id),
            cluster.node(id).map_or(&[], |node| &node.addresses),
        ),
        Who::Address(_) | Who::Owned(..) | Who::Hypothetical(_) | Who::World => return Vec::new(),
    };
    let is_owned = |address: IpAddr| cluster.owner(address) == Some(owner);
    // In each family of which it has an address it is at one of these.
    if !addresses.is_empty() && addresses.iter().all(|address| is_owned(*address)) {
        return Vec::new();
    }
    let by_family = families_of(cluster, families, who);
    let by_family = by_family
        .iter()
        .map(|family| endpoint(cluster, who, family));
    let others = addresses.iter().filter(|address| !is_owned(**address));
    let others =
        others.map(|address| endpoint(cluster, Who::Owned(*address, owner), Family::of(*address)));
    by_family
        .filter(|end| match end.address {
            Address::Known(address) => !is_owned(address),
            Address::Unknown { .. } => true,
        })
        .chain(others)
        .collect()
}

/// Where all blocks, exceptions and answers cut the addresses: the first address behind each cut.
pub(super) struct AddressCells {
    pub(super) v4: Vec<u32>,
    pub(super) v6: Vec<u128>,
}

impl AddressCells {
    pub(super) fn of(cluster: &Cluster, policies: &PolicySet) -> Self {
        let (mut v4, mut v6) = (vec![0], vec![0]);
        let mut cut = |first: IpAddr, last: IpAddr| match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                v4.push(first.to_bits());
                v4.extend(last.to_bits().checked_add(1));
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                v6.push(first.to_bits());
                v6.extend(last.to_bits().checked_add(1));
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
        };
        let rules = policies
            .policies
            .iter()
            .flat_map(|policy| policy.rules.ingress.iter().chain(&policy.rules.egress));
        let mut by_name = false;
        for peer in rules.flat_map(|rule| rule.peers.iter().flatten()) {
            match peer {
                Peer::Addresses(block) => {
                    for net in block.except.iter().chain([&block.cidr]) {
                        cut(net.network(), net.broadcast());
                    }
                }
                Peer::Domain(_) => by_name = true,
                Peer::Pods(_) | Peer::Nodes(_) | Peer::Identities(_) => {}
            }
        }
        if let Some(enforcement) = enforcement(policies) {
            for block in enforcement.identities.known_blocks() {
                cut(block.network(), block.broadcast());
            }
        }
        let answers = cluster.names().values().flatten().filter(|_| by_name);
        answers.for_each(|address| cut(*address, *address));
        v4.sort_unstable();
        v4.dedup();
        v6.sort_unstable();
        v6.dedup();
        Self { v4, v6 }
    }

    fn same(&self, one: Address, other: Address) -> bool {
        let cell4 = |address: Ipv4Addr| self.v4.partition_point(|cut| *cut <= address.to_bits());
        let cell6 = |address: Ipv6Addr| self.v6.partition_point(|cut| *cut <= address.to_bits());
        match (one, other) {
            (Address::Known(IpAddr::V4(one)), Address::Known(IpAddr::V4(other))) => {
                cell4(one) == cell4(other)
            }
            (Address::Known(IpAddr::V6(one)), Address::Known(IpAddr::V6(other))) => {
                cell6(one) == cell6(other)
            }
            (Address::Known(_) | Address::Unknown { .. }, _) => one == other,
        }
    }
}

/// Whether no rule tells two ends apart.
fn same(cells: &AddressCells, one: &Endpoint<'_>, other: &Endpoint<'_>) -> bool {
    let who = match (&one.kind, &other.kind) {
        (EndpointKind::Pod(a), EndpointKind::Pod(b)) => {
            let hosts = match (a.host, b.host) {
                (Some(a), Some(b)) => same_node(a, b),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            hosts && same_pod(a, b) && a.ports == b.ports
        }
        (EndpointKind::Node(a), EndpointKind::Node(b)) => same_node(*a, *b),
        (EndpointKind::Outside, EndpointKind::Outside) => true,
        (EndpointKind::Pod(_) | EndpointKind::Node(_) | EndpointKind::Outside, _) => false,
    };
    who && cells.same(one.address, other.address)
}

/// Whether no selector of pods tells two ends apart.
fn same_pods(one: &Endpoint<'_>, other: &Endpoint<'_>) -> bool {
    match (&one.kind, &other.kind) {
        (EndpointKind::Pod(a), EndpointKind::Pod(b)) => same_pod(a, b),
        (EndpointKind::Node(_) | EndpointKind::Outside, other) => {
            !matches!(other, EndpointKind::Pod(_))
        }
        (EndpointKind::Pod(_), EndpointKind::Node(_) | EndpointKind::Outside) => false,
    }
}

fn same_pod(one: &PodView<'_>, other: &PodView<'_>) -> bool {
    one.namespace == other.namespace
        && same_labels(one.namespace_labels, other.namespace_labels)
        && same_labels(one.labels, other.labels)
        && one.host.is_some() == other.host.is_some()
}

fn same_node(one: NodeView<'_>, other: NodeView<'_>) -> bool {
    one.id == other.id && same_labels(one.labels, other.labels)
}

fn same_labels(one: &Labels, other: &Labels) -> bool {
    std::ptr::eq(one, other) || one == other
}

/// What rules that go by the names of ports may ask of an end: its named ports, and whether it uses the network of its node;
/// none for what is no pod.
fn ports_of<'a>(end: &Endpoint<'a>) -> Option<(Option<&'a [NamedPort]>, bool)> {
    match &end.kind {
        EndpointKind::Pod(pod) => Some((pod.ports, pod.host.is_some())),
        EndpointKind::Node(_) | EndpointKind::Outside => None,
    }
}
