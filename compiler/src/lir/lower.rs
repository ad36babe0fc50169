//! From a resolved program to the program of a node.

use super::leaves::{Leaves, Remote, named, without};
use super::seen::Seen;
use super::transport::{LAST, NOT_KNOWN, is_icmp, key, whole};
use super::{
    Action, Asks, Chain, ChainId, ClassId, Endpoint, Level, Match, PortClassId, PortsId, Program,
    RemotesId, Rule, RuleChain, ToItself, number,
};
use crate::cluster::{Cluster, NamedPort, NodeId, PodId, Protocol};
use crate::hir::{self, Direction, PerDirection, Tier};
use crate::ir::precedence::FRAGMENTATION_NEEDED;
use crate::ir::tiers::LastOf;
use crate::ir::{self, PeersId, RuleRange, Step, TableId};
use crate::ranges::Ranges;
use rustc_hash::FxHashMap;

/// What is the same for all nodes of a cluster.
#[derive(Debug)]
pub struct Lowering<'a> {
    cluster: &'a Cluster,
    program: &'a ir::Program,
    leaves: Leaves,
    /// The pods that may be endpoints, by node: those whose node is not known last.
    pods: Vec<(Option<NodeId>, Vec<PodId>)>,
}

impl<'a> Lowering<'a> {
    /// Finds the leaves of a cluster and the endpoints of its nodes.
    #[must_use]
    pub fn new(cluster: &'a Cluster, program: &'a ir::Program) -> Self {
        Self::with(cluster, program, Leaves::new(cluster, program))
    }

    /// The same with leaves that are found already.
    pub(crate) fn with(cluster: &'a Cluster, program: &'a ir::Program, leaves: Leaves) -> Self {
        let nodes = (0..number(cluster.nodes().len())).map(|node| Some(NodeId(node)));
        let mut pods: Vec<(Option<NodeId>, Vec<PodId>)> =
            nodes.chain([None]).map(|node| (node, Vec::new())).collect();
        let last = pods.len() - 1;
        for (pod, index) in cluster.pods().iter().zip(0_u32..) {
            let group = pod.node.map_or(last, NodeId::index);
            if let Some((_, pods)) = pods.get_mut(group)
                && program.identity_of(PodId(index)).is_some()
            {
                pods.push(PodId(index));
            }
        }
        if pods.last().is_some_and(|(_, pods)| pods.is_empty()) {
            pods.pop();
        }
        Self {
            cluster,
            program,
            leaves,
            pods,
        }
    }

    /// The leaves of the cluster.
    #[must_use]
    pub fn leaves(&self) -> &Leaves {
        &self.leaves
    }

    /// The leaves alone.
    #[must_use]
    pub fn into_leaves(self) -> Leaves {
        self.leaves
    }

    /// The resolved program.
    #[must_use]
    pub fn resolved(&self) -> &'a ir::Program {
        self.program
    }

    /// The nodes with their endpoints; `None` stands for pods whose node is not known, and is the last if it is
    /// there.
    #[must_use]
    pub fn nodes(&self) -> &[(Option<NodeId>, Vec<PodId>)] {
        &self.pods
    }

    /// The name of an endpoint: `namespace/name`.
    pub(crate) fn name(&self, pod: PodId) -> Option<Box<str>> {
        let of = self.cluster.pod(pod)?;
        let namespace = self.cluster.namespace(of.namespace)?;
        Some(format!("{}/{}", namespace.name, of.name).into())
    }

    /// The node, where it is the last endpoint of its program: policies govern nodes, and it is known.
    #[must_use]
    pub fn host(&self, node: Option<NodeId>) -> Option<NodeId> {
        node.filter(|_| self.program.governs_nodes())
    }

    /// The program of a node with these endpoints and, where policies govern nodes, the node itself behind them.
    #[must_use]
    pub fn node(&self, node: Option<NodeId>, pods: &[PodId]) -> Program {
        let mut lower = Lower {
            from: self,
            remotes: Vec::new(),
            of_peers: FxHashMap::default(),
            keys: Vec::new(),
            named: FxHashMap::default(),
            chains: Vec::new(),
            known: FxHashMap::default(),
            seen: self.leaves.seen_from(self.cluster, self.program, node),
        };
        let own = pods.iter().filter_map(|pod| lower.endpoint(*pod));
        let mut endpoints: Vec<Endpoint> = own.collect();
        endpoints.extend(self.host(node).and_then(|node| lower.host(node)));
        lower.keys.push(self.unasked());
        let (transports, mut ports) = partition(&lower.keys);
        let unasked = ports.pop().unwrap_or_default();
        let own_node = node.map(|node| self.leaves.of_who(Remote::Node(node)));
        let own_node = own_node.and_then(|(first, end)| Some((first, end.checked_sub(1)?)));
        let own_node = Ranges::new(own_node.into_iter().collect());
        let leaves = number(self.leaves.list().len());
        let (classes, own_node, either) = match lower.seen {
            None => (leaves, own_node, Vec::new()),
            Some(seen) => (seen.classes, seen.own_node, seen.either),
        };
        Program {
            leaves: (0..leaves).map(ClassId).collect(),
            classes,
            either,
            own_node,
            unasked,
            port_classes: number(transports.len()),
            transports: transports.into_iter().zip((0..).map(PortClassId)).collect(),
            remotes: lower.remotes,
            ports,
            chains: lower.chains,
            rows: Vec::new(),
            codes: Vec::new(),
            endpoints,
        }
    }
}

