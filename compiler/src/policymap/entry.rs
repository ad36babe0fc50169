//! An entry of a policy map, and which packets it covers.

use crate::explain::report::Word;
use crate::hir::Auth;

/// Bits of a protocol.
pub(crate) const PROTOCOL_BITS: u8 = 8;
/// Bits of a protocol and a port.
pub(crate) const ALL_BITS: u8 = 24;

/// What a packet carries, as it is looked up: the type of an ICMP message stands for the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The protocol.
    pub protocol: u8,
    /// The destination port; 0 for a packet that has none.
    pub port: u16,
}

/// What an entry covers of protocols and ports: all, one protocol, or an aligned block of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The protocol; 0 where [`Block::length`] is 0.
    pub protocol: u8,
    /// The first port, of which [`Block::length`] says how many bits count.
    pub port: u16,
    /// How many bits of protocol and port count: 0, or 8 to 24.
    pub length: u8,
}

impl Block {
    /// Every packet.
    pub const ANY: Self = Self {
        protocol: 0,
        port: 0,
        length: 0,
    };

    /// Every packet of a protocol.
    #[must_use]
    pub fn of(protocol: u8) -> Self {
        Self {
            protocol,
            port: 0,
            length: PROTOCOL_BITS,
        }
    }

    /// The aligned blocks that together are the ports `first` to `last` of a protocol, by ascending ports.
    pub fn cover(protocol: u8, first: u16, last: u16) -> Vec<Self> {
        let mut blocks = Vec::new();
        let (mut next, end) = (u32::from(first), u32::from(last) + 1);
        while next < end {
            let aligned = next.trailing_zeros().min(u16::BITS);
            let free = aligned.min((end - next).ilog2());
            blocks.push(Self {
                protocol,
                port: u16::try_from(next).unwrap_or(u16::MAX),
                length: ALL_BITS - u8::try_from(free).unwrap_or(0),
            });
            next += 1 << free;
        }
        blocks
    }

    /// The ports that it covers.
    #[must_use]
    pub fn ports(self) -> (u16, u16) {
        let free = u32::from(ALL_BITS.saturating_sub(self.length.max(PROTOCOL_BITS)));
        let rest = u16::MAX
            .checked_shr(u16::BITS.saturating_sub(free))
            .unwrap_or(0);
        (self.port & !rest, self.port | rest)
    }

    /// Whether it covers a packet.
    #[must_use]
    pub fn covers(self, packet: Packet) -> bool {
        let (first, last) = self.ports();
        self.length == 0
            || self.protocol == packet.protocol
                && (self.length <= PROTOCOL_BITS || (first..=last).contains(&packet.port))
    }

    /// Whether it covers every packet of another block.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        let packet = Packet {
            protocol: other.protocol,
            port: other.port,
        };
        self.length <= other.length && self.covers(packet)
    }

    /// Itself and all blocks that contain it, the longest first.
    pub fn wider(self) -> impl Iterator<Item = Self> {
        let lengths = (PROTOCOL_BITS..=self.length).rev();
        let shorter = lengths.map(move |length| {
            let port = Self { length, ..self }.ports().0;
            Self {
                port,
                length,
                ..self
            }
        });
        shorter.chain([Self::ANY])
    }
}

/// An entry of a policy map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of packets from or to this identity, or those that are taken together under it.
    pub identity: u32,
    /// Of packets that leave the endpoint.
    pub egress: bool,
    /// Which of them.
    pub block: Block,
    /// Whether it denies.
    pub denies: bool,
    /// The port of the proxy that takes what it allows; 0 for none.
    pub proxy: u16,
    /// What the ends must prove.
    pub auth: Demand,
    /// Which entry decides where several have a packet: the highest.
    pub precedence: u32,
}

impl Entry {
    /// What it does.
    #[must_use]
    pub fn word(&self) -> Word {
        match (self.denies, self.proxy) {
            (true, _) => Word::Deny,
            (false, 1..) => Word::Redirect,
            (false, 0) => Word::Allow,
        }
    }
}

/// What the ends of a connection must prove, as an entry says it in a byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Demand(pub u8);

impl Demand {
    const EXPLICIT: u8 = 0x80;

    /// What a rule demands itself.
    #[must_use]
    pub fn explicit(auth: Auth) -> Self {
        Self(number(auth) | Self::EXPLICIT)
    }

    /// The same, taken over from a wider rule.
    #[must_use]
    pub fn derived(self) -> Self {
        Self(self.0 & !Self::EXPLICIT)
    }

    /// Whether a rule demands it itself.
    #[must_use]
    pub fn is_explicit(self) -> bool {
        self.0 & Self::EXPLICIT != 0
    }

    /// The way of proving; `None` for nothing.
    #[must_use]
    pub fn auth(self) -> Option<Auth> {
        let all = [Auth::Required, Auth::AlwaysFails];
        all.into_iter()
            .find(|auth| number(*auth) == self.derived().0)
    }
}

/// `pkg/auth`: the numbers of the types.
fn number(auth: Auth) -> u8 {
    match auth {
        Auth::Disabled => 0,
        Auth::Required => 1,
        Auth::AlwaysFails => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_covers_what_its_length_says() {
        let of = |port, length| Block {
            protocol: 6,
            port,
            length,
        };
        assert_eq!(of(8080, 20).ports(), (8080, 8095));
        assert_eq!(of(443, 24).ports(), (443, 443));
        assert_eq!(of(0, 8).ports(), (0, u16::MAX));
        assert_eq!(Block::ANY.ports(), (0, u16::MAX));
        let other = Packet {
            protocol: 17,
            port: 443,
        };
        assert!(!of(443, 24).covers(other));
        assert!(Block::ANY.covers(other));
        assert!(Block::of(6).contains(of(443, 24)));
        assert!(!of(443, 24).contains(Block::of(6)));
        assert!(!Block::of(17).contains(of(443, 24)));
        let wider: Vec<u8> = of(8080, 10).wider().map(|block| block.length).collect();
        assert_eq!(wider, [10, 9, 8, 0]);
    }
}
