//! A section of pcapng: its interfaces, and the packets in its blocks.

use super::{Step, broken, link_type, number};
use pcap_parser::pcapng::InterfaceDescriptionBlock;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// How many interfaces of a section are remembered: more than any machine has, and few enough to keep.
const MAX_INTERFACES: usize = 1 << 16;

/// An interface of a section of pcapng.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    snap_length: u32,
    /// Units of time in a second.
    resolution: u64,
    /// Seconds that are added.
    offset: i64,
}

/// What is known of a section so far.
pub(super) struct Section {
    pub(super) big_endian: bool,
    interfaces: Vec<Interface>,
    /// Whether it was told that there are too many.
    is_full: bool,
    /// The time of the last packet: those of the simplest kind have none.
    time: u64,
}

impl Section {
    pub(super) fn new(big_endian: bool) -> Self {
        Self {
            big_endian,
            interfaces: Vec::new(),
            is_full: false,
            time: 0,
        }
    }

    pub(super) fn interface(&mut self, at: u64, block: &InterfaceDescriptionBlock<'_>) -> Step {
        if self.interfaces.len() >= MAX_INTERFACES {
            return self.full(at);
        }
        let resolution = resolution(block.if_tsresol);
        self.interfaces.push(Interface {
            link: link_type(block.linktype.0),
            snap_length: block.snaplen,
            resolution: resolution.unwrap_or(1_000_000),
            offset: block.if_tsoffset,
        });
        match resolution {
            Some(_) => Step::Nothing,
            None => broken(
                at,
                format!(
                    "interface {} counts time in a unit that does not exist (0x{:02x})",
                    self.interfaces.len() - 1,
                    block.if_tsresol
                ),
                "its packets are taken to be timed in microseconds",
            ),
        }
    }

    fn full(&mut self, at: u64) -> Step {
        if std::mem::replace(&mut self.is_full, true) {
            return Step::Nothing;
        }
        broken(
            at,
            format!("a section of more than {MAX_INTERFACES} interfaces: no machine has so many"),
            "packets of the first ones were read",
        )
    }

    /// A packet of `length` bytes of block with `fixed` bytes in front of the packet.
    pub(super) fn packet(
        &mut self,
        at: u64,
        length: usize,
        (interface, ticks): (u32, u64),
        start: usize,
        (captured, original): (u32, u32),
    ) -> Step {
        let Some(interface) = self.interfaces.get(interface as usize).copied() else {
            let known = self.interfaces.len();
            return broken(
                at,
                format!("a packet of interface {interface}, and the section has {known}"),
                "the other packets were read",
            );
        };
        let end = start + captured as usize;
        // The length stands once more at the end of the block.
        if end > length.saturating_sub(4) {
            return broken(
                at,
                format!("a packet of {captured} bytes in a block of {length}"),
                "the other packets were read",
            );
        }
        self.time = interface.time(ticks);
        Step::Frame {
            time: self.time,
            link: interface.link,
            data: (start, end),
            length: original.max(captured),
        }
    }

    /// A packet with neither an interface nor a time of its own.
    pub(super) fn simple(&mut self, length: usize, original: u32) -> Step {
        let start = 12;
        let room = length.saturating_sub(start + 4);
        let limit = match self.interfaces.first() {
            Some(Interface { snap_length: 0, .. }) | None => original,
            Some(interface) => interface.snap_length,
        };
        let captured = (original.min(limit) as usize).min(room);
        Step::Frame {
            time: self.time,
            link: self.interfaces.first().map_or(u16::MAX, |first| first.link),
            data: (start, start + captured),
            length: original,
        }
    }

    pub(super) fn obsolete(&mut self, at: u64, bytes: &[u8]) -> Step {
        let number = |at| number(bytes, at, self.big_endian);
        // The interface and a count of drops share the first number.
        let interface = if self.big_endian {
            number(8) >> 16
        } else {
            number(8) & 0xFFFF
        };
        let ticks = (u64::from(number(12)) << 32) | u64::from(number(16));
        let lengths = (number(20), number(24));
        self.packet(at, bytes.len(), (interface, ticks), 28, lengths)
    }
}

impl Interface {
    /// Nanoseconds since 1970.
    fn time(&self, ticks: u64) -> u64 {
        let nanoseconds =
            u128::from(ticks) * u128::from(SECOND) / u128::from(self.resolution.max(1));
        let offset = i128::from(self.offset) * i128::from(SECOND);
        let time = i128::try_from(nanoseconds)
            .unwrap_or(i128::MAX)
            .saturating_add(offset);
        u64::try_from(time.max(0)).unwrap_or(u64::MAX)
    }
}

/// Units of time in a second: a power of ten, or of two.
fn resolution(written: u8) -> Option<u64> {
    let exponent = u32::from(written & 0x7F);
    let base: u64 = if written & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(exponent)
}
