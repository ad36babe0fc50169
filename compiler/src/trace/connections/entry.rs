//! One connection: its ends, what was seen of it, and how long it lives.

use super::lifetime::Tracking;
use crate::cluster::Protocol;
use crate::trace::capture::{Carried, Flags, Tuple};
use crate::trace::packets::Answered;
use crate::trace::record::Word;

/// As what a packet belongs to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in super::super) enum State {
    /// It opens it.
    New,
    /// It is a further packet of the side that opened it.
    Established,
    /// It is from the other side.
    Reply,
    /// It is an error about it.
    Related,
}

impl State {
    pub(in super::super) fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Reply => "reply",
            Self::Related => "related",
        }
    }
}

/// A connection: two lines of a cache that are fetched together, since each packet reads it.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub(in super::super) struct Connection {
    /// Counted from zero, in the order in which they are opened.
    pub(in super::super) number: u64,
    /// Its ends, those of the side that opened it first.
    pub(in super::super) ends: Tuple,
    /// Type and code of the packet that opened it.
    pub(in super::super) icmp: Option<(u8, u8)>,
    /// Whether it began before the capture, so that it is not sure which side opened it.
    pub(in super::super) is_older: bool,
    /// Whether the other side has been seen.
    pub(in super::super) is_answered: bool,
    pub(in super::super) first: u64,
    pub(in super::super) last: u64,
    /// How many packets the side that opened it sent, and the other.
    pub(in super::super) packets: [u64; 2],
    /// How many bytes.
    pub(in super::super) bytes: [u64; 2],
    /// What is known of its answer.
    pub(in super::super) answer: Option<Answered>,
    /// Whether anything but SYN was seen.
    pub(super) has_data: bool,
    /// Whether the other side has sent anything.
    pub(super) is_replied: bool,
    /// Whether whoever opened it has gone on after that.
    pub(super) is_established: bool,
    /// Which side has ended it.
    pub(super) closing: [bool; 2],
    /// Whether one side has reset it, and none has gone on.
    pub(super) is_reset: bool,
    /// Whether one side has ever reset it.
    pub(super) was_reset: bool,
}

const _: () = assert!(size_of::<Connection>() == 128);

impl Connection {
    pub(super) fn has_expired(&self, tracking: Tracking, now: u64) -> bool {
        now.saturating_sub(self.last) > tracking.lifetime(self)
    }

    /// Whether its packets pass, as far as is known.
    pub(super) fn passes(&self) -> bool {
        let answer = self.answer.as_ref();
        answer.is_some_and(|answer| answer.id.is_some() && answer.verdict != Word::Deny)
    }

    /// Whether both sides have ended it, or one has reset it: little more will come.
    pub(super) fn is_closed(&self) -> bool {
        self.is_reset || self.closing == [true, true]
    }

    /// Whether a packet with the same ends belongs to another connection.
    pub(super) fn is_over(
        &self,
        tracking: Tracking,
        is_forward: bool,
        carried: &Carried<'_>,
        now: u64,
    ) -> bool {
        let flags = carried.flags();
        let starts_anew = flags.is_some_and(|flags| tracking.starts_anew(self, flags, is_forward));
        starts_anew || self.has_expired(tracking, now)
    }
}

/// What a pod sends to itself has both directions alike; only an echo tells them apart.
pub(super) fn is_to_itself_answered(connection: &Connection, carried: &Carried<'_>) -> bool {
    let ends = &connection.ends;
    let is_answer = matches!(
        carried,
        Carried::Icmp {
            is_answer: true,
            ..
        }
    );
    ends.src == ends.dst && ends.ports.0 == ends.ports.1 && is_answer
}

pub(super) fn unopened(ends: Tuple) -> Connection {
    Connection {
        number: 0,
        ends,
        icmp: None,
        is_older: false,
        is_answered: false,
        first: 0,
        last: 0,
        packets: [0; 2],
        bytes: [0; 2],
        answer: None,
        has_data: false,
        is_replied: false,
        is_established: false,
        closing: [false; 2],
        is_reset: false,
        was_reset: false,
    }
}

pub(super) fn turned(ends: &Tuple) -> Tuple {
    Tuple {
        src: ends.dst,
        dst: ends.src,
        protocol: ends.protocol,
        ports: (ends.ports.1, ends.ports.0),
    }
}

/// The type of the request to which this is the answer, or the type itself.
pub(super) fn asked(protocol: Protocol, kind: u8) -> u8 {
    match (protocol == Protocol::ICMPV6, kind) {
        (false, 0) => 8,
        (true, 129) => 128,
        (_, kind) => kind,
    }
}

impl Connection {
    pub(super) fn note(&mut self, carried: &Carried<'_>, is_reply: bool) {
        let opens = carried.flags().is_some_and(Flags::opens);
        self.is_established |= !is_reply && self.is_replied && !opens;
        self.is_replied |= is_reply;
        let Some(flags) = carried.flags() else {
            self.is_answered |= is_reply;
            return;
        };
        // A refusal may come from anyone on the way. Whoever acknowledges without a SYN has an answer.
        let acknowledges = matches!(carried, Carried::Tcp(..)) && flags.ack && !flags.syn;
        self.is_answered |= !flags.rst && (is_reply || acknowledges);
        self.has_data |= !flags.syn;
        self.is_reset = flags.rst;
        self.was_reset |= flags.rst;
        if let (true, Some(closing)) = (flags.fin, self.closing.get_mut(usize::from(is_reply))) {
            *closing = true;
        }
    }

    /// Counts a packet.
    pub(in super::super) fn count(&mut self, is_reply: bool, length: u32) {
        let side = usize::from(is_reply);
        if let (Some(packets), Some(bytes)) = (self.packets.get_mut(side), self.bytes.get_mut(side))
        {
            *packets += 1;
            *bytes += u64::from(length);
        }
    }
}
