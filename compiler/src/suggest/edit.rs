//! An edit as one of the text that its author wrote, and in words.

use super::change::{Change, Label, Labelled};
use super::labels::template_path;
use crate::cluster::{Cluster, NAMESPACE_NAME_LABEL, PodId};
use crate::diagnostic::{ObjectRef, counted};
use crate::explain::miss::port_text;
use crate::explain::report::{Action, Edit};
use crate::explain::view::View;
use crate::explain::words::verb;
use crate::frontend::spell;
use crate::hir::flow::EndpointKind;
use crate::hir::spec;
use crate::hir::{
    Direction, ItemOrigin, NamespaceSelector, Operator, Peer, PodSelector, Policy, PortMatch,
    PortRange, Rule, Selector, Tier,
};
use crate::query::{Family, Who, endpoint};
use crate::source::{Span, to_u32};
use serde_json::json;

/// A change as an edit of the object that its author wrote.
pub(super) fn edit(view: View<'_>, change: &Change) -> Option<Edit> {
    let policies = view.context.policies;
    let place = match change {
        Change::Port { rule, port } => {
            let (policy, _) = policies.rule(*rule)?;
            let origin = policies.origin(*rule)?;
            let list = spell::port_list(&policy.object);
            Place {
                action: Action::Add,
                object: policy.object.clone(),
                path: format!("{}.{list}", origin.path),
                index: Some(origin.ports.len()),
                value: spell::port(&policy.object, port),
                span: origin.ports.last().map_or(origin.span, |item| item.span),
            }
        }
        Change::Wider { rule, index, port } => {
            let (policy, _) = policies.rule(*rule)?;
            let origin = policies.origin(*rule)?;
            let list = spell::port_list(&policy.object);
            Place {
                action: Action::Replace,
                object: policy.object.clone(),
                path: format!("{}.{list}", origin.path),
                index: Some(*index),
                value: spell::port(&policy.object, port),
                span: origin.ports.get(*index)?.span,
            }
        }
        Change::Peer { rule, peer } => {
            let (policy, _) = policies.rule(*rule)?;
            let origin = policies.origin(*rule)?;
            let list = spell::peer_list(origin.direction);
            Place {
                action: Action::Add,
                object: policy.object.clone(),
                path: format!("{}.{list}", origin.path),
                index: Some(written_items(&origin.peers)),
                value: spell::peer(&policy.object, peer),
                span: origin.peers.last().map_or(origin.span, |item| item.span),
            }
        }
        Change::Rule {
            policy,
            direction,
            index,
            rule,
        } => {
            let policy = policies.policy(*policy)?;
            Place {
                action: Action::Add,
                object: policy.object.clone(),
                path: format!("spec.{direction}"),
                index: Some(*index),
                value: spell::rule(&policy.object, *direction, rule),
                span: neighbour(view, policy, *index),
            }
        }
        Change::Policy(policy) => Place {
            action: Action::Create,
            object: policy.object.clone(),
            path: String::new(),
            index: None,
            value: spell::policy(policy, view.direction),
            span: policy.span,
        },
        Change::Label(label) => labelled(view.context.cluster, label)?,
    };
    Some(place.edit(view))
}

/// Where an item goes.
struct Place {
    action: Action,
    object: ObjectRef,
    path: String,
    index: Option<usize>,
    value: serde_json::Value,
    /// What it is put next to.
    span: Span,
}

impl Place {
    fn edit(self, view: View<'_>) -> Edit {
        let (file, location) = view.context.sources.location(self.span);
        let yaml = match self.index {
            Some(_) => spell::yaml_item(&self.value),
            None => spell::yaml(&self.value),
        };
        Edit {
            action: self.action,
            object: (&self.object).into(),
            path: self.path,
            index: self.index,
            yaml,
            value: self.value,
            file: file.into(),
            line: location.line,
        }
    }
}

fn labelled(cluster: &Cluster, label: &Label) -> Option<Place> {
    let (object, path, span) = match label.of {
        Labelled::Pod(id) => {
            let pod = cluster.pod(id)?;
            let namespace = cluster.namespace_name(pod.namespace);
            let object = reference("Pod", Some(namespace), &pod.name);
            (object, "metadata.labels", pod.span)
        }
        Labelled::Workload(id) => {
            let workload = cluster.workload(id)?;
            let namespace = cluster.namespace_name(workload.namespace);
            let object = reference(&workload.kind, Some(namespace), &workload.name);
            let pods = cluster.workload_pods(id).first();
            let of_pod = pods.and_then(|pod| Some(cluster.pod(*pod)?.span));
            let span = workload.span.or(of_pod)?;
            (object, template_path(&workload.kind)?, span)
        }
        Labelled::Namespace(id) => {
            let namespace = cluster.namespace(id)?;
            let object = reference("Namespace", None, &namespace.name);
            (object, "metadata.labels", namespace.span?)
        }
    };
    Some(Place {
        action: Action::Label,
        object,
        path: path.into(),
        index: None,
        value: json!({&*label.key: &*label.value}),
        span,
    })
}

