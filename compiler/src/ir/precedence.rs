//! Policies that are resolved by precedence: the chains of their subjects, and what a program says of a flow by them.
//!
//! [`crate::hir::spec::precedence`] is the definition. A chain has the rules of each tier in the order in which that asks
//! them, one to a step, and steps of one order make a level: below this module there is no precedence.

use super::judge::{NamedPorts, Other, Question};
use super::kinds::{From, Kinds};
use super::tiers::{self, Effect, LastOf, Outcomes};
use super::{
    Chain, ClassId, KindId, Policy, Program, Rule, RuleRange, Step, Table, TableId, Tables, id,
};
use crate::cluster::{NodeId, Protocol};
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow, PodView, Transport};
use crate::hir::spec::precedence::{has_subject, matches::peer_matches, order};
use crate::hir::spec::{self, Exemption, Side, Truth, Verdict};
use crate::hir::{self, Action, Auth, Direction, Mode, PortMatch, RuleId, Tier};
use crate::identity::{Identity, key};
use rustc_hash::FxHashMap;
use std::sync::OnceLock;

/// The packet that asks for smaller ones: type and code of ICMPv4.
pub(crate) const FRAGMENTATION_NEEDED: (u8, u8) = (3, 4);

/// What the definition asks about one side.
struct Asked {
    /// What the subject may be: one thing, but where that hangs on an address that is not known.
    subjects: Vec<Identity>,
    /// The node on which it runs.
    node: Option<NodeId>,
}

/// What governs a subject.
enum Governing<'a> {
    Known(&'a Table),
    Fresh(Table),
}

impl Governing<'_> {
    fn get(&self) -> &Table {
        match self {
            Self::Known(table) => table,
            Self::Fresh(table) => table,
        }
    }
}

impl Program {
    /// Judges one side of a flow, as [`spec::precedence::judge_side`] does.
    pub(super) fn judge_by_precedence(
        &self,
        kinds: &Kinds,
        flow: &Flow<'_>,
        direction: Direction,
    ) -> Side {
        let mut side = Side::default();
        let asked = match asked(kinds, flow, direction) {
            Ok(asked) => asked,
            Err(exemption) => {
                side.exempt = Some(exemption);
                return side;
            }
        };
        let tables = self.tables_of(kinds, &asked.subjects);
        let chains = tables.iter().map(|table| table.get().chains.get(direction));
        let other = match direction {
            Direction::Ingress => &flow.src,
            Direction::Egress => &flow.dst,
        };
        let mut outcomes = Outcomes::default();
        let mut matched: Vec<&Rule> = Vec::new();
        for chain in chains.clone() {
            for policy in &chain.isolated_by {
                if !side.isolated_by.contains(policy) {
                    side.isolated_by.push(*policy);
                }
            }
            for other in self.others(other, From::of(asked.node)) {
                let never_kept_apart = chain.allows_own_node && self.is_host(&other);
                let question = self.question(kinds, chain, other, flow);
                let mut names = Vec::new();
                outcomes = outcomes.or(tiers::ask(&question, never_kept_apart, &mut names));
                for name in names {
                    if !side.rules.contains(&name) {
                        side.rules.push(name);
                        matched.extend(self.rule_in(chain, name));
                    }
                }
            }
        }
        side.verdict = outcomes.verdict();
        let passes = matches!(side.verdict, Verdict::Allow | Verdict::Redirect);
        if passes && chains.clone().any(|chain| chain.asks_for_auth) {
            let has_pass = chains.clone().any(|chain| chain.has_pass);
            side.auth = self.auth(kinds, has_pass, flow, &matched);
        }
        if kinds.enforcement.audits {
            audit(&mut side, outcomes);
        }
        side
    }

