//! Transport keys: everything a packet may carry, as numbers.
//!
//! `protocol << 17 | value`. The value is the destination port of TCP, UDP and SCTP, `type << 8 | code` of ICMP and
//! ICMPv6, [`NOT_KNOWN`] where that is not known (a later fragment, a question without a port), and 0 for every
//! other protocol.

use crate::cluster::Protocol;
use crate::hir::flow::Transport;

/// The value of a port or type that is not known.
pub const NOT_KNOWN: u32 = 1 << 16;

const SHIFT: u32 = 17;

/// The greatest key.
pub const LAST: u32 = key(Protocol(u8::MAX), (1 << SHIFT) - 1);

/// The key of a protocol and a value.
#[must_use]
pub const fn key(protocol: Protocol, value: u32) -> u32 {
    ((protocol.0 as u32) << SHIFT) | value
}

/// The key of a packet.
#[must_use]
pub fn of(transport: Transport) -> u32 {
    let protocol = transport.protocol;
    let value = if protocol.has_ports() {
        transport.port.map_or(NOT_KNOWN, u32::from)
    } else if is_icmp(protocol) {
        let icmp = transport.icmp;
        icmp.map_or(NOT_KNOWN, |(kind, code)| {
            u32::from(kind) << 8 | u32::from(code)
        })
    } else {
        0
    };
    key(protocol, value)
}

/// A packet of a key.
#[must_use]
pub fn example(key: u32) -> Transport {
    let (protocol, value) = parts(key);
    let known = u16::try_from(value).ok();
    Transport {
        protocol,
        port: known.filter(|_| protocol.has_ports()),
        icmp: known
            .filter(|_| is_icmp(protocol))
            .map(|value| value.to_be_bytes().into()),
    }
}

/// The least key from this one on that a packet may have; `None` where there is none.
#[must_use]
pub fn packet_from(key: u32) -> Option<u32> {
    if of(example(key)) == key {
        return Some(key);
    }
    let (protocol, _) = parts(key);
    let next = protocol.0.checked_add(1)?;
    Some(self::key(Protocol(next), 0))
}

/// The protocol and the value of a key.
#[must_use]
pub fn parts(key: u32) -> (Protocol, u32) {
    let protocol = u8::try_from(key >> SHIFT).unwrap_or(u8::MAX);
    (Protocol(protocol), key & ((1 << SHIFT) - 1))
}

/// The keys of a whole protocol.
#[must_use]
pub fn whole(protocol: Protocol) -> (u32, u32) {
    (key(protocol, 0), key(protocol, (1 << SHIFT) - 1))
}

/// Whether the values of a protocol are types and codes.
#[must_use]
pub fn is_icmp(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::ICMP | Protocol::ICMPV6)
}
