//! Policies that are valid and yet mean something else than they seem to.
//!
//! Input: the cluster, the policy set and the objects that were refused. Output: warnings and notes. A lint never
//! changes a verdict. What one object of Cilium shows by itself is in [`lint_object`]. Guarantee: nothing is said to be missing where it may be an object that was refused.

mod cilium;

pub(super) use cilium::lint as lint_object;

use super::kinds::Kind;
use crate::cluster::{Cluster, HostNetwork, LabelsId, PortsId};
use crate::diagnostic::{Diagnostic, ObjectRef, codes};
use crate::hir::{
    Action, Direction, NamespaceSelector, PodSelector, Policy, PolicySet, PortMatch, Rule,
    RuleOrigin, Tier,
};
use std::collections::{BTreeMap, BTreeSet};

/// All lints.
#[must_use]
pub(super) fn lint(
    cluster: &Cluster,
    policies: &PolicySet,
    refused: &[ObjectRef],
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    if !cluster.pods().is_empty() {
        let groups = Groups::of(cluster);
        let unseen = Unseen::of(refused);
        for policy in &policies.policies {
            let written = policy.subject.pods();
            if let Some(written) = written.filter(|subject| !unseen.may_hold(subject)) {
                diagnostics.extend(subject(&groups, policy, written));
            }
        }
        if unseen.namespaces.is_empty() {
            diagnostics.extend(port_names(cluster, policies));
        }
    }
    diagnostics.extend(equal_priorities(policies));
    diagnostics
}

/// What is not known of the pods, since objects were refused.
struct Unseen<'a> {
    /// The namespaces in which pods are missing.
    namespaces: BTreeSet<&'a str>,
    /// Whether labels of namespaces are.
    labels: bool,
}

impl<'a> Unseen<'a> {
    fn of(refused: &'a [ObjectRef]) -> Self {
        let has_pods = |object: &&ObjectRef| Kind::named(&object.kind).is_some_and(Kind::has_pods);
        let pods = refused.iter().filter(has_pods);
        Self {
            namespaces: pods
                .filter_map(|object| object.namespace.as_deref())
                .collect(),
            labels: refused
                .iter()
                .any(|object| &*object.kind == Kind::Namespace.name()),
        }
    }

    /// Whether a subject may select more than is known.
    fn may_hold(&self, subject: &PodSelector) -> bool {
        match &subject.namespaces {
            NamespaceSelector::Named(name) => self.namespaces.contains(&**name),
            NamespaceSelector::Labels(_) => self.labels || !self.namespaces.is_empty(),
        }
    }
}

/// The pods of each namespace by their labels: how many there are, and how many use their node's network.
struct Groups<'a> {
    cluster: &'a Cluster,
    namespaces: Vec<BTreeMap<LabelsId, (usize, usize)>>,
}

impl<'a> Groups<'a> {
    fn of(cluster: &'a Cluster) -> Self {
        let mut namespaces = vec![BTreeMap::new(); cluster.namespaces().len()];
        for pod in cluster.pods() {
            if let Some(groups) = namespaces.get_mut(pod.namespace.index()) {
                let (pods, hosts): &mut (usize, usize) = groups.entry(pod.labels).or_default();
                *pods += 1;
                *hosts += usize::from(pod.host_network);
            }
        }
        Self {
            cluster,
            namespaces,
        }
    }

    /// How many pods a subject selects, and how many of them use their node's network.
    fn selected(&self, subject: &PodSelector) -> (usize, usize) {
        let namespaces = self.cluster.namespaces().iter().zip(&self.namespaces);
        let governed = namespaces.filter(|(namespace, _)| match &subject.namespaces {
            NamespaceSelector::Named(name) => *name == namespace.name,
            NamespaceSelector::Labels(selector) => {
                selector.matches(self.cluster.labels(namespace.labels))
            }
        });
        governed
            .flat_map(|(_, groups)| groups)
            .filter(|(labels, _)| subject.pods.matches(self.cluster.labels(**labels)))
            .fold((0, 0), |(pods, hosts), (_, (more, more_hosts))| {
                (pods + more, hosts + more_hosts)
            })
    }
}

