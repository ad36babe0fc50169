//! The identities of a node as the other ends of flows.

use super::labels::Known;
use crate::cluster::{Cluster, NO_LABELS, NamedPort, PodId};
use crate::hir::Enforcement;
use crate::hir::flow::{Address, Endpoint, EndpointKind, PodView};
use crate::identity::{Identity, key, source};
use crate::policymap::named_ports as named_ports_of;
use crate::query::pod_view;
use crate::source::to_u32;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// Every port that has a name anywhere.
pub(super) fn named_ports(cluster: &Cluster, known: &Known) -> BTreeSet<NamedPort> {
    let of_pods = cluster
        .pods()
        .iter()
        .flat_map(|pod| cluster.ports(pod.ports));
    let of_identities = known.values().flat_map(named_ports_of);
    of_pods.cloned().chain(of_identities).collect()
}

/// An identity of the node as the other end of a flow.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) number: u32,
    pub(super) identity: Identity,
    /// Its named ports; `None` where they are not known.
    pub(super) ports: Option<Vec<NamedPort>>,
    is_pod: bool,
}

impl Peer {
    pub(super) fn new(
        cluster: &Cluster,
        enforcement: &Enforcement,
        number: u32,
        identity: &Identity,
    ) -> Self {
        let has_labels = enforcement.identities.options().named_ports;
        Self {
            number,
            identity: identity.clone(),
            ports: if has_labels {
                Some(named_ports_of(identity))
            } else {
                ports_of_pods(cluster, enforcement, identity)
            },
            is_pod: identity.labels.get(source::K8S, key::NAMESPACE).is_some(),
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint<'_> {
        let pod = PodView {
            id: None,
            namespace: "",
            namespace_labels: &NO_LABELS,
            labels: &NO_LABELS,
            ports: self.ports.as_deref(),
            service_account: "",
            node: None,
            host: None,
        };
        Endpoint {
            kind: if self.is_pod {
                EndpointKind::Pod(pod)
            } else {
                EndpointKind::Outside
            },
            // The identity is given, so no address is asked.
            address: Address::Known(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            by_service: false,
        }
    }
}

/// The named ports of the pods that have an identity, where all have the same.
fn ports_of_pods(
    cluster: &Cluster,
    enforcement: &Enforcement,
    identity: &Identity,
) -> Option<Vec<NamedPort>> {
    let pods = cluster.pods().iter().enumerate();
    let mut ports = pods
        .map(|(index, pod)| pod_view(cluster, PodId(to_u32(index)), pod))
        .filter(|pod| {
            let own = enforcement.identities.pod((*pod).into(), None);
            own.labels == identity.labels
        })
        .map(|pod| pod.ports);
    let first = ports.next()??;
    ports
        .all(|ports| ports == Some(first))
        .then(|| first.to_vec())
}
