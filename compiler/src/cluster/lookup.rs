//! Finding things in a [`Cluster`] by name, address or label: binary searches over its sorted lists.

use super::{
    Cluster, Labels, Namespace, NamespaceId, Node, NodeId, Pod, PodId, Service, ServiceId,
    Workload, WorkloadId,
};
use crate::source::to_u32;
use std::cmp::Ordering;
use std::net::IpAddr;
use std::ops::Range;

/// The name of a pod of a workload of which the snapshot has none: `web-1`.
#[must_use]
pub fn replica_name(workload: &str, number: usize) -> String {
    format!("{workload}-{number}")
}

impl Cluster {
    /// The namespace behind an id.
    #[must_use]
    pub fn namespace(&self, id: NamespaceId) -> Option<&Namespace> {
        self.namespaces.get(id.index())
    }

    /// The name of a namespace.
    #[must_use]
    pub fn namespace_name(&self, id: NamespaceId) -> &str {
        self.namespace(id).map_or("", |namespace| &namespace.name)
    }

    /// The pod behind an id.
    #[must_use]
    pub fn pod(&self, id: PodId) -> Option<&Pod> {
        self.pods.get(id.index())
    }

    /// The node behind an id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index())
    }

    /// The workload behind an id.
    #[must_use]
    pub fn workload(&self, id: WorkloadId) -> Option<&Workload> {
        self.workloads.get(id.index())
    }

    /// The service behind an id.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(id.index())
    }

    /// The namespace of a name.
    #[must_use]
    pub fn find_namespace(&self, name: &str) -> Option<NamespaceId> {
        let index = self
            .namespaces
            .binary_search_by(|namespace| (*namespace.name).cmp(name));
        index.ok().map(|index| NamespaceId(to_u32(index)))
    }

    /// The pod of a name; never one that stands for a workload's.
    #[must_use]
    pub fn find_pod(&self, namespace: &str, name: &str) -> Option<PodId> {
        let namespace = self.find_namespace(namespace)?;
        let key = (namespace, name, false);
        let index = self
            .pods
            .binary_search_by(|pod| (pod.namespace, &*pod.name, pod.stand_in).cmp(&key));
        index.ok().map(|index| PodId(to_u32(index)))
    }

    /// The node of a name.
    #[must_use]
    pub fn find_node(&self, name: &str) -> Option<NodeId> {
        let index = self.nodes.binary_search_by(|node| (*node.name).cmp(name));
        index.ok().map(|index| NodeId(to_u32(index)))
    }

    /// The workload of a kind (`Deployment`) and a name.
    #[must_use]
    pub fn find_workload(&self, namespace: &str, kind: &str, name: &str) -> Option<WorkloadId> {
        let key = (self.find_namespace(namespace)?, kind, name);
        let index = self.workloads.binary_search_by(|workload| {
            (workload.namespace, &*workload.kind, &*workload.name).cmp(&key)
        });
        index.ok().map(|index| WorkloadId(to_u32(index)))
    }

    /// The service of a name.
    #[must_use]
    pub fn find_service(&self, namespace: &str, name: &str) -> Option<ServiceId> {
        let key = (self.find_namespace(namespace)?, name);
        let index = self
            .services
            .binary_search_by(|service| (service.namespace, &*service.name).cmp(&key));
        index.ok().map(|index| ServiceId(to_u32(index)))
    }

    /// The service that has an address, for the cluster or for the outside.
    #[must_use]
    pub fn service_by_address(&self, address: IpAddr) -> Option<ServiceId> {
        self.service_owners.get(address.to_canonical()).copied()
    }

    /// The workloads of a namespace, sorted by kind and name.
    pub fn workloads_in(
        &self,
        namespace: NamespaceId,
    ) -> impl ExactSizeIterator<Item = (WorkloadId, &Workload)> {
        let range = equal_range(&self.workloads, |workload| {
            workload.namespace.cmp(&namespace)
        });
        entries(&self.workloads, range).map(|(index, workload)| (WorkloadId(index), workload))
    }

    /// The pods of a namespace, sorted by name.
    pub fn pods_in(&self, namespace: NamespaceId) -> impl ExactSizeIterator<Item = (PodId, &Pod)> {
        let range = equal_range(&self.pods, |pod| pod.namespace.cmp(&namespace));
        entries(&self.pods, range).map(|(index, pod)| (PodId(index), pod))
    }

    /// The services of a namespace, sorted by name.
    pub fn services_in(
        &self,
        namespace: NamespaceId,
    ) -> impl ExactSizeIterator<Item = (ServiceId, &Service)> {
        let range = equal_range(&self.services, |service| service.namespace.cmp(&namespace));
        entries(&self.services, range).map(|(index, service)| (ServiceId(index), service))
    }

    /// The pods of a workload, sorted; at least one. Finished ones are among them only where all have finished.
    #[must_use]
    pub fn workload_pods(&self, id: WorkloadId) -> &[PodId] {
        self.workload_pods.get(id.index()).map_or(&[], |pods| pods)
    }

    /// The labels of a namespace.
    #[must_use]
    pub fn namespace_labels(&self, id: NamespaceId) -> &Labels {
        self.namespace(id)
            .map_or(&super::NO_LABELS, |namespace| self.labels(namespace.labels))
    }
}

fn equal_range<T>(sorted: &[T], order: impl Fn(&T) -> Ordering) -> Range<usize> {
    let start = sorted.partition_point(|item| order(item) == Ordering::Less);
    let end = sorted.partition_point(|item| order(item) != Ordering::Greater);
    start..end
}

fn entries<T>(list: &[T], range: Range<usize>) -> impl ExactSizeIterator<Item = (u32, &T)> {
    let start = range.start;
    let items = list.get(range).unwrap_or(&[]);
    items
        .iter()
        .enumerate()
        .map(move |(offset, item)| (to_u32(start + offset), item))
}
