//! A snapshot of a cluster: who is there, under which labels, addresses and named ports.
//!
//! Input: the objects that the manifests declare ([`object`]). Output: [`Cluster`], in which every list is
//! sorted by name, equal label sets are stored once and every address has at most one owner. Guarantee: a
//! namespace that is referred to exists, with at least the label `kubernetes.io/metadata.name`; ids of one
//! cluster are indices into its lists. What does not fit together is a diagnostic, never dropped in silence.

mod blocks;
mod by_address;
pub mod build;
mod dump;
mod lookup;
mod part;
mod same;
pub mod object;
pub mod interner;
pub mod peer;

pub use lookup::replica_name;

use crate::ids::ids;
use crate::source::Span;
use by_address::ByAddress;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The label that every namespace has; its value is the namespace's name.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name>
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Labels: keys with values, sorted by key, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let index = self
            .0
            .binary_search_by(|(known, _)| (**known).cmp(key))
            .ok()?;
        self.0.get(index).map(|(_, value)| &**value)
    }

    /// All labels, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(K, V)> for Labels {
    /// Of a key that comes twice, the last value stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        let sorted: BTreeMap<Box<str>, Box<str>> = labels
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        Self(sorted.into_iter().collect())
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.iter().enumerate() {
            write!(f, "{}{key}={value}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A protocol above IP, by its IANA number.
/// <https://www.iana.org/assignments/protocol-numbers>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Internet Control Message Protocol, for IPv4.
    pub const ICMP: Self = Self(1);
    /// Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// User Datagram Protocol.
    pub const UDP: Self = Self(17);
    /// Internet Control Message Protocol, for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// Stream Control Transmission Protocol.
    pub const SCTP: Self = Self(132);

    /// Whether packets of the protocol carry ports.
    #[must_use]
    pub fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ICMP => f.write_str("ICMP"),
            Self::TCP => f.write_str("TCP"),
            Self::UDP => f.write_str("UDP"),
            Self::ICMPV6 => f.write_str("ICMPv6"),
            Self::SCTP => f.write_str("SCTP"),
            Self(number) => write!(f, "protocol {number}"),
        }
    }
}

/// A container port that has a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// The name.
    pub name: Box<str>,
    /// The protocol; TCP where the container says nothing.
    pub protocol: Protocol,
    /// The number.
    pub number: u16,
}

ids! {
    NamespaceId: "a namespace in the lists of its cluster";
    PodId: "a pod in the lists of its cluster";
    NodeId: "a node in the lists of its cluster";
    WorkloadId: "a workload in the lists of its cluster";
    ServiceId: "a service in the lists of its cluster";
    LabelsId: "a label set in the lists of its cluster";
    PortsId: "a set of named ports in the lists of its cluster";
}

/// A namespace.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// The name.
    pub name: Box<str>,
    /// Its labels, [`NAMESPACE_NAME_LABEL`] among them.
    pub labels: LabelsId,
    /// Where it is defined; `None` where it is only referred to.
    pub span: Option<Span>,
}

/// A pod, or the pod that a workload without pods would create.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The namespace.
    pub namespace: NamespaceId,
    /// The name; that of the workload where the pod stands for one.
    pub name: Box<str>,
    /// Its labels.
    pub labels: LabelsId,
    /// Its addresses, at most one of each family first; empty where the manifest has none, and for a pod
    /// that has finished. Those of a host-networked pod are its node's.
    pub addresses: Box<[IpAddr]>,
    /// Its named ports, those of sidecars (init containers that restart always) among them.
    pub ports: PortsId,
    /// Whether it uses the network of its node: [`HostNetwork`] says what NetworkPolicy takes it for, and all
    /// other policies take it for its node.
    pub host_network: bool,
    /// The node on which it runs.
    pub node: Option<NodeId>,
    /// The workload that made it: a ReplicaSet's Deployment and a Job's CronJob where those are known.
    pub workload: Option<WorkloadId>,
    /// Whether no such pod is in the snapshot: it stands for the pods of its workload.
    pub stand_in: bool,
    /// Whether it has run to its end: it takes no traffic and owns no address, but policies would judge the
    /// next pod of its owner as they judge it.
    pub finished: bool,
    /// The service account.
    pub service_account: Arc<str>,
    /// Where it is defined; for a pod that stands for a workload's, the workload.
    pub span: Span,
}

