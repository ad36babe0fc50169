//! The port of a question.

use super::suggest::{did_you_mean, nearest};
use crate::cluster::Protocol;
use crate::diagnostic::{Diagnostic, codes};
use std::fmt;

/// How a port is written.
pub const PORT_GRAMMAR: &str = "a port is `80/TCP`, `80-90/UDP`, `http/TCP` (a name), `/SCTP` (every port), \
     `echo-request/ICMP`, `8/ICMP`, `/47` (another protocol by its number) or `ANY`; TCP may be left out";

/// A port as written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortSpec {
    /// `ANY`: every protocol and port.
    Any,
    /// `/SCTP`, `ICMP`, `/47`: a whole protocol.
    Protocol(Protocol),
    /// `80/TCP`, `80-90/UDP`.
    Range {
        /// TCP, UDP or SCTP.
        protocol: Protocol,
        /// The lowest port.
        first: u16,
        /// The highest port, not below `first`.
        last: u16,
    },
    /// `http/TCP`: the port to which the destination gives this name.
    Named {
        /// TCP, UDP or SCTP.
        protocol: Protocol,
        /// The name.
        name: Box<str>,
    },
    /// `echo-request/ICMP`, `8/ICMP`.
    Icmp {
        /// ICMP or ICMPv6.
        protocol: Protocol,
        /// The type.
        kind: u8,
    },
}

impl PortSpec {
    /// Reads a port. Protocols may be written in lower case.
    ///
    /// # Errors
    /// [`codes::MALFORMED_PORT`] with the grammar.
    pub fn parse(text: &str) -> Result<Self, Box<Diagnostic>> {
        let text = text.trim();
        parse(text).map_err(|why| {
            let message = format!("`{text}` is no port: {why}");
            let help = meant(text).unwrap_or_else(|| PORT_GRAMMAR.to_owned());
            Box::new(Diagnostic::new(&codes::MALFORMED_PORT, message).help(help))
        })
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("ANY"),
            Self::Protocol(protocol) => write!(f, "/{}", Spelt(*protocol)),
            Self::Range {
                protocol,
                first,
                last,
            } if first == last => write!(f, "{first}/{protocol}"),
            Self::Range {
                protocol,
                first,
                last,
            } => write!(f, "{first}-{last}/{protocol}"),
            Self::Named { protocol, name } => write!(f, "{name}/{protocol}"),
            Self::Icmp { protocol, kind } => write!(f, "{kind}/{protocol}"),
        }
    }
}

/// A protocol as it is written in a port.
struct Spelt(Protocol);

impl fmt::Display for Spelt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = PROTOCOLS.iter().find(|(_, protocol)| *protocol == self.0);
        match known {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0.0),
        }
    }
}

/// Names of protocols; the first for a protocol is the one that is shown.
const PROTOCOLS: &[(&str, Protocol)] = &[
    ("TCP", Protocol::TCP),
    ("UDP", Protocol::UDP),
    ("SCTP", Protocol::SCTP),
    ("ICMP", Protocol::ICMP),
    ("ICMPv4", Protocol::ICMP),
    ("ICMPv6", Protocol::ICMPV6),
    ("ICMP6", Protocol::ICMPV6),
    ("IGMP", Protocol(2)),
    ("GRE", Protocol(47)),
    ("ESP", Protocol(50)),
    ("AH", Protocol(51)),
    ("VRRP", Protocol(112)),
];

fn parse(text: &str) -> Result<PortSpec, String> {
    if text.eq_ignore_ascii_case("ANY") || text.eq_ignore_ascii_case("ANY/ANY") {
        return Ok(PortSpec::Any);
    }
    match text.rsplit_once('/') {
        Some((port, protocol)) => with_protocol(port, self::protocol(protocol)?),
        None => match whole_protocol(text) {
            Some(protocol) => Ok(PortSpec::Protocol(protocol)),
            None if text.is_empty() => Err("it is empty".into()),
            None => with_protocol(text, Protocol::TCP),
        },
    }
}

