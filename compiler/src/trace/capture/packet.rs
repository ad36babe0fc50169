//! What an IP packet is: its ends, what it carries, and what connection tracking asks of it.
//!
//! IP headers with their options and extension headers are those of `etherparse`, read so that a packet of which only
//! the beginning was captured is read as far as it goes. Of what they carry only the ports and flags are looked at.

use super::{Passed, Tunnels, link};
use crate::cluster::Protocol;
use etherparse::{Ipv6ExtensionSlice, LaxIpSlice, LaxIpv6Slice};
use std::net::IpAddr;

/// How many tunnels stand within each other at most.
const MAX_TUNNELS: usize = 4;

/// The ends of a packet. For an echo both ports are its identifier; for what has no ports, they are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Tuple {
    pub(in super::super) src: IpAddr,
    pub(in super::super) dst: IpAddr,
    pub(in super::super) protocol: Protocol,
    pub(in super::super) ports: (u16, u16),
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Packet<'a> {
    pub(in super::super) ends: Tuple,
    pub(in super::super) carried: Carried<'a>,
    /// The number of the packet of which it is a fragment.
    pub(in super::super) fragment: Option<u32>,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Carried<'a> {
    Tcp(Tcp),
    /// With what the datagram holds.
    Udp(&'a [u8]),
    /// A request or an answer: type and code, whether it is the answer.
    Icmp {
        kind: (u8, u8),
        is_answer: bool,
    },
    /// An error about a packet with these ends.
    Error {
        kind: (u8, u8),
        about: Option<Tuple>,
    },
    /// SCTP, and all protocols without ports.
    Other,
    /// A fragment without the ports.
    LaterFragment,
}

/// What tracking asks of a segment of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Tcp {
    pub(in super::super) syn: bool,
    pub(in super::super) ack: bool,
    pub(in super::super) fin: bool,
    pub(in super::super) rst: bool,
    pub(in super::super) sequence: u32,
    pub(in super::super) acknowledged: u32,
}

/// Takes a frame apart.
pub(in super::super) fn dissect(
    frame: super::file::Frame<'_>,
    tunnels: Tunnels,
) -> Result<Packet<'_>, Passed> {
    let mut ip = link::network(frame.link, frame.big_endian, frame.data)?;
    for _ in 0..MAX_TUNNELS {
        let packet = packet(ip)?;
        match within(&packet, tunnels) {
            Some(Ok(inner)) => ip = inner,
            Some(Err(passed)) => return Err(passed),
            None => return Ok(packet),
        }
    }
    Err(Passed::Malformed)
}

/// The packet that a packet of a tunnel holds.
fn within<'a>(packet: &Packet<'a>, tunnels: Tunnels) -> Option<Result<&'a [u8], Passed>> {
    let Carried::Udp(data) = packet.carried else {
        return None;
    };
    match packet.ends.ports.1 {
        4789 | 8472 if tunnels.vxlan => Some(vxlan(data)),
        6081 if tunnels.geneve => Some(geneve(data)),
        _ => None,
    }
}

/// RFC 7348: eight bytes, then a frame of Ethernet.
fn vxlan(data: &[u8]) -> Result<&[u8], Passed> {
    link::ethernet(data.get(8..).ok_or(Passed::Cut)?)
}

/// RFC 8926: eight bytes with the length of the options and the type of what follows.
fn geneve(data: &[u8]) -> Result<&[u8], Passed> {
    let header = data.first_chunk::<8>().ok_or(Passed::Cut)?;
    let [first, _, high, low, ..] = *header;
    let options = usize::from(first & 0x3F) * 4;
    let inner = data.get(header.len() + options..).ok_or(Passed::Cut)?;
    match u16::from_be_bytes([high, low]) {
        // "Transparent Ethernet Bridging"
        0x6558 => link::ethernet(inner),
        0x0800 | 0x86DD => Ok(inner),
        other => Err(Passed::NoIp(other)),
    }
}

/// The IP header of a packet, and what stands behind it.
struct Network<'a> {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    payload: &'a [u8],
    /// The number of the packet of which this is a fragment, and whether it is the first one.
    fragment: Option<(u32, bool)>,
}

fn network(ip: &[u8]) -> Result<Network<'_>, Passed> {
    if ip.is_empty() {
        return Err(Passed::Cut);
    }
    let (slice, _) = LaxIpSlice::from_slice(ip).map_err(|error| {
        use etherparse::err::ip::LaxHeaderSliceError;
        match error {
            LaxHeaderSliceError::Len(_) => Passed::Cut,
            LaxHeaderSliceError::Content(_) => Passed::Malformed,
        }
    })?;
    let (fragment, payload) = match &slice {
        LaxIpSlice::Ipv4(v4) => {
            let header = v4.header();
            let part = (
                u32::from(header.identification()),
                header.fragments_offset().value() == 0,
            );
            let payload = v4.payload();
            (payload.fragmented.then_some(part), payload)
        }
        LaxIpSlice::Ipv6(v6) => (part_of_v6(v6), v6.payload()),
    };
    Ok(Network {
        src: slice.source_addr(),
        dst: slice.destination_addr(),
        protocol: payload.ip_number.0,
        payload: payload.payload,
        fragment,
    })
}

