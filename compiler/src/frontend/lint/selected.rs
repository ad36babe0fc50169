//! Whom subjects and peers select in the snapshot.
//!
//! Guarantee: a selector that several rules of a share of the policies have is looked at once, and pods with the same labels in
//! one namespace are one.

use super::{Subjects, meant};
use crate::cluster::{Cluster, HostNetwork, LabelsId, Node, NodeId};
use crate::diagnostic::{Diagnostic, ObjectRef, codes};
use crate::frontend::kinds::{Kind, Role};
use crate::hir::index::LabelIndex;
use crate::hir::spec::precedence::has_subject;
use crate::hir::{
    IdentitySelector, NamespaceSelector, Peer, PodSelector, Policy, PolicySet, Requirement,
    Resolution, Rule, RuleOrigin, Selector, Subject, Tier,
};
use crate::source::to_u32;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

/// The pods of a snapshot.
pub(super) struct Selected<'a> {
    groups: Groups<'a>,
    unseen: Unseen<'a>,
}

/// What a peer lacks, and what to do.
type Lack = (&'static str, &'static str);

/// What peers lack, by what they select.
pub(super) type Lacks<'a> = FxHashMap<&'a PodSelector, Option<Lack>>;

impl<'a> Selected<'a> {
    pub(super) fn of(cluster: &'a Cluster, refused: &'a [ObjectRef]) -> Self {
        Self {
            groups: Groups::of(cluster),
            unseen: Unseen::of(refused),
        }
    }

    /// Whether no object was refused that has pods.
    pub(super) fn knows_all_pods(&self) -> bool {
        self.unseen.namespaces.is_empty()
    }

    /// A policy whose subject is empty, or host-networked pods only.
    pub(super) fn subject(&self, policy: &Policy, subjects: &Subjects) -> Option<Diagnostic> {
        let written = policy.subject.pods()?;
        if self.unseen.may_hold(written) || is_never(written) {
            return None;
        }
        let place = *subjects.get(&policy.span).unwrap_or(&policy.span);
        let diagnostic = match self.groups.selected(written) {
            Found::Nothing => self.nothing(policy, written),
            Found::HostsOnly => self.hosts_only(policy),
            Found::Pods => return None,
        };
        let label = if *diagnostic.code == codes::SELECTS_NOTHING {
            "no pod of the snapshot"
        } else {
            "the traffic of these pods is their node's"
        };
        Some(diagnostic.at(place, label).object(policy.object.clone()))
    }

    fn nothing(&self, policy: &Policy, written: &PodSelector) -> Diagnostic {
        let object = &policy.object;
        let (why, help) = match &written.namespaces {
            NamespaceSelector::Named(name) => self.empty_namespace(name),
            NamespaceSelector::Labels(_) => None,
        }
        .unwrap_or((
            String::new(),
            "compare the labels and the namespace of the subject with those of the pods".into(),
        ));
        let message = format!("`{object}` selects no pod of the snapshot{why}");
        Diagnostic::new(&codes::SELECTS_NOTHING, message).help(help)
    }

    /// Why a namespace has no pods at all, and what to do.
    fn empty_namespace(&self, name: &str) -> Option<(String, String)> {
        let cluster = self.groups.cluster;
        let mut all = cluster.namespaces().iter().zip(&self.groups.namespaces);
        let (own, _) = all.find(|(own, groups)| *own.name == *name && groups.is_empty())?;
        let filled = cluster.namespaces().iter().zip(&self.groups.namespaces);
        let filled = filled.filter(|(_, groups)| !groups.is_empty());
        let near = meant(name, filled.map(|(namespace, _)| &*namespace.name));
        let why = if own.span.is_some() {
            format!(": the namespace `{name}` has none")
        } else {
            format!(", which has no namespace `{name}`")
        };
        let help =
            near.unwrap_or_else(|| "compare the policy's namespace with those of the pods".into());
        Some((why, help))
    }

    fn hosts_only(&self, policy: &Policy) -> Diagnostic {
        let object = &policy.object;
        let nobody = policy.tier != Tier::Namespace
            || self.groups.cluster.host_network() == HostNetwork::Node;
        let who = if nobody {
            "no policy governs those"
        } else {
            "many implementations do not govern those"
        };
        let message = format!("`{object}` selects host-networked pods only, and {who}");
        Diagnostic::new(&codes::HOST_NETWORK_ONLY, message)
            .help("move the pods off the host network, or protect the node itself")
    }

