//! Sets of ordered values as ranges.
//!
//! [`Ranges`] is canonical: equality of values is equality of sets. Bounds are included.

use std::fmt;

/// A value with neighbours.
pub trait Ordinal: Copy + Ord + fmt::Debug {
    /// The greatest value.
    const LAST: Self;

    /// The value behind this one; `None` for the last.
    fn next(self) -> Option<Self>;
    /// The value in front of this one; `None` for the first.
    fn previous(self) -> Option<Self>;
}

macro_rules! ordinals {
    ($($number:ty)*) => {$(
        impl Ordinal for $number {
            const LAST: Self = Self::MAX;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    )*};
}

ordinals! { u16 u32 u128 }

/// A set of values as ranges, both bounds included: sorted, disjoint, no two adjacent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ranges<T>(Box<[(T, T)]>);

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T: Ordinal> Ranges<T> {
    /// The union of some ranges, in any order; a range whose bounds are the wrong way round is empty.
    #[must_use]
    pub fn new(mut ranges: Vec<(T, T)>) -> Self {
        ranges.retain(|(first, last)| first <= last);
        ranges.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if end.next().is_none_or(|next| first <= next) => {
                    *end = (*end).max(last);
                }
                Some(_) | None => merged.push((first, last)),
            }
        }
        Self(merged.into())
    }

    /// The ranges, in ascending order.
    #[must_use]
    pub fn as_slice(&self) -> &[(T, T)] {
        &self.0
    }

    /// The ranges, in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (T, T)> {
        self.0.iter().copied()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The least member.
    #[must_use]
    pub fn first(&self) -> Option<T> {
        self.0.first().map(|(first, _)| *first)
    }

    /// Whether a value is a member.
    #[must_use]
    pub fn contains(&self, member: T) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= member);
        after
            .checked_sub(1)
            .and_then(|index| self.0.get(index))
            .is_some_and(|(_, last)| member <= *last)
    }

    /// The members of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::new(self.iter().chain(other.iter()).collect())
    }

    /// The members of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut one, mut two) = (self.iter().peekable(), other.iter().peekable());
        let mut common = Vec::new();
        while let (Some(a), Some(b)) = (one.peek().copied(), two.peek().copied()) {
            common.push((a.0.max(b.0), a.1.min(b.1)));
            if a.1 < b.1 {
                one.next()
            } else {
                two.next()
            };
        }
        Self::new(common)
    }

    /// What of a range is in none of these.
    #[must_use]
    pub fn gaps_in(&self, (mut first, last): (T, T)) -> Self {
        let mut gaps = Vec::new();
        for (from, to) in self.iter() {
            if to < first {
                continue;
            }
            if from > last {
                break;
            }
            // An empty range where nothing lies in between: dropped below.
            gaps.extend(from.previous().map(|before| (first, before)));
            let Some(next) = to.next() else {
                return Self::new(gaps);
            };
            first = next;
        }
        gaps.push((first, last));
        Self::new(gaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every set of values below 16, as bits.
    fn set(bits: u16) -> Ranges<u16> {
        let members = (0..16).filter(|index| bits >> index & 1 == 1);
        Ranges::new(members.map(|member| (member, member)).collect())
    }

    proptest! {
        #[test]
        fn operations_are_those_of_sets(one: u16, other: u16) {
            let (a, b) = (set(one), set(other));
            prop_assert_eq!(a.union(&b), set(one | other));
            prop_assert_eq!(a.intersection(&b), set(one & other));
            prop_assert_eq!(a.gaps_in((0, 15)), set(!one));
            prop_assert_eq!(a.gaps_in((3, 9)), set(!one & 0b11_1111_1000));
            for member in 0..16 {
                prop_assert_eq!(a.contains(member), one >> member & 1 == 1);
            }
        }
    }

    #[test]
    fn bounds_of_the_type_are_values_like_others() {
        let all = Ranges::new(vec![(0, u16::MAX)]);
        assert!(all.gaps_in((0, u16::MAX)).is_empty());
        assert_eq!(Ranges::default().gaps_in((0, u16::MAX)), all);
        let most = Ranges::new(vec![(1, u16::MAX), (u16::MAX, u16::MAX), (9, 8)]);
        assert_eq!(most.gaps_in((0, u16::MAX)).as_slice(), [(0, 0)]);
        assert_eq!(most.first(), Some(1));
    }
}
