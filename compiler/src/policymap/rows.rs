//! The entries of an endpoint's policy map.
//!
//! Every rule says something of some identities and blocks of ports. An identity has a row for each block of which a
//! rule says something of it by its own labels; what is said of what the identity is taken together with is weighed
//! against it at the lookup. A row is left out where the lookup comes to the same without it.

use super::entry::{Block, Entry};
use super::lookup::{AGGREGATES, aggregate_of, number_of};
use super::numbers::Known;
use super::order::{ALLOWS, DENIES, LevelsError, Order, PASSES, Placed, Stage, added, pass};
use super::said::{Said, Sayings, Table, Value, together, with_demands};
use crate::cluster::{NamedPort, Protocol};
use crate::hir::spec::precedence::{governs, is_named_port, peer_selects};
use crate::hir::{
    Action, Direction, Enforcement, Mode, Peer, Policy, PolicyId, PolicySet, PortMatch, PortRange,
    Rule,
};
use crate::identity::{Aggregate, Identity, key};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// The port of a proxy that nobody has started yet: the agent gives one to each as it comes.
/// `pkg/policy/proxyid.go`, `unrealizedRedirectPort`
const NO_PROXY_YET: u16 = u16::MAX;

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
            && (governing
                .iter()
                .any(|policy| *policy.isolates.get(direction))
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
        let Some(selected) = self.selected(rule) else {
            return;
        };
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

    /// Whom a rule selects, found out once; `None` for a rule of another set.
    fn selected(&self, rule: &Rule) -> Option<&Selected> {
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
        let cell = self.selected.get(rule.id.index())?;
        Some(cell.get_or_init(find))
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
