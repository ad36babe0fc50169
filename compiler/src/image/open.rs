//! What an image says of the open world, made of the policies and the cluster.
//!
//! It is the same for all nodes. Of the cluster it has what policies can ask about: labels and named ports without the
//! keys and names that occur nowhere in the policies.

use super::slots::Slots;
use crate::cluster::{Cluster, Labels, LabelsId, PortsId};
use crate::diagnostic::ObjectRef;
use crate::hir::flow::{Address, Endpoint, EndpointKind, NodeView, PodView};
use crate::hir::{
    self, Direction, DomainPattern, NamespaceSelector, PolicySet, PortMatch, Resolution, RuleOrigin,
};
use crate::ir;
use crate::lir::leaves::{Leaves, Remote};
use crate::lir::number;
use crate::source::{FileId, Sources};
use ipnet::IpNet;
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt::Write as _;
use std::hash::Hash;
use verdict_abi::open::{
    self, Host, LabelSet, LeafWho, NamedPort, Net, Peer, PodSelector, RuleAction, World,
};

/// What is known of policies, without who is there.
#[derive(Debug)]
pub struct Written<'p> {
    texts: Texts<'p>,
    /// Without leaves and identities, namespaces and nodes.
    world: World,
}

impl<'p> Written<'p> {
    /// Writes what the policies say.
    #[must_use]
    pub fn of(cluster: &Cluster, policies: &'p PolicySet, sources: &'p Sources) -> Self {
        let named = Named::of(policies);
        let texts = Texts::of(policies, sources, &named);
        let mut world = World {
            strings: texts.all.iter().map(|text| (*text).into()).collect(),
            closed: matches!(policies.resolution, Resolution::Precedence(_)),
            cidr_matches_pods: policies.semantics.cidr_matches_pods,
            answers: cluster
                .names()
                .iter()
                .map(|(name, addresses)| (name.clone(), addresses.clone()))
                .collect(),
            ..World::default()
        };
        let made = Made::of(policies, sources, &texts, &named, world.closed);
        world.policies = policies
            .policies
            .iter()
            .zip(&named.subjects)
            .map(|(own, subject)| made.policy(own, *subject))
            .collect();
        if !world.closed {
            made.lists(&mut world);
        }
        Self { texts, world }
    }

    /// What is known of policies and leaves; and the identity in it of each identity of the program.
    #[must_use]
    pub fn with(
        self,
        cluster: &Cluster,
        program: &ir::Program,
        leaves: &Leaves,
    ) -> (World, Vec<u32>) {
        let Self { texts, mut world } = self;
        let identities = who(cluster, &texts, program, &mut world);
        world.leaves = leaves
            .list()
            .iter()
            .map(|leaf| match leaf.who {
                Remote::Identity(id) => {
                    LeafWho::Identity(identities.get(id.index()).copied().unwrap_or_default())
                }
                Remote::Node(node) => LeafWho::Node(node.0),
                Remote::UnknownNode => LeafWho::UnknownNode,
                Remote::Outside => LeafWho::Outside,
            })
            .collect();
        (world, identities)
    }
}

/// An end of a flow, as the policies of an image see it.
#[must_use]
pub fn seen(world: &World, end: &Endpoint<'_>) -> open::End {
    seen_by(world, end, &mut |labels| world.labels(labels.iter()))
}

/// The same, where labels are found in another way.
pub(crate) fn seen_by(
    world: &World,
    end: &Endpoint<'_>,
    labels: &mut impl FnMut(&Labels) -> LabelSet,
) -> open::End {
    open::End {
        who: match &end.kind {
            EndpointKind::Pod(pod) => open::Who::Pod(pod_by(world, pod, labels)),
            EndpointKind::Node(node) => open::Who::Node(node_by(node, labels)),
            EndpointKind::Outside => open::Who::Outside,
        },
        address: match end.address {
            Address::Known(address) => open::Address::Known(address),
            Address::Unknown { v4, v6 } => open::Address::Unknown { v4, v6 },
        },
    }
}

/// A pod, as the policies of an image see it.
#[must_use]
pub fn seen_pod(world: &World, pod: &PodView<'_>) -> open::Pod {
    pod_by(world, pod, &mut |labels| world.labels(labels.iter()))
}

