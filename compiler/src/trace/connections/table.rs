//! Where connections are found by their two ends.
//!
//! Those that packets come for stand near each other, few enough for the caches and page tables of a processor; from time
//! to time those that have ended, or were silent longest, are moved away, where there is room for many. Guarantee: a lookup
//! for a packet of a connection that is busy, two for others, by a key of a fixed size: 13 bytes for IPv4.

use super::entry::Connection;
use crate::hash::mixed;
use crate::trace::capture::Tuple;
use rustc_hash::FxHashMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

/// The two ends of a connection whatever the direction, the lower one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Short(Short),
    Long(Long),
}

/// That of two IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short {
    ends: u64,
    rest: u64,
}

/// That of two IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Long {
    low: u128,
    high: u128,
    rest: u64,
}

impl Hash for Short {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(mixed(self.ends, self.rest));
    }
}

impl Hash for Long {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let half = |number: u128| mixed((number >> 64) as u64, number as u64);
        let ends = mixed(half(self.low), half(self.high));
        state.write_u64(mixed(ends, self.rest));
    }
}

impl Key {
    /// The key of a packet, and whether it goes from the lower end to the higher one.
    pub(super) fn of(ends: &Tuple) -> (Self, bool) {
        let (from, to) = ends.ports;
        match (ends.src, ends.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let (src, dst) = (src.to_bits(), dst.to_bits());
                let (low, high, rest, is_upward) = sorted((src, from), (dst, to), ends);
                let ends = u64::from(low) << 32 | u64::from(high);
                (Self::Short(Short { ends, rest }), is_upward)
            }
            (src, dst) => {
                let (src, dst) = (bits(src), bits(dst));
                let (low, high, rest, is_upward) = sorted((src, from), (dst, to), ends);
                (Self::Long(Long { low, high, rest }), is_upward)
            }
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn sorted<T: Ord>(src: (T, u16), dst: (T, u16), ends: &Tuple) -> (T, T, u64, bool) {
    let is_upward = src <= dst;
    let (low, high) = if is_upward { (src, dst) } else { (dst, src) };
    let ports = u64::from(low.1) << 16 | u64::from(high.1);
    let rest = ports << 8 | u64::from(ends.protocol.0);
    (low.0, high.0, rest, is_upward)
}

/// How many connections are near: as many as lie in a cache of half a megabyte.
const MAX_NEAR: usize = 3_072;

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Place {
    Near(u32),
    Far(u32),
}

/// The connections that are known: each is near or far.
#[derive(Default)]
pub(super) struct Table {
    near: Half,
    far: Half,
}

impl Table {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.near.len() + self.far.len()
    }

    pub(super) fn find(&self, key: &Key) -> Option<Place> {
        let near = self.near.find(key).map(Place::Near);
        near.or_else(|| self.far.find(key).map(Place::Far))
    }

    pub(super) fn get(&self, place: Place) -> Option<&Connection> {
        match place {
            Place::Near(place) => self.near.places.get(place as usize),
            Place::Far(place) => self.far.places.get(place as usize),
        }
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Connection> {
        match place {
            Place::Near(place) => self.near.places.get_mut(place as usize),
            Place::Far(place) => self.far.places.get_mut(place as usize),
        }
    }

    /// Puts a connection where none with its key is.
    pub(super) fn insert(&mut self, key: Key, connection: Connection) -> Place {
        if self.near.len() >= MAX_NEAR {
            self.move_away();
        }
        Place::Near(self.near.insert(key, connection))
    }

    /// Takes a connection away.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Connection> {
        self.near.remove(key).or_else(|| self.far.remove(key))
    }

    /// All connections, in any order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Connection)> {
        self.near.iter().chain(self.far.iter())
    }

    /// Moves away the half that is needed least: those that have ended before others, and then by when they were heard last.
    fn move_away(&mut self) {
        let near = self.near.iter();
        let mut order: Vec<(bool, u64, Key)> = near
            .map(|(key, known)| (!known.is_closed(), known.last, key))
            .collect();
        order.select_nth_unstable_by_key(MAX_NEAR / 2, |(lives, last, _)| (*lives, *last));
        for (_, _, key) in order.into_iter().take(MAX_NEAR / 2) {
            if let Some(connection) = self.near.remove(&key) {
                self.far.insert(key, connection);
            }
        }
    }
}

/// Some of the connections. They stand side by side, and do not move.
#[derive(Default)]
struct Half {
    short: FxHashMap<Short, u32>,
    long: FxHashMap<Long, u32>,
    places: Vec<Connection>,
    /// Places that are free again.
    free: Vec<u32>,
}

impl Half {
    fn len(&self) -> usize {
        self.short.len() + self.long.len()
    }

    fn find(&self, key: &Key) -> Option<u32> {
        let place = match key {
            Key::Short(key) => self.short.get(key),
            Key::Long(key) => self.long.get(key),
        };
        place.copied()
    }

    fn insert(&mut self, key: Key, connection: Connection) -> u32 {
        let place = match self.free.pop() {
            Some(free) => {
                if let Some(place) = self.places.get_mut(free as usize) {
                    *place = connection;
                }
                free
            }
            None => {
                self.places.push(connection);
                crate::source::to_u32(self.places.len() - 1)
            }
        };
        match key {
            Key::Short(key) => self.short.insert(key, place),
            Key::Long(key) => self.long.insert(key, place),
        };
        place
    }

    fn remove(&mut self, key: &Key) -> Option<Connection> {
        let place = match key {
            Key::Short(key) => self.short.remove(key),
            Key::Long(key) => self.long.remove(key),
        }?;
        self.free.push(place);
        self.places.get(place as usize).cloned()
    }

    fn iter(&self) -> impl Iterator<Item = (Key, &Connection)> {
        let short = self.short.iter().map(|(key, at)| (Key::Short(*key), *at));
        let long = self.long.iter().map(|(key, at)| (Key::Long(*key), *at));
        let all = short.chain(long);
        all.filter_map(|(key, place)| Some((key, self.places.get(place as usize)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::unopened;
    use super::*;
    use crate::cluster::Protocol;
    use std::net::Ipv4Addr;

    fn ends(number: u32) -> Tuple {
        Tuple {
            src: Ipv4Addr::from_bits(0x0A00_0000 + number).into(),
            dst: Ipv4Addr::new(192, 0, 2, 1).into(),
            protocol: Protocol::TCP,
            ports: (40_000, 443),
        }
    }

    #[test]
    fn connections_are_found_wherever_they_are() {
        let count = 3 * crate::source::to_u32(MAX_NEAR);
        let mut table = Table::default();
        for number in 0..count {
            let connection = Connection {
                number: number.into(),
                last: number.into(),
                ..unopened(ends(number))
            };
            table.insert(Key::of(&ends(number)).0, connection);
        }
        assert_eq!(table.len(), table.iter().count());
        let place = |table: &Table, number| table.find(&Key::of(&ends(number)).0);
        assert!(matches!(place(&table, 0), Some(Place::Far(_))));
        assert!(matches!(place(&table, count - 1), Some(Place::Near(_))));
        for number in 0..count {
            let found = place(&table, number).and_then(|place| table.get(place));
            assert_eq!(found.map(|found| found.number), Some(number.into()));
            let gone = table.remove(&Key::of(&ends(number)).0);
            assert_eq!(gone.map(|gone| gone.number), Some(number.into()));
            assert_eq!(place(&table, number), None);
        }
        assert_eq!(table.len(), 0);
    }
}
