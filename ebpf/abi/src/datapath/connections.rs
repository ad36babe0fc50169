//! The table of connections: who opened them, and whether they still live.
//!
//! It holds facts, no verdicts: whether a packet of a connection passes is decided by the policies that are in force
//! when it comes. So one table serves all generations of images.
//!
//! An array of places, each a cache line; four are a bucket. A connection is in one of two buckets that a keyed hash
//! of its ends names. What has expired is overwritten, so nobody has to clean up; where all places of both buckets are
//! taken the table is full, and the packet that would open a connection is dropped.
//!
//! Several processors write at once. A place is claimed by an atomic exchange of its state, then filled, then
//! published. A reader looks at the state before and after the key; what it takes for a connection may at worst be one
//! that had just expired.

use super::packet::{Address, Kind, Packet, protocol};
use super::{Direction, Environment};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Places of a bucket.
pub const WAYS: usize = 4;
/// `2^TICK` nanoseconds are the unit of time here: about 1.07 seconds.
pub const TICK: u32 = 30;

/// A place for a connection.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Slot {
    /// When it expires (32 bits), how often it was taken (16), flags (16).
    state: AtomicU64,
    own: [AtomicU64; 2],
    remote: [AtomicU64; 2],
    /// Own port, remote port, protocol.
    ports: AtomicU64,
    unused: [AtomicU64; 2],
}

impl Slot {
    /// Whether there is a connection at a tick.
    #[must_use]
    pub fn lives(&self, now: u32) -> bool {
        State(self.state.load(Relaxed)).lives(now)
    }
}

/// The two ends of a connection, seen from the endpoint's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    own: Address,
    remote: Address,
    ports: u64,
}

impl Key {
    /// The key of a packet that an endpoint sends or gets.
    #[inline(always)]
    pub(super) fn of(packet: &Packet, direction: Direction) -> Self {
        let transport = &packet.transport;
        let sent = match direction {
            Direction::Egress => true,
            Direction::Ingress => false,
        };
        let (own, remote) = if sent {
            (packet.src, packet.dst)
        } else {
            (packet.dst, packet.src)
        };
        let (own_port, remote_port) = if sent {
            (transport.src_port, transport.dst_port)
        } else {
            (transport.dst_port, transport.src_port)
        };
        let ports = (own_port as u64) << 48 | (remote_port as u64) << 32 | packet.protocol as u64;
        Self { own, remote, ports }
    }

    fn protocol(&self) -> u8 {
        self.ports as u8
    }

    /// A number that nobody can foresee who does not know the keys: the sum of products of NH (UMAC, RFC 4418, section
    /// 5.2.2), which is universal, and then the last steps of MurmurHash3, so that every bit of it depends on every
    /// bit of the sum.
    #[inline(always)]
    fn hash(&self, keys: &Keys) -> u64 {
        let [k0, k1, k2, k3, k4] = *keys;
        let mut hash = product(self.own.upper, k0)
            .wrapping_add(product(self.own.lower, k1))
            .wrapping_add(product(self.remote.upper, k2))
            .wrapping_add(product(self.remote.lower, k3))
            .wrapping_add(product(self.ports, k4));
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
        hash ^ hash >> 33
    }
}

/// The secret keys of the hash.
pub type Keys = [u64; 5];

/// The product of both halves of a word, each with its half of the key added.
#[inline(always)]
fn product(word: u64, key: u64) -> u64 {
    let low = (word as u32).wrapping_add(key as u32);
    let high = ((word >> 32) as u32).wrapping_add((key >> 32) as u32);
    low as u64 * high as u64
}

/// The state of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u64);

/// The endpoint opened it, not the other end.
const BY_ENDPOINT: u64 = 1;
/// The other side has answered.
const REPLIED: u64 = 1 << 1;
/// Whoever opened it has gone on after the answer.
const ESTABLISHED: u64 = 1 << 2;
/// Whoever opened it has closed its direction.
const CLOSED_FORWARD: u64 = 1 << 3;
/// The other side has closed its direction.
const CLOSED_REPLY: u64 = 1 << 4;
/// One side has given it up.
const RESET: u64 = 1 << 5;
/// Being filled: in no state to be read.
const CLAIMED: u64 = 1 << 6;

