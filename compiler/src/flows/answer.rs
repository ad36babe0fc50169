//! The answer for all packets between two ends at once.

use super::Packets;
use crate::hir::flow::Transport;
use crate::hir::spec::Verdict;
use crate::query::Family;
use crate::source::to_u32;
use rustc_hash::FxHashMap;

/// What becomes of packets: those in neither set are denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Answer {
    /// They pass.
    pub allow: Packets,
    /// It hangs on something that the snapshot or the API leaves open, or the flows that the packet stands
    /// for have different answers. Disjoint from `allow`.
    pub depends: Packets,
    /// Of what is in one of the two: what goes by way of a proxy at one of the ends, or may.
    pub proxied: Packets,
    /// Of what is in one of the two: what passes only where the ends have proved who they are, or may.
    pub proving: Packets,
}

impl Answer {
    /// Of what may be allowed and what may be denied: together these are all packets. Of the former, with what may be so by
    /// way of a proxy, and where the ends must prove who they are.
    #[must_use]
    pub fn of_outcomes(
        allow: &Packets,
        deny: &Packets,
        proxied: Packets,
        proving: Packets,
    ) -> Self {
        Self {
            allow: allow.minus(deny),
            depends: allow.intersection(deny),
            proxied,
            proving,
        }
    }

    /// Everything passes.
    #[must_use]
    pub fn all() -> Self {
        Self {
            allow: Packets::all(),
            ..Self::default()
        }
    }

    /// Nothing passes.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// What does not surely fail.
    #[must_use]
    pub fn possible(&self) -> Packets {
        self.allow.union(&self.depends)
    }

    /// What both sides of a flow say together, as [`spec::both`](crate::hir::spec::both) does.
    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        let allow = self.allow.intersection(&other.allow);
        let possible = self.possible().intersection(&other.possible());
        let proxied = self.proxied.union(&other.proxied);
        let proving = self.proving.union(&other.proving);
        Self {
            depends: possible.minus(&allow),
            proxied: proxied.intersection(&possible),
            proving: proving.intersection(&possible),
            allow,
        }
    }

    /// One answer of two flows, as [`combine`](crate::query::combine) does: what they agree on, and `depends`
    /// where they do not.
    #[must_use]
    pub fn agreed(&self, other: &Self) -> Self {
        let allow = self.allow.intersection(&other.allow);
        let depends = self.possible().union(&other.possible()).minus(&allow);
        Self {
            allow,
            depends,
            proxied: self.proxied.union(&other.proxied),
            proving: self.proving.union(&other.proving),
        }
    }

    /// For some packets only; the others are denied.
    #[must_use]
    pub fn within(&self, packets: &Packets) -> Self {
        Self {
            allow: self.allow.intersection(packets),
            depends: self.depends.intersection(packets),
            proxied: self.proxied.intersection(packets),
            proving: self.proving.intersection(packets),
        }
    }

    /// One answer of those in two families, each for the packets that its family carries: what they agree on
    /// where both carry a packet.
    #[must_use]
    pub fn of_families(v4: &Self, v6: &Self) -> Self {
        let [by_v4, by_v6] = [Family::V4, Family::V6].map(Packets::carried_by);
        let shared = v4.agreed(v6).within(&by_v4.intersection(&by_v6));
        let alone = v4
            .within(&by_v4.minus(&by_v6))
            .beside(&v6.within(&by_v6.minus(&by_v4)));
        shared.beside(&alone)
    }

    /// Two answers about packets that have nothing in common.
    fn beside(&self, other: &Self) -> Self {
        Self {
            allow: self.allow.union(&other.allow),
            depends: self.depends.union(&other.depends),
            proxied: self.proxied.union(&other.proxied),
            proving: self.proving.union(&other.proving),
        }
    }

    /// The packets of which the other answer says something else; by what way they pass is no matter.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Packets {
        let allow = self.allow.minus(&other.allow);
        let denied = self.possible().minus(&other.possible());
        let [more, further] = [
            other.allow.minus(&self.allow),
            other.possible().minus(&self.possible()),
        ];
        allow.union(&denied).union(&more).union(&further)
    }

    /// The packets that pass by both, or may, but by another way: by way of a proxy, or where the ends must prove who they are,
    /// by one of the two alone.
    #[must_use]
    pub fn other_ways(&self, other: &Self) -> Packets {
        let both = self.possible().intersection(&other.possible());
        let apart = |one: &Packets, two: &Packets| one.minus(two).union(&two.minus(one));
        let proxied = apart(&self.proxied, &other.proxied);
        let proving = apart(&self.proving, &other.proving);
        proxied.union(&proving).intersection(&both)
    }

    /// What becomes of a packet.
    #[must_use]
    pub fn verdict(&self, packet: Transport) -> Verdict {
        if self.allow.contains(packet) {
            Verdict::Allow
        } else if self.depends.contains(packet) {
            Verdict::Depends
        } else {
            Verdict::Deny
        }
    }
}

/// The index of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerId(u32);

impl AnswerId {
    /// [`Answer::nothing`]
    pub const NOTHING: Self = Self(0);
    /// [`Answer::all`]
    pub const ALL: Self = Self(1);
}

/// The distinct answers, and what comes of pairs of them.
#[derive(Debug)]
pub(crate) struct Answers {
    list: Vec<Answer>,
    ids: FxHashMap<Answer, AnswerId>,
    known: FxHashMap<(Operation, AnswerId, AnswerId), AnswerId>,
}

/// How two answers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    /// [`Answer::both`]
    Both,
    /// [`Answer::agreed`]
    Agreed,
    /// [`Answer::of_families`]
    Beside,
    /// [`Answer::within`] what IPv4 carries, of the first.
    InV4,
    /// The same for IPv6.
    InV6,
}

impl Answers {
    pub(crate) fn new() -> Self {
        let mut answers = Self {
            list: Vec::new(),
            ids: FxHashMap::default(),
            known: FxHashMap::default(),
        };
        answers.id(Answer::nothing());
        answers.id(Answer::all());
        answers
    }

    pub(crate) fn id(&mut self, answer: Answer) -> AnswerId {
        if let Some(id) = self.ids.get(&answer) {
            return *id;
        }
        let id = AnswerId(to_u32(self.list.len()));
        self.list.push(answer.clone());
        self.ids.insert(answer, id);
        id
    }

    pub(crate) fn get(&self, id: AnswerId) -> &Answer {
        static NOTHING: std::sync::LazyLock<Answer> = std::sync::LazyLock::new(Answer::nothing);
        self.list.get(id.0 as usize).unwrap_or(&NOTHING)
    }

    /// An answer for the packets that a family carries.
    pub(super) fn carried(&mut self, answer: AnswerId, family: Family) -> AnswerId {
        let operation = match family {
            Family::V4 => Operation::InV4,
            Family::V6 => Operation::InV6,
        };
        self.of(operation, answer, answer)
    }

    pub(super) fn of(&mut self, operation: Operation, one: AnswerId, other: AnswerId) -> AnswerId {
        if let Some(known) = self.known.get(&(operation, one, other)) {
            return *known;
        }
        let (a, b) = (self.get(one), self.get(other));
        let answer = match operation {
            Operation::Both => a.both(b),
            Operation::Agreed => a.agreed(b),
            Operation::Beside => Answer::of_families(a, b),
            Operation::InV4 => a.within(&Packets::carried_by(Family::V4)),
            Operation::InV6 => a.within(&Packets::carried_by(Family::V6)),
        };
        let id = self.id(answer);
        self.known.insert((operation, one, other), id);
        id
    }
}
