//! The sections of an image for the [open world](verdict_abi::open), held to the policies and the cluster.
//!
//! What is read from the bytes is compared with what is written, part by part. Nothing that wrote the sections is used.

use super::{Check, Mismatch, Prover, Subject, enforcement, mismatch};
use crate::cluster::{Cluster, Labels, LabelsId, NamespaceId, NodeId, PodId, PortsId, Protocol};
use crate::hir::{
    self, Direction, DomainPattern, IpBlock, NamespaceSelector, Operator, PodSelector, PortMatch,
    Requirement, RuleId, Selector, Tier,
};
use crate::image::{seen_by, seen_pod};
use crate::lir::LeafId;
use crate::lock::lock;
use crate::query::pod_view;
use ipnet::IpNet;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use verdict_abi::open::{self, LabelSet, Net, Subjects, Who, World};

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
        format_args!("the policies, settings and answers"),
        "those of the inputs",
    )?;
    for (own, policy) in world.policies.iter().zip(written) {
        let same = is_policy(world, own, policy) && places(subject, own, policy);
        ensure(
            same,
            format_args!("policy `{}`", policy.object),
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
        format_args!("the endpoints"),
        "the pods of the node",
    )?;
    let mut known = proved.map(lock);
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
            format_args!("endpoint {endpoint}"),
            "its pod",
        )?;
        if let Some((known, name)) = known.as_mut().zip(name) {
            known.insert(name);
        }
    }
    Ok(())
}

fn ensure(holds: bool, of: fmt::Arguments<'_>, expected: &str) -> Result<(), Box<Mismatch>> {
    if holds {
        return Ok(());
    }
    Err(mismatch::general(
        Check::OpenWorld,
        of.to_string(),
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
    ensure(
        written.eq(found),
        format_args!("the namespaces"),
        "those of the cluster",
    )?;
    let written = cluster.nodes().iter().map(|node| labels(node.labels));
    let found = world.nodes.iter().map(|own| world.label_set(*own).clone());
    ensure(
        written.eq(found),
        format_args!("the nodes"),
        "those of the cluster",
    )
}

/// Who each leaf is. Where a pod runs tells nothing of a leaf.
fn leaves(subject: Subject<'_>, world: &World) -> Result<(), Box<Mismatch>> {
    // Many leaves have the same labels.
    let mut known: FxHashMap<*const Labels, LabelSet> = FxHashMap::default();
    let mut labels = |of: &Labels| {
        let labels = known.entry(std::ptr::from_ref(of));
        labels.or_insert_with(|| world.labels(of.iter())).clone()
    };
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
        let expected = example.map(|end| placeless(seen_by(world, &end, &mut labels).who));
        let found = world.leaf(leaf).map(placeless);
        ensure(found == expected, format_args!("leaf {leaf}"), "who it is")?;
    }
    Ok(())
}

/// Whether a policy and its rules stand where they are written: by this, source tables find who decides.
fn places(subject: Subject<'_>, own: &open::Policy, policy: &hir::Policy) -> bool {
    let world = subject.image.world();
    let (file, line) = subject.sources.line(policy.span);
    let is_policy = *world.string(own.file) == *file && own.line == line;
    is_policy
        && own.rules.iter().flatten().all(|rule| {
            let origin = subject.policies.origin(RuleId(rule.id));
            origin.is_some_and(|origin| {
                let (_, line) = subject.sources.line(origin.span);
                *origin.path == *world.string(rule.path) && rule.line == line
            })
        })
}

fn is_policy(world: &World, own: &open::Policy, policy: &hir::Policy) -> bool {
    let tier = match own.tier {
        open::Tier::Admin => Tier::Admin,
        open::Tier::Namespace => Tier::Namespace,
        open::Tier::Baseline => Tier::Baseline,
    };
    let head = is_shown(&own.name, &policy.object)
        && (tier, own.priority) == (policy.tier, policy.priority)
        && own.isolates == [policy.isolates.ingress, policy.isolates.egress]
        && match (own.subject, policy.subject.pods()) {
            (None, written) => world.closed || written.is_none(),
            (Some(subject), Some(written)) => !world.closed && is_pods(world, subject, written),
            (Some(_), None) => false,
        };
    let [ingress, egress] = &own.rules;
    let rules = [(Direction::Ingress, ingress), (Direction::Egress, egress)];
    head && rules.into_iter().all(|(direction, rules)| {
        all(rules, policy.rules.get(direction), |own, written| {
            is_rule(world, own, written)
        })
    })
}

/// Whether two lists have the same length, and each thing of one is the other's at its place.
fn all<T, U>(own: &[T], written: &[U], is: impl Fn(&T, &U) -> bool) -> bool {
    own.len() == written.len()
        && own
            .iter()
            .zip(written)
            .all(|(own, written)| is(own, written))
}

fn is_rule(world: &World, own: &open::Rule, rule: &hir::Rule) -> bool {
    let action = match own.action {
        open::RuleAction::Allow => hir::Action::Allow,
        open::RuleAction::Deny => hir::Action::Deny,
        open::RuleAction::Pass => hir::Action::Pass,
    };
    if (own.id, action) != (rule.id.0, rule.action) {
        return false;
    }
    if world.closed {
        return own.peers.is_none() && own.ports.is_none();
    }
    let is_peers = |list: u32, written: &[hir::Peer]| {
        let own = world.peers.get(list as usize);
        own.is_some_and(|own| all(own, written, |own, written| is_peer(world, own, written)))
    };
    let is_ports = |list: u32, written: &[PortMatch]| {
        let own = world.ports.get(list as usize);
        own.is_some_and(|own| all(own, written, |own, written| is_port(world, own, written)))
    };
    is_same(own.peers, rule.peers.as_deref(), is_peers)
        && is_same(own.ports, rule.ports.as_deref(), is_ports)
}

/// Whether both are nothing, or both are something that is the same.
fn is_same<T, U>(own: Option<T>, written: Option<U>, is: impl Fn(T, U) -> bool) -> bool {
    match (own, written) {
        (None, None) => true,
        (Some(own), Some(written)) => is(own, written),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn is_pods(world: &World, number: u32, written: &PodSelector) -> bool {
    world.pod_selectors.get(number as usize).is_some_and(|own| {
        let namespaces = match (&own.namespaces, &written.namespaces) {
            (open::NamespaceSelector::Named(own), NamespaceSelector::Named(written)) => {
                is_text(world, *own, written)
            }
            (open::NamespaceSelector::Labels(own), NamespaceSelector::Labels(written)) => {
                is_selector(world, *own, written)
            }
            (
                open::NamespaceSelector::Named(_) | open::NamespaceSelector::Labels(_),
                NamespaceSelector::Named(_) | NamespaceSelector::Labels(_),
            ) => false,
        };
        namespaces && is_selector(world, own.pods, &written.pods)
    })
}

fn is_selector(world: &World, number: u32, written: &Selector) -> bool {
    let values = |own: &[u32], written: &[Box<str>]| {
        all(own, written, |own, written| is_text(world, *own, written))
    };
    let is_requirement = |own: &open::Requirement, written: &Requirement| {
        let operator = match (&own.operator, &written.operator) {
            (open::Operator::In(own), Operator::In(written))
            | (open::Operator::NotIn(own), Operator::NotIn(written)) => values(own, written),
            (open::Operator::Exists, Operator::Exists)
            | (open::Operator::DoesNotExist, Operator::DoesNotExist) => true,
            (
                open::Operator::In(_)
                | open::Operator::NotIn(_)
                | open::Operator::Exists
                | open::Operator::DoesNotExist,
                _,
            ) => false,
        };
        operator && is_text(world, own.key, &written.key)
    };
    let own = world.selectors.get(number as usize);
    own.is_some_and(|own| all(own, &written.requirements, is_requirement))
}

/// Whether a text is what a thing shows itself as.
fn is_shown(own: &str, thing: &impl fmt::Display) -> bool {
    let mut rest = Rest(own);
    write!(rest, "{thing}").is_ok() && rest.0.is_empty()
}

/// What is left of a text, from whose front goes what is written as long as it stands there.
struct Rest<'t>(&'t str);

impl fmt::Write for Rest<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(text).ok_or(fmt::Error)?;
        Ok(())
    }
}

