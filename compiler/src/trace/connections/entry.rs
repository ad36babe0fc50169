//! One connection: its ends, what was seen of it, and how long it lives.

use crate::cluster::Protocol;
use crate::trace::capture::{Carried, Tuple};
use crate::trace::packets::Answered;
use std::net::IpAddr;

const SECOND: u64 = 1_000_000_000;

/// As what a packet belongs to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in super::super) enum State {
    /// It opens it.
    New,
    /// It is a further packet of the side that opened it.
    Established,
    /// It is from the other side.
    Reply,
    /// It is an error about it.
    Related,
}

impl State {
    pub(in super::super) fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Reply => "reply",
            Self::Related => "related",
        }
    }
}

/// The two ends of a connection whatever the direction: the lower one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    low: u128,
    high: u128,
    ports: u32,
    protocol: u8,
}

/// The key of a packet, and whether it goes from the lower end to the higher one.
pub(super) fn key(ends: &Tuple) -> (Key, bool) {
    let src = (number(ends.src), ends.ports.0);
    let dst = (number(ends.dst), ends.ports.1);
    let is_upward = src <= dst;
    let (low, high) = if is_upward { (src, dst) } else { (dst, src) };
    let key = Key {
        low: low.0,
        high: high.0,
        ports: u32::from(low.1) << 16 | u32::from(high.1),
        protocol: ends.protocol.0,
    };
    (key, is_upward)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// A connection.
#[derive(Clone, Debug)]
pub(in super::super) struct Connection {
    /// Counted from zero, in the order in which they are opened.
    pub(in super::super) number: u64,
    /// Its ends, those of the side that opened it first.
    pub(in super::super) ends: Tuple,
    /// Type and code of the packet that opened it.
    pub(in super::super) icmp: Option<(u8, u8)>,
    /// Whether it began before the capture, so that it is not sure which side opened it.
    pub(in super::super) is_older: bool,
    /// Whether the other side has been seen.
    pub(in super::super) is_answered: bool,
    pub(in super::super) first: u64,
    pub(in super::super) last: u64,
    /// How many packets the side that opened it sent, and the other.
    pub(in super::super) packets: [u64; 2],
    /// How many bytes.
    pub(in super::super) bytes: [u64; 2],
    /// What is known of its answer.
    pub(in super::super) answer: Option<Answered>,
    pub(super) opened_upward: bool,
    pub(super) has_data: bool,
    pub(super) closing: [bool; 2],
}

impl Connection {
    fn lifetime(&self) -> u64 {
        if self.ends.protocol != Protocol::TCP {
            return lifetime::ANY;
        }
        match (self.has_data, self.closing) {
            (_, [true, true]) => lifetime::TCP_CLOSE,
            (false, _) => lifetime::TCP_SYN,
            (true, _) => lifetime::TCP,
        }
    }

    pub(super) fn has_expired(&self, now: u64) -> bool {
        now.saturating_sub(self.last) > self.lifetime()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.closing == [true, true]
    }
}

/// How long entries live behind their last packet: the defaults of Cilium's options, in nanoseconds.
pub(super) mod lifetime {
    use super::SECOND;
    /// `bpf-ct-timeout-regular-tcp`: 2h13m20s.
    pub(in super::super) const TCP: u64 = 8_000 * SECOND;
    /// `bpf-ct-timeout-regular-tcp-syn`: nothing but SYN was seen.
    pub(in super::super) const TCP_SYN: u64 = 60 * SECOND;
    /// `bpf-ct-timeout-regular-tcp-fin`: both sides have ended it, or one has reset it.
    pub(in super::super) const TCP_CLOSE: u64 = 10 * SECOND;
    /// `bpf-ct-timeout-regular-any`: all other protocols.
    pub(in super::super) const ANY: u64 = 60 * SECOND;
}

/// What a pod sends to itself has both directions alike; only an echo tells them apart.
pub(super) fn is_to_itself_answered(connection: &Connection, carried: Carried<'_>) -> bool {
    let ends = &connection.ends;
    let is_answer = matches!(
        carried,
        Carried::Icmp {
            is_answer: true,
            ..
        }
    );
    ends.src == ends.dst && ends.ports.0 == ends.ports.1 && is_answer
}

pub(super) fn unopened(ends: Tuple) -> Connection {
    Connection {
        number: 0,
        ends,
        icmp: None,
        is_older: false,
        is_answered: false,
        first: 0,
        last: 0,
        packets: [0; 2],
        bytes: [0; 2],
        answer: None,
        opened_upward: true,
        has_data: false,
        closing: [false; 2],
    }
}

pub(super) fn turned(ends: &Tuple) -> Tuple {
    Tuple {
        src: ends.dst,
        dst: ends.src,
        protocol: ends.protocol,
        ports: (ends.ports.1, ends.ports.0),
    }
}

/// The type of the request to which this is the answer, or the type itself.
pub(super) fn asked(protocol: Protocol, kind: u8) -> u8 {
    match (protocol == Protocol::ICMPV6, kind) {
        (false, 0) => 8,
        (false, 14) => 13,
        (true, 129) => 128,
        (_, kind) => kind,
    }
}

impl Connection {
    pub(super) fn note(&mut self, carried: Carried<'_>, is_reply: bool) {
        let Carried::Tcp(tcp) = carried else {
            self.is_answered |= is_reply;
            return;
        };
        // A refusal may come from anyone on the way. Whoever acknowledges without a SYN has an answer.
        self.is_answered |= !tcp.rst && (is_reply || (tcp.ack && !tcp.syn));
        self.has_data |= !tcp.syn;
        let side = usize::from(is_reply);
        for (index, closing) in self.closing.iter_mut().enumerate() {
            *closing |= tcp.rst || (tcp.fin && index == side);
        }
    }

    /// Counts a packet.
    pub(in super::super) fn count(&mut self, is_reply: bool, length: u32) {
        let side = usize::from(is_reply);
        if let (Some(packets), Some(bytes)) = (self.packets.get_mut(side), self.bytes.get_mut(side))
        {
            *packets += 1;
            *bytes += u64::from(length);
        }
    }
}
