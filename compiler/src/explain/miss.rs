//! Which field of a rule keeps it from matching a flow, and what it would have needed.

use super::Context;
use crate::cluster::Labels;
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow, PodView, Transport};
use crate::hir::spec::{self, Truth};
use crate::hir::{
    Direction, IpBlock, NamespaceSelector, Operator, Peer, PodSelector, PortMatch, PortRange,
    Requirement, Rule, RuleOrigin, Selector,
};
use crate::source::Span;

/// How far off an end is whose kind the peer never matches.
const OTHER_KIND: usize = 16;

/// Why a rule does not match.
#[derive(Clone, Debug)]
pub struct Miss {
    /// How much is in the way: the fewer, the nearer.
    pub distance: usize,
    /// The field in the object: `spec.ingress[0].ports`.
    pub field: String,
    /// The field in the text.
    pub span: Span,
    /// What is in the way.
    pub why: String,
}

/// Why a rule does not match a flow; `None` where it does or may.
pub(super) fn miss(
    context: Context<'_>,
    flow: &Flow<'_>,
    direction: Direction,
    origin: &RuleOrigin,
    rule: &Rule,
) -> Option<Miss> {
    let other = other_end(flow, direction);
    let peers = (spec::peers_match(context.world(), rule, other) == Truth::No)
        .then(|| missed_peer(context, other, origin, rule));
    let ports =
        (spec::ports_match(rule, flow) == Truth::No).then(|| missed_port(flow, origin, rule));
    match (peers, ports) {
        (None, None) => None,
        (Some(miss), None) | (None, Some(miss)) => Some(miss),
        (Some(peer), Some(port)) => Some(Miss {
            distance: peer.distance + port.distance + 1,
            why: format!("{}; and {}", peer.why, port.why),
            ..peer
        }),
    }
}

/// The end of a flow that rules of a direction look at.
pub(super) fn other_end<'a, 'f>(flow: &'a Flow<'f>, direction: Direction) -> &'a Endpoint<'f> {
    match direction {
        Direction::Ingress => &flow.src,
        Direction::Egress => &flow.dst,
    }
}

/// By which of its items a rule matches.
pub(super) fn matching_items(
    context: Context<'_>,
    flow: &Flow<'_>,
    origin: &RuleOrigin,
    rule: &Rule,
) -> String {
    let other = other_end(flow, origin.direction);
    let peer = rule
        .peers
        .iter()
        .flatten()
        .zip(&origin.peers)
        .filter_map(
            |(peer, item)| match spec::peer_matches(context.world(), peer, other) {
                Truth::No => None,
                Truth::Unknown => Some(format!("{} may match", item.path)),
                Truth::Yes => Some(item.path.to_string()),
            },
        );
    let port = rule
        .ports
        .iter()
        .flatten()
        .zip(&origin.ports)
        .filter_map(|(port, item)| match spec::port_matches(port, flow) {
            Truth::No => None,
            Truth::Unknown => Some(format!("{} may match", item.path)),
            Truth::Yes => Some(item.path.to_string()),
        });
    let peers = peer.collect::<Vec<_>>();
    let ports = port.collect::<Vec<_>>();
    let peers = if rule.peers.is_some() {
        peers.join(", ")
    } else {
        "anyone".into()
    };
    let ports = if rule.ports.is_some() {
        ports.join(", ")
    } else {
        "every port".into()
    };
    format!("matches by {peers} and {ports}")
}

fn missed_port(flow: &Flow<'_>, origin: &RuleOrigin, rule: &Rule) -> Miss {
    let ports = rule.ports.as_deref().unwrap_or_default();
    let list: Vec<String> = ports.iter().map(port_text).collect();
    let asked = transport_text(flow.transport);
    let unresolved = ports.iter().find_map(|port| unresolved_name(port, flow));
    let why = match (unresolved, flow.transport.protocol.has_ports()) {
        (Some(why), _) => why,
        (None, true) => format!("port {asked} is not in {}", list.join(", ")),
        (None, false) => format!(
            "{asked} has no port, and the rule is for {} only",
            list.join(", ")
        ),
    };
    let item = origin.ports.first();
    let field = match (origin.ports.as_slice(), item) {
        ([only], _) => format!("{}.{}", origin.path, only.path),
        (_, Some(first)) => format!("{}.{}", origin.path, list_name(&first.path)),
        (_, None) => origin.path.to_string(),
    };
    Miss {
        distance: 1,
        field,
        span: item.map_or(origin.span, |item| item.span),
        why,
    }
}

fn list_name(path: &str) -> &str {
    path.split('[').next().unwrap_or(path)
}

/// A named port that the destination does not have, or has elsewhere.
fn unresolved_name(port: &PortMatch, flow: &Flow<'_>) -> Option<String> {
    let PortMatch::Named { protocol, name } = port else {
        return None;
    };
    let EndpointKind::Pod(pod) = &flow.dst.kind else {
        return Some(format!(
            "`{name}` is a port name, and only pods name their ports"
        ));
    };
    let own = pod
        .ports?
        .iter()
        .filter(|own| own.name == *name)
        .find(|own| protocol.is_none_or(|protocol| protocol == own.protocol));
    Some(match own {
        Some(own) => format!(
            "`{name}` is port {}/{} at this pod",
            own.number, own.protocol
        ),
        None => format!("the destination pod has no port that is named `{name}`"),
    })
}