fn is_text(world: &World, number: u32, written: &str) -> bool {
    *world.string(number) == *written
}

fn is_peer(world: &World, own: &open::Peer, written: &hir::Peer) -> bool {
    match (own, written) {
        (open::Peer::Pods(own), hir::Peer::Pods(written)) => is_pods(world, *own, written),
        (open::Peer::Nodes(own), hir::Peer::Nodes(written)) => is_selector(world, *own, written),
        (
            open::Peer::Block(block, except),
            hir::Peer::Addresses(IpBlock {
                cidr,
                except: others,
            }),
        ) => is_net(*block, cidr) && all(except, others, |own, written| is_net(*own, written)),
        (open::Peer::Name(own), hir::Peer::Domain(DomainPattern::Name(written)))
        | (open::Peer::Subdomains(own), hir::Peer::Domain(DomainPattern::Subdomains(written))) => {
            is_text(world, *own, written)
        }
        (
            open::Peer::Pods(_)
            | open::Peer::Nodes(_)
            | open::Peer::Block(..)
            | open::Peer::Name(_)
            | open::Peer::Subdomains(_),
            _,
        ) => false,
    }
}

/// Whether a block is what is written, from its first address on.
fn is_net(own: Net, written: &IpNet) -> bool {
    (own.first, own.bits) == (written.network(), written.prefix_len())
}

fn is_port(world: &World, own: &open::PortMatch, written: &PortMatch) -> bool {
    match (own, written) {
        (open::PortMatch::Range(own, first, last), PortMatch::Range { protocol, ports }) => {
            (Protocol(*own), *first, *last) == (*protocol, ports.first, ports.last)
        }
        (open::PortMatch::Named(own, number), PortMatch::Named { protocol, name }) => {
            own.map(Protocol) == *protocol && is_text(world, *number, name)
        }
        (open::PortMatch::Range(..) | open::PortMatch::Named(..), _) => false,
    }
}
