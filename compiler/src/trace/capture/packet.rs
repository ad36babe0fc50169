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
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Tuple {
    pub(in super::super) src: IpAddr,
    pub(in super::super) dst: IpAddr,
    pub(in super::super) protocol: Protocol,
    pub(in super::super) ports: (u16, u16),
}

impl PartialEq for Tuple {
    /// All of it is compared in any case: where ends differ is nobody's guess.
    fn eq(&self, other: &Self) -> bool {
        let (src, dst, rest) = self.numbers();
        let (other_src, other_dst, other_rest) = other.numbers();
        ((src ^ other_src) | (dst ^ other_dst)) == 0 && rest == other_rest
    }
}

impl Eq for Tuple {}

impl Tuple {
    /// Its addresses as numbers; and the families of these, its protocol and its ports as one.
    fn numbers(&self) -> (u128, u128, u64) {
        let bits = |address| match address {
            IpAddr::V4(address) => (0, u128::from(address.to_bits())),
            IpAddr::V6(address) => (1, address.to_bits()),
        };
        let ((src_family, src), (dst_family, dst)) = (bits(self.src), bits(self.dst));
        let ports = u64::from(self.ports.0) << 16 | u64::from(self.ports.1);
        let protocol = u64::from(self.protocol.0);
        let families = src_family << 1 | dst_family;
        (src, dst, families << 40 | protocol << 32 | ports)
    }
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Packet<'a> {
    pub(in super::super) ends: Tuple,
    pub(in super::super) carried: Carried<'a>,
    /// The number of the packet of which it is a fragment.
    pub(in super::super) fragment: Option<u32>,
}

impl Packet<'_> {
    /// What it carries to those that it connects.
    pub(in super::super) fn data(&self) -> &[u8] {
        match self.carried {
            Carried::Tcp(_, data) | Carried::Udp(data) => data,
            Carried::Sctp(_)
            | Carried::Icmp { .. }
            | Carried::Error { .. }
            | Carried::Other
            | Carried::LaterFragment => &[],
        }
    }

    /// The packet with this in place of what it carries to those that it connects.
    pub(in super::super) fn with_data<'d>(self, data: &'d [u8]) -> Packet<'d> {
        let Self {
            ends,
            carried,
            fragment,
        } = self;
        let carried = match carried {
            Carried::Tcp(tcp, _) => Carried::Tcp(tcp, data),
            Carried::Udp(_) => Carried::Udp(data),
            Carried::Sctp(flags) => Carried::Sctp(flags),
            Carried::Icmp { kind, is_answer } => Carried::Icmp { kind, is_answer },
            Carried::Error { kind, about } => Carried::Error { kind, about },
            Carried::Other => Carried::Other,
            Carried::LaterFragment => Carried::LaterFragment,
        };
        Packet {
            ends,
            carried,
            fragment,
        }
    }
}

/// What a packet carries.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Carried<'a> {
    /// With what the segment holds.
    Tcp(Tcp, &'a [u8]),
    /// With what the datagram holds.
    Udp(&'a [u8]),
    /// What the first chunk of SCTP does to its association.
    Sctp(Flags),
    /// A request or an answer: type and code, whether it is the answer.
    Icmp { kind: (u8, u8), is_answer: bool },
    /// An error about a packet with these ends.
    Error {
        kind: (u8, u8),
        about: Option<Tuple>,
    },
    /// All protocols without ports.
    Other,
    /// A fragment without the ports.
    LaterFragment,
}

impl Carried<'_> {
    /// What it does to its connection, where its protocol has a handshake.
    pub(in super::super) fn flags(&self) -> Option<Flags> {
        match self {
            Self::Tcp(Tcp { flags, .. }, _) | Self::Sctp(flags) => Some(*flags),
            Self::Udp(_)
            | Self::Icmp { .. }
            | Self::Error { .. }
            | Self::Other
            | Self::LaterFragment => None,
        }
    }
}

/// What a packet does to its connection, as TCP names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Flags {
    pub(in super::super) syn: bool,
    pub(in super::super) ack: bool,
    pub(in super::super) fin: bool,
    pub(in super::super) rst: bool,
}

impl Flags {
    /// Whether it opens a connection, and can be no reply.
    pub(in super::super) fn opens(self) -> bool {
        self.syn && !self.ack && !self.rst
    }
}