impl Lowering<'_> {
    /// The keys that some ports of a protocol stand for.
    fn keys(&self, ports: &ir::ProtocolPorts) -> Vec<(u32, u32)> {
        let of = ports.protocol;
        let Some(kinds) = self.program.kinds.as_ref().filter(|_| is_icmp(of)) else {
            let ranges = ports.ranges.iter();
            return ranges
                .map(|(first, last)| (key(of, first), key(of, last)))
                .collect();
        };
        // The types of ICMP are its ports; where they are not told apart, every packet has type 0.
        if !kinds.enforcement.has_icmp_types {
            let all = ports.ranges.contains(0);
            return all
                .then(|| (key(of, 0), key(of, NOT_KNOWN - 1)))
                .into_iter()
                .collect();
        }
        let ranges = ports.ranges.iter().filter(|(first, _)| *first < 256);
        ranges
            .map(|(first, last)| (key(of, first << 8), key(of, last.min(255) << 8 | 255)))
            .collect()
    }

    /// The keys of packets that pass without being asked about.
    fn unasked(&self) -> Ranges<u32> {
        let kinds = self.program.kinds.as_ref();
        let passes = kinds.is_some_and(|kinds| kinds.enforcement.allows_fragmentation_needed);
        let (kind, code) = FRAGMENTATION_NEEDED;
        let key = key(Protocol::ICMP, u32::from(kind) << 8 | u32::from(code));
        Ranges::new(passes.then_some((key, key)).into_iter().collect())
    }
}

/// The name of a node as an endpoint: what the command line takes for it.
pub(crate) fn host_name(node: &str) -> String {
    format!("node/{node}")
}

/// Which chain it is: those of the same policies and, where rules go by name, of the same named ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ChainKey {
    table: TableId,
    direction: Direction,
    /// None where no rule goes by name; a node has no named ports.
    ports: Option<Option<crate::cluster::PortsId>>,
}

/// What a name in an egress rule stands for, by who is at the other end.
type Targets = Vec<(Match<Ranges<u32>>, Ranges<u32>)>;

struct Lower<'l, 'a> {
    from: &'l Lowering<'a>,
    remotes: Vec<Ranges<u32>>,
    of_peers: FxHashMap<Option<PeersId>, Match<RemotesId>>,
    /// Sets of transport keys.
    keys: Vec<Ranges<u32>>,
    named: FxHashMap<(Option<Protocol>, Box<str>, bool), Targets>,
    chains: Vec<Chain>,
    known: FxHashMap<ChainKey, ChainId>,
    /// What the leaves are to the endpoints of the node, where rules ask for identities.
    seen: Option<Seen>,
}