fn pod_by(
    world: &World,
    pod: &PodView<'_>,
    labels: &mut impl FnMut(&Labels) -> LabelSet,
) -> open::Pod {
    let ports = pod.ports.map(|ports| {
        let ports = ports.iter();
        world.named_ports(ports.map(|port| (&*port.name, port.protocol.0, port.number)))
    });
    open::Pod {
        id: pod.id.map(|id| id.0),
        namespace: world.text(pod.namespace),
        namespace_labels: labels(pod.namespace_labels),
        labels: labels(pod.labels),
        ports,
        node: pod.node.map(|node| node.0),
        host: pod.host.as_ref().map(|node| node_by(node, labels)),
    }
}

fn node_by(node: &NodeView<'_>, labels: &mut impl FnMut(&Labels) -> LabelSet) -> open::Node {
    open::Node {
        id: node.id.map(|id| id.0),
        labels: labels(node.labels),
    }
}

/// Equal things once, in the order in which they come.
struct Interned<K, T> {
    known: FxHashMap<K, u32>,
    kept: Vec<T>,
}

impl<K, T> Default for Interned<K, T> {
    fn default() -> Self {
        Self {
            known: FxHashMap::default(),
            kept: Vec::new(),
        }
    }
}

impl<K: Eq + Hash, T> Interned<K, T> {
    fn add(&mut self, key: K, make: impl FnOnce(&K) -> T) -> u32 {
        let kept = &mut self.kept;
        *self.known.entry(key).or_insert_with_key(|key| {
            kept.push(make(key));
            number(kept.len() - 1)
        })
    }

    /// The keys, in the order in which they came.
    fn keys(&self) -> Vec<&K> {
        let mut keys: Vec<(u32, &K)> = self
            .known
            .iter()
            .map(|(key, place)| (*place, key))
            .collect();
        keys.sort_unstable_by_key(|(place, _)| *place);
        keys.into_iter().map(|(_, key)| key).collect()
    }
}

/// What policies name, equal things once. What holds others is known by the places of these, so that each text is looked at
/// once.
#[derive(Default)]
struct Named<'p> {
    selectors: Interned<&'p hir::Selector, &'p hir::Selector>,
    pods: Interned<Pods<'p>, &'p hir::PodSelector>,
    peers: Interned<Vec<End<'p>>, &'p [hir::Peer]>,
    ports: Interned<&'p [PortMatch], &'p [PortMatch]>,
    /// By policy: the place of its subject.
    subjects: Vec<Option<u32>>,
    /// By rule.
    rules: Vec<Lists>,
}

/// The places of the lists of a rule.
#[derive(Clone, Copy, Default)]
struct Lists {
    peers: Option<u32>,
    ports: Option<u32>,
}

/// A selector of pods, by the places of its selectors.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pods<'p> {
    namespaces: Namespaces<'p>,
    pods: u32,
}

/// The same of namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Namespaces<'p> {
    Named(&'p str),
    Labels(u32),
}

/// A peer, by the place of its selector where it has one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum End<'p> {
    Pods(u32),
    Nodes(u32),
    Other(&'p hir::Peer),
}

impl<'p> Named<'p> {
    fn of(policies: &'p PolicySet) -> Self {
        let count = policies.origins.len();
        let mut named = Self {
            rules: vec![Lists::default(); count],
            ..Self::default()
        };
        // Most are of one rule alone: room for them is made once.
        named.selectors.known.reserve(count);
        named.pods.known.reserve(count);
        named.peers.known.reserve(count);
        for policy in &policies.policies {
            let subject = policy.subject.pods().map(|pods| named.pods(pods));
            named.subjects.push(subject);
            for rule in policy.rules.ingress.iter().chain(&policy.rules.egress) {
                let ports = rule.ports.as_deref();
                let lists = Lists {
                    peers: rule.peers.as_deref().map(|peers| named.peers(peers)),
                    ports: ports.map(|ports| named.ports.add(ports, |own| *own)),
                };
                if let Some(slot) = named.rules.get_mut(rule.id.index()) {
                    *slot = lists;
                }
            }
        }
        named
    }

    fn selector(&mut self, selector: &'p hir::Selector) -> u32 {
        self.selectors.add(selector, |own| *own)
    }

    fn pods(&mut self, selector: &'p hir::PodSelector) -> u32 {
        let key = Pods {
            namespaces: match &selector.namespaces {
                NamespaceSelector::Named(name) => Namespaces::Named(name),
                NamespaceSelector::Labels(labels) => Namespaces::Labels(self.selector(labels)),
            },
            pods: self.selector(&selector.pods),
        };
        self.pods.add(key, |_| selector)
    }

