//! From a cluster and a policy set to a program.
//!
//! Cost: one step per pod, and one per rule. What selectors select is found once it is asked for; and so is who governs whom, by one
//! evaluation per distinct selector of a subject, and one step for each identity that a policy selects.

use super::kinds::Kinds;
use super::members::Members;
use super::partition::Partition;
use super::precedence::matching;
use super::set::IdSet;
use super::tiers::LastOf;
use super::{
    AddressClasses, BlockFamilies, Chain, Identity, IdentityId, KindId, Peers, PeersId, Policy,
    Ports, PortsId, Program, ProtocolPorts, Rule, RuleRange, Selector, SelectorId, Step, Table,
    TableId, Tables, id,
};
use crate::cluster::{Cluster, HostNetwork, NamedPort, Pod, PodId, Protocol};
use crate::hash::Latest;
use crate::hir::spec::precedence::is_named_port;
use crate::hir::spec::precedence::matches::may_be_behind;
use crate::hir::{
    self, Direction, DomainPattern, IdentitySelector, IpBlock, Peer, PerDirection, PodSelector,
    PolicySet, PortMatch, PortRange, Resolution, Subject, Tier,
};
use crate::ranges::Ranges;
use ipnet::IpNet;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::OnceLock;

impl Program {
    /// Resolves a policy set against the cluster.
    #[must_use]
    pub fn resolve(cluster: &Cluster, set: &PolicySet) -> Self {
        let addresses = address_classes(cluster, set);
        let mut kinds = match &set.resolution {
            Resolution::Isolation => None,
            Resolution::Precedence(enforcement) => {
                Some(Kinds::new(cluster, enforcement, &addresses))
            }
        };
        let (identities, of_pod) = identities(cluster, &mut kinds);
        let mut resolver = Resolver::new(cluster, addresses, kinds, &identities);
        // Most are of one rule alone: room for them is made once.
        resolver.peers_ids.reserve(set.origins.len());
        resolver.pod_selector_ids.reserve(set.origins.len());
        let mut policies = Vec::with_capacity(set.policies.len());
        let mut rules = Vec::with_capacity(set.origins.len());
        for policy in &set.policies {
            policies.extend(resolver.policy(policy, &mut rules));
        }
        let Resolver {
            selectors,
            peers,
            ports,
            addresses,
            kinds,
            members,
            ..
        } = resolver;
        let mut program = Self {
            identities,
            of_pod,
            policies,
            rules,
            selectors,
            members,
            peers,
            ports,
            tables: OnceLock::new(),
            addresses,
            port_classes: port_classes(cluster, set),
            cidr_matches_pods: set.semantics.cidr_matches_pods,
            kinds,
        };
        if program.kinds.is_some() {
            program.make_tables_of_kinds();
        }
        program
    }

    /// One table for each list of governing policies that occurs, where rules are resolved by isolation.
    pub(super) fn make_tables(&self) -> Tables {
        let mut governing: Vec<Vec<u32>> = vec![Vec::new(); self.identities.len()];
        for (index, policy) in self.policies.iter().enumerate() {
            let subject = self.selectors.get(policy.subject.index());
            for identity in subject.map_or(Vec::new(), |own| self.selected(own).to_vec()) {
                if let Some(list) = governing.get_mut(identity as usize) {
                    list.push(id(index));
                }
            }
        }
        let mut known: FxHashMap<Vec<u32>, TableId> = FxHashMap::default();
        let mut list = Vec::new();
        let of_identity = governing.into_iter().map(|governing| {
            *known.entry(governing).or_insert_with_key(|governing| {
                list.push(self.make_table(governing));
                TableId(id(list.len() - 1))
            })
        });
        Tables {
            of_identity: of_identity.collect(),
            list,
        }
    }

    /// The table of some policies, given as indices in ascending order.
    pub(crate) fn make_table(&self, governing: &[u32]) -> Table {
        Table {
            governing: governing.into(),
            chains: PerDirection {
                ingress: self.chain(governing, Direction::Ingress),
                egress: self.chain(governing, Direction::Egress),
            },
        }
    }