/// Ticks until a connection expires of which nothing is heard.
///
/// TCP: <https://datatracker.ietf.org/doc/html/rfc5382#section-5> asks for two hours and four minutes at least once
/// it is established; keep-alives come each two hours.
pub mod timeout {
    /// TCP and SCTP, until the handshake is done.
    pub const OPENING: u32 = 60;
    /// TCP.
    pub const TCP: u32 = 8000;
    /// SCTP: several of its heartbeats.
    pub const SCTP: u32 = 210;
    /// TCP and SCTP, where one side has closed.
    pub const CLOSING: u32 = 120;
    /// TCP and SCTP, where both sides have closed, or one has given up.
    pub const CLOSED: u32 = 10;
    /// UDP without an answer.
    pub const UDP_UNREPLIED: u32 = 30;
    /// UDP.
    pub const UDP: u32 = 180;
    /// ICMP.
    pub const ICMP: u32 = 30;
    /// Every other protocol.
    pub const OTHER: u32 = 600;
}

impl State {
    #[inline(always)]
    fn new(direction: Direction, version: u64, flags: u64) -> Self {
        let by = match direction {
            Direction::Egress => BY_ENDPOINT,
            Direction::Ingress => 0,
        };
        Self((version & 0xFFFF) << 16 | flags | by)
    }

    #[inline(always)]
    fn expires(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline(always)]
    fn version(self) -> u64 {
        self.0 >> 16 & 0xFFFF
    }

    #[inline(always)]
    fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    #[inline(always)]
    fn lives(self, now: u32) -> bool {
        // Ticks wrap after 146 years.
        self.expires() > now
    }

    /// Which way the packet went that opened it.
    #[inline(always)]
    pub(super) fn opened(self) -> Direction {
        if self.has(BY_ENDPOINT) {
            Direction::Egress
        } else {
            Direction::Ingress
        }
    }

    #[inline(always)]
    fn until(self, expires: u32) -> Self {
        Self((expires as u64) << 32 | self.0 & 0xFFFF_FFFF)
    }

    /// After how many ticks of silence it expires.
    #[inline(always)]
    fn patience(self, protocol: u8) -> u32 {
        match protocol {
            protocol::TCP | protocol::SCTP => {
                let both = CLOSED_FORWARD | CLOSED_REPLY;
                if self.has(RESET) || self.0 & both == both {
                    timeout::CLOSED
                } else if self.has(both) {
                    timeout::CLOSING
                } else if !self.has(ESTABLISHED) {
                    timeout::OPENING
                } else if protocol == protocol::TCP {
                    timeout::TCP
                } else {
                    timeout::SCTP
                }
            }
            protocol::UDP if self.has(REPLIED) => timeout::UDP,
            protocol::UDP => timeout::UDP_UNREPLIED,
            protocol::ICMP | protocol::ICMPV6 => timeout::ICMP,
            _ => timeout::OTHER,
        }
    }

    /// The state after a packet has passed.
    #[inline(always)]
    fn after(self, direction: Direction, kind: Kind) -> Self {
        let is_forward = self.opened() == direction;
        // The ports are used again, or the handshake is tried again.
        if kind == Kind::Opening {
            let kept = if is_forward && !self.has(CLOSED_FORWARD | CLOSED_REPLY | RESET) {
                self.0 & (REPLIED | ESTABLISHED)
            } else {
                0
            };
            return Self::new(direction, self.version(), kept);
        }
        // Whoever goes on has not given up: the reset was none that the receiver took.
        let mut flags = self.0 & !RESET;
        if !is_forward {
            flags |= REPLIED;
        } else if self.has(REPLIED) {
            flags |= ESTABLISHED;
        }
        match kind {
            Kind::Closing if is_forward => flags |= CLOSED_FORWARD,
            Kind::Closing => flags |= CLOSED_REPLY,
            Kind::Reset => flags |= RESET,
            Kind::Opening
            | Kind::Inside
            | Kind::Datagram
            | Kind::Error
            | Kind::Single
            | Kind::Neighbour => {}
        }
        Self(flags)
    }
}

/// A connection that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Its place.
    index: u32,
    pub(super) state: State,
}

/// The two buckets in which a connection may be: the first place of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places([u32; 2]);

/// Where a connection may be; `None` where there is no table.
#[inline(always)]
pub(super) fn places(env: &impl Environment, key: &Key) -> Option<Places> {
    let (mask, keys) = env.connection_table()?;
    let hash = key.hash(keys);
    let one = hash as u32 & mask;
    let other = (hash >> 32) as u32 & mask;
    let other = if one == other { one ^ 1 & mask } else { other };
    Some(Places([one * WAYS as u32, other * WAYS as u32]))
}

/// The connection of a key.
#[inline(always)]
pub(super) fn find(env: &impl Environment, places: Places, key: &Key, now: u32) -> Option<Found> {
    let mut found = (NOWHERE, 0);
    let mut index = 0;
    while index < 2 * WAYS as u32 {
        let place = places.at(index);
        if let Some(state) = state_of(env, env.slot(place)?, key, now) {
            found = (place, state.0);
            break;
        }
        index += 1;
    }
    let place = env.blur(found.0.into()) as u32;
    let state = State(env.blur(found.1));
    (place != NOWHERE).then_some(Found {
        index: place,
        state,
    })
}

