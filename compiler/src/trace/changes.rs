//! The flows that disagree, each once, with how often they do.

use super::Change;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use std::hash::{Hash, Hasher};

/// The flows in the order in which they first occur; at most so many.
#[derive(Debug, Default)]
pub(super) struct Changes {
    list: Vec<(Change, u64)>,
    seen: FxHashMap<Change, usize>,
    /// The hashes of what flows on the list were made of.
    made_of: FxHashSet<u64>,
    most: usize,
    more: u64,
}

impl Changes {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// As [`Self::find`], of a flow that need not be put into words where the list is full and it is not on it, as what it
    /// would be made of tells.
    pub(super) fn find_made_of(
        &mut self,
        parts: impl Hash,
        change: impl FnOnce() -> Change,
    ) -> Option<usize> {
        let mut hasher = FxHasher::default();
        parts.hash(&mut hasher);
        let hash = hasher.finish();
        if self.list.len() < self.most {
            self.made_of.insert(hash);
        } else if !self.made_of.contains(&hash) {
            return None;
        }
        self.find(change())
    }

    /// Where a flow is on the list, on which it is put if it is new; `None` where the list is full.
    pub(super) fn find(&mut self, change: Change) -> Option<usize> {
        if let Some(known) = self.seen.get(&change) {
            return Some(*known);
        }
        if self.list.len() >= self.most {
            return None;
        }
        let index = self.list.len();
        self.list.push((change.clone(), 0));
        self.seen.insert(change, index);
        Some(index)
    }

    /// Counts a flow.
    pub(super) fn count(&mut self, index: Option<usize>, more: u64) {
        match index.and_then(|index| self.list.get_mut(index)) {
            Some((_, count)) => *count += more,
            None => self.more += more,
        }
    }

    /// Takes in what another list has, and empties it.
    pub(super) fn append(&mut self, other: &mut Self) {
        other.seen.clear();
        other.made_of.clear();
        for (change, count) in other.list.drain(..) {
            let index = self.find(change);
            self.count(index, count);
        }
        self.more += std::mem::take(&mut other.more);
    }

    /// The flows, and how many records are of none of them.
    pub(super) fn finish(self) -> (Vec<(Change, u64)>, u64) {
        (self.list, self.more)
    }
}
