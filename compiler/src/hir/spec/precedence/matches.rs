//! Whether the parts of a rule match a flow, by the identity of the other end.
//!
//! Sources as in [the definition](super) that asks here.

use super::Question;
use crate::cluster::{NamedPort, NodeId, Protocol};
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow, PodView};
use crate::hir::spec::Truth;
use crate::hir::{
    Direction, DomainPattern, Enforcement, IdentitySelector, IpBlock, Peer, PortMatch, PortRange,
    Rule, Tier,
};
use crate::identity::{self, Identity, source};
use std::net::IpAddr;

impl Question<'_> {
    pub(super) fn peers(&self, rule: &Rule, other: &Identity) -> Truth {
        let any = |peers: &Vec<Peer>| peers.iter().map(|peer| self.peer(peer, other)).max();
        rule.peers
            .as_ref()
            .map_or(Truth::Yes, |peers| any(peers).unwrap_or(Truth::No))
    }

    fn peer(&self, peer: &Peer, other: &Identity) -> Truth {
        match peer_matches(self.enforcement, peer, other) {
            true => Truth::Yes,
            false if self.is_outside && may_be_behind(self.enforcement, peer) => Truth::Unknown,
            false => Truth::No,
        }
    }

    /// Whether one of a rule's peers is the other end.
    #[must_use]
    pub fn peers_match(&self, rule: &Rule) -> Truth {
        self.whatever_it_is(|other| self.peers(rule, other))
    }

    /// Whether a peer is the other end.
    #[must_use]
    pub fn peer_matches(&self, peer: &Peer) -> Truth {
        self.whatever_it_is(|other| self.peer(peer, other))
    }

    /// What holds of everything that the other end may be.
    fn whatever_it_is(&self, truth: impl Fn(&Identity) -> Truth) -> Truth {
        agreed(self.others.iter().map(truth))
    }

    /// What the other end may be.
    #[must_use]
    pub fn others(&self) -> &[Identity] {
        &self.others
    }

    /// Whether one of a rule's ports is the flow's.
    #[must_use]
    pub fn ports_match(&self, rule: &Rule) -> Truth {
        ports_match(self.enforcement, rule, self.flow, self.direction)
    }

    /// Whether a port of a rule is the flow's.
    #[must_use]
    pub fn port_matches(&self, port: &PortMatch) -> Truth {
        port_matches(self.enforcement, port, self.flow, self.direction)
    }
}

/// What holds in all cases; it is not known where they differ.
pub(super) fn agreed(cases: impl Iterator<Item = Truth>) -> Truth {
    let same = |one, other| if one == other { one } else { Truth::Unknown };
    cases.reduce(same).unwrap_or(Truth::No)
}

/// Whether one of a rule's ports is a flow's.
pub(crate) fn ports_match(
    enforcement: &Enforcement,
    rule: &Rule,
    flow: &Flow<'_>,
    direction: Direction,
) -> Truth {
    let any = |ports: &Vec<PortMatch>| {
        let ports = ports.iter();
        ports
            .map(|port| port_matches(enforcement, port, flow, direction))
            .max()
    };
    rule.ports
        .as_ref()
        .map_or(Truth::Yes, |ports| any(ports).unwrap_or(Truth::No))
}

/// Whether a port of a rule is a flow's. The types of ICMP are its ports, and type 0 stands for all of them.
/// A named port is one of the destination's, and never one of a name that stands for two.
pub(super) fn port_matches(
    enforcement: &Enforcement,
    port: &PortMatch,
    flow: &Flow<'_>,
    direction: Direction,
) -> Truth {
    let transport = flow.transport;
    let number = match transport.icmp {
        Some((kind, _)) if enforcement.has_icmp_types => Some(u16::from(kind)),
        Some(_) => Some(0),
        None => transport.port,
    };
    match port {
        PortMatch::Range { protocol, .. } if *protocol != transport.protocol => Truth::No,
        PortMatch::Range { ports, .. } if *ports == PortRange::ALL => Truth::Yes,
        PortMatch::Range { ports, .. } => {
            number.map_or(Truth::Unknown, |number| ports.contains(number).into())
        }
        PortMatch::Named { protocol, .. }
            if !transport.protocol.has_ports()
                || protocol.is_some_and(|protocol| protocol != transport.protocol) =>
        {
            Truth::No
        }
        PortMatch::Named { name, .. } => {
            let own = match (&enforcement.shared_ports, direction) {
                (Some(shared), Direction::Egress) => Some(shared.as_slice()),
                (_, _) => {
                    let EndpointKind::Pod(pod) = &flow.dst.seen_in(Tier::Admin).kind else {
                        return Truth::No;
                    };
                    pod.ports
                }
            };
            let Some(ports) = own else {
                return Truth::Unknown;
            };
            match (is_named_port(ports, transport.protocol, name), number) {
                (Some(meant), Some(number)) => (meant == number).into(),
                (Some(_), None) => Truth::Unknown,
                (None, _) => Truth::No,
            }
        }
    }
}

