//! Whether two snapshots are the same to every policy.

use super::{Cluster, Namespace, Node, NodeId, Pod};

impl Cluster {
    /// Whether nothing that a policy or a list of connections can see is different: where objects are defined, and
    /// services, are no part of it.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.host_network == other.host_network
            && self.names == other.names
            && alike(&self.namespaces, &other.namespaces, |one, two| {
                self.is_same_namespace(other, one, two)
            })
            && alike(&self.nodes, &other.nodes, |one, two| {
                self.is_same_node(other, one, two)
            })
            && alike(&self.pods, &other.pods, |one, two| {
                self.is_same_pod(other, one, two)
            })
    }

    /// Whether anyone is in it: a namespace that is defined, a pod or a workload.
    #[must_use]
    pub fn has_anyone(&self) -> bool {
        let mut namespaces = self.namespaces.iter();
        !self.pods.is_empty()
            || !self.workloads.is_empty()
            || namespaces.any(|namespace| namespace.span.is_some())
    }

    /// The same snapshot with other DNS answers.
    #[must_use]
    pub fn with_names_of(&self, other: &Self) -> Self {
        Self {
            names: other.names.clone(),
            ..self.clone()
        }
    }

    fn is_same_namespace(&self, other: &Self, one: &Namespace, two: &Namespace) -> bool {
        one.name == two.name && self.labels(one.labels) == other.labels(two.labels)
    }

    fn is_same_node(&self, other: &Self, one: &Node, two: &Node) -> bool {
        one.name == two.name
            && self.labels(one.labels) == other.labels(two.labels)
            && one.addresses == two.addresses
    }

    fn is_same_pod(&self, other: &Self, one: &Pod, two: &Pod) -> bool {
        let node = |cluster: &Self, id: Option<NodeId>| {
            let node = id.and_then(|id| cluster.node(id));
            node.map(|node| node.name.clone())
        };
        let workload = |cluster: &Self, pod: &Pod| {
            let workload = pod.workload.and_then(|id| cluster.workload(id));
            workload.map(|workload| (workload.kind.clone(), workload.name.clone()))
        };
        self.namespace_name(one.namespace) == other.namespace_name(two.namespace)
            && one.name == two.name
            && self.labels(one.labels) == other.labels(two.labels)
            && one.addresses == two.addresses
            && self.ports(one.ports) == other.ports(two.ports)
            && (one.host_network, one.stand_in, one.finished)
                == (two.host_network, two.stand_in, two.finished)
            && node(self, one.node) == node(other, two.node)
            && workload(self, one) == workload(other, two)
    }
}

fn alike<T>(one: &[T], other: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, two)| same(one, two))
}
