//! How Cilium reads the text of a port: as a name, or as a number.
//!
//! Guarantee: as `pkg/iana` and Go's `strconv.ParseUint` with an open base.

/// Whether the agent takes a port for a name: an IANA service name, capitals included.
pub(super) fn is_name(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    text.len() <= 15
        && bytes.iter().any(u8::is_ascii_alphabetic)
        && bytes.iter().all(|byte| is_word(*byte) || *byte == b'-')
        && !text.contains("--")
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A port as Go's `ParseUint(text, 0, 16)` reads what is no name: octal behind a zero. With the prefixes of other
/// bases it is no name only where it is too long for one.
pub(super) fn number(text: &str) -> Option<u16> {
    if text == "0" {
        return Some(0);
    }
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, radix)))
        .unwrap_or((&lower, 10));
    // Underscores may stand between digits, and behind a prefix.
    let is_misplaced =
        (radix == 10 && digits.starts_with('_')) || digits.ends_with('_') || digits.contains("__");
    if is_misplaced || digits.starts_with('+') {
        return None;
    }
    u16::from_str_radix(&digits.replace('_', ""), radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_names_or_numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("80", Some(80)),
            ("010", Some(8)),
            ("0_10", Some(8)),
            ("1_0", Some(10)),
            ("65535", Some(65535)),
            ("65536", None),
            ("09", None),
            ("_1", None),
            ("1_", None),
            ("+1", None),
            ("0+1", None),
            ("0x0000000000000001b", Some(27)),
            ("0xg", None),
            ("80-90", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        for name in ["web", "Web", "0x10", "a-1", "1a"] {
            assert!(is_name(name), "{name}");
        }
        for text in ["", "80", "-a", "a-", "a--b", "a_b", "abcdefghijklmnop"] {
            assert!(!is_name(text), "{text}");
        }
    }
}
