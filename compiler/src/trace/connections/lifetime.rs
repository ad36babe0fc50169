//! How long a connection lives after its last packet, and which packets open another in its place.
//!
//! One rule for each dialect: in the dialect `cilium` that of Cilium's connection tracking, with the defaults of the agent's
//! options; in all others that of verdict's own data path, with its constants (`verdict_abi::datapath::connections`), where
//! a tick is 2^30 nanoseconds.

use super::entry::Connection;
use crate::cluster::Protocol;
use crate::frontend::settings::Dialect;
use crate::trace::capture::Flags;
use verdict_abi::datapath::connections::{TICK, timeout};

const SECOND: u64 = 1_000_000_000;

/// The defaults of Cilium's options, in nanoseconds.
mod cilium {
    use super::SECOND;
    /// `bpf-ct-timeout-regular-tcp`: 2h13m20s.
    pub(super) const TCP: u64 = 8_000 * SECOND;
    /// `bpf-ct-timeout-regular-tcp-syn`: nothing but SYN was seen.
    pub(super) const TCP_SYN: u64 = 60 * SECOND;
    /// `bpf-ct-timeout-regular-tcp-fin`: both sides have ended it, or one has reset it.
    pub(super) const TCP_CLOSE: u64 = 10 * SECOND;
    /// `bpf-ct-timeout-regular-any`: all other protocols, SCTP among them.
    pub(super) const ANY: u64 = 60 * SECOND;
}

/// Whose rule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Tracking {
    Cilium,
    Datapath,
}

impl Tracking {
    /// The rule of a dialect.
    pub(in super::super) fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Cilium => Self::Cilium,
            Dialect::Kubernetes => Self::Datapath,
        }
    }

    /// For how many nanoseconds after its last packet a connection lives.
    pub(super) fn lifetime(self, connection: &Connection) -> u64 {
        match self {
            Self::Cilium => by_cilium(connection),
            Self::Datapath => u64::from(ticks(connection)) << TICK,
        }
    }

    /// For how long the question of an answer may lie back, to which TCP does not belong.
    pub(super) fn longest_question(self) -> u64 {
        match self {
            Self::Cilium => cilium::ANY,
            Self::Datapath => u64::from(timeout::UDP) << TICK,
        }
    }

    /// Whether a packet with the ends of a connection opens another.
    pub(super) fn starts_anew(
        self,
        connection: &Connection,
        flags: Flags,
        is_forward: bool,
    ) -> bool {
        match self {
            Self::Cilium => flags.opens() && has_ended(connection),
            Self::Datapath => {
                let is_closing = connection.is_reset || connection.closing != [false, false];
                flags.opens() && (!is_forward || is_closing)
            }
        }
    }
}

fn by_cilium(connection: &Connection) -> u64 {
    if connection.ends.protocol != Protocol::TCP {
        return cilium::ANY;
    }
    match (has_ended(connection), connection.has_data) {
        (true, _) => cilium::TCP_CLOSE,
        (false, false) => cilium::TCP_SYN,
        (false, true) => cilium::TCP,
    }
}

/// Whether it has ended for Cilium.
fn has_ended(connection: &Connection) -> bool {
    connection.closing == [true, true] || connection.was_reset
}

/// As `State::patience` of the data path.
fn ticks(connection: &Connection) -> u32 {
    match connection.ends.protocol {
        protocol @ (Protocol::TCP | Protocol::SCTP) => {
            if connection.is_closed() {
                timeout::CLOSED
            } else if connection.closing != [false, false] {
                timeout::CLOSING
            } else if !connection.is_established {
                timeout::OPENING
            } else if protocol == Protocol::TCP {
                timeout::TCP
            } else {
                timeout::SCTP
            }
        }
        Protocol::UDP if connection.is_replied => timeout::UDP,
        Protocol::UDP => timeout::UDP_UNREPLIED,
        Protocol::ICMP | Protocol::ICMPV6 => timeout::ICMP,
        _ => timeout::OTHER,
    }
}
