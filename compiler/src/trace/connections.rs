//! Connections of a capture, followed as the datapath follows them.
//!
//! Input: packets in the order of the capture, with its clock. Output: to which connection each belongs, and as what. The
//! rules are those of Cilium's connection tracking (`bpf/lib/conntrack.h`, 1.20), which Linux's are close to:
//!
//! - The first packet opens a connection, and the other direction is its reply; both are one entry.
//! - An entry is forgotten after its [lifetime], counted from its last packet. A SYN to one that has ended opens
//!   another.
//! - An error of ICMP about a packet of a connection is related to it, and is not judged by itself.
//! - A later fragment belongs where the first fragment of its packet belongs.
//!
//! What a capture shows of a connection that began before it is taken for what it most likely is ([`Connections::opener`]),
//! and the connection is marked. Guarantee: memory is bounded by [`MAX_CONNECTIONS`]; beyond, those that were silent longest
//! are forgotten.

mod entry;

pub(super) use entry::{Connection, State};

use super::capture::{Carried, Packet, Tcp, Tuple};
use entry::{Key, asked, is_to_itself_answered, key, lifetime, turned, unopened};
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// How many connections are remembered: about half of what an agent does (`bpf-ct-global-tcp-max`), as many as a table of
/// 55 MB holds.
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
    known: FxHashMap<Key, Connection>,
    /// The ports of fragmented packets, and when the first fragment was seen.
    fragmented: FxHashMap<Fragmented, ((u16, u16), u64)>,
    /// When fragments that nobody waits for any more are looked for again.
    trim_at: u64,
    opened: u64,
    /// When the capture begins.
    begin: Option<u64>,
    /// Whether those that have ended are kept for [`Connections::take_ended`].
    keeps: bool,
    ended: Vec<Connection>,
    most: usize,
}

impl Connections {
    pub(super) fn new(keeps: bool) -> Self {
        Self::with(keeps, MAX_CONNECTIONS)
    }

    fn with(keeps: bool, most: usize) -> Self {
        Self {
            known: FxHashMap::default(),
            fragmented: FxHashMap::default(),
            trim_at: 0,
            opened: 0,
            begin: None,
            keeps,
            ended: Vec::new(),
            most,
        }
    }

    /// How many there were.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// Whether [`Self::take_ended`] has any.
    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Those that have ended or are forgotten.
    pub(super) fn take_ended(&mut self) -> Vec<Connection> {
        std::mem::take(&mut self.ended)
    }

    /// All others, in the order in which they were opened.
    pub(super) fn take_rest(&mut self) -> Vec<Connection> {
        let mut rest: Vec<Connection> = self.known.drain().map(|(_, open)| open).collect();
        rest.sort_unstable_by_key(|connection| connection.number);
        rest
    }

    /// The ports of a fragment, from the first fragment of its packet; `None` where that was not seen.
    pub(super) fn with_ports(&mut self, mut packet: Packet<'_>, now: u64) -> Option<Tuple> {
        let Some(number) = packet.fragment else {
            return Some(packet.ends);
        };
        let ends = &mut packet.ends;
        let of = (ends.src, ends.dst, ends.protocol.0, number);
        let is_alive = |seen: u64| now.saturating_sub(seen) <= FRAGMENT_LIFETIME;
        if let Carried::LaterFragment = packet.carried {
            let (ports, _) = self
                .fragmented
                .get(&of)
                .filter(|(_, seen)| is_alive(*seen))?;
            ends.ports = *ports;
            return Some(*ends);
        }
        if self.fragmented.len() >= MAX_FRAGMENTED && now >= self.trim_at {
            self.trim_at = now.saturating_add(FRAGMENT_LIFETIME / 4);
            self.fragmented.retain(|_, (_, seen)| is_alive(*seen));
        }
        if self.fragmented.len() < MAX_FRAGMENTED {
            self.fragmented.insert(of, (ends.ports, now));
        }
        Some(*ends)
    }

