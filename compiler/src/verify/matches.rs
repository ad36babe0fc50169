//! How each list of peers matches each leaf, and each list of ports each packet: what the definition says, asked once.
//!
//! A selector of pods is asked of one leaf of each kind (those that no selector of pods tells apart) and, where it names a
//! namespace, of those in the namespace alone; every other peer is asked of each leaf.

use super::ends::Ends;
use super::enforcement;
use super::identities::truth;
use super::keys::Keys;
use super::runs::{Runs, extend, together};
use crate::hir::flow::{Endpoint, EndpointKind, Flow};
use crate::hir::spec::precedence::matches::ports_match;
use crate::hir::spec::{self, Truth, World};
use crate::hir::{Direction, Enforcement, NamespaceSelector, Peer, PortMatch, Rule, Tier};
use crate::identity::Identity;
use crate::lir::number;
use crate::lir::transport;
use rustc_hash::FxHashMap;
use std::sync::OnceLock;

/// A peer as the rules of a tier see it: those of namespaces, or those of the cluster.
type Seen<T> = (bool, T);

/// A list of ports, and the direction where they are matched by it.
type AskedPorts<'a> = (Option<Direction>, Option<&'a [PortMatch]>);

/// The lists of all rules, equal ones once.
#[derive(Debug, Default)]
pub(super) struct Lists<'a> {
    peers: Known<Seen<&'a Peer>>,
    peer_truths: Vec<OnceLock<Runs<Truth>>>,
    /// Of each list its peers; none matches everything.
    peer_lists: Known<Option<Vec<u32>>>,
    list_truths: Vec<OnceLock<Runs<Truth>>>,
    ports: Known<Seen<AskedPorts<'a>>>,
    /// A rule that has the list.
    with_ports: Vec<(Tier, &'a Rule, Direction)>,
    /// By list that has no name in it: of each cell of keys.
    port_truths: Vec<OnceLock<Box<[Truth]>>>,
    tiers: Vec<Tier>,
}

