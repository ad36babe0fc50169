//! Connections of a capture, followed as the datapath follows them.
//!
//! Input: packets in the order of the capture, with its clock. Output: to which connection each belongs, and as what. The
//! rules are those of Cilium's connection tracking (`bpf/lib/conntrack.h`, 1.20), and of verdict's own data path:
//!
//! - The first packet opens a connection, and the other direction is its reply; both are one entry.
//! - An entry is forgotten after its [lifetime], counted from its last packet, and by some packets that open another.
//! - An error of ICMP about a packet of a connection is related to it, and is not judged by itself.
//! - A later fragment belongs where the first fragment of its packet belongs.
//!
//! What a capture shows of a connection that began before it is taken for what it most likely is ([`Connections::opener`]),
//! and the connection is marked. Guarantee: memory is bounded by [`MAX_CONNECTIONS`]; beyond, those that were silent longest
//! are forgotten.

mod entry;
mod lifetime;
mod table;

pub(super) use entry::{Connection, State};
pub(super) use lifetime::Tracking;
pub(super) use table::{Place, Sought};

use super::capture::{Carried, Flags, Packet, Tuple};
use entry::{asked, is_to_itself_answered, turned, unopened};
use rustc_hash::{FxHashMap, FxHashSet};
use std::net::IpAddr;
use table::Table;

/// How many connections are remembered: about half of what an agent does (`bpf-ct-global-tcp-max`), some 35 MB.
pub(super) const MAX_CONNECTIONS: usize = (1 << 18) / 8 * 7;

/// How many fragmented packets are remembered (`bpf-fragments-map-max`).
const MAX_FRAGMENTED: usize = 8192;

const SECOND: u64 = 1_000_000_000;

/// How long fragments are waited for (`net.ipv4.ipfrag_time`).
const FRAGMENT_LIFETIME: u64 = 30 * SECOND;

/// From here on ports are given to whoever opens a connection (`net.ipv4.ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;

/// A packet of which there are fragments: its addresses, protocol and number.
type Fragmented = (IpAddr, IpAddr, u8, u32);

/// The connections so far.
pub(super) struct Connections {
    known: Table,
    /// The ports of fragmented packets, and when the first fragment was seen.
    fragmented: FxHashMap<Fragmented, ((u16, u16), u64)>,
    /// When fragments that nobody waits for any more are looked for again.
    trim_at: u64,
    opened: u64,
    forgotten: u64,
    /// When the capture begins.
    begin: Option<u64>,
    /// Whether those that have ended are kept for [`Connections::take_ended`].
    keeps: bool,
    ended: Vec<Connection>,
    tracking: Tracking,
    most: usize,
}

impl Connections {
    pub(super) fn new(keeps: bool, tracking: Tracking) -> Self {
        Self::with(keeps, tracking, MAX_CONNECTIONS)
    }

    fn with(keeps: bool, tracking: Tracking, most: usize) -> Self {
        Self {
            known: Table::new(most),
            fragmented: FxHashMap::default(),
            trim_at: 0,
            opened: 0,
            forgotten: 0,
            begin: None,
            keeps,
            ended: Vec::new(),
            tracking,
            most,
        }
    }

    /// How many there were.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// How many were forgotten for want of room while they lived.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Whether [`Self::take_ended`] has any.
    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Those that have ended or are forgotten.
    pub(super) fn take_ended(&mut self) -> Vec<Connection> {
        std::mem::take(&mut self.ended)
    }

    /// All others, in the order in which they were opened, if they are kept.
    pub(super) fn take_rest(&mut self) -> Vec<Connection> {
        let known = std::mem::replace(&mut self.known, Table::new(0));
        if !self.keeps {
            return Vec::new();
        }
        let mut rest: Vec<Connection> = known.iter().map(|(_, open)| open.clone()).collect();
        rest.sort_unstable_by_key(|connection| connection.number);
        rest
    }

    /// The ends of a fragment of the packet with this number, with the ports from its first fragment; `None` where that was
    /// not seen.
    pub(super) fn with_ports(
        &mut self,
        packet: &Packet<'_>,
        number: u32,
        now: u64,
    ) -> Option<Tuple> {
        let mut ends = packet.ends;
        let of = (ends.src, ends.dst, ends.protocol.0, number);
        let is_alive = |seen: u64| now.saturating_sub(seen) <= FRAGMENT_LIFETIME;
        if let Carried::LaterFragment = packet.carried {
            let (ports, _) = self
                .fragmented
                .get(&of)
                .filter(|(_, seen)| is_alive(*seen))?;
            ends.ports = *ports;
            return Some(ends);
        }
        if self.fragmented.len() >= MAX_FRAGMENTED && now >= self.trim_at {
            self.trim_at = now.saturating_add(FRAGMENT_LIFETIME / 4);
            self.fragmented.retain(|_, (_, seen)| is_alive(*seen));
        }
        if self.fragmented.len() < MAX_FRAGMENTED {
            self.fragmented.insert(of, (ends.ports, now));
        }
        Some(ends)
    }

    /// Looks for the connection of a packet, which may be long before the packet is followed.
    pub(super) fn guess(&self, ends: &Tuple) -> Sought {
        self.known.guess(ends)
    }

    /// Reads the connection that was looked for, so that it is near when the packet is followed. What comes out has no
    /// meaning.
    pub(super) fn touch(&self, sought: &Sought) -> u64 {
        self.known.touch(sought)
    }

