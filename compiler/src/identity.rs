//! What an endpoint is to rules that ask for identities: a set of labels, each with the source that says it.
//!
//! Input: a snapshot, what policies mention ([`Mentioned`]) and the switches ([`Options`]). Output: [`Identities`],
//! which leads from a pod, a node or an address to its [`Identity`]. Two ends with the same labels get the same
//! verdict from every rule. Guarantee: nothing here depends on numbers; where the snapshot leaves open what an end
//! is, every identity that it may have is given.
//!
//! The rules are those of Cilium 1.20 (`pkg/identity`, `pkg/ipcache/metadata.go`, `pkg/labels/cidr.go`); 1.19 has
//! no aggregates and no labels of named ports.

mod filter;
mod model;

pub use filter::LabelFilter;
pub(crate) use model::{Entry, group_key};
pub use model::{Identities, Mentioned, Options, View};

use ipnet::IpNet;
use std::fmt;

/// The sources of labels.
pub mod source {
    /// In a selector: whichever source.
    pub const ANY: &str = "any";
    /// What the API server says of a pod and its namespace.
    pub const K8S: &str = "k8s";
    /// What the implementation says of ends that are no pods.
    pub const RESERVED: &str = "reserved";
    /// A block of addresses that policies mention.
    pub const CIDR: &str = "cidr";
    /// A named group of blocks.
    pub const CIDR_GROUP: &str = "cidrgroup";
    /// A pattern of domain names, where an answer for such a name had the address.
    pub const FQDN: &str = "fqdn";
    /// What the API server says of a node.
    pub const NODE: &str = "node";
    /// What the implementation makes of a pod.
    pub const GENERATED: &str = "gen";
}

/// The keys that the implementation itself gives.
pub mod key {
    /// The name of a pod's namespace.
    pub const NAMESPACE: &str = "io.kubernetes.pod.namespace";
    /// In front of the keys of a pod's namespace, with a dot.
    pub const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels.";
    /// The name of the cluster.
    pub const CLUSTER: &str = "io.cilium.k8s.policy.cluster";
    /// A pod's service account.
    pub const SERVICE_ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";
    /// A pod's named ports.
    pub const NAMED_PORTS: &str = "io.cilium.k8s.named-ports";
    /// In front of the name of a group of blocks.
    pub const GROUP_NAME: &str = "io.cilium.policy.cidrgroupname/";

    /// The node of the endpoint that is asked.
    pub const HOST: &str = "host";
    /// Any other node.
    pub const REMOTE_NODE: &str = "remote-node";
    /// An address of the API server.
    pub const API_SERVER: &str = "kube-apiserver";
    /// Outside, in a cluster with one address family.
    pub const WORLD: &str = "world";
    /// Outside by an IPv4 address, in a cluster with both families.
    pub const WORLD_V4: &str = "world-ipv4";
    /// Outside by an IPv6 address, in a cluster with both families.
    pub const WORLD_V6: &str = "world-ipv6";
    /// An endpoint of which no labels are known yet.
    pub const INIT: &str = "init";
    /// An endpoint that the implementation does not manage.
    pub const UNMANAGED: &str = "unmanaged";
    /// The implementation's own endpoints that ask each other whether they live.
    pub const HEALTH: &str = "health";
    /// The implementation's own proxy of Ingress and Gateway objects.
    pub const INGRESS: &str = "ingress";
}

/// A label with the source that says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// The key.
    pub key: Box<str>,
    /// The source.
    pub source: Box<str>,
    /// The value; empty where there is none.
    pub value: Box<str>,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.key)?;
        if !self.value.is_empty() {
            write!(f, "={}", self.value)?;
        }
        Ok(())
    }
}

/// Labels, sorted by key, each key once whatever its source.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSet(Vec<Label>);

impl LabelSet {
    /// The labels.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.0.iter()
    }

    /// The value of a key, if its label is of the source; [`source::ANY`] is every source.
    #[must_use]
    pub fn get(&self, source: &str, key: &str) -> Option<&str> {
        let found = self.0.binary_search_by(|label| (*label.key).cmp(key));
        let label = self.0.get(found.ok()?)?;
        (source == source::ANY || *label.source == *source).then_some(&*label.value)
    }

    /// Whether there is a label of the implementation's own with this key.
    #[must_use]
    pub fn has_reserved(&self, key: &str) -> bool {
        self.get(source::RESERVED, key).is_some()
    }

    /// Adds a label unless its key is there.
    pub fn add(&mut self, source: &str, key: &str, value: &str) {
        if let Err(place) = self.0.binary_search_by(|label| (*label.key).cmp(key)) {
            let label = Label {
                key: key.into(),
                source: source.into(),
                value: value.into(),
            };
            self.0.insert(place, label);
        }
    }

    fn retain(&mut self, keep: impl FnMut(&Label) -> bool) {
        self.0.retain(keep);
    }
}

/// What identities are taken together under a label of their own, which no packet has: a rule that selects the
/// aggregate has every identity in it. Identities without one are known to all by their reserved numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aggregate {
    /// None.
    #[default]
    None,
    /// The endpoints of this cluster.
    Cluster,
    /// The endpoints of other clusters.
    ClusterMesh,
    /// What is outside and has more labels than that.
    World,
    /// Other nodes that have labels of their own.
    RemoteNode,
}

impl Aggregate {
    /// The key of its only label; `None` where there is no aggregate.
    #[must_use]
    pub fn key(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Cluster => Some("aggregate-cluster"),
            Self::ClusterMesh => Some("aggregate-cluster-mesh"),
            Self::World => Some("aggregate-world"),
            Self::RemoteNode => Some("aggregate-remote-node"),
        }
    }

    /// The aggregate as an identity.
    #[must_use]
    pub fn identity(self) -> Option<Identity> {
        let mut labels = LabelSet::default();
        labels.add(source::RESERVED, self.key()?, "");
        Some(Identity {
            labels,
            ..Identity::default()
        })
    }
}

/// What an end is to rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The labels, but for those of blocks.
    pub labels: LabelSet,
    /// The blocks among its labels: one that policies mention and that has the address, or none.
    pub blocks: Vec<IpNet>,
    /// What it is taken together with.
    pub aggregate: Aggregate,
    /// The labels that a node has besides where it is the subject of policies, and not where it is a peer.
    pub own: LabelSet,
}

impl Identity {
    /// All labels as texts, those of blocks first.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        let blocks = self.blocks.iter();
        blocks
            .map(|block| format!("{}:{block}", source::CIDR))
            .chain(self.labels.iter().map(Label::to_string))
    }

    /// The value of a key as [`LabelSet::get`] gives it, where this is the subject of policies: its labels come before those that
    /// it has as a subject alone.
    #[must_use]
    pub fn get_as_subject(&self, source: &str, key: &str) -> Option<&str> {
        let of_key = [&self.labels, &self.own].into_iter();
        let mut of_key = of_key.filter(|labels| labels.get(source::ANY, key).is_some());
        of_key.next()?.get(source, key)
    }

    /// Whether it is a node, the endpoint's own or another.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.labels.has_reserved(key::HOST) || self.labels.has_reserved(key::REMOTE_NODE)
    }

    /// Whether it is outside the cluster.
    #[must_use]
    pub fn is_world(&self) -> bool {
        let keys = [key::WORLD, key::WORLD_V4, key::WORLD_V6];
        keys.iter().any(|key| self.labels.has_reserved(key))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.texts().collect();
        f.write_str(&all.join(","))
    }
}
