//! What is done with a packet: the part of the data path that host and kernel share.
//!
//! Input: a packet ([`Packet`], read by [`packet::packet`]), the direction in which it passes the edge of an endpoint,
//! and an [`Environment`]: the tables of an image, the table of connections, the fragments that were seen. Output: an
//! [`Outcome`]. Guarantee: whatever is not found, has no room or is not understood is dropped, with a [`Reason`] of its
//! own; and each packet is judged by the tables of one image alone.
//!
//! The rules:
//!
//! - A packet passes if the policies allow it in its own direction.
//! - A reply passes, too: a packet of a known connection that the other side opened, while the policies still allow
//!   the packets that it answers. What opens a connection (a TCP SYN) is no reply.
//! - An ICMP error passes, too, about a packet of a known connection that the policies still allow.
//! - A later fragment has the ports of the first one, and is judged with them; where that has not been seen it is
//!   dropped.
//! - An endpoint sends from its own addresses alone, and gets what is sent to them.

pub mod connections;
pub mod packet;

use crate::{
    Config, NOT_KNOWN, Query, Section, Tables, Use, config, last_from, leaf_v4, leaf_v6, number,
};
use connections::Key;
use core::sync::atomic::AtomicU64;
use packet::{Address, Bytes, Kind, Packet, Part, Transport, protocol};

/// Which way a packet passes the edge of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the endpoint.
    Ingress,
    /// From the endpoint.
    Egress,
}

impl Direction {
    /// The other direction.
    #[must_use]
    #[inline(always)]
    pub const fn reverse(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

/// Why a packet passes or is dropped. Counters are kept by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Reason {
    /// Passes: the policies allow it, or have no say.
    Allowed = 0,
    /// Passes: a reply.
    Reply = 1,
    /// Passes: an ICMP error about a known connection.
    Related = 2,
    /// Passes: ARP.
    Arp = 3,
    /// Passes: neighbour discovery.
    Neighbour = 4,
    /// Passes where it was asked for: not IP.
    Foreign = 5,
    /// Dropped: the policies deny it.
    Denied = 6,
    /// Dropped: neither IP nor ARP.
    NotIp = 7,
    /// Dropped: it ends before its headers do.
    Truncated = 8,
    /// Dropped: its headers contradict themselves.
    Malformed = 9,
    /// Dropped: more IPv6 extension headers than are walked.
    Extensions = 10,
    /// Dropped: it names further stops, so its destination is not where it goes.
    Routed = 11,
    /// Dropped: a later fragment of which the first was not seen to pass.
    Fragment = 12,
    /// Dropped: the endpoint sends from an address that is not its own.
    Spoofed = 13,
    /// Dropped: sent to an address that is not the endpoint's.
    NotOurs = 14,
    /// Dropped: the interface has no endpoint.
    NoEndpoint = 15,
    /// Dropped: there are no policies for the endpoint yet, or for the other end.
    Closed = 16,
    /// Dropped: it would open a connection, and the table of connections is full.
    Full = 17,
    /// Dropped: it should pass by way of a proxy, and there is none.
    Proxy = 18,
}

impl Reason {
    /// All of them, by their number.
    pub const ALL: [Self; 19] = [
        Self::Allowed,
        Self::Reply,
        Self::Related,
        Self::Arp,
        Self::Neighbour,
        Self::Foreign,
        Self::Denied,
        Self::NotIp,
        Self::Truncated,
        Self::Malformed,
        Self::Extensions,
        Self::Routed,
        Self::Fragment,
        Self::Spoofed,
        Self::NotOurs,
        Self::NoEndpoint,
        Self::Closed,
        Self::Full,
        Self::Proxy,
    ];

    /// Whether the packet passes.
    #[must_use]
    #[inline(always)]
    pub const fn passes(self) -> bool {
        (self as u32) < Self::Denied as u32
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The number of the [`Reason`]: a number, since what is known of it makes branches.
    pub number: u32,
    /// The number of the verdict code that decided; [`NO_CODE`] where none did.
    pub code: u32,
}

/// In place of the number of a code: the policies were not asked.
pub const NO_CODE: u32 = u32::MAX;

impl Outcome {
    /// For a reason, with the number of the code that decided.
    #[must_use]
    #[inline(always)]
    pub const fn new(reason: Reason, code: u32) -> Self {
        Self {
            number: reason as u32,
            code,
        }
    }

