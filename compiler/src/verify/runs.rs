//! Things told of every leaf, as runs: the first leaf of each and what is told of it, ascending from leaf 0.

/// What is told of the leaves from this one to the next in the list.
pub(super) type Runs<T> = Vec<(u32, T)>;

/// Adds what is told of the leaves from one on.
pub(super) fn extend<T: PartialEq>(runs: &mut Runs<T>, first: u32, told: T) {
    match runs.last_mut() {
        Some((start, last)) if *start == first => *last = told,
        Some((_, last)) if *last == told => {}
        Some(_) | None => runs.push((first, told)),
    }
}

/// What is told of a leaf.
pub(super) fn at<T: Copy>(runs: &[(u32, T)], leaf: u32) -> Option<T> {
    let after = runs.partition_point(|(start, _)| *start <= leaf);
    let run = runs.get(after.checked_sub(1)?)?;
    Some(run.1)
}

/// Goes through several runs together: for each stretch on which none changes, its first leaf and what each tells.
pub(super) fn together<T: Copy>(columns: &[&[(u32, T)]], mut each: impl FnMut(u32, &[T])) {
    let firsts = columns.iter().filter_map(|runs| runs.first());
    let mut told: Vec<T> = firsts.map(|(_, told)| *told).collect();
    let mut changes: Vec<(u32, usize, T)> = Vec::new();
    for (runs, column) in columns.iter().zip(0..) {
        let later = runs.iter().skip(1);
        changes.extend(later.map(|(start, told)| (*start, column, *told)));
    }
    changes.sort_by_key(|(start, column, _)| (*start, *column));
    each(0, &told);
    for stretch in changes.chunk_by(|a, b| a.0 == b.0) {
        for (_, column, new) in stretch {
            if let Some(slot) = told.get_mut(*column) {
                *slot = *new;
            }
        }
        if let Some((start, ..)) = stretch.first() {
            each(*start, &told);
        }
    }
}

/// What is told of each of so many leaves.
pub(super) fn dense<T: Copy>(runs: &[(u32, T)], leaves: usize) -> Vec<T> {
    let mut told = Vec::with_capacity(leaves);
    let ends = runs.iter().skip(1).map(|(start, _)| *start as usize);
    for ((_, own), end) in runs.iter().zip(ends.chain([leaves])) {
        told.resize(end.min(leaves).max(told.len()), *own);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_gone_through_together() {
        let (one, other) = (
            [(0, 'a'), (3, 'b'), (7, 'c')],
            [(0, 'x'), (3, 'y'), (5, 'z')],
        );
        let mut found = Vec::new();
        together(&[&one, &other], |start, told| {
            found.push((start, told.iter().collect::<String>()));
        });
        let expected = [(0, "ax"), (3, "by"), (5, "bz"), (7, "cz")];
        let expected: Vec<(u32, String)> = expected.map(|(s, t)| (s, t.to_owned())).into();
        assert_eq!(found, expected);
        assert_eq!(dense(&one, 9), "aaabbbbcc".chars().collect::<Vec<_>>());
        assert_eq!(dense(&other, 4), "xxxy".chars().collect::<Vec<_>>());
        assert_eq!(
            [0, 2, 3, 6, 9].map(|leaf| at(&one, leaf)),
            ['a', 'a', 'b', 'b', 'c'].map(Some)
        );
        let mut runs = Runs::new();
        for (leaf, told) in [(0, 1), (1, 1), (2, 3), (3, 1)] {
            extend(&mut runs, leaf, told);
        }
        assert_eq!(runs, [(0, 1), (2, 3), (3, 1)]);
    }
}
