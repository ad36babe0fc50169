//! A policy more that allows one flow: a NetworkPolicy for the end that denies it, or a cluster-wide policy that is asked
//! before the one that denies.

use super::candidates::{self, Candidate, Rank, rule_for};
use super::change::Change;
use super::items::{namespace_selector, stable_labels};
use crate::diagnostic::ObjectRef;
use crate::explain::view::{Stop, View};
use crate::frontend::kinds::Kind;
use crate::hir::Subject;
use crate::hir::flow::{EndpointKind, PodView};
use crate::hir::spec::Side;
use crate::hir::{NamespaceSelector, PerDirection, PodSelector, Policy, PolicyId, PolicySet, Tier};
use crate::source::{Span, to_u32};

/// The longest part of a name that is taken from the name of a pod.
const LONGEST_NAME: usize = 40;

pub(super) fn new_policies(view: View<'_>, side: &Side) -> Vec<Candidate> {
    let EndpointKind::Pod(pod) = &view.governed().kind else {
        return Vec::new();
    };
    let Some(stop) = view.stop(side) else {
        return Vec::new();
    };
    let Some(beside) = beside(view, side, stop) else {
        return Vec::new();
    };
    let namespaced = namespaced(view, pod, beside);
    let ahead = ahead(view, pod, stop, beside);
    namespaced.into_iter().chain(ahead).collect()
}

/// The policy next to which a new one is put.
fn beside(view: View<'_>, side: &Side, stop: Stop<'_>) -> Option<Span> {
    match stop {
        Stop::Rule(policy, _) => Some(policy.span),
        Stop::Isolation => {
            let first = side.isolated_by.first()?;
            Some(view.context.policies.policy(*first)?.span)
        }
    }
}

/// A NetworkPolicy in the namespace of the pod.
fn namespaced(view: View<'_>, pod: &PodView<'_>, span: Span) -> Option<Candidate> {
    if pod.namespace.is_empty() {
        return None;
    }
    let subject = PodSelector {
        namespaces: NamespaceSelector::Named(pod.namespace.into()),
        pods: stable_labels(pod.labels),
    };
    let object = ObjectRef {
        kind: Kind::NetworkPolicy.name().into(),
        namespace: Some(pod.namespace.into()),
        name: "".into(),
    };
    candidate(view, object, (Tier::Namespace, 0), subject, span)
}

/// A cluster-wide policy of the kind that denies, with a lower number for its priority.
fn ahead(view: View<'_>, pod: &PodView<'_>, stop: Stop<'_>, span: Span) -> Option<Candidate> {
    let Stop::Rule(denying, _) = stop else {
        return None;
    };
    // Of this kind a cluster has one at most.
    if Kind::named(&denying.object.kind) == Some(Kind::BaselineAdminNetworkPolicy) {
        return None;
    }
    let of_tier = view
        .governing()
        .filter(|policy| policy.tier == denying.tier);
    let taken: Vec<u32> = of_tier.map(|policy| policy.priority).collect();
    let free = (0..denying.priority)
        .rev()
        .find(|priority| !taken.contains(priority))?;
    let subject = PodSelector {
        namespaces: NamespaceSelector::Labels(namespace_selector(
            pod.namespace,
            pod.namespace_labels,
        )),
        pods: stable_labels(pod.labels),
    };
    let object = ObjectRef {
        kind: denying.object.kind.clone(),
        namespace: None,
        name: "".into(),
    };
    candidate(view, object, (denying.tier, free), subject, span)
}

fn candidate(
    view: View<'_>,
    object: ObjectRef,
    (tier, priority): (Tier, u32),
    subject: PodSelector,
    span: Span,
) -> Option<Candidate> {
    let mut isolates = PerDirection::default();
    *isolates.get_mut(view.direction) = tier == Tier::Namespace;
    let name = free_name(view, &object);
    let mut policy = Policy {
        // Behind all that there are.
        id: PolicyId(to_u32(view.context.policies.policies.len())),
        object: ObjectRef { name, ..object },
        span,
        tier,
        priority,
        subject: Subject::Pods(subject),
        isolates,
        rules: PerDirection::default(),
    };
    let rule = rule_for(view, &policy)?;
    let opens_widely = rule.ports.is_none();
    policy.rules.get_mut(view.direction).push(rule);
    Some(Candidate {
        rank: Rank {
            overrules: false,
            opens_widely,
            kind: candidates::Kind::Policy,
            governed: 0,
            size: 0,
        },
        changes: vec![Change::Policy(Box::new(policy))],
    })
}

/// `allow-ingress-web`, with a number where a policy has that name.
fn free_name(view: View<'_>, object: &ObjectRef) -> Box<str> {
    let own = view.own.name.as_deref().unwrap_or_default();
    let own: String = own
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(LONGEST_NAME)
        .collect();
    let own = own.trim_matches('-');
    let stem = match own {
        "" => format!("allow-{}", view.direction),
        own => format!("allow-{}-{own}", view.direction),
    };
    let numbered = (2_usize..).map(|number| format!("{stem}-{number}"));
    let mut names = std::iter::once(stem.clone()).chain(numbered);
    let free = names.find(|name| !is_taken(view.context.policies, object, name));
    free.unwrap_or(stem).into()
}

fn is_taken(policies: &PolicySet, object: &ObjectRef, name: &str) -> bool {
    policies.policies.iter().any(|policy| {
        (
            &policy.object.kind,
            &policy.object.namespace,
            &*policy.object.name,
        ) == (&object.kind, &object.namespace, name)
    })
}
