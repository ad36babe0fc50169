//! What a program says of a flow. Each function here has its counterpart in [`crate::hir::spec`].

use super::{
    AddressClasses, BlockFamilies, ClassId, IdentityId, KindId, Peers, Ports, Program, Rule,
    RuleRange, Step, Table, id, tiers,
};
use crate::cluster::{NodeId, Protocol};
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow, NodeView, PodView, Transport};
use crate::hir::spec::precedence::matches::peer_matches;
use crate::hir::spec::{self, Exemption, Judgement, Side, Truth};
use crate::hir::{Direction, RuleId, Subject, Tier};
use crate::identity;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The end of a flow that rules are matched against.
#[derive(Clone)]
pub(crate) struct Other<'a> {
    who: OtherKind<'a>,
    address: Option<ClassId>,
    written: Address,
}

#[derive(Clone)]
enum OtherKind<'a> {
    Identity(IdentityId),
    /// A pod that has no identity.
    Fresh(&'a PodView<'a>),
    Node(&'a NodeView<'a>),
    /// A node of the snapshot.
    NodeOf(NodeId),
    Outside,
    /// What it is to rules that ask for identities.
    Kind {
        kind: KindId,
        is_outside: bool,
    },
    /// The same for a pod that has no kind.
    Described(Box<identity::Identity>),
}

impl Program {
    /// Judges a flow between ends of the program's own cluster, as [`spec::judge`] does.
    #[must_use]
    pub fn judge(&self, flow: &Flow<'_>) -> Judgement {
        let egress = self.judge_side(flow, Direction::Egress);
        let ingress = self.judge_side(flow, Direction::Ingress);
        Judgement {
            verdict: spec::both(egress.verdict, ingress.verdict),
            egress,
            ingress,
        }
    }

    /// Judges one side of a flow, as [`spec::judge_side`] does.
    #[must_use]
    pub fn judge_side(&self, flow: &Flow<'_>, direction: Direction) -> Side {
        if let Some(kinds) = &self.kinds {
            return self.judge_by_precedence(kinds, flow, direction);
        }
        let (subject, other) = match direction {
            Direction::Ingress => (&flow.dst, &flow.src),
            Direction::Egress => (&flow.src, &flow.dst),
        };
        let mut side = Side::default();
        let EndpointKind::Pod(pod) = &subject.kind else {
            side.exempt = Some(Exemption::NotAPod);
            return side;
        };
        let itself = spec::is_same_pod(pod, other);
        if itself && !flow.dst.by_service {
            side.exempt = Some(Exemption::Itself);
            return side;
        }
        let fresh;
        let known = self.identity(pod).and_then(|known| self.table(known));
        let table = match known {
            Some(table) => table,
            None => {
                fresh = self.fresh_table(pod);
                &fresh
            }
        };
        let question = Question {
            program: self,
            chain: table.chains.get(direction),
            other: self.other(other),
            transport: flow.transport,
            number: flow.transport.port,
            named: NamedPorts::of(&flow.dst),
        };
        question.ask(itself || spec::is_own_node(pod, other), &mut side);
        side
    }

    /// The identity behind a view of a pod; `None` for a pod that does not exist.
    pub(super) fn identity(&self, pod: &PodView<'_>) -> Option<IdentityId> {
        self.identity_of(pod.id?)
    }

    /// The table of a pod that has no identity.
    fn fresh_table(&self, pod: &PodView<'_>) -> Table {
        self.make_table(&self.governing_by_labels(pod))
    }

    /// The policies that govern a pod that has no identity, as indices in ascending order: several lists, each once, where
    /// that hangs on its address.
    pub(crate) fn governing(&self, pod: &PodView<'_>, address: Address) -> Vec<Vec<u32>> {
        let Some(kinds) = &self.kinds else {
            return vec![self.governing_by_labels(pod)];
        };
        let subjects = kinds.pods(pod, address);
        let lists: BTreeSet<Vec<u32>> = subjects
            .iter()
            .map(|subject| self.governing_kind(subject))
            .collect();
        lists.into_iter().collect()
    }

    fn governing_by_labels(&self, pod: &PodView<'_>) -> Vec<u32> {
        self.governing_by(|subject| {
            subject
                .pods()
                .is_some_and(|subject| spec::selects(subject, pod))
        })
    }

    /// The policies with such a subject, as indices in ascending order.
    pub(super) fn governing_by(&self, mut governs: impl FnMut(&Subject) -> bool) -> Vec<u32> {
        let governing = self.policies.iter().enumerate().filter(|(_, policy)| {
            let subject = self.selectors.get(policy.subject.index());
            subject.is_some_and(|subject| governs(&subject.written))
        });
        governing.map(|(index, _)| id(index)).collect()
    }