/// A controller that makes pods, or the owner that pods name without it being in the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// The namespace.
    pub namespace: NamespaceId,
    /// `Deployment`, `StatefulSet`, ...
    pub kind: Box<str>,
    /// The name.
    pub name: Box<str>,
    /// Whether it asks for more than one pod at a time.
    pub several: bool,
    /// Where it is defined; `None` where only pods name it.
    pub span: Option<Span>,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name.
    pub name: Box<str>,
    /// Its labels.
    pub labels: LabelsId,
    /// The addresses in its status, and those of its host-networked pods.
    pub addresses: Vec<IpAddr>,
    /// The blocks from which its pods get addresses (`spec.podCIDRs`).
    pub pod_cidrs: Vec<IpNet>,
    /// Where it is defined; `None` where only pods name it.
    pub span: Option<Span>,
}

/// A service with the backends that its EndpointSlices name, or else that its selector finds.
#[derive(Clone, Debug)]
pub struct Service {
    /// The namespace.
    pub namespace: NamespaceId,
    /// The name.
    pub name: Box<str>,
    /// How it is offered.
    pub kind: ServiceKind,
    /// Its cluster addresses; empty for a headless service.
    pub addresses: Vec<IpAddr>,
    /// Its addresses for the outside: `externalIPs` and those of its load balancer.
    pub external_addresses: Vec<IpAddr>,
    /// Its labels.
    pub labels: Labels,
    /// The labels of the pods behind it; `None` where its endpoints are kept by hand.
    pub selector: Option<Labels>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Whether it finds its pods by their labels.
    pub has_selector: bool,
    /// Where it is defined.
    pub span: Span,
}

/// How a service is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKind {
    /// Under an address of the cluster.
    #[default]
    ClusterIp,
    /// Under the addresses of its backends: nothing is translated.
    Headless,
    /// Also under a port of every node.
    NodePort,
    /// Also under the address of a load balancer.
    LoadBalancer,
    /// Not at all: it is another name for a host outside.
    ExternalName,
}

impl fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterIp => "ClusterIP",
            Self::Headless => "headless",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
            Self::ExternalName => "ExternalName",
        })
    }
}

/// A port of a service and where it leads.
#[derive(Clone, Debug)]
pub struct ServicePort {
    /// The name; empty where it has none.
    pub name: Box<str>,
    /// The protocol.
    pub protocol: Protocol,
    /// The number under which the service offers it.
    pub number: u16,
    /// The port on every node, for types that have one.
    pub node_port: Option<u16>,
    /// The backends: address and port behind the translation, sorted.
    pub backends: Vec<(IpAddr, u16)>,
    /// The backends of which no address is known: pod and port behind the translation, sorted.
    pub pods: Vec<(PodId, u16)>,
}

/// A service account.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// The namespace.
    pub namespace: NamespaceId,
    /// The name.
    pub name: Box<str>,
    /// Its labels.
    pub labels: LabelsId,
    /// Where it is defined.
    pub span: Span,
}

/// Who owns an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A pod with a network of its own.
    Pod(PodId),
    /// A node, also for its host-networked pods.
    Node(NodeId),
}

/// What NetworkPolicy takes a pod on its node's network for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostNetwork {
    /// A pod like others, found by its labels.
    #[default]
    Pod,
    /// Its node.
    Node,
}

impl fmt::Display for HostNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pod => "pod",
            Self::Node => "node",
        })
    }
}