/// A port of a rule as it is shown: `8080/TCP`.
#[must_use]
pub fn port_text(port: &PortMatch) -> String {
    match port {
        PortMatch::Range { protocol, ports } if *ports == PortRange::ALL => protocol.to_string(),
        PortMatch::Range { protocol, ports } if ports.first == ports.last => {
            format!("{}/{protocol}", ports.first)
        }
        PortMatch::Range { protocol, ports } => {
            format!("{}-{}/{protocol}", ports.first, ports.last)
        }
        PortMatch::Named {
            protocol: Some(protocol),
            name,
        } => format!("{name}/{protocol}"),
        PortMatch::Named {
            protocol: None,
            name,
        } => name.to_string(),
    }
}

/// What a flow carries as it is shown: `443/TCP`.
#[must_use]
pub fn transport_text(transport: Transport) -> String {
    match (transport.port, transport.icmp) {
        (Some(port), _) => format!("{port}/{}", transport.protocol),
        (None, Some((kind, _))) => format!("{kind}/{}", transport.protocol),
        (None, None) => transport.protocol.to_string(),
    }
}

fn missed_peer(
    context: Context<'_>,
    other: &Endpoint<'_>,
    origin: &RuleOrigin,
    rule: &Rule,
) -> Miss {
    let peers = rule.peers.as_deref().unwrap_or_default();
    let nearest = peers
        .iter()
        .zip(&origin.peers)
        .map(|(peer, item)| (peer_miss(context, peer, other), item))
        .min_by_key(|((distance, _), _)| *distance);
    match nearest {
        Some(((distance, why), item)) => Miss {
            distance,
            field: format!("{}.{}", origin.path, item.path),
            span: item.span,
            why,
        },
        None => Miss {
            distance: OTHER_KIND,
            field: origin.path.to_string(),
            span: origin.span,
            why: "the rule names nobody".into(),
        },
    }
}

/// How far a peer is from an end, and what is in the way.
fn peer_miss(context: Context<'_>, peer: &Peer, other: &Endpoint<'_>) -> (usize, String) {
    match (peer, &other.kind) {
        (Peer::Pods(selector), EndpointKind::Pod(pod)) => pod_miss(selector, pod),
        (Peer::Pods(_), EndpointKind::Node(_)) => (
            OTHER_KIND,
            "it selects pods, and a node or host-networked pod is none for it".into(),
        ),
        (Peer::Pods(_), EndpointKind::Outside) => (
            OTHER_KIND,
            "it selects pods, and this end is outside the cluster".into(),
        ),
        (Peer::Nodes(selector), EndpointKind::Node(node)) => {
            let (distance, why) = selector_miss(selector, node.labels, "the node");
            (distance, why.join("; "))
        }
        (Peer::Nodes(_), EndpointKind::Pod(_) | EndpointKind::Outside) => {
            (OTHER_KIND, "it selects nodes, and this end is none".into())
        }
        (Peer::Addresses(_), EndpointKind::Pod(_))
            if !context.policies.semantics.cidr_matches_pods =>
        {
            (
                OTHER_KIND,
                "address blocks do not match pods here (`cidr-matches-pods` is false)".into(),
            )
        }
        (Peer::Addresses(block), _) => (2, block_miss(block, other.address)),
        (Peer::Domain(pattern), _) => (
            2,
            format!(
                "no DNS answer that was seen for `{}` has this address",
                pattern
            ),
        ),
    }
}

fn block_miss(block: &IpBlock, address: Address) -> String {
    let Address::Known(address) = address else {
        return format!("{} is of another address family", block.cidr);
    };
    match block.except.iter().find(|except| except.contains(&address)) {
        Some(except) if block.cidr.contains(&address) => {
            format!("{address} is in the exception {except}")
        }
        _ => format!("{address} is not in {}", block.cidr),
    }
}

fn pod_miss(selector: &PodSelector, pod: &PodView<'_>) -> (usize, String) {
    let (mut distance, mut whys) = match &selector.namespaces {
        NamespaceSelector::Named(name) if **name == *pod.namespace => (0, Vec::new()),
        NamespaceSelector::Named(name) => (
            1,
            vec![format!(
                "it selects pods of namespace `{name}`, and the pod is in `{}`",
                pod.namespace
            )],
        ),
        NamespaceSelector::Labels(labels) => selector_miss(
            labels,
            pod.namespace_labels,
            &format!("namespace `{}`", pod.namespace),
        ),
    };
    let (more, pods) = selector_miss(&selector.pods, pod.labels, "the pod");
    distance += more;
    whys.extend(pods);
    (distance, whys.join("; "))
}

fn selector_miss(selector: &Selector, labels: &Labels, whose: &str) -> (usize, Vec<String>) {
    let failing = selector
        .requirements
        .iter()
        .filter(|requirement| !requirement.matches(labels));
    let whys: Vec<String> = failing
        .map(|requirement| requirement_miss(requirement, labels, whose))
        .collect();
    (whys.len(), whys)
}

fn requirement_miss(requirement: &Requirement, labels: &Labels, whose: &str) -> String {
    let key = &requirement.key;
    let has = match labels.get(key) {
        Some(value) => format!("has `{key}={value}`"),
        None => format!("has no label `{key}`"),
    };
    let needs = match &requirement.operator {
        Operator::In(values) => match values.as_slice() {
            [only] => format!("`{key}={only}`"),
            several => format!("`{key}` to be one of {}", quoted(several)),
        },
        Operator::NotIn(values) => format!("`{key}` to be none of {}", quoted(values)),
        Operator::Exists => format!("a label `{key}`"),
        Operator::DoesNotExist => format!("no label `{key}`"),
    };
    format!("it needs {needs}, and {whose} {has}")
}

fn quoted(values: &[Box<str>]) -> String {
    values
        .iter()
        .map(|value| format!("`{value}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
