//! What some edits change beside the flow that is asked about: connections of workloads, with each other and with the
//! outside, as `diff` has them.
//!
//! Guarantee: exact. Only the pods that the edits may concern are compared, with the policies that govern them: an edit
//! of rules concerns the pods that its policy governs and those that the edited peers match, and none between others.

use super::asked::AskedFlows;
use super::change::{self, Change};
use crate::cluster::{Cluster, HostNetwork, LabelsId, NamespaceId, NodeId, PodId};
use crate::diff::{Diff, Programs, Worlds};
use crate::explain::report::{Further, FurtherConnection};
use crate::explain::{Asked, Context};
use crate::flows::Packets;
use crate::hir::spec::{self, Truth};
use crate::hir::{Direction, Peer, Policy, PolicySet, Rule, Tier};
use crate::list::report::{PeerReport, party, ports};
use crate::list::{By, Focus, Pair, Party};
use crate::query::{Families, Family, Who, endpoint, pod_view};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// How many connections are told one by one: of more only the number.
pub(super) const MOST_TOLD: usize = 1000;

/// What edits change beside what is asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Weight {
    pub(super) opens: Further,
    pub(super) closes: Further,
    /// How many packets, all connections together, the outside's addresses counted once.
    pub(super) packets: u64,
}

impl Weight {
    /// Fewer connections first, then fewer packets.
    pub(super) fn key(&self) -> (usize, u64) {
        (self.opens.count + self.closes.count, self.packets)
    }
}

/// Weighs edits for one answer.
pub(super) struct Scales<'a> {
    context: Context<'a>,
    families: Families,
    asked: AskedFlows<'a>,
    kinds: Vec<(PodId, Vec<PodId>)>,
}

/// Whom edits may concern.
enum Concerned {
    Everyone,
    These(BTreeSet<PodId>),
}

/// What policies see of a pod, but for its address.
type PodKind = (NamespaceId, LabelsId, Option<Option<NodeId>>);

impl<'a> Scales<'a> {
    pub(super) fn new(context: Context<'a>, asked: &Asked<'a>) -> Self {
        let mut kinds: FxHashMap<PodKind, usize> = FxHashMap::default();
        let mut list: Vec<(PodId, Vec<PodId>)> = Vec::new();
        for (id, pod) in (0..).map(PodId).zip(context.cluster.pods()) {
            let kind = (
                pod.namespace,
                pod.labels,
                pod.host_network.then_some(pod.node),
            );
            let index = *kinds.entry(kind).or_insert(list.len());
            match list.get_mut(index) {
                Some((_, pods)) => pods.push(id),
                None => list.push((id, vec![id])),
            }
        }
        Self {
            context,
            families: Families::of(context.cluster),
            asked: AskedFlows::new(context.cluster, asked),
            kinds: list,
        }
    }

    /// What some edits change; `None` where one of them cannot be made.
    pub(super) fn weigh(&self, changes: &[&Change]) -> Option<Weight> {
        let labels = change::labels(changes);
        let part = match self.concerned(changes)? {
            Concerned::Everyone => None,
            Concerned::These(pods) if pods.is_empty() => return Some(Weight::default()),
            Concerned::These(pods) => Some(self.context.cluster.of_pods(pods)),
        };
        let old = part.as_ref().unwrap_or(self.context.cluster);
        let relabelled = (!labels.is_empty()).then(|| change::relabelled(old, &labels));
        let policies = match &part {
            Some(cluster) => self.governing(cluster),
            None => PolicySet {
                policies: self.context.policies.policies.clone(),
                origins: Vec::new(),
                semantics: self.context.policies.semantics,
                resolution: self.context.policies.resolution.clone(),
            },
        };
        let mut changed = policies.clone();
        for change in changes {
            // Where its policy is not here, it governs nobody who is.
            let _ = change::apply(&mut changed, self.context.policies, change);
        }
        let side = |cluster, policies| Context {
            cluster,
            policies,
            ..self.context
        };
        let worlds = Worlds {
            old: side(old, &policies),
            new: side(relabelled.as_ref().unwrap_or(old), &changed),
        };
        Some(self.compared(worlds))
    }

    fn compared(&self, worlds: Worlds<'_>) -> Weight {
        let programs = Programs::without_reasons(&worlds);
        let mut diff = Diff::in_families(worlds, &programs, By::Workload, self.families);
        let everything = Focus::everything();
        let total = diff.count_of(&everything).total;
        if total > MOST_TOLD {
            return counted(&mut diff, &everything);
        }
        let mut weight = Weight::default();
        for pair in diff.pairs_of(&everything) {
            self.add(&diff, &pair, &mut weight);
        }
        weight
    }

