//! Sets of ids and of ranges of ids, in canonical form: equality is set equality.

/// A set of ids below a fixed bound, in whichever of two forms is smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdSet {
    /// The members, sorted, each once.
    Few(Box<[u32]>),
    /// One bit for each id; the last word is not zero.
    Many(Box<[u64]>),
}

impl Default for IdSet {
    fn default() -> Self {
        Self::Few(Box::default())
    }
}

impl IdSet {
    /// The set of some ids, in any order.
    pub(crate) fn new(mut members: Vec<u32>) -> Self {
        members.sort_unstable();
        members.dedup();
        let words = members.last().map_or(0, |last| *last as usize / 64 + 1);
        if words * 2 >= members.len() {
            return Self::Few(members.into());
        }
        let mut bits = vec![0_u64; words];
        for member in members {
            if let Some(word) = bits.get_mut(member as usize / 64) {
                *word |= 1 << (member % 64);
            }
        }
        Self::Many(bits.into())
    }

    /// Whether an id is a member.
    pub(crate) fn contains(&self, member: u32) -> bool {
        match self {
            Self::Few(members) => members.binary_search(&member).is_ok(),
            Self::Many(bits) => bits
                .get(member as usize / 64)
                .is_some_and(|word| word >> (member % 64) & 1 == 1),
        }
    }

    /// The members, sorted.
    pub(crate) fn to_vec(&self) -> Vec<u32> {
        match self {
            Self::Few(members) => members.to_vec(),
            Self::Many(bits) => (0..super::id(bits.len() * 64))
                .filter(|member| self.contains(*member))
                .collect(),
        }
    }
}

/// A set of ids as ranges, both bounds included: sorted, disjoint, no two adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Box<[(u32, u32)]>);

impl Ranges {
    /// The union of some ranges, in any order; a range whose bounds are the wrong way round is empty.
    pub(crate) fn new(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.retain(|(first, last)| first <= last);
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => {
                    previous.1 = previous.1.max(last);
                }
                Some(_) | None => merged.push((first, last)),
            }
        }
        Self(merged.into())
    }

    /// What of a range is in none of these.
    pub(crate) fn gaps_in(&self, (mut first, last): (u32, u32)) -> Vec<(u32, u32)> {
        let mut gaps = Vec::new();
        for (from, to) in &self.0 {
            if *to < first {
                continue;
            }
            if *from > last {
                break;
            }
            if *from > first {
                gaps.push((first, from - 1));
            }
            let Some(next) = to.checked_add(1) else {
                return gaps;
            };
            first = next;
        }
        if first <= last {
            gaps.push((first, last));
        }
        gaps
    }

    /// Whether an id is a member.
    pub(crate) fn contains(&self, member: u32) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= member);
        after
            .checked_sub(1)
            .and_then(|index| self.0.get(index))
            .is_some_and(|(_, last)| member <= *last)
    }

    /// The ranges.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dense_set_is_bits() {
        let few = IdSet::new(vec![1000, 3, 3]);
        assert_eq!(few, IdSet::Few([3, 1000].into()));
        let many = IdSet::new((0..100).collect());
        assert!(matches!(many, IdSet::Many(_)));
        assert!(many.contains(99) && !many.contains(100) && !many.contains(100_000));
        assert_eq!(many.to_vec(), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn ranges_are_canonical() {
        let ranges = Ranges::new(vec![(5, 6), (0, 1), (2, 3), (9, 8)]);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, 3), (5, 6)]);
        assert!(ranges.contains(3) && !ranges.contains(4) && ranges.contains(6));
        assert_eq!(ranges.gaps_in((2, 9)), [(4, 4), (7, 9)]);
        assert_eq!(
            Ranges::new(vec![(0, u32::MAX)]).gaps_in((2, 9)),
            Vec::<(u32, u32)>::new()
        );
    }
}
