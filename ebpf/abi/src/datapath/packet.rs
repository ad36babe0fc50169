//! From the bytes of a packet to what is judged.
//!
//! Input: bytes that can be read at an offset ([`Bytes`]): a slice on the host, a socket buffer in the kernel. Output:
//! a [`Packet`], or the [`Reason`] why the bytes are none. Every read is within what the headers say is there; loops
//! over headers are bounded. Only what decides is read: no checksum is looked at, since the receiver does that.

use super::{Direction, Reason};

/// IPv6 extension headers that are walked; a packet with more is dropped.
pub const MAX_EXTENSIONS: u32 = 8;
/// VLAN tags that are walked.
pub const MAX_TAGS: u32 = 2;

/// Protocol numbers.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP of IPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

const ETHERTYPE_V4: u16 = 0x0800;
const ETHERTYPE_V6: u16 = 0x86DD;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88A8;

/// Bytes of a packet.
pub trait Bytes {
    /// So many bytes at an offset; `None` where there are not so many.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;
}

impl Bytes for [u8] {
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let from = offset as usize;
        self.get(from..from.checked_add(N)?)?.try_into().ok()
    }
}

/// An address of either family: the upper and the lower half. IPv4 is `::ffff:a.b.c.d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Address {
    /// The first eight bytes.
    pub upper: u64,
    /// The last eight bytes.
    pub lower: u64,
}

const MAPPED: u64 = 0xFFFF_0000_0000;

impl Address {
    /// An IPv4 address.
    #[must_use]
    #[inline(always)]
    pub const fn v4(address: u32) -> Self {
        Self {
            upper: 0,
            lower: MAPPED | address as u64,
        }
    }

    /// An IPv6 address.
    #[must_use]
    #[inline(always)]
    pub const fn v6(address: u128) -> Self {
        Self {
            upper: (address >> 64) as u64,
            lower: address as u64,
        }
    }

    /// The IPv4 address that it is, if it is one.
    #[must_use]
    #[inline(always)]
    pub const fn as_v4(self) -> Option<u32> {
        if self.upper == 0 && self.lower >> 32 == MAPPED >> 32 {
            Some(self.lower as u32)
        } else {
            None
        }
    }
}

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// All of it.
    Whole = 0,
    /// The first part, with the ports.
    First = 1,
    /// The last part: no ports.
    Last = 2,
    /// A part between these: no ports.
    Middle = 3,
}

impl Part {
    /// Whether it has no ports.
    #[must_use]
    #[inline(always)]
    pub const fn is_later(self) -> bool {
        self as u8 & 2 != 0
    }

    /// Every number is one: nothing is to be checked, by nobody.
    #[inline(always)]
    const fn of(number: u64) -> Self {
        match number & 3 {
            0 => Self::Whole,
            1 => Self::First,
            2 => Self::Last,
            _ => Self::Middle,
        }
    }
}

/// What a packet is to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// It opens one, and can be no reply: a TCP SYN, an SCTP INIT, an ICMP echo request.
    Opening = 0,
    /// It can be of one, and opens none by itself: TCP and SCTP after the first packet, an ICMP echo reply.
    Inside = 1,
    /// It is of one, and opens it where there is none: UDP, and protocols that are known by number alone.
    Datagram = 2,
    /// The last of one direction: a TCP FIN, an SCTP SHUTDOWN.
    Closing = 3,
    /// The last of both directions: a TCP RST, an SCTP ABORT or SHUTDOWN COMPLETE.
    Reset = 4,
    /// An ICMP error about another packet.
    Error = 5,
    /// Of no connection: the rest of ICMP.
    Single = 6,
    /// Neighbour discovery of IPv6, from the same link.
    Neighbour = 7,
}

impl Kind {
    /// Every number is one: nothing is to be checked, by nobody.
    #[inline(always)]
    pub(super) const fn of(number: u64) -> Self {
        match number & 7 {
            0 => Self::Opening,
            1 => Self::Inside,
            2 => Self::Datagram,
            3 => Self::Closing,
            4 => Self::Reset,
            5 => Self::Error,
            6 => Self::Single,
            _ => Self::Neighbour,
        }
    }
}

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Whether it is IPv4.
    pub v4: bool,
    /// Where it comes from.
    pub src: Address,
    /// Where it goes.
    pub dst: Address,
    /// The protocol.
    pub protocol: u8,
    /// Which part of a datagram it is.
    pub part: Part,
    /// The number of the datagram, where it is in parts.
    pub identifier: u32,
    /// What stands behind the headers of IP. [`Transport::default`] in a later fragment.
    pub transport: Transport,
}