    fn peers(&mut self, peers: &'p [hir::Peer]) -> u32 {
        let ends = peers.iter().map(|peer| match peer {
            hir::Peer::Pods(pods) => End::Pods(self.pods(pods)),
            hir::Peer::Nodes(nodes) => End::Nodes(self.selector(nodes)),
            hir::Peer::Addresses(_) | hir::Peer::Domain(_) | hir::Peer::Identities(_) => {
                End::Other(peer)
            }
        });
        let ends = ends.collect();
        self.peers.add(ends, |_| peers)
    }
}

/// The texts that policies name.
#[derive(Debug)]
struct Texts<'p> {
    /// Sorted, each once.
    all: Vec<&'p str>,
    numbers: FxHashMap<&'p str, u32>,
}

/// The texts found so far.
#[derive(Default)]
struct Found<'p> {
    all: FxHashSet<&'p str>,
}

impl<'p> Found<'p> {
    fn selector(&mut self, selector: &'p hir::Selector) {
        for requirement in selector.requirements.iter() {
            self.all.insert(&requirement.key);
            match &requirement.operator {
                hir::Operator::In(values) | hir::Operator::NotIn(values) => {
                    self.all.extend(values.iter().map(|value| &**value));
                }
                hir::Operator::Exists | hir::Operator::DoesNotExist => {}
            }
        }
    }

    fn namespaces(&mut self, namespaces: Namespaces<'p>) {
        match namespaces {
            Namespaces::Named(name) => {
                self.all.insert(name);
            }
            // Of the selectors.
            Namespaces::Labels(_) => {}
        }
    }

    fn end(&mut self, end: End<'p>) {
        match end {
            End::Other(hir::Peer::Domain(
                DomainPattern::Name(name) | DomainPattern::Subdomains(name),
            )) => {
                self.all.insert(name);
            }
            // Of the selectors, or without a text.
            End::Pods(_)
            | End::Nodes(_)
            | End::Other(
                hir::Peer::Domain(DomainPattern::Glob(_))
                | hir::Peer::Addresses(_)
                | hir::Peer::Identities(_)
                | hir::Peer::Pods(_)
                | hir::Peer::Nodes(_),
            ) => {}
        }
    }

    fn ports(&mut self, ports: &'p [PortMatch]) {
        self.all.extend(ports.iter().filter_map(|port| match port {
            PortMatch::Named { name, .. } => Some(&**name),
            PortMatch::Range { .. } => None,
        }));
    }
}

impl<'p> Texts<'p> {
    fn of(policies: &'p PolicySet, sources: &'p Sources, named: &Named<'p>) -> Self {
        let mut found = Found::default();
        let Named {
            selectors,
            pods,
            peers,
            ports,
            ..
        } = named;
        selectors.kept.iter().for_each(|own| found.selector(own));
        let namespaces = pods.known.keys().map(|pods| pods.namespaces);
        namespaces.for_each(|own| found.namespaces(own));
        let ends = peers.known.keys().flatten();
        ends.for_each(|end| found.end(*end));
        ports.kept.iter().for_each(|own| found.ports(own));
        let files: FxHashSet<FileId> = policies.policies.iter().map(|one| one.span.file).collect();
        let files = files.into_iter().map(|file| sources.get(file));
        let files = files.map(|file| file.map_or("", |file| file.name()));
        found.all.extend(files);
        let paths = policies.origins.iter().map(|origin| &*origin.path);
        found.all.extend(paths);
        let mut all: Vec<&str> = found.all.into_iter().collect();
        all.sort_unstable();
        let numbers = all.iter().copied().zip(0..).collect();
        Self { all, numbers }
    }

    /// The number of a text; [`open::NOT_ASKED`] where it is not among them.
    fn number(&self, text: &str) -> u32 {
        let found = self.numbers.get(text);
        found.copied().unwrap_or(open::NOT_ASKED)
    }
}

/// What policies name, with its numbers.
struct Made<'m, 'p> {
    texts: &'m Texts<'p>,
    named: &'m Named<'p>,
    policies: &'p PolicySet,
    sources: &'p Sources,
    /// Whether nothing is told of what policies match.
    is_closed: bool,
    selectors: Slots,
    pods: Slots,
    peers: Slots,
    ports: Slots,
}

