//! Packets, header by header.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An IP packet.
#[derive(Clone, Debug)]
pub enum Ip {
    /// Version 4: addresses, options, protocol and payload; number, offset in eights and whether more follow.
    V4 {
        /// From and to.
        ends: [Ipv4Addr; 2],
        /// A multiple of four bytes.
        options: Vec<u8>,
        /// The number of the protocol.
        protocol: u8,
        /// What it carries.
        payload: Vec<u8>,
        /// The part that it is: the packet's number, the place in bytes, whether more follow.
        part: (u16, usize, bool),
    },
    /// Version 6.
    V6 {
        /// From and to.
        ends: [Ipv6Addr; 2],
        /// The numbers of the extension headers.
        extensions: Vec<u8>,
        /// The number of the protocol.
        protocol: u8,
        /// What it carries.
        payload: Vec<u8>,
        /// The part that it is, if it is one.
        part: Option<(u32, usize, bool)>,
    },
}

/// What a packet carries: the number of the protocol, and the bytes.
pub type Payload = (u8, Vec<u8>);

/// A segment of TCP.
#[derive(Clone, Copy, Debug)]
pub struct Tcp {
    /// From and to.
    pub ports: (u16, u16),
    /// Of the letters S, A, F, R, P.
    pub flags: &'static str,
    /// The sequence number.
    pub sequence: u32,
    /// The acknowledged number.
    pub acknowledged: u32,
}

impl Tcp {
    /// With data.
    #[must_use]
    pub fn bytes(self, data: &[u8]) -> Payload {
        let flags = self.flags.chars().map(|letter| match letter {
            'F' => 1,
            'S' => 2,
            'R' => 4,
            'P' => 8,
            _ => 16,
        });
        let mut bytes = ports(self.ports);
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledged.to_be_bytes());
        bytes.extend([0x50, flags.sum(), 0x20, 0, 0, 0, 0, 0]);
        bytes.extend(data);
        (6, bytes)
    }
}

fn ports((src, dst): (u16, u16)) -> Vec<u8> {
    [src.to_be_bytes(), dst.to_be_bytes()].concat()
}

fn short(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes()
}

/// A datagram of UDP.
#[must_use]
pub fn udp(ends: (u16, u16), data: &[u8]) -> Payload {
    let mut bytes = ports(ends);
    bytes.extend(short(8 + data.len()));
    bytes.extend([0, 0]);
    bytes.extend(data);
    (17, bytes)
}

/// The first packet of an association of SCTP.
#[must_use]
pub fn sctp(ends: (u16, u16)) -> Payload {
    let mut bytes = ports(ends);
    bytes.extend([0; 8]);
    bytes.extend([1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 5, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    (132, bytes)
}

/// A message of ICMP: of protocol 1, or 58 for version 6.
#[must_use]
pub fn icmp(protocol: u8, kind: u8, code: u8, rest: &[u8]) -> Payload {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(rest);
    (protocol, bytes)
}

/// A message of DNS: the question for the IPv4 addresses of a name, or the answer.
#[must_use]
pub fn dns(name: &str, addresses: &[&str]) -> Vec<u8> {
    let is_answer = !addresses.is_empty();
    let mut bytes = vec![
        0x12,
        0x34,
        if is_answer { 0x81 } else { 1 },
        if is_answer { 0x80 } else { 0 },
    ];
    for count in [1, addresses.len(), 0, 0] {
        bytes.extend(short(count));
    }
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(0));
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    for address in addresses {
        // The name is that of the question.
        bytes.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        bytes.extend(
            address
                .parse::<Ipv4Addr>()
                .map_or([0; 4], |address| address.octets()),
        );
    }
    bytes
}

/// A packet of IPv4.
///
/// # Panics
/// Where an address is none.
#[must_use]
pub fn v4(src: &str, dst: &str, (protocol, payload): Payload) -> Ip {
    Ip::V4 {
        ends: [src, dst].map(|address| address.parse().expect("an address")),
        options: Vec::new(),
        protocol,
        payload,
        part: (1, 0, false),
    }
}

/// A packet of IPv6.
///
/// # Panics
/// Where an address is none.
#[must_use]
pub fn v6(src: &str, dst: &str, (protocol, payload): Payload) -> Ip {
    Ip::V6 {
        ends: [src, dst].map(|address| address.parse().expect("an address")),
        extensions: Vec::new(),
        protocol,
        payload,
        part: None,
    }
}

impl Ip {
    /// With options of IPv4.
    #[must_use]
    pub fn with_options(mut self, more: &[u8]) -> Self {
        if let Self::V4 { options, .. } = &mut self {
            options.extend(more);
        }
        self
    }

    /// With extension headers of IPv6, empty ones.
    #[must_use]
    pub fn with_extensions(mut self, more: &[u8]) -> Self {
        if let Self::V6 { extensions, .. } = &mut self {
            extensions.extend(more);
        }
        self
    }

    fn kind(&self) -> u16 {
        match self {
            Self::V4 { .. } => 0x0800,
            Self::V6 { .. } => 0x86DD,
        }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::V4 {
                ends,
                options,
                protocol,
                payload,
                part: (number, place, more),
            } => {
                let header = 20 + options.len();
                let words = u8::try_from(header / 4).unwrap_or(15);
                let mut bytes = vec![0x40 | words, 0];
                bytes.extend(short(header + payload.len()));
                bytes.extend(number.to_be_bytes());
                let place = u16::try_from(place / 8).unwrap_or(0);
                bytes.extend((place | if *more { 0x2000 } else { 0 }).to_be_bytes());
                bytes.extend([64, *protocol, 0, 0]);
                bytes.extend(ends.iter().flat_map(|address| address.octets()));
                bytes.extend(options);
                let sum = checksum(&bytes);
                bytes[10..12].copy_from_slice(&sum.to_be_bytes());
                bytes.extend(payload);
                bytes
            }
            Self::V6 {
                ends,
                extensions,
                protocol,
                payload,
                part,
            } => {
                let mut next = extensions.clone();
                next.extend(part.map(|_| 44));
                next.push(*protocol);
                let headers = 8 * (next.len() - 1);
                let mut bytes = vec![0x60, 0, 0, 0];
                bytes.extend(short(headers + payload.len()));
                bytes.extend([next[0], 64]);
                bytes.extend(ends.iter().flat_map(|address| address.octets()));
                for following in &next[1..=extensions.len()] {
                    // Options that say nothing; for a routing header, no segments left.
                    bytes.extend([*following, 0, 1, 0, 0, 0, 0, 0]);
                }
                if let Some((number, place, more)) = part {
                    bytes.extend([*protocol, 0]);
                    bytes.extend(short(place | usize::from(*more)));
                    bytes.extend(number.to_be_bytes());
                }
                bytes.extend(payload);
                bytes
            }
        }
    }
}

fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2);
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// A packet in parts of at most 1,400 bytes.
#[must_use]
pub fn fragments(ip: &Ip, number: u16) -> Vec<Ip> {
    const PART: usize = 1_400;
    let (Ip::V4 { payload, .. } | Ip::V6 { payload, .. }) = ip;
    let parts = payload.chunks(PART).enumerate();
    let last = payload.len().div_ceil(PART) - 1;
    parts
        .map(|(index, bytes)| {
            let place = (index * PART, index < last);
            let mut one = ip.clone();
            match &mut one {
                Ip::V4 { payload, part, .. } => {
                    *payload = bytes.to_vec();
                    *part = (number, place.0, place.1);
                }
                Ip::V6 { payload, part, .. } => {
                    *payload = bytes.to_vec();
                    *part = Some((number.into(), place.0, place.1));
                }
            }
            one
        })
        .collect()
}

const HARDWARE: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// A frame of Ethernet.
#[must_use]
pub fn frame(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = HARDWARE.to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend(data);
    bytes
}

/// A packet in a frame of Ethernet.
#[must_use]
pub fn ethernet(ip: &Ip) -> Vec<u8> {
    frame(ip.kind(), &ip.bytes())
}

/// A packet in a frame with tags of VLANs of these types.
#[must_use]
pub fn tagged(tags: &[u16], ip: &Ip) -> Vec<u8> {
    let mut bytes = HARDWARE.to_vec();
    for tag in tags {
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0, 7]);
    }
    bytes.extend(ip.kind().to_be_bytes());
    bytes.extend(ip.bytes());
    bytes
}

/// A question of ARP.
#[must_use]
pub fn arp() -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, 1];
    bytes.extend([0; 20]);
    frame(0x0806, &bytes)
}

/// What stands in front of a packet in the log of netfilter, on a little-endian machine.
#[must_use]
pub fn nflog(ip: &[u8]) -> Vec<u8> {
    let version = ip.first().map_or(4, |first| first >> 4);
    let family = if version == 6 { 10 } else { 2 };
    let mut bytes = vec![family, 0, 0, 1];
    // The prefix of the log: six bytes of attribute, padded to eight.
    bytes.extend([6, 0, 10, 0, b'x', 0, 0, 0]);
    let length = u16::try_from(ip.len() + 4).unwrap_or(u16::MAX);
    bytes.extend(length.to_le_bytes());
    bytes.extend([9, 0]);
    bytes
}

/// A packet in a tunnel of VXLAN.
#[must_use]
pub fn vxlan((src, dst): (&str, &str), port: u16, ip: &Ip) -> Ip {
    let mut data = vec![8, 0, 0, 0, 0, 0, 1, 0];
    data.extend(ethernet(ip));
    v4(src, dst, udp((55_000, port), &data))
}

/// A packet in a tunnel of Geneve, with an option.
#[must_use]
pub fn geneve((src, dst): (&str, &str), ip: &Ip) -> Ip {
    let mut data = vec![1, 0, 0x65, 0x58, 0, 0, 1, 0, 1, 2, 3, 0];
    data.extend(ethernet(ip));
    v4(src, dst, udp((55_000, 6081), &data))
}
