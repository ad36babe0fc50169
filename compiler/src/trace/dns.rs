//! DNS answers in packets: datagrams, and streams put together.

mod stream;

use super::capture::{Carried, Packet};
use std::net::IpAddr;
use stream::Streams;

/// From where DNS answers.
pub(super) const PORT: u16 = 53;

/// A name that was asked for, with the addresses that were answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Lower case, without the final dot.
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
    /// For how many seconds the answer holds: the least that one of its records says.
    pub(super) seconds: u32,
}

/// A name as the tables of names have it.
pub(super) fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a packet may be, or be part of, an answer.
pub(super) fn may_answer(packet: &Packet<'_>) -> bool {
    packet.ends.ports.0 == PORT && matches!(packet.carried, Carried::Udp(_) | Carried::Tcp(..))
}

/// Reads answers out of packets.
#[derive(Default)]
pub(super) struct Lookups {
    streams: Streams,
}

impl Lookups {
    /// The answers that a packet tells: one in a datagram, any number in a segment that completes them.
    pub(super) fn read(&mut self, packet: &Packet<'_>) -> Vec<Answer> {
        if !may_answer(packet) {
            return Vec::new();
        }
        match packet.carried {
            Carried::Udp(message) => read(message).into_iter().collect(),
            Carried::Tcp(tcp, data) => self.streams.read(&packet.ends, tcp, data),
            Carried::Sctp(_)
            | Carried::Icmp { .. }
            | Carried::Error { .. }
            | Carried::Other
            | Carried::LaterFragment => Vec::new(),
        }
    }
}

/// Reads a message. All addresses in the answer are those of the name that was asked for, by whatever other names the
/// resolver came to them, and hold for as long as the record that holds shortest (`ExtractMsgDetails` of Cilium's proxy).
pub(super) fn read(message: &[u8]) -> Option<Answer> {
    use simple_dns::rdata::RData;
    // An answer, not a question.
    if message.get(2)? & 0x80 == 0 {
        return None;
    }
    let packet = simple_dns::Packet::parse(message).ok()?;
    let name = normal(&packet.questions.first()?.qname.to_string());
    let mut addresses = Vec::new();
    for record in &packet.answers {
        if let RData::A(a) = &record.rdata {
            addresses.push(IpAddr::V4(a.address.into()));
        } else if let RData::AAAA(aaaa) = &record.rdata {
            addresses.push(IpAddr::V6(aaaa.address.into()));
        }
    }
    let seconds = packet.answers.iter().map(|record| record.ttl).min()?;
    (!addresses.is_empty()).then_some(Answer {
        name,
        addresses,
        seconds,
    })
}