impl<'m, 'p> Made<'m, 'p> {
    fn of(
        policies: &'p PolicySet,
        sources: &'p Sources,
        texts: &'m Texts<'p>,
        named: &'m Named<'p>,
        is_closed: bool,
    ) -> Self {
        let Named {
            selectors,
            pods,
            peers,
            ports,
            ..
        } = named;
        let selectors = || Slots::of(selectors.kept.par_iter());
        let pods = || Slots::of(pods.kept.par_iter());
        let peers = || Slots::of(peers.kept.par_iter());
        let ports = || Slots::of(ports.kept.par_iter());
        let slots = |of: &dyn Fn() -> Slots| if is_closed { Slots::default() } else { of() };
        Self {
            texts,
            named,
            policies,
            sources,
            is_closed,
            selectors: slots(&selectors),
            pods: slots(&pods),
            peers: slots(&peers),
            ports: slots(&ports),
        }
    }

    /// Writes the lists. Where a number is nothing's there is an empty one, which nothing names.
    fn lists(&self, world: &mut World) {
        let named = self.named;
        let selector = |own: &&hir::Selector| self.selector(own);
        world.selectors = self
            .selectors
            .made(&named.selectors.kept, selector, Vec::new);
        let nothing = || PodSelector {
            namespaces: open::NamespaceSelector::Labels(0),
            pods: 0,
        };
        let pods = |own: &&Pods<'_>| self.pods(**own);
        world.pod_selectors = self.pods.made(&named.pods.keys(), pods, nothing);
        let peers = |ends: &&Vec<End<'_>>| self.peers(ends);
        world.peers = self.peers.made(&named.peers.keys(), peers, Vec::new);
        let ports = |own: &&[PortMatch]| self.ports(own);
        world.ports = self.ports.made(&named.ports.kept, ports, Vec::new);
    }

    /// A policy whose subject has this place; of a closed world, without what it matches.
    fn policy(&self, policy: &hir::Policy, subject: Option<u32>) -> open::Policy {
        let (file, line) = self.sources.line(policy.span);
        let rules = |direction| {
            let rules = policy.rules.get(direction).iter();
            rules.map(|rule| self.rule(rule)).collect()
        };
        open::Policy {
            rules: [rules(Direction::Ingress), rules(Direction::Egress)],
            name: shown(&policy.object),
            file: self.texts.number(file),
            line,
            tier: match policy.tier {
                hir::Tier::Admin => open::Tier::Admin,
                hir::Tier::Namespace => open::Tier::Namespace,
                hir::Tier::Baseline => open::Tier::Baseline,
            },
            priority: policy.priority,
            subject: self.told(subject, &self.pods),
            isolates: [policy.isolates.ingress, policy.isolates.egress],
        }
    }

    /// The number of what has a place; none of a closed world.
    fn told(&self, place: Option<u32>, slots: &Slots) -> Option<u32> {
        let place = place.filter(|_| !self.is_closed);
        place.map(|place| slots.number(place))
    }

    fn rule(&self, rule: &hir::Rule) -> open::Rule {
        let origin: Option<&RuleOrigin> = self.policies.origin(rule.id);
        let line = origin.map(|origin| self.sources.line(origin.span).1);
        let lists = self.named.rules.get(rule.id.index());
        let lists = lists.copied().unwrap_or_default();
        open::Rule {
            id: rule.id.0,
            action: match rule.action {
                hir::Action::Allow => RuleAction::Allow,
                hir::Action::Deny => RuleAction::Deny,
                hir::Action::Pass => RuleAction::Pass,
            },
            peers: self.told(lists.peers, &self.peers),
            ports: self.told(lists.ports, &self.ports),
            path: origin.map_or(0, |origin| self.texts.number(&origin.path)),
            line: line.unwrap_or_default(),
        }
    }

    fn pods(&self, selector: Pods<'_>) -> PodSelector {
        PodSelector {
            namespaces: match selector.namespaces {
                Namespaces::Named(name) => open::NamespaceSelector::Named(self.texts.number(name)),
                Namespaces::Labels(labels) => {
                    open::NamespaceSelector::Labels(self.selectors.number(labels))
                }
            },
            pods: self.selectors.number(selector.pods),
        }
    }

    fn selector(&self, selector: &hir::Selector) -> Vec<open::Requirement> {
        let texts = self.texts;
        let numbers =
            |values: &[Box<str>]| values.iter().map(|value| texts.number(value)).collect();
        let requirement = |requirement: &hir::Requirement| open::Requirement {
            key: texts.number(&requirement.key),
            operator: match &requirement.operator {
                hir::Operator::In(values) => open::Operator::In(numbers(values)),
                hir::Operator::NotIn(values) => open::Operator::NotIn(numbers(values)),
                hir::Operator::Exists => open::Operator::Exists,
                hir::Operator::DoesNotExist => open::Operator::DoesNotExist,
            },
        };
        selector.requirements.iter().map(requirement).collect()
    }

