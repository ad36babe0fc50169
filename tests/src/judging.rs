//! What the definition says of packets between the pods of a world, one by one.

use std::net::IpAddr;
use verdict_compiler::cluster::{Cluster, NodeId, Owner, PodId, Protocol};
use verdict_compiler::flows::Answer;
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::hir::flow::{Address, Endpoint, EndpointKind, Flow, Transport};
use verdict_compiler::hir::spec::precedence::order;
use verdict_compiler::hir::spec::{self, Judgement, Verdict, World as Judged};
use verdict_compiler::hir::{Auth, Direction, PerDirection, PolicySet, Resolution};
use verdict_compiler::list::Peer;
use verdict_compiler::query::{Families, Family, Who, combine, endpoint, families_of};

fn judged(loaded: &Loaded) -> Judged<'_> {
    Judged {
        policies: &loaded.policies,
        names: loaded.cluster.names(),
    }
}

/// The policies with what goes by a proxy simply allowed, at the same place in the order: sets of flows tell what passes, not
/// how.
#[must_use]
pub fn without_proxies(policies: &PolicySet) -> PolicySet {
    let mut policies = policies.clone();
    for policy in &mut policies.policies {
        let PerDirection { ingress, egress } = &mut policy.rules;
        for rule in ingress.iter_mut().chain(egress) {
            let (rank, strength) = order(rule.action, rule.precedence);
            rule.precedence.rank = rank * 256 + u32::from(strength);
            rule.precedence.redirect = None;
        }
    }
    policies
}

/// Packets around every bound of the small worlds.
#[must_use]
pub fn packets() -> Vec<Transport> {
    let ports = [1, 79, 80, 81, 82, 84, 85, 86, 90, 8080, 9000, 9001, 65_535];
    let protocols = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
    let with_ports = protocols
        .iter()
        .flat_map(|protocol| ports.map(|port| Transport::to_port(*protocol, port)));
    let bare = |protocol, icmp| Transport {
        protocol,
        port: None,
        icmp,
    };
    with_ports
        .chain([
            bare(Protocol::ICMP, Some((0, 0))),
            bare(Protocol::ICMP, Some((8, 0))),
            bare(Protocol::ICMPV6, Some((128, 0))),
            bare(Protocol(47), None),
        ])
        .collect()
}

/// Whether a family carries a packet.
fn carries(family: Family, packet: Transport) -> bool {
    match family {
        Family::V4 => packet.protocol != Protocol::ICMPV6,
        Family::V6 => packet.protocol != Protocol::ICMP,
    }
}

/// What an answer says of a packet.
///
/// # Panics
/// Where the answer says two things.
#[must_use]
pub fn verdict_of(answer: &Answer, packet: Transport) -> Verdict {
    match (
        answer.allow.contains(packet),
        answer.depends.contains(packet),
    ) {
        (true, false) => Verdict::Allow,
        (false, true) => Verdict::Depends,
        (false, false) => Verdict::Deny,
        (true, true) => panic!("an answer has a packet in both sets: {answer:?}"),
    }
}

/// The families of a world's pod addresses. As in lists, IPv4 stands where no pod has an address.
#[must_use]
pub fn families(loaded: &Loaded) -> Families {
    Families::of(&loaded.cluster).or_else(Families::only(Family::V4))
}

/// What the definition says of a packet between two pods, in all families that they share.
#[must_use]
pub fn expected(loaded: &Loaded, src: PodId, dst: PodId, packet: Transport) -> Verdict {
    between(loaded, Who::Pod(src), Who::Pod(dst), packet)
}

/// What the definition says of a packet between two ends, in all families that they share.
#[must_use]
pub fn between(loaded: &Loaded, src: Who<'_>, dst: Who<'_>, packet: Transport) -> Verdict {
    between_in(loaded, families(loaded), src, dst, packet)
}

/// The same where pods without an address may have these families.
#[must_use]
pub fn between_in(
    loaded: &Loaded,
    families: Families,
    src: Who<'_>,
    dst: Who<'_>,
    packet: Transport,
) -> Verdict {
    let judgement = judgement_in(loaded, families, src, dst, packet);
    judgement.map_or(Verdict::Deny, |judgement| judgement.verdict)
}

