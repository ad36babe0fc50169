//! Snapshots made of a part of another, or of another with other labels.

use super::{Cluster, Labels, LabelsId, NamespaceId, PodId};
use crate::source::to_u32;

impl Cluster {
    /// The same snapshot with some of its pods only, as policies and lists of connections see it: it has no services,
    /// and does not know who owns an address. Other ids than those of pods lead to the same.
    #[must_use]
    pub fn of_pods(&self, kept: impl IntoIterator<Item = PodId>) -> Self {
        let pods = kept.into_iter().filter_map(|id| self.pod(id).cloned());
        Self {
            host_network: self.host_network,
            namespaces: self.namespaces.clone(),
            pods: pods.collect(),
            nodes: self.nodes.clone(),
            workloads: self.workloads.clone(),
            names: self.names.clone(),
            label_sets: self.label_sets.clone(),
            port_sets: self.port_sets.clone(),
            ..Self::default()
        }
    }

    /// Gives some pods other labels.
    pub(crate) fn relabel_pods(&mut self, pods: &[PodId], labels: impl Fn(&Labels) -> Labels) {
        for id in pods {
            let old = self.pod(*id).map(|pod| pod.labels);
            let new = old.map(|old| labels(self.labels(old)));
            let new = new.map(|new| self.labels_id(new));
            if let (Some(pod), Some(new)) = (self.pods.get_mut(id.index()), new) {
                pod.labels = new;
            }
        }
    }

    /// Gives a namespace other labels.
    pub(crate) fn relabel_namespace(
        &mut self,
        id: NamespaceId,
        labels: impl Fn(&Labels) -> Labels,
    ) {
        let new = labels(self.namespace_labels(id));
        let new = self.labels_id(new);
        if let Some(namespace) = self.namespaces.get_mut(id.index()) {
            namespace.labels = new;
        }
    }

    fn labels_id(&mut self, labels: Labels) -> LabelsId {
        let known = self.label_sets.iter().position(|known| *known == labels);
        let index = known.unwrap_or_else(|| {
            self.label_sets.push(labels);
            self.label_sets.len() - 1
        });
        LabelsId(to_u32(index))
    }
}
