//! Which label sets a selector matches, by an inverted index.
//!
//! Input: label sets, then selectors. Guarantee: [`LabelIndex::select`] returns what asking
//! [`Selector::matches`] of every label set would. The requirement that the fewest may meet
//! gives candidates; where these are few the definition decides on each, else what each requirement leaves over is found by the
//! index as well.

use super::{Operator, Requirement, Selector};
use crate::cluster::Labels;
use crate::source::to_u32;
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// Label sets by what is in them.
#[derive(Debug)]
pub(crate) struct LabelIndex {
    sets: Vec<Labels>,
    by_key: FxHashMap<Box<str>, Postings>,
}

/// Where a key occurs, as indices into the label sets: sorted.
#[derive(Debug, Default)]
struct Postings<T = Box<str>> {
    all: Vec<u32>,
    by_value: FxHashMap<T, Vec<u32>>,
}

/// So many candidates are sooner asked one by one than looked up.
const FEW: usize = 16;

impl LabelIndex {
    pub(crate) fn new<'c>(sets: impl Iterator<Item = &'c Labels>) -> Self {
        let sets: Vec<Labels> = sets.cloned().collect();
        let mut by_key: FxHashMap<&str, Postings<&str>> = FxHashMap::default();
        for (labels, index) in sets.iter().zip(0..) {
            for (key, value) in labels.iter() {
                let found = by_key.entry(key).or_default();
                found.all.push(index);
                found.by_value.entry(value).or_default().push(index);
            }
        }
        let by_key = by_key.into_iter().map(|(key, Postings { all, by_value })| {
            let by_value = by_value.into_iter();
            let by_value = by_value.map(|(value, sets)| (value.into(), sets));
            let by_value = by_value.collect();
            (key.into(), Postings { all, by_value })
        });
        Self {
            by_key: by_key.collect(),
            sets,
        }
    }

    /// The label sets that a selector matches, sorted.
    pub(crate) fn select(&self, selector: &Selector) -> Vec<u32> {
        let requirements = selector.requirements.iter();
        let (excluding, mut positive): (Vec<_>, Vec<_>) = requirements
            .map(|requirement| self.postings(requirement))
            .partition(|(_, is_excluding)| *is_excluding);
        let length = |lists: &[&[u32]]| lists.iter().map(|list| list.len()).sum::<usize>();
        let sizes = positive.iter().map(|(lists, _)| length(lists));
        let least = sizes.enumerate().min_by_key(|(_, size)| *size);
        let mut found = match least {
            None => (0..to_u32(self.sets.len())).collect(),
            Some((least, _)) => merged(&positive.swap_remove(least).0).into_owned(),
        };
        if found.len() <= FEW {
            found.retain(|index| {
                let labels = self.sets.get(*index as usize);
                labels.is_some_and(|labels| selector.matches(labels))
            });
            return found;
        }
        for (lists, is_excluding) in positive.iter().chain(&excluding) {
            let met = merged(lists);
            let mut met = met.iter().peekable();
            // Both ascend.
            found.retain(|index| {
                while met.next_if(|own| *own < index).is_some() {}
                (met.peek() == Some(&index)) != *is_excluding
            });
        }
        found
    }

    /// Lists of the label sets that meet a requirement, no two with a common member; or, where that is told, of those that do not.
    fn postings(&self, requirement: &Requirement) -> (Vec<&[u32]>, bool) {
        let key = self.by_key.get(&*requirement.key);
        let with_key = || key.map(|key| &*key.all).into_iter().collect();
        let with_value = |values: &[Box<str>]| {
            let mut values: Vec<&str> = values.iter().map(|value| &**value).collect();
            values.sort_unstable();
            values.dedup();
            let lists = values.into_iter();
            lists
                .filter_map(|value| Some(&**key?.by_value.get(value)?))
                .collect()
        };
        match &requirement.operator {
            Operator::In(values) => (with_value(values), false),
            Operator::NotIn(values) => (with_value(values), true),
            Operator::Exists => (with_key(), false),
            Operator::DoesNotExist => (with_key(), true),
        }
    }
}

/// The members of all lists, ascending.
fn merged<'l>(lists: &[&'l [u32]]) -> Cow<'l, [u32]> {
    if let [one] = lists {
        return Cow::Borrowed(one);
    }
    let mut all = lists.concat();
    // Each ascends: that is what a stable sort makes use of.
    all.sort();
    Cow::Owned(all)
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
        // Few label sets, and many: each way to decide on candidates is gone.
        for times in [1, 3 * FEW] {
            every_operator(times);
        }
    }

    fn every_operator(times: usize) {
        let sets: Vec<Labels> = [
            &[("app", "a"), ("tier", "1")][..],
            &[("app", "b")],
            &[("tier", "2")],
            &[],
        ]
        .iter()
        .cycle()
        .take(4 * times)
        .map(|labels| labels.iter().copied().collect())
        .collect();
        let index = LabelIndex::new(sets.iter());
        let values = |values: &[&str]| values.iter().map(|value| Box::from(*value)).collect();
        let operators = [
            Operator::In(values(&["b", "a", "b"])),
            Operator::In(values(&["1"])),
            Operator::In(values(&[])),
            Operator::NotIn(values(&["a"])),
            Operator::Exists,
            Operator::DoesNotExist,
        ];
        for one in &operators {
            for other in &operators {
                let selector = Selector {
                    requirements: [
                        requirement("app", one.clone()),
                        requirement("tier", other.clone()),
                    ]
                    .into(),
                };
                let expected: Vec<u32> = (0..)
                    .zip(&sets)
                    .filter(|(_, labels)| selector.matches(labels))
                    .map(|(index, _)| index)
                    .collect();
                assert_eq!(index.select(&selector), expected, "{selector:?}");
            }
        }
    }
}
