//! An end of a question as it is shown.

use super::report::{Party, PartyKind};
use crate::cluster::peer::{HypotheticalNamespace, Resolved};
use crate::cluster::{Cluster, NodeId, Owner, PodId};
use crate::query::Who;
use std::net::IpAddr;

/// One of the ends that a peer stands for.
#[must_use]
pub(super) fn party(cluster: &Cluster, peer: &Resolved, who: Who<'_>) -> Party {
    if let Resolved::Fqdn { name, .. } = peer {
        return Party {
            name: Some(name.to_string()),
            ..outside()
        };
    }
    match who {
        Who::Pod(id) | Who::Owned(_, Owner::Pod(id)) => pod(cluster, id),
        Who::Node(id) | Who::Owned(_, Owner::Node(id)) => node(cluster, id),
        Who::Address(address) => at_address(cluster, address),
        Who::Hypothetical(_) => hypothetical(cluster, peer),
        Who::World => outside(),
    }
}

/// An end outside of which nothing is known.
pub(super) fn outside() -> Party {
    Party {
        kind: PartyKind::Ip,
        namespace: None,
        name: None,
        workload: None,
        ip: None,
    }
}

fn pod(cluster: &Cluster, id: PodId) -> Party {
    let Some(pod) = cluster.pod(id) else {
        return outside();
    };
    let workload = pod.workload.and_then(|id| cluster.workload(id));
    Party {
        kind: PartyKind::Pod,
        namespace: Some(cluster.namespace_name(pod.namespace).into()),
        name: Some(pod.name.to_string()),
        workload: workload.map(|workload| format!("{}/{}", workload.kind, workload.name)),
        ip: None,
    }
}

fn node(cluster: &Cluster, id: NodeId) -> Party {
    Party {
        kind: PartyKind::Node,
        name: cluster.node(id).map(|node| node.name.to_string()),
        ..outside()
    }
}

fn at_address(cluster: &Cluster, address: IpAddr) -> Party {
    match cluster.owner(address) {
        Some(Owner::Pod(id)) => pod(cluster, id),
        Some(Owner::Node(id)) => node(cluster, id),
        None => Party {
            ip: Some(address.to_string()),
            ..outside()
        },
    }
}

fn hypothetical(cluster: &Cluster, peer: &Resolved) -> Party {
    let Resolved::Hypothetical { namespace, labels } = peer else {
        return outside();
    };
    let bracketed = |text: String| {
        if text.is_empty() {
            "[*]".into()
        } else {
            format!("[{text}]")
        }
    };
    let namespace = match namespace {
        HypotheticalNamespace::Existing(id) => cluster.namespace_name(*id).to_owned(),
        HypotheticalNamespace::New(labels) => format!("{}/", bracketed(labels.to_string())),
    };
    Party {
        kind: PartyKind::Pod,
        namespace: Some(namespace),
        name: Some(bracketed(labels.to_string())),
        ..outside()
    }
}