    fn chain(&self, governing: &[u32], direction: Direction) -> Chain {
        let policies: Vec<&Policy> = governing
            .iter()
            .filter_map(|index| self.policies.get(*index as usize))
            .collect();
        let of_namespaces = || {
            policies
                .iter()
                .filter(|policy| policy.tier == Tier::Namespace)
        };
        Chain {
            first: steps(&policies, Tier::Admin, direction),
            is_isolated: of_namespaces().any(|policy| *policy.isolates.get(direction)),
            allows_own_node: true,
            isolated_by: of_namespaces()
                .filter(|policy| *policy.isolates.get(direction))
                .map(|policy| policy.id)
                .collect(),
            namespace: of_namespaces()
                .map(|policy| *policy.rules.get(direction))
                .filter(|rules| !rules.is_empty())
                .collect(),
            baseline: steps(&policies, Tier::Baseline, direction),
            sees_addresses: policies
                .iter()
                .flat_map(|policy| self.rules_in(*policy.rules.get(direction)))
                .any(|rule| self.looks_at_addresses(rule)),
            asks_for_auth: false,
            has_pass: false,
        }
    }

    fn looks_at_addresses(&self, rule: &Rule) -> bool {
        let peers = rule.peers.and_then(|peers| self.peers.get(peers.index()));
        peers.is_some_and(|peers| peers.domains || peers.block_families != BlockFamilies::default())
    }
}

/// The policies of a tier by priority; those without a rule in the direction say nothing.
fn steps(policies: &[&Policy], tier: Tier, direction: Direction) -> Box<[Step]> {
    let mut levels: BTreeMap<u32, Vec<Step>> = BTreeMap::new();
    for policy in policies.iter().filter(|policy| policy.tier == tier) {
        let rules = *policy.rules.get(direction);
        if !rules.is_empty() {
            levels.entry(policy.priority).or_default().push(Step {
                rules,
                last_of: LastOf::Nothing,
            });
        }
    }
    let mut steps = Vec::new();
    for mut level in levels.into_values() {
        if let Some(last) = level.last_mut() {
            last.last_of = LastOf::Level;
        }
        steps.append(&mut level);
    }
    if let Some(last) = steps.last_mut() {
        last.last_of = LastOf::Tier;
    }
    steps.into()
}

/// The identities that occur, and that of each pod.
fn identities(
    cluster: &Cluster,
    kinds: &mut Option<Kinds>,
) -> (Vec<Identity>, Vec<Option<IdentityId>>) {
    let of_pod: Vec<Option<Identity>> = cluster
        .pods()
        .iter()
        .zip((0..).map(PodId))
        .map(|(pod, id)| identity(cluster, kinds, id, pod))
        .collect();
    let mut distinct: FxHashSet<Identity> = FxHashSet::default();
    let mut latest = Latest::default();
    for identity in of_pod.iter().flatten() {
        latest.get(*identity, |identity| {
            distinct.insert(identity);
        });
    }
    let mut identities: Vec<Identity> = distinct.into_iter().collect();
    identities.sort_unstable();
    let ids: FxHashMap<Identity, IdentityId> = identities
        .iter()
        .enumerate()
        .map(|(index, identity)| (*identity, IdentityId(id(index))))
        .collect();
    let mut latest = Latest::default();
    let of_pod = of_pod
        .iter()
        .map(|identity| latest.get((*identity)?, |identity| ids.get(&identity).copied()))
        .collect();
    (identities, of_pod)
}

/// The identity of a pod; `None` where it is taken for its node: by precedence that is everywhere so.
fn identity(
    cluster: &Cluster,
    kinds: &mut Option<Kinds>,
    id: PodId,
    pod: &Pod,
) -> Option<Identity> {
    let are_nodes = cluster.host_network() == HostNetwork::Node || kinds.is_some();
    if pod.host_network && are_nodes {
        return None;
    }
    let kind = kinds.as_mut().map(|kinds| kinds.add_pod(cluster, id, pod));
    Some(Identity {
        namespace: pod.namespace,
        labels: pod.labels,
        ports: pod.ports,
        host: pod.host_network.then_some(pod.node),
        kind: kind.unwrap_or(KindId(0)),
    })
}