    fn question<'a>(
        &'a self,
        kinds: &Kinds,
        chain: &'a Chain,
        other: Other<'a>,
        flow: &Flow<'a>,
    ) -> Question<'a> {
        Question {
            program: self,
            chain,
            other,
            transport: flow.transport,
            number: number(kinds, flow.transport),
            named: NamedPorts::strict(&flow.dst),
        }
    }

    fn rule_in(&self, chain: &Chain, name: RuleId) -> Option<&Rule> {
        let mut rules = chain.ranges().flat_map(|range| self.rules_in(range));
        rules.find(|rule| rule.id == name)
    }

    /// What the ends must prove: of the rules that decide, what that of the narrowest ports says that says so. A pass
    /// keeps rules from handing down what they ask to narrower ones.
    fn auth(
        &self,
        kinds: &Kinds,
        has_pass: bool,
        flow: &Flow<'_>,
        matched: &[&Rule],
    ) -> Option<Auth> {
        let allowing = matched.iter().filter(|rule| rule.action == Action::Allow);
        let mut saying: Vec<(u32, Option<Auth>)> = allowing
            .map(|rule| (self.width(kinds, rule, flow), rule.precedence.auth))
            .collect();
        saying.sort_unstable();
        if has_pass {
            let narrowest = saying.first().map(|(width, _)| *width);
            saying.retain(|(width, _)| Some(*width) == narrowest);
        }
        saying.into_iter().find_map(|(_, auth)| auth)
    }

    /// How many ports the narrowest item of a rule has that covers a flow.
    fn width(&self, kinds: &Kinds, rule: &Rule, flow: &Flow<'_>) -> u32 {
        let ports = rule.ports.and_then(|ports| self.ports.get(ports.index()));
        let items = ports.map_or(&[][..], |ports| &ports.written);
        let number = number(kinds, flow.transport);
        let named = NamedPorts::strict(&flow.dst);
        let covering = items.iter().filter(|item| match item {
            PortMatch::Range { protocol, ports } => {
                *protocol == flow.transport.protocol
                    && (*ports == hir::PortRange::ALL
                        || number.is_some_and(|number| ports.contains(number)))
            }
            PortMatch::Named { protocol, name } => {
                named.matches(*protocol, name, flow.transport) == Truth::Yes
            }
        });
        covering.map(width_of).min().unwrap_or(u32::MAX)
    }

    /// Everything that an end of a flow may be to an endpoint that runs there: one thing, but where rules are resolved by
    /// precedence and the snapshot leaves it open.
    pub(crate) fn others<'a>(&self, end: &'a Endpoint<'a>, from: From) -> Vec<Other<'a>> {
        let Some(kinds) = &self.kinds else {
            return vec![self.other(end)];
        };
        let end = &end.seen_in(Tier::Admin);
        let is_outside = matches!(end.kind, EndpointKind::Outside);
        let of_kind = |kind| Other::of_kind(kind, is_outside, end.address);
        if let EndpointKind::Pod(pod) = &end.kind {
            let known = self
                .identity(pod)
                .filter(|_| !kinds.sees_addresses_of_pods());
            let known = known.and_then(|identity| self.identities.get(identity.index()));
            if let Some(identity) = known {
                return vec![of_kind(identity.kind)];
            }
            let identities = kinds.pods(pod, end.address).into_iter();
            let others = identities.map(|identity| match kinds.of(&identity) {
                Some(kind) => of_kind(kind),
                None => Other::described(identity, end.address),
            });
            return others.collect();
        }
        let class = self.class_of(end.address);
        let others = kinds.others(&end.kind, end.address, class, from);
        others.into_iter().map(of_kind).collect()
    }

    /// Whether rules tell the types of ICMP apart.
    pub(crate) fn tells_types_of_icmp(&self) -> bool {
        let kinds = self.kinds.as_ref();
        kinds.is_none_or(|kinds| kinds.enforcement.has_icmp_types)
    }

    /// Whether what is denied is let through and recorded.
    pub(crate) fn audits(&self) -> bool {
        let kinds = self.kinds.as_ref();
        kinds.is_some_and(|kinds| kinds.enforcement.audits)
    }

    /// Whether an end is the node of whoever asks.
    pub(crate) fn is_host(&self, other: &Other<'_>) -> bool {
        let kinds = self.kinds.as_ref().zip(other.kind());
        kinds.is_some_and(|(kinds, kind)| kinds.is_host(kind))
    }

    /// The class of an address.
    pub(super) fn class_of(&self, address: Address) -> Option<ClassId> {
        match address {
            Address::Known(address) => Some(self.addresses.class(address)),
            Address::Unknown { .. } => None,
        }
    }

    /// Whether it hangs on an address that is not known what governs an end; or on one that it does not have: where blocks match
    /// pods, one without an address of the family that is asked about is in no block.
    pub(crate) fn is_open(&self, end: &Endpoint<'_>) -> bool {
        let Some(kinds) = &self.kinds else {
            return false;
        };
        match &end.seen_in(Tier::Admin).kind {
            EndpointKind::Pod(pod) => {
                let nowhere = Address::Unknown {
                    v4: false,
                    v6: false,
                };
                if end.address == nowhere && kinds.sees_addresses_of_pods() {
                    return true;
                }
                let subjects = kinds.pods(pod, end.address);
                subjects.len() > 1 && self.tables_of(kinds, &subjects).len() > 1
            }
            EndpointKind::Node(_) | EndpointKind::Outside => false,
        }
    }

    /// What governs a subject that is one of these, each table once.
    fn tables_of<'a>(&'a self, kinds: &Kinds, subjects: &[Identity]) -> Vec<Governing<'a>> {
        let mut tables: Vec<Governing<'_>> = Vec::new();
        for subject in subjects {
            let kind = kinds.of(subject);
            let table = match kind.and_then(|kind| self.table_of_kind(kind)) {
                Some(known) => Governing::Known(known),
                None => {
                    let governing = self.governing_kind(subject);
                    Governing::Fresh(self.make_table_for(&governing, subject))
                }
            };
            let mut known = tables.iter().map(|known| &known.get().governing);
            if !known.any(|known| *known == table.get().governing) {
                tables.push(table);
            }
        }
        tables
    }

    pub(super) fn table_of_kind(&self, kind: KindId) -> Option<&Table> {
        self.table_at(self.table_id_of_kind(kind)?)
    }

    /// What governs a kind.
    pub(crate) fn table_id_of_kind(&self, kind: KindId) -> Option<TableId> {
        let tables = &self.kinds.as_ref()?.table_of;
        tables.get(kind.index()).copied()
    }

    /// Whether a class has nothing but an address of a node, where rules ask for identities.
    pub(crate) fn is_of_node(&self, class: ClassId) -> bool {
        let kinds = self.kinds.as_ref();
        kinds.is_some_and(|kinds| kinds.node_at(None, Some(class)).is_some())
    }

    /// Which node one is by its address, if that is known.
    pub(crate) fn node_at(&self, node: Option<NodeId>, address: Address) -> Option<NodeId> {
        let kinds = self.kinds.as_ref();
        kinds.map_or(node, |kinds| kinds.node_at(node, self.class_of(address)))
    }

    /// What an end may be as a subject of policies, by what is known of its address; nothing where it is none, or none that
    /// the snapshot has.
    pub(crate) fn subject_kinds(&self, end: &Endpoint<'_>) -> Vec<KindId> {
        let Some(kinds) = &self.kinds else {
            return Vec::new();
        };
        let end = end.seen_in(Tier::Admin);
        let subjects = match &end.kind {
            EndpointKind::Pod(pod) => kinds.pods(pod, end.address),
            EndpointKind::Node(node) if kinds.enforcement.governs_nodes => {
                vec![kinds.host(node.id, end.address)]
            }
            EndpointKind::Node(_) | EndpointKind::Outside => Vec::new(),
        };
        subjects.iter().filter_map(|one| kinds.of(one)).collect()
    }

    /// The policies that have an endpoint as their subject, as indices in ascending order.
    pub(super) fn governing_kind(&self, subject: &Identity) -> Vec<u32> {
        self.governing_by(|written| has_subject(written, subject))
    }

    /// The table of a pod that does not exist, which these policies govern.
    pub(crate) fn fresh_table_of(&self, pod: &PodView<'_>, governing: &[u32]) -> Table {
        match &self.kinds {
            None => self.make_table(governing),
            Some(kinds) => self.make_table_for(governing, &kinds.without_address(pod)),
        }
    }

    /// The table of a subject, of which these policies govern.
    pub(super) fn make_table_for(&self, governing: &[u32], subject: &Identity) -> Table {
        let chain = |direction| self.chain_by_precedence(governing, subject, direction);
        Table {
            governing: governing.into(),
            chains: hir::PerDirection {
                ingress: chain(Direction::Ingress),
                egress: chain(Direction::Egress),
            },
        }
    }

    fn chain_by_precedence(
        &self,
        governing: &[u32],
        subject: &Identity,
        direction: Direction,
    ) -> Chain {
        let Some(enforcement) = self.kinds.as_ref().map(|kinds| &kinds.enforcement) else {
            return Chain::default();
        };
        if enforcement.mode == Mode::Never {
            return Chain::default();
        }
        let policies: Vec<&Policy> = governing
            .iter()
            .filter_map(|index| self.policies.get(*index as usize))
            .collect();
        let isolating = policies
            .iter()
            .filter(|policy| *policy.isolates.get(direction));
        let isolated_by: Box<[_]> = isolating.map(|policy| policy.id).collect();
        let has_say = policies.iter().any(|policy| {
            *policy.isolates.get(direction) || !policy.rules.get(direction).is_empty()
        });
        let rules = || {
            let ranges = policies.iter().map(|policy| *policy.rules.get(direction));
            ranges.flat_map(|range| self.rules_in(range))
        };
        let tiers = [Tier::Admin, Tier::Namespace, Tier::Baseline];
        Chain {
            first: tiers
                .into_iter()
                .flat_map(|tier| self.tier(&policies, tier, direction))
                .collect(),
            is_isolated: !isolated_by.is_empty()
                || enforcement.mode == Mode::Always
                || subject.labels.has_reserved(key::INIT),
            allows_own_node: direction == Direction::Ingress
                && enforcement.allows_own_node
                && !subject.labels.has_reserved(key::HOST)
                && (has_say || !enforcement.own_node_needs_rule),
            isolated_by,
            namespace: Box::default(),
            baseline: Box::default(),
            sees_addresses: true,
            asks_for_auth: rules().any(|rule| rule.precedence.auth.is_some()),
            has_pass: rules().any(|rule| rule.action == Action::Pass),
        }
    }

    /// The rules of a tier in the order in which they are asked.
    fn tier(&self, policies: &[&Policy], tier: Tier, direction: Direction) -> Vec<Step> {
        let ranges = policies
            .iter()
            .filter(|policy| policy.tier == tier)
            .map(|policy| *policy.rules.get(direction));
        let mut rules: Vec<((u32, u8), RuleId, u32)> = ranges
            .flat_map(|range| (range.first..).zip(self.rules_in(range)))
            .map(|(index, rule)| (order(rule.action, rule.precedence), rule.id, index))
            .collect();
        rules.sort_unstable();
        let orders = rules.iter().map(|(order, ..)| Some(*order));
        let next = orders.skip(1).chain([None]).collect::<Vec<_>>();
        let steps = rules.into_iter().zip(next);
        steps
            .map(|((order, _, index), next)| Step {
                rules: RuleRange {
                    first: index,
                    end: index + 1,
                },
                last_of: match next {
                    None => LastOf::Tier,
                    Some(next) if next == order => LastOf::Nothing,
                    Some(_) => LastOf::Level,
                },
            })
            .collect()
    }

    /// One table for each list of governing policies that a kind has; kinds that are of the implementation's own may have
    /// one for themselves.
    pub(super) fn make_tables_of_kinds(&mut self) {
        let Some(kinds) = &self.kinds else { return };
        let mut known: FxHashMap<(Vec<u32>, [bool; 2]), TableId> = FxHashMap::default();
        let mut tables = Vec::new();
        let mut table_of = Vec::with_capacity(kinds.list().len());
        for identity in kinds.list() {
            let governing = self.governing_kind(identity);
            let own = [key::INIT, key::HOST].map(|key| identity.labels.has_reserved(key));
            let table = *known
                .entry((governing, own))
                .or_insert_with_key(|(list, _)| {
                    tables.push(self.make_table_for(list, identity));
                    TableId(id(tables.len() - 1))
                });
            table_of.push(table);
        }
        let identities = self.identities.iter();
        let of_identity = identities
            .map(|identity| table_of.get(identity.kind.index()).copied())
            .map(|table| table.unwrap_or(TableId(0)))
            .collect();
        self.tables = OnceLock::from(Tables {
            list: tables,
            of_identity,
        });
        if let Some(kinds) = &mut self.kinds {
            kinds.table_of = table_of;
        }
    }
}

