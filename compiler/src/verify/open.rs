//! The sections of an image for the [open world](verdict_abi::open), held to the policies and the cluster.
//!
//! They are lifted back: what is read from the bytes is written as the definition has it, and compared. Nothing that
//! wrote the sections is used.

use super::{Check, Mismatch, Prover, Subject, enforcement, mismatch};
use crate::cluster::{Cluster, LabelsId, NamespaceId, NodeId, PodId, PortsId, Protocol};
use crate::hir::{
    self, Direction, DomainPattern, IpBlock, NamespaceSelector, Operator, PodSelector, PortMatch,
    PortRange, Requirement, RuleId, Selector, Tier,
};
use crate::image::{seen, seen_pod};
use crate::lir::LeafId;
use crate::query::pod_view;
use ipnet::IpNet;
use rustc_hash::FxHashSet;
use std::sync::{Arc, Mutex, PoisonError};
use verdict_abi::open::{self, Net, Subjects, Who, World};

impl Prover<'_> {
    /// Compares the policies, the leaves and the endpoints. Of these the endpoints alone are the node's own: a section `world` that
    /// images share is compared once.
    pub(super) fn open_world(&self, subject: &Subject<'_>) -> Result<(), Box<Mismatch>> {
        let world = subject.image.shared_world();
        let is_proved = |proved: &Arc<World>| Arc::ptr_eq(proved, world);
        if !self.proved_world.get().is_some_and(is_proved) {
            common(*subject)?;
            // Where another node was first, its section is kept.
            let _ = self.proved_world.set(Arc::clone(world));
        }
        self.who_are(subject.node, subject.pods, world, subject.image.subjects())
    }

    /// Compares who the endpoints of a node are, in a section `world` that was compared.
    pub(crate) fn who_are(
        &self,
        node: Option<NodeId>,
        pods: &[PodId],
        world: &Arc<World>,
        subjects: &Subjects,
    ) -> Result<(), Box<Mismatch>> {
        let proved = self.proved_world.get();
        let is_shared = proved.is_some_and(|proved| Arc::ptr_eq(proved, world));
        let known = self.proved_pods.get(is_shared);
        endpoints(self.cluster, (node, pods), world, subjects, known)
    }
}

/// Pods of which it is proved who they are in the section `world` that images share: their identity there, and what tells them
/// apart from others but for where they run.
#[derive(Debug, Default)]
pub(super) struct ProvedPods(Mutex<FxHashSet<ProvedPod>>);

type ProvedPod = (u32, NamespaceId, LabelsId, PortsId);

impl ProvedPods {
    fn get(&self, is_shared: bool) -> Option<&Mutex<FxHashSet<ProvedPod>>> {
        is_shared.then_some(&self.0)
    }
}

/// The policies and the leaves.
fn common(subject: Subject<'_>) -> Result<(), Box<Mismatch>> {
    let world = subject.image.world();
    let written = &subject.policies.policies;
    let answers = subject.cluster.names().iter();
    let is_closed = enforcement(subject.policies).is_some();
    let general = world.closed == is_closed
        && world.policies.len() == written.len()
        && world.cidr_matches_pods == subject.policies.semantics.cidr_matches_pods
        && answers.eq(world
            .answers
            .iter()
            .map(|(name, addresses)| (name, addresses)));
    ensure(
        general,
        "the policies, settings and answers",
        "those of the inputs",
    )?;
    for (own, policy) in world.policies.iter().zip(written) {
        let same = is_policy(world, own, policy) == Some(true) && places(subject, own, policy);
        ensure(
            same,
            &format!("policy `{}`", policy.object),
            "as it is written",
        )?;
    }
    known(subject, world)?;
    leaves(subject, world)
}

