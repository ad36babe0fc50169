//! The pods by what the definition asks of them as subjects: which policies govern them and, where rules for what comes in
//! go by name, their named ports. Pods that it cannot tell apart share a [`Case`] for each direction, and so one proof.
//!
//! Which policies govern a pod is asked of the definition for each namespace, label set and kind of network that occurs;
//! a policy whose subject names a namespace is asked about the pods in it alone.

use super::expected::Expected;
use super::matches::Lists;
use super::partition::Partition;
use super::{Prover, enforcement};
use crate::cluster::{Cluster, LabelsId, NamespaceId, Pod, PodId, PortsId};
use crate::hir::flow::PodView;
use crate::hir::spec::precedence::has_subject;
use crate::hir::{
    Direction, NamespaceSelector, PerDirection, Policy, PolicyId, PolicySet, RuleId, Tier, spec,
};
use crate::lir::number;
use crate::query::pod_view;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::sync::{Arc, OnceLock};

/// The subjects. See the module.
#[derive(Debug)]
pub(super) struct Subjects<'a> {
    pub(super) cases: Vec<Case<'a>>,
    /// By pod.
    of_pod: Vec<PerDirection<u32>>,
}

/// Pods of which one direction is judged alike.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) direction: Direction,
    /// The policies that govern them, in the order of their set.
    pub(super) governing: Vec<&'a Policy>,
    /// The rules of these in the direction: first those of cluster-wide policies.
    pub(super) rules: Vec<Asked>,
    /// The lists of peers of the latter.
    pub(super) wide: Arc<Wide>,
    /// Whether a rule goes by the names of the destination's ports.
    pub(super) by_name: bool,
    /// Whether a rule says what the ends must prove.
    pub(super) asks_for_auth: bool,
    /// One of the pods; its node is not told.
    pub(super) pod: PodView<'a>,
    /// What the definition says, once it is asked for.
    pub(super) expected: OnceLock<Expected>,
}

/// A rule, with its list of peers and its list of ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) id: RuleId,
    pub(super) peers: u32,
    pub(super) ports: u32,
}

/// Lists of peers that many cases have, and the leaves by how these match.
#[derive(Debug)]
pub(super) struct Wide {
    pub(super) lists: Vec<u32>,
    leaves: OnceLock<Partition>,
}

impl Case<'_> {
    /// The policies that isolate.
    pub(super) fn isolated_by(&self) -> Vec<PolicyId> {
        let governing = self.governing.iter();
        let isolating = governing.filter(|policy| *policy.isolates.get(self.direction));
        isolating.map(|policy| policy.id).collect()
    }
}

impl Wide {
    pub(super) fn leaves(&self, prover: &Prover<'_>) -> &Partition {
        self.leaves
            .get_or_init(|| Partition::of(prover, &self.lists))
    }
}

/// What makes a case: the direction, the policies, the named ports where they are asked for, and whether the pod is its
/// node to rules that ask for identities.
type CaseKey<'l> = (Direction, &'l [u32], Option<(PortsId, bool)>, bool);

/// What policies may ask of a pod, but for its named ports.
///
/// Rules that ask for identities may ask for the named ports and the service account, too.
type Governed<'a> = (NamespaceId, LabelsId, bool, Option<(PortsId, &'a str)>);