    /// The end of a flow that rules are matched against.
    pub(crate) fn other<'a>(&self, end: &'a Endpoint<'a>) -> Other<'a> {
        let who = match &end.kind {
            EndpointKind::Pod(pod) => self
                .identity(pod)
                .map_or(OtherKind::Fresh(pod), OtherKind::Identity),
            EndpointKind::Node(node) => OtherKind::Node(node),
            EndpointKind::Outside => OtherKind::Outside,
        };
        let address = match end.address {
            Address::Known(address) => Some(self.addresses.class(address)),
            Address::Unknown { .. } => None,
        };
        Other {
            who,
            address,
            written: end.address,
        }
    }

    /// Whether a pod that has no kind is one of some peers.
    fn is_one(&self, identity: &identity::Identity, peers: &Peers) -> bool {
        let enforcement = self.kinds.as_ref().map(|kinds| &kinds.enforcement);
        enforcement.is_some_and(|enforcement| {
            let mut written = peers.written.iter();
            written.any(|peer| peer_matches(enforcement, peer, identity))
        })
    }

    pub(crate) fn rules_in(&self, range: RuleRange) -> &[Rule] {
        self.rules
            .get(range.first as usize..range.end as usize)
            .unwrap_or_default()
    }
}

impl AddressClasses {
    /// The addresses of a class: the first and the last.
    pub(crate) fn describe(&self, class: ClassId) -> String {
        let v4 = id(self.v4.len());
        match class.0.checked_sub(v4) {
            None => {
                let (first, last) = self.v4.bounds(class.0, class.0 + 1);
                format!(
                    "{}-{}",
                    Ipv4Addr::from_bits(first),
                    Ipv4Addr::from_bits(last)
                )
            }
            Some(class) => {
                let (first, last) = self.v6.bounds(class, class + 1);
                format!(
                    "{}-{}",
                    Ipv6Addr::from_bits(first),
                    Ipv6Addr::from_bits(last)
                )
            }
        }
    }

    /// The first address of each class.
    pub(crate) fn firsts(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self
            .v4
            .starts()
            .iter()
            .map(|start| Ipv4Addr::from_bits(*start).into());
        let v6 = self
            .v6
            .starts()
            .iter()
            .map(|start| Ipv6Addr::from_bits(*start).into());
        v4.chain(v6)
    }

    /// The class of an address.
    pub(crate) fn class(&self, address: IpAddr) -> ClassId {
        ClassId(match address {
            IpAddr::V4(address) => self.v4.class(address.to_bits()),
            IpAddr::V6(address) => id(self.v4.len()) + self.v6.class(address.to_bits()),
        })
    }
}