fn endpoints(
    cluster: &Cluster,
    (node, pods): (Option<NodeId>, &[PodId]),
    world: &World,
    subjects: &Subjects,
    proved: Option<&Mutex<FxHashSet<ProvedPod>>>,
) -> Result<(), Box<Mismatch>> {
    let node = node.map(|node| node.0);
    ensure(
        subjects.identities.len() == pods.len(),
        "the endpoints",
        "the pods of the node",
    )?;
    let mut known = proved.map(|proved| proved.lock().unwrap_or_else(PoisonError::into_inner));
    for (pod, endpoint) in pods.iter().zip(0..) {
        let Some(of) = cluster.pod(*pod) else {
            continue;
        };
        // One that uses the network of its node is that node as well.
        let identity = subjects.identities.get(endpoint as usize).copied();
        let name = identity.filter(|_| !of.host_network && subjects.node == node);
        let name = name.map(|identity| (identity, of.namespace, of.labels, of.ports));
        if known
            .as_ref()
            .zip(name)
            .is_some_and(|(known, name)| known.contains(&name))
        {
            continue;
        }
        let expected = open::Pod {
            id: None,
            node,
            ..seen_pod(world, &pod_view(cluster, *pod, of))
        };
        let found = subjects.pod(world, endpoint);
        ensure(
            found == Some(expected),
            &format!("endpoint {endpoint}"),
            "its pod",
        )?;
        if let Some((known, name)) = known.as_mut().zip(name) {
            known.insert(name);
        }
    }
    Ok(())
}

fn ensure(holds: bool, of: &str, expected: &str) -> Result<(), Box<Mismatch>> {
    if holds {
        return Ok(());
    }
    Err(mismatch::general(
        Check::OpenWorld,
        of,
        expected,
        "something else",
    ))
}

/// The namespaces and the nodes.
fn known(subject: Subject<'_>, world: &World) -> Result<(), Box<Mismatch>> {
    let cluster = subject.cluster;
    let labels = |id| world.labels(cluster.labels(id).iter());
    let written = cluster.namespaces().iter();
    let written = written.map(|own| (&own.name, labels(own.labels)));
    let found = world.namespaces.iter();
    let found = found.map(|own| (&own.name, world.label_set(own.labels).clone()));
    ensure(written.eq(found), "the namespaces", "those of the cluster")?;
    let written = cluster.nodes().iter().map(|node| labels(node.labels));
    let found = world.nodes.iter().map(|own| world.label_set(*own).clone());
    ensure(written.eq(found), "the nodes", "those of the cluster")
}

/// Who each leaf is. Where a pod runs tells nothing of a leaf.
fn leaves(subject: Subject<'_>, world: &World) -> Result<(), Box<Mismatch>> {
    for leaf in 0..crate::lir::number(subject.lowering.leaves().list().len()) {
        let example = subject
            .lowering
            .leaves()
            .example(subject.cluster, LeafId(leaf));
        let placeless = |who: Who| match who {
            Who::Pod(pod) => Who::Pod(open::Pod { node: None, ..pod }),
            Who::Node(node) => Who::Node(node),
            Who::Outside => Who::Outside,
        };
        let expected = example.map(|end| placeless(seen(world, &end).who));
        let found = world.leaf(leaf).map(placeless);
        ensure(found == expected, &format!("leaf {leaf}"), "who it is")?;
    }
    Ok(())
}

/// Whether a policy and its rules stand where they are written: by this, source tables find who decides.
fn places(subject: Subject<'_>, own: &open::Policy, policy: &hir::Policy) -> bool {
    let world = subject.image.world();
    let (file, location) = subject.sources.location(policy.span);
    let is_policy = *world.string(own.file) == *file && own.line == location.line;
    is_policy
        && own.rules.iter().flatten().all(|rule| {
            let origin = subject.policies.origin(RuleId(rule.id));
            origin.is_some_and(|origin| {
                let (_, location) = subject.sources.location(origin.span);
                *origin.path == *world.string(rule.path) && rule.line == location.line
            })
        })
}

fn is_policy(world: &World, own: &open::Policy, policy: &hir::Policy) -> Option<bool> {
    let tier = match own.tier {
        open::Tier::Admin => Tier::Admin,
        open::Tier::Namespace => Tier::Namespace,
        open::Tier::Baseline => Tier::Baseline,
    };
    let head = *own.name == policy.object.to_string()
        && (tier, own.priority) == (policy.tier, policy.priority)
        && own.isolates == [policy.isolates.ingress, policy.isolates.egress]
        && match own.subject {
            None => world.closed || policy.subject.pods().is_none(),
            Some(subject) => {
                !world.closed && pods(world, subject).as_ref() == policy.subject.pods()
            }
        };
    let [ingress, egress] = &own.rules;
    for (direction, rules) in [(Direction::Ingress, ingress), (Direction::Egress, egress)] {
        let written = policy.rules.get(direction);
        if rules.len() != written.len() {
            return Some(false);
        }
        for (own, rule) in rules.iter().zip(written) {
            if !is_rule(world, own, rule)? {
                return Some(false);
            }
        }
    }
    Some(head)
}