    /// Adds what changes between two, less what is asked.
    fn add(&self, diff: &Diff<'_>, pair: &Pair<crate::diff::DeltaId>, weight: &mut Weight) {
        let delta = diff.delta(pair.answer);
        let (before, after) = (diff.answer(delta.before), diff.answer(delta.after));
        let opened = Part {
            surely: after.allow.minus(&before.allow),
            perhaps: after.depends.minus(&before.possible()),
        };
        let closed = Part {
            surely: before.possible().minus(&after.possible()),
            perhaps: before.allow.intersection(&after.depends),
        };
        for (ends, asked) in self.asked.split(diff.directory(), pair) {
            let opened = Part {
                surely: opened.surely.minus(&asked),
                perhaps: opened.perhaps.minus(&asked),
            };
            weight.packets += opened.packets();
            opened.told(&ends, &mut weight.opens);
        }
        let ends = [pair.src, pair.dst].map(|end: Party| party(diff.directory(), end));
        weight.packets += closed.packets();
        closed.told(&ends, &mut weight.closes);
    }

    /// The policies that govern any pod of a part of the snapshot.
    fn governing(&self, part: &Cluster) -> PolicySet {
        let mut seen: BTreeSet<PodKind> = BTreeSet::new();
        let pods = (0..).map(PodId).zip(part.pods());
        let views: Vec<_> = pods
            .filter(|(_, pod)| {
                seen.insert((
                    pod.namespace,
                    pod.labels,
                    pod.host_network.then_some(pod.node),
                ))
            })
            .map(|(id, pod)| pod_view(part, id, pod))
            .collect();
        let is_wanted = |policy: &&Policy| views.iter().any(|pod| spec::governs(policy, pod));
        let policies = self.context.policies.policies.iter();
        PolicySet {
            policies: policies.filter(is_wanted).cloned().collect(),
            origins: Vec::new(),
            semantics: self.context.policies.semantics,
            resolution: self.context.policies.resolution.clone(),
        }
    }

    /// How many pods the policies that some edits are of govern.
    pub(super) fn governed_by(&self, changes: &[Change]) -> usize {
        let policies = self.context.policies;
        let of = |change: &Change| match change {
            Change::Port { rule, .. } | Change::Wider { rule, .. } | Change::Peer { rule, .. } => {
                let policy = policies.rule(*rule).map(|(policy, _)| policy);
                policy.map(|policy| self.governed(policy).len())
            }
            Change::Rule { policy, .. } => {
                let policy = policies.policy(*policy);
                policy.map(|policy| self.governed(policy).len())
            }
            Change::Policy(policy) => Some(self.governed(policy).len()),
            Change::Label(_) => None,
        };
        changes.iter().filter_map(of).sum()
    }

    fn concerned(&self, changes: &[&Change]) -> Option<Concerned> {
        let mut all = BTreeSet::new();
        for change in changes {
            match self.concerned_by(change)? {
                Concerned::Everyone => return Some(Concerned::Everyone),
                Concerned::These(pods) => all.extend(pods),
            }
        }
        let cluster = self.context.cluster;
        let workloads: BTreeSet<_> = all
            .iter()
            .filter_map(|id| cluster.pod(*id)?.workload)
            .collect();
        let of_these = (0..).map(PodId).zip(cluster.pods()).filter(|(_, pod)| {
            let workload = pod.workload.as_ref();
            workload.is_some_and(|workload| workloads.contains(workload))
        });
        all.extend(of_these.map(|(id, _)| id));
        Some(Concerned::These(all))
    }

    fn concerned_by(&self, change: &Change) -> Option<Concerned> {
        let policies = self.context.policies;
        match change {
            Change::Port { rule, .. } | Change::Wider { rule, .. } => {
                let (policy, rule) = policies.rule(*rule)?;
                Some(self.between(policy, rule.peers.as_deref()))
            }
            Change::Peer { rule, peer } => {
                let (policy, _) = policies.rule(*rule)?;
                Some(self.between(policy, Some(std::slice::from_ref(peer))))
            }
            Change::Rule { policy, rule, .. } => {
                let policy = policies.policy(*policy)?;
                Some(self.between(policy, rule.peers.as_deref()))
            }
            Change::Policy(policy) => Some(self.concerned_by_new(policy)),
            Change::Label(_) => Some(Concerned::Everyone),
        }
    }

    /// A new policy that isolates pods concerns all who reach them, or whom they reach.
    fn concerned_by_new(&self, policy: &Policy) -> Concerned {
        for direction in [Direction::Ingress, Direction::Egress] {
            let isolates_more = || {
                let own = self.governed(policy);
                own.iter().any(|id| !self.is_isolated(*id, direction))
            };
            if *policy.isolates.get(direction) && isolates_more() {
                return Concerned::Everyone;
            }
        }
        let rules = policy.rules.ingress.iter().chain(&policy.rules.egress);
        let peers = rules.map(|rule: &Rule| rule.peers.as_deref());
        let mut all = BTreeSet::new();
        for peers in peers {
            match self.between(policy, peers) {
                Concerned::Everyone => return Concerned::Everyone,
                Concerned::These(pods) => all.extend(pods),
            }
        }
        Concerned::These(all)
    }

