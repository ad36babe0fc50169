//! Who owns which address.
//!
//! Nodes own theirs before pods do, since a pod with a node's address almost surely uses the node's network;
//! of two nodes or two pods the first by name comes first, and a question about the address is one about both.

use super::pods;
use super::report::Report;
use crate::cluster::{Cluster, Node, NodeId, Owner, Pod, PodId};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::{Span, to_u32};
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::net::IpAddr;

/// The first owner of each address, and the others of those that have several: pods beside pods, nodes beside
/// nodes.
pub(super) type Owners = (FxHashMap<IpAddr, Owner>, FxHashMap<IpAddr, Vec<Owner>>);

pub(super) fn build(cluster: &Cluster, report: &mut Report) -> Owners {
    let of_nodes = cluster.nodes.iter().map(|node| node.addresses.len());
    let of_pods = cluster.pods.iter().map(|pod| pod.addresses.len());
    let count = of_nodes.chain(of_pods).sum();
    let mut owners = FxHashMap::with_capacity_and_hasher(count, FxBuildHasher);
    let mut more: FxHashMap<IpAddr, Vec<Owner>> = FxHashMap::default();
    for (index, node) in cluster.nodes.iter().enumerate() {
        let id = NodeId(to_u32(index));
        for address in &node.addresses {
            let first = *owners.entry(*address).or_insert(Owner::Node(id));
            report.extend(shared_by_nodes(cluster, *address, first, (id, node)));
            if first != Owner::Node(id) {
                more.entry(*address).or_default().push(Owner::Node(id));
            }
        }
    }
    for (index, pod) in cluster.pods.iter().enumerate() {
        let id = PodId(to_u32(index));
        for address in pod.addresses.iter().filter(|_| !pod.host_network) {
            let first = *owners.entry(*address).or_insert(Owner::Pod(id));
            report.extend(shared_by_pod(cluster, *address, first, (id, pod)));
            if let Owner::Pod(first) = first
                && first != id
            {
                more.entry(*address).or_default().push(Owner::Pod(id));
            }
        }
    }
    (owners, more)
}

fn shared_by_nodes(
    cluster: &Cluster,
    address: IpAddr,
    first: Owner,
    (id, node): (NodeId, &Node),
) -> Option<Diagnostic> {
    let (Owner::Node(first), Some(span)) = (first, node.span) else {
        return None;
    };
    let owner = cluster.node(first).filter(|_| first != id)?;
    let message = format!(
        "nodes `{}` and `{}` both have the address `{address}`",
        owner.name, node.name
    );
    let found = Diagnostic::new(&codes::SHARED_ADDRESS, message).at(span, "this node has it too");
    let found = with_owner(found, owner.span, "has it");
    Some(found.help(
        "a question about the address is one about both: correct `status.addresses` of one of them",
    ))
}

fn with_owner(diagnostic: Diagnostic, owner: Option<Span>, label: &'static str) -> Diagnostic {
    match owner {
        Some(span) => diagnostic.related(span, label),
        None => diagnostic,
    }
}

fn shared_by_pod(
    cluster: &Cluster,
    address: IpAddr,
    first: Owner,
    (id, pod): (PodId, &Pod),
) -> Option<Diagnostic> {
    match first {
        Owner::Pod(first) if first == id => None,
        Owner::Pod(first) => {
            let name = pods::name(cluster, pod);
            let (owner, span) = pods::place(cluster, first)?;
            let message = format!("pods `{owner}` and `{name}` both have the address `{address}`");
            Some(
                Diagnostic::new(&codes::SHARED_ADDRESS, message)
                    .at(pod.span, "this pod has it too")
                    .related(span, "has it")
                    .help("a pod that has ended may still be in the snapshot: take both from one dump"),
            )
        }
        Owner::Node(node) => {
            let (name, node) = (pods::name(cluster, pod), cluster.node(node)?);
            let message = format!(
                "pod `{name}` has the address `{address}` of node `{}` without `hostNetwork: true`",
                node.name
            );
            let found = Diagnostic::new(&codes::NODE_ADDRESS, message)
                .at(pod.span, "not on the node's network");
            let found = with_owner(found, node.span, "counts as its owner");
            Some(found.help("it counts as the address of the node: set `hostNetwork: true` if the pod uses the node's network"))
        }
    }
}
