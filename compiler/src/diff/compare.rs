//! The differences between answers of two lists, each with an id.

use super::On;
use crate::flows::{Answer, AnswerId, Answers};
use crate::source::to_u32;
use rustc_hash::FxHashMap;

/// One of the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Which {
    /// The old policies on the old cluster.
    Old,
    /// The new policies on the new cluster.
    New,
    /// The new policies on the old cluster.
    Crossed,
}

impl Which {
    pub(super) const ALL: [Self; 3] = [Self::Old, Self::New, Self::Crossed];
}

/// Why a connection changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The policies: on the old cluster they would say what they say now.
    Policy,
    /// The cluster: on the old one the new policies would say what the old ones said.
    Cluster,
    /// Both.
    Both,
    /// One of its ends is new or has vanished.
    Workload,
}

/// Which way a connection changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Nothing passed before.
    Added,
    /// Nothing passes any more.
    Removed,
    /// Something else passes.
    Changed,
}

/// What changes between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delta {
    /// What passed.
    pub before: AnswerId,
    /// What passes.
    pub after: AnswerId,
    /// Why.
    pub reason: Reason,
}

impl Delta {
    /// Which way it changes.
    #[must_use]
    pub fn way(&self) -> Way {
        match (
            self.before == AnswerId::NOTHING,
            self.after == AnswerId::NOTHING,
        ) {
            (true, _) => Way::Added,
            (false, true) => Way::Removed,
            (false, false) => Way::Changed,
        }
    }
}

/// The index of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeltaId(u32);

impl DeltaId {
    /// No difference.
    pub const NOTHING: Self = Self(0);
}

/// The differences, and the answers of all lists under ids that they have in common.
#[derive(Debug)]
pub(super) struct Deltas {
    answers: Answers,
    /// By list and its own id.
    shared: FxHashMap<(Which, AnswerId), AnswerId>,
    list: Vec<Delta>,
    ids: FxHashMap<Delta, DeltaId>,
}

impl Default for Deltas {
    fn default() -> Self {
        Self {
            answers: Answers::new(),
            shared: FxHashMap::default(),
            list: vec![Delta {
                before: AnswerId::NOTHING,
                after: AnswerId::NOTHING,
                reason: Reason::Policy,
            }],
            ids: FxHashMap::default(),
        }
    }
}

impl Deltas {
    pub(super) fn known(&self, which: Which, id: AnswerId) -> Option<AnswerId> {
        self.shared.get(&(which, id)).copied()
    }

    pub(super) fn share(&mut self, which: Which, id: AnswerId, answer: Answer) -> AnswerId {
        let shared = self.answers.id(answer);
        self.shared.insert((which, id), shared);
        shared
    }

    pub(super) fn answer(&self, id: AnswerId) -> &Answer {
        self.answers.get(id)
    }

    pub(super) fn get(&self, id: DeltaId) -> Delta {
        let nothing = Delta {
            before: AnswerId::NOTHING,
            after: AnswerId::NOTHING,
            reason: Reason::Policy,
        };
        self.list.get(id.0 as usize).copied().unwrap_or(nothing)
    }

    /// The difference between what the old and the new list say; the third one tells why. A list that does not
    /// have both ends says nothing.
    pub(super) fn between(&mut self, answers: [Option<AnswerId>; 3], on: On) -> DeltaId {
        let [before, after, crossed] = answers;
        let [before, after] = [before, after].map(|answer| answer.unwrap_or(AnswerId::NOTHING));
        if before == after {
            return DeltaId::NOTHING;
        }
        let reason = match on {
            On::Old | On::New | On::Neither => Reason::Workload,
            On::Both => reason(before, after, crossed),
        };
        self.id(Delta {
            before,
            after,
            reason,
        })
    }

    fn id(&mut self, delta: Delta) -> DeltaId {
        let list = &mut self.list;
        *self.ids.entry(delta).or_insert_with(|| {
            list.push(delta);
            DeltaId(to_u32(list.len() - 1))
        })
    }
}

/// Why two answers differ; without a third one the clusters are the same.
fn reason(before: AnswerId, after: AnswerId, crossed: Option<AnswerId>) -> Reason {
    match crossed {
        None => Reason::Policy,
        Some(crossed) if crossed == after => Reason::Policy,
        Some(crossed) if crossed == before => Reason::Cluster,
        Some(_) => Reason::Both,
    }
}
