//! Rules on strings: names, labels, times, choices.
//!
//! Input: a string. Output: whether it keeps the rule, or how it breaks it. Guarantee: the rules are those of
//! `k8s.io/apimachinery/pkg/util/validation` and Go's `time.RFC3339`.

use crate::diagnostic::{Diagnostic, codes};
use crate::frontend::report::Spot;
use crate::frontend::schema::nearest;

/// RFC 1123 label, RFC 1035 label, label value and the name part of a label key.
const MOST_LABEL_BYTES: usize = 63;

/// RFC 1123 subdomain: names of objects, prefixes of label keys.
const MOST_SUBDOMAIN_BYTES: usize = 253;

/// How a string breaks a rule, as the end of a sentence: `must not be empty`.
pub(in crate::frontend) type Breach = &'static str;

/// A name of at most 63 bytes without dots: namespaces.
pub(super) fn dns_label(text: &str) -> Result<(), Breach> {
    if text.contains('.') {
        Err("must not contain dots")
    } else if !is_dns_label(text) {
        Err(
            "must consist of lower case letters, digits and `-`, and start and end with a letter or digit",
        )
    } else if text.len() > MOST_LABEL_BYTES {
        Err("must be no longer than 63 characters")
    } else {
        Ok(())
    }
}

/// A name of at most 253 bytes: most objects.
pub(in crate::frontend) fn dns_subdomain(text: &str) -> Result<(), Breach> {
    if !text.split('.').all(is_dns_label) {
        Err(
            "must consist of lower case letters, digits, `-` and `.`, and start and end with a letter or digit",
        )
    } else if text.len() > MOST_SUBDOMAIN_BYTES {
        Err("must be no longer than 253 characters")
    } else {
        Ok(())
    }
}

/// `app` or `example.com/app`.
pub(super) fn label_key(text: &str) -> Result<(), Breach> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if name.contains('/') {
        return Err("must have at most one `/`");
    }
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            return Err("must have a prefix in front of the `/`");
        }
        if dns_subdomain(prefix).is_err() {
            return Err("must have a DNS name in lower case in front of the `/`");
        }
    }
    if name.is_empty() {
        Err("must not be empty")
    } else if name.len() > MOST_LABEL_BYTES {
        Err("must be no longer than 63 bytes, not counting the prefix")
    } else if !is_label_word(name) {
        Err(
            "must consist of letters, digits, `-`, `_` and `.`, and start and end with a letter or digit",
        )
    } else {
        Ok(())
    }
}

/// The value of a label; may be empty.
pub(in crate::frontend) fn label_value(text: &str) -> Result<(), Breach> {
    if text.len() > MOST_LABEL_BYTES {
        Err("must be no longer than 63 bytes")
    } else if !text.is_empty() && !is_label_word(text) {
        Err(
            "must be empty, or consist of letters, digits, `-`, `_` and `.`, and start and end with a letter or digit",
        )
    } else {
        Ok(())
    }
}

fn is_dns_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.bytes().all(is_inner) && !text.is_empty() && !text.starts_with('-') && !text.ends_with('-')
}

fn is_label_word(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.bytes().all(is_inner) && is_outer(text.bytes().next()) && is_outer(text.bytes().last())
}

/// The nearest string that keeps the rule of a DNS name, for a remedy.
pub(super) fn as_dns_name(text: &str) -> Option<String> {
    let name: String = text
        .to_lowercase()
        .chars()
        .map(|character| match character {
            'a'..='z' | '0'..='9' | '.' => character,
            _ => '-',
        })
        .take(MOST_SUBDOMAIN_BYTES)
        .collect();
    let name = name.trim_matches(['-', '.']);
    dns_subdomain(name).is_ok().then(|| name.to_owned())
}

