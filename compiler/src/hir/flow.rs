//! A flow: the question that every engine answers.

use super::Tier;
use crate::cluster::{Labels, NamedPort, NodeId, PodId, Protocol};
use std::net::IpAddr;

/// The first packet of a connection, or a packet that belongs to none.
#[derive(Clone, Copy, Debug)]
pub struct Flow<'a> {
    /// Where it comes from.
    pub src: Endpoint<'a>,
    /// Where it goes.
    pub dst: Endpoint<'a>,
    /// What it carries.
    pub transport: Transport,
}

/// What stands behind the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transport {
    /// The protocol.
    pub protocol: Protocol,
    /// The destination port, for a protocol that has ports.
    pub port: Option<u16>,
    /// Type and code, for ICMP and ICMPv6.
    pub icmp: Option<(u8, u8)>,
}

impl Transport {
    /// A packet to a port.
    #[must_use]
    pub fn to_port(protocol: Protocol, port: u16) -> Self {
        Self {
            protocol,
            port: Some(port),
            icmp: None,
        }
    }
}

/// One end of a flow, with all that a rule may ask of it.
#[derive(Clone, Copy, Debug, Hash)]
pub struct Endpoint<'a> {
    /// Who it is.
    pub kind: EndpointKind<'a>,
    /// Its address in this flow.
    pub address: Address,
    /// Whether it is the destination by a service's choice: the flow was sent to the address of the service.
    pub by_service: bool,
}

impl Endpoint<'_> {
    /// The end as the policies of a tier see it: "HostNetwork pods are not selected by `namespaces` and `pods`"
    /// of the cluster-wide policies, while NetworkPolicy may take them for pods (\[NP\] allows both).
    #[must_use]
    pub fn seen_in(mut self, tier: Tier) -> Self {
        match (tier, &self.kind) {
            (
                Tier::Admin | Tier::Baseline,
                EndpointKind::Pod(PodView {
                    host: Some(node), ..
                }),
            ) => self.kind = EndpointKind::Node(*node),
            (Tier::Admin | Tier::Namespace | Tier::Baseline, _) => {}
        }
        self
    }
}

/// Who an end of a flow is.
#[derive(Clone, Copy, Debug, Hash)]
pub enum EndpointKind<'a> {
    /// A pod; one on the network of its node too, where NetworkPolicy takes it for a pod.
    Pod(PodView<'a>),
    /// A node, or a pod that is no more than its node ([`Endpoint::seen_in`]).
    Node(NodeView<'a>),
    /// Anything that the cluster does not own.
    Outside,
}

/// A pod as rules see it.
#[derive(Clone, Copy, Debug, Hash)]
pub struct PodView<'a> {
    /// The pod, unless it does not exist.
    pub id: Option<PodId>,
    /// The name of its namespace.
    pub namespace: &'a str,
    /// The labels of its namespace.
    pub namespace_labels: &'a Labels,
    /// Its own labels.
    pub labels: &'a Labels,
    /// Its named ports; `None` where they are not known.
    pub ports: Option<&'a [NamedPort]>,
    /// Its service account.
    pub service_account: &'a str,
    /// The node on which it runs.
    pub node: Option<NodeId>,
    /// Its node, where it uses the network of that: to all tiers but that of NetworkPolicy it is the node.
    pub host: Option<NodeView<'a>>,
}

/// A node as rules see it.
#[derive(Clone, Copy, Debug, Hash)]
pub struct NodeView<'a> {
    /// The node, unless only an address of it is known.
    pub id: Option<NodeId>,
    /// Its labels.
    pub labels: &'a Labels,
}

/// The address of an endpoint in one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// This one.
    Known(IpAddr),
    /// One that the snapshot does not have, of one of these families.
    Unknown {
        /// It may be an IPv4 address.
        v4: bool,
        /// It may be an IPv6 address.
        v6: bool,
    },
}
