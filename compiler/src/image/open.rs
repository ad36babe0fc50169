//! What an image says of the open world, made of the policies and the cluster.
//!
//! It is the same for all nodes. Of the cluster it has what policies can ask about: labels and named ports without the
//! keys and names that occur nowhere in the policies.

use super::slots::Slots;
use crate::cluster::{Cluster, LabelsId, PortsId};
use crate::hir::flow::{Address, Endpoint, EndpointKind, NodeView, PodView};
use crate::hir::{
    self, Direction, DomainPattern, NamespaceSelector, PolicySet, PortMatch, Resolution, RuleOrigin,
};
use crate::ir;
use crate::lir::leaves::{Leaves, Remote};
use crate::lir::number;
use crate::source::Sources;
use ipnet::IpNet;
use rustc_hash::{FxHashMap, FxHashSet};
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
        let texts = Texts::of(policies, sources);
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
        let made = Made::of(policies, sources, &texts, world.closed);
        world.policies = policies
            .policies
            .iter()
            .map(|own| made.policy(own))
            .collect();
        made.lists(&mut world);
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
    open::End {
        who: match &end.kind {
            EndpointKind::Pod(pod) => open::Who::Pod(seen_pod(world, pod)),
            EndpointKind::Node(node) => open::Who::Node(seen_node(world, node)),
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
    let ports = pod.ports.map(|ports| {
        let ports = ports.iter();
        world.named_ports(ports.map(|port| (&*port.name, port.protocol.0, port.number)))
    });
    let labels = pod.namespace_labels.iter();
    open::Pod {
        id: pod.id.map(|id| id.0),
        ports,
        node: pod.node.map(|node| node.0),
        host: pod.host.as_ref().map(|node| seen_node(world, node)),
        ..world.new_pod(pod.namespace, labels, pod.labels.iter())
    }
}

fn seen_node(world: &World, node: &NodeView<'_>) -> open::Node {
    open::Node {
        id: node.id.map(|id| id.0),
        labels: world.labels(node.labels.iter()),
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
    fn add(&mut self, key: K, make: impl FnOnce() -> T) -> u32 {
        let kept = &mut self.kept;
        *self.known.entry(key).or_insert_with(|| {
            kept.push(make());
            number(kept.len() - 1)
        })
    }
}

/// The texts that policies name.
#[derive(Debug)]
struct Texts<'p> {
    /// Sorted, each once.
    all: Vec<&'p str>,
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

    fn pods(&mut self, pods: &'p hir::PodSelector) {
        self.selector(&pods.pods);
        match &pods.namespaces {
            NamespaceSelector::Named(name) => {
                self.all.insert(name);
            }
            NamespaceSelector::Labels(labels) => self.selector(labels),
        }
    }

    fn rule(&mut self, rule: &'p hir::Rule) {
        for peer in rule.peers.iter().flatten() {
            match peer {
                hir::Peer::Pods(pods) => self.pods(pods),
                hir::Peer::Nodes(nodes) => self.selector(nodes),
                hir::Peer::Domain(DomainPattern::Name(name) | DomainPattern::Subdomains(name)) => {
                    self.all.insert(name);
                }
                hir::Peer::Domain(DomainPattern::Glob(_))
                | hir::Peer::Addresses(_)
                | hir::Peer::Identities(_) => {}
            }
        }
        let ports = rule.ports.iter().flatten();
        self.all.extend(ports.filter_map(|port| match port {
            PortMatch::Named { name, .. } => Some(&**name),
            PortMatch::Range { .. } => None,
        }));
    }
}

impl<'p> Texts<'p> {
    fn of(policies: &'p PolicySet, sources: &'p Sources) -> Self {
        let mut found = Found::default();
        for policy in &policies.policies {
            let file = sources.get(policy.span.file);
            found.all.insert(file.map_or("", |file| file.name()));
            policy
                .subject
                .pods()
                .into_iter()
                .for_each(|pods| found.pods(pods));
            let rules = policy.rules.ingress.iter().chain(&policy.rules.egress);
            rules.for_each(|rule| found.rule(rule));
        }
        let paths = policies.origins.iter().map(|origin| &*origin.path);
        found.all.extend(paths);
        let mut all: Vec<&str> = found.all.into_iter().collect();
        all.sort_unstable();
        Self { all }
    }

    /// The number of a text; [`open::NOT_ASKED`] where it is not among them.
    fn number(&self, text: &str) -> u32 {
        let found = self.all.binary_search(&text);
        found.map_or(open::NOT_ASKED, number)
    }
}

/// What policies name, with its numbers.
struct Made<'p> {
    texts: &'p Texts<'p>,
    policies: &'p PolicySet,
    sources: &'p Sources,
    /// Whether nothing is told of what policies match.
    is_closed: bool,
    selectors: Slots<&'p hir::Selector>,
    pod_selectors: Slots<&'p hir::PodSelector>,
    peers: Slots<&'p [hir::Peer]>,
    ports: Slots<&'p [PortMatch]>,
}