/// What stands behind the headers of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// As for [`crate::port_class`].
    pub value: u32,
    /// The port of the source, and 0 where there is none. The identifier of an ICMP echo request.
    pub src_port: u16,
    /// The port of the destination, and 0 where there is none. The identifier of an ICMP echo reply.
    pub dst_port: u16,
    /// What it is to a connection.
    pub kind: Kind,
    /// Where the packet begins that an ICMP error is about.
    pub inside: u32,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            value: crate::NOT_KNOWN,
            src_port: 0,
            dst_port: 0,
            kind: Kind::Single,
            inside: 0,
        }
    }
}

impl Packet {
    /// All of it as numbers.
    #[inline(always)]
    pub(super) const fn words(&self) -> [u64; 7] {
        let transport = &self.transport;
        let (part, kind) = (self.part as u64, transport.kind as u64);
        let small = self.v4 as u64 | part << 8 | kind << 16 | (self.protocol as u64) << 24;
        let ports = (transport.src_port as u64) << 16 | transport.dst_port as u64;
        [
            self.src.upper,
            self.src.lower,
            self.dst.upper,
            self.dst.lower,
            small | (self.identifier as u64) << 32,
            ports | (transport.value as u64) << 32,
            transport.inside as u64,
        ]
    }

    /// The packet of these numbers.
    #[inline(always)]
    pub(super) const fn of_words(words: [u64; 7]) -> Self {
        let [s0, s1, d0, d1, small, transport, inside] = words;
        Self {
            v4: small & 1 != 0,
            src: Address {
                upper: s0,
                lower: s1,
            },
            dst: Address {
                upper: d0,
                lower: d1,
            },
            protocol: (small >> 24) as u8,
            part: Part::of(small >> 8),
            identifier: (small >> 32) as u32,
            transport: Transport {
                value: (transport >> 32) as u32,
                src_port: (transport >> 16) as u16,
                dst_port: transport as u16,
                kind: Kind::of(small >> 16),
                inside: inside as u32,
            },
        }
    }
}

/// The headers in front of the transport.
#[derive(Clone, Copy, Debug)]
struct Network {
    packet: Packet,
    /// Where the transport begins.
    transport: u32,
    /// How many bytes it has, as the header of IP says.
    length: u32,
    /// The hop limit.
    hops: u8,
}

/// Where IP begins in an Ethernet frame, and whether it is IPv4.
///
/// # Errors
/// [`Reason::Arp`], [`Reason::NotIp`], or what is wrong.
#[inline(always)]
pub fn ethernet(bytes: &(impl Bytes + ?Sized)) -> Result<(bool, u32), Reason> {
    let ethertype = bytes.load::<2>(12).ok_or(Reason::Truncated)?;
    let mut ethertype = u16::from_be_bytes(ethertype);
    let mut offset = 14;
    let mut tags = 0;
    while tags < MAX_TAGS && (ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ) {
        let tag = bytes.load::<2>(offset + 2).ok_or(Reason::Truncated)?;
        ethertype = u16::from_be_bytes(tag);
        offset += 4;
        tags += 1;
    }
    network(ethertype, offset)
}

/// Whether IP of an Ethernet type is IPv4.
///
/// # Errors
/// As for [`ethernet`].
#[inline(always)]
pub fn network(ethertype: u16, offset: u32) -> Result<(bool, u32), Reason> {
    match ethertype {
        ETHERTYPE_V4 => Ok((true, offset)),
        ETHERTYPE_V6 => Ok((false, offset)),
        ETHERTYPE_ARP => Err(Reason::Arp),
        _ => Err(Reason::NotIp),
    }
}

/// Reads a packet whose header of IP begins at an offset.
///
/// # Errors
/// What is wrong.
#[inline(always)]
pub fn packet(bytes: &(impl Bytes + ?Sized), v4: bool, offset: u32) -> Result<Packet, Reason> {
    let network = if v4 {
        ipv4(bytes, offset)?
    } else {
        ipv6(bytes, offset)?
    };
    let mut packet = network.packet;
    if packet.part.is_later() {
        headers_end(bytes, network.transport)?;
    } else {
        packet.transport = transport(bytes, &network)?;
    }
    Ok(packet)
}

/// Bytes of the header of a transport: those that must be in the first fragment, and that no later one may begin in.
const HEADER: u32 = 20;