/// What tracking asks of a segment of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Tcp {
    pub(in super::super) flags: Flags,
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
    /// The hop limit.
    hops: u8,
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
    let (fragment, payload, hops) = match &slice {
        LaxIpSlice::Ipv4(v4) => {
            let header = v4.header();
            let part = (
                u32::from(header.identification()),
                header.fragments_offset().value() == 0,
            );
            let payload = v4.payload();
            (payload.fragmented.then_some(part), payload, header.ttl())
        }
        LaxIpSlice::Ipv6(v6) => (part_of_v6(v6), v6.payload(), v6.header().hop_limit()),
    };
    Ok(Network {
        src: slice.source_addr(),
        dst: slice.destination_addr(),
        protocol: payload.ip_number.0,
        payload: payload.payload,
        hops,
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
    let network = network(ip)?;
    let (src, dst, fragment) = (network.src, network.dst, network.fragment);
    let protocol = Protocol(network.protocol);
    let is_later = matches!(fragment, Some((_, false)));
    let (ports, carried) = if is_later {
        ((0, 0), Carried::LaterFragment)
    } else {
        carried(network)?
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

fn carried(network: Network<'_>) -> Result<((u16, u16), Carried<'_>), Passed> {
    let (protocol, data) = (Protocol(network.protocol), network.payload);
    match protocol {
        Protocol::TCP => Ok((ports(data)?, Carried::Tcp(tcp(data), segment(data)))),
        Protocol::UDP => Ok((ports(data)?, Carried::Udp(data.get(8..).unwrap_or(&[])))),
        Protocol::SCTP => Ok((ports(data)?, Carried::Sctp(sctp(data)))),
        Protocol::ICMP | Protocol::ICMPV6 => icmp(protocol, data, network.hops),
        _ => Ok(((0, 0), Carried::Other)),
    }
}

/// The flags of a segment. Of one that is cut off in front of them, nothing is taken from them: neither its beginning nor
/// its end is seen.
fn tcp(data: &[u8]) -> Tcp {
    let flags = data.get(13).copied().unwrap_or(0x10);
    Tcp {
        flags: Flags {
            fin: flags & 0x01 != 0,
            syn: flags & 0x02 != 0,
            rst: flags & 0x04 != 0,
            ack: flags & 0x10 != 0,
        },
        sequence: long(data, 4).unwrap_or(0),
        acknowledged: long(data, 8).unwrap_or(0),
    }
}

/// What stands behind the header of a segment.
fn segment(data: &[u8]) -> &[u8] {
    let header = data
        .get(12)
        .map_or(0, |offset| usize::from(offset >> 4) * 4);
    data.get(header.max(20)..).unwrap_or(&[])
}

/// RFC 9260, section 3.2: the type of the first chunk.
fn sctp(data: &[u8]) -> Flags {
    const INIT: u8 = 1;
    const INIT_ACK: u8 = 2;
    const ABORT: u8 = 6;
    const SHUTDOWN: u8 = 7;
    const SHUTDOWN_COMPLETE: u8 = 14;
    let chunk = data.get(12).copied();
    Flags {
        syn: matches!(chunk, Some(INIT | INIT_ACK)),
        ack: chunk != Some(INIT),
        fin: chunk == Some(SHUTDOWN),
        rst: matches!(chunk, Some(ABORT | SHUTDOWN_COMPLETE)),
    }
}

/// The hop limit of what comes from the same link (RFC 4861, section 6.1): nobody else can send it.
const ON_LINK: u8 = 255;

/// RFC 792, 4443, 4861. The identifier of an echo stands for the port of whoever asks, so that two that ask each other
/// are two connections. Type and code stand there for all others, which belong to no connection.
fn icmp(protocol: Protocol, data: &[u8], hops: u8) -> Result<((u16, u16), Carried<'_>), Passed> {
    let &[icmp_type, code, ..] = data else {
        return Err(Passed::Cut);
    };
    let is_v6 = protocol == Protocol::ICMPV6;
    let kind = (icmp_type, code);
    let number = u16::from_be_bytes([icmp_type, code]);
    let single = Carried::Icmp {
        kind,
        is_answer: false,
    };
    match (is_v6, icmp_type) {
        (false, 0 | 8) | (true, 128 | 129) => {
            let is_answer = matches!(icmp_type, 0 | 129);
            let carried = Carried::Icmp { kind, is_answer };
            Ok((echo(data, is_answer).unwrap_or_default(), carried))
        }
        (false, 3 | 11 | 12) | (true, 1..=4) => {
            let about = data.get(8..).and_then(about);
            Ok(((number, 0), Carried::Error { kind, about }))
        }
        (true, 133..=137) if hops == ON_LINK => Err(Passed::Neighbours),
        _ => Ok(((number, 0), single)),
    }
}

/// What stands for the ports of an echo.
fn echo(data: &[u8], is_answer: bool) -> Option<(u16, u16)> {
    let identifier = short(data, 4)?;
    Some(if is_answer {
        (0, identifier)
    } else {
        (identifier, 0)
    })
}

/// The ends of the packet that an error is about.
fn about(ip: &[u8]) -> Option<Tuple> {
    let inner = network(ip).ok()?;
    let protocol = Protocol(inner.protocol);
    let ports = match (protocol, inner.payload) {
        (Protocol::TCP | Protocol::UDP | Protocol::SCTP, data) => ports(data).ok()?,
        (Protocol::ICMP, [0 | 8, ..]) => echo(inner.payload, inner.payload.starts_with(&[0]))?,
        (Protocol::ICMPV6, [128 | 129, ..]) => {
            echo(inner.payload, inner.payload.starts_with(&[129]))?
        }
        (Protocol::ICMP | Protocol::ICMPV6, _) => return None,
        _ => (0, 0),
    };
    Some(Tuple {
        src: inner.src,
        dst: inner.dst,
        protocol,
        ports,
    })
}
