//! Many truths side by side, two bits each.

use crate::hir::spec::Truth;

/// Truths by index: `No` is 00, `Unknown` 01 and `Yes` 11, so that the lesser of two is their bits in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Truths(Box<[u64]>);

const BITS: usize = 2;
const IN_WORD: usize = u64::BITS as usize / BITS;

impl Truths {
    /// That many, all `No`.
    pub(super) fn none(count: usize) -> Self {
        Self(vec![0; count.div_ceil(IN_WORD)].into())
    }

    /// These.
    pub(super) fn of(truths: impl ExactSizeIterator<Item = Truth>) -> Self {
        let mut all = Self::none(truths.len());
        for (index, truth) in truths.enumerate() {
            all.set(index, truth);
        }
        all
    }

    /// Changes one that is there.
    pub(super) fn set(&mut self, index: usize, truth: Truth) {
        let bits = match truth {
            Truth::No => 0b00,
            Truth::Unknown => 0b01,
            Truth::Yes => 0b11,
        };
        let shift = index % IN_WORD * BITS;
        if let Some(word) = self.0.get_mut(index / IN_WORD) {
            *word = *word & !(0b11 << shift) | bits << shift;
        }
    }

    /// One of them.
    pub(super) fn get(&self, index: usize) -> Truth {
        let word = self.0.get(index / IN_WORD).copied().unwrap_or(0);
        truth(word >> (index % IN_WORD * BITS))
    }

    /// The index of the first of those that come behind so many in [`then`](Self::then).
    pub(super) fn behind(count: usize) -> usize {
        count.next_multiple_of(IN_WORD)
    }

    /// These, and others behind them.
    pub(super) fn then(&self, others: &Self) -> Self {
        Self(self.0.iter().chain(&others.0).copied().collect())
    }

    /// The lesser of each and that of another as long, written over what is there.
    pub(super) fn least_of(&mut self, one: &Self, other: &Self) {
        for ((word, one), other) in self.0.iter_mut().zip(&one.0).zip(&other.0) {
            *word = one & other;
        }
    }
}

/// What the last bits of a word say.
fn truth(bits: u64) -> Truth {
    match bits & 0b11 {
        0b00 => Truth::No,
        0b01 => Truth::Unknown,
        _ => Truth::Yes,
    }
}

/// Those of some truths that are not `No`: the words that have any, each with its index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Few(Vec<(u32, u64)>);

impl Few {
    /// Those of these.
    pub(super) fn of(truths: &Truths) -> Self {
        let words = (0..).zip(truths.0.iter().copied());
        Self(words.filter(|(_, word)| *word != 0).collect())
    }

    /// The lesser of each and that of others, written over what is there.
    pub(super) fn least_of(&mut self, one: &Truths, other: &Self) {
        self.0.clear();
        let words = other.0.iter().map(|(index, word)| {
            let own = one.0.get(*index as usize).copied().unwrap_or(0);
            (*index, own & word)
        });
        self.0.extend(words.filter(|(_, word)| *word != 0));
    }

    /// They, each with its index, which ascends.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, Truth)> {
        self.0.iter().flat_map(|(index, word)| {
            let first = *index as usize * IN_WORD;
            let truths = (0..IN_WORD).map(move |at| (first + at, truth(word >> (at * BITS))));
            truths.filter(|(_, truth)| *truth != Truth::No)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Truth; 3] = [Truth::No, Truth::Unknown, Truth::Yes];

    #[test]
    fn the_lesser_of_each_pair() {
        let pairs = || ALL.into_iter().flat_map(|a| ALL.map(|b| (a, b)));
        // More than a word holds.
        let many: Vec<(Truth, Truth)> = (0..9).flat_map(|_| pairs()).collect();
        let one = Truths::of(many.iter().map(|pair| pair.0));
        let other = Truths::of(many.iter().map(|pair| pair.1));
        let mut least = Truths::none(many.len());
        least.least_of(&one, &other);
        assert_eq!(least, Truths::of(many.iter().map(|(a, b)| *a.min(b))));
        assert_ne!(one, other);
        let mut few = Few::default();
        few.least_of(&one, &Few::of(&other));
        assert_eq!(few, Few::of(&least));
        let told = many.iter().map(|(a, b)| *a.min(b)).enumerate();
        let told: Vec<_> = told.filter(|(_, truth)| *truth != Truth::No).collect();
        assert_eq!(few.iter().collect::<Vec<_>>(), told);
    }

    #[test]
    fn one_is_changed_and_no_other() {
        for before in ALL {
            for after in ALL {
                let mut all = Truths::of([before; 70].into_iter());
                all.set(40, after);
                let mut expected = [before; 70];
                expected[40] = after;
                assert_eq!(all, Truths::of(expected.into_iter()));
                assert_eq!([39, 40, 41].map(|at| all.get(at)), [before, after, before]);
            }
        }
    }

    #[test]
    fn others_stand_behind() {
        for count in [0, 1, 31, 32, 33] {
            let first = Truths::of(vec![Truth::Unknown; count].into_iter());
            let all = first.then(&Truths::of(ALL.into_iter()));
            assert_eq!(
                all.get(count.saturating_sub(1)),
                first.get(count.saturating_sub(1)).max(all.get(0))
            );
            let at = Truths::behind(count);
            assert_eq!([at, at + 1, at + 2].map(|at| all.get(at)), ALL);
        }
    }
}