    /// Without the policies.
    #[must_use]
    #[inline(always)]
    pub const fn plain(reason: Reason) -> Self {
        Self::new(reason, NO_CODE)
    }

    /// By the word of the policies alone. Not one branch hangs on the code, which would be guessed: packets come in any order.
    #[inline(always)]
    fn of_code(tables: &impl Tables, code: u32) -> Option<Self> {
        let [denies, direct] = [Config::Denies, Config::Direct].map(|of| config(tables, of));
        // All bits or none of them: the sign of a difference.
        let is_before = |one: u32, other: u32| {
            let difference = tables.hide(u64::from(one).wrapping_sub(other.into()));
            tables.hide((difference.cast_signed() >> 63).cast_unsigned()) as u32
        };
        let denied = is_before(code, denies?) & Reason::Denied as u32;
        let redirected = !is_before(code, direct?) & Reason::Proxy as u32;
        Some(Self {
            number: tables.hide((denied | redirected).into()) as u32,
            code,
        })
    }

    /// The same, of which the compiler knows no more: see [`Tables::hide`].
    #[inline(always)]
    fn hidden(self, tables: &impl Tables) -> Self {
        Self {
            number: tables.hide(self.number.into()) as u32,
            ..self
        }
    }

    /// Why.
    #[cfg(feature = "host")]
    #[must_use]
    pub fn reason(self) -> Reason {
        let reason = Reason::ALL.get(self.number as usize);
        // Nothing makes another number.
        reason.copied().unwrap_or(Reason::Closed)
    }

    /// Whether the packet passes.
    #[must_use]
    #[inline(always)]
    pub const fn passes(self) -> bool {
        self.number < Reason::Denied as u32
    }
}

/// Which endpoint is behind an interface: one entry of the map `attachments`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Attachment {
    /// The index of the interface; 0 where the entry is free.
    pub interface: u32,
    /// The endpoint; one that is in no table is closed.
    pub endpoint: u32,
    /// [`HAS_V4`], [`HAS_V6`], [`CLOSED`], [`OPEN_INGRESS`], [`OPEN_EGRESS`].
    pub flags: u32,
    /// An IPv4 address of the endpoint.
    pub v4: u32,
    /// An IPv6 address of the endpoint.
    pub v6: Address,
    /// Zero.
    pub unused: [u64; 4],
}

impl Attachment {
    /// As words, as they stand in the map.
    #[must_use]
    pub const fn words(self) -> [u64; 8] {
        let [a, b, c, d] = self.unused;
        [
            self.interface as u64 | (self.endpoint as u64) << 32,
            self.flags as u64 | (self.v4 as u64) << 32,
            self.v6.upper,
            self.v6.lower,
            a,
            b,
            c,
            d,
        ]
    }

    /// The entry that stands in the map.
    #[must_use]
    pub const fn of_words([one, two, upper, lower, a, b, c, d]: [u64; 8]) -> Self {
        Self {
            interface: one as u32,
            endpoint: (one >> 32) as u32,
            flags: two as u32,
            v4: (two >> 32) as u32,
            v6: Address { upper, lower },
            unused: [a, b, c, d],
        }
    }
}

/// In the flags of an [`Attachment`]: there is an IPv4 address. Others may stand in [`Section::Addresses`].
pub const HAS_V4: u32 = 1;
/// In the flags of an [`Attachment`]: there is an IPv6 address. Others may stand in [`Section::Addresses`].
pub const HAS_V6: u32 = 1 << 1;
/// In the flags of an [`Attachment`]: no packet of IP passes.
pub const CLOSED: u32 = 1 << 2;

/// In the flags of an [`Attachment`]: all that comes in is allowed. Matters to [`LAZY`] alone.
pub const OPEN_INGRESS: u32 = 1 << 3;
/// In the flags of an [`Attachment`]: all that goes out is allowed. Matters to [`LAZY`] alone.
pub const OPEN_EGRESS: u32 = 1 << 4;

/// Entries of the map `attachments`.
pub const ATTACHMENTS: u32 = 4096;
/// An interface has its entry at its index modulo [`ATTACHMENTS`] or in one of the entries behind, this many in all.
pub const ATTACHMENT_PROBES: u32 = 8;

/// In word 0 of the map `settings`: the map `overlay` has entries.
pub const OVERLAY: u64 = 1;
/// In word 0 of the map `settings`: what is not IP passes.
pub const PASS_FOREIGN: u64 = 1 << 1;
/// In word 0 of the map `settings`: no connection is looked up or kept where the flags of an [`Attachment`] say that
/// replies are allowed anyway. They are lost when a later image isolates the endpoint.
pub const LAZY: u64 = 1 << 2;
/// In word 0 of the map `settings`: TCP and SCTP packets open connections from their midst, as is wanted when endpoints
/// are attached that have been running. Who opened them is a guess then.
pub const PICK_UP: u64 = 1 << 3;

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
}

