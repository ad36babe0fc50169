//! Classes of flows: what a program can tell apart.
//!
//! Guarantee: [`Program::judge`] gives two flows of one class the same judgement. There are finitely many.

mod between;

use super::precedence::{FRAGMENTATION_NEEDED, number};
use super::{ClassId, IdentityId, Program};
use crate::cluster::{NodeId, Pod, PodId};
use crate::hash::mixed;
use crate::hir::Direction;
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow, Transport};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

/// A class of flows: the ends, and the rest, each packed into a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowClass {
    src: u64,
    dst: u64,
    /// Protocol, relation and port.
    rest: u64,
}

/// In place of a port, for a packet that passes unasked.
const UNASKED: u32 = u32::MAX - 1;

impl Hash for FlowClass {
    /// What differs stands in the upper halves, which multiplying hashes such as that of `rustc-hash` do not
    /// carry down: without mixing them first, tables of classes have long chains.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(mixed(mixed(self.src, self.dst), self.rest));
    }
}

/// An end of flows, as far as a program can tell it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndClass {
    who: Who,
    address: u32,
    /// The pod, if it exists.
    pod: Option<PodId>,
    /// The node itself, or that of the pod.
    node: Option<NodeId>,
    by_service: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Who {
    Identity(IdentityId),
    Node(NodeId),
    Outside,
}

/// What a program can tell of a pod, but for its node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodClass {
    identity: IdentityId,
    addresses: Vec<ClassId>,
}

/// How the two ends of a flow stand to each other.
#[derive(Clone, Copy)]
enum Relation {
    None = 0,
    SamePod = 1,
    /// The destination is the node of the source.
    ToOwnNode = 2,
    /// The source is the node of the destination.
    FromOwnNode = 3,
    SamePodByService = 4,
    /// One end is a node, and it is not known whether the other, which policies govern, runs there.
    PerhapsOwnNode = 5,
}

/// In place of an address that no rule looks at.
const NOT_SEEN: u32 = u32::MAX;

/// The least number that stands for no class of addresses.
const FIRST_SPECIAL: u32 = u32::MAX - 4;

/// Ids from here on do not fit beside the two bits that say whose they are.
const FIRST_UNPACKED: u32 = 1 << 30;

impl Who {
    fn packed(self) -> u32 {
        match self {
            Self::Identity(identity) => identity.0,
            Self::Node(node) => node.0 | 1 << 30,
            Self::Outside => 2 << 30,
        }
    }
}

impl Program {
    /// The class of a flow; `None` where an end is not of the snapshot.
    #[must_use]
    pub fn classify(&self, flow: &Flow<'_>) -> Option<FlowClass> {
        let src = self.end_class(&flow.src)?;
        let dst = self.end_class(&flow.dst)?;
        Some(self.flow_class(&src, &dst, flow.transport))
    }

    /// The class of an end; `None` where it is not of the snapshot.
    #[must_use]
    pub fn end_class(&self, end: &Endpoint<'_>) -> Option<EndClass> {
        let (who, pod, node) = match &end.kind {
            EndpointKind::Pod(pod) => (Who::Identity(self.identity(pod)?), pod.id, pod.node),
            EndpointKind::Node(node) => (Who::Node(node.id?), None, node.id),
            EndpointKind::Outside => (Who::Outside, None, None),
        };
        let packs = match who {
            Who::Identity(IdentityId(id)) | Who::Node(NodeId(id)) => id < FIRST_UNPACKED,
            Who::Outside => true,
        };
        let class = self.class_of(end.address);
        let node = match (&self.kinds, &end.kind) {
            // Which node it is, its address says.
            (Some(kinds), EndpointKind::Node(view)) => kinds.node_at(view.id, class),
            (_, EndpointKind::Pod(_) | EndpointKind::Node(_) | EndpointKind::Outside) => node,
        };
        let address = match end.address {
            Address::Known(address) => self.addresses.class(address).0,
            Address::Unknown { v4, v6 } => FIRST_SPECIAL + u32::from(v4) + 2 * u32::from(v6),
        };
        let is_class = address < FIRST_SPECIAL || matches!(end.address, Address::Unknown { .. });
        (packs && is_class).then_some(EndClass {
            who,
            address,
            pod,
            node,
            by_service: end.by_service,
        })
    }