/// What is known of the named ports of a flow's destination.
#[derive(Clone, Copy)]
pub(super) enum NamedPorts<'a> {
    /// It is no pod.
    None,
    Unknown,
    Known(&'a [crate::cluster::NamedPort]),
    /// Those of a pod on the network of a node: cluster-wide policies do not see them.
    Host(&'a [crate::cluster::NamedPort]),
    /// Those of a pod to rules that are resolved by precedence: a name that stands for two ports stands for none.
    Strict(&'a [crate::cluster::NamedPort]),
}

impl<'a> NamedPorts<'a> {
    /// Those of a pod, on a network of its own or not.
    pub(super) fn of_pod(ports: &'a [crate::cluster::NamedPort], is_host: bool) -> Self {
        if is_host {
            Self::Host(ports)
        } else {
            Self::Known(ports)
        }
    }

    fn of(dst: &Endpoint<'a>) -> Self {
        match &dst.kind {
            EndpointKind::Pod(pod) => match (pod.ports, pod.host) {
                (Some(ports), host) => Self::of_pod(ports, host.is_some()),
                (None, _) => Self::Unknown,
            },
            EndpointKind::Node(_) | EndpointKind::Outside => Self::None,
        }
    }

    /// As rules see them that are resolved by precedence.
    pub(super) fn strict(dst: &Endpoint<'a>) -> Self {
        match &dst.seen_in(Tier::Admin).kind {
            EndpointKind::Pod(pod) => pod.ports.map_or(Self::Unknown, Self::Strict),
            EndpointKind::Node(_) | EndpointKind::Outside => Self::None,
        }
    }

    /// As the rules of a tier in which order decides see them.
    fn in_order(self) -> Self {
        match self {
            Self::Host(_) => Self::None,
            Self::None | Self::Unknown | Self::Known(_) | Self::Strict(_) => self,
        }
    }

    pub(super) fn matches(
        self,
        protocol: Option<Protocol>,
        name: &str,
        transport: Transport,
    ) -> Truth {
        let carried = transport.protocol;
        if !carried.has_ports() || protocol.is_some_and(|protocol| protocol != carried) {
            return Truth::No;
        }
        match self {
            Self::None => Truth::No,
            Self::Unknown => Truth::Unknown,
            Self::Strict(ports) => {
                let mut own = ports
                    .iter()
                    .filter(|own| own.protocol == carried && *own.name == *name);
                match (own.next(), own.next(), transport.port) {
                    (Some(only), None, Some(port)) => (only.number == port).into(),
                    (Some(_), None, None) => Truth::Unknown,
                    (None, _, _) | (Some(_), Some(_), _) => Truth::No,
                }
            }
            Self::Known(ports) | Self::Host(ports) => {
                let mut own = ports
                    .iter()
                    .filter(|own| own.protocol == carried && *own.name == *name);
                match transport.port {
                    Some(port) => own.any(|own| own.number == port).into(),
                    None if own.next().is_some() => Truth::Unknown,
                    None => Truth::No,
                }
            }
        }
    }
}

/// One side of a flow, while its chain is asked.
pub(super) struct Question<'a> {
    pub(super) program: &'a Program,
    pub(super) chain: &'a super::Chain,
    pub(super) other: Other<'a>,
    pub(super) transport: Transport,
    /// What stands for the port.
    pub(super) number: Option<u16>,
    pub(super) named: NamedPorts<'a>,
}

impl<'a> tiers::Question for Question<'a> {
    type Rule = &'a Rule;
    type Name = RuleId;

    fn first(&self) -> impl Iterator<Item = (impl Iterator<Item = &'a Rule>, tiers::LastOf)> {
        self.steps(&self.chain.first)
    }

    fn is_isolated(&self) -> bool {
        self.chain.is_isolated
    }

    fn namespace(&self) -> impl Iterator<Item = &'a Rule> {
        let program = self.program;
        let ranges = self.chain.namespace.iter();
        ranges.flat_map(|range| program.rules_in(*range))
    }

    fn baseline(&self) -> impl Iterator<Item = (impl Iterator<Item = &'a Rule>, tiers::LastOf)> {
        self.steps(&self.chain.baseline)
    }

    fn truth(&self, rule: &'a Rule, in_order: bool) -> Truth {
        let named = if in_order {
            self.named.in_order()
        } else {
            self.named
        };
        self.rule(rule, named)
    }

    fn effect(rule: &'a Rule) -> tiers::Effect {
        rule.effect()
    }

    fn name(rule: &'a Rule) -> RuleId {
        rule.id
    }
}

impl<'a> Question<'a> {
    /// Asks the chain, and writes what it says to a side that nothing was said of.
    pub(super) fn ask(&self, never_kept_apart: bool, side: &mut Side) {
        side.isolated_by.extend_from_slice(&self.chain.isolated_by);
        side.verdict = tiers::ask(self, never_kept_apart, &mut side.rules).verdict();
    }

    fn steps(
        &self,
        steps: &'a [Step],
    ) -> impl Iterator<Item = (std::slice::Iter<'a, Rule>, tiers::LastOf)> + use<'a> {
        let program = self.program;
        let steps = steps.iter();
        steps.map(|step| (program.rules_in(step.rules).iter(), step.last_of))
    }

    fn rule(&self, rule: &Rule, named: NamedPorts<'_>) -> Truth {
        let peers = rule.peers.map(|peers| {
            let peers = self.program.peers.get(peers.index());
            peers.map_or(Truth::No, |peers| self.other.is_in(self.program, peers))
        });
        let peers = peers.unwrap_or(Truth::Yes);
        if peers == Truth::No {
            return Truth::No;
        }
        let ports = rule.ports.map(|ports| {
            let ports = self.program.ports.get(ports.index());
            ports.map_or(Truth::No, |ports| self.ports(ports, named))
        });
        peers.min(ports.unwrap_or(Truth::Yes))
    }

    fn ports(&self, ports: &Ports, named: NamedPorts<'_>) -> Truth {
        let transport = self.transport;
        let of_protocol = ports
            .protocols
            .iter()
            .find(|own| own.protocol == transport.protocol);
        let by_number = of_protocol.map_or(Truth::No, |own| match self.number {
            _ if own.whole => Truth::Yes,
            Some(port) => own.ranges.contains(port.into()).into(),
            None => Truth::Unknown,
        });
        if by_number == Truth::Yes {
            return by_number;
        }
        ports
            .named
            .iter()
            .map(|(protocol, name)| named.matches(*protocol, name, transport))
            .fold(by_number, Truth::max)
    }
}

impl<'a> Other<'a> {
    /// An end of the snapshot; nothing stands for the outside.
    pub(super) fn of_class(
        identity: Option<IdentityId>,
        node: Option<NodeId>,
        address: Result<ClassId, Address>,
    ) -> Self {
        Self {
            who: match (identity, node) {
                (Some(identity), _) => OtherKind::Identity(identity),
                (None, Some(node)) => OtherKind::NodeOf(node),
                (None, None) => OtherKind::Outside,
            },
            address: address.ok(),
            // Which address of its class it is no rule sees.
            written: address.err().unwrap_or(Address::Unknown {
                v4: false,
                v6: false,
            }),
        }
    }