/// What becomes of a side where what is denied is only recorded.
fn audit(side: &mut Side, outcomes: Outcomes) {
    let lacks_auth = side.auth.is_some_and(|auth| auth != Auth::Disabled);
    let [denied, allowed] = [outcomes.deny, outcomes.allow];
    if lacks_auth || denied && !outcomes.redirect {
        side.verdict = Verdict::Allow;
        side.audited = if allowed && !lacks_auth {
            Truth::Unknown
        } else {
            Truth::Yes
        };
        side.auth = side.auth.filter(|_| !lacks_auth);
    }
}

/// Whether policies are asked, and about whom.
fn asked(kinds: &Kinds, flow: &Flow<'_>, direction: Direction) -> Result<Asked, Exemption> {
    let (own, other) = match direction {
        Direction::Ingress => (&flow.dst, &flow.src),
        Direction::Egress => (&flow.src, &flow.dst),
    };
    let (own, other) = (own.seen_in(Tier::Admin), other.seen_in(Tier::Admin));
    let enforcement = &kinds.enforcement;
    let asked = match &own.kind {
        EndpointKind::Pod(pod) if spec::is_same_pod(pod, &other) => {
            return Err(Exemption::Itself);
        }
        EndpointKind::Pod(pod) => Asked {
            subjects: kinds.pods(pod, own.address),
            node: pod.node,
        },
        EndpointKind::Node(node) if enforcement.governs_nodes => Asked {
            subjects: vec![kinds.host(node.id, own.address)],
            node: node.id,
        },
        EndpointKind::Node(_) | EndpointKind::Outside => return Err(Exemption::NotAPod),
    };
    if enforcement.mode == Mode::Never {
        return Err(Exemption::NotEnforced);
    }
    let asks_for_smaller = flow.transport.protocol == Protocol::ICMP
        && flow.transport.icmp == Some(FRAGMENTATION_NEEDED);
    if enforcement.allows_fragmentation_needed && asks_for_smaller {
        return Err(Exemption::FragmentationNeeded);
    }
    Ok(asked)
}

/// How many ports an item has.
pub(crate) fn width_of(item: &PortMatch) -> u32 {
    match item {
        PortMatch::Range { ports, .. } => u32::from(ports.last - ports.first) + 1,
        PortMatch::Named { .. } => 1,
    }
}

/// What stands for the port of a packet: the types of ICMP are its ports.
pub(crate) fn number(kinds: &Kinds, transport: Transport) -> Option<u16> {
    match transport.icmp {
        Some((kind, _)) if kinds.enforcement.has_icmp_types => Some(u16::from(kind)),
        Some(_) => Some(0),
        None => transport.port,
    }
}

impl Rule {
    pub(crate) fn effect(&self) -> Effect {
        Effect::of(self.action, self.precedence.redirect.is_some())
    }
}

/// The kinds that some peers are.
pub(super) fn matching(kinds: &Kinds, peers: &[hir::Peer]) -> Vec<u32> {
    let list = kinds.list().iter().zip(0_u32..);
    let matching = list.filter(|(identity, _)| {
        let mut peers = peers.iter();
        peers.any(|peer| peer_matches(&kinds.enforcement, peer, identity))
    });
    matching.map(|(_, kind)| kind).collect()
}
