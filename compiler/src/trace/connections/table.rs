//! Where connections are found by their two ends.
//!
//! Connections stand side by side in the order in which they are opened, so that those that are busy are near each other; a
//! table of their places, eight bytes each, is asked by a number that both directions have. Whoever has many questions asks the
//! table first ([`Table::guess`]), reads all connections that it names then ([`Table::touch`]), and goes on with them last
//! ([`Table::place`]): memory answers the questions of a step together, as long as nothing hangs on an answer. Guarantee: a question
//! about a connection that is not there reads one place of memory, nearly always; one about a connection that is there reads two
//! besides its own.

use super::entry::{Connection, turned, unopened};
use crate::cluster::Protocol;
use crate::hash::mixed;
use crate::source::to_u32;
use crate::trace::capture::Tuple;
use hashbrown::HashTable;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZero;

/// Where a connection is: one more than its index, so that one that may be nowhere takes no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Place(NonZero<u32>);

impl Place {
    fn at(index: usize) -> Self {
        Self(NonZero::<u32>::MIN.saturating_add(to_u32(index)))
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A place, and bits of the number of the connection there that the table itself does not go by: whoever has them is
/// nearly always right.
#[derive(Clone, Copy, Debug)]
struct Slot {
    place: Place,
    tag: u32,
}

/// What was found out about the ends of a packet, to be used again when it is followed.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Sought {
    /// The number of its ends.
    number: u64,
    /// Where its connection is, if it is the one there.
    guess: Option<Place>,
}

impl Sought {
    /// Whether there was a connection, as far as could be told without reading it: if there was one, this is true.
    pub(in super::super) fn may_be_known(&self) -> bool {
        self.guess.is_some()
    }
}

/// The connections that are known.
pub(super) struct Table {
    slots: HashTable<Slot>,
    connections: Vec<Connection>,
    /// Places that are free again; connections there have [no ends](unopened).
    free: Vec<Place>,
}

impl Table {
    /// A table for at most so many connections, that does not grow.
    pub(super) fn new(most: usize) -> Self {
        Self {
            slots: HashTable::with_capacity(most),
            connections: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Looks for the connection between two ends, and reads none.
    pub(super) fn guess(&self, ends: &Tuple) -> Sought {
        let number = number(ends);
        let slot = self.slots.find(number, |slot| slot.tag == tag(number));
        Sought {
            number,
            guess: slot.map(|slot| slot.place),
        }
    }

    /// Reads the connection that was looked for. What comes out has no meaning.
    pub(super) fn touch(&self, sought: &Sought) -> u64 {
        let connection = sought.guess.and_then(|place| self.get(place));
        connection.map_or(0, Connection::touched)
    }

    /// Where the connection is that was looked for, be it long ago.
    pub(super) fn place(&self, sought: Sought, ends: &Tuple) -> Option<Place> {
        let is_it = |place: &Place| self.get(*place).is_some_and(|one| one.is_between(ends));
        let guess = sought.guess.filter(is_it);
        guess.or_else(|| self.at(sought.number, ends))
    }

    /// Where the connection between two ends is now.
    pub(super) fn find(&self, ends: &Tuple) -> Option<Place> {
        self.at(number(ends), ends)
    }

    fn at(&self, number: u64, ends: &Tuple) -> Option<Place> {
        let is_it = |slot: &Slot| {
            slot.tag == tag(number) && self.get(slot.place).is_some_and(|one| one.is_between(ends))
        };
        self.slots.find(number, is_it).map(|slot| slot.place)
    }

    pub(super) fn get(&self, place: Place) -> Option<&Connection> {
        self.connections.get(place.index())
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Connection> {
        self.connections.get_mut(place.index())
    }

    /// Puts a connection where none with its ends is.
    pub(super) fn insert(&mut self, sought: Sought, connection: Connection) -> Place {
        let place = match self.free.pop() {
            Some(free) => {
                if let Some(place) = self.connections.get_mut(free.index()) {
                    *place = connection;
                }
                free
            }
            None => {
                self.connections.push(connection);
                Place::at(self.connections.len() - 1)
            }
        };
        let connections = &self.connections;
        let number_at = |slot: &Slot| {
            let connection = connections.get(slot.place.index());
            connection.map_or(0, |connection| number(&connection.ends))
        };
        let tag = tag(sought.number);
        let slot = Slot { place, tag };
        self.slots.insert_unique(sought.number, slot, number_at);
        place
    }

    /// Takes a connection away.
    pub(super) fn remove(&mut self, place: Place) -> Option<Connection> {
        let connection = self.connections.get_mut(place.index())?;
        let number = number(&connection.ends);
        let slot = self.slots.find_entry(number, |slot| slot.place == place);
        slot.ok()?.remove();
        self.free.push(place);
        Some(std::mem::replace(connection, unopened(NO_ENDS)))
    }

    /// All connections, in any order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &Connection)> {
        let places = self.slots.iter().map(|slot| slot.place);
        places.filter_map(|place| Some((place, self.get(place)?)))
    }
}

impl Connection {
    /// Whether it is between these ends, in either direction.
    fn is_between(&self, ends: &Tuple) -> bool {
        // Both are asked in any case: which it is of the two is nobody's guess.
        (self.ends == *ends) | (self.ends == turned(ends))
    }

    /// Reads all of it that following it reads.
    fn touched(&self) -> u64 {
        self.last ^ u64::from(self.ends.ports.0)
    }
}

/// The ends of no packet: those are of one family.
const NO_ENDS: Tuple = Tuple {
    src: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    dst: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    protocol: Protocol(0),
    ports: (0, 0),
};

/// A number of both ends, the same for both directions.
fn number(ends: &Tuple) -> u64 {
    let (src, dst) = (end(ends.src, ends.ports.0), end(ends.dst, ends.ports.1));
    let both = mixed(src.min(dst), src.max(dst));
    // Its lower bits tell where in the table, its upper ones what is compared first.
    mixed(both, ends.protocol.0.into())
}

/// Bits of a number that are neither those that tell where in the table, nor those that are compared first.
fn tag(number: u64) -> u32 {
    (number >> 25) as u32
}

fn end(address: IpAddr, port: u16) -> u64 {
    match address {
        IpAddr::V4(address) => u64::from(address.to_bits()) << 16 | u64::from(port),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            mixed((bits >> 64) as u64, bits as u64) ^ u64::from(port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn ends(number: u32) -> Tuple {
        Tuple {
            src: Ipv4Addr::from_bits(0x0A00_0000 + number / 2).into(),
            dst: Ipv4Addr::new(192, 0, 2, 1).into(),
            protocol: Protocol::TCP,
            ports: (
                if number.is_multiple_of(2) {
                    40_000
                } else {
                    443
                },
                443,
            ),
        }
    }

    #[test]
    fn connections_are_found_in_both_directions_and_not_after_they_are_gone() {
        let count = 10_000;
        let mut table = Table::new(count as usize / 4);
        let early = table.guess(&ends(0));
        assert!(!early.may_be_known());
        for number in 0..count {
            let connection = Connection {
                number: number.into(),
                ..unopened(ends(number))
            };
            let sought = table.guess(&ends(number));
            table.insert(sought, connection);
        }
        // What was not found then is found now.
        assert!(table.place(early, &ends(0)).is_some());
        assert_eq!(table.len(), table.iter().count());
        let mut places = HashSet::new();
        for number in 0..count {
            let sought = table.guess(&ends(number));
            assert_eq!(table.guess(&turned(&ends(number))).guess, sought.guess);
            let place = table.place(sought, &ends(number)).expect("it is there");
            assert_eq!(table.find(&ends(number)), Some(place));
            let found = table.get(place).map(|found| found.number);
            assert_eq!(found, Some(number.into()));
            let gone = table.remove(place);
            assert_eq!(gone.map(|gone| gone.number), Some(number.into()));
            // What was found then is not there any more.
            assert_eq!(table.place(sought, &ends(number)), None);
            places.insert(place.index());
        }
        assert_eq!((table.len(), places.len()), (0, count as usize));
        let sought = table.guess(&ends(1));
        table.insert(sought, unopened(ends(1)));
        assert_eq!(table.connections.len(), count as usize);
    }

    #[test]
    fn ends_have_numbers_of_their_own() {
        let numbers: HashSet<u64> = (0..10_000)
            .map(|number| super::number(&ends(number)))
            .collect();
        assert_eq!(numbers.len(), 10_000);
    }
}