    /// A connection that is known.
    pub(super) fn get(&self, place: Place) -> Option<&Connection> {
        self.known.get(place)
    }

    /// A connection that is known.
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Connection> {
        self.known.get_mut(place)
    }

    /// The connection to which a packet with these ends belongs, and as what.
    pub(super) fn follow(
        &mut self,
        sought: Sought,
        ends: &Tuple,
        carried: &Carried<'_>,
        now: u64,
    ) -> Option<(State, Place)> {
        self.begin.get_or_insert(now);
        let known = self.known.place(sought, ends);
        let is_over = known.map(|place| {
            let known = self.known.get(place);
            known
                .is_none_or(|known| known.is_over(self.tracking, known.ends == *ends, carried, now))
        });
        let (place, is_first) = match (known, is_over) {
            (Some(place), Some(false)) => (place, false),
            (known, _) => {
                if let Some(known) = known {
                    let before = self.known.remove(known);
                    self.end(before);
                }
                (self.open(sought, ends, carried, now), true)
            }
        };
        let connection = self.known.get_mut(place)?;
        let is_reply = connection.ends != *ends || is_to_itself_answered(connection, carried);
        connection.last = connection.last.max(now);
        connection.note(carried, is_reply);
        let state = match (is_reply, is_first) {
            (true, _) => State::Reply,
            (false, true) => State::New,
            (false, false) => State::Established,
        };
        Some((state, place))
    }

    /// The connection to which an error about a packet with these ends is related.
    pub(super) fn related(&self, about: &Tuple, now: u64) -> Option<Place> {
        let place = self.known.find(about)?;
        let connection = self.known.get(place)?;
        (!connection.has_expired(self.tracking, now)).then_some(place)
    }

    /// The ends of the connections that live and pass.
    pub(super) fn used(&self, now: u64) -> FxHashSet<IpAddr> {
        let known = self.known.iter().map(|(_, known)| known);
        let living = known.filter(|known| !known.has_expired(self.tracking, now));
        let passing = living.filter(|known| known.passes());
        passing
            .flat_map(|known| [known.ends.src, known.ends.dst])
            .collect()
    }

    fn open(&mut self, sought: Sought, ends: &Tuple, carried: &Carried<'_>, now: u64) -> Place {
        if self.known.len() >= self.most {
            self.make_room(now);
        }
        let (is_reply, is_older) = self.opener(ends, carried, now);
        let connection = Connection {
            number: self.opened,
            ends: if is_reply { turned(ends) } else { *ends },
            icmp: match carried {
                Carried::Icmp {
                    kind: (kind, code), ..
                } => Some((asked(ends.protocol, *kind), *code)),
                Carried::Error { kind, .. } => Some(*kind),
                Carried::Tcp(..)
                | Carried::Udp(_)
                | Carried::Sctp(_)
                | Carried::Other
                | Carried::LaterFragment => None,
            },
            is_older,
            first: now,
            ..unopened(*ends)
        };
        self.opened += 1;
        self.known.insert(sought, connection)
    }

    fn end(&mut self, connection: impl IntoIterator<Item = Connection>) {
        if self.keeps {
            self.ended.extend(connection);
        }
    }

    /// Whether the first packet that is seen of a connection is a reply, and whether the connection began before the
    /// capture. A segment without SYN shows that; what else could be an answer is taken for one only as long as its
    /// question may have been sent before the capture began. The end with the port that is not from the range of
    /// ephemeral ports is then the one that was asked.
    fn opener(&self, ends: &Tuple, carried: &Carried<'_>, now: u64) -> (bool, bool) {
        let looks_like_reply = ends.ports.0 < EPHEMERAL && ends.ports.1 >= EPHEMERAL;
        let begin = self.begin.unwrap_or(now);
        let may_be_older = now.saturating_sub(begin) <= self.tracking.longest_question();
        match (carried.flags(), carried) {
            (Some(Flags { syn: true, ack, .. }), _) => (ack, ack),
            (Some(_), _) => (looks_like_reply, true),
            (None, Carried::Icmp { is_answer, .. }) => (*is_answer, *is_answer),
            (None, Carried::Error { .. }) => (false, false),
            (None, _) => {
                let is_reply = looks_like_reply && may_be_older;
                (is_reply, is_reply)
            }
        }
    }

    /// Forgets what has expired; where that is too little, the eighth that was silent longest.
    fn make_room(&mut self, now: u64) {
        let tracking = self.tracking;
        let expired = |known: &Connection| known.has_expired(tracking, now);
        let known = self.known.iter();
        let mut gone: Vec<Place> = known
            .filter(|(_, known)| expired(known))
            .map(|(place, _)| place)
            .collect();
        if gone.len() < self.most / 8 {
            let known = self.known.iter();
            let mut ages: Vec<(u64, u64, Place)> = known
                .map(|(place, known)| (known.last, known.number, place))
                .collect();
            let count = (ages.len() / 8).clamp(1, ages.len().max(1));
            ages.select_nth_unstable_by_key(count - 1, |(last, number, _)| (*last, *number));
            ages.truncate(count);
            gone = ages.into_iter().map(|(_, _, place)| place).collect();
        }
        let gone = gone.iter().filter_map(|place| self.known.remove(*place));
        let mut gone: Vec<Connection> = gone.collect();
        let living = gone.iter().filter(|known| !expired(known));
        self.forgotten += living.count() as u64;
        gone.sort_unstable_by_key(|connection| connection.number);
        self.end(gone);
    }
}