    /// The connection to which a packet with these ends belongs, and as what.
    pub(super) fn follow(
        &mut self,
        ends: &Tuple,
        carried: Carried<'_>,
        now: u64,
    ) -> (State, &mut Connection) {
        self.begin.get_or_insert(now);
        let (key, is_upward) = key(ends);
        let starts_anew = |known: &Connection| {
            let is_opening = matches!(
                carried,
                Carried::Tcp(Tcp {
                    syn: true,
                    ack: false,
                    ..
                })
            );
            known.has_expired(now) || (is_opening && known.has_ended())
        };
        let is_known = self.known.get(&key).map(starts_anew);
        if is_known != Some(false) {
            self.open(key, ends, carried, (now, is_upward));
        }
        let connection = self.known.entry(key).or_insert_with(|| {
            // It was put there just now.
            unopened(*ends)
        });
        let is_first = connection.packets == [0, 0];
        let is_reply =
            connection.opened_upward != is_upward || is_to_itself_answered(connection, carried);
        connection.last = connection.last.max(now);
        connection.note(carried, is_reply);
        let state = match (is_reply, is_first) {
            (true, _) => State::Reply,
            (false, true) => State::New,
            (false, false) => State::Established,
        };
        (state, connection)
    }

    /// The connection to which an error about a packet with these ends is related.
    pub(super) fn related(&mut self, about: &Tuple, now: u64) -> Option<&mut Connection> {
        let connection = self.known.get_mut(&key(about).0)?;
        (!connection.has_expired(now)).then_some(connection)
    }

    /// Whether a packet with these ends belongs to a connection that is known.
    pub(super) fn is_known(&self, ends: &Tuple, now: u64) -> bool {
        let known = self.known.get(&key(ends).0);
        known.is_some_and(|connection| !connection.has_expired(now))
    }

    fn open(
        &mut self,
        key: Key,
        ends: &Tuple,
        carried: Carried<'_>,
        (now, is_upward): (u64, bool),
    ) {
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
                } => Some((asked(ends.protocol, kind), code)),
                Carried::Error { kind, .. } => Some(kind),
                Carried::Tcp(_) | Carried::Udp(_) | Carried::Other | Carried::LaterFragment => None,
            },
            is_older,
            first: now,
            opened_upward: is_upward != is_reply,
            ..unopened(*ends)
        };
        self.opened += 1;
        if let Some(before) = self.known.insert(key, connection) {
            self.end(before);
        }
    }

    fn end(&mut self, connection: Connection) {
        if self.keeps {
            self.ended.push(connection);
        }
    }

    /// Whether the first packet that is seen of a connection is a reply, and whether the connection began before the
    /// capture. A segment without SYN shows that; what else could be an answer is taken for one only as long as its
    /// question may have been sent before the capture began. The end with the port that is not from the range of
    /// ephemeral ports is then the one that was asked.
    fn opener(&self, ends: &Tuple, carried: Carried<'_>, now: u64) -> (bool, bool) {
        let looks_like_reply = ends.ports.0 < EPHEMERAL && ends.ports.1 >= EPHEMERAL;
        let begin = self.begin.unwrap_or(now);
        let may_be_older = now.saturating_sub(begin) <= lifetime::ANY;
        match carried {
            Carried::Tcp(Tcp { syn: true, ack, .. }) => (ack, ack),
            Carried::Tcp(_) => (looks_like_reply, true),
            Carried::Icmp { is_answer, .. } => (is_answer, is_answer),
            Carried::Udp(_) | Carried::Other | Carried::LaterFragment => {
                let is_reply = looks_like_reply && may_be_older;
                (is_reply, is_reply)
            }
            Carried::Error { .. } => (false, false),
        }
    }

    /// Forgets what has expired; where that is too little, the eighth that was silent longest.
    fn make_room(&mut self, now: u64) {
        let mut gone: Vec<Key> = Vec::new();
        for (key, connection) in &self.known {
            if connection.has_expired(now) {
                gone.push(*key);
            }
        }
        if gone.len() < self.most / 8 {
            let mut ages: Vec<(u64, u64, Key)> = self
                .known
                .iter()
                .map(|(key, connection)| (connection.last, connection.number, *key))
                .collect();
            let count = (ages.len() / 8).clamp(1, ages.len().max(1));
            ages.select_nth_unstable_by_key(count - 1, |(last, number, _)| (*last, *number));
            gone = ages
                .into_iter()
                .take(count)
                .map(|(_, _, key)| key)
                .collect();
        }
        let mut removed: Vec<Connection> = gone
            .iter()
            .filter_map(|key| self.known.remove(key))
            .collect();
        removed.sort_unstable_by_key(|connection| connection.number);
        for connection in removed {
            self.end(connection);
        }
    }
}
