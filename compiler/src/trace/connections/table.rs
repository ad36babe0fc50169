//! Where connections are found by their two ends.
//!
//! Connections stand side by side in the order in which they are opened, so that those that are busy are near each other; a
//! table of their places, four bytes each, is asked by a number that both directions have. Guarantee: a question about a
//! connection that is not there reads one place of memory, nearly always; one about a connection that is there reads two
//! besides its own.

use super::entry::{Connection, turned};
use crate::hash::mixed;
use crate::source::to_u32;
use crate::trace::capture::Tuple;
use hashbrown::HashTable;
use std::net::IpAddr;

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

/// What was found out about the ends of a packet, to be used again when it is followed.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Sought {
    /// The number of its ends.
    number: u64,
    place: Option<Place>,
    /// How many connections had been taken away by then.
    removed: u64,
}

impl Sought {
    /// Whether there was a connection.
    pub(in super::super) fn is_found(&self) -> bool {
        self.place.is_some()
    }
}

/// The connections that are known.
pub(super) struct Table {
    places: HashTable<Place>,
    connections: Vec<Connection>,
    /// Places that are free again.
    free: Vec<Place>,
    removed: u64,
}

impl Table {
    /// A table for at most so many connections, that does not grow.
    pub(super) fn new(most: usize) -> Self {
        Self {
            places: HashTable::with_capacity(most),
            connections: Vec::new(),
            free: Vec::new(),
            removed: 0,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Looks for the connection between two ends.
    pub(super) fn seek(&self, ends: &Tuple) -> Sought {
        let number = number(ends);
        Sought {
            number,
            place: self.at(number, ends),
            removed: self.removed,
        }
    }

    /// Where the connection is that was looked for. What was found holds while nothing is taken away; one that was not
    /// found may have come.
    pub(super) fn place(&self, sought: Sought, ends: &Tuple) -> Option<Place> {
        match sought.place {
            Some(place) if sought.removed == self.removed => Some(place),
            Some(_) | None => self.at(sought.number, ends),
        }
    }

    /// Where the connection between two ends is now.
    pub(super) fn find(&self, ends: &Tuple) -> Option<Place> {
        self.seek(ends).place
    }

    fn at(&self, number: u64, ends: &Tuple) -> Option<Place> {
        let is_it = |place: &Place| self.get(*place).is_some_and(|one| one.is_between(ends));
        self.places.find(number, is_it).copied()
    }

    pub(super) fn get(&self, place: Place) -> Option<&Connection> {
        self.connections.get(place.0 as usize)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Connection> {
        self.connections.get_mut(place.0 as usize)
    }

    /// Puts a connection where none with its ends is.
    pub(super) fn insert(&mut self, sought: Sought, connection: Connection) -> Place {
        let place = match self.free.pop() {
            Some(free) => {
                if let Some(place) = self.connections.get_mut(free.0 as usize) {
                    *place = connection;
                }
                free
            }
            None => {
                self.connections.push(connection);
                Place(to_u32(self.connections.len() - 1))
            }
        };
        let connections = &self.connections;
        let number_at = |place: &Place| {
            let connection = connections.get(place.0 as usize);
            connection.map_or(0, |connection| number(&connection.ends))
        };
        self.places.insert_unique(sought.number, place, number_at);
        place
    }

    /// Takes a connection away.
    pub(super) fn remove(&mut self, place: Place) -> Option<Connection> {
        let connection = self.connections.get(place.0 as usize)?;
        let number = number(&connection.ends);
        let entry = self
            .places
            .find_entry(number, |other| *other == place)
            .ok()?;
        entry.remove();
        self.free.push(place);
        self.removed += 1;
        self.connections.get(place.0 as usize).cloned()
    }

    /// All connections, in any order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &Connection)> {
        let places = self.places.iter();
        places.filter_map(|place| Some((*place, self.get(*place)?)))
    }
}

impl Connection {
    /// Whether it is between these ends, in either direction.
    fn is_between(&self, ends: &Tuple) -> bool {
        self.ends == *ends || self.ends == turned(ends)
    }
}

/// A number of both ends, the same for both directions.
fn number(ends: &Tuple) -> u64 {
    let (src, dst) = (end(ends.src, ends.ports.0), end(ends.dst, ends.ports.1));
    let both = mixed(src.min(dst), src.max(dst));
    // Its lower bits tell where in the table, its upper ones what is compared first.
    mixed(both, ends.protocol.0.into())
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
    use super::super::entry::unopened;
    use super::*;
    use crate::cluster::Protocol;
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

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
        let early = table.seek(&ends(0));
        assert!(!early.is_found());
        for number in 0..count {
            let connection = Connection {
                number: number.into(),
                ..unopened(ends(number))
            };
            let sought = table.seek(&ends(number));
            table.insert(sought, connection);
        }
        // What was not found then is found now.
        assert!(table.place(early, &ends(0)).is_some());
        assert_eq!(table.len(), table.iter().count());
        let mut places = HashSet::new();
        for number in 0..count {
            let sought = table.seek(&ends(number));
            assert_eq!(table.seek(&turned(&ends(number))).place, sought.place);
            let place = table.place(sought, &ends(number)).expect("it is there");
            let found = table.get(place).map(|found| found.number);
            assert_eq!(found, Some(number.into()));
            let gone = table.remove(place);
            assert_eq!(gone.map(|gone| gone.number), Some(number.into()));
            // What was found then is not there any more.
            assert_eq!(table.place(sought, &ends(number)), None);
            places.insert(place.0);
        }
        assert_eq!((table.len(), places.len()), (0, count as usize));
        let sought = table.seek(&ends(1));
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