/// The snapshot.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub(crate) host_network: HostNetwork,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) workloads: Vec<Workload>,
    /// The pods of each workload, by [`WorkloadId`].
    pub(crate) workload_pods: Vec<Vec<PodId>>,
    pub(crate) services: Vec<Service>,
    pub(crate) service_owners: ByAddress<ServiceId>,
    pub(crate) service_accounts: Vec<ServiceAccount>,
    pub(crate) api_server_addresses: Vec<IpAddr>,
    pub(crate) block_groups: Vec<object::BlockGroup>,
    /// DNS answers that were seen, by name: lower case, without the final dot.
    pub(crate) names: BTreeMap<Box<str>, Vec<IpAddr>>,
    pub(crate) has_names: bool,
    pub(crate) label_sets: Vec<Labels>,
    pub(crate) port_sets: Vec<Box<[NamedPort]>>,
    pub(crate) owners: ByAddress<Owner>,
    /// The owners of an address behind the first, where it has several.
    pub(crate) more_owners: ByAddress<Vec<Owner>>,
    pub(crate) pod_blocks: blocks::PodBlocks,
}

/// The labels of what has none.
pub(crate) static NO_LABELS: std::sync::LazyLock<Labels> =
    std::sync::LazyLock::new(Labels::default);

impl Cluster {
    /// What NetworkPolicy takes pods on their nodes' networks for.
    #[must_use]
    pub fn host_network(&self) -> HostNetwork {
        self.host_network
    }

    /// The namespaces, sorted by name.
    #[must_use]
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// The pods, sorted by namespace and name; those that stand for a workload's behind others of the name.
    #[must_use]
    pub fn pods(&self) -> &[Pod] {
        &self.pods
    }

    /// The nodes, sorted by name.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The workloads, sorted by namespace, kind and name.
    #[must_use]
    pub fn workloads(&self) -> &[Workload] {
        &self.workloads
    }

    /// The services, sorted by namespace and name.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service accounts that are defined, sorted by namespace and name.
    #[must_use]
    pub fn service_accounts(&self) -> &[ServiceAccount] {
        &self.service_accounts
    }

    /// The addresses of the API server: the endpoints of Service `default/kubernetes`, sorted.
    #[must_use]
    pub fn api_server_addresses(&self) -> &[IpAddr] {
        &self.api_server_addresses
    }

    /// The named groups of blocks, sorted by name.
    #[must_use]
    pub fn block_groups(&self) -> &[object::BlockGroup] {
        &self.block_groups
    }

    /// Whether the inputs say which DNS answers were seen, be it none.
    #[must_use]
    pub fn has_names(&self) -> bool {
        self.has_names
    }

    /// DNS answers that were seen, by name: lower case, without the final dot.
    #[must_use]
    pub fn names(&self) -> &BTreeMap<Box<str>, Vec<IpAddr>> {
        &self.names
    }

    /// The labels behind an id.
    #[must_use]
    pub fn labels(&self, id: LabelsId) -> &Labels {
        self.label_sets.get(id.index()).unwrap_or(&NO_LABELS)
    }

    /// The named ports behind an id, sorted.
    #[must_use]
    pub fn ports(&self, id: PortsId) -> &[NamedPort] {
        self.port_sets.get(id.index()).map_or(&[], |ports| ports)
    }

    /// Every address that a pod or a node owns, in no order, and its [`Self::owner`].
    pub(crate) fn owned(&self) -> impl Iterator<Item = (IpAddr, Owner)> {
        let owners = self.owners.iter();
        owners.map(|(address, owner)| (address, *owner))
    }

    /// Who owns an address, of several the first; `None` is the outside.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<Owner> {
        self.owners.get(address.to_canonical()).copied()
    }

    /// All who own an address: several pods, or several nodes, where the snapshot contradicts itself.
    pub fn owners(&self, address: IpAddr) -> impl Iterator<Item = Owner> + Clone {
        let more = self.more_owners.get(address.to_canonical());
        self.owner(address)
            .into_iter()
            .chain(more.into_iter().flatten().copied())
    }

    /// The node from whose `podCIDRs` an address is that nobody owns: it is that of a pod that the snapshot lacks.
    #[must_use]
    pub fn lacks_pod_with(&self, address: IpAddr) -> Option<NodeId> {
        let nobodys = self.owner(address).is_none();
        self.pod_blocks.node(address).filter(|_| nobodys)
    }
}