    /// Peers of a rule that are nobody. What was found is added to what is known of peers.
    pub(super) fn peers<'p>(
        &self,
        known: &mut Lacks<'p>,
        (policy, rule, origin): (&Policy, &'p Rule, &RuleOrigin),
    ) -> Vec<Diagnostic> {
        let peers = rule.peers.iter().flatten().zip(&origin.peers);
        let empty = peers.filter_map(|(peer, item)| {
            let (label, help) = self.nobody(known, peer)?;
            let path = format!("{}.{}", origin.path, item.path);
            Some(
                Diagnostic::new(
                    &codes::PEER_SELECTS_NOTHING,
                    format!("`{path}` selects nothing of the snapshot"),
                )
                .at(item.span, label)
                .field(path)
                .object(policy.object.clone())
                .help(help),
            )
        });
        empty.collect()
    }

    /// What a peer lacks, and what to do.
    fn nobody<'p>(&self, known: &mut Lacks<'p>, peer: &'p Peer) -> Option<Lack> {
        match peer {
            Peer::Pods(pods) => {
                let lack = || {
                    let is_open = self.unseen.may_hold(pods) || is_never(pods);
                    let found = (!is_open).then(|| self.groups.selected(pods));
                    matches!(found, Some(Found::Nothing)).then(|| self.groups.lack(pods))
                };
                *known.entry(pods).or_insert_with(lack)
            }
            Peer::Nodes(nodes) => {
                let cluster = self.groups.cluster;
                let mut all = cluster.nodes().iter();
                let is_known = cluster.nodes().is_empty()
                    || nodes.contradiction().is_some()
                    || all.any(|node| nodes.matches(cluster.labels(node.labels)));
                (!is_known).then_some((
                    "no node has these labels",
                    "compare them with the labels of the nodes",
                ))
            }
            Peer::Addresses(_) | Peer::Domain(_) | Peer::Identities(_) => None,
        }
    }
}

/// A policy of nodes that selects none of those that the snapshot has. What a node is to selectors, its identity says: by each of
/// its addresses, where blocks match nodes.
pub(super) fn no_node(
    cluster: &Cluster,
    policies: &PolicySet,
    policy: &Policy,
    subjects: &Subjects,
) -> Option<Diagnostic> {
    let (Resolution::Precedence(enforcement), Subject::Nodes(written)) =
        (&policies.resolution, &policy.subject)
    else {
        return None;
    };
    if excludes_itself(written) {
        return None;
    }
    let is_selected = |(id, node): (NodeId, &Node)| {
        let known = node
            .addresses
            .iter()
            .map(|address| Some(address.to_canonical()));
        let mut ends = known.chain([None]).flat_map(|address| {
            let hosts = enforcement.identities.node(Some(id), address, Some(id));
            hosts.into_iter()
        });
        ends.any(|host| has_subject(&policy.subject, host))
    };
    let mut nodes = (0..).map(NodeId).zip(cluster.nodes());
    if cluster.nodes().is_empty() || nodes.any(is_selected) {
        return None;
    }
    let object = &policy.object;
    let mut rules = policy.rules.ingress.iter().chain(&policy.rules.egress);
    let origin = rules.next().and_then(|rule| policies.origin(rule.id));
    // One of several rule objects is shown where its rules are.
    let several = origin.and_then(|origin| Some((origin.path.split_once('.')?.0, origin.span)));
    let several = several.filter(|(path, _)| *path != "spec");
    let (who, place) = match several {
        Some((path, place)) => (format!("`{path}` of `{object}`"), place),
        None => (
            format!("`{object}`"),
            *subjects.get(&policy.span).unwrap_or(&policy.span),
        ),
    };
    Some(
        Diagnostic::new(
            &codes::SELECTS_NOTHING,
            format!("{who} selects no node of the snapshot"),
        )
        .at(place, "for no node of the snapshot")
        .object(object.clone())
        .help("compare the labels of the subject with those of the nodes"),
    )
}

/// Whether nothing can match: another lint says so.
fn excludes_itself(written: &IdentitySelector) -> bool {
    let asked = written.requirements.iter().map(|one| Requirement {
        key: format!("{}:{}", one.source, one.key).into(),
        operator: one.operator.clone(),
    });
    let asked: Selector = asked.collect();
    asked.contradiction().is_some()
}

