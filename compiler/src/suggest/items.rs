//! The items of rules that name one flow and as little else as the kind of policy allows.

use crate::cluster::{Labels, NAMESPACE_NAME_LABEL};
use crate::explain::view::View;
use crate::hir::flow::{Address, EndpointKind};
use crate::hir::{
    Direction, IpBlock, NamespaceSelector, Peer, PodSelector, Policy, PortMatch, PortRange,
    Requirement, Selector, Tier,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Labels that controllers put on pods, or that differ between versions of one workload.
pub(super) const VOLATILE_LABELS: [&str; 9] = [
    "app.kubernetes.io/version",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "controller-revision-hash",
    "controller-uid",
    "helm.sh/chart",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetesiohostname>
const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";

/// The ports that the flow stands for; `None` where it has none or they are not known.
pub(super) fn port_of(view: View<'_>) -> Option<PortMatch> {
    let transport = view.flow.transport;
    let first = transport.port.filter(|_| transport.protocol.has_ports())?;
    let last = view.last.unwrap_or(first);
    let is_all = (first, last) == (1, u16::MAX);
    Some(PortMatch::Range {
        protocol: transport.protocol,
        ports: if is_all {
            PortRange::ALL
        } else {
            PortRange { first, last }
        },
    })
}

/// A peer that names the other end and as little else as its kind allows.
pub(super) fn peer_of(view: View<'_>, policy: &Policy) -> Option<Peer> {
    let end = view.other().seen_in(policy.tier);
    match &end.kind {
        EndpointKind::Pod(pod) => {
            let own = match &policy.subject.pods()?.namespaces {
                NamespaceSelector::Named(name) => **name == *pod.namespace,
                NamespaceSelector::Labels(_) => false,
            };
            let namespaces = if own {
                NamespaceSelector::Named(pod.namespace.into())
            } else {
                NamespaceSelector::Labels(namespace_selector(pod.namespace, pod.namespace_labels))
            };
            Some(Peer::Pods(PodSelector {
                namespaces,
                pods: stable_labels(pod.labels),
            }))
        }
        EndpointKind::Node(_) | EndpointKind::Outside => {
            // The cluster-wide kinds cannot name an address as the source of a flow.
            let can_name = policy.tier == Tier::Namespace || view.direction == Direction::Egress;
            can_name.then(|| address_peer(view, policy.tier)).flatten()
        }
    }
}

/// An end that is no pod: by its address; a node without one by its name, where the kind allows that; the
/// outside as a whole by all addresses of its family.
fn address_peer(view: View<'_>, tier: Tier) -> Option<Peer> {
    let end = view.other().seen_in(tier);
    let is_whole_outside = view.party.name.is_none() && view.party.ip.is_none();
    let block = |cidr| {
        Peer::Addresses(IpBlock {
            cidr,
            except: Vec::new(),
        })
    };
    match (end.address, &end.kind) {
        (Address::Known(address), _) => Some(block(IpNet::from(address))),
        (Address::Unknown { v4, v6 }, EndpointKind::Outside) if is_whole_outside => {
            match (v4, v6) {
                (true, false) => Some(block(Ipv4Net::default().into())),
                (false, true) => Some(block(Ipv6Net::default().into())),
                (true, true) | (false, false) => None,
            }
        }
        (Address::Unknown { .. }, EndpointKind::Node(node)) if tier != Tier::Namespace => {
            let hostname = node.labels.get(HOSTNAME_LABEL)?;
            let hostname = Requirement::equal(HOSTNAME_LABEL, hostname);
            Some(Peer::Nodes([hostname].into_iter().collect()))
        }
        (Address::Unknown { .. }, _) => None,
    }
}

/// A namespace by its name, or one that does not exist by its labels.
pub(super) fn namespace_selector(name: &str, labels: &Labels) -> Selector {
    if name.is_empty() {
        return stable_labels(labels);
    }
    let name = Requirement::equal(NAMESPACE_NAME_LABEL, name);
    [name].into_iter().collect()
}

/// What selects a pod and those like it, but not what differs between versions of its workload.
pub(super) fn stable_labels(labels: &Labels) -> Selector {
    labels
        .iter()
        .filter(|(key, _)| !VOLATILE_LABELS.contains(key))
        .map(|(key, value)| Requirement::equal(key, value))
        .collect()
}
