//! ClusterNetworkPolicy, `policy.networking.k8s.io/v1alpha2`.
//! <https://github.com/kubernetes-sigs/network-policy-api/blob/main/apis/v1alpha2/clusternetworkpolicy_types.go>

use super::selector::{
    all_pods, cidr, domain, namespaced_pod, number, range, selector, subject, text,
};
use super::{Draft, DraftRule, Unread, filled_list, list, read};
use crate::cluster::Protocol;
use crate::diagnostic::ObjectRef;
use crate::frontend::manifest::NodeRef;
use crate::frontend::schema::walk::whole;
use crate::hir::{
    Action, Direction, ItemOrigin, Peer, PerDirection, PortMatch, PortRange, Precedence, Subject,
    Tier,
};

pub(super) fn lower(object: ObjectRef, root: NodeRef<'_>) -> Result<Draft, Unread> {
    let spec = root.get("spec");
    let baseline = spec.and_then(|spec| text(spec, "tier")) == Some("Baseline");
    let rules = |direction| spec.map_or(Ok(Vec::new()), |spec| rules(spec, direction));
    Ok(Draft {
        span: root.span(),
        tier: if baseline {
            Tier::Baseline
        } else {
            Tier::Admin
        },
        priority: priority(spec)?,
        subject: Subject::Pods(subject(spec)?),
        isolates: PerDirection::default(),
        rules: PerDirection {
            ingress: rules(Direction::Ingress)?,
            egress: rules(Direction::Egress)?,
        },
        object,
    })
}

/// Field `priority`, 0 to 1000; a baseline policy of v1alpha1 has none, and there is only one.
pub(super) fn priority(spec: Option<NodeRef<'_>>) -> Result<u32, Unread> {
    let Some(node) = spec.and_then(|spec| spec.get("priority")) else {
        return Ok(0);
    };
    let number = whole(node.value()).and_then(|number| u32::try_from(number).ok());
    read(node, number)
}

fn rules(spec: NodeRef<'_>, direction: Direction) -> Result<Vec<DraftRule>, Unread> {
    let (section, key) = match direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let Some(items) = filled_list(spec, section) else {
        return Ok(Vec::new());
    };
    items
        .map(|(path, node)| {
            Ok(DraftRule {
                action: read(node, text(node, "action").and_then(action))?,
                path: format!("spec.{path}").into(),
                name: text(node, "name").map(Into::into),
                span: node.span(),
                peers: Some(peers(node, key)?),
                ports: filled_list(node, "protocols")
                    .map(|items| items.map(protocol).collect())
                    .transpose()?,
                precedence: Precedence::default(),
                contents: None,
                services: Vec::new(),
            })
        })
        .collect()
}

pub(super) fn action(name: &str) -> Option<Action> {
    match name {
        "Accept" => Some(Action::Allow),
        "Deny" => Some(Action::Deny),
        "Pass" => Some(Action::Pass),
        _ => None,
    }
}

/// The items of `from` or `to`: `networks` and `domainNames` give one peer for each of their own items.
pub(super) fn peers(
    rule: NodeRef<'_>,
    key: &'static str,
) -> Result<Vec<(Peer, ItemOrigin)>, Unread> {
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
            push(Peer::Pods(all_pods(namespaces)?), path, node);
        } else if let Some(pods) = node.get("pods") {
            push(Peer::Pods(namespaced_pod(pods)?), path, node);
        } else if let Some(nodes) = node.get("nodes") {
            push(Peer::Nodes(selector(Some(nodes))?), path, node);
        } else {
            let (networks, names) = (list(node, "networks"), list(node, "domainNames"));
            if networks.is_none() && names.is_none() {
                return read(node, None);
            }
            for (below, network) in networks.into_iter().flatten() {
                let path = format!("{path}.{below}").into();
                push(Peer::Addresses(cidr(network)?), path, network);
            }
            for (below, name) in names.into_iter().flatten() {
                let path = format!("{path}.{below}").into();
                push(Peer::Domain(domain(name)?), path, name);
            }
        }
    }
    Ok(peers)
}

/// One item of `protocols`: a protocol, with or without destination ports, or a named port.
pub(super) fn protocol(
    (path, node): (Box<str>, NodeRef<'_>),
) -> Result<(PortMatch, ItemOrigin), Unread> {
    let origin = ItemOrigin {
        path,
        span: node.span(),
    };
    if let Some(name) = text(node, "destinationNamedPort") {
        return Ok((
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
    let set = named
        .iter()
        .find_map(|(key, protocol)| Some((node.get(key)?, *protocol)));
    let (body, protocol) = read(node, set)?;
    let Some(port) = body.get("destinationPort") else {
        return Ok((
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
    Ok((ports, origin))
}