/// A protocol that stands alone. In lower case, one that has ports is the name of a port.
fn whole_protocol(text: &str) -> Option<Protocol> {
    let protocol = named_protocol(text)?;
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    (!is_lower || !protocol.has_ports()).then_some(protocol)
}

fn named_protocol(text: &str) -> Option<Protocol> {
    let known = PROTOCOLS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text));
    known.map(|(_, protocol)| *protocol)
}

fn protocol(text: &str) -> Result<Protocol, String> {
    named_protocol(text)
        .or_else(|| {
            number(text)
                .and_then(|number| u8::try_from(number).ok())
                .map(Protocol)
        })
        .ok_or_else(|| format!("`{text}` is no protocol"))
}

/// The port with the protocol that was meant: `did you mean `80/TCP`?`.
fn meant(text: &str) -> Option<String> {
    let (port, protocol) = text.rsplit_once('/')?;
    let near = nearest(protocol, PROTOCOLS.iter().map(|(name, _)| *name));
    let ports: Vec<String> = near
        .into_iter()
        .map(|protocol| format!("{port}/{protocol}"))
        .filter(|port| parse(port).is_ok())
        .collect();
    did_you_mean(&ports)
}

fn with_protocol(port: &str, protocol: Protocol) -> Result<PortSpec, String> {
    if port.is_empty() || port == "*" || port.eq_ignore_ascii_case("ANY") {
        return Ok(PortSpec::Protocol(protocol));
    }
    if let Protocol::ICMP | Protocol::ICMPV6 = protocol {
        return icmp(port, protocol);
    }
    if !protocol.has_ports() {
        return Err(format!("{} has no ports", Spelt(protocol)));
    }
    if let Some(number) = number(port) {
        let port = in_range(number)?;
        return Ok(range(protocol, port, port));
    }
    if let Some((first, last)) = port.split_once('-')
        && let (Some(first), Some(last)) = (number(first), number(last))
    {
        let (first, last) = (in_range(first)?, in_range(last)?);
        return if first <= last {
            Ok(range(protocol, first, last))
        } else {
            Err(format!("{first} is above {last}"))
        };
    }
    Ok(PortSpec::Named {
        protocol,
        name: port_name(port)?.into(),
    })
}

fn range(protocol: Protocol, first: u16, last: u16) -> PortSpec {
    PortSpec::Range {
        protocol,
        first,
        last,
    }
}

/// A whole number, saturated.
fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u32::MAX))
}

fn in_range(number: u32) -> Result<u16, String> {
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.ok_or_else(|| "ports are 1 to 65535".to_owned())
}

/// An IANA service name: at most 15 lower-case letters, digits and single hyphens, one letter at least.
fn port_name(text: &str) -> Result<&str, String> {
    let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = text.len() <= 15
        && text.bytes().all(is_known)
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--");
    if fits {
        Ok(text)
    } else {
        Err(format!(
            "`{text}` is neither a number nor the name of a port"
        ))
    }
}

fn icmp(text: &str, protocol: Protocol) -> Result<PortSpec, String> {
    let kind = match number(text) {
        Some(number) => u8::try_from(number).map_err(|_| "ICMP types are 0 to 255".to_owned())?,
        None => icmp_type(text, protocol)
            .ok_or_else(|| format!("`{text}` is no type of {protocol} that is known by name"))?,
    };
    Ok(PortSpec::Icmp { protocol, kind })
}

/// A type by its name; `echo-request` and `EchoRequest` are the same.
fn icmp_type(text: &str, protocol: Protocol) -> Option<u8> {
    let table = if protocol == Protocol::ICMP {
        ICMP_TYPES
    } else {
        ICMPV6_TYPES
    };
    let plain = text.replace('-', "");
    let known = table
        .iter()
        .find(|(name, _)| name.replace('-', "").eq_ignore_ascii_case(&plain));
    known.map(|(_, kind)| *kind)
}

