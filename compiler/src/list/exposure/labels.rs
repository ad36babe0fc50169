//! Sets of label sets, as conditions on each key: what selectors can say, and all that is left beside them.

use crate::cluster::Labels;
use crate::hir::{Operator, Selector};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// Values that a label may have. Canonical: equality is set equality.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Values {
    /// Whether the label may be missing.
    pub absent: bool,
    /// Whether `listed` are the values that it may not have.
    pub others: bool,
    /// The values that it may have.
    pub listed: BTreeSet<Box<str>>,
}

static ANY: LazyLock<Values> = LazyLock::new(|| Values {
    absent: true,
    others: true,
    listed: BTreeSet::new(),
});

impl Values {
    /// Any value, but there must be one.
    #[must_use]
    pub fn present() -> Self {
        Self {
            absent: false,
            ..ANY.clone()
        }
    }

    /// One of these values.
    #[must_use]
    pub fn one_of(listed: impl IntoIterator<Item = Box<str>>) -> Self {
        Self {
            absent: false,
            others: false,
            listed: listed.into_iter().collect(),
        }
    }

    fn of(operator: &Operator) -> Self {
        match operator {
            Operator::In(values) => Self::one_of(values.iter().cloned()),
            Operator::NotIn(values) => Self::one_of(values.iter().cloned()).complement(),
            Operator::Exists => Self::present(),
            Operator::DoesNotExist => Self::present().complement(),
        }
    }

    /// What is not in the set.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self {
            absent: !self.absent,
            others: !self.others,
            listed: self.listed.clone(),
        }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (one, two) = (&self.listed, &other.listed);
        let listed = match (self.others, other.others) {
            (false, false) => one.intersection(two).cloned().collect(),
            (false, true) => one.difference(two).cloned().collect(),
            (true, false) => two.difference(one).cloned().collect(),
            (true, true) => one.union(two).cloned().collect(),
        };
        Self {
            absent: self.absent && other.absent,
            others: self.others && other.others,
            listed,
        }
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let neither = self.complement().intersection(&other.complement());
        neither.complement()
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.absent && !self.others && self.listed.is_empty()
    }

    /// Whether everything is in the set.
    #[must_use]
    pub fn is_any(&self) -> bool {
        *self == *ANY
    }

    /// Whether a label may have this value, or be missing.
    #[must_use]
    pub fn contains(&self, value: Option<&str>) -> bool {
        value.map_or(self.absent, |value| {
            self.listed.contains(value) != self.others
        })
    }

    fn is_within(&self, other: &Self) -> bool {
        self.intersection(other) == *self
    }

    /// A member: no value where the label may be missing, and a value that is not `taken` where any other will do.
    pub(super) fn sample(&self, taken: impl Fn(&str) -> bool) -> Option<Box<str>> {
        if self.absent {
            return None;
        }
        if !self.others {
            return self.listed.first().cloned();
        }
        let mut names = (0_u32..).map(|number| match number {
            0 => "new".to_owned(),
            number => format!("new-{number}"),
        });
        let free = names.find(|name| !self.listed.contains(&**name) && !taken(name));
        free.map(Into::into)
    }
}

/// Whose label it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The namespace's.
    Namespace,
    /// The pod's.
    Pod,
}

/// A label of a pod or of its namespace.
pub(super) type Key = (Scope, Box<str>);

/// Pods by their labels and those of their namespaces: one condition for each key, all must hold. Keys of which
/// any value will do are left out: equality is set equality.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell(BTreeMap<Key, Values>);

impl Cell {
    /// The labels that a selector selects; `None` where there are none.
    pub(super) fn of(scope: Scope, selector: &Selector) -> Option<Self> {
        selector
            .requirements
            .iter()
            .try_fold(Self::default(), |cell, requirement| {
                cell.with(
                    (scope, requirement.key.clone()),
                    &Values::of(&requirement.operator),
                )
            })
    }

    /// The condition on a key.
    #[must_use]
    pub(super) fn get(&self, key: &Key) -> &Values {
        self.0.get(key).unwrap_or(&ANY)
    }

    /// In place of the condition on a key, another.
    pub(super) fn set(&mut self, key: Key, values: Values) {
        if values.is_any() {
            self.0.remove(&key);
        } else {
            self.0.insert(key, values);
        }
    }

