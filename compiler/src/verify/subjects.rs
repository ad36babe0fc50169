//! The pods by what the definition asks of them as subjects: which policies govern them and, where rules for what comes in
//! go by name, their named ports. Pods that it cannot tell apart share a [`Case`] for each direction, and so one proof.
//!
//! Which policies govern a pod is asked of the definition for each namespace, label set and kind of network that occurs;
//! a policy whose subject names a namespace is asked about the pods in it alone.

use super::expected::Expected;
use super::matches::Lists;
use super::partition::Partition;
use super::{Prover, enforcement};
use crate::cluster::{Cluster, LabelsId, NamespaceId, Node, NodeId, Owner, Pod, PodId, PortsId};
use crate::hash::Latest;
use crate::hir::flow::{Address, EndpointKind, NodeView, PodView};
use crate::hir::spec::precedence::has_subject;
use crate::hir::spec::precedence::matches::pods;
use crate::hir::{
    Direction, Enforcement, NamespaceSelector, PerDirection, Policy, PolicyId, PolicySet, RuleId,
    Tier, spec,
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
    /// By node, where policies govern nodes.
    of_node: Vec<PerDirection<u32>>,
    /// Who is governed by some policies at one of its addresses and by others at another: there is no image then.
    pub(super) split: Option<Owner>,
}

/// Pods, or nodes, of which one direction is judged alike.
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
    /// One of the pods, whose node is not told, or one of the nodes, of which it is not told which it is.
    pub(super) subject: EndpointKind<'a>,
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

/// What makes a case.
#[derive(PartialEq, Eq, Hash)]
struct CaseKey {
    direction: Direction,
    policies: Box<[u32]>,
    /// The named ports, where they are asked for, and whether the pod is on the network of its node.
    named: Option<(PortsId, bool)>,
    /// Whether it is a node to rules that ask for identities.
    is_host: bool,
}

/// What policies may ask of a pod, but for its named ports.
///
/// Rules that ask for identities may ask for the named ports and the service account, too; and where blocks match pods, each
/// pod is asked about by itself.
type Governed<'a> = (
    NamespaceId,
    LabelsId,
    bool,
    Option<(PortsId, &'a str)>,
    Option<PodId>,
);

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
        let (governing, mut split) = governing(cluster, policies);
        let mut making = Making {
            policies,
            lists,
            rules,
            by_identity: enforcement.is_some(),
            cases: Vec::new(),
            known: FxHashMap::default(),
            wide: FxHashMap::default(),
        };
        let mut known: FxHashMap<(Governed<'_>, PortsId), PerDirection<u32>> = FxHashMap::default();
        let mut latest = Latest::default();
        let of_pod = cluster
            .pods()
            .iter()
            .zip((0..).map(PodId))
            .map(|(pod, id)| {
                let kind = governed(id, pod, enforcement);
                let both = || {
                    let list = governing.get(&kind);
                    let view = PodView {
                        node: None,
                        ..pod_view(cluster, id, pod)
                    };
                    let named = Some((pod.ports, pod.host_network));
                    making.both(
                        list.map_or(&[], |list| list),
                        EndpointKind::Pod(view),
                        named,
                    )
                };
                latest.get((kind, pod.ports), |key| {
                    *known.entry(key).or_insert_with(both)
                })
            });
        let of_pod = of_pod.collect();
        let mut of_node = Vec::new();
        if let Some(enforcement) = enforcement.filter(|one| one.governs_nodes) {
            let nodes = cluster.nodes().iter().zip((0..).map(NodeId));
            for (node, id) in nodes {
                let lists = of_host(policies, enforcement, node, id);
                let (list, is_split) = first_of(lists);
                split = split.or(is_split.then_some(Owner::Node(id)));
                let view = NodeView {
                    id: None,
                    labels: cluster.labels(node.labels),
                };
                of_node.push(making.both(&list, EndpointKind::Node(view), None));
            }
        }
        Self {
            cases: making.cases,
            of_pod,
            of_node,
            split,
        }
    }

    /// The case of a pod or a node, with its number.
    pub(super) fn case(&self, of: Owner, direction: Direction) -> Option<(u32, &Case<'a>)> {
        let cases = match of {
            Owner::Pod(pod) => self.of_pod.get(pod.index()),
            Owner::Node(node) => self.of_node.get(node.index()),
        };
        let case = *cases?.get(direction);
        Some((case, self.cases.get(case as usize)?))
    }
}

/// The cases, while they are made.
struct Making<'l, 'a> {
    policies: &'a PolicySet,
    lists: &'l Lists<'a>,
    /// By policy: whether it is of the whole cluster, and its rules.
    rules: Vec<(bool, PerDirection<Vec<Asked>>)>,
    by_identity: bool,
    cases: Vec<Case<'a>>,
    known: FxHashMap<CaseKey, u32>,
    wide: FxHashMap<Vec<u32>, Arc<Wide>>,
}