impl<'p> Made<'p> {
    fn of(
        policies: &'p PolicySet,
        sources: &'p Sources,
        texts: &'p Texts<'p>,
        is_closed: bool,
    ) -> Self {
        let told = || policies.policies.iter().filter(|_| !is_closed);
        let rules =
            || told().flat_map(|policy| policy.rules.ingress.iter().chain(&policy.rules.egress));
        let peers = || rules().filter_map(|rule| rule.peers.as_deref());
        let of_peers = peers().flatten().filter_map(|peer| match peer {
            hir::Peer::Pods(pods) => Some(pods),
            hir::Peer::Nodes(_)
            | hir::Peer::Addresses(_)
            | hir::Peer::Domain(_)
            | hir::Peer::Identities(_) => None,
        });
        let subjects = told().filter_map(|policy| policy.subject.pods());
        let pods: Vec<&hir::PodSelector> = subjects.chain(of_peers).collect();
        let namespaces = pods.iter().filter_map(|pods| match &pods.namespaces {
            NamespaceSelector::Labels(labels) => Some(labels),
            NamespaceSelector::Named(_) => None,
        });
        let nodes = peers().flatten().filter_map(|peer| match peer {
            hir::Peer::Nodes(nodes) => Some(nodes),
            hir::Peer::Pods(_)
            | hir::Peer::Addresses(_)
            | hir::Peer::Domain(_)
            | hir::Peer::Identities(_) => None,
        });
        let of_pods = pods.iter().map(|pods| &pods.pods);
        Self {
            texts,
            policies,
            sources,
            is_closed,
            selectors: Slots::of(of_pods.chain(namespaces).chain(nodes)),
            pod_selectors: Slots::of(pods.iter().copied()),
            peers: Slots::of(peers()),
            ports: Slots::of(rules().filter_map(|rule| rule.ports.as_deref())),
        }
    }

    /// Writes the lists. Where a number is nothing's there is an empty one, which nothing names.
    fn lists(&self, world: &mut World) {
        world.selectors = self.selectors.made(|own| self.selector(own), Vec::new);
        let nothing = || PodSelector {
            namespaces: open::NamespaceSelector::Labels(0),
            pods: 0,
        };
        world.pod_selectors = self.pod_selectors.made(|own| self.pods(own), nothing);
        world.peers = self.peers.made(|own| self.peers(own), Vec::new);
        world.ports = self.ports.made(|own| self.ports(own), Vec::new);
    }

    /// A policy; of a closed world, without what it matches.
    fn policy(&self, policy: &'p hir::Policy) -> open::Policy {
        let (file, line) = self.sources.line(policy.span);
        let rules = |direction| {
            let rules = policy.rules.get(direction).iter();
            rules.map(|rule| self.rule(rule)).collect()
        };
        open::Policy {
            rules: [rules(Direction::Ingress), rules(Direction::Egress)],
            name: policy.object.to_string().into(),
            file: self.texts.number(file),
            line,
            tier: match policy.tier {
                hir::Tier::Admin => open::Tier::Admin,
                hir::Tier::Namespace => open::Tier::Namespace,
                hir::Tier::Baseline => open::Tier::Baseline,
            },
            priority: policy.priority,
            subject: match policy.subject.pods() {
                Some(pods) if !self.is_closed => Some(self.pod_selectors.number(pods)),
                Some(_) | None => None,
            },
            isolates: [policy.isolates.ingress, policy.isolates.egress],
        }
    }

