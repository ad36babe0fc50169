//! Sets of ids, in canonical form: equality is set equality.

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

    /// Whether there is no member.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(members) => members.is_empty(),
            Self::Many(bits) => bits.is_empty(),
        }
    }

    /// The members, sorted.
    pub(crate) fn to_vec(&self) -> Vec<u32> {
        match self {
            Self::Few(members) => members.to_vec(),
            Self::Many(bits) => {
                let mut members = Vec::new();
                for (word, index) in bits.iter().zip(0..) {
                    let mut rest = *word;
                    while rest != 0 {
                        members.push(index * 64 + rest.trailing_zeros());
                        rest &= rest - 1;
                    }
                }
                members
            }
        }
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
}
