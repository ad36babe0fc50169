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

/// Goes through several runs together: for each stretch on which none changes, its first leaf, and by column what is told
/// there and was not told before.
pub(super) fn together<T: Copy>(
    columns: &[&[(u32, T)]],
    mut each: impl FnMut(u32, &mut dyn Iterator<Item = (usize, T)>),
) {
    let mut changes: Vec<(u32, u32, T)> = Vec::new();
    for (runs, column) in columns.iter().zip(0..) {
        changes.extend(runs.iter().map(|(start, told)| (*start, column, *told)));
    }
    changes.sort_by_key(|(start, column, _)| u64::from(*start) << 32 | u64::from(*column));
    for stretch in changes.chunk_by(|a, b| a.0 == b.0) {
        if let Some((start, ..)) = stretch.first() {
            let mut told = stretch
                .iter()
                .map(|(_, column, told)| (*column as usize, *told));
            each(*start, &mut told);
        }
    }
}

/// Goes through two kinds of runs together: for each stretch on which neither changes, its first leaf and what each tells.
pub(super) fn pairs<A: Copy, B: Copy>(
    one: &[(u32, A)],
    other: &[(u32, B)],
) -> impl Iterator<Item = (u32, A, B)> {
    let (mut a, mut b) = (one.iter().peekable(), other.iter().peekable());
    let mut told = (None, None);
    std::iter::from_fn(move || {
        let next = [a.peek().map(|run| run.0), b.peek().map(|run| run.0)];
        let first = next.into_iter().flatten().min()?;
        if let Some((_, new)) = a.next_if(|run| run.0 == first) {
            told.0 = Some(*new);
        }
        if let Some((_, new)) = b.next_if(|run| run.0 == first) {
            told.1 = Some(*new);
        }
        Some((first, told.0?, told.1?))
    })
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
        let mut now = [' ', ' '];
        together(&[&one, &other], |start, told| {
            told.for_each(|(column, told)| now[column] = told);
            found.push((start, now.iter().collect::<String>()));
        });
        let expected = [(0, "ax"), (3, "by"), (5, "bz"), (7, "cz")];
        let expected: Vec<(u32, String)> = expected.map(|(s, t)| (s, t.to_owned())).into();
        assert_eq!(found, expected);
        let paired: Vec<_> = pairs(&one, &other).collect();
        let expected = [(0, 'a', 'x'), (3, 'b', 'y'), (5, 'b', 'z'), (7, 'c', 'z')];
        assert_eq!(paired, expected);
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
