//! From the two ends of a question to the flows that it stands for.
//!
//! Input: who stands at each end ([`Who`]), and what the packet carries. Output: one [`Flow`] for each pair of
//! ends and each address family that the two have in common, IPv4 first, with views borrowed from the
//! [`Cluster`]; and [`combine`], which makes one answer of theirs. Guarantee: there is at least one flow for
//! each pair; both addresses of a flow are of one family. The entry is [`Ends::flows`].

use crate::cluster::{Cluster, Labels, NO_LABELS, Node, NodeId, Owner, Pod, PodId, Protocol};
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow, NodeView, PodView, Transport};
use crate::hir::spec::{Judgement, Side, Verdict};
use std::net::IpAddr;

/// A version of the internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address; an IPv4 address in IPv6 notation is IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// An address of this family that is not known.
    #[must_use]
    pub fn unknown(self) -> Address {
        Address::Unknown {
            v4: self == Self::V4,
            v6: self == Self::V6,
        }
    }
}

/// A set of address families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    /// IPv4 is among them.
    pub v4: bool,
    /// IPv6 is among them.
    pub v6: bool,
}

impl Families {
    /// Both.
    pub const ALL: Self = Self { v4: true, v6: true };

    /// The families of the cluster's pod addresses; IPv4 where no pod has an address.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        let mut families = Self::default();
        for pod in cluster.pods() {
            families.add_all(&pod.addresses);
            if families == Self::ALL {
                break;
            }
        }
        families.or_else(Self {
            v4: true,
            v6: false,
        })
    }

    fn add_all(&mut self, addresses: &[IpAddr]) {
        for address in addresses {
            match Family::of(*address) {
                Family::V4 => self.v4 = true,
                Family::V6 => self.v6 = true,
            }
        }
    }

    fn only(family: Family) -> Self {
        Self {
            v4: family == Family::V4,
            v6: family == Family::V6,
        }
    }

    fn among(addresses: &[IpAddr]) -> Self {
        let mut families = Self::default();
        families.add_all(addresses);
        families
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }

    fn or_else(self, other: Self) -> Self {
        if self.is_empty() { other } else { self }
    }

    /// The families of the flows between two ends, where an end without an address may have these: those
    /// that both have, or else those of the destination, if the protocol goes over them.
    #[must_use]
    pub fn common(self, of_src: Self, of_dst: Self, protocol: Protocol) -> Self {
        let carried = match protocol {
            Protocol::ICMP => Self::only(Family::V4),
            Protocol::ICMPV6 => Self::only(Family::V6),
            Protocol(_) => Self::ALL,
        };
        let common = of_src.and(of_dst);
        common.and(carried).or_else(
            common
                .or_else(of_dst)
                .and(carried)
                .or_else(carried.and(self))
                .or_else(self),
        )
    }

    /// Those in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            v4: self.v4 && other.v4,
            v6: self.v6 && other.v6,
        }
    }

    /// The families, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = Family> + Clone {
        let v4 = self.v4.then_some(Family::V4);
        v4.into_iter().chain(self.v6.then_some(Family::V6))
    }
}

/// Who stands at one end of a question.
#[derive(Clone, Copy, Debug)]
pub enum Who<'c> {
    /// A pod; one that uses the node's network is its node.
    Pod(PodId),
    /// A node.
    Node(NodeId),
    /// An address: the pod or node that owns it, else the outside.
    Address(IpAddr),
    /// A pod that does not exist.
    Hypothetical(Hypothetical<'c>),
    /// Some address that the cluster does not own.
    World,
}

/// A pod that does not exist, in a namespace that may not exist either.
#[derive(Clone, Copy, Debug)]
pub struct Hypothetical<'c> {
    /// The name of the namespace; empty where it has none.
    pub namespace: &'c str,
    /// The labels of the namespace.
    pub namespace_labels: &'c Labels,
    /// The pod's labels.
    pub labels: &'c Labels,
}

