//! Pods that do not exist, beside the classes of those that do.
//!
//! A pod that does not exist is known by its labels, its namespace and the labels of that: its named ports, its
//! address and its node are not. What its own policies say, and what those of the pod at the other end say, are
//! asked apart: many pods that do not exist have one of them in common.

use super::Answer;
use super::answer::{AnswerId, Answers, Operation};
use super::connections::Connections;
use super::ends::{ChainId, EndId, EndKind};
use super::rows::{Signature, asks_for_names, rules_of};
use super::side::{NamedPorts, Side};
use crate::cluster::PortsId;
use crate::hir::Direction;
use crate::hir::spec::Truth;
use crate::ir::kinds::From;
use crate::ir::{Chain, Other, Program, SelectorId, Table};
use crate::query::{self, Family, Hypothetical, Who};
use crate::source::to_u32;
use rustc_hash::FxHashMap;

/// What governs pods that do not exist: a set of policies or, where that hangs on the address, one of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Governed(u32);

/// What one side says in IPv4 and in IPv6.
pub type PerFamily = [AnswerId; 2];

/// What was asked so far.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    tables: Vec<Table>,
    /// By the policies that govern: the table.
    of_policies: FxHashMap<Vec<u32>, u32>,
    /// By [`Governed`] and family: tables.
    governed: Vec<[Vec<u32>; 2]>,
    ids: FxHashMap<[Vec<u32>; 2], Governed>,
    own: FxHashMap<(Governed, EndId, Direction), PerFamily>,
    sides: FxHashMap<SideKey, AnswerId>,
}

/// What makes an answer of one side: the chain, the named ports of the destination where a rule asks for them
/// and whether it is on the network of a node, the rules that match the other end, and whether that is the node of the
/// subject.
type SideKey = (Chained, Option<(PortsId, bool)>, Signature, bool);

/// Which chain is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Chained {
    /// Those of a class, in a direction of its own.
    Known(ChainId, Direction),
    /// That of a table of pods that do not exist, in a direction of theirs.
    Fresh(u32, Direction),
}

