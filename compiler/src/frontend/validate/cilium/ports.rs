//! Ports, protocols and ICMP types.

use super::{Context, filled, not_yet, option_off};
use crate::diagnostic::codes;
use crate::frontend::manifest::Value;
use crate::frontend::report::{Place, Report};

/// How many ports a list may hold; the definition limits those of rules that allow, the agent all.
const MOST_PORTS: usize = 40;

/// Protocols without ports.
const WITHOUT_PORTS: &[&str] = &["VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH"];

/// Protocols that 1.19 does not know.
const NEW_PROTOCOLS: &[&str] = &["GRE", "IPIP", "IPV6", "ESP", "AH"];

/// Checks the ports of an item of `toPorts`: R10.
pub(super) fn check(item: &Place<'_>, context: Context<'_>, report: &mut Report<'_, '_>) {
    let Some(ports) = item.get("ports") else {
        return;
    };
    let count = ports.node.items().count();
    // The other lists are for the schema to count.
    if count > MOST_PORTS && context.denies {
        report.add(
            ports
                .spot()
                .at_value(
                    &codes::TOO_MANY,
                    format!("Cilium takes at most {MOST_PORTS} ports in one list, not {count}"),
                    "too many",
                )
                .help("split them over several items of `toPorts`"),
        );
    }
    for port in ports.items() {
        check_port(&port, context, report);
    }
}

fn check_port(item: &Place<'_>, context: Context<'_>, report: &mut Report<'_, '_>) {
    let protocol = item
        .get("protocol")
        .and_then(|place| place.node.as_str().map(|name| (name, place.spot())));
    if let Some((name, spot)) = &protocol
        && context.is_old()
        && NEW_PROTOCOLS.contains(name)
    {
        report.add(not_yet(spot, name));
    }
    let Some(port) = item.get("port") else {
        if !context.options.enable_extended_ip_protocols
            && matches!(item.node.value(), Value::Mapping(_))
        {
            report.add(
                item.spot()
                    .below("port")
                    .at_head(
                        &codes::AGENT_PORT,
                        "Cilium refuses a port without a number",
                        "lacks `port`",
                    )
                    .help(
                        "write `port: \"0\"` for every port, or set `enable-extended-ip-protocols`",
                    ),
            );
        }
        return;
    };
    let Some(text) = port.node.as_str().filter(|text| !text.is_empty()) else {
        return;
    };
    let protocol = protocol.map_or("ANY", |(name, _)| name);
    if is_name(text) {
        return;
    }
    let problem = if text != "0" && WITHOUT_PORTS.contains(&protocol) {
        Some((
            format!("{protocol} has no ports, so that Cilium refuses `{text}`"),
            "write `port: \"0\"`".to_owned(),
        ))
    } else if number(text).is_none() {
        let help = if text.len() > 15 {
            "a name has at most 15 characters; write the number"
        } else {
            "write a number from 0 to 65535, or the name that pods give the port"
        };
        let message = format!("Cilium cannot read the port `{text}`");
        Some((message, help.to_owned()))
    } else {
        None
    };
    if let Some((message, help)) = problem {
        report.add(
            port.spot()
                .at_value(&codes::AGENT_PORT, message, "not a port")
                .help(help),
        );
    }
}

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

/// Checks the items of `icmps`: R9.
pub(super) fn check_icmps(
    rule: &Place<'_>,
    icmps: &Place<'_>,
    context: Context<'_>,
    report: &mut Report<'_, '_>,
) {
    if !context.options.enable_icmp_rules {
        report.add(option_off(
            &icmps.spot(),
            "rules on ICMP",
            "enable-icmp-rules",
        ));
    }
    if filled(rule, "toPorts").is_some() {
        report.add(
            icmps
                .spot()
                .at_head(
                    &codes::ICMP_BESIDE_PORTS,
                    "Cilium refuses a rule with both `icmps` and `toPorts`",
                    "beside `toPorts`",
                )
                .help("write one rule for each"),
        );
    }
    for item in icmps.items() {
        if let Some(fields) = item.get("fields") {
            for field in fields.items() {
                icmp_name(&field, report);
            }
        }
    }
}

/// A name of a type that the family of the field does not have.
fn icmp_name(field: &Place<'_>, report: &mut Report<'_, '_>) {
    let family = field.get("family").and_then(|place| place.node.as_str());
    let (family, names) = match family {
        Some("IPv6") => ("IPv6", V6_NAMES),
        Some(_) | None => ("IPv4", V4_NAMES),
    };
    let Some(place) = field.get("type") else {
        return;
    };
    let Some(name) = place.node.as_str() else {
        return;
    };
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || names.contains(&name) {
        return;
    }
    let other = if family == "IPv6" { "IPv4" } else { "IPv6" };
    report.add(
        place
            .spot()
            .at_value(
                &codes::AGENT_VALUE,
                format!(
                    "ICMP over {family} has no type `{name}`, so that Cilium refuses the policy"
                ),
                format!("no type of {family}"),
            )
            .help(format!(
                "write `family: {other}`, or the number of the type"
            )),
    );
}

const V4_NAMES: &[&str] = &[
    "EchoReply",
    "DestinationUnreachable",
    "Redirect",
    "Echo",
    "EchoRequest",
    "RouterAdvertisement",
    "RouterSelection",
    "TimeExceeded",
    "ParameterProblem",
    "Timestamp",
    "TimestampReply",
    "Photuris",
    "ExtendedEchoRequest",
    "ExtendedEchoReply",
];

const V6_NAMES: &[&str] = &[
    "DestinationUnreachable",
    "PacketTooBig",
    "TimeExceeded",
    "ParameterProblem",
    "EchoRequest",
    "EchoReply",
    "MulticastListenerQuery",
    "MulticastListenerReport",
    "MulticastListenerDone",
    "RouterSolicitation",
    "RouterAdvertisement",
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
    "ExtendedEchoRequest",
    "ExtendedEchoReply",
];

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
