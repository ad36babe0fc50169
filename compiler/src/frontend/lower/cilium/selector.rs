//! Label selectors whose keys name a source.

use super::Translation;
use crate::frontend::lower::Unread;
use crate::frontend::lower::selector::selector as plain;
use crate::frontend::manifest::NodeRef;
use crate::hir::{IdentitySelector, Operator, Requirement, SourcedRequirement};
use crate::identity::{key, source};

/// A selector with `source:key`; a key without a source has any.
pub(super) fn sourced(node: Option<NodeRef<'_>>) -> Result<IdentitySelector, Unread> {
    let plain = plain(node)?;
    let requirements = plain.requirements.iter().cloned();
    Ok(requirements.map(requirement).collect())
}

/// A selector whose keys are all of one source, with a text in front of each.
pub(super) fn of_source(
    node: Option<NodeRef<'_>>,
    source: &str,
    before: &str,
) -> Result<IdentitySelector, Unread> {
    let plain = plain(node)?;
    let requirements = plain.requirements.iter().cloned();
    let of = |Requirement { key, operator }| {
        SourcedRequirement::new(source, &format!("{before}{key}"), operator)
    };
    Ok(requirements.map(of).collect())
}

fn requirement(Requirement { key, operator }: Requirement) -> SourcedRequirement {
    let (source, key) = match key.split_once(':') {
        Some(("", key)) => (source::ANY, key),
        Some((source, key)) => (source, key),
        None => match key.strip_prefix('$') {
            Some(key) => (source::RESERVED, key),
            None => (source::ANY, &*key),
        },
    };
    SourcedRequirement::new(source, key, operator)
}

fn uses(selector: &IdentitySelector, key: &str) -> bool {
    let mut requirements = selector.requirements.iter();
    requirements.any(|one| *one.key == *key && is_of_pods(one))
}

fn is_of_pods(requirement: &SourcedRequirement) -> bool {
    [source::K8S, source::ANY].contains(&&*requirement.source)
}

/// The subject of a namespaced policy is in its namespace, whatever it says itself.
pub(super) fn subject_in(mut selector: IdentitySelector, namespace: &str) -> IdentitySelector {
    let own = SourcedRequirement::in_namespace(namespace);
    selector.requirements.retain(|one| {
        let is_one_value = matches!(&one.operator, Operator::In(values) if values.len() == 1);
        !((&one.source, &one.key) == (&own.source, &own.key) && is_one_value)
    });
    selector.requirements.push(own);
    selector
}

/// What a policy adds to its peers.
#[derive(Clone, Copy)]
pub(super) struct Defaults<'a> {
    /// The policy's namespace; `None` for one of the whole cluster.
    pub(super) namespace: Option<&'a str>,
    /// Whether the subject may be an endpoint of which nothing is known yet.
    pub(super) has_init: bool,
    pub(super) translation: &'a Translation,
}

impl Defaults<'_> {
    /// A peer of `fromEndpoints` and `toEndpoints`: of the policy's namespace and cluster unless it says otherwise
    /// (`pkg/k8s/apis/cilium.io/utils`).
    pub(super) fn endpoints(self, mut selector: IdentitySelector) -> IdentitySelector {
        let is_reserved = |one: &SourcedRequirement| &*one.source == source::RESERVED;
        if selector.requirements.iter().any(is_reserved) {
            return selector;
        }
        if !uses(&selector, key::NAMESPACE) {
            let by_label = |one: &SourcedRequirement| {
                one.key.starts_with(key::NAMESPACE_LABELS) && is_of_pods(one)
            };
            let names = selector.requirements.iter().any(by_label);
            match self.namespace {
                Some(namespace) if !names => {
                    selector
                        .requirements
                        .push(SourcedRequirement::in_namespace(namespace));
                }
                None if !self.has_init => selector.requirements.push(in_some_namespace()),
                Some(_) | None => {}
            }
        }
        self.in_cluster(selector)
    }

    /// A peer of this cluster unless it names another.
    pub(super) fn in_cluster(self, mut selector: IdentitySelector) -> IdentitySelector {
        if self.translation.local_peers && !uses(&selector, key::CLUSTER) {
            selector.requirements.push(self.own_cluster());
        }
        selector
    }

    /// That the end is of this cluster.
    pub(super) fn own_cluster(self) -> SourcedRequirement {
        SourcedRequirement::equal(source::K8S, key::CLUSTER, &self.translation.cluster)
    }
}

/// That the end is a pod.
pub(super) fn in_some_namespace() -> SourcedRequirement {
    SourcedRequirement::new(source::K8S, key::NAMESPACE, Operator::Exists)
}

/// Pods by selectors of their namespace and themselves, as the kinds of Kubernetes write them.
pub(super) fn pods(
    namespaces: Option<NodeRef<'_>>,
    pods: Option<NodeRef<'_>>,
) -> Result<IdentitySelector, Unread> {
    let mut selector = of_source(namespaces, source::K8S, key::NAMESPACE_LABELS)?;
    if selector.requirements.is_empty() {
        selector.requirements.push(in_some_namespace());
    }
    selector
        .requirements
        .extend(of_source(pods, source::K8S, "")?.requirements);
    Ok(selector)
}