/// The datagram that a fragment belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct FragmentKey {
    /// Where it comes from.
    pub src: Address,
    /// Where it goes.
    pub dst: Address,
    /// The number that the sender gave it.
    pub identifier: u32,
    /// The protocol of IPv4; 0 for IPv6, where only the first fragment tells.
    pub protocol: u32,
}

/// What the first fragment of a datagram tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FragmentFacts {
    /// When it is forgotten, in ticks.
    pub expires: u32,
    /// As in [`Transport`].
    pub value: u32,
    /// As in [`Transport`].
    pub src_port: u16,
    /// As in [`Transport`].
    pub dst_port: u16,
    /// The protocol.
    pub protocol: u32,
}

/// Ticks for which a datagram may be on its way in parts: as long as Linux waits.
const FRAGMENT_TICKS: u32 = 30;

/// What is around the data path.
pub trait Environment: Tables {
    /// The time in ticks ([`connections::TICK`]).
    fn now(&self) -> u32;
    /// Word 0 of the map `settings`.
    fn settings(&self) -> u64;
    /// The leaf of an address that was learnt later.
    fn overlay(&self, address: &Address) -> Option<u32>;
    /// The number of the last bucket of connections, one less than a power of two, and the keys of their hash.
    fn connection_table(&self) -> Option<(u32, &connections::Keys)>;
    /// A place for a connection. Those of bucket `n` begin at `n` times [`connections::WAYS`].
    fn slot(&self, index: u32) -> Option<&connections::Slot>;
    /// Reads a word that others may write.
    fn read(&self, word: &AtomicU64) -> u64;
    /// Writes a word that others may read.
    fn write(&self, word: &AtomicU64, value: u64);
    /// Writes a word in one step if it is what it was. Whether it was.
    fn exchange(&self, word: &AtomicU64, old: u64, new: u64) -> bool;
    /// What is known of a datagram.
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentFacts>;
    /// Keeps what is known of a datagram. Where there is no room others are forgotten.
    fn keep_fragment(&self, key: &FragmentKey, facts: &FragmentFacts);
}

/// Whose packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// What is behind an interface.
    Attached(&'a Attachment),
    /// Whoever has the address.
    ByAddress,
}

/// Judges a packet whose header of IP begins at an offset.
#[inline(always)]
pub fn judge(
    env: &impl Environment,
    bytes: &(impl Bytes + ?Sized),
    network: Result<(bool, u32), Reason>,
    subject: Subject<'_>,
    direction: Direction,
) -> Outcome {
    let read = network.and_then(|(v4, offset)| packet::packet(bytes, v4, offset));
    match read {
        Ok(packet) => judge_packet(env, bytes, &packet, subject, direction),
        Err(Reason::NotIp) if env.settings() & PASS_FOREIGN != 0 => Outcome::plain(Reason::Foreign),
        Err(reason) => Outcome::plain(reason),
    }
}

/// Judges a packet that was read.
#[inline(always)]
pub fn judge_packet(
    env: &impl Environment,
    bytes: &(impl Bytes + ?Sized),
    packet: &Packet,
    subject: Subject<'_>,
    direction: Direction,
) -> Outcome {
    judged(env, bytes, packet, subject, direction).unwrap_or_else(Outcome::plain)
}