fn reference(kind: &str, namespace: Option<&str>, name: &str) -> ObjectRef {
    ObjectRef {
        kind: kind.into(),
        namespace: namespace.map(Into::into),
        name: name.into(),
    }
}

/// How many items of the list in the text stand behind the peers: one item of `networks` may give several.
pub(super) fn written_items(peers: &[ItemOrigin]) -> usize {
    let last = peers
        .last()
        .and_then(|item| item.path.split(['[', ']']).nth(1))
        .and_then(|index| index.parse().ok());
    last.map_or(0, |index: usize| index + 1)
}

fn neighbour(view: View<'_>, policy: &Policy, index: usize) -> Span {
    let rules = policy.rules.get(view.direction);
    let rule = rules.get(index).or(rules.last());
    rule.and_then(|rule| view.context.policies.origin(rule.id))
        .map_or(policy.span, |origin| origin.span)
}

/// A change in a sentence.
pub(super) fn summary(view: View<'_>, change: &Change) -> Option<String> {
    let policies = view.context.policies;
    Some(match change {
        Change::Port { rule, port } => {
            let (policy, rule) = policies.rule(*rule)?;
            let path = &policies.origin(rule.id)?.path;
            let what = ports_text(port);
            let whole = match rule.peers.as_ref().map_or(0, Vec::len) {
                0 => ", for everyone".to_owned(),
                1 => String::new(),
                peers => format!(", for all its {peers} peers"),
            };
            format!("allow {what} in `{path}` of {}{whole}", policy.object)
        }
        Change::Wider { rule, index, port } => {
            let (policy, rule) = policies.rule(*rule)?;
            let path = &policies.origin(rule.id)?.path;
            let list = spell::port_list(&policy.object);
            let old = rule.ports.as_ref()?.get(*index)?;
            format!(
                "widen {} in `{path}.{list}` of {} to {}",
                port_text(old),
                policy.object,
                port_text(port)
            )
        }
        Change::Peer { rule, peer } => {
            let (policy, rule) = policies.rule(*rule)?;
            let path = &policies.origin(rule.id)?.path;
            let who = peer_text(view, policy.tier, peer);
            let whole = match rule.ports.as_ref().map_or(0, Vec::len) {
                0 => ", on every port".to_owned(),
                1 => String::new(),
                ports => format!(", on all its {ports} ports"),
            };
            format!("allow {who} in `{path}` of {}{whole}", policy.object)
        }
        Change::Rule {
            policy,
            index,
            rule,
            direction: _,
        } => {
            let policy = policies.policy(*policy)?;
            let place = rule_place(view, policy, *index);
            format!(
                "allow {} {} by a new rule {place}",
                peers_text(view, policy.tier, rule),
                rule_ports_text(view, rule)
            )
        }
        Change::Policy(policy) => {
            let rule = policy.rules.get(view.direction).first()?;
            format!(
                "allow {} {} by a new {} for {}",
                peers_text(view, policy.tier, rule),
                rule_ports_text(view, rule),
                policy.object.kind,
                subject_text(view, policy)
            )
        }
        Change::Label(label) => {
            let place = labelled(view.context.cluster, label)?;
            let what = match label.of {
                Labelled::Pod(_) | Labelled::Namespace(_) => "",
                Labelled::Workload(_) => "the pods of ",
            };
            format!(
                "give {what}{} the label `{}={}`",
                place.object, label.key, label.value
            )
        }
    })
}

/// Where a new rule goes, and for whom it holds.
fn rule_place(view: View<'_>, policy: &Policy, index: usize) -> String {
    let object = &policy.object;
    match policy.tier {
        Tier::Namespace => format!("in `spec.{}` of {object}", view.direction),
        Tier::Admin | Tier::Baseline => format!(
            "in front of `spec.{}[{index}]` of {object}, which governs {}",
            view.direction,
            counted(governed(view, policy), "pod")
        ),
    }
}

fn rule_ports_text(view: View<'_>, rule: &Rule) -> String {
    let ports: Vec<String> = rule.ports.iter().flatten().map(ports_text).collect();
    if ports.is_empty() {
        let protocol = view.flow.transport.protocol;
        return format!("with every protocol, since no rule can name {protocol} alone,");
    }
    format!("on {}", ports.join(", "))
}