/// The judgement; `None` where the ends share no family that carries the packet.
#[must_use]
pub fn judgement_in(
    loaded: &Loaded,
    families: Families,
    src: Who<'_>,
    dst: Who<'_>,
    packet: Transport,
) -> Option<Judgement> {
    let cluster = &loaded.cluster;
    let judgements = families_of(cluster, families, src)
        .and(families_of(cluster, families, dst))
        .iter()
        .filter(|family| carries(*family, packet))
        .flat_map(|family| {
            let sources = endpoints(cluster, src, family).into_iter();
            let flows = sources.flat_map(move |src| {
                let targets = endpoints(cluster, dst, family).into_iter();
                targets.map(move |dst| Flow {
                    src,
                    dst,
                    transport: packet,
                })
            });
            flows.map(|flow| spec::judge(judged(loaded), &flow))
        });
    combine(judgements.collect::<Vec<_>>())
}

/// An end in a family; a node at each of its addresses.
fn endpoints<'c>(cluster: &'c Cluster, who: Who<'c>, family: Family) -> Vec<Endpoint<'c>> {
    let of_node = match who {
        Who::Node(node) => cluster.node(node).map(|of| (node, of)),
        _ => None,
    };
    let own = of_node.into_iter().flat_map(|(node, of)| {
        let own = of.addresses.iter().map(move |one| (*one, node));
        own.filter(|(address, _)| Family::of(*address) == family)
    });
    let at = own
        .map(|(address, node)| endpoint(cluster, Who::Owned(address, Owner::Node(node)), family));
    let mut all: Vec<Endpoint<'_>> = at.collect();
    if all.is_empty() {
        all.push(endpoint(cluster, who, family));
    }
    all
}

/// Whether the ends must prove who they are for a judgement.
#[must_use]
pub fn proves(judgement: &Judgement) -> bool {
    let sides = [&judgement.egress, &judgement.ingress];
    let mut asked = sides.iter().filter_map(|side| side.auth);
    asked.any(|auth| auth != Auth::Disabled)
}

/// The pods of a peer, or the node that it is.
#[must_use]
pub fn members(peer: &Peer) -> Vec<Who<'static>> {
    let pods = peer.pods.iter().copied().map(Who::Pod);
    pods.chain(peer.node.map(Who::Node)).collect()
}

/// What all pairs of different ends of two peers agree on; `None` where there is no pair.
#[must_use]
pub fn agreed(
    loaded: &Loaded,
    families: Families,
    src: &[Who<'_>],
    dst: &[Who<'_>],
    packet: Transport,
) -> Option<Verdict> {
    let pairs = src
        .iter()
        .flat_map(|src| dst.iter().map(move |dst| (*src, *dst)));
    let verdicts = pairs
        .filter(|(src, dst)| src != dst)
        .map(|(src, dst)| between_in(loaded, families, src, dst, packet));
    verdicts.reduce(|one, other| if one == other { one } else { Verdict::Depends })
}

/// All pods.
pub fn pods(loaded: &Loaded) -> impl Iterator<Item = PodId> + Clone + use<> {
    (0..u32::try_from(loaded.cluster.pods().len()).unwrap()).map(PodId)
}

/// All pods and, where policies govern them, all nodes.
#[must_use]
pub fn whos(loaded: &Loaded) -> Vec<Who<'static>> {
    let governs = match &loaded.policies.resolution {
        Resolution::Isolation => false,
        Resolution::Precedence(enforcement) => enforcement.governs_nodes,
    };
    let nodes = 0..u32::try_from(loaded.cluster.nodes().len()).unwrap();
    let nodes = nodes.map(NodeId).map(Who::Node).filter(|_| governs);
    pods(loaded).map(Who::Pod).chain(nodes).collect()
}

/// What the definition says of a packet between a pod or a node and an address outside, of which `direction` is the former's
/// side.
#[must_use]
pub fn outside(
    loaded: &Loaded,
    who: Who<'_>,
    address: IpAddr,
    direction: Direction,
    packet: Transport,
) -> Verdict {
    let family = if address.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    };
    if !carries(family, packet) {
        return Verdict::Deny;
    }
    let stranger = Endpoint {
        kind: EndpointKind::Outside,
        address: Address::Known(address),
        by_service: false,
    };
    let own = endpoints(&loaded.cluster, who, family).into_iter();
    let judgements = own.map(|own| {
        let (src, dst) = match direction {
            Direction::Ingress => (stranger, own),
            Direction::Egress => (own, stranger),
        };
        let flow = Flow {
            src,
            dst,
            transport: packet,
        };
        spec::judge(judged(loaded), &flow)
    });
    let judgement = combine(judgements.collect::<Vec<_>>());
    judgement.map_or(Verdict::Deny, |judgement| judgement.verdict)
}