#[inline(always)]
fn judged(
    env: &impl Environment,
    bytes: &(impl Bytes + ?Sized),
    packet: &Packet,
    subject: Subject<'_>,
    direction: Direction,
) -> Result<Outcome, Reason> {
    let mut packet = blurred(env, packet);
    if packet.is_of_link(direction) {
        return Err(Reason::Neighbour);
    }
    let endpoint = endpoint(env, subject, &packet, direction)?;
    let tracked = is_tracked(env, subject, direction);
    if packet.part.is_later() {
        let facts = env.fragment(&fragment_key(&packet));
        let facts = facts.ok_or(Reason::Fragment)?;
        if facts.expires <= env.now() {
            return Err(Reason::Fragment);
        }
        packet.protocol = facts.protocol as u8;
        packet.transport = Transport {
            value: facts.value,
            src_port: facts.src_port,
            dst_port: facts.dst_port,
            kind: Kind::Inside,
            inside: 0,
        };
    }
    let outcome = with_connection(env, bytes, &packet, endpoint, direction, tracked)?;
    if packet.part == Part::First && outcome.passes() {
        let facts = FragmentFacts {
            expires: env.now() + FRAGMENT_TICKS,
            value: packet.transport.value,
            src_port: packet.transport.src_port,
            dst_port: packet.transport.dst_port,
            protocol: packet.protocol.into(),
        };
        env.keep_fragment(&fragment_key(&packet), &facts);
    }
    Ok(outcome)
}

/// The same packet: see [`Tables::blur`].
#[inline(always)]
fn blurred(tables: &impl Tables, packet: &Packet) -> Packet {
    Packet::of_words(packet.words().map(|word| tables.blur(word)))
}

#[inline(always)]
fn fragment_key(packet: &Packet) -> FragmentKey {
    FragmentKey {
        src: packet.src,
        dst: packet.dst,
        identifier: packet.identifier,
        protocol: if packet.v4 { packet.protocol.into() } else { 0 },
    }
}

/// Whether connections are kept that packets of a direction open.
#[inline(always)]
fn is_tracked(env: &impl Environment, subject: Subject<'_>, direction: Direction) -> bool {
    let open = match direction {
        Direction::Ingress => OPEN_EGRESS,
        Direction::Egress => OPEN_INGRESS,
    };
    match subject {
        Subject::Attached(attachment) if env.settings() & LAZY != 0 => attachment.flags & open == 0,
        Subject::Attached(_) | Subject::ByAddress => true,
    }
}

/// The endpoint, if the packet has its address.
#[inline(always)]
fn endpoint(
    env: &impl Environment,
    subject: Subject<'_>,
    packet: &Packet,
    direction: Direction,
) -> Result<u32, Reason> {
    let (own, stranger) = match direction {
        Direction::Ingress => (packet.dst, Reason::NotOurs),
        Direction::Egress => (packet.src, Reason::Spoofed),
    };
    let Subject::Attached(attachment) = subject else {
        return endpoint_of(env, own).ok_or(stranger);
    };
    if attachment.flags & CLOSED != 0 {
        return Err(Reason::Closed);
    }
    let is_own = if packet.v4 {
        attachment.flags & HAS_V4 != 0 && own == Address::v4(attachment.v4)
    } else {
        attachment.flags & HAS_V6 != 0 && own == attachment.v6
    };
    if is_own || endpoint_of(env, own) == Some(attachment.endpoint) {
        Ok(attachment.endpoint)
    } else {
        Err(stranger)
    }
}

/// Steps of the search for the address of an endpoint.
const ADDRESS_STEPS: u32 = 21;

/// The endpoint that has an address.
#[inline(always)]
pub fn endpoint_of(tables: &impl Tables, address: Address) -> Option<u32> {
    let entry = |index: u32| {
        let [upper, lower, endpoint] = tables.element(Section::Addresses, index)?;
        Some((Address { upper, lower }, endpoint as u32))
    };
    let count = config(tables, Config::Addresses)?;
    let found = last_from(tables, ADDRESS_STEPS, count, |index| {
        Some(entry(index)?.0 <= address)
    });
    let (found, endpoint) = entry(found)?;
    (found == address).then_some(endpoint)
}