/// What is shared while policies are resolved: indices, and what is interned so far.
struct Resolver<'c> {
    cluster: &'c Cluster,
    members: Members,
    addresses: AddressClasses,
    kinds: Option<Kinds>,
    selectors: Vec<Selector>,
    /// By selector, and by whether pods on the network of a node are pods to it.
    selector_ids: FxHashMap<&'c Subject, SelectorId>,
    pod_selector_ids: FxHashMap<(&'c PodSelector, bool), SelectorId>,
    identity_ids: FxHashMap<&'c IdentitySelector, SelectorId>,
    peers: Vec<Peers>,
    peers_ids: FxHashMap<(&'c [Peer], bool), PeersId>,
    ports: Vec<Ports>,
    /// By whether names stand for what they do in the whole cluster.
    ports_ids: FxHashMap<(bool, &'c [PortMatch]), PortsId>,
}

impl<'c> Resolver<'c> {
    fn new(
        cluster: &'c Cluster,
        addresses: AddressClasses,
        kinds: Option<Kinds>,
        identities: &[Identity],
    ) -> Self {
        Self {
            cluster,
            members: Members::new(cluster, identities),
            addresses,
            kinds,
            selectors: Vec::new(),
            selector_ids: FxHashMap::default(),
            pod_selector_ids: FxHashMap::default(),
            identity_ids: FxHashMap::default(),
            peers: Vec::new(),
            peers_ids: FxHashMap::default(),
            ports: Vec::new(),
            ports_ids: FxHashMap::default(),
        }
    }

    /// A policy; `None` where its subjects are no pods, which [`Resolution::Isolation`] has no use for.
    fn policy(&mut self, policy: &'c hir::Policy, rules: &mut Vec<Rule>) -> Option<Policy> {
        let subject = match (policy.subject.pods(), &self.kinds) {
            (Some(pods), _) => self.selector(pods, hosts_are_pods(policy.tier)),
            (None, Some(_)) => self.subject(&policy.subject),
            (None, None) => return None,
        };
        Some(Policy {
            id: policy.id,
            tier: policy.tier,
            priority: policy.priority,
            subject,
            isolates: policy.isolates,
            rules: PerDirection {
                ingress: self.rules(
                    policy.tier,
                    Direction::Ingress,
                    &policy.rules.ingress,
                    rules,
                ),
                egress: self.rules(policy.tier, Direction::Egress, &policy.rules.egress, rules),
            },
        })
    }

    fn rules(
        &mut self,
        tier: Tier,
        direction: Direction,
        written: &'c [hir::Rule],
        rules: &mut Vec<Rule>,
    ) -> RuleRange {
        let first = id(rules.len());
        let hosts = hosts_are_pods(tier);
        for rule in written {
            rules.push(Rule {
                id: rule.id,
                action: rule.action,
                peers: rule.peers.as_deref().map(|peers| self.peers(peers, hosts)),
                ports: rule
                    .ports
                    .as_deref()
                    .map(|ports| self.ports(direction, ports)),
                precedence: rule.precedence,
            });
        }
        RuleRange {
            first,
            end: id(rules.len()),
        }
    }

    fn selector(&mut self, selector: &'c PodSelector, hosts_are_pods: bool) -> SelectorId {
        let selectors = &mut self.selectors;
        let key = (selector, hosts_are_pods);
        *self.pod_selector_ids.entry(key).or_insert_with(|| {
            selectors.push(Selector {
                written: Subject::Pods(selector.clone()),
                hosts_are_pods,
                selected: OnceLock::new(),
            });
            SelectorId(id(selectors.len() - 1))
        })
    }

    /// A subject by the labels of identities: its identities are found by kind, where tables are made.
    fn subject(&mut self, subject: &'c Subject) -> SelectorId {
        let selectors = &mut self.selectors;
        *self.selector_ids.entry(subject).or_insert_with(|| {
            selectors.push(Selector {
                written: subject.clone(),
                hosts_are_pods: false,
                selected: OnceLock::new(),
            });
            SelectorId(id(selectors.len() - 1))
        })
    }

    /// A selector of a peer by the labels of identities, for pods that have no kind.
    fn identities(&mut self, selector: &'c IdentitySelector) -> SelectorId {
        let selectors = &mut self.selectors;
        *self.identity_ids.entry(selector).or_insert_with(|| {
            selectors.push(Selector {
                written: Subject::Endpoints(selector.clone()),
                hosts_are_pods: false,
                selected: OnceLock::new(),
            });
            SelectorId(id(selectors.len() - 1))
        })
    }

    fn ports(&mut self, direction: Direction, written: &'c [PortMatch]) -> PortsId {
        let (ports, kinds) = (&mut self.ports, &self.kinds);
        let enforcement = kinds.as_ref().map(|kinds| &kinds.enforcement);
        let shared = enforcement.and_then(|enforcement| enforcement.shared_ports.as_deref());
        let shared = shared.filter(|_| direction == Direction::Egress);
        let key = (shared.is_some(), written);
        *self.ports_ids.entry(key).or_insert_with(|| {
            let numbers = shared.map(|shared| by_number(shared, written));
            let meant = numbers.as_deref().unwrap_or(written);
            let mut merged = merge_ports(meant);
            if kinds.is_some() {
                merged.written = meant.into();
            }
            ports.push(merged);
            PortsId(id(ports.len() - 1))
        })
    }

    fn peers(&mut self, written: &'c [Peer], hosts_are_pods: bool) -> PeersId {
        let new = PeersId(id(self.peers.len()));
        match self.peers_ids.entry((written, hosts_are_pods)) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(entry) => entry.insert(new),
        };
        // No list is in another.
        let peers = self.resolve_peers(written, hosts_are_pods);
        self.peers.push(peers);
        new
    }

    fn resolve_peers(&mut self, written: &'c [Peer], hosts_are_pods: bool) -> Peers {
        let mut peers = Peers {
            hosts_are_pods,
            ..Peers::default()
        };
        if let Some(kinds) = &self.kinds {
            let enforcement = &kinds.enforcement;
            peers.kinds = IdSet::new(matching(kinds, written));
            peers.written = written.into();
            peers.may_be_behind = written.iter().any(|peer| may_be_behind(enforcement, peer));
            let selectors = written.iter().flat_map(|peer| match peer {
                Peer::Identities(selectors) => selectors.as_slice(),
                Peer::Addresses(_) | Peer::Domain(_) | Peer::Pods(_) | Peer::Nodes(_) => &[],
            });
            peers.selectors = selectors.map(|one| self.identities(one)).collect();
            return peers;
        }
        let mut nodes = Vec::new();
        let (mut blocks, mut answers) = (Vec::new(), Vec::new());
        for peer in written {
            match peer {
                Peer::Pods(selector) => {
                    let selector = self.selector(selector, hosts_are_pods);
                    peers.selectors.push(selector);
                }
                Peer::Nodes(selector) => {
                    nodes.append(&mut self.select_nodes(selector));
                    peers.node_selectors.push(selector.clone());
                }
                Peer::Addresses(block) => {
                    peers.block_families.add(block);
                    blocks.append(&mut self.addresses.block(block));
                }
                Peer::Domain(pattern) => {
                    peers.domains = true;
                    let seen = self.answers(pattern);
                    peers.unseen |= match pattern {
                        DomainPattern::Name(_) => seen.is_none(),
                        DomainPattern::Subdomains(_) | DomainPattern::Glob(_) => true,
                    };
                    answers.append(&mut seen.unwrap_or_default());
                }
                // Nobody, as to the definition.
                Peer::Identities(_) => {}
            }
        }
        peers.nodes = IdSet::new(nodes);
        peers.blocks = Ranges::new(blocks);
        peers.answers = Ranges::new(answers);
        peers
    }

    fn select_nodes(&self, selector: &hir::Selector) -> Vec<u32> {
        let nodes = self.cluster.nodes().iter().enumerate();
        nodes
            .filter(|(_, node)| selector.matches(self.cluster.labels(node.labels)))
            .map(|(index, _)| id(index))
            .collect()
    }

    /// The classes of the answers seen for a pattern; `None` where no name that it covers was asked for.
    fn answers(&self, pattern: &DomainPattern) -> Option<Vec<(u32, u32)>> {
        let mut classes = None;
        for (name, answers) in self.cluster.names() {
            if pattern.matches(name) {
                let classes: &mut Vec<_> = classes.get_or_insert_default();
                classes.extend(answers.iter().map(|address| {
                    let class = self.addresses.class(*address).0;
                    (class, class)
                }));
            }
        }
        classes
    }
}

/// Whether the policies of a tier see pods on the network of a node as pods.
fn hosts_are_pods(tier: Tier) -> bool {
    match tier {
        Tier::Namespace => true,
        Tier::Admin | Tier::Baseline => false,
    }
}

/// Cuts at the bounds of every block and exception, and around every answer that was seen.
fn address_classes(cluster: &Cluster, set: &PolicySet) -> AddressClasses {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    let mut cut = |first: IpAddr, last: IpAddr| match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            v4.push(first.to_bits());
            v4.extend(last.to_bits().checked_add(1));
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            v6.push(first.to_bits());
            v6.extend(last.to_bits().checked_add(1));
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
    };
    let mut patterns = false;
    for peer in all_rules(set).flat_map(|rule| rule.peers.iter().flatten()) {
        match peer {
            Peer::Addresses(block) => {
                for net in std::iter::once(&block.cidr).chain(&block.except) {
                    cut(net.network(), net.broadcast());
                }
            }
            Peer::Domain(_) => patterns = true,
            Peer::Pods(_) | Peer::Nodes(_) | Peer::Identities(_) => {}
        }
    }
    if let Resolution::Precedence(enforcement) = &set.resolution {
        for block in enforcement.identities.known_blocks() {
            cut(block.network(), block.broadcast());
        }
    }
    if patterns {
        for address in cluster.names().values().flatten() {
            cut(*address, *address);
        }
    }
    AddressClasses {
        v4: Partition::new(v4),
        v6: Partition::new(v6),
    }
}