/// The port of a name and a protocol, unless the name stands for two.
#[must_use]
pub fn is_named_port(ports: &[NamedPort], protocol: Protocol, name: &str) -> Option<u16> {
    let is_meant = |port: &&NamedPort| *port.name == *name && port.protocol == protocol;
    let mut meant = ports.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(only), None) => Some(only.number),
        (None, _) | (Some(_), Some(_)) => None,
    }
}

/// Whether a peer of a rule is an identity by its own labels, without what it is taken together with.
#[must_use]
pub fn peer_selects(enforcement: &Enforcement, peer: &Peer, other: &Identity) -> bool {
    match peer {
        Peer::Identities(selectors) => selectors.iter().any(|one| one.matches(other)),
        Peer::Addresses(_) | Peer::Domain(_) | Peer::Pods(_) | Peer::Nodes(_) => {
            peer_matches(enforcement, peer, other)
        }
    }
}

/// Whether a peer is an identity, by what is known of it.
pub(crate) fn peer_matches(enforcement: &Enforcement, peer: &Peer, other: &Identity) -> bool {
    match peer {
        Peer::Identities(selectors) => selectors.iter().any(|one| selects(one, other)),
        Peer::Addresses(block) => block_matches(enforcement, block, other),
        Peer::Domain(pattern) => has_name(pattern, other),
        Peer::Pods(_) | Peer::Nodes(_) => false,
    }
}

fn has_name(pattern: &DomainPattern, other: &Identity) -> bool {
    other
        .labels
        .get(source::FQDN, &pattern.to_string())
        .is_some()
}

/// Whether any address outside may be a peer, whatever is known of it: without DNS answers, any may be behind a name.
pub(crate) fn may_be_behind(enforcement: &Enforcement, peer: &Peer) -> bool {
    matches!(peer, Peer::Domain(_)) && !enforcement.has_names
}

/// A selector has an identity by its labels, or by those of the aggregate that it is in.
fn selects(selector: &IdentitySelector, other: &Identity) -> bool {
    let aggregate = other.aggregate.identity();
    selector.is_everything()
        || selector.matches(other)
        || aggregate.is_some_and(|aggregate| selector.matches(&aggregate))
}

/// A block has what is outside, and nodes and pods where a switch says so: by the label of a block inside it, or,
/// where it is all of a family, by the label of that family.
fn block_matches(enforcement: &Enforcement, block: &IpBlock, other: &Identity) -> bool {
    let is_around = |own| block.cidr.contains(own);
    if block.cidr.prefix_len() > 0 && !other.blocks.iter().any(is_around) {
        return false;
    }
    let options = enforcement.identities.options();
    let is_pod = !other.is_world() && !other.is_node();
    let may = other.is_world()
        || options.blocks_match_nodes && other.is_node()
        || options.blocks_match_pods && is_pod;
    let is_v4 = block.cidr.addr().is_ipv4();
    let is_in = if block.cidr.prefix_len() > 0 {
        true
    } else if is_pod {
        other.blocks.iter().any(|own| own.addr().is_ipv4() == is_v4)
    } else {
        other.labels.has_reserved(options.world(is_v4))
    };
    let excepted = |except: &ipnet::IpNet| other.blocks.iter().any(|own| except.contains(own));
    may && is_in && !block.except.iter().any(excepted)
}

/// What an end may be to an endpoint that runs on `node`.
pub(crate) fn identities_of(
    enforcement: &Enforcement,
    end: &Endpoint<'_>,
    node: Option<NodeId>,
) -> Vec<Identity> {
    let identities = &enforcement.identities;
    match (&end.kind, end.address) {
        (EndpointKind::Pod(pod), address) => pods(enforcement, pod, address),
        (EndpointKind::Node(other), address) => {
            let found = identities.node(other.id, known(address), node);
            found.into_iter().cloned().collect()
        }
        (EndpointKind::Outside, Address::Known(address)) => {
            vec![identities.outside(address).clone()]
        }
        (EndpointKind::Outside, Address::Unknown { v4, v6 }) => {
            identities.anywhere(v4, v6).cloned().collect()
        }
    }
}

/// Everything that a pod may be, by what is known of its address.
pub(crate) fn pods(
    enforcement: &Enforcement,
    pod: &PodView<'_>,
    address: Address,
) -> Vec<Identity> {
    let (identities, pod) = (&enforcement.identities, view(pod));
    match address {
        Address::Known(address) => vec![identities.pod(pod, Some(address))],
        Address::Unknown { v4, v6 } => identities.pod_anywhere(pod, v4, v6),
    }
}

pub(super) fn known(address: Address) -> Option<IpAddr> {
    match address {
        Address::Known(address) => Some(address),
        Address::Unknown { .. } => None,
    }
}

fn view<'a>(pod: &PodView<'a>) -> identity::View<'a> {
    (*pod).into()
}

impl<'a> From<PodView<'a>> for identity::View<'a> {
    fn from(pod: PodView<'a>) -> Self {
        Self {
            id: pod.id,
            namespace: pod.namespace,
            namespace_labels: pod.namespace_labels,
            labels: pod.labels,
            ports: pod.ports,
            service_account: pod.service_account,
        }
    }
}
