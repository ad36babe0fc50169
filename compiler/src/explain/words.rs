//! Lists and numbers as prose has them.

/// How many items of a list are named in a sentence.
pub(super) const NAMED: usize = 8;

/// The items with `joint` (`and`, `or`) before the last; a long list ends with how many more there are.
pub(super) fn list(items: &[String], joint: &str) -> String {
    if items.len() > NAMED + 1 {
        let named = items.get(..NAMED).unwrap_or(items).join(", ");
        return format!("{named} and {} more", items.len() - NAMED);
    }
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [front @ .., last] => format!("{} {joint} {last}", front.join(", ")),
    }
}

/// The form of a verb that goes with so many: `isolates` for one, `isolate` for several.
pub(crate) fn verb<'a>(number: usize, one: &'a str, several: &'a str) -> &'a str {
    if number == 1 { one } else { several }
}

/// The items in the order of their first appearance, each once.
pub(super) fn once<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(length: usize, expected: &str) {
        let items: Vec<String> = (1..=length).map(|number| number.to_string()).collect();
        assert_eq!(list(&items, "and"), expected);
    }

    #[test]
    fn long_lists_are_cut_where_that_leaves_out_more_than_one() {
        check(0, "");
        check(1, "1");
        check(2, "1 and 2");
        check(3, "1, 2 and 3");
        check(9, "1, 2, 3, 4, 5, 6, 7, 8 and 9");
        check(10, "1, 2, 3, 4, 5, 6, 7, 8 and 2 more");
        check(100, "1, 2, 3, 4, 5, 6, 7, 8 and 92 more");
    }
}