impl Connections<'_> {
    /// What becomes of packets between a pod of a class and one that does not exist: those that come to the
    /// class, or those that leave it, by `direction`.
    pub fn beside_fresh(
        &mut self,
        end: EndId,
        direction: Direction,
        pod: Hypothetical<'_>,
    ) -> AnswerId {
        let governed = self.governed(pod);
        let own = self.side_of_fresh(end, direction, governed);
        let other = self.side_towards_fresh(end, direction, pod);
        self.with_fresh(end, own, other)
    }

    /// The selectors of pods that the rules which govern a class ask, in a direction of its own.
    #[must_use]
    pub fn peers_asked(&self, end: EndId, direction: Direction) -> Vec<SelectorId> {
        let rules = self.chains_of(end, direction).into_iter();
        let rules = rules.flat_map(|chain| rules_of(self.program, chain));
        let peers = rules.filter_map(|(.., peers)| self.program.peers.get(peers.index()));
        let mut selectors: Vec<SelectorId> =
            peers.flat_map(|peers| &peers.selectors).copied().collect();
        selectors.sort_unstable();
        selectors.dedup();
        selectors
    }

    /// What governs a class, in each family; nothing on the network of a node that no policy governs.
    fn chains_of(&self, end: EndId, direction: Direction) -> Vec<&Chain> {
        let chains = self.ends.get(end).and_then(|end| end.chains_of(direction));
        let mut chains: Vec<ChainId> = chains.into_iter().flatten().collect();
        chains.dedup();
        let lists = chains.into_iter().map(|list| self.ends.chains(list));
        lists.flatten().copied().collect()
    }

    /// The policies that would govern a pod.
    pub fn governed(&mut self, pod: Hypothetical<'_>) -> Governed {
        let view = query::hypothetical_view(pod);
        let program = self.program;
        let Fresh {
            tables,
            of_policies,
            governed,
            ids,
            ..
        } = &mut self.fresh;
        let of_family = [Family::V4, Family::V6].map(|family| {
            let lists = program.governing(&view, family.unknown()).into_iter();
            let own = lists.map(|policies| {
                let table = of_policies.entry(policies);
                *table.or_insert_with_key(|policies| {
                    tables.push(program.fresh_table_of(&view, policies));
                    to_u32(tables.len() - 1)
                })
            });
            own.collect::<Vec<u32>>()
        });
        *ids.entry(of_family).or_insert_with_key(|of_family| {
            governed.push(of_family.clone());
            Governed(to_u32(governed.len() - 1))
        })
    }

    /// What the policies that govern a pod that does not exist say of packets that come to a class from it, or
    /// leave that class for it, by `direction`.
    pub fn side_of_fresh(
        &mut self,
        end: EndId,
        direction: Direction,
        governed: Governed,
    ) -> PerFamily {
        let key = (governed, end, direction);
        if let Some(known) = self.fresh.own.get(&key) {
            return *known;
        }
        let of_family = self.fresh.governed.get(governed.0 as usize);
        let [v4, v6] = of_family.cloned().unwrap_or_default();
        let sides = [(Family::V4, v4), (Family::V6, v6)].map(|(family, tables)| {
            let tables = tables.into_iter();
            let said = tables.filter_map(|table| self.said_by(end, direction, family, table));
            let said: Vec<AnswerId> = said.collect();
            said.into_iter()
                .reduce(|one, other| self.agreed(one, other))
                .unwrap_or(AnswerId::ALL)
        });
        self.fresh.own.insert(key, sides);
        sides
    }

    /// What one table of those that govern a pod that does not exist says, in a family.
    fn said_by(
        &mut self,
        end: EndId,
        direction: Direction,
        family: Family,
        table: u32,
    ) -> Option<AnswerId> {
        let own = direction.opposite();
        let chain = self.fresh.tables.get(table as usize)?.chains.get(own);
        let one = self.ends.get(end)?;
        let names = direction == Direction::Ingress && asks_for_names(self.program, chain);
        let ports = match one.kind {
            EndKind::Pod { ports, host, .. } if names => Some((ports, host)),
            EndKind::Pod { .. } | EndKind::Node { .. } => None,
        };
        let named = match direction {
            Direction::Ingress if ports.is_some() => one.named(self.cluster, self.program),
            Direction::Ingress => NamedPorts::None,
            Direction::Egress => NamedPorts::Unknown,
        };
        let mut all = None;
        for endpoint in one.endpoints(self.cluster, family) {
            for other in self.program.others(&endpoint, From::Unknown) {
                let signature = signature(self.program, [chain], &other);
                let is_host = self.program.is_host(&other);
                let key = (Chained::Fresh(table, own), ports, signature, is_host);
                let answer =
                    worked_out(&mut self.fresh.sides, &mut self.answers, key, |signature| {
                        side(self.program, [chain], named, signature, is_host)
                    });
                let agreed = |known| self.answers.of(Operation::Agreed, known, answer);
                all = Some(all.map_or(answer, agreed));
            }
        }
        all
    }

    /// What the policies that govern a class say of packets that come to it from a pod that does not exist, or
    /// leave it for that.
    pub fn side_towards_fresh(
        &mut self,
        end: EndId,
        direction: Direction,
        pod: Hypothetical<'_>,
    ) -> PerFamily {
        let chains = self.ends.get(end).and_then(|end| end.chains_of(direction));
        let Some([v4, v6]) = chains else {
            return [AnswerId::ALL; 2];
        };
        let ports = match self.ends.get(end).map(|end| end.kind) {
            Some(EndKind::Pod { ports, host, .. }) => Some((ports, host)),
            Some(EndKind::Node { .. }) | None => None,
        };
        [(v4, Family::V4), (v6, Family::V6)].map(|(id, family)| {
            let (named, ports) = match direction {
                Direction::Ingress => {
                    let end = self.ends.get(end);
                    let named = end.map_or(NamedPorts::None, |end| {
                        end.named(self.cluster, self.program)
                    });
                    (named, ports)
                }
                Direction::Egress => (NamedPorts::Unknown, None),
            };
            let chains = self.ends.chains(id).iter().copied();
            let other = query::endpoint(self.cluster, Who::Hypothetical(pod), family);
            let mut all = None;
            for other in self.program.others(&other, From::Unknown) {
                let signature = signature(self.program, chains.clone(), &other);
                let key = (Chained::Known(id, direction), ports, signature, false);
                let answer =
                    worked_out(&mut self.fresh.sides, &mut self.answers, key, |signature| {
                        side(self.program, chains.clone(), named, signature, false)
                    });
                let agreed = |known| self.answers.of(Operation::Agreed, known, answer);
                all = Some(all.map_or(answer, agreed));
            }
            all.unwrap_or(AnswerId::ALL)
        })
    }
}

/// What a side says, worked out once.
fn worked_out(
    sides: &mut FxHashMap<SideKey, AnswerId>,
    answers: &mut Answers,
    key: SideKey,
    make: impl FnOnce(&Signature) -> Answer,
) -> AnswerId {
    if let Some(known) = sides.get(&key) {
        return *known;
    }
    let answer = answers.id(make(&key.2));
    sides.insert(key, answer);
    answer
}

/// Which rules of some chains match the other end.
fn signature<'a>(
    program: &'a Program,
    chains: impl IntoIterator<Item = &'a Chain>,
    other: &Other<'_>,
) -> Signature {
    let rules = chains
        .into_iter()
        .flat_map(|chain| rules_of(program, chain));
    let matching = rules.filter_map(|(index, _, peers)| {
        let truth = other.is_in(program, program.peers.get(peers.index())?);
        (truth != Truth::No).then_some((index, truth))
    });
    let mut signature: Signature = matching.collect();
    signature.sort_unstable();
    signature.dedup();
    signature
}

/// What a side says that is governed by one of some chains.
fn side<'a>(
    program: &'a Program,
    chains: impl IntoIterator<Item = &'a Chain>,
    named: NamedPorts<'_>,
    signature: &Signature,
    is_host: bool,
) -> Answer {
    let side = Side {
        program,
        named,
        peers: |rule: u32| {
            let found = signature.binary_search_by_key(&rule, |(index, _)| *index);
            let found = found.ok().and_then(|at| signature.get(at));
            found.map_or(Truth::No, |(_, truth)| *truth)
        },
    };
    // Where a pod that does not exist will run is not known: it is on no node that a class is on, but where rules ask what
    // both would be.
    let said = chains.into_iter().map(|chain| side.tiers(chain, is_host));
    let said = said.reduce(|one, other| one.agreed(&other));
    said.unwrap_or_else(Answer::all)
}