fn part_of_v6(v6: &LaxIpv6Slice<'_>) -> Option<(u32, bool)> {
    if !v6.is_payload_fragmented() {
        return None;
    }
    v6.extensions()
        .clone()
        .into_iter()
        .find_map(|extension| match extension {
            Ipv6ExtensionSlice::Fragment(header) => Some((
                header.identification(),
                header.fragment_offset().value() == 0,
            )),
            Ipv6ExtensionSlice::HopByHop(_)
            | Ipv6ExtensionSlice::Routing(_)
            | Ipv6ExtensionSlice::DestinationOptions(_)
            | Ipv6ExtensionSlice::Authentication(_) => None,
        })
}

fn packet(ip: &[u8]) -> Result<Packet<'_>, Passed> {
    let Network {
        src,
        dst,
        protocol,
        payload,
        fragment,
    } = network(ip)?;
    let protocol = Protocol(protocol);
    let is_later = matches!(fragment, Some((_, false)));
    let (ports, carried) = if is_later {
        ((0, 0), Carried::LaterFragment)
    } else {
        carried(protocol, payload)?
    };
    Ok(Packet {
        ends: Tuple {
            src,
            dst,
            protocol,
            ports,
        },
        carried,
        fragment: fragment.map(|(number, _)| number),
    })
}

fn short(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_be_bytes(bytes))
}

fn long(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

fn ports(data: &[u8]) -> Result<(u16, u16), Passed> {
    short(data, 0).zip(short(data, 2)).ok_or(Passed::Cut)
}

fn carried(protocol: Protocol, data: &[u8]) -> Result<((u16, u16), Carried<'_>), Passed> {
    match protocol {
        Protocol::TCP => Ok((ports(data)?, Carried::Tcp(tcp(data)))),
        Protocol::UDP => Ok((ports(data)?, Carried::Udp(data.get(8..).unwrap_or(&[])))),
        Protocol::SCTP => Ok((ports(data)?, Carried::Other)),
        Protocol::ICMP | Protocol::ICMPV6 => icmp(protocol, data),
        _ => Ok(((0, 0), Carried::Other)),
    }
}

/// The flags of a segment. Of one that is cut off in front of them, nothing is taken from them: neither its beginning nor
/// its end is seen.
fn tcp(data: &[u8]) -> Tcp {
    let flags = data.get(13).copied().unwrap_or(0x10);
    Tcp {
        fin: flags & 0x01 != 0,
        syn: flags & 0x02 != 0,
        rst: flags & 0x04 != 0,
        ack: flags & 0x10 != 0,
        sequence: long(data, 4).unwrap_or(0),
        acknowledged: long(data, 8).unwrap_or(0),
    }
}

/// RFC 792, 4443, 4861.
fn icmp(protocol: Protocol, data: &[u8]) -> Result<((u16, u16), Carried<'_>), Passed> {
    let &[kind, code, ..] = data else {
        return Err(Passed::Cut);
    };
    let is_v6 = protocol == Protocol::ICMPV6;
    let identifier = short(data, 4).unwrap_or(0);
    let pair = |is_answer| {
        let carried = Carried::Icmp {
            kind: (kind, code),
            is_answer,
        };
        Ok(((identifier, identifier), carried))
    };
    match (is_v6, kind) {
        (false, 8 | 13) | (true, 128) => pair(false),
        (false, 0 | 14) | (true, 129) => pair(true),
        (false, 3..=5 | 11 | 12) | (true, 1..=4) => {
            let about = data.get(8..).and_then(about);
            let kind = (kind, code);
            Ok(((0, 0), Carried::Error { kind, about }))
        }
        (true, 133..=137 | 141..=143 | 130..=132) => Err(Passed::Neighbours),
        _ => {
            let number = u16::from_be_bytes([kind, code]);
            let carried = Carried::Icmp {
                kind: (kind, code),
                is_answer: false,
            };
            Ok(((number, number), carried))
        }
    }
}

/// The ends of the packet that an error is about.
fn about(ip: &[u8]) -> Option<Tuple> {
    let inner = network(ip).ok()?;
    let protocol = Protocol(inner.protocol);
    let ports = match protocol {
        Protocol::TCP | Protocol::UDP | Protocol::SCTP => ports(inner.payload).ok()?,
        Protocol::ICMP | Protocol::ICMPV6 => {
            let identifier = short(inner.payload, 4)?;
            (identifier, identifier)
        }
        _ => (0, 0),
    };
    Some(Tuple {
        src: inner.src,
        dst: inner.dst,
        protocol,
        ports,
    })
}
