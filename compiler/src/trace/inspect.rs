//! The packets of a capture as they are read, without judging them: to hold the reader to other programs' readers, and to
//! measure it.

use super::capture::file::{Capture, Event};
use super::capture::{Carried, Packet, Passed, Tcp, Tunnels, dissect};
use super::source::{Content, Source};
use crate::diagnostic::Diagnostic;
use std::io::{self, BufRead};
use std::net::IpAddr;

/// A packet as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Where it comes from.
    pub src: IpAddr,
    /// Where it goes.
    pub dst: IpAddr,
    /// The number of its protocol.
    pub protocol: u8,
    /// Its ports: that of the sender, then that of the receiver. A later fragment has none.
    pub ports: Option<(u16, u16)>,
    /// Type and code of ICMP and ICMPv6.
    pub icmp: Option<(u8, u8)>,
    /// The flags of TCP: SYN, ACK, FIN, RST.
    pub flags: Option<[bool; 4]>,
}

/// What is read of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A packet: when it was captured, in nanoseconds since 1970, how long it was, and what it is.
    Packet(u64, u32, Result<Inspected, Passed>),
    /// A defect, and the byte at which it stands.
    Defect(u64, Diagnostic),
}

/// Reads a capture; `false` where it is none.
///
/// # Errors
/// Where the reader fails.
pub fn inspect(
    reader: impl BufRead,
    tunnels: Tunnels,
    mut each: impl FnMut(Item),
) -> io::Result<bool> {
    let (source, content) = Source::open(reader)?;
    if content == Content::Lines {
        return Ok(false);
    }
    let mut capture = Capture::new(source, content);
    while let Some(event) = capture.next()? {
        each(match event {
            Event::Frame(frame) => {
                let packet = dissect(frame, tunnels).map(inspected);
                Item::Packet(frame.time, frame.length, packet)
            }
            Event::Defect(at, diagnostic) => Item::Defect(at, diagnostic),
        });
    }
    Ok(true)
}

fn inspected(packet: Packet<'_>) -> Inspected {
    let ends = packet.ends;
    let has_ports = ends.protocol.has_ports() && !matches!(packet.carried, Carried::LaterFragment);
    Inspected {
        src: ends.src,
        dst: ends.dst,
        protocol: ends.protocol.0,
        ports: has_ports.then_some(ends.ports),
        icmp: match packet.carried {
            Carried::Icmp { kind, .. } | Carried::Error { kind, .. } => Some(kind),
            Carried::Tcp(..)
            | Carried::Udp(_)
            | Carried::Sctp(_)
            | Carried::Other
            | Carried::LaterFragment => None,
        },
        flags: match packet.carried {
            Carried::Tcp(Tcp { flags, .. }, _) => {
                Some([flags.syn, flags.ack, flags.fin, flags.rst])
            }
            Carried::Udp(_)
            | Carried::Sctp(_)
            | Carried::Icmp { .. }
            | Carried::Error { .. }
            | Carried::Other
            | Carried::LaterFragment => None,
        },
    }
}