    /// With one more condition; `None` where nothing meets all.
    pub(super) fn with(&self, key: Key, values: &Values) -> Option<Self> {
        let common = self.get(&key).intersection(values);
        if common.is_empty() {
            return None;
        }
        let mut cell = self.clone();
        cell.set(key, common);
        Some(cell)
    }

    /// The keys with conditions.
    pub(super) fn keys(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.0.keys()
    }

    /// The conditions on the labels of pods or of namespaces.
    pub fn labels(&self, scope: Scope) -> impl Iterator<Item = (&str, &Values)> {
        let own = self.0.iter().filter(move |((of, _), _)| *of == scope);
        own.map(|((_, key), values)| (&**key, values))
    }

    /// The conditions on the labels of pods or of namespaces alone.
    pub(super) fn part(&self, scope: Scope) -> Self {
        let own = self.0.iter().filter(|((of, _), _)| *of == scope);
        Self(
            own.map(|(key, values)| (key.clone(), values.clone()))
                .collect(),
        )
    }

    /// What is in both; `None` where nothing is.
    pub(super) fn intersection(&self, other: &Self) -> Option<Self> {
        let mut conditions = other.0.iter();
        conditions.try_fold(self.clone(), |cell, (key, values)| {
            cell.with(key.clone(), values)
        })
    }

    /// Whether something is in both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let mut conditions = other.0.iter();
        conditions.all(|(key, values)| !self.get(key).intersection(values).is_empty())
    }

    /// Whether all of it is in another.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let mut conditions = other.0.iter();
        conditions.all(|(key, values)| self.get(key).is_within(values))
    }

    /// What is not in another, in parts that have nothing in common.
    pub(super) fn outside(&self, other: &Self) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut rest = Some(self.clone());
        for (key, values) in &other.0 {
            let Some(here) = rest else { break };
            parts.extend(here.with(key.clone(), &values.complement()));
            rest = here.with(key.clone(), values);
        }
        parts
    }

    /// Whether labels meet the conditions on those of pods or of namespaces.
    #[must_use]
    pub fn has(&self, scope: Scope, labels: &Labels) -> bool {
        self.labels(scope)
            .all(|(key, values)| values.contains(labels.get(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Values> {
        let listed = proptest::collection::btree_set("[abc]".prop_map(Box::from), 0..3);
        (any::<bool>(), any::<bool>(), listed).prop_map(|(absent, others, listed)| Values {
            absent,
            others,
            listed,
        })
    }

    const SAMPLES: [Option<&str>; 5] = [None, Some("a"), Some("b"), Some("c"), Some("other")];

    proptest! {
        #[test]
        fn operations_are_those_of_sets(one in values(), two in values()) {
            let (both, either) = (one.intersection(&two), one.union(&two));
            for value in SAMPLES {
                let (a, b) = (one.contains(value), two.contains(value));
                prop_assert_eq!(both.contains(value), a && b);
                prop_assert_eq!(either.contains(value), a || b);
                prop_assert_eq!(one.complement().contains(value), !a);
            }
            let members = SAMPLES.into_iter().filter(|value| one.contains(*value));
            prop_assert_eq!(one.is_empty(), members.count() == 0);
            prop_assert!(one.is_empty() || one.contains(one.sample(|_| false).as_deref()));
        }

        #[test]
        fn what_is_outside_is_the_rest(one in values(), two in values(), three in values()) {
            let key = |name: &str| (Scope::Pod, Box::from(name));
            let cell = Cell::default().with(key("x"), &one);
            let other = Cell::default().with(key("x"), &two);
            let other = other.and_then(|cell| cell.with(key("y"), &three));
            if let (Some(cell), Some(other)) = (cell, other) {
                let parts = cell.outside(&other);
                for x in SAMPLES {
                    for y in SAMPLES {
                        let pairs = [("x", x), ("y", y)].into_iter();
                        let labels: Labels = pairs.filter_map(|(key, value)| Some((key, value?))).collect();
                        let is_in = |cell: &Cell| cell.has(Scope::Pod, &labels);
                        let count = parts.iter().filter(|part| is_in(part)).count();
                        prop_assert_eq!(count, usize::from(is_in(&cell) && !is_in(&other)));
                        prop_assert!(!cell.is_within(&other) || parts.is_empty());
                    }
                }
            }
        }
    }
}
