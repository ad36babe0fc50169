//! What keeps a selector of labels with sources from an end: what differs, in the words of the policy.

use super::super::view::View;
use super::{OTHER_KIND, quoted};
use crate::hir::{IdentitySelector, Operator, SourcedRequirement};
use crate::identity::{Identity, key, source};

/// How many requirements are told.
const TOLD: usize = 2;

/// How far the nearest of some selectors is from the other end, and what is in the way.
pub(super) fn miss(view: View<'_>, selectors: &[IdentitySelector]) -> (usize, String) {
    let end = view.other_word();
    let others = view.identities();
    let Some(other) = others.first() else {
        return (OTHER_KIND, format!("it is not known what the {end} is"));
    };
    let misses = selectors.iter().map(|one| selector_miss(one, other, end));
    let nearest = misses.min_by_key(|(distance, _)| *distance);
    nearest.unwrap_or_else(|| (OTHER_KIND, "the rule names nobody".into()))
}

fn selector_miss(selector: &IdentitySelector, other: &Identity, end: &str) -> (usize, String) {
    let is_pod = other.labels.get(source::K8S, key::NAMESPACE).is_some();
    if !is_pod && selector.requirements.iter().any(is_of_pods) {
        let why = format!("it selects pods, and the {end} is {}", kind(other));
        return (OTHER_KIND, why);
    }
    let failing = selector
        .requirements
        .iter()
        .filter(|one| !one.matches(other));
    let mut whys: Vec<String> = failing
        .map(|one| requirement_miss(one, other, end))
        .collect();
    let excepted = selector
        .except
        .iter()
        .filter(|except| other.blocks.iter().any(|own| except.contains(own)));
    whys.extend(excepted.map(|except| format!("the {end} is in its exception {except}")));
    let distance = whys.len();
    if let Some(more @ 1..) = distance.checked_sub(TOLD) {
        whys.truncate(TOLD);
        whys.push(format!("and {more} more"));
    }
    (distance, whys.join("; "))
}

/// Whether nothing but a pod can meet a requirement.
fn is_of_pods(requirement: &SourcedRequirement) -> bool {
    let asks = match &requirement.operator {
        Operator::In(_) | Operator::Exists => true,
        Operator::NotIn(_) | Operator::DoesNotExist => false,
    };
    asks && *requirement.key == *key::NAMESPACE && *requirement.source != *source::RESERVED
}

/// What an end is, in a few words.
fn kind(identity: &Identity) -> String {
    if identity.is_world() {
        return "outside the cluster".into();
    }
    if identity.labels.has_reserved(key::HOST) {
        return "the node of the pod that is asked".into();
    }
    if identity.labels.has_reserved(key::REMOTE_NODE) {
        return "a node".into();
    }
    if identity.labels.get(source::K8S, key::NAMESPACE).is_some() {
        return "a pod".into();
    }
    format!("`{identity}`")
}

fn requirement_miss(requirement: &SourcedRequirement, other: &Identity, end: &str) -> String {
    let SourcedRequirement {
        source: from,
        key: own,
        operator,
    } = requirement;
    let value = other.labels.get(from, own);
    match (&**from, &**own, operator) {
        (source::RESERVED, ..) => {
            return format!("it needs `{requirement}`, and the {end} is {}", kind(other));
        }
        (source::CIDR_GROUP, ..) => {
            return format!("no group of addresses with `{requirement}` has the {end}");
        }
        (_, key::NAMESPACE, Operator::In(names)) => {
            let names = quoted(names);
            let is = value.map_or("in none".into(), |value| format!("in `{value}`"));
            return format!("it selects pods of {names}, and the {end} is {is}");
        }
        (_, key::CLUSTER, Operator::In(names)) => {
            let names = quoted(names);
            let is = value.map_or("of none".into(), |value| format!("of `{value}`"));
            return format!("it selects those of cluster {names}, and the {end} is {is}");
        }
        (..) => {}
    }
    let shown = shown(from, own);
    let has = match value {
        Some("") => format!("has `{shown}`"),
        Some(value) => format!("has `{shown}={value}`"),
        None => format!("has no label `{shown}`"),
    };
    let needs = match operator {
        Operator::In(values) => match values.as_slice() {
            [only] => format!("`{shown}={only}`"),
            several => format!("`{shown}` to be {}", quoted(several)),
        },
        Operator::NotIn(values) => format!("`{shown}` not to be {}", quoted(values)),
        Operator::Exists => format!("a label `{shown}`"),
        Operator::DoesNotExist => format!("no label `{shown}`"),
    };
    format!("it needs {needs}, and the {end} {has}")
}

/// A key as policies write it: labels of pods without their source, those of their namespace by their own key.
fn shown(from: &str, own: &str) -> String {
    match own.strip_prefix(key::NAMESPACE_LABELS) {
        Some(of_namespace) => format!("{of_namespace} of its namespace"),
        None if [source::ANY, source::K8S].contains(&from) => own.to_owned(),
        None => format!("{from}:{own}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::LabelSet;

    fn identity(labels: &[(&str, &str, &str)]) -> Identity {
        let mut set = LabelSet::default();
        for (source, key, value) in labels {
            set.add(source, key, value);
        }
        Identity {
            labels: set,
            ..Identity::default()
        }
    }

    #[test]
    fn what_differs_is_told_and_no_more() {
        let selector: IdentitySelector = [
            SourcedRequirement::equal(source::ANY, "app", "api"),
            SourcedRequirement::in_namespace("shop"),
            SourcedRequirement::equal(source::K8S, key::CLUSTER, "default"),
        ]
        .into_iter()
        .collect();
        let pod = identity(&[
            (source::K8S, "app", "web"),
            (source::K8S, key::NAMESPACE, "pay"),
            (source::K8S, key::CLUSTER, "default"),
        ]);
        let (distance, why) = selector_miss(&selector, &pod, "source");
        assert_eq!(distance, 2);
        assert_eq!(
            why,
            "it needs `app=api`, and the source has `app=web`; it selects pods of `shop`, and the source is in `pay`"
        );
        let outside = identity(&[(source::RESERVED, key::WORLD, "")]);
        let (distance, why) = selector_miss(&selector, &outside, "source");
        assert_eq!(distance, OTHER_KIND);
        assert_eq!(
            why,
            "it selects pods, and the source is outside the cluster"
        );
    }
}
