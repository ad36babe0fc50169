//! The entries of an endpoint's policy map.
//!
//! Every rule says something of some identities and blocks of ports. An identity has a row for each block of which a
//! rule says something of it by its own labels; the row holds what all rules together say of the block, those that
//! speak of a wider one and those that speak of what the identity is taken together with included. Since the longest
//! row that covers a packet is in exactly the blocks that cover it, that is what the packet gets. A row is left out
//! where the lookup comes to the same without it.

use super::entry::{Block, Demand, Entry};
use super::lookup::{AGGREGATES, aggregate_of, number_of};
use super::numbers::Known;
use super::order::{ALLOWS, DENIES, LevelsError, Order, PASSES, Placed, Stage, added, pass};
use super::order::precedence as weight;
use crate::cluster::{NamedPort, Protocol};
use crate::hir::spec::precedence::{governs, is_named_port, peer_selects};
use crate::hir::{
    Action, Auth, Direction, Enforcement, Mode, Peer, Policy, PolicyId, PolicySet, PortMatch,
    PortRange, Rule,
};
use crate::identity::{Aggregate, Identity, key};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// The port of a proxy that nobody has started yet: the agent gives one to each as it comes.
/// `pkg/policy/proxyid.go`, `unrealizedRedirectPort`
const NO_PROXY_YET: u16 = u16::MAX;

/// What one rule says of one block of ports.
#[derive(Clone, Copy, Debug)]
struct Said {
    stage: Stage,
    number: u64,
    does: u8,
    auth: Option<Auth>,
}

impl Said {
    /// What comes first in a tier is the greatest.
    fn rank(&self) -> (std::cmp::Reverse<u64>, u8) {
        (std::cmp::Reverse(self.number), self.does)
    }

    /// Takes in what another rule says of the same, in the same tier.
    fn merge(&mut self, other: Self) {
        let is_allow = |does: u8| does != DENIES && does != PASSES;
        let both_allow = is_allow(self.does) && is_allow(other.does);
        let auth = match (self.number == other.number && both_allow, self.auth, other.auth) {
            (true, Some(one), Some(two)) => Some(one.max(two)),
            (true, one, two) => one.or(two),
            (false, one, two) => {
                if other.rank() > self.rank() {
                    two
                } else {
                    one
                }
            }
        };
        if other.rank() > self.rank() {
            *self = other;
        }
        self.auth = auth;
    }
}

/// What the rules say of an identity, by block: one of each tier.
#[derive(Clone, Debug, Default)]
struct Sayings(BTreeMap<Block, Vec<Said>>);

impl Sayings {
    fn add(&mut self, block: Block, said: Said) {
        let all = self.0.entry(block).or_default();
        match all.iter_mut().find(|own| own.stage == said.stage) {
            Some(own) => own.merge(said),
            None => all.push(said),
        }
    }

    /// What is said of a block, the narrowest first.
    fn covering(&self, block: Block) -> impl Iterator<Item = (Block, Said)> {
        block.wider().flat_map(move |wider| {
            let all = self.0.get(&wider).into_iter().flatten();
            all.map(move |said| (wider, *said))
        })
    }

    fn has_pass(&self) -> bool {
        self.0.values().flatten().any(|said| said.does == PASSES)
    }
}

/// What a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Value {
    precedence: u32,
    auth: Demand,
}

impl Value {
    fn does(self) -> u8 {
        self.precedence.to_le_bytes()[0]
    }
}

type Table = BTreeMap<Block, Value>;

fn longest(table: &Table, block: Block) -> Option<Value> {
    block.wider().find_map(|wider| table.get(&wider).copied())
}

/// Whom a rule says something of.
#[derive(Clone, Debug, Default)]
struct Selected {
    everyone: bool,
    identities: Vec<u32>,
}

/// An endpoint as the maker of its entries knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'a> {
    pub(super) identity: &'a Identity,
    pub(super) ports: &'a [NamedPort],
}