/// A policy whose subject is empty, or host-networked pods only.
fn subject(groups: &Groups<'_>, policy: &Policy, subject: &PodSelector) -> Option<Diagnostic> {
    let object = &policy.object;
    let (code, message, label, help) = match groups.selected(subject) {
        (0, _) => (
            &codes::SELECTS_NOTHING,
            format!("`{object}` selects no pod of the snapshot"),
            "no pod has the labels that its subject asks for",
            "compare the labels and the namespace of the subject with those of the pods",
        ),
        (pods, hosts) if pods == hosts => {
            let nobody = policy.tier != Tier::Namespace
                || groups.cluster.host_network() == HostNetwork::Node;
            let who = if nobody {
                "no policy governs those"
            } else {
                "many implementations do not govern those"
            };
            (
                &codes::HOST_NETWORK_ONLY,
                format!("`{object}` selects host-networked pods only, and {who}"),
                "the traffic of these pods is their node's",
                "move the pods off the host network, or protect the node itself",
            )
        }
        _ => return None,
    };
    Some(
        Diagnostic::new(code, message)
            .at(policy.span, label)
            .object(object.clone())
            .help(help),
    )
}

/// Port names in rules that no pod of the snapshot gives to a port of that protocol: such an item matches
/// nothing, never everything.
fn port_names(cluster: &Cluster, policies: &PolicySet) -> Vec<Diagnostic> {
    let sets: BTreeSet<PortsId> = cluster.pods().iter().map(|pod| pod.ports).collect();
    let known: BTreeSet<(&str, u8)> = sets
        .into_iter()
        .flat_map(|id| cluster.ports(id))
        .map(|port| (&*port.name, port.protocol.0))
        .collect();
    let mut diagnostics = Vec::new();
    for (policy, rule, origin) in rules(policies) {
        for (port, item) in rule.ports.iter().flatten().zip(&origin.ports) {
            let PortMatch::Named { protocol, name } = port else {
                continue;
            };
            let is_known = match protocol {
                Some(protocol) => known.contains(&(&**name, protocol.0)),
                None => known
                    .range((&**name, 0)..=(&**name, u8::MAX))
                    .next()
                    .is_some(),
            };
            if !is_known {
                let over = protocol
                    .map(|protocol| format!(" over {protocol}"))
                    .unwrap_or_default();
                diagnostics.push(
                    Diagnostic::new(
                        &codes::UNKNOWN_PORT_NAME,
                        format!("no pod has a port named `{name}`{over}"),
                    )
                    .at(item.span, "this item matches nothing")
                    .field(format!("{}.{}", origin.path, item.path))
                    .object(policy.object.clone())
                    .help("name the container port so, or write the number"),
                );
            }
        }
    }
    diagnostics
}

fn rules(policies: &PolicySet) -> impl Iterator<Item = (&Policy, &Rule, &RuleOrigin)> {
    policies.policies.iter().flat_map(move |policy| {
        let both = policy.rules.ingress.iter().chain(&policy.rules.egress);
        both.filter_map(move |rule| Some((policy, rule, policies.origin(rule.id)?)))
    })
}

/// Policies of one tier and priority whose rules act differently: where both match a flow, the API leaves
/// open which of them decides.
fn equal_priorities(policies: &PolicySet) -> Vec<Diagnostic> {
    let mut levels: BTreeMap<(Tier, u32), Vec<&Policy>> = BTreeMap::new();
    for policy in policies
        .policies
        .iter()
        .filter(|policy| policy.tier != Tier::Namespace)
    {
        levels
            .entry((policy.tier, policy.priority))
            .or_default()
            .push(policy);
    }
    let mut diagnostics = Vec::new();
    for ((tier, priority), level) in levels {
        for direction in [Direction::Ingress, Direction::Egress] {
            diagnostics.extend(contradiction(&level, tier, priority, direction));
        }
    }
    diagnostics
}

fn contradiction(
    level: &[&Policy],
    tier: Tier,
    priority: u32,
    direction: Direction,
) -> Option<Diagnostic> {
    let actions = |policy: &Policy| -> BTreeSet<Action> {
        policy
            .rules
            .get(direction)
            .iter()
            .map(|rule| rule.action)
            .collect()
    };
    let mut acting = level.iter().filter(|policy| !actions(policy).is_empty());
    let first = acting.next()?;
    let own = actions(first);
    let other = acting.find(|policy| own.len() > 1 || actions(policy) != own)?;
    Some(
        Diagnostic::new(
            &codes::EQUAL_PRIORITY,
            format!(
                "`{}` and `{}` have the same priority {priority} in tier {tier} and act differently on {direction}",
                first.object, other.object
            ),
        )
        .at(other.span, "where both match a flow, it is open which is asked first")
        .related(first.span, "the other policy")
        .field("spec.priority")
        .object(other.object.clone())
        .help("give the policies different priorities"),
    )
}