fn all_rules(set: &PolicySet) -> impl Iterator<Item = &hir::Rule> {
    set.policies
        .iter()
        .flat_map(|policy| policy.rules.ingress.iter().chain(&policy.rules.egress))
}

/// Cuts at the bounds of every range, and around every port of a pod that has a name.
fn port_classes(cluster: &Cluster, set: &PolicySet) -> Partition<u16> {
    let mut cuts = Vec::new();
    let mut names = FxHashSet::default();
    for port in all_rules(set).flat_map(|rule| rule.ports.iter().flatten()) {
        match port {
            PortMatch::Range { ports, .. } => {
                cuts.push(ports.first);
                cuts.extend(ports.last.checked_add(1));
            }
            PortMatch::Named { name, .. } => {
                names.insert(&**name);
            }
        }
    }
    for port in cluster.port_sets.iter().flatten() {
        if names.contains(&*port.name) {
            cuts.push(port.number);
            cuts.extend(port.number.checked_add(1));
        }
    }
    Partition::new(cuts)
}

/// A list with the numbers of ports in place of their names, which are looked up in one list for all ends.
fn by_number(shared: &[NamedPort], written: &[PortMatch]) -> Vec<PortMatch> {
    let of = |port: &PortMatch| match port {
        PortMatch::Range { .. } => vec![port.clone()],
        PortMatch::Named { protocol, name } => {
            let protocols = [Protocol::TCP, Protocol::UDP, Protocol::SCTP].into_iter();
            let meant = protocols.filter(|one| protocol.is_none_or(|protocol| protocol == *one));
            let ports = meant.filter_map(|protocol| {
                let number = is_named_port(shared, protocol, name)?;
                Some(PortMatch::Range {
                    protocol,
                    ports: PortRange {
                        first: number,
                        last: number,
                    },
                })
            });
            ports.collect()
        }
    };
    written.iter().flat_map(of).collect()
}

