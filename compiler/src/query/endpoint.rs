//! An end of a question as an end of a flow.

use super::families::{Families, Family};
use super::{Hypothetical, Who};
use crate::cluster::{Cluster, HostNetwork, NO_LABELS, Node, NodeId, Owner, Pod, PodId};
use crate::hir::flow::{Address, Endpoint, EndpointKind, NodeView, PodView};
use std::net::IpAddr;

/// The families that an end may have; those of the cluster where its addresses are not known, and none where
/// nothing is known.
#[must_use]
pub fn families_of(cluster: &Cluster, families: Families, who: Who<'_>) -> Families {
    let known = match who {
        Who::Pod(id) => cluster
            .pods()
            .get(id.index())
            .map_or(Families::default(), |pod| pod_families(cluster, pod)),
        Who::Node(id) => node(cluster, Some(id))
            .map_or(Families::default(), |node| Families::among(&node.addresses)),
        Who::Address(address) | Who::Owned(address, _) => Families::only(Family::of(address)),
        Who::Hypothetical(_) => Families::default(),
        // The outside has both, whatever the cluster has.
        Who::World => return Families::default(),
    };
    known.or_else(families)
}

fn pod_families(cluster: &Cluster, pod: &Pod) -> Families {
    let own = Families::among(&pod.addresses);
    if !pod.host_network {
        return own;
    }
    own.or_else(
        node(cluster, pod.node)
            .map_or(Families::default(), |node| Families::among(&node.addresses)),
    )
}

/// An end of a flow in one family.
#[must_use]
pub fn endpoint<'c>(cluster: &'c Cluster, who: Who<'c>, family: Family) -> Endpoint<'c> {
    match who {
        Who::Pod(id) => match cluster.pods().get(id.index()) {
            Some(pod) => pod_endpoint(cluster, id, pod, address_in(&pod.addresses, family)),
            None => outside(family.unknown()),
        },
        Who::Node(id) => node_endpoint(cluster, Some(id), &[], family),
        Who::Address(address) => {
            let address = address.to_canonical();
            address_endpoint(cluster, address, cluster.owner(address), family)
        }
        Who::Owned(address, owner) => {
            address_endpoint(cluster, address.to_canonical(), Some(owner), family)
        }
        Who::Hypothetical(pod) => hypothetical_endpoint(pod, family),
        Who::World => outside(family.unknown()),
    }
}

fn address_in(addresses: &[IpAddr], family: Family) -> Address {
    addresses
        .iter()
        .map(IpAddr::to_canonical)
        .find(|address| Family::of(*address) == family)
        .map_or(family.unknown(), Address::Known)
}

fn outside<'c>(address: Address) -> Endpoint<'c> {
    Endpoint {
        kind: EndpointKind::Outside,
        address,
        by_service: false,
    }
}

fn pod_endpoint<'c>(
    cluster: &'c Cluster,
    id: PodId,
    pod: &'c Pod,
    address: Address,
) -> Endpoint<'c> {
    if pod.host_network {
        return host_endpoint(cluster, id, pod, address);
    }
    Endpoint {
        kind: EndpointKind::Pod(pod_view(cluster, id, pod)),
        address,
        by_service: false,
    }
}

/// A pod on its node's network, as [`HostNetwork`] says.
fn host_endpoint<'c>(
    cluster: &'c Cluster,
    id: PodId,
    pod: &'c Pod,
    address: Address,
) -> Endpoint<'c> {
    let family = match address {
        Address::Known(address) => Family::of(address),
        Address::Unknown { v4: true, .. } => Family::V4,
        Address::Unknown { v4: false, .. } => Family::V6,
    };
    let node = node_endpoint(cluster, pod.node, &pod.addresses, family);
    match cluster.host_network() {
        HostNetwork::Node => node,
        HostNetwork::Pod => Endpoint {
            kind: EndpointKind::Pod(pod_view(cluster, id, pod)),
            ..node
        },
    }
}

/// A pod of the snapshot as rules see it.
#[must_use]
pub fn pod_view<'c>(cluster: &'c Cluster, id: PodId, pod: &'c Pod) -> PodView<'c> {
    let namespace = cluster.namespaces().get(pod.namespace.index());
    PodView {
        id: Some(id),
        namespace: namespace.map_or("", |namespace| &namespace.name),
        namespace_labels: namespace
            .map_or(&NO_LABELS, |namespace| cluster.labels(namespace.labels)),
        labels: cluster.labels(pod.labels),
        ports: Some(cluster.ports(pod.ports)),
        service_account: &pod.service_account,
        node: pod.node,
        host: pod.host_network.then(|| node_view(cluster, pod.node)),
    }
}

fn node_view(cluster: &Cluster, id: Option<NodeId>) -> NodeView<'_> {
    let node = node(cluster, id);
    NodeView {
        id,
        labels: node.map_or(&NO_LABELS, |node| cluster.labels(node.labels)),
    }
}

fn node(cluster: &Cluster, id: Option<NodeId>) -> Option<&Node> {
    cluster.nodes().get(id?.index())
}

/// A node, or a pod on its network with addresses of its own manifest.
fn node_endpoint<'c>(
    cluster: &'c Cluster,
    id: Option<NodeId>,
    own: &[IpAddr],
    family: Family,
) -> Endpoint<'c> {
    let node = node(cluster, id);
    let address = match address_in(own, family) {
        known @ Address::Known(_) => known,
        Address::Unknown { .. } => address_in(node.map_or(&[], |node| &node.addresses), family),
    };
    Endpoint {
        kind: EndpointKind::Node(node_view(cluster, id)),
        address,
        by_service: false,
    }
}

/// An address with its owner. In a flow of the other family the address is not known.
fn address_endpoint(
    cluster: &Cluster,
    address: IpAddr,
    owner: Option<Owner>,
    family: Family,
) -> Endpoint<'_> {
    let here = if Family::of(address) == family {
        Address::Known(address)
    } else {
        family.unknown()
    };
    let owner = match owner {
        Some(Owner::Pod(id)) => cluster
            .pods()
            .get(id.index())
            .map(|pod| pod_endpoint(cluster, id, pod, here)),
        Some(Owner::Node(id)) => Some(node_endpoint(cluster, Some(id), &[address], family)),
        None => None,
    };
    owner.unwrap_or_else(|| outside(here))
}

/// The service account of pods that name none.
/// <https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/>
pub(crate) const DEFAULT_SERVICE_ACCOUNT: &str = "default";

/// A pod that does not exist as rules see it.
#[must_use]
pub fn hypothetical_view(pod: Hypothetical<'_>) -> PodView<'_> {
    PodView {
        id: None,
        namespace: pod.namespace,
        namespace_labels: pod.namespace_labels,
        labels: pod.labels,
        ports: None,
        service_account: DEFAULT_SERVICE_ACCOUNT,
        node: None,
        host: None,
    }
}

fn hypothetical_endpoint(pod: Hypothetical<'_>, family: Family) -> Endpoint<'_> {
    Endpoint {
        kind: EndpointKind::Pod(hypothetical_view(pod)),
        address: family.unknown(),
        by_service: false,
    }
}