/// What makes the entries of endpoints that know the same identities.
#[derive(Debug)]
pub struct Rows<'a> {
    policies: &'a PolicySet,
    enforcement: &'a Enforcement,
    known: &'a Known,
    /// By the index of a rule's id.
    selected: Vec<OnceLock<Selected>>,
}

/// What tells the entries of two endpoints apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alike {
    governing: Vec<PolicyId>,
    is_host: bool,
    is_init: bool,
    ports: Vec<NamedPort>,
}

impl<'a> Rows<'a> {
    /// The maker for these identities.
    #[must_use]
    pub fn new(policies: &'a PolicySet, enforcement: &'a Enforcement, known: &'a Known) -> Self {
        Self {
            policies,
            enforcement,
            known,
            selected: policies.origins.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// The entries of one direction of an endpoint with an identity and named ports, by identity and block.
    ///
    /// # Errors
    /// Where its rules have too many priorities for Cilium.
    pub fn entries(
        &self,
        identity: &Identity,
        ports: &[NamedPort],
        direction: Direction,
    ) -> Result<Vec<Entry>, LevelsError> {
        self.of(Owner { identity, ports }, direction)
    }

    /// Endpoints that have the same here have the same entries.
    pub(super) fn alike(&self, owner: Owner<'_>) -> Alike {
        let labels = &owner.identity.labels;
        Alike {
            governing: self.governing(owner).map(|policy| policy.id).collect(),
            is_host: labels.has_reserved(key::HOST),
            is_init: labels.has_reserved(key::INIT),
            ports: owner.ports.to_vec(),
        }
    }

    fn governing(&self, owner: Owner<'_>) -> impl Iterator<Item = &'a Policy> {
        let policies = self.policies.policies.iter();
        policies.filter(move |policy| governs(policy, owner.identity))
    }

    pub(super) fn of(
        &self,
        owner: Owner<'_>,
        direction: Direction,
    ) -> Result<Vec<Entry>, LevelsError> {
        let said = self.said(owner, direction)?;
        let has_auth = said.rules.iter().any(|rule| rule.precedence.auth.is_some());
        let has_pass = said.rules.iter().any(|rule| rule.action == Action::Pass);
        let make = |own: &Sayings, shared: Option<(&Sayings, &Table)>| {
            if has_auth && !has_pass {
                with_demands(own, shared.map(|(_, table)| table), &said.order)
            } else {
                together(own, shared, &said.order)
            }
        };
        let nobody = Sayings::default();
        let shared: BTreeMap<u32, Table> = self
            .standing_for_several()
            .map(|number| {
                let own = said.by_identity.get(&number).unwrap_or(&nobody);
                (number, make(own, None))
            })
            .collect();
        let mut entries = Vec::new();
        for (number, own) in &said.by_identity {
            let aggregate = number_of(self.aggregate(*number));
            let made;
            let table = match shared.get(number) {
                Some(table) => table,
                None => {
                    let sayings = said.by_identity.get(&aggregate).unwrap_or(&nobody);
                    made = make(own, shared.get(&aggregate).map(|table| (sayings, table)));
                    &made
                }
            };
            let entry = |(block, value): (&Block, &Value)| Entry {
                identity: *number,
                egress: direction == Direction::Egress,
                block: *block,
                denies: value.does() == DENIES,
                proxy: match value.does() {
                    PASSES | ALLOWS | DENIES => 0,
                    _ => NO_PROXY_YET,
                },
                auth: value.auth,
                precedence: value.precedence,
            };
            entries.extend(table.iter().map(entry));
        }
        Ok(entries)
    }

    /// The numbers whose entries other identities have too.
    fn standing_for_several(&self) -> impl Iterator<Item = u32> + Clone + use<> {
        let has_aggregates = self.has_aggregates();
        let aggregates = AGGREGATES.into_iter().filter(move |_| has_aggregates);
        std::iter::once(Aggregate::None)
            .chain(aggregates)
            .map(number_of)
    }

    fn has_aggregates(&self) -> bool {
        self.enforcement.identities.options().aggregates
    }

    fn aggregate(&self, number: u32) -> Aggregate {
        let known = self.known.get(&number);
        known.map_or(aggregate_of(number, 0), |peer| peer.identity.aggregate)
    }

    /// Everything that the rules of a direction of an endpoint say, those included that Cilium adds.
    fn said(&self, owner: Owner<'_>, direction: Direction) -> Result<All<'a>, LevelsError> {
        let enforcement = self.enforcement;
        let is_host = owner.identity.labels.has_reserved(key::HOST);
        let is_off = enforcement.mode == Mode::Never;
        let governing = self.governing(owner).filter(|_| !is_off);
        let governing: Vec<&Policy> = governing
            .filter(|policy| {
                *policy.isolates.get(direction) || !policy.rules.get(direction).is_empty()
            })
            .collect();
        let is_flat = !self.has_aggregates();
        let mut placed: BTreeSet<Placed> = BTreeSet::new();
        for policy in &governing {
            let stage = Stage::from(policy.tier);
            let rules = policy.rules.get(direction).iter();
            placed.extend(
                rules.map(|rule| (stage, rule.precedence.rank, rule.action == Action::Pass)),
            );
            // A policy that only denies by default has a rule that matches nothing.
            if *policy.isolates.get(direction) {
                placed.insert((stage, 0, false));
            }
        }
        let denies = !is_off
            && (governing.iter().any(|policy| *policy.isolates.get(direction))
                || enforcement.mode == Mode::Always
                || owner.identity.labels.has_reserved(key::INIT));
        let may_host = direction == Direction::Ingress && enforcement.allows_own_node && !is_host;
        let mut defaults = Vec::new();
        if !denies {
            defaults.push((None, ALLOWS));
        } else {
            let has_host = may_host && (!governing.is_empty() || !enforcement.own_node_needs_rule);
            defaults.extend(has_host.then_some((Some(HOST), ALLOWS)));
            defaults.extend(pass(&placed).then_some((None, DENIES)));
        }
        let is_alone = governing.is_empty();
        let ranks = || added().map(|rank| if is_flat || is_alone { 0 } else { rank });
        if !is_alone {
            let added = defaults.iter().zip(ranks());
            placed.extend(added.map(|(_, rank)| (Stage::Default, rank, false)));
        }
        let order = Order::new(placed, is_flat)?;
        let mut all = All {
            rules: Vec::new(),
            by_identity: BTreeMap::new(),
            order,
        };
        for policy in &governing {
            for rule in policy.rules.get(direction) {
                all.rules.push(rule);
                self.add(&mut all, policy, rule, owner, direction);
            }
        }
        for ((peer, does), rank) in defaults.into_iter().zip(ranks()) {
            let said = Said {
                stage: all.stage(Stage::Default),
                number: all.order.number(Stage::Default, rank),
                does,
                auth: None,
            };
            let everyone = || self.standing_for_several().collect();
            let peers: Vec<u32> = peer.map_or_else(everyone, |one| vec![one]);
            for number in peers {
                all.add(number, Block::ANY, said);
            }
        }
        Ok(all)
    }

    fn add(
        &self,
        all: &mut All<'a>,
        policy: &Policy,
        rule: &'a Rule,
        owner: Owner<'_>,
        direction: Direction,
    ) {
        let stage = Stage::from(policy.tier);
        let said = Said {
            stage: all.stage(stage),
            number: all.order.number(stage, rule.precedence.rank),
            does: match (rule.action, rule.precedence.redirect) {
                (Action::Deny, _) => DENIES,
                (Action::Pass, _) => PASSES,
                (Action::Allow, None) => ALLOWS,
                (Action::Allow, Some(redirect)) => u8::MAX - redirect.priority,
            },
            auth: rule.precedence.auth,
        };
        let selected = self.selected(rule);
        let mut blocks = Vec::new();
        let mut names = Vec::new();
        match &rule.ports {
            None => blocks.push(Block::ANY),
            Some(ports) => {
                for port in ports {
                    match port {
                        PortMatch::Range { protocol, ports } => {
                            blocks.extend(ranged(*protocol, *ports));
                        }
                        PortMatch::Named { protocol, name } if direction == Direction::Ingress => {
                            blocks.extend(named(owner.ports, *protocol, name));
                        }
                        PortMatch::Named { protocol, name } => {
                            match &self.enforcement.shared_ports {
                                Some(shared) => blocks.extend(named(shared, *protocol, name)),
                                None => names.push((*protocol, name)),
                            }
                        }
                    }
                }
            }
        }
        let everyone = self.standing_for_several().filter(|_| selected.everyone);
        for number in everyone.chain(selected.identities.iter().copied()) {
            for block in &blocks {
                all.add(number, *block, said);
            }
        }
        if names.is_empty() {
            return;
        }
        // A name is looked up for each identity that owns it.
        let owners = self.known.iter().filter(|(number, peer)| {
            !peer.ports.is_empty()
                && (selected.everyone || selected.identities.binary_search(number).is_ok())
        });
        for (number, peer) in owners {
            for (protocol, name) in &names {
                for block in named(&peer.ports, *protocol, name) {
                    all.add(*number, block, said);
                }
            }
        }
    }

    fn selected(&self, rule: &Rule) -> Selected {
        let find = || {
            let Some(peers) = &rule.peers else {
                return Selected {
                    everyone: true,
                    identities: Vec::new(),
                };
            };
            let everyone = peers.iter().any(|peer| match peer {
                Peer::Identities(selectors) => selectors.iter().any(|one| one.is_everything()),
                Peer::Addresses(_) | Peer::Domain(_) | Peer::Pods(_) | Peer::Nodes(_) => false,
            });
            // Who is selected with everyone has no entry of its own, as far as the same is said.
            let others = peers.iter().filter(|peer| match peer {
                Peer::Identities(selectors) => !selectors.iter().any(|one| one.is_everything()),
                Peer::Addresses(_) | Peer::Domain(_) => true,
                Peer::Pods(_) | Peer::Nodes(_) => false,
            });
            let others: Vec<&Peer> = others.collect();
            let identities = self.known.iter().filter(|(_, known)| {
                others
                    .iter()
                    .any(|peer| peer_selects(self.enforcement, peer, &known.identity))
            });
            Selected {
                everyone,
                identities: identities.map(|(number, _)| *number).collect(),
            }
        };
        match self.selected.get(rule.id.index()) {
            Some(cell) => cell.get_or_init(find).clone(),
            None => find(),
        }
    }
}

/// The number of the endpoint's own node.
const HOST: u32 = 1;

/// What all rules say, by identity.
struct All<'a> {
    rules: Vec<&'a Rule>,
    by_identity: BTreeMap<u32, Sayings>,
    order: Order,
}

impl All<'_> {
    fn add(&mut self, number: u32, block: Block, said: Said) {
        self.by_identity.entry(number).or_default().add(block, said);
    }

    /// Where there are no tiers, all rules are in one.
    fn stage(&self, stage: Stage) -> Stage {
        if self.order.is_flat() {
            Stage::Normal
        } else {
            stage
        }
    }
}

fn ranged(protocol: Protocol, ports: PortRange) -> Vec<Block> {
    if ports == PortRange::ALL {
        vec![Block::of(protocol.0)]
    } else {
        Block::cover(protocol.0, ports.first, ports.last)
    }
}

/// The ports of a name, one of each protocol.
fn named(ports: &[NamedPort], protocol: Option<Protocol>, name: &str) -> Vec<Block> {
    let protocols = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
    let protocols = protocols
        .into_iter()
        .filter(|one| protocol.is_none_or(|protocol| protocol == *one));
    let of = |protocol: Protocol| {
        let number = is_named_port(ports, protocol, name)?;
        Some(Block::cover(protocol.0, number, number))
    };
    protocols.filter_map(of).flatten().collect()
}

/// What becomes of packets of which all this is said, in tiers one after the other: a pass leads to the next and lifts
/// what is said there to its own place. At equal places the narrowest counts, which comes first.
fn decide(said: &[(Block, Said)], order: &Order) -> Option<Value> {
    let mut lifted = 0;
    for stage in Stage::ALL {
        let of_stage = said.iter().map(|(_, said)| said);
        let of_stage = of_stage.filter(|said| said.stage == stage);
        let first = of_stage.reduce(|one, two| if two.rank() > one.rank() { two } else { one });
        let Some(first) = first else { continue };
        if first.does == PASSES {
            lifted += order.lift(stage, first.number);
            continue;
        }
        let number = first.number.saturating_sub(lifted);
        return Some(Value {
            precedence: weight(number, first.does),
            auth: demand(first),
        });
    }
    None
}

fn demand(said: &Said) -> Demand {
    let auth = said.auth.filter(|_| said.does != DENIES);
    auth.map_or(Demand::default(), Demand::explicit)
}

/// The rows of an identity, made of what is said of itself and of what it is taken together with.
fn together(own: &Sayings, shared: Option<(&Sayings, &Table)>, order: &Order) -> Table {
    let passes = own.has_pass() || shared.is_some_and(|(shared, _)| shared.has_pass());
    let mut blocks: BTreeSet<Block> = own.0.keys().copied().collect();
    if passes && let Some((shared, _)) = shared {
        blocks.extend(shared.0.keys());
    }
    let mut rows = Table::new();
    // A wider block comes first.
    for block in blocks {
        let mut said: Vec<(Block, Said)> = own.covering(block).collect();
        said.extend(shared.into_iter().flat_map(|(shared, _)| shared.covering(block)));
        said.sort_by_key(|(block, _)| std::cmp::Reverse(block.length));
        let Some(value) = decide(&said, order) else {
            continue;
        };
        let without = longest(&rows, block);
        let of_all = shared.and_then(|(_, table)| longest(table, block));
        let without = without.into_iter().chain(of_all);
        // At equal precedence the longer row counts, which is that of the identity itself only by chance.
        let without = without.reduce(|one, two| {
            if two.precedence > one.precedence {
                two
            } else {
                one
            }
        });
        let is_same = without.is_some_and(|without| {
            without.precedence == value.precedence
                && (without.auth == value.auth || !value.auth.is_explicit())
        });
        if !is_same {
            rows.insert(block, value);
        }
    }
    rows
}

/// The rows of an identity where rules demand proofs: a row without a demand of its own takes over that of the
/// narrowest wider one, and one with such a demand stays behind a wider row that comes first, with the precedence of
/// that.
fn with_demands(own: &Sayings, shared: Option<&Table>, order: &Order) -> Table {
    let mut rows = Table::new();
    for block in own.0.keys().copied() {
        let said: Vec<(Block, Said)> = own.covering(block).collect();
        let Some(most) = decide(&said, order) else {
            continue;
        };
        let of_block: Vec<(Block, Said)> = said
            .iter()
            .copied()
            .filter(|(covering, _)| *covering == block)
            .collect();
        let Some(itself) = decide(&of_block, order) else {
            continue;
        };
        let is_denied = most.does() == DENIES;
        let value = if is_denied {
            most
        } else if itself.auth.is_explicit() {
            Value {
                auth: itself.auth,
                ..most
            }
        } else {
            let wider = said.iter().filter(|(_, said)| said.does != DENIES);
            let demands = wider.filter_map(|(_, said)| said.auth).next();
            Value {
                auth: demands.map_or(Demand::default(), |auth| Demand::explicit(auth).derived()),
                ..most
            }
        };
        let comes_second = itself.precedence < most.precedence;
        let is_needless = comes_second && (is_denied || !itself.auth.is_explicit())
            || shared.and_then(|table| table.get(&block)) == Some(&value);
        if !is_needless {
            rows.insert(block, value);
        }
    }
    rows
}