/// The far end of a question.
#[derive(Clone, Copy, Debug)]
pub struct Target<'c> {
    /// Who it is.
    pub who: Who<'c>,
    /// The port behind a service's translation, where there is one.
    pub port: Option<u16>,
    /// Whether it is reached by a service.
    pub by_service: bool,
}

impl<'c> From<Who<'c>> for Target<'c> {
    fn from(who: Who<'c>) -> Self {
        Self {
            who,
            port: None,
            by_service: false,
        }
    }
}

impl<'c> Target<'c> {
    /// The flows to it from `src`, as [`flows_between`] gives them.
    pub fn flows_from(
        self,
        cluster: &'c Cluster,
        families: Families,
        src: Who<'c>,
        transport: Transport,
    ) -> impl Iterator<Item = Flow<'c>> + Clone {
        flows_between(cluster, families, src, self.who, transport).map(move |mut flow| {
            flow.dst.by_service = self.by_service;
            flow
        })
    }

    /// Whether it is the pod `src` by its own address: what a pod sends to itself by a service leaves it.
    #[must_use]
    pub fn is_own_address_of(self, src: Who<'_>) -> bool {
        let same = matches!((src, self.who), (Who::Pod(src), Who::Pod(dst)) if src == dst);
        same && !self.by_service
    }
}

/// The two ends of a question: every pair of them is asked.
#[derive(Clone, Debug)]
pub struct Ends<'c> {
    /// The snapshot that both are in.
    pub cluster: &'c Cluster,
    /// The families that an end without an address may have: [`Families::of`] the cluster.
    pub families: Families,
    /// Where the flow may come from.
    pub src: Vec<Who<'c>>,
    /// Where it may go.
    pub dst: Vec<Target<'c>>,
}

impl<'c> Ends<'c> {
    /// The flows that the question stands for: each pair of ends in turn, IPv4 first. Where a set of pods
    /// talks to itself, a pod to itself is left out, unless there is no other pair.
    #[must_use]
    pub fn flows(&self, transport: Transport) -> Vec<Flow<'c>> {
        let mut flows = Vec::new();
        let mut to_itself = Vec::new();
        for src in &self.src {
            for dst in &self.dst {
                let mut transport = transport;
                transport.port = dst.port.or(transport.port);
                let pair = dst.flows_from(self.cluster, self.families, *src, transport);
                if dst.is_own_address_of(*src) {
                    to_itself.extend(pair);
                } else {
                    flows.extend(pair);
                }
            }
        }
        if flows.is_empty() { to_itself } else { flows }
    }
}

/// The flows between two ends: one for each family that they have in common, IPv4 first. Where they have
/// none in common, the destination's family is taken, and the source's address in it is not known.
pub fn flows_between<'c>(
    cluster: &'c Cluster,
    families: Families,
    src: Who<'c>,
    dst: Who<'c>,
    transport: Transport,
) -> impl Iterator<Item = Flow<'c>> + Clone {
    common_families(cluster, families, src, dst, transport.protocol)
        .iter()
        .map(move |family| Flow {
            src: endpoint(cluster, src, family),
            dst: sibling(cluster, src, dst, endpoint(cluster, dst, family)),
            transport,
        })
}

fn common_families(
    cluster: &Cluster,
    families: Families,
    src: Who<'_>,
    dst: Who<'_>,
    protocol: Protocol,
) -> Families {
    let of_src = families_of(cluster, families, src);
    let of_dst = families_of(cluster, families, dst);
    families.common(of_src, of_dst, protocol)
}

/// A pod that stands for the pods of its workload and talks to itself is two replicas.
fn sibling<'c>(
    cluster: &Cluster,
    src: Who<'_>,
    dst: Who<'_>,
    mut end: Endpoint<'c>,
) -> Endpoint<'c> {
    let (Who::Pod(src), Who::Pod(dst)) = (src, dst) else {
        return end;
    };
    let stands_in = cluster
        .pods()
        .get(dst.index())
        .is_some_and(|pod| pod.stand_in);
    if let EndpointKind::Pod(view) = &mut end.kind
        && src == dst
        && stands_in
    {
        view.id = None;
    }
    end
}