#[inline(always)]
fn ipv4(bytes: &(impl Bytes + ?Sized), offset: u32) -> Result<Network, Reason> {
    let [
        version,
        _,
        long,
        gth,
        id,
        entifier,
        frag,
        ment,
        hops,
        protocol,
        _,
        _,
        addresses @ ..,
    ] = bytes.load::<20>(offset).ok_or(Reason::Truncated)?;
    let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
    let header = u32::from(version & 0xF) * 4;
    let total = u32::from(u16::from_be_bytes([long, gth]));
    if version >> 4 != 4 || header < 20 || total < header {
        return Err(Reason::Malformed);
    }
    let identifier = u32::from(u16::from_be_bytes([id, entifier]));
    let fragment = u16::from_be_bytes([frag, ment]);
    let begins = u32::from(fragment & 0x1FFF) * 8;
    let part = part(begins, fragment & 0x2000 != 0)?;
    Ok(Network {
        packet: Packet {
            v4: true,
            src: Address::v4(u32::from_be_bytes([s0, s1, s2, s3])),
            dst: Address::v4(u32::from_be_bytes([d0, d1, d2, d3])),
            protocol,
            part,
            identifier,
            transport: Transport::default(),
        },
        transport: offset + header,
        length: total - header,
        hops,
    })
}

/// Which part it is that begins at a byte of a datagram.
#[inline(always)]
fn part(begins: u32, more: bool) -> Result<Part, Reason> {
    // It would be written over the header that was judged (RFC 1858, RFC 3128).
    if begins != 0 && begins < HEADER {
        return Err(Reason::Malformed);
    }
    Ok(Part::of(u64::from(begins != 0) << 1 | u64::from(more)))
}

#[inline(always)]
fn ipv6(bytes: &(impl Bytes + ?Sized), offset: u32) -> Result<Network, Reason> {
    let [v, _, _, _, long, gth, next, hops] = bytes.load::<8>(offset).ok_or(Reason::Truncated)?;
    let src = bytes.load::<16>(offset + 8).ok_or(Reason::Truncated)?;
    let dst = bytes.load::<16>(offset + 24).ok_or(Reason::Truncated)?;
    let (src, dst) = (
        Address::v6(u128::from_be_bytes(src)),
        Address::v6(u128::from_be_bytes(dst)),
    );
    // An IPv4 address in disguise is on no wire (RFC 4291, section 2.5.5.2), and would be taken for that.
    if v >> 4 != 6 || src.as_v4().is_some() || dst.as_v4().is_some() {
        return Err(Reason::Malformed);
    }
    let end = offset + 40 + u32::from(u16::from_be_bytes([long, gth]));
    let walked = walk(bytes, next, offset + 40)?;
    if walked.offset > end {
        return Err(Reason::Truncated);
    }
    Ok(Network {
        packet: Packet {
            v4: false,
            src,
            dst,
            protocol: walked.protocol,
            part: walked.part,
            identifier: walked.identifier,
            transport: Transport::default(),
        },
        transport: walked.offset,
        length: end - walked.offset,
        hops,
    })
}

