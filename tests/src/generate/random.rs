//! A small generator of random numbers: the same numbers for the same seed, everywhere and for ever.
//! SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.

/// The generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; zero where that is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let drawn = usize::try_from(self.number() >> 32).unwrap_or(0);
        drawn.checked_rem(bound).unwrap_or(0)
    }

    /// A number from `first` to `last`, both included.
    pub fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of a list.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }

    /// One of a list that is not empty.
    pub fn one<T: Clone + Default>(&mut self, list: &[T]) -> T {
        self.pick(list).cloned().unwrap_or_default()
    }

    /// The list in another order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            list.swap(index, self.below(index + 1));
        }
    }

    /// The bytes of a file of which some are cut off, or one more, or another one.
    pub fn damaged(&mut self, file: &[u8]) -> Vec<u8> {
        let mut damaged = file.to_vec();
        match self.below(3) {
            0 => damaged.truncate(self.below(file.len())),
            1 => damaged.push(0),
            _ => {
                let (at, bit) = (self.below(file.len()), self.below(8));
                damaged
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte ^= 1 << bit);
            }
        }
        damaged
    }
}