    pub(super) fn of_kind(kind: KindId, is_outside: bool, written: Address) -> Self {
        Self {
            who: OtherKind::Kind { kind, is_outside },
            address: None,
            written,
        }
    }

    pub(super) fn described(identity: identity::Identity, written: Address) -> Self {
        Self {
            who: OtherKind::Described(Box::new(identity)),
            address: None,
            written,
        }
    }

    /// What it is to rules that ask for identities.
    pub(crate) fn kind(&self) -> Option<KindId> {
        match self.who {
            OtherKind::Kind { kind, .. } => Some(kind),
            OtherKind::Identity(_)
            | OtherKind::Fresh(_)
            | OtherKind::Node(_)
            | OtherKind::NodeOf(_)
            | OtherKind::Outside
            | OtherKind::Described(_) => None,
        }
    }
}

impl Other<'_> {
    /// Whether one of some peers of a program is this end.
    pub(crate) fn is_in(&self, program: &Program, peers: &Peers) -> Truth {
        match &self.who {
            OtherKind::Kind { kind, .. } if peers.kinds.contains(kind.0) => return Truth::Yes,
            OtherKind::Kind { is_outside, .. } if *is_outside && peers.may_be_behind => {
                return Truth::Unknown;
            }
            OtherKind::Kind { .. } => return Truth::No,
            OtherKind::Described(identity) => return program.is_one(identity, peers).into(),
            OtherKind::Identity(_)
            | OtherKind::Fresh(_)
            | OtherKind::Node(_)
            | OtherKind::NodeOf(_)
            | OtherKind::Outside => {}
        }
        if self.is_selected(program, peers) {
            return Truth::Yes;
        }
        let is_pod = match self.who {
            OtherKind::Identity(identity) => {
                let identity = program.identities.get(identity.index());
                peers.hosts_are_pods || identity.is_none_or(|identity| identity.host.is_none())
            }
            OtherKind::Fresh(_) => true,
            OtherKind::Node(_)
            | OtherKind::NodeOf(_)
            | OtherKind::Outside
            | OtherKind::Kind { .. }
            | OtherKind::Described(_) => false,
        };
        let blocks = if is_pod && !program.cidr_matches_pods {
            Truth::No
        } else {
            self.blocks(peers)
        };
        if blocks == Truth::Yes {
            return blocks;
        }
        blocks.max(self.domains(peers))
    }

    fn is_selected(&self, program: &Program, peers: &Peers) -> bool {
        let selectors = || {
            peers
                .selectors
                .iter()
                .filter_map(|selector| program.selectors.get(selector.index()))
        };
        match &self.who {
            OtherKind::Identity(identity) => program.pods(peers).contains(identity.0),
            OtherKind::Fresh(pod) => {
                let mut written = selectors().filter_map(|selector| selector.written.pods());
                written.any(|selector| spec::selects(selector, pod))
            }
            OtherKind::NodeOf(NodeId(node)) => peers.nodes.contains(*node),
            OtherKind::Node(node) => match node.id {
                Some(NodeId(node)) => peers.nodes.contains(node),
                None => peers
                    .node_selectors
                    .iter()
                    .any(|selector| selector.matches(node.labels)),
            },
            OtherKind::Outside | OtherKind::Kind { .. } | OtherKind::Described(_) => false,
        }
    }

    fn blocks(&self, peers: &Peers) -> Truth {
        match (self.address, self.written) {
            (Some(class), _) => peers.blocks.contains(class.0).into(),
            (None, Address::Unknown { v4, v6 }) => peers.block_families.matches(v4, v6),
            (None, Address::Known(_)) => Truth::No,
        }
    }

    fn domains(&self, peers: &Peers) -> Truth {
        let outside = matches!(self.who, OtherKind::Outside);
        match self.address {
            Some(class) if peers.answers.contains(class.0) => Truth::Yes,
            Some(_) if outside && peers.unseen => Truth::Unknown,
            None if outside && peers.domains => Truth::Unknown,
            Some(_) | None => Truth::No,
        }
    }
}

impl BlockFamilies {
    /// Whether an address that is not known is in one of the blocks.
    pub(crate) fn matches(self, v4: bool, v6: bool) -> Truth {
        let in_family = |may_be: bool, alone: bool, any: bool, whole: bool| match (may_be, any) {
            (false, _) | (true, false) => Truth::No,
            (true, true) if alone && whole => Truth::Yes,
            (true, true) => Truth::Unknown,
        };
        in_family(v4, !v6, self.v4, self.whole_v4).max(in_family(v6, !v4, self.v6, self.whole_v6))
    }
}