/// Equal things once, in the order in which they come.
#[derive(Debug)]
struct Known<T> {
    ids: FxHashMap<T, u32>,
    list: Vec<T>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self {
            ids: FxHashMap::default(),
            list: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Known<T> {
    fn id(&mut self, thing: T) -> u32 {
        let list = &mut self.list;
        *self.ids.entry(thing).or_insert_with_key(|thing| {
            list.push(thing.clone());
            number(list.len() - 1)
        })
    }
}

impl<'a> Lists<'a> {
    /// With room for the lists of so many rules: most are of one alone.
    pub(super) fn of_rules(count: usize) -> Self {
        let mut lists = Self::default();
        lists.peers.ids.reserve(count);
        lists.peer_lists.ids.reserve(count);
        lists
    }

    /// The list of peers and the list of ports of a rule, and the direction where ports are matched by it.
    pub(super) fn add(&mut self, tier: Tier, rule: &'a Rule, way: Option<Direction>) -> (u32, u32) {
        let of_namespace = tier == Tier::Namespace;
        let peers = rule.peers.as_ref().map(|peers| {
            let peers = peers.iter();
            peers
                .map(|peer| {
                    let id = self.peers.id((of_namespace, peer));
                    if id as usize == self.tiers.len() {
                        self.tiers.push(tier);
                    }
                    id
                })
                .collect()
        });
        let ports = self.ports.id((of_namespace, (way, rule.ports.as_deref())));
        if ports as usize == self.with_ports.len() {
            self.with_ports
                .push((tier, rule, way.unwrap_or(Direction::Ingress)));
        }
        (self.peer_lists.id(peers), ports)
    }

    /// Makes room for the answers, once all rules are there.
    pub(super) fn complete(&mut self) {
        self.peer_truths
            .resize_with(self.peers.list.len(), OnceLock::new);
        self.list_truths
            .resize_with(self.peer_lists.list.len(), OnceLock::new);
        self.port_truths
            .resize_with(self.ports.list.len(), OnceLock::new);
    }

    /// Whether a list of ports has a name in it.
    pub(super) fn has_names(&self, ports: u32) -> bool {
        let list = self.ports.list.get(ports as usize);
        let mut ports = list
            .into_iter()
            .flat_map(|(_, (_, list))| list.iter().copied().flatten());
        ports.any(|port| match port {
            PortMatch::Named { .. } => true,
            PortMatch::Range { .. } => false,
        })
    }

    /// How a list of peers matches each leaf.
    pub(super) fn peers(&self, world: World<'_>, ends: &Ends<'_>, list: u32) -> &[(u32, Truth)] {
        let everything = &[(0, Truth::Yes)];
        let nothing = &[(0, Truth::No)];
        match self.peer_lists.list.get(list as usize) {
            None | Some(None) => everything,
            Some(Some(peers)) => match peers[..] {
                [] => nothing,
                [peer] => self.peer(world, ends, peer),
                [_, _, ..] => {
                    let Some(slot) = self.list_truths.get(list as usize) else {
                        return everything;
                    };
                    slot.get_or_init(|| {
                        let runs = peers.iter().map(|peer| self.peer(world, ends, *peer));
                        let mut now = vec![Truth::No; peers.len()];
                        let mut greatest = vec![(0, Truth::No)];
                        together(&runs.collect::<Vec<_>>(), |first, told| {
                            for (column, truth) in told {
                                if let Some(slot) = now.get_mut(column) {
                                    *slot = truth;
                                }
                            }
                            let truth = now.iter().copied().max().unwrap_or(Truth::No);
                            extend(&mut greatest, first, truth);
                        });
                        greatest
                    })
                }
            },
        }
    }

    fn peer(&self, world: World<'_>, ends: &Ends<'_>, peer: u32) -> &[(u32, Truth)] {
        let index = peer as usize;
        let asked = self.peers.list.get(index).zip(self.tiers.get(index));
        let Some(((_, peer), tier)) = asked else {
            return &[];
        };
        let slot = self.peer_truths.get(index);
        slot.map_or(&[], |slot| {
            slot.get_or_init(|| match enforcement(world.policies) {
                None => ask(world, ends, *tier, peer),
                Some(enforcement) => ask_identities(enforcement, ends, peer),
            })
        })
    }

    /// How a list of peers matches an end of this identity.
    pub(super) fn of_identity(
        &self,
        enforcement: &Enforcement,
        list: u32,
        identity: &Identity,
        is_outside: bool,
    ) -> Truth {
        let Some(Some(peers)) = self.peer_lists.list.get(list as usize) else {
            return Truth::Yes;
        };
        let peers = peers
            .iter()
            .filter_map(|peer| self.peers.list.get(*peer as usize));
        let truths = peers.map(|(_, peer)| truth(enforcement, peer, identity, is_outside));
        truths.max().unwrap_or(Truth::No)
    }

    /// How a list of ports matches each cell of keys, where the destination is this one.
    pub(super) fn ports(
        &self,
        world: World<'_>,
        keys: &Keys,
        list: u32,
        dst: &Endpoint<'_>,
    ) -> Box<[Truth]> {
        let index = list as usize;
        let Some((tier, rule, direction)) = self.with_ports.get(index) else {
            return Box::default();
        };
        let answers = || {
            let cells = keys.packets.iter().map(|packet| {
                packet.map_or(Truth::No, |key| {
                    let flow = Flow {
                        src: *dst,
                        dst: *dst,
                        transport: transport::example(key),
                    };
                    match enforcement(world.policies) {
                        None => spec::ports_match(*tier, rule, &flow),
                        Some(enforcement) => ports_match(enforcement, rule, &flow, *direction),
                    }
                })
            });
            cells.collect()
        };
        match self.port_truths.get(index) {
            Some(slot) if !self.has_names(list) => slot.get_or_init(answers).clone(),
            Some(_) | None => answers(),
        }
    }
}

fn ask_identities(enforcement: &Enforcement, ends: &Ends<'_>, peer: &Peer) -> Runs<Truth> {
    let mut runs = Runs::new();
    for (seen, leaf) in ends.identities.iter().zip(0..) {
        extend(&mut runs, leaf, seen.truth(enforcement, peer));
    }
    runs
}

fn ask(world: World<'_>, ends: &Ends<'_>, tier: Tier, peer: &Peer) -> Runs<Truth> {
    let mut runs = vec![(0, Truth::No)];
    let truth = |leaf: u32| {
        let end = ends.examples.get(leaf as usize);
        end.map_or(Truth::No, |end| spec::peer_matches(world, tier, peer, end))
    };
    match peer {
        Peer::Pods(selector) => {
            for (first, last) in ends.kinds.iter().copied() {
                // A selector that names a namespace selects in no other.
                if !may_select(ends, &selector.namespaces, first) {
                    continue;
                }
                let truth = truth(first);
                if truth != Truth::No {
                    extend(&mut runs, first, truth);
                    extend(&mut runs, last + 1, Truth::No);
                }
            }
        }
        Peer::Nodes(_) | Peer::Addresses(_) | Peer::Domain(_) | Peer::Identities(_) => {
            for leaf in 0..number(ends.examples.len()) {
                extend(&mut runs, leaf, truth(leaf));
            }
        }
    }
    runs
}

fn may_select(ends: &Ends<'_>, namespaces: &NamespaceSelector, leaf: u32) -> bool {
    let NamespaceSelector::Named(name) = namespaces else {
        return true;
    };
    let end = ends.examples.get(leaf as usize).map(|end| &end.kind);
    match end {
        Some(EndpointKind::Pod(pod)) => **name == *pod.namespace,
        Some(EndpointKind::Node(_) | EndpointKind::Outside) | None => false,
    }
}
