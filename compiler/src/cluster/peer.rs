//! The ends and the port of a question, as people write them.
//!
//! Input: the text of `--from`, `--to`, `--port`, of a test suite or of a trace. Output: [`PeerSpec`] and
//! [`PortSpec`], which know nothing of a cluster; [`resolve`] says who in a cluster is meant. Refused: text
//! that does not fit the grammar ([`PEER_GRAMMAR`], [`PORT_GRAMMAR`]); a name that nothing or more than one
//! thing has. Every refusal names the nearest thing that would do.

mod parse;
mod port;
mod resolve;
mod suggest;

pub use port::{PORT_GRAMMAR, PortSpec};
pub use resolve::{Backend, assumption, backends, no_backend, no_node, note, resolve};
pub(crate) use suggest::{did_you_mean, list, nearest};

use super::{Labels, NamespaceId, NodeId, PodId, ServiceId};
use std::fmt;
use std::net::IpAddr;

/// How a peer is written.
pub const PEER_GRAMMAR: &str = "a peer is `NAMESPACE/POD`, `NAMESPACE/KIND/NAME`, `NAMESPACE[KEY=VALUE,...]`, \
     `[KEY=VALUE,...]/[KEY=VALUE,...]`, an IP address, `node/NAME`, `service:NAMESPACE/NAME`, `fqdn:NAME` or \
     `entity:world`";

/// A peer as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerSpec {
    /// `web`, `shop/web`, `shop/deployment/web`: a pod or a workload.
    Named {
        /// The namespace; `None` where it is left out.
        namespace: Option<Box<str>>,
        /// The kind as written; `None` is a pod or, where none has the name, a workload.
        kind: Option<Box<str>>,
        /// The name.
        name: Box<str>,
    },
    /// `shop[app=web]`, `[team=blue]/[app=web]`: a pod that does not exist.
    Hypothetical {
        /// Its namespace.
        namespace: NamespaceSpec,
        /// Its labels.
        labels: Labels,
    },
    /// `10.0.0.7`, `2001:db8::1`, in canonical form.
    Address(IpAddr),
    /// `node/worker-1`.
    Node(Box<str>),
    /// `entity:world`.
    Entity(Box<str>),
    /// `fqdn:api.example.com`: in lower case, without the final dot.
    Fqdn(Box<str>),
    /// `service:shop/api`.
    Service {
        /// The namespace; `None` where it is left out.
        namespace: Option<Box<str>>,
        /// The name.
        name: Box<str>,
    },
}

/// The namespace of a pod that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceSpec {
    /// One of the cluster.
    Named(Box<str>),
    /// One that does not exist, with these labels.
    Labels(Labels),
}

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// A pod, or one of the pods of a workload.
    Pod(PodId),
    /// A node.
    Node(NodeId),
    /// An address: who owns it says [`super::Cluster::owner`]; the outside where nobody does.
    Address(IpAddr),
    /// A pod that does not exist.
    Hypothetical {
        /// Its namespace.
        namespace: HypotheticalNamespace,
        /// Its labels.
        labels: Labels,
    },
    /// A name with the answers that were seen: without any, the answer depends on them.
    Fqdn {
        /// The name in lower case, without the final dot.
        name: Box<str>,
        /// Its addresses.
        addresses: Vec<IpAddr>,
    },
    /// A service: [`backends`] says what is behind its ports.
    Service {
        /// The service.
        service: ServiceId,
        /// The address by which it was named, if it was.
        address: Option<IpAddr>,
    },
    /// Some address outside the cluster.
    World,
}

/// The namespace of a pod that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HypotheticalNamespace {
    /// One of the cluster.
    Existing(NamespaceId),
    /// One that does not exist, with these labels.
    New(Labels),
}

impl fmt::Display for PeerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named {
                namespace,
                kind,
                name,
            } => {
                for part in [namespace, kind].into_iter().flatten() {
                    write!(f, "{part}/")?;
                }
                f.write_str(name)
            }
            Self::Hypothetical { namespace, labels } => {
                write!(f, "{namespace}{}", Brackets(labels))
            }
            Self::Address(address) => write!(f, "{address}"),
            Self::Node(name) => write!(f, "node/{name}"),
            Self::Entity(name) => write!(f, "entity:{name}"),
            Self::Fqdn(name) => write!(f, "fqdn:{name}"),
            Self::Service {
                namespace: Some(namespace),
                name,
            } => write!(f, "service:{namespace}/{name}"),
            Self::Service {
                namespace: None,
                name,
            } => write!(f, "service:{name}"),
        }
    }
}

impl fmt::Display for NamespaceSpec {
    /// With all that stands in front of the pod's labels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Labels(labels) => write!(f, "{}/", Brackets(labels)),
        }
    }
}

struct Brackets<'a>(&'a Labels);

impl fmt::Display for Brackets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("[*]")
        } else {
            write!(f, "[{}]", self.0)
        }
    }
}
