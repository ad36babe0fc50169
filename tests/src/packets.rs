//! Packets from a line of text: what a test needs, well-formed or not.
//!
//! `[vlan ID].. NETWORK TRANSPORT`, from the outside to the inside, each word followed by its values:
//!
//! - `arp`, `ethertype 88cc`, or `ipv4 SRC > DST` and `ipv6 SRC > DST` with any of `hops N`, `options N` (bytes of IPv4
//!   options), `version N`, `total N` (what the header says of the length), `fragment OFFSET`, `more`, `id N`, `ext
//!   TYPE` (an IPv6 extension header of eight bytes), `routing LEFT`, `ah`, in the order in which they stand;
//! - `tcp SRC > DST` with `syn ack fin rst`, `udp SRC > DST`, `sctp SRC > DST` with `chunk N`, `icmp TYPE/CODE` with
//!   `id N`, `protocol N`, or nothing;
//! - `about` and another packet from its network on: what an ICMP error quotes; or `payload N` bytes; and `cut N`, the
//!   bytes that are left of the whole.

use std::iter::Peekable;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::{FromStr, SplitWhitespace};
use verdict_compiler::cluster::Protocol;
use verdict_compiler::hir::flow::Transport;

/// The bytes of an Ethernet frame.
///
/// # Panics
/// Where the text says nothing that can be built.
#[must_use]
pub fn build(text: &str) -> Vec<u8> {
    let mut words = Words(text.split_whitespace().peekable());
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    while words.take("vlan") {
        frame.extend([0x81, 0x00]);
        frame.extend(words.value::<u16>().to_be_bytes());
    }
    if words.take("ethertype") {
        let text: String = words.value();
        frame.extend(u16::from_str_radix(&text, 16).unwrap().to_be_bytes());
        frame.extend([0; 46]);
    } else if words.take("arp") {
        frame.extend([0x08, 0x06]);
        frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend([0; 20]);
    } else {
        let v4 = words.0.peek() == Some(&"ipv4");
        frame.extend(if v4 { [0x08, 0x00] } else { [0x86, 0xDD] });
        frame.extend(ip(&mut words));
    }
    if words.take("cut") {
        frame.truncate(words.value());
    }
    assert_eq!(words.0.next(), None, "`{text}` goes on");
    frame
}

/// The words of a text.
struct Words<'a>(Peekable<SplitWhitespace<'a>>);

impl Words<'_> {
    /// Whether this word is next: then it is taken.
    fn take(&mut self, word: &str) -> bool {
        self.0.next_if(|next| *next == word).is_some()
    }

    fn value<T: FromStr>(&mut self) -> T {
        let word = self.0.next().expect("a value");
        word.parse()
            .unwrap_or_else(|_| panic!("`{word}` is no value"))
    }

    fn pair<T: FromStr>(&mut self) -> (T, T) {
        let first = self.value();
        assert!(self.take(">"), "no `>`");
        (first, self.value())
    }
}

/// What the words say of a network header.
struct Network {
    version: u8,
    hops: u8,
    options: usize,
    total: Option<u16>,
    fragment: u16,
    more: bool,
    identifier: u32,
    /// Extension headers: the type and the bytes.
    extensions: Vec<(u8, Vec<u8>)>,
}

fn ip(words: &mut Words<'_>) -> Vec<u8> {
    let family: String = words.value();
    let (src, dst): (IpAddr, IpAddr) = words.pair();
    assert_eq!(family == "ipv4", src.is_ipv4() && dst.is_ipv4());
    let mut network = Network {
        version: if src.is_ipv4() { 4 } else { 6 },
        hops: 64,
        options: 0,
        total: None,
        fragment: 0,
        more: false,
        identifier: 0,
        extensions: Vec::new(),
    };
    loop {
        if words.take("hops") {
            network.hops = words.value();
        } else if words.take("options") {
            network.options = words.value();
        } else if words.take("version") {
            network.version = words.value();
        } else if words.take("total") {
            network.total = Some(words.value());
        } else if words.take("fragment") {
            network.fragment = words.value();
            network.extensions.push((44, vec![0; 8]));
        } else if words.take("more") {
            network.more = true;
        } else if words.take("id") {
            network.identifier = words.value();
        } else if words.take("ext") {
            let kind = words.value();
            network
                .extensions
                .push((kind, vec![0, 0, 1, 4, 0, 0, 0, 0]));
        } else if words.take("routing") {
            let left = words.value();
            network
                .extensions
                .push((43, vec![0, 0, 4, left, 0, 0, 0, 0]));
        } else if words.take("ah") {
            network.extensions.push((
                51,
                vec![
                    0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
            ));
        } else {
            break;
        }
    }
    let (protocol, transport) = transport(words, src.is_ipv4());
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => ipv4(&network, src, dst, protocol, &transport),
        (IpAddr::V6(src), IpAddr::V6(dst)) => ipv6(network, src, dst, protocol, &transport),
        _ => panic!("two families"),
    }
}