/// Where the extension headers lead.
struct Walked {
    protocol: u8,
    offset: u32,
    part: Part,
    identifier: u32,
    /// Whether there was a fragment header.
    is_fragment: bool,
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

#[inline(always)]
fn walk(bytes: &(impl Bytes + ?Sized), first: u8, begin: u32) -> Result<Walked, Reason> {
    let mut walked = Walked {
        protocol: first,
        offset: begin,
        part: Part::Whole,
        identifier: 0,
        is_fragment: false,
    };
    let mut headers = 0;
    while headers <= MAX_EXTENSIONS {
        match walked.protocol {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HOST_IDENTITY | SHIM6 => {
                let header = bytes.load::<4>(walked.offset).ok_or(Reason::Truncated)?;
                let [next, units, _, left] = header;
                // It goes elsewhere than its destination says.
                if walked.protocol == ROUTING && left != 0 {
                    return Err(Reason::Routed);
                }
                walked.protocol = next;
                walked.offset += (u32::from(units) + 1) * 8;
            }
            AUTHENTICATION => {
                let [next, units] = bytes.load::<2>(walked.offset).ok_or(Reason::Truncated)?;
                walked.protocol = next;
                walked.offset += (u32::from(units) + 2) * 4;
            }
            FRAGMENT => {
                // Twice in one packet it is an attempt to hide something.
                if walked.is_fragment {
                    return Err(Reason::Malformed);
                }
                let header = bytes.load::<8>(walked.offset).ok_or(Reason::Truncated)?;
                let [next, _, o, m, i0, i1, i2, i3] = header;
                let place = u16::from_be_bytes([o, m]);
                let begins = u32::from(place & 0xFFF8);
                walked.is_fragment = true;
                walked.identifier = u32::from_be_bytes([i0, i1, i2, i3]);
                walked.part = part(begins, place & 1 != 0)?;
                walked.protocol = next;
                walked.offset += 8;
                if begins != 0 {
                    return Ok(walked);
                }
            }
            _ => return Ok(walked),
        }
        headers += 1;
    }
    Err(Reason::Extensions)
}

#[inline(always)]
fn transport(bytes: &(impl Bytes + ?Sized), network: &Network) -> Result<Transport, Reason> {
    let offset = network.transport;
    match network.packet.protocol {
        protocol::TCP => tcp(bytes, offset, network.length),
        protocol::UDP => {
            let header = header::<8>(bytes, offset, network.length)?;
            Ok(ports(header, Kind::Datagram))
        }
        protocol::SCTP => sctp(bytes, offset, network.length),
        protocol::ICMP if network.packet.v4 => {
            Ok(icmp(header::<8>(bytes, offset, network.length)?, offset))
        }
        protocol::ICMPV6 if !network.packet.v4 => {
            let header = header::<8>(bytes, offset, network.length)?;
            Ok(icmpv6(header, offset, network.hops))
        }
        // ICMP of the other family, too: no stack takes it, and its types are looked up as any.
        protocol::ICMP | protocol::ICMPV6 => {
            let [kind, code] = header::<2>(bytes, offset, network.length)?;
            Ok(Transport {
                value: u32::from(kind) << 8 | u32::from(code),
                ..Transport::default()
            })
        }
        _ => {
            headers_end(bytes, offset)?;
            Ok(Transport {
                value: 0,
                kind: Kind::Datagram,
                ..Transport::default()
            })
        }
    }
}

/// All headers of IP are there, where nothing behind them is read.
#[inline(always)]
fn headers_end(bytes: &(impl Bytes + ?Sized), offset: u32) -> Result<(), Reason> {
    let last = bytes.load::<1>(offset - 1);
    last.map(|_| ()).ok_or(Reason::Truncated)
}

/// The first bytes of a transport.
#[inline(always)]
fn header<const N: usize>(
    bytes: &(impl Bytes + ?Sized),
    offset: u32,
    length: u32,
) -> Result<[u8; N], Reason> {
    if length < N as u32 {
        return Err(Reason::Truncated);
    }
    bytes.load::<N>(offset).ok_or(Reason::Truncated)
}

#[inline(always)]
fn ports(header: [u8; 8], kind: Kind) -> Transport {
    let [s0, s1, d0, d1, ..] = header;
    let dst_port = u16::from_be_bytes([d0, d1]);
    Transport {
        value: u32::from(dst_port),
        src_port: u16::from_be_bytes([s0, s1]),
        dst_port,
        kind,
        inside: 0,
    }
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

#[inline(always)]
fn tcp(bytes: &(impl Bytes + ?Sized), offset: u32, length: u32) -> Result<Transport, Reason> {
    if length < HEADER {
        return Err(Reason::Truncated);
    }
    let header = bytes.load::<14>(offset).ok_or(Reason::Truncated)?;
    let [p0, p1, p2, p3, _, _, _, _, _, _, _, _, begins, flags] = header;
    if begins >> 4 < 5 {
        return Err(Reason::Malformed);
    }
    let kind = if flags & RST != 0 {
        Kind::Reset
    } else if flags & (SYN | ACK) == SYN {
        Kind::Opening
    } else if flags & FIN != 0 {
        Kind::Closing
    } else {
        Kind::Inside
    };
    Ok(ports([p0, p1, p2, p3, 0, 0, 0, 0], kind))
}

const INIT: u8 = 1;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_COMPLETE: u8 = 14;

#[inline(always)]
fn sctp(bytes: &(impl Bytes + ?Sized), offset: u32, length: u32) -> Result<Transport, Reason> {
    let header = header::<16>(bytes, offset, length)?;
    let [p0, p1, p2, p3, _, _, _, _, _, _, _, _, chunk, ..] = header;
    let kind = match chunk {
        INIT => Kind::Opening,
        ABORT | SHUTDOWN_COMPLETE => Kind::Reset,
        SHUTDOWN => Kind::Closing,
        _ => Kind::Inside,
    };
    Ok(ports([p0, p1, p2, p3, 0, 0, 0, 0], kind))
}

/// Types of ICMP.
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
/// Of ICMP.
pub(super) const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// Types of ICMPv6.
const V6_ERRORS: core::ops::RangeInclusive<u8> = 1..=4;
/// Of ICMPv6.
pub(super) const V6_ECHO_REQUEST: u8 = 128;
const V6_ECHO_REPLY: u8 = 129;
/// Router and neighbour solicitation and advertisement, and redirect (RFC 4861, section 4).
const V6_NEIGHBOUR: core::ops::RangeInclusive<u8> = 133..=137;
/// Router advertisement.
const V6_ROUTER: u8 = 134;
const V6_REDIRECT: u8 = 137;

#[inline(always)]
fn icmp(header: [u8; 8], offset: u32) -> Transport {
    let [kind, ..] = header;
    match kind {
        ECHO_REQUEST => echo(header, true),
        ECHO_REPLY => echo(header, false),
        UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM => about(header, offset + 8),
        _ => other(header, Kind::Single),
    }
}

#[inline(always)]
fn icmpv6(header: [u8; 8], offset: u32, hops: u8) -> Transport {
    let [kind, ..] = header;
    // RFC 4861, section 6.1: whoever is not on the link cannot send it with this hop limit.
    if V6_NEIGHBOUR.contains(&kind) && hops == 255 {
        return other(header, Kind::Neighbour);
    }
    match kind {
        V6_ECHO_REQUEST => echo(header, true),
        V6_ECHO_REPLY => echo(header, false),
        kind if V6_ERRORS.contains(&kind) => about(header, offset + 8),
        _ => other(header, Kind::Single),
    }
}

#[inline(always)]
fn about(header: [u8; 8], inside: u32) -> Transport {
    Transport {
        inside,
        ..other(header, Kind::Error)
    }
}

#[inline(always)]
fn other(header: [u8; 8], kind: Kind) -> Transport {
    let [icmp_type, code, ..] = header;
    Transport {
        value: u32::from(icmp_type) << 8 | u32::from(code),
        src_port: 0,
        dst_port: 0,
        kind,
        inside: 0,
    }
}

/// The identifier stands for the port of whoever asks, so that two that ask each other are two connections.
#[inline(always)]
fn echo(header: [u8; 8], is_request: bool) -> Transport {
    let [_, _, _, _, i0, i1, _, _] = header;
    let identifier = u16::from_be_bytes([i0, i1]);
    let (src_port, dst_port, kind) = if is_request {
        (identifier, 0, Kind::Opening)
    } else {
        (0, identifier, Kind::Inside)
    };
    Transport {
        src_port,
        dst_port,
        ..other(header, kind)
    }
}

impl Packet {
    /// Whether the link needs the packet, so that no policy is asked. Of what comes in the hop limit says that it is from the
    /// link. An endpoint is no router: of what it sends, solicitations and neighbour advertisements are. These may go to any
    /// address, since a node may ask from one of its own that nobody here knows.
    #[must_use]
    #[inline(always)]
    pub fn is_of_link(&self, direction: Direction) -> bool {
        let icmp_type = (self.transport.value >> 8) as u8;
        self.transport.kind == Kind::Neighbour
            && match direction {
                Direction::Ingress => true,
                Direction::Egress => icmp_type != V6_ROUTER && icmp_type != V6_REDIRECT,
            }
    }
}

/// The packet that an ICMP error is about: as much of it as there is. `None` where the ports are not there.
#[inline(always)]
pub fn embedded(bytes: &(impl Bytes + ?Sized), v4: bool, offset: u32) -> Option<Packet> {
    let network = if v4 {
        ipv4(bytes, offset).ok()?
    } else {
        ipv6(bytes, offset).ok()?
    };
    let mut packet = network.packet;
    if packet.part.is_later() {
        return None;
    }
    packet.transport = match packet.protocol {
        protocol::TCP | protocol::UDP | protocol::SCTP => {
            ports(bytes.load::<8>(network.transport)?, Kind::Inside)
        }
        protocol::ICMP if v4 => icmp(bytes.load::<8>(network.transport)?, 0),
        protocol::ICMPV6 if !v4 => icmpv6(bytes.load::<8>(network.transport)?, 0, 0),
        _ => Transport::default(),
    };
    Some(packet)
}