    fn is_isolated(&self, id: PodId, direction: Direction) -> bool {
        let cluster = self.context.cluster;
        let Some(pod) = cluster.pod(id) else {
            return true;
        };
        let view = pod_view(cluster, id, pod);
        let mut policies = self.context.policies.policies.iter();
        policies.any(|policy| *policy.isolates.get(direction) && spec::governs(policy, &view))
    }

    /// The pods that a policy governs and those that peers match; nobody where it governs none.
    fn between(&self, policy: &Policy, peers: Option<&[Peer]>) -> Concerned {
        let mut pods = self.governed(policy);
        match peers {
            _ if pods.is_empty() => Concerned::These(pods),
            None => Concerned::Everyone,
            Some(peers) => {
                pods.extend(self.matched(policy.tier, peers));
                Concerned::These(pods)
            }
        }
    }

    fn governed(&self, policy: &Policy) -> BTreeSet<PodId> {
        let cluster = self.context.cluster;
        let governs = |id: PodId| {
            let pod = cluster.pod(id);
            pod.is_some_and(|pod| {
                let is_node = pod.host_network && cluster.host_network() == HostNetwork::Node;
                !is_node && spec::governs(policy, &pod_view(cluster, id, pod))
            })
        };
        let kinds = self.kinds.iter().filter(|(sample, _)| governs(*sample));
        kinds.flat_map(|(_, pods)| pods).copied().collect()
    }

    fn matched(&self, tier: Tier, peers: &[Peer]) -> BTreeSet<PodId> {
        let by_address = peers.iter().any(|peer| match peer {
            Peer::Pods(_) => false,
            Peer::Nodes(_) | Peer::Addresses(_) | Peer::Domain(_) | Peer::Identities(_) => true,
        });
        let world = self.context.world();
        let cluster = self.context.cluster;
        let matches = |id: PodId| {
            [Family::V4, Family::V6].into_iter().any(|family| {
                let end = endpoint(cluster, Who::Pod(id), family);
                let mut peers = peers.iter();
                peers.any(|peer| spec::peer_matches(world, tier, peer, &end) != Truth::No)
            })
        };
        if by_address {
            let ids = (0..).map(PodId).zip(cluster.pods()).map(|(id, _)| id);
            return ids.filter(|id| matches(*id)).collect();
        }
        let kinds = self.kinds.iter().filter(|(sample, _)| matches(*sample));
        kinds.flat_map(|(_, pods)| pods).copied().collect()
    }
}

/// What changes where it is too much to be told: how many connections open, and how many close.
fn counted(diff: &mut Diff<'_>, focus: &Focus) -> Weight {
    let mut weight = Weight::default();
    for (delta, pairs) in diff.count_of(focus).by_answer {
        let delta = diff.delta(delta);
        let (before, after) = (diff.answer(delta.before), diff.answer(delta.after));
        let opens = !after.allow.minus(&before.allow).is_empty()
            || !after.possible().minus(&before.possible()).is_empty();
        let closes = !before.allow.minus(&after.allow).is_empty()
            || !before.possible().minus(&after.possible()).is_empty();
        weight.opens.count += if opens { pairs } else { 0 };
        weight.closes.count += if closes { pairs } else { 0 };
        let changed = packets(&before.difference(after));
        weight.packets += changed.saturating_mul(pairs as u64);
    }
    weight
}

/// Packets that change for some ends.
struct Part {
    surely: Packets,
    perhaps: Packets,
}

impl Part {
    fn packets(&self) -> u64 {
        packets(&self.surely) + packets(&self.perhaps)
    }

    fn told(&self, [src, dst]: &[PeerReport; 2], further: &mut Further) {
        if self.surely.is_empty() && self.perhaps.is_empty() {
            return;
        }
        further.count += 1;
        further.connections.push(FurtherConnection {
            src: src.clone(),
            dst: dst.clone(),
            ports: ports(&self.surely),
            depends: ports(&self.perhaps),
        });
    }
}

/// How many packets there are of a set: those of protocols that nobody names count as one protocol.
fn packets(packets: &Packets) -> u64 {
    let of_ports = ports(packets).into_iter().map(|ports| {
        let ranges = ports.ranges.iter();
        let numbers = ranges.map(|(first, last)| u64::from(last - first) + 1);
        numbers.sum::<u64>().max(1)
    });
    of_ports.sum()
}