    /// The class of the flows between ends of two classes.
    #[must_use]
    pub fn flow_class(&self, src: &EndClass, dst: &EndClass, transport: Transport) -> FlowClass {
        let port = self.port_of(transport);
        let relation = match &self.kinds {
            None => relation(src, dst),
            Some(_) => relation_to_kinds(src, dst),
        } as u64;
        FlowClass {
            src: packed(src, self.sees_addresses(dst.who, Direction::Ingress)),
            dst: packed(dst, self.sees_addresses(src.who, Direction::Egress)),
            rest: u64::from(transport.protocol.0) << 40 | relation << 32 | u64::from(port),
        }
    }

    /// The class of a pod with a network of its own; `None` for any other.
    #[must_use]
    pub fn pod_class(&self, id: PodId, pod: &Pod) -> Option<PodClass> {
        if pod.host_network {
            return None;
        }
        let addresses = pod.addresses.iter().map(IpAddr::to_canonical);
        Some(PodClass {
            identity: self.identity_of(id)?,
            addresses: addresses
                .map(|address| self.addresses.class(address))
                .collect(),
        })
    }

    /// The class of what a packet carries, in its protocol.
    fn port_of(&self, transport: Transport) -> u32 {
        let class = |port| self.port_classes.class(port);
        match &self.kinds {
            None => transport.port.map_or(u32::MAX, class),
            Some(_) if transport.icmp == Some(FRAGMENTATION_NEEDED) => UNASKED,
            Some(kinds) => number(kinds, transport).map_or(u32::MAX, class),
        }
    }

    /// Whether a rule that is asked for this end looks at the address of the other.
    fn sees_addresses(&self, subject: Who, direction: Direction) -> bool {
        if let Some(kinds) = &self.kinds
            && (kinds.enforcement.governs_nodes || kinds.sees_addresses_of_pods())
        {
            return true;
        }
        match subject {
            Who::Identity(identity) => self
                .table(identity)
                .is_some_and(|table| table.chains.get(direction).sees_addresses),
            Who::Node(_) | Who::Outside => false,
        }
    }
}

/// As [`relation`], where what a node is to a pod depends on whether that runs there.
fn relation_to_kinds(src: &EndClass, dst: &EndClass) -> Relation {
    let is_node = |end: &EndClass| matches!(end.who, Who::Node(_));
    match relation(src, dst) {
        Relation::None if is_node(src) && is_node(dst) && src.node == dst.node => {
            Relation::ToOwnNode
        }
        Relation::None if is_node(src) && dst.node.is_none() => Relation::PerhapsOwnNode,
        Relation::None if is_node(dst) && src.node.is_none() => Relation::PerhapsOwnNode,
        found @ (Relation::None
        | Relation::SamePod
        | Relation::ToOwnNode
        | Relation::FromOwnNode
        | Relation::SamePodByService
        | Relation::PerhapsOwnNode) => found,
    }
}

fn packed(end: &EndClass, seen: bool) -> u64 {
    let address = if seen { end.address } else { NOT_SEEN };
    u64::from(end.who.packed()) << 32 | u64::from(address)
}

fn relation(src: &EndClass, dst: &EndClass) -> Relation {
    let same_node = src.node.is_some() && src.node == dst.node;
    match (src.who, dst.who) {
        (Who::Identity(_), Who::Identity(_)) if src.pod.is_some() && src.pod == dst.pod => {
            if dst.by_service {
                Relation::SamePodByService
            } else {
                Relation::SamePod
            }
        }
        (Who::Identity(_), Who::Node(_)) if same_node => Relation::ToOwnNode,
        (Who::Node(_), Who::Identity(_)) if same_node => Relation::FromOwnNode,
        (Who::Identity(_) | Who::Node(_) | Who::Outside, _) => Relation::None,
    }
}
