//! From declared objects to a [`Cluster`].
//!
//! Input: objects in any order, and the namespaces that policies refer to. Output: the cluster, and what does
//! not fit together. Guarantee: the order of the objects changes nothing; of two definitions of one object the
//! one that stands first is used, and both are named. Entry: [`build`].
//!
//! What is decided here:
//! - An address belongs to a node before it belongs to a pod, and to the first pod by namespace and name.
//! - A pod that has finished owns no address; it still counts as a pod of its workload.
//! - A workload without pods stands for one, whether it is scaled to nothing, suspended or neither.
//! - A ReplicaSet is its Deployment and a Job its CronJob where these are known: by the owner reference of the
//!   ReplicaSet or Job, or, where only the pod is in the snapshot, by the name that the controller gave it.
//! - A node that is not defined, or is without addresses, has those that its pods call their host's.
//! - A service leads to what its EndpointSlices say, or else its Endpoints, or else to the pods that its
//!   selector finds, ready or not.

mod addresses;
mod declared;
mod namespaces;
mod nodes;
mod pods;
mod report;
mod services;
mod sets;
mod workloads;

use super::Cluster;
use super::blocks::PodBlocks;
use super::object::{DnsSnapshot, Object};
use crate::diagnostic::{Diagnostic, ObjectRef};
use crate::source::Span;
use declared::Declared;
use report::Report;
use sets::Sets;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Puts a cluster together of objects, which come in parts. `referred` are the namespaces that policies name, with the places where they do;
/// `refused`, sorted, are the objects that had errors: that they are missing is known and not said again.
#[must_use]
pub fn build<S: AsRef<str> + Sync>(
    mut objects: Vec<Vec<Object>>,
    referred: impl IntoIterator<Item = (S, Span)>,
    refused: &[ObjectRef],
) -> (Cluster, Vec<Diagnostic>) {
    let referred: Vec<(S, Span)> = referred.into_iter().collect();
    let referred = referred.iter().map(|(name, span)| (name.as_ref(), *span));
    let mut report = Report::default();
    let mut sets = Sets::default();
    let mut cluster = Cluster::default();
    let mut declared = Declared::new(&mut objects, refused, &mut report);

    let (namespaces, nodes) = rayon::join(
        || namespaces::implied(&declared, referred),
        || nodes::implied(&declared),
    );
    cluster.namespaces = namespaces::build(&declared, namespaces, &mut sets, &mut report);
    cluster.service_accounts = namespaces::service_accounts(&declared, &cluster, &mut sets);
    cluster.nodes = nodes::build(&declared, nodes, &mut sets, &mut report);
    let makers = workloads::build(&declared, &cluster, &mut report);
    cluster.workloads = makers.workloads;
    let pods = std::mem::take(&mut declared.pods);
    let pods = pods::build(pods, makers.of_pod, makers.stand_ins, &cluster, &mut sets);
    (cluster.pods, cluster.workload_pods) = (pods.pods, pods.of_workload);
    pods::report(&cluster, &mut report);
    (cluster.owners, cluster.more_owners) = addresses::build(&cluster, &mut report);
    cluster.pod_blocks = PodBlocks::new(&cluster.nodes);
    (cluster.label_sets, cluster.port_sets) = sets.into_lists();
    cluster.services = services::build(&declared, &pods.ports, &cluster, &mut report);
    cluster.service_owners = services::owners(&cluster, &mut report);
    cluster.api_server_addresses = services::api_server_addresses(&declared);
    let groups = declared.block_groups.iter();
    cluster.block_groups = groups.map(|group| (*group).clone()).collect();
    cluster.names = names(&declared.dns_snapshots);
    cluster.has_names = !declared.dns_snapshots.is_empty();
    // A million small boxes are given back when a thread has nothing better to do, and nobody waits for it.
    rayon::spawn(|| drop(objects));
    (cluster, report.finish())
}

fn names(snapshots: &[&DnsSnapshot]) -> BTreeMap<Box<str>, Vec<IpAddr>> {
    let mut names: BTreeMap<Box<str>, BTreeSet<IpAddr>> = BTreeMap::new();
    for (name, addresses) in snapshots.iter().flat_map(|snapshot| &snapshot.answers) {
        let known = names.entry(name.clone()).or_default();
        known.extend(addresses);
    }
    let sorted = |addresses: BTreeSet<IpAddr>| addresses.into_iter().collect();
    names
        .into_iter()
        .map(|(name, addresses)| (name, sorted(addresses)))
        .collect()
}