impl<'l> Lower<'l, '_> {
    fn endpoint(&mut self, pod: PodId) -> Option<Endpoint> {
        let cluster = self.from.cluster;
        let of = cluster.pods().get(pod.index())?;
        let table = self.from.program.table_of_pod(pod)?;
        Some(Endpoint {
            name: self.from.name(pod)?,
            chains: self.both(table, Some(of.ports))?,
        })
    }

    /// The node itself.
    fn host(&mut self, node: NodeId) -> Option<Endpoint> {
        let cluster = self.from.cluster;
        let table = self.from.program.table_of_host(cluster, node)?;
        Some(Endpoint {
            name: host_name(&cluster.node(node)?.name).into(),
            chains: self.both(table, None)?,
        })
    }

    fn both(
        &mut self,
        table: TableId,
        ports: Option<crate::cluster::PortsId>,
    ) -> Option<PerDirection<ChainId>> {
        let mut chain = |direction| self.chain(table, direction, ports);
        Some(PerDirection {
            ingress: chain(Direction::Ingress)?,
            egress: chain(Direction::Egress)?,
        })
    }

    fn chain(
        &mut self,
        table: TableId,
        direction: Direction,
        ports: Option<crate::cluster::PortsId>,
    ) -> Option<ChainId> {
        let resolved = self.from.program.table_at(table)?;
        let chain = resolved.chains.get(direction);
        let by_name = direction == Direction::Ingress && self.goes_by_name(chain);
        let key = ChainKey {
            table,
            direction,
            ports: by_name.then_some(ports),
        };
        if let Some(known) = self.known.get(&key) {
            return Some(*known);
        }
        let named = || ports.map_or(&[][..], |ports| self.from.cluster.ports(ports));
        let own = (direction == Direction::Ingress).then(named);
        let lowered = RuleChain {
            admin: self.levels(chain, &chain.first, Tier::Admin, own),
            isolated_by: chain.is_isolated.then(|| chain.isolated_by.to_vec()),
            keeps_own_node: !chain.allows_own_node,
            to_itself: match (&self.from.program.kinds, ports) {
                (None, _) => ToItself::Asked,
                (Some(_), Some(_)) => ToItself::Passes,
                (Some(_), None) => ToItself::AsOthers,
            },
            audits: self.from.program.audits(),
            namespace: chain
                .namespace
                .iter()
                .flat_map(|range| self.rules(chain, *range, Tier::Namespace, own))
                .collect(),
            baseline: self.levels(chain, &chain.baseline, Tier::Baseline, own),
        };
        let id = ChainId(number(self.chains.len()));
        self.chains.push(Chain::Rules(lowered));
        self.known.insert(key, id);
        Some(id)
    }

    fn goes_by_name(&self, chain: &ir::Chain) -> bool {
        let mut rules = chain
            .ranges()
            .flat_map(|range| self.from.program.rules_in(range));
        rules.any(|rule| {
            let ports = rule
                .ports
                .and_then(|ports| self.from.program.ports.get(ports.index()));
            ports.is_some_and(|ports| !ports.named.is_empty())
        })
    }

    fn levels(
        &mut self,
        chain: &ir::Chain,
        steps: &[Step],
        tier: Tier,
        own: Option<&'l [NamedPort]>,
    ) -> Vec<Level> {
        let mut levels = Vec::new();
        let mut level = Level::default();
        for step in steps {
            let rules = self.rules(chain, step.rules, tier, own);
            level.lists.push(rules);
            if step.last_of != LastOf::Nothing {
                level.ends_tier = step.last_of == LastOf::Tier;
                levels.push(std::mem::take(&mut level));
            }
        }
        if let Some(last) = levels.last_mut() {
            last.ends_tier = false;
        }
        levels
    }

    fn rules(
        &mut self,
        chain: &ir::Chain,
        range: RuleRange,
        tier: Tier,
        own: Option<&'l [NamedPort]>,
    ) -> Vec<Rule> {
        let mut made = Vec::new();
        for rule in self.from.program.rules_in(range) {
            if chain.asks_for_auth {
                self.asking(rule, tier, own, &mut made);
            } else {
                made.append(&mut self.rule(rule, tier, own));
            }
        }
        made
    }

    /// A rule of a chain that asks for authentication: as one for each item of its ports, those of the fewest ports first. What
    /// an item may match has the width of all, since it does not surely cover the packet.
    fn asking(
        &mut self,
        rule: &'l ir::Rule,
        tier: Tier,
        own: Option<&'l [NamedPort]>,
        made: &mut Vec<Rule>,
    ) {
        let program = self.from.program;
        let ports = rule
            .ports
            .and_then(|ports| program.ports.get(ports.index()));
        let auth = rule.precedence.auth;
        let all = Some(Asks {
            width: u32::MAX,
            auth,
        });
        let Some(ports) = ports else {
            let whole = self.rule(rule, tier, own).into_iter();
            made.extend(whole.map(|rule| Rule { asks: all, ..rule }));
            return;
        };
        let mut items: Vec<(u32, &hir::PortMatch)> = ports
            .written
            .iter()
            .map(|item| (ir::precedence::width_of(item), item))
            .collect();
        items.sort_unstable();
        let mut surely = Vec::new();
        for (width, item) in items {
            let item = ir::merge_ports(std::slice::from_ref(item));
            for part in self.of_ports(rule, &item, tier, own) {
                let Match { yes, maybe } = part.ports;
                let nothing = self.ports_of(Ranges::default());
                surely.push(Rule {
                    ports: Match {
                        yes,
                        maybe: nothing,
                    },
                    asks: Some(Asks { width, auth }),
                    ..part.clone()
                });
                made.push(Rule {
                    ports: Match {
                        yes: nothing,
                        maybe,
                    },
                    asks: all,
                    ..part
                });
            }
        }
        made.append(&mut surely);
    }

    /// A rule as one or, where the ports behind a name differ between peers, several.
    fn rule(&mut self, rule: &ir::Rule, tier: Tier, own: Option<&'l [NamedPort]>) -> Vec<Rule> {
        let program = self.from.program;
        let ports = rule
            .ports
            .and_then(|ports| program.ports.get(ports.index()));
        if let Some(ports) = ports {
            return self.of_ports(rule, ports, tier, own);
        }
        let remotes = self.remotes(rule.peers);
        let all = Match {
            yes: Ranges::new(vec![(0, LAST)]),
            maybe: Ranges::default(),
        };
        vec![make(rule, remotes, self.ports(all))]
    }

    /// The same, of these ports.
    fn of_ports(
        &mut self,
        rule: &ir::Rule,
        ports: &ir::Ports,
        tier: Tier,
        own: Option<&'l [NamedPort]>,
    ) -> Vec<Rule> {
        let remotes = self.remotes(rule.peers);
        let program = self.from.program;
        let (mut yes, mut maybe) = (Vec::new(), Vec::new());
        for protocol in &ports.protocols {
            let of = protocol.protocol;
            if protocol.whole {
                yes.push(whole(of));
            } else {
                yes.extend(self.from.keys(protocol));
                maybe.push((key(of, NOT_KNOWN), key(of, NOT_KNOWN)));
            }
        }
        let mut made = Vec::new();
        for (protocol, name) in &ports.named {
            match own {
                Some(own) => {
                    let named = named(own, *protocol, name, program.kinds.is_some());
                    yes.extend(named.yes.iter());
                    maybe.extend(named.maybe.iter());
                }
                None => {
                    let hosts = tier == Tier::Namespace;
                    for (keys, targets) in self.targets(*protocol, name, hosts) {
                        let remotes = self.among(rule.peers, &targets);
                        made.push(make(rule, remotes, self.ports(keys)));
                    }
                }
            }
        }
        let yes = Ranges::new(yes);
        let maybe = without(&Ranges::new(maybe), &yes);
        if made.is_empty() || !yes.is_empty() {
            made.push(make(rule, remotes, self.ports(Match { yes, maybe })));
        }
        made
    }

    /// The classes that a list of peers matches.
    fn matched(&self, peers: Option<PeersId>) -> Match<Ranges<u32>> {
        match &self.seen {
            None => self.from.leaves.matched(self.from.program, peers),
            Some(seen) => seen.matched(self.from.program, peers),
        }
    }

    fn remotes(&mut self, peers: Option<PeersId>) -> Match<RemotesId> {
        if let Some(known) = self.of_peers.get(&peers) {
            return *known;
        }
        let Match { yes, maybe } = self.matched(peers);
        let made = Match {
            yes: self.add_remotes(yes),
            maybe: self.add_remotes(maybe),
        };
        self.of_peers.insert(peers, made);
        made
    }

    /// Those of some peers that are among these leaves.
    fn among(&mut self, peers: Option<PeersId>, leaves: &Ranges<u32>) -> Match<RemotesId> {
        let Match { yes, maybe } = self.matched(peers);
        Match {
            yes: self.add_remotes(yes.intersection(leaves)),
            maybe: self.add_remotes(maybe.intersection(leaves)),
        }
    }

    fn add_remotes(&mut self, set: Ranges<u32>) -> RemotesId {
        self.remotes.push(set);
        RemotesId(number(self.remotes.len() - 1))
    }

    fn ports(&mut self, keys: Match<Ranges<u32>>) -> Match<PortsId> {
        Match {
            yes: self.ports_of(keys.yes),
            maybe: self.ports_of(keys.maybe),
        }
    }

    fn ports_of(&mut self, keys: Ranges<u32>) -> PortsId {
        self.keys.push(keys);
        PortsId(number(self.keys.len() - 1))
    }

    /// The classes that give a port a name, by what the name stands for there.
    fn targets(&mut self, protocol: Option<Protocol>, name: &str, hosts: bool) -> Targets {
        let from = self.from;
        let added = self.seen.as_ref().map_or(&[][..], |seen| &seen.of_pods);
        let make = || {
            let mut by_keys: Vec<(Match<_>, Vec<_>)> = Vec::new();
            for (identity, index) in from.program.identities.iter().zip(0_u32..) {
                let own = from.cluster.ports(identity.ports);
                let keys = named(own, protocol, name, from.program.kinds.is_some());
                if keys.yes.is_empty() || (identity.host.is_some() && !hosts) {
                    continue;
                }
                let (first, end) = from.leaves.of_who(Remote::Identity(ir::IdentityId(index)));
                let Some(last) = end.checked_sub(1) else {
                    continue;
                };
                let more = added.iter().filter(|(ports, _)| *ports == identity.ports);
                let more = more.map(|(_, class)| (*class, *class));
                let classes = std::iter::once((first, last)).chain(more);
                match by_keys.iter_mut().find(|(known, _)| *known == keys) {
                    Some((_, known)) => known.extend(classes),
                    None => by_keys.push((keys, classes.collect())),
                }
            }
            let made = by_keys.into_iter();
            made.map(|(keys, leaves)| (keys, Ranges::new(leaves)))
                .collect()
        };
        self.named
            .entry((protocol, name.into(), hosts))
            .or_insert_with(make)
            .clone()
    }
}