/// No place is there: the table has fewer.
const NOWHERE: u32 = u32::MAX;

impl Places {
    #[inline(always)]
    fn at(self, index: u32) -> u32 {
        let Self([one, other]) = self;
        if index < WAYS as u32 {
            one + index
        } else {
            other + index - WAYS as u32
        }
    }
}

/// The state of a place if the connection of a key is there and lives.
#[inline(always)]
fn state_of(env: &impl Environment, slot: &Slot, key: &Key, now: u32) -> Option<State> {
    if env.read(&slot.ports) != key.ports {
        return None;
    }
    let state = State(env.read(&slot.state));
    let [own_upper, own_lower] = &slot.own;
    let [remote_upper, remote_lower] = &slot.remote;
    // All at once: each branch would be two ways to go for the kernel's verifier. The ports once more, since the place may
    // have passed to another connection before its state was read.
    let differs = env.read(&slot.ports) ^ key.ports
        | env.read(own_upper) ^ key.own.upper
        | env.read(own_lower) ^ key.own.lower
        | env.read(remote_upper) ^ key.remote.upper
        | env.read(remote_lower) ^ key.remote.lower;
    let is_it = differs == 0
        && state.lives(now)
        && !state.has(CLAIMED)
        && State(env.read(&slot.state)).version() == state.version();
    is_it.then_some(state)
}

/// Writes down that a packet of a connection has passed.
#[inline(always)]
pub(super) fn note(
    env: &impl Environment,
    found: Found,
    key: &Key,
    direction: Direction,
    kind: Kind,
    now: u32,
) {
    let old = found.state;
    let new = old.after(direction, kind);
    let patience = new.patience(key.protocol());
    let flags = |state: State| state.0 & 0xFFFF_FFFF;
    // The time alone is not written at each packet: the line would wander between processors.
    let fresh = now + patience;
    if flags(old) == flags(new) && fresh.wrapping_sub(old.expires()) <= patience / 16 {
        return;
    }
    if let Some(slot) = env.slot(found.index) {
        // Where another processor was faster, its packet is as new as this one.
        let _ = env.exchange(&slot.state, old.0, new.until(fresh).0);
    }
}

/// Writes down that a packet has opened a connection. False where there is no room.
#[inline(always)]
pub(super) fn open(
    env: &impl Environment,
    places: Places,
    key: &Key,
    direction: Direction,
    now: u32,
) -> bool {
    // The bucket with fewer connections is tried first: so both fill evenly.
    let Places([one, other]) = places;
    let swap = free(env, one, now) < free(env, other, now);
    let ordered = if swap {
        Places([other, one])
    } else {
        Places([one, other])
    };
    let mut index = 0;
    while index < 2 * WAYS as u32 {
        if open_at(env, ordered.at(index), key, direction, now) {
            return true;
        }
        index += 1;
    }
    false
}

/// How many places of a bucket are free.
#[inline(always)]
fn free(env: &impl Environment, bucket: u32, now: u32) -> u32 {
    let mut count = 0;
    let mut way = 0;
    while way < WAYS as u32 {
        if let Some(slot) = env.slot(bucket + way) {
            count += u32::from(!State(env.read(&slot.state)).lives(now));
        }
        way += 1;
    }
    count
}

#[inline(always)]
fn open_at(env: &impl Environment, index: u32, key: &Key, direction: Direction, now: u32) -> bool {
    let Some(slot) = env.slot(index) else {
        return false;
    };
    let old = State(env.read(&slot.state));
    if old.lives(now) {
        return false;
    }
    let version = old.version() + 1;
    // A claim does not expire: a processor that was kept from going on would write into what another has put here since.
    // Nobody claims a place and does not come back: the kernel lets every program run to its end.
    let claimed = State::new(direction, version, CLAIMED).until(u32::MAX);
    if !env.exchange(&slot.state, old.0, claimed.0) {
        return false;
    }
    let [own_upper, own_lower] = &slot.own;
    let [remote_upper, remote_lower] = &slot.remote;
    env.write(own_upper, key.own.upper);
    env.write(own_lower, key.own.lower);
    env.write(remote_upper, key.remote.upper);
    env.write(remote_lower, key.remote.lower);
    env.write(&slot.ports, key.ports);
    let new = State::new(direction, version, 0);
    let new = new.until(now + new.patience(key.protocol()));
    env.exchange(&slot.state, claimed.0, new.0)
}