/// <https://www.iana.org/assignments/icmp-parameters>
const ICMP_TYPES: &[(&str, u8)] = &[
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("redirect", 5),
    ("echo-request", 8),
    ("echo", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("router-selection", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp", 13),
    ("timestamp-reply", 14),
    ("photuris", 40),
    ("extended-echo-request", 42),
    ("extended-echo-reply", 43),
];

/// <https://www.iana.org/assignments/icmpv6-parameters>
const ICMPV6_TYPES: &[(&str, u8)] = &[
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("multicast-listener-query", 130),
    ("multicast-listener-report", 131),
    ("multicast-listener-done", 132),
    ("router-solicitation", 133),
    ("router-advertisement", 134),
    ("neighbor-solicitation", 135),
    ("neighbor-advertisement", 136),
    ("redirect-message", 137),
    ("redirect", 137),
    ("router-renumbering", 138),
    ("extended-echo-request", 160),
    ("extended-echo-reply", 161),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let got = match PortSpec::parse(text) {
            Ok(port) => port.to_string(),
            Err(diagnostic) => diagnostic.message,
        };
        assert_eq!(got, expected, "{text}");
        if let Ok(port) = PortSpec::parse(text) {
            assert_eq!(PortSpec::parse(&port.to_string()), Ok(port), "{text}");
        }
    }

    #[test]
    fn ports_are_read() {
        for (text, expected) in [
            ("80/TCP", "80/TCP"),
            ("80", "80/TCP"),
            (" 53/udp ", "53/UDP"),
            ("080/TCP", "80/TCP"),
            ("80-90/UDP", "80-90/UDP"),
            ("80-80", "80/TCP"),
            ("1-65535/SCTP", "1-65535/SCTP"),
            ("http/TCP", "http/TCP"),
            ("http", "http/TCP"),
            ("web-1-2/sctp", "web-1-2/SCTP"),
            ("tcp", "tcp/TCP"),
            ("tcp/udp", "tcp/UDP"),
            ("TCP", "/TCP"),
            ("/SCTP", "/SCTP"),
            ("*/udp", "/UDP"),
            ("any/udp", "/UDP"),
            ("ANY", "ANY"),
            ("any", "ANY"),
            ("ICMP", "/ICMP"),
            ("icmpv6", "/ICMPv6"),
            ("8/ICMP", "8/ICMP"),
            ("echo-request/ICMP", "8/ICMP"),
            ("EchoRequest/icmp", "8/ICMP"),
            ("echo-request/ICMPv6", "128/ICMPv6"),
            ("0/ICMP", "0/ICMP"),
            ("/47", "/GRE"),
            ("/1", "/ICMP"),
            ("/58", "/ICMPv6"),
            ("/6", "/TCP"),
            ("443/6", "443/TCP"),
            ("/200", "/200"),
            ("ANY/gre", "/GRE"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn what_is_no_port_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "it is empty"),
            ("0/TCP", "ports are 1 to 65535"),
            ("65536", "ports are 1 to 65535"),
            ("99999999999999999999", "ports are 1 to 65535"),
            ("90-80/TCP", "90 is above 80"),
            ("80/TPC", "`TPC` is no protocol"),
            ("80/256", "`256` is no protocol"),
            ("80/47", "GRE has no ports"),
            ("http/gre", "GRE has no ports"),
            ("256/ICMP", "ICMP types are 0 to 255"),
            (
                "ping/ICMP",
                "`ping` is no type of ICMP that is known by name",
            ),
            ("HTTP", "`HTTP` is neither a number nor the name of a port"),
            (
                "-80/TCP",
                "`-80` is neither a number nor the name of a port",
            ),
            (
                "80-/TCP",
                "`80-` is neither a number nor the name of a port",
            ),
            (
                "80,443",
                "`80,443` is neither a number nor the name of a port",
            ),
            ("80/TCP/x", "`x` is no protocol"),
            ("80/", "`` is no protocol"),
            (
                "a-name-that-is-too-long",
                "`a-name-that-is-too-long` is neither a number nor the name of a port",
            ),
        ] {
            check(text, &format!("`{text}` is no port: {why}"));
        }
    }
}