impl<'a> Making<'_, 'a> {
    /// The cases of a subject that some policies govern, with its named ports and whether it is on the network of its node.
    fn both(
        &mut self,
        governing: &[u32],
        subject: EndpointKind<'a>,
        named: Option<(PortsId, bool)>,
    ) -> PerDirection<u32> {
        let mut case = |direction| self.case(direction, governing, subject, named);
        PerDirection {
            ingress: case(Direction::Ingress),
            egress: case(Direction::Egress),
        }
    }

    fn case(
        &mut self,
        direction: Direction,
        list: &[u32],
        subject: EndpointKind<'a>,
        named: Option<(PortsId, bool)>,
    ) -> u32 {
        let of = |wide: bool| {
            let rules = list
                .iter()
                .filter_map(|policy| self.rules.get(*policy as usize))
                .filter(move |(is_wide, _)| *is_wide == wide);
            rules.flat_map(|(_, rules)| rules.get(direction)).copied()
        };
        let mut rules = of(true).chain(of(false));
        let by_name = rules.any(|rule| self.lists.has_names(rule.ports));
        let own = direction == Direction::Ingress && by_name;
        let key = CaseKey {
            direction,
            policies: list.into(),
            named: named.filter(|_| own),
            is_host: self.by_identity && named.is_none_or(|(_, is_host)| is_host),
        };
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let peers: Vec<u32> = of(true).map(|rule| rule.peers).collect();
        let rules: Vec<Asked> = of(true).chain(of(false)).collect();
        let wide = self.wide.entry(peers).or_insert_with_key(|peers| {
            Arc::new(Wide {
                lists: peers.clone(),
                leaves: OnceLock::new(),
            })
        });
        let policies = list
            .iter()
            .filter_map(|policy| self.policies.policies.get(*policy as usize));
        let governing: Vec<&Policy> = policies.collect();
        let written = governing.iter().flat_map(|one| one.rules.get(direction));
        let asks_for_auth = written
            .into_iter()
            .any(|rule| rule.precedence.auth.is_some());
        self.cases.push(Case {
            direction,
            governing,
            asks_for_auth,
            rules,
            wide: Arc::clone(wide),
            by_name,
            subject,
            expected: OnceLock::new(),
        });
        let case = number(self.cases.len() - 1);
        self.known.insert(key, case);
        case
    }
}

/// An address of which nothing is known.
const UNKNOWN: Address = Address::Unknown { v4: true, v6: true };

fn governed<'a>(id: PodId, pod: &'a Pod, enforcement: Option<&Enforcement>) -> Governed<'a> {
    let more = enforcement.map(|_| (pod.ports, &*pod.service_account));
    let by_address = enforcement.is_some_and(|one| one.identities.options().blocks_match_pods);
    let alone = by_address.then_some(id);
    (pod.namespace, pod.labels, pod.host_network, more, alone)
}

/// The policies that govern a node, as indices into the set, by the definition: at each of its addresses.
fn of_host<'a>(
    policies: &'a PolicySet,
    enforcement: &'a Enforcement,
    node: &'a Node,
    id: NodeId,
) -> impl Iterator<Item = Vec<u32>> + 'a {
    let known = node.addresses.iter().map(|one| Some(one.to_canonical()));
    let unknown = node.addresses.is_empty().then_some(None);
    known.chain(unknown).map(move |address| {
        let host = enforcement.identities.node(Some(id), address, Some(id));
        let policies = policies.policies.iter().zip(0..);
        let governing = policies.filter(|(policy, _)| {
            let mut host = host.iter();
            host.any(|host| has_subject(&policy.subject, host))
        });
        governing.map(|(_, index)| index).collect()
    })
}

/// The first of some lists, and whether another one differs.
fn first_of(mut lists: impl Iterator<Item = Vec<u32>>) -> (Vec<u32>, bool) {
    let first = lists.next().unwrap_or_default();
    let is_split = lists.any(|other| other != first);
    (first, is_split)
}

/// The policies that govern the pods of each kind, as indices into the set; and a pod that is governed by others at another of the
/// addresses that it has or may have.
fn governing<'c>(
    cluster: &'c Cluster,
    policies: &PolicySet,
) -> (FxHashMap<Governed<'c>, Vec<u32>>, Option<Owner>) {
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
    let mut latest = Latest::default();
    for (pod, index) in cluster.pods().iter().zip(0..) {
        let kind = governed(PodId(index), pod, enforcement);
        latest.get(kind, |kind| {
            kinds.entry(kind).or_insert(PodId(index));
        });
    }
    let mut kinds: Vec<(Governed<'_>, PodId)> = kinds.into_iter().collect();
    // Those of a namespace are asked one after another, while its policies are at hand; and who is split is told in one order.
    kinds.sort_unstable_by_key(|(_, pod)| *pod);
    let found = kinds.into_par_iter().filter_map(|(kind, id)| {
        let written = cluster.pod(id)?;
        let pod = pod_view(cluster, id, written);
        let own = of_namespace.get(pod.namespace).into_iter().flatten();
        let own = own.chain(&of_any).copied();
        let listed = |governs: &dyn Fn(&Policy) -> bool| {
            let policy = |index: u32| policies.policies.get(index as usize);
            let of = own
                .clone()
                .filter(|index| policy(*index).is_some_and(governs));
            let mut governing: Vec<u32> = of.collect();
            governing.sort_unstable();
            governing
        };
        let (list, is_split) = match enforcement {
            None => (listed(&|policy| spec::governs(policy, &pod)), false),
            Some(enforcement) => {
                let addresses = written.addresses.iter();
                let known = addresses.map(|one| Address::Known(one.to_canonical()));
                let unknown = written.addresses.is_empty().then_some(UNKNOWN);
                let identities = known
                    .chain(unknown)
                    .flat_map(|address| pods(enforcement, &pod, address));
                let by_address = enforcement.identities.options().blocks_match_pods;
                let identities = identities.take(if by_address { usize::MAX } else { 1 });
                first_of(identities.map(|one| listed(&|policy| has_subject(&policy.subject, &one))))
            }
        };
        Some((kind, list, is_split.then_some(Owner::Pod(id))))
    });
    let found: Vec<(Governed<'_>, Vec<u32>, Option<Owner>)> = found.collect();
    let split = found.iter().find_map(|(.., split)| *split);
    let lists = found.into_iter().map(|(kind, list, _)| (kind, list));
    (lists.collect(), split)
}