/// `port 80/TCP`, `ports 80-90/TCP`, `every port of TCP`.
fn ports_text(port: &PortMatch) -> String {
    let text = port_text(port);
    match port {
        PortMatch::Range { ports, .. } if *ports == PortRange::ALL => text,
        PortMatch::Range { ports, .. } if ports.first < ports.last => format!("ports {text}"),
        PortMatch::Range { .. } | PortMatch::Named { .. } => format!("port {text}"),
    }
}

fn peers_text(view: View<'_>, tier: Tier, rule: &Rule) -> String {
    let peers = rule.peers.iter().flatten();
    let peers: Vec<String> = peers.map(|peer| peer_text(view, tier, peer)).collect();
    peers.join(", ")
}

fn peer_text(view: View<'_>, tier: Tier, peer: &Peer) -> String {
    let preposition = match view.direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let who = match peer {
        Peer::Pods(selector) => pods_text(view, tier, selector),
        Peer::Nodes(selector) => format!("nodes {}", labels_text(selector)),
        Peer::Addresses(block) if block.cidr.prefix_len() == 0 => {
            format!("every address of {}", block.cidr)
        }
        Peer::Addresses(block) => block.cidr.to_string(),
        Peer::Domain(pattern) => pattern.to_string(),
        Peer::Identities(_) => format!("`{peer}`"),
    };
    format!("{preposition} {who}")
}

/// ``pods `app=web` of namespace `shop` (2 pods)``: the subject of a policy.
fn subject_text(view: View<'_>, policy: &Policy) -> String {
    let Some(subject) = policy.subject.pods() else {
        return String::new();
    };
    let namespace = match &subject.namespaces {
        NamespaceSelector::Named(name) => format!("namespace `{name}`"),
        NamespaceSelector::Labels(labels) => namespaces_text(labels),
    };
    let pods = counted(governed(view, policy), "pod");
    if subject.pods.requirements.is_empty() {
        return format!("every pod of {namespace} ({pods})");
    }
    let labels = labels_text(&subject.pods);
    format!("pods {labels} of {namespace} ({pods})")
}

/// ``pods `app=web` of namespace `shop` (and 2 others like it)``.
fn pods_text(view: View<'_>, tier: Tier, selector: &PodSelector) -> String {
    let namespace = match &selector.namespaces {
        NamespaceSelector::Named(name) => format!("namespace `{name}`"),
        NamespaceSelector::Labels(labels) => namespaces_text(labels),
    };
    let asked = match &view.other().kind {
        EndpointKind::Pod(pod) => pod.id.is_some(),
        EndpointKind::Node(_) | EndpointKind::Outside => false,
    };
    let others = selected(view, tier, selector).saturating_sub(usize::from(asked));
    if selector.pods.requirements.is_empty() {
        let others = counted(others, "other");
        return format!(
            "every pod of {namespace} ({others}), since no label tells this one apart,"
        );
    }
    let others = match others {
        0 => String::new(),
        others => format!(
            " ({} {} these labels)",
            counted(others, "other pod"),
            verb(others, "has", "have")
        ),
    };
    format!(
        "pods {} of {namespace}{others}",
        labels_text(&selector.pods)
    )
}

fn namespaces_text(selector: &Selector) -> String {
    let name = match &*selector.requirements {
        [only] if *only.key == *NAMESPACE_NAME_LABEL => match &only.operator {
            Operator::In(names) => names.first(),
            Operator::NotIn(_) | Operator::Exists | Operator::DoesNotExist => None,
        },
        [] => return "every namespace".into(),
        _ => None,
    };
    match name {
        Some(name) => format!("namespace `{name}`"),
        None => format!("namespaces {}", labels_text(selector)),
    }
}

fn labels_text(selector: &Selector) -> String {
    format!("`{selector}`")
}

/// How many pods of the snapshot a policy governs.
pub(super) fn governed(view: View<'_>, policy: &Policy) -> usize {
    let subject = policy.subject.pods();
    subject.map_or(0, |subject| selected(view, policy.tier, subject))
}

/// How many pods of the snapshot a selector selects in a tier.
fn selected(view: View<'_>, tier: Tier, selector: &PodSelector) -> usize {
    let cluster = view.context.cluster;
    let pods = cluster.pods().iter().enumerate();
    pods.filter(|(_, pod)| !pod.finished)
        .filter(|(index, _)| {
            let who = Who::Pod(PodId(to_u32(*index)));
            // Of which family it is makes no difference to a selector.
            let end = endpoint(cluster, who, Family::V4).seen_in(tier);
            matches!(&end.kind, EndpointKind::Pod(pod) if spec::selects(selector, pod))
        })
        .count()
}
