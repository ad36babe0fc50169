//! How ends are named in replies.
//!
//! Guarantee: a name leads to the end again where it stands for a peer; an end that the snapshot does not know is named by
//! its address, and as `outside` where workloads are told apart only.

use crate::cluster::peer::Resolved;
use crate::cluster::{Cluster, NodeId, Owner, PodId, ServiceId};

/// What the snapshot does not know.
pub(super) const OUTSIDE: &str = "outside";

/// The name of a peer that a record writes as this text: an address is named by its owner.
pub(super) fn name(cluster: &Cluster, ends: &[Resolved], text: &str) -> String {
    let named = match ends {
        [Resolved::Address(address)] => match cluster.owner(*address) {
            Some(Owner::Pod(id)) => pod(cluster, id),
            Some(Owner::Node(id)) => node(cluster, id),
            None => None,
        },
        [
            Resolved::Service {
                service: id,
                address: Some(_),
            },
        ] => service(cluster, *id),
        _ => None,
    };
    named.unwrap_or_else(|| text.to_owned())
}

/// The workload of a peer.
pub(super) fn workload(cluster: &Cluster, ends: &[Resolved], text: &str) -> String {
    let own = |end: &Resolved| match end {
        Resolved::Pod(id) => of_pod(cluster, *id),
        Resolved::Node(id) => node(cluster, *id),
        Resolved::Address(address) => match cluster.owner(*address) {
            Some(Owner::Pod(id)) => of_pod(cluster, id),
            Some(Owner::Node(id)) => node(cluster, id),
            None => Some(OUTSIDE.to_owned()),
        },
        Resolved::Service { service: id, .. } => service(cluster, *id),
        Resolved::World => Some(OUTSIDE.to_owned()),
        Resolved::Fqdn { .. } | Resolved::Hypothetical { .. } => None,
    };
    let mut all = ends.iter().map(own);
    let first = all.next().flatten();
    let is_one = first.is_some() && all.all(|other| other == first);
    first.filter(|_| is_one).unwrap_or_else(|| text.to_owned())
}

fn pod(cluster: &Cluster, id: PodId) -> Option<String> {
    let pod = cluster.pod(id)?;
    Some(format!(
        "{}/{}",
        cluster.namespace_name(pod.namespace),
        pod.name
    ))
}

fn of_pod(cluster: &Cluster, id: PodId) -> Option<String> {
    let workload = cluster
        .pod(id)?
        .workload
        .and_then(|id| cluster.workload(id));
    let Some(workload) = workload else {
        return pod(cluster, id);
    };
    let namespace = cluster.namespace_name(workload.namespace);
    let kind = workload.kind.to_ascii_lowercase();
    Some(format!("{namespace}/{kind}/{}", workload.name))
}

fn node(cluster: &Cluster, id: NodeId) -> Option<String> {
    Some(format!("node/{}", cluster.node(id)?.name))
}

fn service(cluster: &Cluster, id: ServiceId) -> Option<String> {
    let service = cluster.service(id)?;
    let namespace = cluster.namespace_name(service.namespace);
    Some(format!("service:{namespace}/{}", service.name))
}
