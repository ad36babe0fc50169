//! Whether the parts of a rule match a flow: its peers, its ports, and what they are made of.
//!
//! Citations as in [the definition](super) that asks here.

use super::{Truth, World};
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow, PodView};
use crate::hir::{
    DomainPattern, IpBlock, NamespaceSelector, Peer, PodSelector, Policy, PortMatch, PortRange,
    Rule, Tier,
};

/// Whether one of a rule's peers is this end of the flow.
#[must_use]
pub fn peers_match(world: World<'_>, tier: Tier, rule: &Rule, other: &Endpoint<'_>) -> Truth {
    let any = |peers: &Vec<Peer>| {
        peers
            .iter()
            .map(|peer| peer_matches(world, tier, peer, other))
            .max()
    };
    rule.peers
        .as_ref()
        .map_or(Truth::Yes, |peers| any(peers).unwrap_or(Truth::No))
}

/// Whether one of a rule's ports is the flow's.
#[must_use]
pub fn ports_match(tier: Tier, rule: &Rule, flow: &Flow<'_>) -> Truth {
    let any = |ports: &Vec<PortMatch>| {
        ports
            .iter()
            .map(|port| port_matches(tier, port, flow))
            .max()
    };
    rule.ports
        .as_ref()
        .map_or(Truth::Yes, |ports| any(ports).unwrap_or(Truth::No))
}

/// Whether a policy has a pod as its subject. "Pods using the host network are not selected" \[CNP, field
/// `subject`\]; \[NP\] leaves them to the implementation.
#[must_use]
pub fn governs(policy: &Policy, pod: &PodView<'_>) -> bool {
    let sees = match policy.tier {
        Tier::Namespace => true,
        Tier::Admin | Tier::Baseline => pod.host.is_none(),
    };
    let subject = policy.subject.pods();
    sees && subject.is_some_and(|subject| selects(subject, pod))
}

/// Whether a pod selector selects a pod.
#[must_use]
pub fn selects(selector: &PodSelector, pod: &PodView<'_>) -> bool {
    let namespace = match &selector.namespaces {
        NamespaceSelector::Named(name) => **name == *pod.namespace,
        NamespaceSelector::Labels(labels) => labels.matches(pod.namespace_labels),
    };
    namespace && selector.pods.matches(pod.labels)
}

/// Whether a peer is this end of a flow.
///
/// To the tiers of cluster-wide policies host-networked pods are their node: no `Pods` peer selects them, a
/// `Nodes` peer does, "by matching on the IPs present in the node.Status.Addresses field" \[CNP, field `nodes`\].
#[must_use]
pub fn peer_matches(world: World<'_>, tier: Tier, peer: &Peer, end: &Endpoint<'_>) -> Truth {
    let end = &end.seen_in(tier);
    match (peer, &end.kind) {
        (Peer::Pods(selector), EndpointKind::Pod(pod)) => selects(selector, pod).into(),
        (Peer::Pods(_), EndpointKind::Node(_) | EndpointKind::Outside) => Truth::No,
        (Peer::Nodes(selector), EndpointKind::Node(node)) => selector.matches(node.labels).into(),
        (Peer::Nodes(_), EndpointKind::Pod(_) | EndpointKind::Outside) => Truth::No,
        // "Cluster-internal traffic will be checked against the rule as well" [CNP, field `networks`].
        (Peer::Addresses(_), EndpointKind::Pod(_))
            if !world.policies.semantics.cidr_matches_pods =>
        {
            Truth::No
        }
        (Peer::Addresses(block), _) => block_matches(block, end.address),
        (Peer::Domain(pattern), _) => domain_matches(world, pattern, end),
        // Identities are asked for by precedence only.
        (Peer::Identities(_), _) => Truth::No,
    }
}

/// "Except values will be rejected if they are outside the cidr range" and cut only out of their own block
/// \[NP, field `ipBlock`\].
fn block_matches(block: &IpBlock, address: Address) -> Truth {
    match address {
        Address::Known(address) => block.contains(address).into(),
        Address::Unknown { v4, v6 } => {
            let (own, other) = if block.cidr.addr().is_ipv4() {
                (v4, v6)
            } else {
                (v6, v4)
            };
            let whole_family = block.cidr.prefix_len() == 0 && block.except.is_empty();
            match (own, other) {
                (false, _) => Truth::No,
                (true, false) if whole_family => Truth::Yes,
                (true, _) => Truth::Unknown,
            }
        }
    }
}

/// An answer that was seen tells. Where none was seen for the name, the outside may be behind it, and behind a
/// wildcard always: it covers names that nobody asked for \[CNP, type `DomainName`\]. Pods and nodes are taken
/// to be behind a name only where an answer says so.
fn domain_matches(world: World<'_>, pattern: &DomainPattern, end: &Endpoint<'_>) -> Truth {
    let mut seen = world
        .names
        .iter()
        .filter(|(name, _)| pattern.matches(name))
        .peekable();
    let more_may_be_behind = match pattern {
        DomainPattern::Name(_) => seen.peek().is_none(),
        DomainPattern::Subdomains(_) | DomainPattern::Glob(_) => true,
    };
    match (end.address, &end.kind) {
        (Address::Known(address), _) if seen.any(|(_, answers)| answers.contains(&address)) => {
            Truth::Yes
        }
        (Address::Known(_), EndpointKind::Outside) if more_may_be_behind => Truth::Unknown,
        (Address::Unknown { .. }, EndpointKind::Outside) => Truth::Unknown,
        (Address::Known(_) | Address::Unknown { .. }, _) => Truth::No,
    }
}

/// Whether a port of a rule is the flow's. A named port is a port of the destination pod, for egress too, by
/// name and protocol \[NP, field `port`\]; an address outside has none.
#[must_use]
pub fn port_matches(tier: Tier, port: &PortMatch, flow: &Flow<'_>) -> Truth {
    let transport = flow.transport;
    match port {
        PortMatch::Range { protocol, ports } => {
            if *protocol != transport.protocol {
                return Truth::No;
            }
            match transport.port {
                Some(port) => ports.contains(port).into(),
                None if *ports == PortRange::ALL => Truth::Yes,
                None => Truth::Unknown,
            }
        }
        PortMatch::Named { protocol, name } => {
            let EndpointKind::Pod(pod) = flow.dst.seen_in(tier).kind else {
                return Truth::No;
            };
            if !transport.protocol.has_ports()
                || protocol.is_some_and(|protocol| protocol != transport.protocol)
            {
                return Truth::No;
            }
            let Some(ports) = pod.ports else {
                return Truth::Unknown;
            };
            let mut own = ports
                .iter()
                .filter(|own| own.name == *name && own.protocol == transport.protocol);
            match transport.port {
                Some(port) => own.any(|own| own.number == port).into(),
                None if own.next().is_some() => Truth::Unknown,
                None => Truth::No,
            }
        }
    }
}