pub(crate) fn merge_ports(written: &[PortMatch]) -> Ports {
    let mut named = Vec::new();
    let mut protocols: BTreeMap<_, (Vec<(u32, u32)>, bool)> = BTreeMap::new();
    for port in written {
        match port {
            PortMatch::Range { protocol, ports } => {
                let (ranges, whole) = protocols.entry(*protocol).or_default();
                ranges.push((ports.first.into(), ports.last.into()));
                *whole |= *ports == PortRange::ALL;
            }
            PortMatch::Named { protocol, name } => named.push((*protocol, name.clone())),
        }
    }
    Ports {
        protocols: protocols
            .into_iter()
            .map(|(protocol, (ranges, whole))| ProtocolPorts {
                protocol,
                ranges: Ranges::new(ranges),
                whole,
            })
            .collect(),
        named,
        written: Box::default(),
    }
}

impl BlockFamilies {
    fn add(&mut self, block: &IpBlock) {
        let whole = block.cidr.prefix_len() == 0 && block.except.is_empty();
        match block.cidr {
            IpNet::V4(_) => {
                self.v4 = true;
                self.whole_v4 |= whole;
            }
            IpNet::V6(_) => {
                self.v6 = true;
                self.whole_v6 |= whole;
            }
        }
    }
}

impl AddressClasses {
    /// The classes of a block: those of its range without those of its exceptions.
    fn block(&self, block: &IpBlock) -> Vec<(u32, u32)> {
        let classes = |net: &IpNet| (self.class(net.network()).0, self.class(net.broadcast()).0);
        let same_family = |net: &&IpNet| net.network().is_ipv4() == block.cidr.network().is_ipv4();
        let except = block.except.iter().filter(same_family).map(classes);
        let gaps = Ranges::new(except.collect()).gaps_in(classes(&block.cidr));
        gaps.iter().collect()
    }
}
