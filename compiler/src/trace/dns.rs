//! DNS answers in packets.

use std::net::IpAddr;

/// From where DNS answers.
pub(super) const PORT: u16 = 53;

/// A name that was asked for, with the addresses that were answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Lower case, without the final dot.
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
}

/// A name as the tables of names have it.
pub(super) fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Reads a message. All addresses in the answer are those of the name that was asked for, by whatever other names the
/// resolver came to them (`ExtractMsgDetails` of Cilium's proxy).
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
    (!addresses.is_empty()).then_some(Answer { name, addresses })
}
