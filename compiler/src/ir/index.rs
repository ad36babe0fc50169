//! Which label sets a selector matches, by an inverted index.
//!
//! Input: label sets, then selectors. Guarantee: [`LabelIndex::select`] returns what asking
//! [`hir::Selector::matches`] of every label set would. The index only finds candidates: those of the
//! requirement that has the fewest; the definition decides on each.

use crate::cluster::Labels;
use crate::hir::{Operator, Requirement, Selector};
use rustc_hash::FxHashMap;

/// Label sets by what is in them.
pub(super) struct LabelIndex<'c> {
    sets: Vec<&'c Labels>,
    by_key: FxHashMap<&'c str, Postings<'c>>,
}

/// Where a key occurs, as indices into the label sets: sorted.
#[derive(Default)]
struct Postings<'c> {
    all: Vec<u32>,
    by_value: FxHashMap<&'c str, Vec<u32>>,
}

impl<'c> LabelIndex<'c> {
    pub(super) fn new(sets: Vec<&'c Labels>) -> Self {
        let mut by_key: FxHashMap<&str, Postings<'_>> = FxHashMap::default();
        for (index, labels) in sets.iter().enumerate() {
            for (key, value) in labels.iter() {
                let postings = by_key.entry(key).or_default();
                postings.all.push(super::id(index));
                postings
                    .by_value
                    .entry(value)
                    .or_default()
                    .push(super::id(index));
            }
        }
        Self { sets, by_key }
    }

    /// The label sets that a selector matches, sorted.
    pub(super) fn select(&self, selector: &Selector) -> Vec<u32> {
        let mut candidates = self.candidates(selector);
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|index| {
            self.sets
                .get(*index as usize)
                .is_some_and(|labels| selector.matches(labels))
        });
        candidates
    }

    fn candidates(&self, selector: &Selector) -> Vec<u32> {
        selector
            .requirements
            .iter()
            .filter_map(|requirement| self.postings(requirement))
            .min_by_key(|lists| lists.iter().map(|list| list.len()).sum::<usize>())
            .map_or_else(
                || (0..super::id(self.sets.len())).collect(),
                |lists| lists.concat(),
            )
    }

    /// The label sets that may meet a requirement; `None` where only a look at each tells.
    fn postings(&self, requirement: &Requirement) -> Option<Vec<&[u32]>> {
        let key = self.by_key.get(&*requirement.key);
        match &requirement.operator {
            Operator::In(values) => Some(
                values
                    .iter()
                    .filter_map(|value| Some(&**key?.by_value.get(&**value)?))
                    .collect(),
            ),
            Operator::Exists => Some(key.map(|key| &*key.all).into_iter().collect()),
            Operator::NotIn(_) | Operator::DoesNotExist => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(key: &str, operator: Operator) -> Requirement {
        Requirement {
            key: key.into(),
            operator,
        }
    }

    #[test]
    fn every_operator_selects_what_it_matches() {
        let sets: Vec<Labels> = [
            &[("app", "a"), ("tier", "1")][..],
            &[("app", "b")],
            &[("tier", "2")],
            &[],
        ]
        .iter()
        .map(|labels| labels.iter().copied().collect())
        .collect();
        let index = LabelIndex::new(sets.iter().collect());
        let values = |values: &[&str]| values.iter().map(|value| Box::from(*value)).collect();
        let operators = [
            Operator::In(values(&["a", "b"])),
            Operator::In(values(&["1"])),
            Operator::In(values(&[])),
            Operator::NotIn(values(&["a"])),
            Operator::Exists,
            Operator::DoesNotExist,
        ];
        for one in &operators {
            for other in &operators {
                let selector = Selector {
                    requirements: vec![
                        requirement("app", one.clone()),
                        requirement("tier", other.clone()),
                    ],
                };
                let expected: Vec<u32> = (0..4)
                    .filter(|index| selector.matches(&sets[*index as usize]))
                    .collect();
                assert_eq!(index.select(&selector), expected, "{selector:?}");
            }
        }
    }
}