    fn peers(&self, ends: &[End<'_>]) -> Vec<Peer> {
        let peer = |end: &End<'_>| {
            Some(match end {
                End::Pods(pods) => Peer::Pods(self.pods.number(*pods)),
                End::Nodes(nodes) => Peer::Nodes(self.selectors.number(*nodes)),
                End::Other(hir::Peer::Addresses(block)) => Peer::Block(
                    net(block.cidr),
                    block.except.iter().copied().map(net).collect(),
                ),
                End::Other(hir::Peer::Domain(DomainPattern::Name(name))) => {
                    Peer::Name(self.texts.number(name))
                }
                End::Other(hir::Peer::Domain(DomainPattern::Subdomains(name))) => {
                    Peer::Subdomains(self.texts.number(name))
                }
                // Of policies that are resolved by precedence, of which there are no programs and no images; those with a
                // selector have places.
                End::Other(
                    hir::Peer::Identities(_)
                    | hir::Peer::Domain(DomainPattern::Glob(_))
                    | hir::Peer::Pods(_)
                    | hir::Peer::Nodes(_),
                ) => return None,
            })
        };
        ends.iter().filter_map(peer).collect()
    }

    fn ports(&self, ports: &[PortMatch]) -> Vec<open::PortMatch> {
        let port = |port: &PortMatch| match port {
            PortMatch::Range { protocol, ports } => {
                open::PortMatch::Range(protocol.0, ports.first, ports.last)
            }
            PortMatch::Named { protocol, name } => {
                let protocol = protocol.map(|protocol| protocol.0);
                open::PortMatch::Named(protocol, self.texts.number(name))
            }
        };
        ports.iter().map(port).collect()
    }
}

/// How a policy shows itself.
fn shown(object: &ObjectRef) -> Box<str> {
    let mut text = String::with_capacity(SHOWN);
    // A string takes everything.
    let _ = write!(text, "{object}");
    text.into()
}

/// Few names are longer.
const SHOWN: usize = 128;

fn net(net: IpNet) -> Net {
    Net {
        first: net.network(),
        bits: net.prefix_len(),
    }
}

/// Namespaces, nodes and identities; returns the identity of each identity of the program.
fn who(cluster: &Cluster, texts: &Texts<'_>, program: &ir::Program, world: &mut World) -> Vec<u32> {
    let mut label_sets: Interned<LabelSet, LabelSet> = Interned::default();
    let mut port_sets: Interned<Vec<NamedPort>, Vec<NamedPort>> = Interned::default();
    let is_asked = |number: &u32| *number != open::NOT_ASKED;
    // Many have the same.
    let mut known: FxHashMap<LabelsId, u32> = FxHashMap::default();
    let mut labels = |id: LabelsId| {
        *known.entry(id).or_insert_with(|| {
            let all = cluster.labels(id).iter();
            let all = all.map(|(key, value)| (texts.number(key), texts.number(value)));
            let set: LabelSet = all.filter(|(key, _)| is_asked(key)).collect();
            label_sets.add(set, Clone::clone)
        })
    };
    let mut known: FxHashMap<PortsId, u32> = FxHashMap::default();
    let mut ports = |id: PortsId| {
        *known.entry(id).or_insert_with(|| {
            let all = cluster.ports(id).iter().map(|port| NamedPort {
                name: texts.number(&port.name),
                protocol: port.protocol.0,
                number: port.number,
            });
            let mut set: Vec<NamedPort> = all.filter(|port| is_asked(&port.name)).collect();
            set.sort_unstable();
            port_sets.add(set, Clone::clone)
        })
    };
    world.namespaces = cluster
        .namespaces()
        .iter()
        .map(|namespace| open::Namespace {
            name: namespace.name.clone(),
            labels: labels(namespace.labels),
        })
        .collect();
    world.nodes = cluster
        .nodes()
        .iter()
        .map(|node| labels(node.labels))
        .collect();
    let mut identities: Interned<open::Identity, open::Identity> = Interned::default();
    let of_program = program.identities().iter().map(|own| {
        let identity = open::Identity {
            namespace: own.namespace.0,
            labels: labels(own.labels),
            ports: ports(own.ports),
            host: own
                .host
                .map(|node| node.map_or(Host::Unknown, |node| Host::Node(node.0))),
        };
        identities.add(identity, |own| *own)
    });
    let of_program = of_program.collect();
    world.identities = identities.kept;
    world.label_sets = label_sets.kept;
    world.port_sets = port_sets.kept;
    of_program
}
