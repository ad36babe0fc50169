//! What else a name may have meant.

use std::collections::BTreeSet;

/// How many names are suggested.
const MOST_SUGGESTIONS: usize = 3;

/// How many names are listed where none is near.
const MOST_LISTED: usize = 5;

/// The names nearest to `name`, nearest first, each once; none where all are far.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    let near: BTreeSet<(usize, &str)> = known
        .into_iter()
        .filter_map(|other| Some((distance(name, other, limit)?, other)))
        .collect();
    near.into_iter()
        .take(MOST_SUGGESTIONS)
        .map(|(_, other)| other)
        .collect()
}

/// How far a name is, within a limit and whatever its case; what begins like it (`web-5d4f7-x2b9k` for `web`) is just within.
fn distance(name: &str, other: &str, limit: usize) -> Option<usize> {
    let rest = other.strip_prefix(name);
    if rest.is_some_and(|rest| rest.starts_with('-')) {
        return Some(limit);
    }
    // An edit changes at most four bytes.
    if other.len().abs_diff(name.len()) > 4 * limit {
        return None;
    }
    let (name, other) = (name.to_lowercase(), other.to_lowercase());
    Some(strsim::osa_distance(&name, &other)).filter(|distance| *distance <= limit)
}

/// `did you mean `a` or `b`?`; `None` without suggestions.
pub(crate) fn did_you_mean(names: &[String]) -> Option<String> {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let (last, front) = quoted.split_last()?;
    Some(if front.is_empty() {
        format!("did you mean {last}?")
    } else {
        format!("did you mean {} or {last}?", front.join(", "))
    })
}

/// The first few names of a list, and how many more there are.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let mut text = String::new();
    for name in names.by_ref().take(MOST_LISTED) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push('`');
        text.push_str(name);
        text.push('`');
    }
    match names.count() {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
