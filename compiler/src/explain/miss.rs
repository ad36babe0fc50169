//! Which field of a rule keeps it from matching a flow, and what it would have needed.

mod identities;

use super::view::View;
use super::words::list;
use crate::cluster::{Labels, NAMESPACE_NAME_LABEL, Protocol};
use crate::hir::flow::{Address, EndpointKind, PodView};
use crate::hir::spec::Truth;
use crate::hir::{
    IpBlock, ItemOrigin, NamespaceSelector, Operator, Peer, PodSelector, PortMatch, PortRange,
    Requirement, Rule, RuleOrigin, Selector, Tier,
};
use crate::source::Span;

/// How far off an end is whose kind the peer never matches.
const OTHER_KIND: usize = 16;

/// Why a rule does not match.
#[derive(Clone, Debug)]
pub(super) struct Miss {
    /// How much is in the way: the fewer, the nearer.
    pub(super) distance: usize,
    /// The field in the object: `spec.ingress[0].ports`.
    pub(super) field: String,
    /// The field in the text.
    pub(super) span: Span,
    /// What is in the way.
    pub(super) why: String,
}

/// Why a rule does not match a flow; `None` where it does or may.
pub(super) fn miss(view: View<'_>, origin: &RuleOrigin, rule: &Rule) -> Option<Miss> {
    let peers = (view.peers_match(rule) == Truth::No).then(|| missed_peer(view, origin, rule));
    let ports = (view.ports_match(rule) == Truth::No).then(|| missed_port(view, origin, rule));
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

/// By which of its items a rule matches, or may match.
pub(super) fn matching_items(view: View<'_>, origin: &RuleOrigin, rule: &Rule) -> String {
    let end = view.other_word();
    let peers = by_items(end, &rule.peers, &origin.peers, |peer| {
        view.peer_matches(view.tier(rule), peer)
    });
    let ports = by_items("port", &rule.ports, &origin.ports, |port| {
        view.port_matches(view.tier(rule), port)
    });
    let verb = match view.matches(rule) {
        Truth::Yes => "matches",
        Truth::Unknown | Truth::No => "may match",
    };
    format!("{verb}: {peers}, {ports}")
}

/// `source by from[0] and from[2]`, `port perhaps by ports[0]`, `any port`.
fn by_items<T>(
    what: &str,
    items: &Option<Vec<T>>,
    origins: &[ItemOrigin],
    truth: impl Fn(&T) -> Truth,
) -> String {
    let Some(items) = items else {
        return format!("any {what}");
    };
    let best = items.iter().map(&truth).max().unwrap_or(Truth::No);
    let paths: Vec<String> = items
        .iter()
        .zip(origins)
        .filter(|(item, _)| truth(item) == best)
        .map(|(_, origin)| origin.path.to_string())
        .collect();
    let perhaps = match best {
        Truth::Yes => "",
        Truth::Unknown | Truth::No => "perhaps ",
    };
    format!("{what} {perhaps}by {}", list(&paths, "and"))
}

fn missed_port(view: View<'_>, origin: &RuleOrigin, rule: &Rule) -> Miss {
    let ports = rule.ports.as_deref().unwrap_or_default();
    let (field, span) = match origin.ports.as_slice() {
        [only] => (format!("{}.{}", origin.path, only.path), only.span),
        [first, ..] => {
            let list = first.path.split('[').next().unwrap_or(&first.path);
            (format!("{}.{list}", origin.path), first.span)
        }
        [] => (origin.path.to_string(), origin.span),
    };
    Miss {
        distance: 1,
        field,
        span,
        why: port_miss(view, view.tier(rule), ports),
    }
}

fn port_miss(view: View<'_>, tier: Tier, ports: &[PortMatch]) -> String {
    let transport = view.flow.transport;
    let protocol = transport.protocol;
    let texts: Vec<String> = ports
        .iter()
        .map(|port| port_here(port, view, tier))
        .collect();
    let texts = list(&texts, "and");
    if !protocol.has_ports() {
        return format!("{protocol} has no ports, and the rule is for {texts} only");
    }
    let asked = match (transport.port, view.last) {
        (Some(first), Some(last)) if first != last => {
            let some = ports
                .iter()
                .any(|port| is_among(port, protocol, first, last));
            let all = if some { " all" } else { "" };
            format!("ports {first} to {last} of {protocol} are not{all} in")
        }
        (Some(port), _) => format!("port {port}/{protocol} is not in"),
        (None, _) => format!("the {protocol} port of the question is not in"),
    };
    let is_other = |port: &PortMatch| of_protocol(port).is_some_and(|own| own != protocol);
    let hint = if ports.iter().all(is_other) {
        format!(": the rule is not for {protocol}")
    } else {
        String::new()
    };
    format!("{asked} {texts}{hint}")
}

/// Whether a range of ports has some of a rule's.
fn is_among(port: &PortMatch, protocol: Protocol, first: u16, last: u16) -> bool {
    match port {
        PortMatch::Range {
            protocol: own,
            ports,
        } => *own == protocol && ports.first <= last && first <= ports.last,
        PortMatch::Named { .. } => false,
    }
}

fn of_protocol(port: &PortMatch) -> Option<Protocol> {
    match port {
        PortMatch::Range { protocol, .. } => Some(*protocol),
        PortMatch::Named { protocol, .. } => *protocol,
    }
}

/// A port of a rule with what it is at the destination: `http/TCP (80/TCP at this pod)`.
fn port_here(port: &PortMatch, view: View<'_>, tier: Tier) -> String {
    let text = port_text(port);
    let PortMatch::Named { protocol, name } = port else {
        return text;
    };
    let EndpointKind::Pod(pod) = view.flow.dst.seen_in(tier).kind else {
        return format!("`{text}` (a name, and only pods name their ports)");
    };
    let own = pod.ports.unwrap_or_default().iter();
    let numbers: Vec<String> = own
        .filter(|own| own.name == *name)
        .filter(|own| protocol.is_none_or(|protocol| protocol == own.protocol))
        .map(|own| format!("{}/{}", own.number, own.protocol))
        .collect();
    match (pod.ports, numbers.as_slice()) {
        (None, _) => format!("`{text}`"),
        (Some(_), []) => format!("`{text}` (the destination has no port of that name)"),
        (Some(_), numbers) => format!("`{text}` ({} at the destination)", list(numbers, "and")),
    }
}

/// A port of a rule as it is shown: `8080/TCP`.
pub(crate) fn port_text(port: &PortMatch) -> String {
    match port {
        PortMatch::Range { protocol, ports } if *ports == PortRange::ALL => {
            format!("every port of {protocol}")
        }
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

fn missed_peer(view: View<'_>, origin: &RuleOrigin, rule: &Rule) -> Miss {
    let peers = rule.peers.as_deref().unwrap_or_default();
    let nearest = peers
        .iter()
        .zip(&origin.peers)
        .map(|(peer, item)| (peer_miss(view, view.tier(rule), peer), item))
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
fn peer_miss(view: View<'_>, tier: Tier, peer: &Peer) -> (usize, String) {
    let end = view.other_word();
    let other = view.other().seen_in(tier);
    let is_other_kind = |why: String| (OTHER_KIND, why);
    let is_inside = view
        .identities()
        .first()
        .is_some_and(|identity| !identity.is_world());
    match (peer, &other.kind) {
        (Peer::Addresses(_), _) if is_inside => is_other_kind(format!(
            "address blocks match what is outside the cluster, and the {end} is not (`policy-cidr-match-mode` may say \
             otherwise)"
        )),
        (Peer::Pods(selector), EndpointKind::Pod(pod)) => pod_miss(view, selector, pod),
        (Peer::Pods(_), EndpointKind::Node(_)) => is_other_kind(format!(
            "it selects pods, and the {end} is a node, or a pod that uses its node's network"
        )),
        (Peer::Pods(_), EndpointKind::Outside) => is_other_kind(format!(
            "it selects pods, and the {end} is outside the cluster"
        )),
        (Peer::Nodes(selector), EndpointKind::Node(node)) => {
            let (distance, mut whys) = selector_miss(selector, node.labels, "the node");
            let known = node.id.and_then(|id| view.context.cluster.node(id));
            if let Some(last) = whys.last_mut()
                && known.is_some_and(|node| node.span.is_none())
            {
                last.push_str(" (it is not defined in the inputs, so none of its labels is known)");
            }
            (distance, whys.join("; "))
        }
        (Peer::Nodes(_), EndpointKind::Pod(_) | EndpointKind::Outside) => {
            is_other_kind(format!("it selects nodes, and the {end} is none"))
        }
        (Peer::Addresses(_), EndpointKind::Pod(_))
            if !view.context.policies.semantics.cidr_matches_pods =>
        {
            is_other_kind(
                "address blocks do not match pods here (`cidr-matches-pods` is false)".into(),
            )
        }
        (Peer::Addresses(block), _) => {
            let distance = if is_excepted(block, other.address) {
                1
            } else {
                2
            };
            (distance, block_miss(block, other.address, end))
        }
        (Peer::Identities(selectors), _) => identities::miss(view, selectors),
        (Peer::Domain(pattern), _) => (
            2,
            format!("no DNS answer for `{pattern}` has the address of the {end}"),
        ),
    }
}

/// Whether an address is in the block, and in one of its exceptions: nearer than one outside of it.
fn is_excepted(block: &IpBlock, address: Address) -> bool {
    match address {
        Address::Known(address) => block.cidr.contains(&address) && !block.contains(address),
        Address::Unknown { .. } => false,
    }
}

fn block_miss(block: &IpBlock, address: Address, end: &str) -> String {
    let Address::Known(address) = address else {
        let family = if block.cidr.addr().is_ipv4() {
            "IPv4"
        } else {
            "IPv6"
        };
        return format!(
            "{} is {family}, and the address of the {end} is not",
            block.cidr
        );
    };
    match block.except.iter().find(|except| except.contains(&address)) {
        Some(except) if block.cidr.contains(&address) => {
            format!(
                "{address} is in {}, but in its exception {except}",
                block.cidr
            )
        }
        Some(_) | None => format!("{address} is not in {}", block.cidr),
    }
}

fn pod_miss(view: View<'_>, selector: &PodSelector, pod: &PodView<'_>) -> (usize, String) {
    let (mut distance, mut whys) = match &selector.namespaces {
        NamespaceSelector::Named(name) if **name == *pod.namespace => (0, Vec::new()),
        NamespaceSelector::Named(name) => (1, vec![foreign(name, pod.namespace)]),
        NamespaceSelector::Labels(labels) => {
            let whose = match pod.namespace {
                "" => "the namespace".to_owned(),
                name => format!("namespace `{name}`"),
            };
            let (distance, mut whys) = selector_miss(labels, pod.namespace_labels, &whose);
            if let Some(last) = whys.last_mut()
                && is_undefined(view, pod.namespace)
            {
                last.push_str(&format!(
                    " (it is not defined in the inputs, so only its label `{NAMESPACE_NAME_LABEL}` is known)"
                ));
            }
            (distance, whys)
        }
    };
    let (more, pods) = selector_miss(&selector.pods, pod.labels, "the pod");
    distance += more;
    whys.extend(pods);
    (distance, whys.join("; "))
}

/// Whether a namespace is referred to only.
fn is_undefined(view: View<'_>, namespace: &str) -> bool {
    let cluster = view.context.cluster;
    let namespace = cluster.find_namespace(namespace);
    let namespace = namespace.and_then(|id| cluster.namespace(id));
    namespace.is_some_and(|namespace| namespace.span.is_none())
}

/// A peer without a namespace selector selects pods of its policy's namespace.
fn foreign(own: &str, other: &str) -> String {
    let other = match other {
        "" => "another".to_owned(),
        name => format!("`{name}`"),
    };
    format!(
        "without a `namespaceSelector` it selects pods of `{own}` only, and the pod is in {other}"
    )
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
            several => format!("`{key}` to be {}", quoted(several)),
        },
        Operator::NotIn(values) => format!("`{key}` not to be {}", quoted(values)),
        Operator::Exists => format!("a label `{key}`"),
        Operator::DoesNotExist => format!("no label `{key}`"),
    };
    format!("it needs {needs}, and {whose} {has}")
}

fn quoted(values: &[Box<str>]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
    list(&values, "or")
}
