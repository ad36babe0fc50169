//! The rules that make a difference.
//!
//! A packet of which the two sides say something else stands for a connection that changes; both sides judge it
//! between pods that have their answer. Guarantee: the rules of a [`Decision`] are those that decide about its
//! packet between its ends, by [`Program::judge`]. Found once per pair of classes: equal peers are decided about by the
//! same rules, but not by the same isolating policies, which are asked for each peer ([`Diff::isolating`]).

use super::compare::Which;
use super::{DeltaId, Diff};
use crate::explain::{self, Context, Deciding};
use crate::flows::Answer;
use crate::hir::flow::Transport;
use crate::hir::spec::{Judgement, Side, Truth, Verdict};
use crate::hir::{Auth, Direction, PerDirection, PolicyId, RuleId};
use crate::ir::Program;
use crate::list::matrix::Matrix;
use crate::list::peers::ClassId;
use crate::list::{Pair, Party, PeerId, RangesId};
use crate::query::{Family, Who};
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// The side before a change, or behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// Before.
    Before,
    /// Behind it.
    After,
}

impl When {
    /// Both, in their order.
    pub const ALL: [Self; 2] = [Self::Before, Self::After];

    pub(super) fn which(self) -> Which {
        match self {
            Self::Before => Which::Old,
            Self::After => Which::New,
        }
    }
}

/// What decides about a connection that changes.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What the packet carries.
    pub transport: Transport,
    /// The address outside from which it comes or to which it goes.
    pub address: Option<IpAddr>,
    before: Option<Judged>,
    after: Option<Judged>,
}

/// The packet as one side judges it.
#[derive(Clone, Debug)]
struct Judged {
    ends: Ends,
    verdicts: PerDirection<Passage>,
    deciding: PerDirection<Deciding>,
}

/// What becomes of a packet: the verdict, and whether the ends must prove who they are.
type Passage = (Verdict, bool);

fn passage(side: &Side) -> Passage {
    let auth = side.auth.filter(|auth| *auth != Auth::Disabled);
    (side.verdict, auth.is_some())
}

/// Between whom the packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The pod or the node that sends it; `None` for the address outside.
    pub src: Option<Who<'static>>,
    /// The pod or the node that it is sent to; `None` for the address outside.
    pub dst: Option<Who<'static>>,
    /// The family of their addresses.
    pub family: Family,
}

impl Decision {
    fn judged(&self, when: When) -> Option<&Judged> {
        match when {
            When::Before => self.before.as_ref(),
            When::After => self.after.as_ref(),
        }
    }

    /// Between whom the packet goes on one side; `None` where there is nobody between whom it can.
    #[must_use]
    pub fn ends(&self, when: When) -> Option<Ends> {
        self.judged(when).map(|judged| judged.ends)
    }

    /// The directions that make the difference.
    pub fn directions(&self) -> impl Iterator<Item = Direction> {
        let both = [Direction::Egress, Direction::Ingress];
        let differs = |direction: &Direction| match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                before.verdicts.get(*direction) != after.verdicts.get(*direction)
            }
            (None, _) | (_, None) => true,
        };
        let any = both.iter().any(differs);
        both.into_iter()
            .filter(move |direction| !any || differs(direction))
    }

    /// The rules that decide on one side, with whether they surely match.
    #[must_use]
    pub fn rules(&self, when: When) -> Vec<(RuleId, Truth)> {
        let Some(judged) = self.judged(when) else {
            return Vec::new();
        };
        let directions = self.directions();
        directions
            .flat_map(|direction| judged.deciding.get(direction).rules.iter().copied())
            .collect()
    }

    /// The directions in which it is, on one side, denied for want of a rule: policies isolate the end.
    pub fn isolated(&self, when: When) -> impl Iterator<Item = Direction> {
        let judged = self.judged(when);
        let directions = self.directions();
        directions.filter(move |direction| {
            judged.is_some_and(|judged| judged.deciding.get(*direction).isolated)
        })
    }
}

/// What was found for pairs of classes.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    known: FxHashMap<Key, usize>,
    list: Vec<Option<Decision>>,
}

/// Connections that the same rules decide about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key {
    Classes(ClassId, ClassId),
    Within(PeerId),
    Outside(ClassId, Direction, RangesId),
}

/// A verdict, whatever way it leads.
fn passing(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Redirect => Verdict::Allow,
        Verdict::Allow | Verdict::Deny | Verdict::Depends => verdict,
    }
}

