//! Edits of policies and labels, and what they make of a set of policies, of a flow and of a snapshot.

use crate::cluster::{Cluster, Labels, NamespaceId, PodId, WorkloadId};
use crate::hir::flow::{Endpoint, EndpointKind, Flow, PodView};
use crate::hir::{Direction, Peer, Policy, PolicyId, PolicySet, PortMatch, Rule, RuleId};

/// An edit of one object.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A port more in a rule.
    Port { rule: RuleId, port: PortMatch },
    /// A port of a rule made wider.
    Wider {
        rule: RuleId,
        index: usize,
        port: PortMatch,
    },
    /// A peer more in a rule.
    Peer { rule: RuleId, peer: Peer },
    /// A rule more in a policy.
    Rule {
        policy: PolicyId,
        direction: Direction,
        index: usize,
        rule: Rule,
    },
    /// A policy more, with one rule.
    Policy(Box<Policy>),
    /// A label more, or another value of one.
    Label(Label),
}

/// A label that is given to someone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) of: Labelled,
    pub(super) key: Box<str>,
    pub(super) value: Box<str>,
    /// Whether another value of the label is lost.
    pub(super) replaces: bool,
}

/// Who gets a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Labelled {
    /// A pod that no workload made.
    Pod(PodId),
    /// The pods of a workload, by its template.
    Workload(WorkloadId),
    /// A namespace.
    Namespace(NamespaceId),
}

impl Label {
    /// Labels with this one.
    pub(super) fn added_to(&self, labels: &Labels) -> Labels {
        let new = (&*self.key, &*self.value);
        labels.iter().chain([new]).collect()
    }

    fn is_for_pod(&self, cluster: &Cluster, id: PodId) -> bool {
        match self.of {
            Labelled::Pod(pod) => pod == id,
            Labelled::Workload(workload) => {
                let pod = cluster.pod(id);
                pod.is_some_and(|pod| pod.workload == Some(workload))
            }
            Labelled::Namespace(_) => false,
        }
    }

    fn is_for_namespace(&self, cluster: &Cluster, name: &str) -> bool {
        match self.of {
            Labelled::Namespace(id) => cluster.namespace_name(id) == name,
            Labelled::Pod(_) | Labelled::Workload(_) => false,
        }
    }
}

/// How many edits some changes are: another value of a label takes the old one and gives a new one.
pub(super) fn edits<'c>(changes: impl IntoIterator<Item = &'c Change>) -> usize {
    let edits = changes.into_iter().map(|change| match change {
        Change::Label(Label { replaces: true, .. }) => 2,
        Change::Label(_)
        | Change::Port { .. }
        | Change::Wider { .. }
        | Change::Peer { .. }
        | Change::Rule { .. }
        | Change::Policy(_) => 1,
    });
    edits.sum()
}

/// The labels that some edits give.
pub(super) fn labels<'c>(changes: &[&'c Change]) -> Vec<&'c Label> {
    let labels = changes.iter().filter_map(|change| match change {
        Change::Label(label) => Some(label),
        Change::Port { .. }
        | Change::Wider { .. }
        | Change::Peer { .. }
        | Change::Rule { .. }
        | Change::Policy(_) => None,
    });
    labels.collect()
}

/// Makes an edit in policies, which may be some of all: rules are found by `all`, where they stand.
pub(super) fn apply(policies: &mut PolicySet, all: &PolicySet, change: &Change) -> Option<()> {
    match change {
        Change::Port { rule, port } => {
            let rule = rule_mut(policies, all, *rule)?;
            rule.ports.as_mut()?.push(port.clone());
        }
        Change::Wider { rule, index, port } => {
            let rule = rule_mut(policies, all, *rule)?;
            *rule.ports.as_mut()?.get_mut(*index)? = port.clone();
        }
        Change::Peer { rule, peer } => {
            let rule = rule_mut(policies, all, *rule)?;
            rule.peers.as_mut()?.push(peer.clone());
        }
        Change::Rule {
            policy,
            direction,
            index,
            rule,
        } => {
            let rules = rules_mut(policies, *direction, *policy)?;
            rules.insert((*index).min(rules.len()), rule.clone());
        }
        Change::Policy(policy) => {
            let rank = |policy: &Policy| (policy.tier, policy.priority);
            let list = &mut policies.policies;
            let place = list.partition_point(|known| rank(known) <= rank(policy));
            list.insert(place, (**policy).clone());
        }
        Change::Label(_) => {}
    }
    Some(())
}

fn rules_mut(
    policies: &mut PolicySet,
    direction: Direction,
    id: PolicyId,
) -> Option<&mut Vec<Rule>> {
    let mut policies = policies.policies.iter_mut();
    let policy = policies.find(|policy| policy.id == id)?;
    Some(policy.rules.get_mut(direction))
}

fn rule_mut<'p>(policies: &'p mut PolicySet, all: &PolicySet, id: RuleId) -> Option<&'p mut Rule> {
    let origin = all.origin(id)?;
    let mut rules = rules_mut(policies, origin.direction, origin.policy)?.iter_mut();
    rules.find(|rule| rule.id == id)
}

/// The labels of both ends of a flow after some edits.
pub(super) struct EndLabels {
    src: Option<[Labels; 2]>,
    dst: Option<[Labels; 2]>,
}

impl EndLabels {
    pub(super) fn new(cluster: &Cluster, flow: &Flow<'_>, labels: &[&Label]) -> Self {
        let of = |end: &Endpoint<'_>| match &end.kind {
            EndpointKind::Pod(pod) => Some(labels_of(cluster, pod, labels)),
            EndpointKind::Node(_) | EndpointKind::Outside => None,
        };
        Self {
            src: of(&flow.src),
            dst: of(&flow.dst),
        }
    }

    /// The flow with these labels.
    pub(super) fn flow<'f>(&'f self, flow: &Flow<'f>) -> Flow<'f> {
        let with = |end: &Endpoint<'f>, labels: &'f Option<[Labels; 2]>| {
            let mut end = *end;
            if let (EndpointKind::Pod(pod), Some([own, namespace])) = (&mut end.kind, labels) {
                pod.labels = own;
                pod.namespace_labels = namespace;
            }
            end
        };
        Flow {
            src: with(&flow.src, &self.src),
            dst: with(&flow.dst, &self.dst),
            transport: flow.transport,
        }
    }
}

fn labels_of(cluster: &Cluster, pod: &PodView<'_>, labels: &[&Label]) -> [Labels; 2] {
    let (mut own, mut namespace) = (pod.labels.clone(), pod.namespace_labels.clone());
    for label in labels {
        if pod.id.is_some_and(|id| label.is_for_pod(cluster, id)) {
            own = label.added_to(&own);
        }
        if label.is_for_namespace(cluster, pod.namespace) {
            namespace = label.added_to(&namespace);
        }
    }
    [own, namespace]
}

/// A snapshot after some edits of labels.
pub(super) fn relabelled(cluster: &Cluster, labels: &[&Label]) -> Cluster {
    let mut changed = cluster.clone();
    for label in labels {
        let add = |known: &Labels| label.added_to(known);
        match label.of {
            Labelled::Pod(pod) => changed.relabel_pods(&[pod], add),
            Labelled::Workload(id) => {
                let pods: Vec<PodId> = (0..)
                    .map(PodId)
                    .zip(cluster.pods())
                    .filter(|(_, pod)| pod.workload == Some(id))
                    .map(|(id, _)| id)
                    .collect();
                changed.relabel_pods(&pods, add);
            }
            Labelled::Namespace(id) => changed.relabel_namespace(id, add),
        }
    }
    changed
}