/// The families that an end may have.
#[must_use]
pub fn families_of(cluster: &Cluster, families: Families, who: Who<'_>) -> Families {
    let known = match who {
        Who::Pod(id) => cluster
            .pods()
            .get(id.index())
            .map_or(Families::default(), |pod| pod_families(cluster, pod)),
        Who::Node(id) => node(cluster, Some(id))
            .map_or(Families::default(), |node| Families::among(&node.addresses)),
        Who::Address(address) => Families::only(Family::of(address)),
        Who::Hypothetical(_) | Who::World => Families::default(),
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
        Who::Address(address) => address_endpoint(cluster, address.to_canonical(), family),
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
        let family = match address {
            Address::Known(address) => Family::of(address),
            Address::Unknown { v4: true, .. } => Family::V4,
            Address::Unknown { v4: false, .. } => Family::V6,
        };
        return node_endpoint(cluster, pod.node, &pod.addresses, family);
    }
    Endpoint {
        kind: EndpointKind::Pod(pod_view(cluster, id, pod)),
        address,
        by_service: false,
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
        node: pod.node,
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
        kind: EndpointKind::Node(NodeView {
            id,
            labels: node.map_or(&NO_LABELS, |node| cluster.labels(node.labels)),
        }),
        address,
        by_service: false,
    }
}

/// An address with its owner. In a flow of the other family the address is not known.
fn address_endpoint(cluster: &Cluster, address: IpAddr, family: Family) -> Endpoint<'_> {
    let here = if Family::of(address) == family {
        Address::Known(address)
    } else {
        family.unknown()
    };
    let owner = match cluster.owner(address) {
        Some(Owner::Pod(id)) => cluster
            .pods()
            .get(id.index())
            .map(|pod| pod_endpoint(cluster, id, pod, here)),
        Some(Owner::Node(id)) => Some(node_endpoint(cluster, Some(id), &[address], family)),
        None => None,
    };
    owner.unwrap_or_else(|| outside(here))
}

/// A pod that does not exist as rules see it.
#[must_use]
pub fn hypothetical_view(pod: Hypothetical<'_>) -> PodView<'_> {
    PodView {
        id: None,
        namespace: pod.namespace,
        namespace_labels: pod.namespace_labels,
        labels: pod.labels,
        ports: None,
        node: None,
    }
}

fn hypothetical_endpoint(pod: Hypothetical<'_>, family: Family) -> Endpoint<'_> {
    Endpoint {
        kind: EndpointKind::Pod(hypothetical_view(pod)),
        address: family.unknown(),
        by_service: false,
    }
}

/// Makes one answer of several: what they agree on, and `depends` where they do not. `None` without any.
#[must_use]
pub fn combine(judgements: impl IntoIterator<Item = Judgement>) -> Option<Judgement> {
    judgements.into_iter().reduce(|one, other| Judgement {
        verdict: agreed(one.verdict, other.verdict),
        egress: combine_sides(one.egress, other.egress),
        ingress: combine_sides(one.ingress, other.ingress),
    })
}

fn agreed(one: Verdict, other: Verdict) -> Verdict {
    if one == other { one } else { Verdict::Depends }
}

fn combine_sides(mut one: Side, other: Side) -> Side {
    one.verdict = agreed(one.verdict, other.verdict);
    one.exempt = one.exempt.filter(|_| one.exempt == other.exempt);
    add_missing(&mut one.rules, other.rules);
    add_missing(&mut one.isolated_by, other.isolated_by);
    one
}

fn add_missing<T: PartialEq>(list: &mut Vec<T>, more: Vec<T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}