/// Of each endpoint, [`OPEN_INGRESS`] and [`OPEN_EGRESS`] as its tables have it.
#[cfg(feature = "host")]
#[must_use]
pub fn open_directions(tables: &impl Tables) -> alloc::vec::Vec<u32> {
    use crate::{half, quarter};
    let count = |field| config(tables, field).unwrap_or(0);
    let lets = |code| Outcome::of_code(tables, code).map(Outcome::passes);
    let (classes, port_classes) = (count(Config::Classes), count(Config::PortClasses));
    let is_open_row = |row: u32| {
        let mut cells = row * port_classes..(row + 1) * port_classes;
        cells.all(|cell| quarter(tables, Section::Cells, cell).and_then(lets) == Some(true))
    };
    let rows: alloc::vec::Vec<bool> = (0..count(Config::Rows)).map(is_open_row).collect();
    let is_open_table = |table: u32| {
        let mut cells = table * classes..(table + 1) * classes;
        cells.all(|cell| {
            let row = quarter(tables, Section::Rows, cell);
            row.and_then(|row| rows.get(row as usize).copied()) == Some(true)
        })
    };
    let tables_open = (0..count(Config::Tables)).map(is_open_table);
    let tables_open: alloc::vec::Vec<bool> = tables_open.collect();
    let endpoints = 0..count(Config::Endpoints);
    let flags = endpoints.map(|endpoint| {
        let is_open = |of: Use| {
            let table = half(tables, Section::Endpoints, (endpoint * 4) | of as u32);
            table.and_then(|table| tables_open.get(table as usize).copied()) == Some(true)
        };
        let ingress = is_open(Use::Ingress) && is_open(Use::HairpinIngress);
        let egress = is_open(Use::Egress) && is_open(Use::HairpinEgress);
        (if ingress { OPEN_INGRESS } else { 0 }) | if egress { OPEN_EGRESS } else { 0 }
    });
    flags.collect()
}

/// The leaf of an address. By value: of a packet of which something is referred to, all is kept in memory.
#[inline(always)]
fn leaf(env: &impl Environment, v4: bool, address: Address) -> Result<u32, Reason> {
    if env.settings() & OVERLAY != 0
        && let Some(leaf) = env.overlay(&address)
    {
        return Ok(leaf);
    }
    let leaf = if v4 {
        leaf_v4(env, address.lower as u32)
    } else {
        leaf_v6(env, address.upper, address.lower)
    };
    leaf.ok_or(Reason::Closed)
}

/// The two ends of a packet, as they are looked up.
#[derive(Clone, Copy)]
struct Ends {
    endpoint: u32,
    leaf: u32,
    is_itself: bool,
    protocol: u8,
}

/// What the policies say of one direction.
#[inline(always)]
fn ask(
    env: &impl Environment,
    ends: Ends,
    direction: Direction,
    value: u32,
) -> Result<Outcome, Reason> {
    let of = match (direction, ends.is_itself) {
        (Direction::Ingress, false) => Use::Ingress,
        (Direction::Egress, false) => Use::Egress,
        (Direction::Ingress, true) => Use::HairpinIngress,
        (Direction::Egress, true) => Use::HairpinEgress,
    };
    let query = Query {
        endpoint: ends.endpoint,
        of,
        leaf: ends.leaf,
        protocol: ends.protocol,
        value,
    };
    let outcome = number(env, query).and_then(|code| Outcome::of_code(env, code));
    outcome.ok_or(Reason::Closed)
}

/// What the packets carry that this one answers.
#[inline(always)]
fn answered(packet: &Packet) -> u32 {
    match packet.protocol {
        protocol::ICMP => (packet::ECHO_REQUEST as u32) << 8,
        protocol::ICMPV6 => (packet::V6_ECHO_REQUEST as u32) << 8,
        protocol::TCP | protocol::UDP | protocol::SCTP => packet.transport.src_port as u32,
        _ => 0,
    }
}

#[inline(always)]
fn has_handshake(protocol: u8) -> bool {
    protocol == protocol::TCP || protocol == protocol::SCTP
}