    fn rule(&self, rule: &'p hir::Rule) -> open::Rule {
        let origin: Option<&RuleOrigin> = self.policies.origin(rule.id);
        let line = origin.map(|origin| self.sources.line(origin.span).1);
        open::Rule {
            id: rule.id.0,
            action: match rule.action {
                hir::Action::Allow => RuleAction::Allow,
                hir::Action::Deny => RuleAction::Deny,
                hir::Action::Pass => RuleAction::Pass,
            },
            peers: match &rule.peers {
                Some(peers) if !self.is_closed => Some(self.peers.number(peers)),
                Some(_) | None => None,
            },
            ports: match &rule.ports {
                Some(ports) if !self.is_closed => Some(self.ports.number(ports)),
                Some(_) | None => None,
            },
            path: origin.map_or(0, |origin| self.texts.number(&origin.path)),
            line: line.unwrap_or_default(),
        }
    }

    fn pods(&self, selector: &'p hir::PodSelector) -> PodSelector {
        PodSelector {
            namespaces: match &selector.namespaces {
                NamespaceSelector::Named(name) => {
                    open::NamespaceSelector::Named(self.texts.number(name))
                }
                NamespaceSelector::Labels(labels) => {
                    open::NamespaceSelector::Labels(self.selectors.number(labels))
                }
            },
            pods: self.selectors.number(&selector.pods),
        }
    }

    fn selector(&self, selector: &'p hir::Selector) -> Vec<open::Requirement> {
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

    fn peers(&self, peers: &'p [hir::Peer]) -> Vec<Peer> {
        let peer = |peer: &'p hir::Peer| {
            Some(match peer {
                hir::Peer::Pods(pods) => Peer::Pods(self.pod_selectors.number(pods)),
                hir::Peer::Nodes(nodes) => Peer::Nodes(self.selectors.number(nodes)),
                hir::Peer::Addresses(block) => Peer::Block(
                    net(block.cidr),
                    block.except.iter().copied().map(net).collect(),
                ),
                hir::Peer::Domain(DomainPattern::Name(name)) => Peer::Name(self.texts.number(name)),
                hir::Peer::Domain(DomainPattern::Subdomains(name)) => {
                    Peer::Subdomains(self.texts.number(name))
                }
                // Of policies that are resolved by precedence, of which there are no programs and no images.
                hir::Peer::Identities(_) | hir::Peer::Domain(DomainPattern::Glob(_)) => {
                    return None;
                }
            })
        };
        peers.iter().filter_map(peer).collect()
    }

    fn ports(&self, ports: &'p [PortMatch]) -> Vec<open::PortMatch> {
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
    let mut labels = |id: LabelsId| {
        let all = cluster.labels(id).iter();
        let all = all.map(|(key, value)| (texts.number(key), texts.number(value)));
        let set: LabelSet = all.filter(|(key, _)| is_asked(key)).collect();
        label_sets.add(set.clone(), || set)
    };
    let mut ports = |id: PortsId| {
        let all = cluster.ports(id).iter().map(|port| NamedPort {
            name: texts.number(&port.name),
            protocol: port.protocol.0,
            number: port.number,
        });
        let mut set: Vec<NamedPort> = all.filter(|port| is_asked(&port.name)).collect();
        set.sort_unstable();
        port_sets.add(set.clone(), || set)
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
        identities.add(identity, || identity)
    });
    let of_program = of_program.collect();
    world.identities = identities.kept;
    world.label_sets = label_sets.kept;
    world.port_sets = port_sets.kept;
    of_program
}
