//! Ordered values cut into classes: runs that nothing of interest cuts.

use crate::ranges::Ordinal;

/// A partition of all values of `T` into runs, numbered in ascending order.
#[derive(Debug)]
pub(crate) struct Partition<T> {
    /// The first value of each run: sorted, each once; the first of all is the least of `T`.
    starts: Vec<T>,
}

impl<T: Copy + Ord + Default> Partition<T> {
    /// Cut in front of each of these values.
    pub(crate) fn new(mut cuts: Vec<T>) -> Self {
        cuts.push(T::default());
        cuts.sort_unstable();
        cuts.dedup();
        Self { starts: cuts }
    }

    /// The class of a value.
    pub(crate) fn class(&self, value: T) -> u32 {
        super::id(
            self.starts
                .partition_point(|start| *start <= value)
                .saturating_sub(1),
        )
    }

    /// How many classes there are; at least one.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The first value of each class.
    pub(crate) fn starts(&self) -> &[T] {
        &self.starts
    }

    /// The first value of the class `from`, and the last one in front of the class `to`.
    pub(crate) fn bounds(&self, from: u32, to: u32) -> (T, T)
    where
        T: Ordinal,
    {
        let start = |class: u32| self.starts.get(class as usize).copied();
        let last = start(to).and_then(Ordinal::previous);
        (start(from).unwrap_or_default(), last.unwrap_or(T::LAST))
    }
}
