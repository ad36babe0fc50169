//! Who owns which address.
//!
//! Nodes own theirs before pods do, since a pod with a node's address almost surely uses the node's network;
//! of two nodes or two pods the first by name comes first, and a question about the address is one about both.

use super::pods;
use super::report::Report;
use crate::cluster::by_address::{self, ByAddress};
use crate::cluster::{Cluster, NodeId, Owner, PodId};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::{Span, to_u32};
use rayon::prelude::*;
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::hash::Hash;
use std::net::IpAddr;

/// The first owner of each address, and the others of those that have several: pods beside pods, nodes beside
/// nodes.
pub(super) type Owners = (ByAddress<Owner>, ByAddress<Vec<Owner>>);

/// A claim to an address that is another's.
struct Contested {
    /// The place of the claim among all.
    place: usize,
    address: IpAddr,
    first: Owner,
    again: Owner,
}

pub(super) fn build(cluster: &Cluster, report: &mut Report) -> Owners {
    let claims = claims(cluster);
    let ((v4, mut contested), (v6, more_contested)) = rayon::join(
        || of_family(&claims, by_address::v4),
        || of_family(&claims, by_address::v6),
    );
    contested.extend(more_contested);
    contested.sort_unstable_by_key(|claim| claim.place);
    let mut more: ByAddress<Vec<Owner>> = ByAddress::default();
    for Contested {
        place: _,
        address,
        first,
        again,
    } in contested
    {
        report.extend(match again {
            Owner::Node(id) => shared_by_nodes(cluster, address, first, id),
            Owner::Pod(id) => shared_by_pod(cluster, address, first, id),
        });
        match (first, again) {
            (Owner::Node(_), Owner::Pod(_)) => {}
            (Owner::Node(_), Owner::Node(_)) | (Owner::Pod(_), _) => {
                more.or_insert(address, Vec::new()).push(again);
            }
        }
    }
    (ByAddress::new(v4, v6), more)
}

/// The first owners of the addresses of a family, and the claims to these that come later.
fn of_family<K: Eq + Hash>(
    claims: &[(IpAddr, Owner)],
    key: fn(IpAddr) -> Option<K>,
) -> (FxHashMap<K, Owner>, Vec<Contested>) {
    let of_family = || {
        let claims = claims.iter().enumerate();
        claims.filter_map(|(place, (address, owner))| {
            Some(((place, *address), key(*address)?, *owner))
        })
    };
    let mut owners = FxHashMap::with_capacity_and_hasher(of_family().count(), FxBuildHasher);
    let mut contested = Vec::new();
    for ((place, address), key, again) in of_family() {
        let first = *owners.entry(key).or_insert(again);
        if first != again {
            contested.push(Contested {
                place,
                address,
                first,
                again,
            });
        }
    }
    (owners, contested)
}

/// Who claims which address, in their order.
fn claims(cluster: &Cluster) -> Vec<(IpAddr, Owner)> {
    fn all(addresses: &[IpAddr], owner: Owner) -> impl Iterator<Item = (IpAddr, Owner)> {
        addresses.iter().map(move |address| (*address, owner))
    }
    let nodes = cluster.nodes.iter().zip((0..).map(NodeId));
    let nodes = nodes.flat_map(|(node, id)| all(&node.addresses, Owner::Node(id)));
    let pods = cluster.pods.par_iter().enumerate();
    let pods = pods.filter(|(_, pod)| !pod.host_network);
    let pods =
        pods.flat_map_iter(|(index, pod)| all(&pod.addresses, Owner::Pod(PodId(to_u32(index)))));
    let mut claims: Vec<(IpAddr, Owner)> = nodes.collect();
    claims.par_extend(pods);
    claims
}

fn shared_by_nodes(
    cluster: &Cluster,
    address: IpAddr,
    first: Owner,
    again: NodeId,
) -> Option<Diagnostic> {
    let node = cluster.node(again)?;
    let (Owner::Node(first), Some(span)) = (first, node.span) else {
        return None;
    };
    let owner = cluster.node(first)?;
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
    again: PodId,
) -> Option<Diagnostic> {
    let pod = cluster.pod(again)?;
    match first {
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