/// A string that is none of the allowed ones.
pub(in crate::frontend) fn not_one_of(spot: &Spot<'_>, text: &str, allowed: &[&str]) -> Diagnostic {
    let list = format!("`{}`", allowed.join("`, `"));
    let (found, label) = if text.is_empty() {
        ("but is empty".to_owned(), "nothing is set here")
    } else {
        (format!("not `{text}`"), "not an allowed value")
    };
    let message = format!("`{}` must be one of {list}, {found}", spot.field);
    let help = match nearest(text, allowed.iter().copied()) {
        // A protocol with a field of its own, where its neighbour by name is one of the values.
        _ if text.starts_with("ICMP") && allowed.contains(&"IGMP") => {
            "write `icmps` in a rule without `toPorts`".to_owned()
        }
        Some((_, name)) => format!("write `{name}`"),
        None => format!("write one of {list}"),
    };
    spot.at_value(&codes::UNSUPPORTED_VALUE, message, label)
        .help(help)
}

/// Whether Go parses the string by its `time.RFC3339`.
pub(in crate::frontend) fn is_time(text: &str) -> bool {
    parse_time(text.as_bytes()).is_some()
}

fn parse_time(text: &[u8]) -> Option<()> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month, day) = (
        number(date.get(0..4)?)?,
        number(date.get(5..7)?)?,
        number(date.get(8..10)?)?,
    );
    let is_date = date.get(4) == Some(&b'-')
        && date.get(7) == Some(&b'-')
        && (1..=12).contains(&month)
        && (1..=days(year, month)).contains(&day);
    let (time, rest) = rest.split_at_checked(9)?;
    let is_time =
        time.first() == Some(&b'T') && clock(time.get(1..6)?) && time.get(6) == Some(&b':');
    let is_second = number(time.get(7..9)?)? < 60;
    (is_date && is_time && is_second && zone(after_fraction(rest)?)).then_some(())
}

fn after_fraction(text: &[u8]) -> Option<&[u8]> {
    let Some((b'.' | b',', rest)) = text.split_first() else {
        return Some(text);
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        None
    } else {
        rest.get(digits..)
    }
}

fn zone(text: &[u8]) -> bool {
    match text {
        b"Z" => true,
        [b'+' | b'-', offset @ ..] => clock(offset),
        _ => false,
    }
}

/// `23:59`.
fn clock(text: &[u8]) -> bool {
    let (Some(hour), Some(b':'), Some(minute)) = (text.get(0..2), text.get(2), text.get(3..))
    else {
        return false;
    };
    number(hour).is_some_and(|hour| hour < 24)
        && minute.len() == 2
        && number(minute).is_some_and(|minute| minute < 60)
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + u32::from(digit - b'0'))
    })
}

fn days(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        for good in [
            "2024-02-29T23:59:59Z",
            "2026-01-31T12:00:00.123456Z",
            "2026-01-31T12:00:00+02:00",
        ] {
            assert!(is_time(good), "{good}");
        }
        for bad in [
            "",
            "now",
            "2026-01-31",
            "2023-02-29T00:00:00Z",
            "2026-01-31t12:00:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00+2",
            "2026-01-31T12:00:00é",
        ] {
            assert!(!is_time(bad), "{bad}");
        }
    }

    #[test]
    fn keys_and_values_of_labels() {
        for good in ["a", "A.b_c-1", "example.com/App", &"k".repeat(63)] {
            assert_eq!(label_key(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a/",
            "/a",
            "a/b/c",
            "Example.com/a",
            "-a",
            "a b",
            &"k".repeat(64),
        ] {
            assert!(label_key(bad).is_err(), "{bad}");
        }
        for good in ["", "v", "1.0", "A_b"] {
            assert_eq!(label_value(good), Ok(()), "{good}");
        }
        for bad in ["_a", "a-", "a/b", "ü", &"v".repeat(64)] {
            assert!(label_value(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_repaired() {
        assert_eq!(as_dns_name("My_Policy").as_deref(), Some("my-policy"));
        assert_eq!(as_dns_name("-a-").as_deref(), Some("a"));
        assert_eq!(as_dns_name("_"), None);
    }
}