impl Diff<'_> {
    /// What decides about a connection that changes.
    pub fn decision(&mut self, pair: &Pair<DeltaId>) -> Option<&Decision> {
        let key = self.key(pair)?;
        let index = match self.decisions.known.get(&key) {
            Some(index) => *index,
            None => {
                let decision = self.decide(key, pair);
                let index = self.decisions.list.len();
                self.decisions.list.push(decision);
                self.decisions.known.insert(key, index);
                index
            }
        };
        self.decisions.list.get(index)?.as_ref()
    }

    /// The policies that isolate a peer on one side.
    #[must_use]
    pub fn isolating(&self, when: When, peer: PeerId, direction: Direction) -> Vec<PolicyId> {
        let program = self.program(when);
        let own = self.matching.peer(when.which(), peer);
        let listing = self.listing(when.which());
        let peer = own.and_then(|own| listing?.peer(own));
        let pods = peer.map_or(&[][..], |peer| &peer.pods).iter();
        let of_pods = pods.flat_map(|pod| program.isolating(*pod, direction));
        let cluster = self.context(when).cluster;
        let node = peer.and_then(|peer| peer.node);
        let of_node = node.into_iter();
        let of_node = of_node.flat_map(|node| program.isolating_host(cluster, node, direction));
        let mut policies: Vec<PolicyId> = of_pods.chain(of_node).collect();
        policies.sort_unstable();
        policies.dedup();
        policies
    }

    /// The texts, the cluster and the policies of one side.
    #[must_use]
    pub fn context(&self, when: When) -> Context<'_> {
        match when {
            When::Before => self.worlds.old,
            When::After => self.worlds.new,
        }
    }

    pub(super) fn program(&self, when: When) -> &Program {
        match when {
            When::Before => &self.programs.old,
            When::After => &self.programs.new,
        }
    }

    fn key(&self, pair: &Pair<DeltaId>) -> Option<Key> {
        Some(match (pair.src, pair.dst) {
            (Party::Peer(src), Party::Peer(dst)) if src == dst => Key::Within(src),
            (Party::Peer(src), Party::Peer(dst)) => {
                Key::Classes(self.class_of(src)?, self.class_of(dst)?)
            }
            (Party::Outside(ranges), Party::Peer(dst)) => {
                Key::Outside(self.class_of(dst)?, Direction::Ingress, ranges)
            }
            (Party::Peer(src), Party::Outside(ranges)) => {
                Key::Outside(self.class_of(src)?, Direction::Egress, ranges)
            }
            (Party::Outside(_), Party::Outside(_)) => return None,
        })
    }

    fn decide(&self, key: Key, pair: &Pair<DeltaId>) -> Option<Decision> {
        let delta = self.delta(pair.answer);
        let [before, after] = [delta.before, delta.after].map(|id| self.answer(id));
        let differing = before.difference(after).first();
        let otherwise = || before.other_ways(after).first();
        let by_verdict = differing.is_some();
        let transport = differing.or_else(otherwise)?;
        let address = match key {
            Key::Classes(..) | Key::Within(_) => None,
            Key::Outside(_, _, ranges) => self.stranger(ranges),
        };
        let ends = self.sampled(key, pair);
        let judge = |when, other: &Answer| {
            let verdict = other.verdict(transport);
            let ways = [&other.proxied, &other.proving].map(|way| way.contains(transport));
            let is_other = |judgement: &Judgement| match by_verdict {
                // Sets of flows have what goes by way of a proxy as allowed.
                true => passing(judgement.verdict) != verdict,
                false => {
                    let proves = passage(&judgement.egress).1 || passage(&judgement.ingress).1;
                    [judgement.verdict == Verdict::Redirect, proves] != ways
                }
            };
            let mut flows = self.flows(when, ends, address, transport).into_iter();
            // Of several pods those are shown that make the difference: where it is that no packet can go between
            // two of them, for want of a common family, there are none.
            flows.find_map(|(ends, flow)| {
                let judgement = self.program(when).judge(&flow);
                let deciding =
                    |direction, side| explain::deciding(self.context(when), &flow, direction, side);
                is_other(&judgement).then(|| Judged {
                    ends,
                    verdicts: PerDirection {
                        ingress: passage(&judgement.ingress),
                        egress: passage(&judgement.egress),
                    },
                    deciding: PerDirection {
                        ingress: deciding(Direction::Ingress, &judgement.ingress),
                        egress: deciding(Direction::Egress, &judgement.egress),
                    },
                })
            })
        };
        Some(Decision {
            transport,
            address,
            before: judge(When::Before, after),
            after: judge(When::After, before),
        })
    }
}
