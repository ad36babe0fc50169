//! The patterns that definitions of custom resources hold strings to, each as a function.
//!
//! Input: a string. Output: whether the published regular expression, or format, takes it. Guarantee: exactly as
//! the expression says, where that is another thing than what it was meant to say, too.

use crate::diagnostic::{Code, Diagnostic, codes};
use crate::frontend::address;
use crate::frontend::report::Spot;
use crate::frontend::validate::text;

/// What a string must match.
#[derive(Debug)]
pub(in crate::frontend) struct Pattern {
    pub(super) holds: fn(&str) -> bool,
    code: &'static Code,
    /// What a string that matches is: `a domain name`.
    what: &'static str,
    help: &'static str,
}

impl Pattern {
    /// That a string does not match.
    pub(super) fn refusal(&self, spot: &Spot<'_>, text: &str) -> Diagnostic {
        let label = format!("not {}", self.what);
        let message = if text.is_empty() {
            format!("`{}` must be {}, but is empty", spot.field, self.what)
        } else {
            format!("`{text}` is not {}", self.what)
        };
        spot.at_value(self.code, message, label).help(self.help)
    }
}

/// `format: cidr`, which is Go's `net.ParseCIDR`.
pub(super) static CIDR: Pattern = Pattern {
    holds: |text| address::split_cidr(text).is_some(),
    code: &codes::INVALID_ADDRESS,
    what: "a block of addresses",
    help: "write an address and the length of its prefix, such as `10.0.0.0/8`; a single address is `10.0.0.7/32`",
};

/// `^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$`, of at most 63 characters.
pub(super) static LABEL_VALUE: Pattern = Pattern {
    holds: |text| text::label_value(text).is_ok(),
    code: &codes::INVALID_LABEL,
    what: "a label's value",
    help: "write the value that the objects' labels have; see `kubectl get --show-labels`",
};

/// `^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`, of at most 253 characters.
pub(super) static GROUP_NAME: Pattern = Pattern {
    holds: |text| text::dns_subdomain(text).is_ok(),
    code: &codes::INVALID_NAME,
    what: "the name of an object",
    help: "write the name of a CiliumCIDRGroup",
};

/// `^([-a-zA-Z0-9_]+[.]?)+$`.
pub(super) static DNS_NAME: Pattern = Pattern {
    holds: |text| is_dns(text, false),
    code: &codes::INVALID_VALUE,
    what: "a domain name",
    help: "write a name such as `example.com`; a name with `*` in it goes into `matchPattern`",
};

/// `^([-a-zA-Z0-9_*]+[.]?)+$`.
pub(super) static DNS_PATTERN: Pattern = Pattern {
    holds: |text| is_dns(text, true),
    code: &codes::INVALID_VALUE,
    what: "a pattern of domain names",
    help: "write a name in which `*` stands for any part, such as `*.example.com`",
};

/// `^(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{1,4})|([a-zA-Z0-9]-?)*[a-zA-Z](-?[a-zA-Z0-9])*$`.
pub(super) static PORT: Pattern = Pattern {
    holds: is_port,
    code: &codes::INVALID_PORT,
    what: "a port",
    help: "write a number in quotes, such as `\"443\"`, or the name that pods give the port",
};

/// The type of an ICMP message, by number or name.
pub(super) static ICMP_TYPE: Pattern = Pattern {
    holds: is_icmp_type,
    code: &codes::INVALID_VALUE,
    what: "a type of ICMP messages that the definition has",
    help: "write the type's number without quotes, from 0 to 255",
};

/// `^\PC*$`.
pub(super) static PRINTABLE: Pattern = Pattern {
    holds: |text| !text.contains(is_other),
    code: &codes::INVALID_VALUE,
    what: "a text of printable characters",
    help: "remove the characters that cannot be seen",
};

/// At least one character.
pub(super) static NOT_EMPTY: Pattern = Pattern {
    holds: |text| !text.is_empty(),
    code: &codes::INVALID_VALUE,
    what: "a name",
    help: "give it a name",
};

