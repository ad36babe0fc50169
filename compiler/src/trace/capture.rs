//! Captures of packets: from the bytes of a file to what each packet is.
//!
//! Input: a stream in the format pcap or pcapng ([`file`]). Output: for each packet its addresses, what it carries, and
//! what connection tracking asks of it ([`packet`]), or why it is passed over ([`Passed`]); and every defect of the file
//! with the byte at which it stands. Guarantee: no bytes lead to a panic; memory does not grow with the file.

pub(super) mod file;
mod window;
mod link;
mod packet;

pub(super) use packet::{Carried, Flags, Packet, Tcp, Tuple, dissect};

use std::fmt;

/// Which tunnels are looked into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnels {
    /// UDP to port 4789 (RFC 7348), or to 8472, which Linux, flannel and Cilium take.
    pub vxlan: bool,
    /// UDP to port 6081 (RFC 8926).
    pub geneve: bool,
}

/// Why a packet is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Passed {
    /// The capture's link type is not known.
    Link(u16),
    /// It is no IP: the type of Ethernet.
    NoIp(u16),
    /// It is no IP, and the link does not say by number what it is.
    NotNetwork,
    /// So little of it was captured that its ends or ports are not known.
    Cut,
    /// Its headers make no sense.
    Malformed,
    /// A later fragment of a packet whose first one was not seen.
    Fragment,
    /// What neighbours of a link say to each other, by the hop limit that nobody else can send: no policy is asked.
    Neighbours,
    /// There is no answer about its ends: a service without endpoints, for one.
    NoAnswer,
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(link) => write!(f, "link type {link} is not read"),
            Self::NoIp(0x0806) => f.write_str("ARP"),
            Self::NoIp(0x88CC) => f.write_str("LLDP"),
            Self::NoIp(kind) => write!(f, "no IP (Ethernet type 0x{kind:04x})"),
            Self::NotNetwork => f.write_str("no IP"),
            Self::Cut => f.write_str("cut off before its ports"),
            Self::Malformed => f.write_str("headers that make no sense"),
            Self::Fragment => f.write_str("a fragment whose first one was not seen"),
            Self::Neighbours => f.write_str("neighbour discovery"),
            Self::NoAnswer => f.write_str("no answer about its ends"),
        }
    }
}