/// Whether nothing can match: another lint says so.
fn is_never(pods: &PodSelector) -> bool {
    let namespaces = match &pods.namespaces {
        NamespaceSelector::Named(_) => None,
        NamespaceSelector::Labels(selector) => selector.contradiction(),
    };
    namespaces.or(Selector::contradiction(&pods.pods)).is_some()
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
        let has_pods = |object: &&ObjectRef| {
            Kind::named(&object.kind).is_some_and(|kind| kind.role() == Role::Pods)
        };
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

/// What a subject selects.
enum Found {
    Nothing,
    /// Pods, all of which use their node's network.
    HostsOnly,
    Pods,
}

impl Found {
    /// Of pods, whether each uses its node's network.
    fn of(pods: impl Iterator<Item = bool>) -> Self {
        let mut found = Self::Nothing;
        for hosts_only in pods {
            if !hosts_only {
                return Self::Pods;
            }
            found = Self::HostsOnly;
        }
        found
    }
}

/// The pods of each namespace by their labels: whether all of them use their node's network.
struct Groups<'a> {
    cluster: &'a Cluster,
    /// By name, where each stands.
    named: FxHashMap<&'a str, usize>,
    namespaces: Vec<BTreeMap<LabelsId, bool>>,
    /// The labels of each namespace.
    namespace_labels: LabelIndex,
    /// All labels of pods.
    label_sets: LabelIndex,
    /// By label set: the namespaces in which pods have it.
    places: Vec<Vec<(usize, bool)>>,
}

impl<'a> Groups<'a> {
    fn of(cluster: &'a Cluster) -> Self {
        let mut namespaces: Vec<BTreeMap<LabelsId, bool>> =
            vec![BTreeMap::new(); cluster.namespaces().len()];
        for pod in cluster.pods() {
            if let Some(groups) = namespaces.get_mut(pod.namespace.index()) {
                *groups.entry(pod.labels).or_insert(true) &= pod.host_network;
            }
        }
        let named = cluster.namespaces().iter().zip(0..);
        let mut places: BTreeMap<LabelsId, Vec<(usize, bool)>> = BTreeMap::new();
        for (namespace, groups) in namespaces.iter().enumerate() {
            for (labels, hosts_only) in groups {
                let of_labels = places.entry(*labels).or_default();
                of_labels.push((namespace, *hosts_only));
            }
        }
        let labels = cluster.namespaces().iter();
        let labels = labels.map(|namespace| cluster.labels(namespace.labels));
        Self {
            cluster,
            namespace_labels: LabelIndex::new(labels),
            named: named.map(|(own, index)| (&*own.name, index)).collect(),
            namespaces,
            label_sets: LabelIndex::new(places.keys().map(|labels| cluster.labels(*labels))),
            places: places.into_values().collect(),
        }
    }

    /// What a selector selects.
    fn selected(&self, pods: &PodSelector) -> Found {
        match &pods.namespaces {
            NamespaceSelector::Named(name) => {
                let own = self.named.get(&**name);
                let groups = own.and_then(|index| self.namespaces.get(*index));
                let groups = groups.into_iter().flatten();
                let groups =
                    groups.filter(|(labels, _)| pods.pods.matches(self.cluster.labels(**labels)));
                Found::of(groups.map(|(_, hosts_only)| *hosts_only))
            }
            // Of many namespaces, most have no pod with the labels.
            NamespaceSelector::Labels(selector) => {
                let namespaces = self.namespace_labels.select(selector);
                if namespaces.is_empty() {
                    return Found::Nothing;
                }
                let is_among = |namespace: usize| {
                    let namespace = to_u32(namespace);
                    namespaces.binary_search(&namespace).is_ok()
                };
                let sets = self.label_sets.select(&pods.pods).into_iter();
                let places = sets
                    .filter_map(|set| self.places.get(set as usize))
                    .flatten();
                let places = places.filter(|(namespace, _)| is_among(*namespace));
                Found::of(places.map(|(_, hosts_only)| *hosts_only))
            }
        }
    }

    /// Whether a selector means any namespace.
    fn has_namespace(&self, pods: &PodSelector) -> bool {
        match &pods.namespaces {
            NamespaceSelector::Named(name) => self.named.contains_key(&**name),
            NamespaceSelector::Labels(selector) => {
                !self.namespace_labels.select(selector).is_empty()
            }
        }
    }

    /// What a peer lacks that selects nobody.
    fn lack(&self, peer: &PodSelector) -> Lack {
        if !self.has_namespace(peer) {
            (
                "no namespace has these labels",
                "compare them with the labels of the namespaces: what manifests do not define has no labels but its name",
            )
        } else {
            (
                "no pod has these labels there",
                "compare them, and the namespace, with those of the pods",
            )
        }
    }
}
