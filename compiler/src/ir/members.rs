//! The identities by what selectors ask of them.
//!
//! Which of them a selector selects is found once it is asked for: of many selectors nobody ever asks.

use super::{Identity, id};
use crate::cluster::{Cluster, Labels, LabelsId, NamespaceId};
use crate::hir::index::LabelIndex;
use crate::hir::{self, NamespaceSelector, PodSelector};
use rustc_hash::FxHashMap;

/// The identities. See the module.
#[derive(Debug)]
pub(crate) struct Members {
    /// The names of the namespaces, sorted.
    names: Box<[Box<str>]>,
    /// The identities of each namespace: they stand together.
    of_namespace: Vec<(u32, u32)>,
    namespaces: LabelIndex,
    /// The label sets that identities have, and the identities of each.
    labels: LabelIndex,
    of_labels: Vec<Vec<(NamespaceId, u32)>>,
    /// By identity, an index into `of_labels`.
    labels_of: Vec<u32>,
    /// The identities of pods on the network of a node, in order, each with the labels of the node.
    hosts: Vec<(u32, Labels)>,
}

impl Members {
    pub(super) fn new(cluster: &Cluster, identities: &[Identity]) -> Self {
        let namespaces = cluster.namespaces().iter();
        let mut of_namespace = vec![(0, 0); namespaces.len()];
        let mut slots: FxHashMap<LabelsId, u32> = FxHashMap::default();
        let mut sets = Vec::new();
        let mut of_labels: Vec<Vec<(NamespaceId, u32)>> = Vec::new();
        let mut labels_of = Vec::with_capacity(identities.len());
        let mut hosts = Vec::new();
        for (index, identity) in (0_u32..).zip(identities) {
            if let Some((first, end)) = of_namespace.get_mut(identity.namespace.index()) {
                *first = if end == first { index } else { *first };
                *end = index + 1;
            }
            let slot = *slots.entry(identity.labels).or_insert_with(|| {
                sets.push(cluster.labels(identity.labels));
                of_labels.push(Vec::new());
                id(of_labels.len() - 1)
            });
            labels_of.push(slot);
            hosts.extend(identity.host.map(|node| {
                let node = node.and_then(|node| cluster.node(node));
                let labels = node.map(|node| cluster.labels(node.labels).clone());
                (index, labels.unwrap_or_default())
            }));
            if let Some(list) = of_labels.get_mut(slot as usize) {
                list.push((identity.namespace, index));
            }
        }
        Self {
            names: cluster
                .namespaces()
                .iter()
                .map(|own| own.name.clone())
                .collect(),
            of_namespace,
            namespaces: LabelIndex::new(namespaces.map(|ns| cluster.labels(ns.labels))),
            labels: LabelIndex::new(sets.into_iter()),
            of_labels,
            labels_of,
            hosts,
        }
    }

    /// The identities on the networks of the nodes that a selector selects.
    pub(super) fn on_nodes(&self, selector: &hir::Selector) -> Vec<u32> {
        let hosts = self.hosts.iter();
        let selected = hosts.filter(|(_, labels)| selector.matches(labels));
        selected.map(|(identity, _)| *identity).collect()
    }

    /// The identities that a selector selects, with or without those on the network of a node.
    pub(super) fn select(&self, selector: &PodSelector, hosts_are_pods: bool) -> Vec<u32> {
        let mut selected = self.select_all(selector);
        if !hosts_are_pods && !self.hosts.is_empty() {
            let hosts = &self.hosts;
            selected.retain(|id| hosts.binary_search_by_key(id, |(host, _)| *host).is_err());
        }
        selected
    }

    /// The identities that a selector selects.
    fn select_all(&self, selector: &PodSelector) -> Vec<u32> {
        let namespaces = self.select_namespaces(&selector.namespaces);
        let ranges = || {
            namespaces
                .iter()
                .filter_map(|namespace| self.of_namespace.get(*namespace as usize))
        };
        let here: usize = ranges().map(|(first, end)| (end - first) as usize).sum();
        if selector.pods.requirements.is_empty() {
            return ranges().flat_map(|(first, end)| *first..*end).collect();
        }
        let labels = self.labels.select(&selector.pods);
        let lists = || {
            labels
                .iter()
                .filter_map(|slot| self.of_labels.get(*slot as usize))
        };
        if lists().map(Vec::len).sum::<usize>() <= here {
            lists()
                .flatten()
                .filter(|(namespace, _)| namespaces.binary_search(&namespace.0).is_ok())
                .map(|(_, identity)| *identity)
                .collect()
        } else {
            let is_selected = |identity: &u32| {
                let slot = self.labels_of.get(*identity as usize);
                slot.is_some_and(|slot| labels.binary_search(slot).is_ok())
            };
            ranges()
                .flat_map(|(first, end)| *first..*end)
                .filter(is_selected)
                .collect()
        }
    }

    /// The namespaces that a selector selects, sorted.
    fn select_namespaces(&self, selector: &NamespaceSelector) -> Vec<u32> {
        match selector {
            NamespaceSelector::Named(name) => {
                self.names.binary_search(name).map(id).into_iter().collect()
            }
            NamespaceSelector::Labels(selector) => self.namespaces.select(selector),
        }
    }
}
