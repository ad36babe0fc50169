//! Classes of flows: what a program can tell apart.
//!
//! Guarantee: [`Program::judge`] gives two flows of one class the same judgement. There are finitely many.

use super::{ClassId, IdentityId, Program};
use crate::cluster::{NodeId, Pod, PodId, Protocol};
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow};
use crate::hir::spec;
use crate::hir::{Direction, PerDirection};
use std::net::IpAddr;

/// A class of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowClass {
    src: EndClass,
    dst: EndClass,
    protocol: Protocol,
    port: Option<u32>,
    relation: Relation,
}

/// What a program can tell of a pod, but for its node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodClass {
    identity: IdentityId,
    addresses: Vec<ClassId>,
}

/// How the two ends of a flow stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Relation {
    None,
    SamePod,
    /// The destination is the node of the source.
    ToOwnNode,
    /// The source is the node of the destination.
    FromOwnNode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct EndClass {
    who: WhoClass,
    address: AddressClass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum WhoClass {
    Identity(IdentityId),
    Node(NodeId),
    Outside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum AddressClass {
    /// No rule that is asked looks at it.
    NotSeen,
    Known(u32),
    Unknown {
        v4: bool,
        v6: bool,
    },
}

impl Program {
    /// The class of a flow; `None` where an end is not of the snapshot.
    #[must_use]
    pub fn classify(&self, flow: &Flow<'_>) -> Option<FlowClass> {
        let src = self.who(&flow.src)?;
        let dst = self.who(&flow.dst)?;
        let sees = PerDirection {
            ingress: self.sees_addresses_of_other(dst, Direction::Ingress),
            egress: self.sees_addresses_of_other(src, Direction::Egress),
        };
        Some(FlowClass {
            src: self.end_class(src, flow.src.address, sees.ingress),
            dst: self.end_class(dst, flow.dst.address, sees.egress),
            protocol: flow.transport.protocol,
            port: flow
                .transport
                .port
                .map(|port| self.port_classes.class(port)),
            relation: relation(&flow.src, &flow.dst),
        })
    }

    /// The class of a pod; `None` where it uses the network of its node.
    #[must_use]
    pub fn pod_class(&self, id: PodId, pod: &Pod) -> Option<PodClass> {
        let addresses = pod.addresses.iter().map(IpAddr::to_canonical);
        Some(PodClass {
            identity: self.identity_of(id)?,
            addresses: addresses
                .map(|address| self.addresses.class(address))
                .collect(),
        })
    }

    fn who(&self, end: &Endpoint<'_>) -> Option<WhoClass> {
        match &end.kind {
            EndpointKind::Pod(pod) => self.identity(pod).map(WhoClass::Identity),
            EndpointKind::Node(node) => node.id.map(WhoClass::Node),
            EndpointKind::Outside => Some(WhoClass::Outside),
        }
    }

    fn sees_addresses_of_other(&self, subject: WhoClass, direction: Direction) -> bool {
        match subject {
            WhoClass::Identity(identity) => self
                .table(identity)
                .is_some_and(|table| table.chains.get(direction).sees_addresses),
            WhoClass::Node(_) | WhoClass::Outside => false,
        }
    }

    fn end_class(&self, who: WhoClass, address: Address, seen: bool) -> EndClass {
        let address = match address {
            _ if !seen => AddressClass::NotSeen,
            Address::Known(address) => AddressClass::Known(self.addresses.class(address).0),
            Address::Unknown { v4, v6 } => AddressClass::Unknown { v4, v6 },
        };
        EndClass { who, address }
    }
}

fn relation(src: &Endpoint<'_>, dst: &Endpoint<'_>) -> Relation {
    match (&src.kind, &dst.kind) {
        (EndpointKind::Pod(pod), _) if spec::is_same_pod(pod, dst) => Relation::SamePod,
        (EndpointKind::Pod(pod), _) if spec::is_own_node(pod, dst) => Relation::ToOwnNode,
        (_, EndpointKind::Pod(pod)) if spec::is_own_node(pod, src) => Relation::FromOwnNode,
        (EndpointKind::Pod(_) | EndpointKind::Node(_) | EndpointKind::Outside, _) => Relation::None,
    }
}