fn ipv4(network: &Network, src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, below: &[u8]) -> Vec<u8> {
    let header = 20 + network.options;
    let total = u16::try_from(header + below.len()).unwrap();
    let total = network.total.unwrap_or(total);
    let place = (network.fragment / 8) | (u16::from(network.more) << 13);
    let mut bytes = vec![network.version << 4 | u8::try_from(header / 4).unwrap(), 0];
    bytes.extend(total.to_be_bytes());
    bytes.extend(u16::try_from(network.identifier).unwrap().to_be_bytes());
    bytes.extend(place.to_be_bytes());
    bytes.extend([network.hops, protocol, 0, 0]);
    bytes.extend(src.octets());
    bytes.extend(dst.octets());
    bytes.resize(header, 1);
    bytes.extend(below);
    bytes
}

fn ipv6(network: Network, src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, below: &[u8]) -> Vec<u8> {
    let mut headers = network.extensions;
    let mut next = protocol;
    for (kind, header) in headers.iter_mut().rev() {
        header[0] = next;
        if *kind == 44 {
            let place = network.fragment & 0xFFF8 | u16::from(network.more);
            header[2..4].copy_from_slice(&place.to_be_bytes());
            header[4..8].copy_from_slice(&network.identifier.to_be_bytes());
        }
        next = *kind;
    }
    let mut behind: Vec<u8> = headers.into_iter().flat_map(|(_, header)| header).collect();
    behind.extend(below);
    let total = u16::try_from(behind.len()).unwrap();
    let mut bytes = vec![network.version << 4, 0, 0, 0];
    bytes.extend(network.total.unwrap_or(total).to_be_bytes());
    bytes.extend([next, network.hops]);
    bytes.extend(src.octets());
    bytes.extend(dst.octets());
    bytes.extend(behind);
    bytes
}

fn transport(words: &mut Words<'_>, v4: bool) -> (u8, Vec<u8>) {
    let mut bytes = Vec::new();
    let ports = |words: &mut Words<'_>, bytes: &mut Vec<u8>| {
        let (src, dst): (u16, u16) = words.pair();
        bytes.extend(src.to_be_bytes());
        bytes.extend(dst.to_be_bytes());
    };
    let protocol = if words.take("tcp") {
        ports(words, &mut bytes);
        bytes.extend([0; 8]);
        bytes.extend([5 << 4, flags(words), 0xFF, 0xFF, 0, 0, 0, 0]);
        6
    } else if words.take("udp") {
        ports(words, &mut bytes);
        bytes.extend([0, 8, 0, 0]);
        17
    } else if words.take("sctp") {
        ports(words, &mut bytes);
        bytes.extend([0; 8]);
        let chunk = if words.take("chunk") {
            words.value()
        } else {
            1
        };
        bytes.extend([chunk, 0, 0, 4]);
        132
    } else if words.take("icmp") {
        let what: String = words.value();
        let (kind, code) = what.split_once('/').unwrap_or((&what, "0"));
        bytes.extend([kind.parse().unwrap(), code.parse().unwrap(), 0, 0]);
        let identifier: u16 = if words.take("id") { words.value() } else { 0 };
        bytes.extend(identifier.to_be_bytes());
        bytes.extend([0, 0]);
        if v4 { 1 } else { 58 }
    } else if words.take("protocol") {
        words.value()
    } else {
        253
    };
    if words.take("about") {
        bytes.extend(ip(words));
    } else if words.take("payload") {
        bytes.resize(bytes.len() + words.value::<usize>(), 0);
    }
    (protocol, bytes)
}

fn flags(words: &mut Words<'_>) -> u8 {
    let mut flags = 0;
    loop {
        flags |= match () {
            () if words.take("fin") => 1,
            () if words.take("syn") => 2,
            () if words.take("rst") => 4,
            () if words.take("ack") => 16,
            () => return flags,
        };
    }
}

/// The first packet of a flow. Port 80 stands for one that is not known.
#[must_use]
pub fn first(src: IpAddr, dst: IpAddr, transport: Transport, src_port: u16) -> Vec<u8> {
    build(&first_text(src, dst, transport, src_port))
}

/// The text of [`first`].
#[must_use]
pub fn first_text(src: IpAddr, dst: IpAddr, transport: Transport, src_port: u16) -> String {
    let family = if src.is_ipv4() { "ipv4" } else { "ipv6" };
    let port = transport.port.unwrap_or(80);
    let (kind, code) = transport.icmp.unwrap_or((8, 0));
    let behind = match transport.protocol {
        Protocol::TCP => format!("tcp {src_port} > {port} syn"),
        Protocol::UDP => format!("udp {src_port} > {port}"),
        Protocol::SCTP => format!("sctp {src_port} > {port}"),
        Protocol(1) if src.is_ipv4() => format!("icmp {kind}/{code} id {src_port}"),
        Protocol(58) if src.is_ipv6() => format!("icmp {kind}/{code} id {src_port}"),
        Protocol(number) => format!("protocol {number} payload 16"),
    };
    format!("{family} {src} > {dst} {behind}")
}