#[inline(always)]
fn with_connection(
    env: &impl Environment,
    bytes: &(impl Bytes + ?Sized),
    packet: &Packet,
    endpoint: u32,
    direction: Direction,
    tracked: bool,
) -> Result<Outcome, Reason> {
    let (own, remote) = match direction {
        Direction::Ingress => (packet.dst, packet.src),
        Direction::Egress => (packet.src, packet.dst),
    };
    let ends = Ends {
        endpoint,
        leaf: leaf(env, packet.v4, remote)?,
        is_itself: own == remote,
        protocol: packet.protocol,
    };
    let by_policy = ask(env, ends, direction, packet.transport.value)?;
    // Anew, since the compiler may have told the kinds apart long before.
    let kind = Kind::of(env.blur(packet.transport.kind as u64));
    match kind {
        // Whatever the policies say, no connection has a say.
        Kind::Single | Kind::Neighbour => return Ok(by_policy),
        Kind::Opening if !tracked => return Ok(by_policy),
        Kind::Opening
        | Kind::Inside
        | Kind::Datagram
        | Kind::Closing
        | Kind::Reset
        | Kind::Error => {}
    }
    // Read here, so that nothing in front hangs on it.
    let allowed = by_policy.hidden(env).passes();
    match kind {
        Kind::Error if !allowed => {
            let about = related(env, bytes, packet, ends, direction);
            return Ok(about.map_or(by_policy, |code| Outcome::new(Reason::Related, code)));
        }
        Kind::Opening if !allowed => return Ok(by_policy),
        Kind::Error | Kind::Single | Kind::Neighbour => return Ok(by_policy),
        Kind::Opening | Kind::Inside | Kind::Datagram | Kind::Closing | Kind::Reset => {}
    }
    if allowed && !tracked {
        return Ok(by_policy);
    }
    let key = Key::of(packet, direction);
    let now = env.now();
    let places = connections::places(env, &key).ok_or(Reason::Closed)?;
    let Some(found) = connections::find(env, places, &key, now) else {
        let opens = match kind {
            Kind::Opening | Kind::Datagram => true,
            Kind::Inside => env.settings() & PICK_UP != 0 && has_handshake(packet.protocol),
            Kind::Closing | Kind::Reset | Kind::Error | Kind::Single | Kind::Neighbour => false,
        };
        if allowed && opens && !connections::open(env, places, &key, direction, now) {
            return Ok(Outcome::new(Reason::Full, by_policy.code));
        }
        return Ok(by_policy);
    };
    let outcome = if allowed {
        by_policy
    } else if found.state.opened() == direction {
        return Ok(by_policy);
    } else {
        let forward = ask(env, ends, direction.reverse(), answered(packet))?;
        if !forward.passes() {
            return Ok(by_policy);
        }
        Outcome::new(Reason::Reply, forward.code)
    };
    connections::note(env, found, &key, direction, kind, now);
    Ok(outcome)
}

/// The code that allows the packets of the connection that an ICMP error is about.
#[inline(always)]
fn related(
    env: &impl Environment,
    bytes: &(impl Bytes + ?Sized),
    packet: &Packet,
    ends: Ends,
    direction: Direction,
) -> Option<u32> {
    let about = packet::embedded(bytes, packet.v4, packet.transport.inside)?;
    let about = blurred(env, &about);
    // It went the other way: who gets the error had sent it.
    let went = direction.reverse();
    let (own, remote) = match went {
        Direction::Ingress => (about.dst, about.src),
        Direction::Egress => (about.src, about.dst),
    };
    let claimed = match direction {
        Direction::Ingress => packet.dst,
        Direction::Egress => packet.src,
    };
    if own != claimed {
        return None;
    }
    let key = Key::of(&about, went);
    let found = connections::find(env, connections::places(env, &key)?, &key, env.now())?;
    let ends = Ends {
        leaf: leaf(env, about.v4, remote).ok()?,
        is_itself: own == remote,
        protocol: about.protocol,
        ..ends
    };
    // What opened the connection must be allowed still.
    let opened = found.state.opened();
    let value = if opened == went {
        about.transport.value
    } else {
        answered(&about)
    };
    let forward = ask(env, ends, opened, value).ok()?;
    forward.passes().then_some(forward.code)
}

const _: () = {
    assert!(size_of::<Attachment>() == 64);
    assert!(size_of::<connections::Slot>() == 64);
    assert!(size_of::<FragmentKey>() == 40);
    assert!(size_of::<FragmentFacts>() == 16);
    assert!(NOT_KNOWN > u16::MAX as u32);
};
