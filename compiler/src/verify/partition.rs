//! The leaves by how lists of peers match.

use super::Prover;
use super::runs::{Runs, extend, together};
use super::truths::Truths;
use crate::lir::number;
use rustc_hash::FxHashMap;

/// The leaves, those that some lists of peers match alike in one class.
#[derive(Debug)]
pub(super) struct Partition {
    /// The class of each leaf.
    pub(super) leaves: Runs<u32>,
    /// By class: how each list matches.
    pub(super) classes: Vec<Truths>,
}

impl Partition {
    /// The leaves by how these lists match.
    pub(super) fn of(prover: &Prover<'_>, lists: &[u32]) -> Self {
        let columns = lists.iter();
        let columns: Vec<_> = columns
            .map(|list| prover.lists.peers(prover.world(), &prover.ends, *list))
            .collect();
        let mut now = Truths::none(lists.len());
        let mut found = Self {
            leaves: vec![(0, 0)],
            classes: vec![now.clone()],
        };
        let mut known = FxHashMap::default();
        known.insert(now.clone(), 0);
        together(&columns, |first, changed| {
            changed.for_each(|(list, truth)| now.set(list, truth));
            let class = known.get(&now).copied().unwrap_or_else(|| {
                let class = number(found.classes.len());
                found.classes.push(now.clone());
                known.insert(now.clone(), class);
                class
            });
            extend(&mut found.leaves, first, class);
        });
        found
    }
}
