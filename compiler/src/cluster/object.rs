//! What one manifest says of the cluster: plain owned values, each with the place where it stands.
//!
//! The frontend decodes them, [`super::build::build`] puts them together. Nothing here has been compared with
//! another object yet: names may be dangling, addresses may be claimed twice. What many objects have in common is
//! shared among them ([`super::interner`]).

use super::{Labels, NamedPort, Protocol};
use crate::source::Span;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// One object.
#[derive(Clone, Debug)]
pub enum Object {
    /// A namespace.
    Namespace(Namespace),
    /// A node.
    Node(Node),
    /// A pod.
    Pod(Pod),
    /// A controller that makes pods.
    Workload(Workload),
    /// A service.
    Service(Service),
    /// An EndpointSlice or Endpoints.
    Endpoints(Endpoints),
    /// A service account.
    ServiceAccount(ServiceAccount),
    /// A named group of blocks of addresses.
    BlockGroup(BlockGroup),
    /// DNS answers that were seen.
    DnsSnapshot(DnsSnapshot),
}

/// What makes an object the same as another: kind, namespace (empty where the kind has none) and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<'a> {
    /// `Pod`, `Deployment`, ...
    pub kind: &'a str,
    /// The namespace; empty for kinds that have none.
    pub namespace: &'a str,
    /// The name.
    pub name: &'a str,
}

/// An object that a manifest declares.
pub trait Declared {
    /// What makes it the same as another.
    fn id(&self) -> Id<'_>;
    /// Where it stands: its name, or its start where it has none.
    fn span(&self) -> Span;
}

/// A namespace.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// The name.
    pub name: Box<str>,
    /// Its labels, as written.
    pub labels: Arc<Labels>,
    /// Where it stands.
    pub span: Span,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name.
    pub name: Box<str>,
    /// Its labels.
    pub labels: Arc<Labels>,
    /// `status.addresses` of type InternalIP, then of type ExternalIP.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
    /// Where it stands.
    pub span: Span,
}

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Box<str>,
    /// What a template could say of it too.
    pub template: Template,
    /// The owner that controls it.
    pub owner: Option<Owner>,
    /// Whether it has run to its end, well or not (`status.phase`).
    pub finished: bool,
    /// `status.podIPs` and `status.podIP`, each once.
    pub addresses: Box<[IpAddr]>,
    /// `status.hostIPs` and `status.hostIP`, each once.
    pub host_addresses: Box<[IpAddr]>,
    /// Where it stands.
    pub span: Span,
}

/// A pod as its maker describes it.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its labels.
    pub labels: Arc<Labels>,
    /// Its named ports in the order in which a name is looked up: containers, then sidecars.
    pub ports: Arc<[NamedPort]>,
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// `spec.serviceAccountName`; `default` where it is absent.
    pub service_account: Arc<str>,
    /// `spec.nodeName`.
    pub node: Option<Arc<str>>,
}

/// The owner that controls an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its kind.
    pub kind: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// A controller that makes pods.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The namespace.
    pub namespace: Arc<str>,
    /// `Deployment`, `Job`, ...
    pub kind: &'static str,
    /// The name.
    pub name: Box<str>,
    /// The pods that it makes.
    pub template: Template,
    /// Whether it is meant to have pods now: not suspended, and not scaled to nothing.
    pub active: bool,
    /// Whether it asks for more than one pod at a time (`replicas`, `parallelism`).
    pub several: bool,
    /// The owner that controls it.
    pub owner: Option<Owner>,
    /// Where it stands.
    pub span: Span,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Box<str>,
    /// How it is offered.
    pub kind: super::ServiceKind,
    /// `spec.clusterIPs` and `spec.clusterIP`, each once; none for a headless service.
    pub addresses: Vec<IpAddr>,
    /// `spec.externalIPs` and the addresses of its load balancer.
    pub external_addresses: Vec<IpAddr>,
    /// Its labels.
    pub labels: Labels,
    /// The pods behind it; `None` where its endpoints are kept by hand.
    pub selector: Option<Labels>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Where it stands.
    pub span: Span,
}

/// A port of a service.
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
    /// The port of the pods behind it.
    pub target: Target,
    /// Where it stands.
    pub span: Span,
}

/// The port of a pod behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This one.
    Number(u16),
    /// The one to which the pod gives this name.
    Name(Box<str>),
}

/// The endpoints of a service, as an EndpointSlice or Endpoints lists them.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Box<str>,
    /// The service; `None` for a slice that names none.
    pub service: Option<Box<str>>,
    /// Whether it is an EndpointSlice: these are asked before Endpoints.
    pub slice: bool,
    /// The endpoints.
    pub subsets: Vec<Subset>,
    /// Where it stands.
    pub span: Span,
}

/// Addresses that all offer the same ports.
#[derive(Clone, Debug)]
pub struct Subset {
    /// The addresses that are ready.
    pub addresses: Vec<IpAddr>,
    /// The ports.
    pub ports: Vec<EndpointPort>,
}

/// A port of endpoints.
#[derive(Clone, Debug)]
pub struct EndpointPort {
    /// The name of the service's port; empty where that has none.
    pub name: Box<str>,
    /// The protocol.
    pub protocol: Protocol,
    /// The number; `None` is every port.
    pub number: Option<u16>,
}

/// A service account.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Box<str>,
    /// Its labels.
    pub labels: Arc<Labels>,
    /// Where it stands.
    pub span: Span,
}

/// A named group of blocks of addresses.
#[derive(Clone, Debug)]
pub struct BlockGroup {
    /// The name.
    pub name: Box<str>,
    /// Its labels.
    pub labels: Labels,
    /// Its blocks.
    pub blocks: Vec<IpNet>,
    /// Where it stands.
    pub span: Span,
}

/// DNS answers that were seen.
#[derive(Clone, Debug)]
pub struct DnsSnapshot {
    /// The name of the snapshot.
    pub name: Box<str>,
    /// Names, in lower case and without the final dot, with their addresses.
    pub answers: Vec<(Box<str>, Vec<IpAddr>)>,
    /// Where it stands.
    pub span: Span,
}

macro_rules! declared {
    ($($type:ident: |$object:ident| $kind:expr, $namespace:expr;)*) => {$(
        impl Declared for $type {
            fn id(&self) -> Id<'_> {
                let $object = self;
                Id { kind: $kind, namespace: $namespace, name: &self.name }
            }

            fn span(&self) -> Span {
                self.span
            }
        }
    )*};
}

declared! {
    Namespace: |_object| "Namespace", "";
    Node: |_object| "Node", "";
    Pod: |pod| "Pod", &pod.namespace;
    Workload: |workload| workload.kind, &workload.namespace;
    Service: |service| "Service", &service.namespace;
    Endpoints: |object| if object.slice { "EndpointSlice" } else { "Endpoints" }, &object.namespace;
    ServiceAccount: |account| "ServiceAccount", &account.namespace;
    BlockGroup: |_object| "CiliumCIDRGroup", "";
    DnsSnapshot: |_object| "DnsSnapshot", "";
}