fn make(rule: &ir::Rule, remotes: Match<RemotesId>, ports: Match<PortsId>) -> Rule {
    Rule {
        origins: vec![rule.id],
        action: match (rule.action, rule.precedence.redirect) {
            (hir::Action::Allow, Some(redirect)) => Action::Redirect(redirect.priority.into()),
            (hir::Action::Allow, None) => Action::Allow,
            (hir::Action::Deny, _) => Action::Deny,
            (hir::Action::Pass, _) => Action::Pass,
        },
        remotes,
        ports,
        asks: None,
    }
}

/// Cuts all keys so that each set is made of whole runs: where each begins, and the sets as sets of runs.
fn partition(sets: &[Ranges<u32>]) -> (Vec<u32>, Vec<Ranges<u32>>) {
    let bounds = sets.iter().flat_map(Ranges::iter);
    let mut starts: Vec<u32> = bounds
        .flat_map(|(first, last)| [first, last + 1])
        .filter(|start| *start <= LAST)
        .chain([0])
        .collect();
    starts.sort_unstable();
    starts.dedup();
    let run = |key: u32| number(starts.partition_point(|start| *start <= key)).saturating_sub(1);
    let of_runs = |set: &Ranges<u32>| {
        Ranges::new(
            set.iter()
                .map(|(first, last)| (run(first), run(last)))
                .collect(),
        )
    };
    let sets = sets.iter().map(of_runs).collect();
    (starts, sets)
}
