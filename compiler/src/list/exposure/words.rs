//! Pods that do not exist yet, in words.

use super::labels::Values;
use super::{NewPods, Scope};
use crate::cluster::{Cluster, NAMESPACE_NAME_LABEL, NamespaceId};
use crate::source::to_u32;

/// How many values or names of a longer list are said.
const MAX_LISTED: usize = 8;

/// Some new pods: `any pod in any namespace`, `pods with app=web in namespaces with env=prod`.
#[must_use]
pub fn new_pods(cluster: &Cluster, pods: &NewPods) -> String {
    let labels = conditions(pods, Scope::Pod);
    let who = if labels.is_empty() {
        "any pod".to_owned()
    } else {
        format!("pods with {labels}")
    };
    format!("{who} in {}", namespaces(cluster, pods))
}

fn namespaces(cluster: &Cluster, pods: &NewPods) -> String {
    let all = (0..to_u32(cluster.namespaces().len())).map(NamespaceId);
    if !pods.new {
        let rest: Vec<NamespaceId> = all.filter(|id| !pods.existing.contains(id)).collect();
        return if rest.len() < pods.existing.len() && pods.existing.len() > 1 {
            but("any namespace of the cluster", cluster, &rest)
        } else {
            names(cluster, &pods.existing)
        };
    }
    let meets = |id: &NamespaceId| {
        pods.cell
            .has(Scope::Namespace, cluster.namespace_labels(*id))
    };
    let meant: Vec<NamespaceId> = all.filter(meets).collect();
    let mut rest = meant.clone();
    rest.retain(|id| !pods.existing.contains(id));
    let labels = conditions(pods, Scope::Namespace);
    let with = if labels.is_empty() {
        String::new()
    } else {
        format!(" with {labels}")
    };
    match (meant.is_empty(), pods.existing.is_empty()) {
        (false, true) => format!("new namespaces{with}"),
        (_, false) if rest.len() > pods.existing.len() => {
            format!("new namespaces{with}, {}", names(cluster, &pods.existing))
        }
        (_, _) if labels.is_empty() => but("any namespace", cluster, &rest),
        (_, _) => but(&format!("namespaces{with}"), cluster, &rest),
    }
}

fn but(all: &str, cluster: &Cluster, rest: &[NamespaceId]) -> String {
    if rest.is_empty() {
        all.into()
    } else {
        format!("{all} but {}", names(cluster, rest))
    }
}

fn names(cluster: &Cluster, ids: &[NamespaceId]) -> String {
    let names = ids.iter().map(|id| cluster.namespace_name(*id));
    listing(&names.collect::<Vec<_>>())
}

fn listing(all: &[&str]) -> String {
    match all.get(MAX_LISTED..) {
        Some(rest) if rest.len() > 1 => {
            let first: Vec<&str> = all.iter().take(MAX_LISTED).copied().collect();
            format!("{} and {} more", first.join(", "), rest.len())
        }
        Some(_) | None => all.join(", "),
    }
}

fn conditions(pods: &NewPods, scope: Scope) -> String {
    let texts = pods.cell.labels(scope).filter_map(|(key, values)| {
        let is_name = scope == Scope::Namespace && key == NAMESPACE_NAME_LABEL;
        if is_name {
            let values = Values {
                absent: values.others,
                ..values.clone()
            };
            (!values.is_any()).then(|| condition("name", &values))
        } else {
            Some(condition(key, values))
        }
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn condition(key: &str, values: &Values) -> String {
    let listed: Vec<&str> = values.listed.iter().map(|value| &**value).collect();
    match (values.others, values.absent, &*listed) {
        (false, false, [value]) => format!("{key}={value}"),
        (true, true, [value]) => format!("{key}!={value}"),
        (false, true, []) => format!("no {key}"),
        (true, _, []) => format!("any {key}"),
        (false, false, _) => format!("{key} in ({})", listing(&listed)),
        (false, true, _) => format!("no {key} or {key} in ({})", listing(&listed)),
        (true, true, _) => format!("{key} not in ({})", listing(&listed)),
        (true, false, _) => format!("any {key} but {}", listing(&listed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_values_has_words() {
        for (absent, others, listed, expected) in [
            (false, false, &["a"][..], "app=a"),
            (false, false, &["a", "b"], "app in (a, b)"),
            (true, true, &["a"], "app!=a"),
            (true, true, &["a", "b"], "app not in (a, b)"),
            (false, true, &[], "any app"),
            (false, true, &["a"], "any app but a"),
            (true, false, &[], "no app"),
            (true, false, &["a"], "no app or app in (a)"),
            (
                true,
                true,
                &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
                "app not in (0, 1, 2, 3, 4, 5, 6, 7 and 2 more)",
            ),
        ] {
            let listed = listed.iter().map(|value| Box::from(*value)).collect();
            let values = Values {
                absent,
                others,
                listed,
            };
            assert_eq!(condition("app", &values), expected);
        }
    }
}