impl<'a> Subjects<'a> {
    pub(super) fn of(cluster: &'a Cluster, policies: &'a PolicySet, lists: &mut Lists<'a>) -> Self {
        let enforcement = enforcement(policies);
        let shared = enforcement.and_then(|enforcement| enforcement.shared_ports.as_ref());
        let rules: Vec<(bool, PerDirection<Vec<Asked>>)> = policies
            .policies
            .iter()
            .map(|policy| {
                let mut of = |direction| {
                    let rules = policy.rules.get(direction).iter();
                    let asked = rules.map(|rule| {
                        let (peers, ports) =
                            lists.add(policy.tier, rule, shared.map(|_| direction));
                        let id = rule.id;
                        Asked { id, peers, ports }
                    });
                    asked.collect()
                };
                let rules = PerDirection {
                    ingress: of(Direction::Ingress),
                    egress: of(Direction::Egress),
                };
                (policy.tier != Tier::Namespace, rules)
            })
            .collect();
        lists.complete();
        let governing = governing(cluster, policies);
        let mut known: FxHashMap<CaseKey<'_>, u32> = FxHashMap::default();
        let mut cases = Vec::new();
        let mut wide: FxHashMap<Vec<u32>, Arc<Wide>> = FxHashMap::default();
        let nobody: &[u32] = &[];
        let of_pod = cluster.pods().iter().zip(0..).map(|(pod, index)| {
            let governed = governed(pod, enforcement.is_some());
            let list = governing.get(&governed).map_or(nobody, |list| list);
            let mut case = |direction| {
                let of = |wide: bool| {
                    let rules = list
                        .iter()
                        .filter_map(|policy| rules.get(*policy as usize))
                        .filter(move |(is_wide, _)| *is_wide == wide);
                    rules.flat_map(|(_, rules)| rules.get(direction)).copied()
                };
                let mut rules = of(true).chain(of(false));
                let by_name = rules.any(|rule| lists.has_names(rule.ports));
                let own = direction == Direction::Ingress && by_name;
                let key = (
                    direction,
                    list,
                    own.then_some((pod.ports, pod.host_network)),
                    enforcement.is_some() && pod.host_network,
                );
                *known.entry(key).or_insert_with(|| {
                    let peers: Vec<u32> = of(true).map(|rule| rule.peers).collect();
                    let shared = wide.entry(peers).or_insert_with_key(|peers| {
                        Arc::new(Wide {
                            lists: peers.clone(),
                            leaves: OnceLock::new(),
                        })
                    });
                    let policies = list
                        .iter()
                        .filter_map(|policy| policies.policies.get(*policy as usize));
                    let governing: Vec<&Policy> = policies.collect();
                    let rules = governing.iter().flat_map(|one| one.rules.get(direction));
                    let asks_for_auth =
                        rules.into_iter().any(|rule| rule.precedence.auth.is_some());
                    cases.push(Case {
                        direction,
                        governing,
                        asks_for_auth,
                        rules: of(true).chain(of(false)).collect(),
                        wide: Arc::clone(shared),
                        by_name,
                        pod: PodView {
                            node: None,
                            ..pod_view(cluster, PodId(index), pod)
                        },
                        expected: OnceLock::new(),
                    });
                    number(cases.len() - 1)
                })
            };
            PerDirection {
                ingress: case(Direction::Ingress),
                egress: case(Direction::Egress),
            }
        });
        let of_pod = of_pod.collect();
        Self { cases, of_pod }
    }

    /// The case of a pod, with its number.
    pub(super) fn case(&self, pod: PodId, direction: Direction) -> Option<(u32, &Case<'a>)> {
        let case = *self.of_pod.get(pod.index())?.get(direction);
        Some((case, self.cases.get(case as usize)?))
    }
}

fn governed(pod: &Pod, by_identity: bool) -> Governed<'_> {
    let more = by_identity.then_some((pod.ports, &*pod.service_account));
    (pod.namespace, pod.labels, pod.host_network, more)
}

/// The policies that govern the pods of each kind, as indices into the set.
fn governing<'c>(cluster: &'c Cluster, policies: &PolicySet) -> FxHashMap<Governed<'c>, Vec<u32>> {
    let enforcement = enforcement(policies);
    let mut of_namespace: FxHashMap<&str, Vec<u32>> = FxHashMap::default();
    let mut of_any = Vec::new();
    for (policy, index) in policies.policies.iter().zip(0..) {
        match policy.subject.pods().map(|subject| &subject.namespaces) {
            Some(NamespaceSelector::Named(name)) => {
                of_namespace.entry(name).or_default().push(index);
            }
            Some(NamespaceSelector::Labels(_)) | None => of_any.push(index),
        }
    }
    let mut kinds: FxHashMap<Governed<'_>, PodId> = FxHashMap::default();
    for (pod, index) in cluster.pods().iter().zip(0..) {
        let kind = governed(pod, enforcement.is_some());
        kinds.entry(kind).or_insert(PodId(index));
    }
    let kinds: Vec<(Governed<'_>, PodId)> = kinds.into_iter().collect();
    let found = kinds.into_par_iter().filter_map(|(kind, id)| {
        let pod = pod_view(cluster, id, cluster.pod(id)?);
        // What a pod is at an address is no matter: blocks that match pods are refused.
        let identity = enforcement.map(|one| one.identities.pod(pod.into(), None));
        let own = of_namespace.get(pod.namespace).into_iter().flatten();
        let mut governing: Vec<u32> = own
            .chain(&of_any)
            .copied()
            .filter(|index| {
                let policy = policies.policies.get(*index as usize);
                policy.is_some_and(|policy| match &identity {
                    None => spec::governs(policy, &pod),
                    Some(identity) => has_subject(&policy.subject, identity),
                })
            })
            .collect();
        governing.sort_unstable();
        Some((kind, governing))
    });
    found.collect()
}