fn is_dns(text: &str, stars: bool) -> bool {
    let is_inner = |byte: &u8| {
        byte.is_ascii_alphanumeric() || b"-_".contains(byte) || (stars && *byte == b'*')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    name.split('.')
        .all(|label| !label.is_empty() && label.as_bytes().iter().all(is_inner))
}

/// The expression is anchored in front for numbers and at the end for names, so that either half may be followed,
/// or preceded, by anything.
fn is_port(text: &str) -> bool {
    let bytes = text.as_bytes();
    let starts_with_number = bytes.first().is_some_and(u8::is_ascii_digit);
    starts_with_number || ends_with_name(bytes)
}

/// Whether some letter is followed by letters, digits and single hyphens up to the end, and no hyphen is last.
fn ends_with_name(bytes: &[u8]) -> bool {
    let mut was_hyphen = true;
    for byte in bytes.iter().rev() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => return true,
            b'0'..=b'9' => was_hyphen = false,
            b'-' if !was_hyphen => was_hyphen = true,
            _ => return false,
        }
    }
    false
}

fn is_icmp_type(text: &str) -> bool {
    let is_number = text
        .parse::<u8>()
        .is_ok_and(|number| number.to_string() == text);
    is_number || ICMP_NAMES.contains(&text)
}

/// The names of both families, as the definition spells them: that of `ExtendedEchoReply` has a blank in it.
const ICMP_NAMES: &[&str] = &[
    "EchoReply",
    "DestinationUnreachable",
    "Redirect",
    "Echo",
    "RouterAdvertisement",
    "RouterSelection",
    "TimeExceeded",
    "ParameterProblem",
    "Timestamp",
    "TimestampReply",
    "Photuris",
    "ExtendedEchoRequest",
    "ExtendedEcho Reply",
    "PacketTooBig",
    "EchoRequest",
    "MulticastListenerQuery",
    "MulticastListenerReport",
    "MulticastListenerDone",
    "RouterSolicitation",
    "NeighborSolicitation",
    "NeighborAdvertisement",
    "RedirectMessage",
    "RouterRenumbering",
    "ICMPNodeInformationQuery",
    "ICMPNodeInformationResponse",
    "InverseNeighborDiscoverySolicitation",
    "InverseNeighborDiscoveryAdvertisement",
    "HomeAgentAddressDiscoveryRequest",
    "HomeAgentAddressDiscoveryReply",
    "MobilePrefixSolicitation",
    "MobilePrefixAdvertisement",
    "DuplicateAddressRequestCodeSuffix",
    "DuplicateAddressConfirmationCodeSuffix",
];

/// Unicode's category C as Go's tables have it: control, format and private use characters.
fn is_other(sign: char) -> bool {
    sign.is_control()
        || matches!(
            sign,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{2064}'
                | '\u{2066}'..='\u{206f}'
                | '\u{e000}'..='\u{f8ff}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0001}'
                | '\u{e0020}'..='\u{e007f}'
                | '\u{f0000}'..='\u{ffffd}'
                | '\u{100000}'..='\u{10fffd}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &Pattern, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!((pattern.holds)(text), "{}: {text}", pattern.what);
        }
        for text in bad {
            assert!(!(pattern.holds)(text), "{}: {text}", pattern.what);
        }
    }

    #[test]
    fn ports_are_anchored_as_published() {
        check(
            &PORT,
            &[
                "0",
                "80",
                "65536",
                "1 and more",
                "web",
                "a-b",
                "X y",
                "!a",
                "-1a",
                "--a",
            ],
            &["", "-1", "-", "a-", "a!", "!", "é", "a--", "- 1"],
        );
    }

    #[test]
    fn icmp_types_are_those_of_the_definition() {
        check(
            &ICMP_TYPE,
            &[
                "0",
                "8",
                "255",
                "Echo",
                "ExtendedEcho Reply",
                "PacketTooBig",
            ],
            &["", "08", "+8", "256", "echo", "ExtendedEchoReply"],
        );
    }

    #[test]
    fn names_and_patterns_of_dns() {
        check(
            &DNS_NAME,
            &["a", "a.b.", "_a-.b", "A.b"],
            &["", ".", "a..b", ".a", "*.a", "a b"],
        );
        check(
            &DNS_PATTERN,
            &["*", "**.a", "a.*b."],
            &["", ".", "*..a", "a!"],
        );
    }

    #[test]
    fn texts_that_can_be_printed() {
        check(
            &PRINTABLE,
            &["", "a b", "é"],
            &["a\tb", "\u{200b}", "\u{e000}"],
        );
    }
}
