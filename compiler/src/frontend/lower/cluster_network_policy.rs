//! ClusterNetworkPolicy, `policy.networking.k8s.io/v1alpha2`.
//! <https://github.com/kubernetes-sigs/network-policy-api/blob/main/apis/v1alpha2/clusternetworkpolicy_types.go>

use super::selector::{
    all_pods, cidr, domain, namespaced_pod, number, range, selector, subject, text,
};
use super::{Draft, DraftRule, filled_list, list};
use crate::cluster::Protocol;
use crate::diagnostic::ObjectRef;
use crate::frontend::manifest::NodeRef;
use crate::hir::{Action, Direction, ItemOrigin, Peer, PerDirection, PortMatch, PortRange, Tier};

pub(super) fn lower(object: ObjectRef, root: NodeRef<'_>) -> Draft {
    let spec = root.get("spec");
    let baseline = spec.and_then(|spec| text(spec, "tier")) == Some("Baseline");
    let rules = |direction| spec.map(|spec| rules(spec, direction)).unwrap_or_default();
    Draft {
        span: root.span(),
        tier: if baseline {
            Tier::Baseline
        } else {
            Tier::Admin
        },
        priority: priority(spec),
        subject: subject(spec),
        isolates: PerDirection::default(),
        rules: PerDirection {
            ingress: rules(Direction::Ingress),
            egress: rules(Direction::Egress),
        },
        object,
    }
}

/// Field `priority`, 0 to 1000; a baseline policy of v1alpha1 has none, and there is only one.
pub(super) fn priority(spec: Option<NodeRef<'_>>) -> u32 {
    let number = spec
        .and_then(|spec| spec.get("priority"))
        .and_then(NodeRef::as_int);
    number
        .and_then(|number| u32::try_from(number).ok())
        .unwrap_or(0)
}

fn rules(spec: NodeRef<'_>, direction: Direction) -> Vec<DraftRule> {
    let (section, key) = match direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let Some(items) = filled_list(spec, section) else {
        return Vec::new();
    };
    items
        .filter_map(|(path, node)| {
            Some(DraftRule {
                action: action(text(node, "action")?)?,
                path: format!("spec.{path}").into(),
                name: text(node, "name").map(Into::into),
                span: node.span(),
                peers: Some(peers(node, key)),
                ports: filled_list(node, "protocols")
                    .map(|items| items.filter_map(protocol).collect()),
            })
        })
        .collect()
}

fn action(name: &str) -> Option<Action> {
    match name {
        "Accept" => Some(Action::Allow),
        "Deny" => Some(Action::Deny),
        "Pass" => Some(Action::Pass),
        _ => None,
    }
}

/// The items of `from` or `to`: `networks` and `domainNames` give one peer for each of their own items.
pub(super) fn peers(rule: NodeRef<'_>, key: &'static str) -> Vec<(Peer, ItemOrigin)> {
    let mut peers = Vec::new();
    for (path, node) in list(rule, key).into_iter().flatten() {
        let mut push = |peer: Peer, path: Box<str>, node: NodeRef<'_>| {
            peers.push((
                peer,
                ItemOrigin {
                    path,
                    span: node.span(),
                },
            ));
        };
        if let Some(namespaces) = node.get("namespaces") {
            push(Peer::Pods(all_pods(namespaces)), path, node);
        } else if let Some(pods) = node.get("pods") {
            push(Peer::Pods(namespaced_pod(pods)), path, node);
        } else if let Some(nodes) = node.get("nodes") {
            push(Peer::Nodes(selector(Some(nodes))), path, node);
        } else {
            for (below, network) in list(node, "networks").into_iter().flatten() {
                if let Some(block) = cidr(network) {
                    push(
                        Peer::Addresses(block),
                        format!("{path}.{below}").into(),
                        network,
                    );
                }
            }
            for (below, name) in list(node, "domainNames").into_iter().flatten() {
                if let Some(pattern) = domain(name) {
                    push(
                        Peer::Domain(pattern),
                        format!("{path}.{below}").into(),
                        name,
                    );
                }
            }
        }
    }
    peers
}

/// One item of `protocols`: a protocol, with or without destination ports, or a named port.
fn protocol((path, node): (Box<str>, NodeRef<'_>)) -> Option<(PortMatch, ItemOrigin)> {
    let origin = ItemOrigin {
        path,
        span: node.span(),
    };
    if let Some(name) = text(node, "destinationNamedPort") {
        return Some((
            PortMatch::Named {
                protocol: None,
                name: name.into(),
            },
            origin,
        ));
    }
    let named = [
        ("tcp", Protocol::TCP),
        ("udp", Protocol::UDP),
        ("sctp", Protocol::SCTP),
    ];
    let (body, protocol) = named
        .iter()
        .find_map(|(key, protocol)| Some((node.get(key)?, *protocol)))?;
    let Some(port) = body.get("destinationPort") else {
        return Some((
            PortMatch::Range {
                protocol,
                ports: PortRange::ALL,
            },
            origin,
        ));
    };
    let ports = match port.get("range") {
        Some(bounds) => range(protocol, number(bounds, "start")?, number(bounds, "end")?),
        None => number(port, "number").map(|port| range(protocol, port, port))?,
    };
    Some((ports, origin))
}
