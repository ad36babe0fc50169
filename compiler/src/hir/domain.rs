//! Names of the domain name system, as rules ask for them.

use std::fmt;

/// Names of the domain name system: lower case, without the final dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DomainPattern {
    /// This name.
    Name(Box<str>),
    /// One or more whole labels in front of this name, not the name itself.
    Subdomains(Box<str>),
    /// Names in which stars stand for something.
    Glob(Glob),
}

impl DomainPattern {
    /// Whether the pattern covers a name in lower case without a final dot.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => **own == *name,
            Self::Subdomains(own) => name
                .strip_suffix(&**own)
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
            Self::Glob(glob) => glob.matches(name),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Subdomains(name) => write!(f, "*.{name}"),
            Self::Glob(glob) => f.write_str(&glob.text),
        }
    }
}

/// A pattern of names in the language of Cilium's `matchName` and `matchPattern` (`pkg/fqdn/matchpattern`).
///
/// A run of stars stands for any number of signs inside one label, but for two places: two stars or more in front
/// of the first dot stand for one or more whole labels, and stars alone for every name. The pattern without any
/// sign has the root only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    /// The pattern as its author writes it: two spellings of one pattern are two patterns to identities.
    text: Box<str>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    /// Every name, the root among them.
    Everything,
    /// One or more whole labels.
    Labels,
    /// Any number of signs of one label.
    Signs,
    /// This sign.
    Sign(u8),
}

impl Glob {
    /// The pattern of a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let own = text.trim().to_ascii_lowercase();
        let own = own.strip_suffix('.').unwrap_or(&own);
        let mut parts = Vec::new();
        let mut rest = own.as_bytes();
        if !rest.is_empty() && rest.iter().all(|sign| *sign == b'*') {
            parts.push(Part::Everything);
            rest = &[];
        }
        let stars = |text: &[u8]| text.iter().take_while(|sign| **sign == b'*').count();
        let leading = stars(rest);
        if leading >= 2 && rest.get(leading) == Some(&b'.') {
            parts.push(Part::Labels);
            rest = rest.get(leading..).unwrap_or_default();
        }
        while let Some((sign, behind)) = rest.split_first() {
            if *sign == b'*' {
                parts.push(Part::Signs);
                rest = rest.get(stars(rest)..).unwrap_or_default();
            } else {
                parts.push(Part::Sign(*sign));
                rest = behind;
            }
        }
        Self {
            text: text.into(),
            parts,
        }
    }

    /// The pattern as its author writes it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it covers a name in lower case without a final dot; the root is the empty name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.parts, name.as_bytes())
    }
}

fn is_sign_of_label(sign: &u8) -> bool {
    sign.is_ascii_alphanumeric() || *sign == b'-' || *sign == b'_'
}

/// Walks over the parts with all places in the name at which those before may end: no pattern takes longer than its
/// length times that of the name.
fn matches(parts: &[Part], name: &[u8]) -> bool {
    let mut at = vec![false; name.len() + 1];
    if let Some(start) = at.first_mut() {
        *start = true;
    }
    for part in parts {
        at = after(part, &at, name);
    }
    at.last() == Some(&true)
}

/// Where a part may end that begins at one of these places.
fn after(part: &Part, at: &[bool], name: &[u8]) -> Vec<bool> {
    let steps = at.iter().zip(name);
    let mut ends = Vec::with_capacity(at.len());
    match part {
        Part::Sign(own) => {
            ends.push(false);
            ends.extend(steps.map(|(here, sign)| *here && sign == own));
        }
        Part::Signs => {
            let mut inside = at.first() == Some(&true);
            ends.push(inside);
            for (here, sign) in at.iter().skip(1).zip(name) {
                inside = *here || inside && is_sign_of_label(sign);
                ends.push(inside);
            }
        }
        Part::Labels | Part::Everything => {
            let root = *part == Part::Everything && name.is_empty();
            ends.push(root && at.first() == Some(&true));
            let (mut in_label, mut behind_dot) = (false, false);
            for (here, sign) in steps {
                let goes_on = *here || in_label || behind_dot;
                behind_dot = *sign == b'.' && in_label;
                in_label = is_sign_of_label(sign) && goes_on;
                ends.push(in_label);
            }
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, covered: &[&str], others: &[&str]) {
        let glob = Glob::new(pattern);
        for (names, expected) in [(covered, true), (others, false)] {
            for name in names {
                assert_eq!(glob.matches(name), expected, "{pattern} {name}");
            }
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(40) + "b";
        assert!(!Glob::new(&pattern).matches(&"a".repeat(200)));
    }

    #[test]
    fn stars_stay_inside_a_label_but_for_leading_ones() {
        check(
            "*.cilium.io",
            &["www.cilium.io", ".cilium.io"],
            &["cilium.io", "a.b.cilium.io"],
        );
        check(
            "*cilium.io",
            &["cilium.io", "subcilium.io"],
            &["sub.cilium.io"],
        );
        check(
            "**.cilium.io",
            &["a.cilium.io", "a.b.cilium.io"],
            &["cilium.io", ".cilium.io"],
        );
        check(
            "**cilium.io",
            &["cilium.io", "xcilium.io"],
            &["a.cilium.io"],
        );
        check("a.**.io", &["a.b.io"], &["a.b.c.io"]);
        check("*.*.io", &["a.b.io"], &["b.io"]);
    }

    #[test]
    fn the_root_and_everything() {
        check("", &[""], &["a"]);
        check("*", &["", "a", "a.b"], &["a..b"]);
        check("**.", &["", "a"], &[]);
        check("Example.COM.", &["example.com"], &["example.comx"]);
    }
}