fn is_rule(world: &World, own: &open::Rule, rule: &hir::Rule) -> Option<bool> {
    let action = match own.action {
        open::RuleAction::Allow => hir::Action::Allow,
        open::RuleAction::Deny => hir::Action::Deny,
        open::RuleAction::Pass => hir::Action::Pass,
    };
    let same = (own.id, action) == (rule.id.0, rule.action);
    if world.closed {
        return Some(same && own.peers.is_none() && own.ports.is_none());
    }
    let peers: Option<Vec<hir::Peer>> = match own.peers {
        None => None,
        Some(list) => {
            let peers = world.peers.get(list as usize)?.iter();
            Some(peers.map(|own| peer(world, own)).collect::<Option<_>>()?)
        }
    };
    let ports: Option<Vec<PortMatch>> = match own.ports {
        None => None,
        Some(list) => {
            let ports = world.ports.get(list as usize)?.iter();
            Some(ports.map(|own| port(world, own)).collect())
        }
    };
    let same_peers = match (&peers, &rule.peers) {
        (None, None) => true,
        (Some(own), Some(written)) => *own == written.iter().map(whole).collect::<Vec<_>>(),
        (None, Some(_)) | (Some(_), None) => false,
    };
    Some(same && same_peers && ports == rule.ports)
}

/// A peer whose blocks begin at their first address.
fn whole(peer: &hir::Peer) -> hir::Peer {
    match peer {
        hir::Peer::Addresses(block) => hir::Peer::Addresses(IpBlock {
            cidr: block.cidr.trunc(),
            except: block.except.iter().map(IpNet::trunc).collect(),
        }),
        hir::Peer::Pods(_)
        | hir::Peer::Nodes(_)
        | hir::Peer::Domain(_)
        | hir::Peer::Identities(_) => peer.clone(),
    }
}

fn pods(world: &World, number: u32) -> Option<PodSelector> {
    let own = world.pod_selectors.get(number as usize)?;
    Some(PodSelector {
        namespaces: match own.namespaces {
            open::NamespaceSelector::Named(name) => {
                NamespaceSelector::Named(world.string(name).into())
            }
            open::NamespaceSelector::Labels(labels) => {
                NamespaceSelector::Labels(selector(world, labels)?)
            }
        },
        pods: selector(world, own.pods)?,
    })
}

fn selector(world: &World, number: u32) -> Option<Selector> {
    let values = |values: &[u32]| {
        values
            .iter()
            .map(|value| world.string(*value).into())
            .collect()
    };
    let requirement = |own: &open::Requirement| Requirement {
        key: world.string(own.key).into(),
        operator: match &own.operator {
            open::Operator::In(own) => Operator::In(values(own)),
            open::Operator::NotIn(own) => Operator::NotIn(values(own)),
            open::Operator::Exists => Operator::Exists,
            open::Operator::DoesNotExist => Operator::DoesNotExist,
        },
    };
    let requirements = world.selectors.get(number as usize)?.iter();
    Some(requirements.map(requirement).collect())
}

fn peer(world: &World, own: &open::Peer) -> Option<hir::Peer> {
    let name = |name: u32| world.string(name).into();
    Some(match own {
        open::Peer::Pods(selector) => hir::Peer::Pods(pods(world, *selector)?),
        open::Peer::Nodes(nodes) => hir::Peer::Nodes(selector(world, *nodes)?),
        open::Peer::Block(block, except) => hir::Peer::Addresses(IpBlock {
            cidr: net(*block)?,
            except: except.iter().copied().map(net).collect::<Option<_>>()?,
        }),
        open::Peer::Name(own) => hir::Peer::Domain(DomainPattern::Name(name(*own))),
        open::Peer::Subdomains(own) => hir::Peer::Domain(DomainPattern::Subdomains(name(*own))),
    })
}

fn net(net: Net) -> Option<IpNet> {
    IpNet::new(net.first, net.bits).ok()
}

fn port(world: &World, own: &open::PortMatch) -> PortMatch {
    match own {
        open::PortMatch::Range(protocol, first, last) => PortMatch::Range {
            protocol: Protocol(*protocol),
            ports: PortRange {
                first: *first,
                last: *last,
            },
        },
        open::PortMatch::Named(protocol, name) => PortMatch::Named {
            protocol: protocol.map(Protocol),
            name: world.string(*name).into(),
        },
    }
}
