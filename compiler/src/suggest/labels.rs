//! Labels with which rules that are there would match a flow: of the other end, so that a peer selects it, or of the
//! end that denies, so that a policy with a rule for the flow selects it.
//!
//! Labels are added; those of pods without a workload and of namespaces may also get another value. The labels of a
//! workload's template by which it knows its pods must stay as they are.

use super::candidates::{Candidate, Kind, Rank};
use super::change::{Change, Label, Labelled};
use super::items::VOLATILE_LABELS;
use crate::cluster::{Cluster, Labels, NAMESPACE_NAME_LABEL};
use crate::explain::view::View;
use crate::hir::flow::{Endpoint, EndpointKind, PodView};
use crate::hir::spec::{self, Side, Truth};
use crate::hir::{
    Action, NamespaceSelector, Operator, Peer, PodSelector, Policy, Rule, Selector, Tier,
};
use std::collections::BTreeSet;

/// How many labels an edit gives at most.
const MOST_LABELS: usize = 2;

/// How many edits of labels are weighed for one side.
const MOST_CANDIDATES: usize = 8;

/// The value of a label that only has to be there.
const ANY_VALUE: &str = "true";

/// Edits of labels with which a rule matches, those with fewer labels first.
pub(super) fn relabellings(view: View<'_>, side: &Side) -> Vec<Candidate> {
    let mut found: Vec<Vec<Label>> = of_other(view, side)
        .into_iter()
        .chain(of_own(view))
        .collect();
    found.retain(|labels| !labels.is_empty() && labels.len() <= MOST_LABELS);
    found.sort_by_key(Vec::len);
    let mut seen = BTreeSet::new();
    found.retain(|labels| seen.insert(format!("{labels:?}")));
    found.truncate(MOST_CANDIDATES);
    found.into_iter().map(candidate).collect()
}

fn candidate(labels: Vec<Label>) -> Candidate {
    Candidate {
        rank: Rank {
            overrules: false,
            opens_widely: false,
            kind: Kind::Label,
            governed: 0,
            size: labels.len(),
        },
        changes: labels.into_iter().map(Change::Label).collect(),
    }
}

/// Labels of the other end, for the peers of rules that miss by nothing else.
fn of_other(view: View<'_>, side: &Side) -> Vec<Vec<Label>> {
    let Some(stop) = view.stop(side) else {
        return Vec::new();
    };
    let rules = view.governing().flat_map(|policy| {
        let rules = policy.rules.get(view.direction).iter();
        rules.map(move |rule| (policy, rule))
    });
    let may_allow = |(policy, rule): &(&Policy, &Rule)| {
        rule.action == Action::Allow
            && stop.is_behind(policy, rule)
            && view.ports_match(rule) == Truth::Yes
            && view.peers_match(rule) == Truth::No
    };
    rules
        .filter(may_allow)
        .flat_map(|(policy, rule)| {
            let end = view.other().seen_in(policy.tier);
            let peers = rule.peers.iter().flatten();
            peers.filter_map(move |peer| match peer {
                Peer::Pods(selector) => needed(view.context.cluster, selector, &end),
                Peer::Nodes(_) | Peer::Addresses(_) | Peer::Domain(_) | Peer::Identities(_) => None,
            })
        })
        .collect()
}

/// Labels of the end that denies, for policies with a rule that allows the flow.
fn of_own(view: View<'_>) -> Vec<Vec<Label>> {
    let EndpointKind::Pod(pod) = &view.governed().kind else {
        return Vec::new();
    };
    let allows = |policy: &&Policy| {
        let rules = policy.rules.get(view.direction).iter();
        !spec::governs(policy, pod)
            && (policy.tier == Tier::Namespace || pod.host.is_none())
            && rules
                .filter(|rule| rule.action == Action::Allow)
                .any(|rule| {
                    view.ports_match(rule) == Truth::Yes && view.peers_match(rule) == Truth::Yes
                })
    };
    let policies = view.context.policies.policies.iter().filter(allows);
    policies
        .filter_map(|policy| {
            let subject = policy.subject.pods()?;
            needed(view.context.cluster, subject, view.governed())
        })
        .collect()
}

/// The labels with which a selector would select an end; `None` where none would do.
fn needed(cluster: &Cluster, selector: &PodSelector, end: &Endpoint<'_>) -> Option<Vec<Label>> {
    let EndpointKind::Pod(pod) = &end.kind else {
        return None;
    };
    let mut needed = match &selector.namespaces {
        NamespaceSelector::Named(name) => (**name == *pod.namespace).then(Vec::new)?,
        NamespaceSelector::Labels(labels) => of_namespace(cluster, labels, pod)?,
    };
    needed.extend(of_pod(cluster, &selector.pods, pod)?);
    Some(needed)
}

fn of_namespace(cluster: &Cluster, selector: &Selector, pod: &PodView<'_>) -> Option<Vec<Label>> {
    if selector.matches(pod.namespace_labels) {
        return Some(Vec::new());
    }
    let id = cluster.find_namespace(pod.namespace)?;
    cluster.namespace(id)?.span?;
    let labels = missing(selector, pod.namespace_labels, true)?;
    let own_name = labels.iter().any(|(key, _)| **key == *NAMESPACE_NAME_LABEL);
    (!own_name).then(|| given(Labelled::Namespace(id), pod.namespace_labels, labels))
}

fn of_pod(cluster: &Cluster, selector: &Selector, pod: &PodView<'_>) -> Option<Vec<Label>> {
    if selector.matches(pod.labels) {
        return Some(Vec::new());
    }
    let id = pod.id?;
    let workload = cluster.pod(id)?.workload;
    let labels = missing(selector, pod.labels, workload.is_none())?;
    let is_volatile = |(key, _): &(Box<str>, Box<str>)| VOLATILE_LABELS.contains(&&**key);
    let of = match workload {
        None => Labelled::Pod(id),
        Some(workload) => {
            template_path(&cluster.workload(workload)?.kind)?;
            Labelled::Workload(workload)
        }
    };
    (!labels.iter().any(is_volatile)).then(|| given(of, pod.labels, labels))
}

/// Where the labels of a workload's pods stand in it.
pub(super) fn template_path(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "ReplicationController"
        | "Job" => Some("spec.template.metadata.labels"),
        "CronJob" => Some("spec.jobTemplate.spec.template.metadata.labels"),
        _ => None,
    }
}

type Pairs = Vec<(Box<str>, Box<str>)>;

fn given(of: Labelled, known: &Labels, labels: Pairs) -> Vec<Label> {
    let labels = labels.into_iter().map(|(key, value)| Label {
        of,
        replaces: known.get(&key).is_some(),
        key,
        value,
    });
    labels.collect()
}

/// What labels lack to be selected; `None` where it is no label more, nor, where they may change, another value.
fn missing(selector: &Selector, labels: &Labels, may_change: bool) -> Option<Pairs> {
    let mut missing = Pairs::new();
    for requirement in selector.requirements.iter() {
        if requirement.matches(labels) {
            continue;
        }
        let key = &requirement.key;
        let value = match &requirement.operator {
            Operator::In(values) => values.first()?.clone(),
            Operator::Exists => ANY_VALUE.into(),
            Operator::NotIn(_) | Operator::DoesNotExist => return None,
        };
        let fits = may_change || labels.get(key).is_none();
        missing.push(fits.then(|| (key.clone(), value))?);
    }
    let own = labels.iter().map(|(key, value)| (key.into(), value.into()));
    let all: Labels = own.chain(missing.iter().cloned()).collect();
    selector.matches(&all).then_some(missing)
}
