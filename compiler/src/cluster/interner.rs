//! Equal strings, label sets and port lists of many objects, each held once.
//!
//! Input: what an object says, as parts of its text. Output: a shared value, so that a hundred thousand pods with five
//! hundred label sets hold five hundred. Guarantee: nothing is copied that is held already; any number of threads
//! may ask.

use super::{Labels, NamedPort, Protocol};
use crate::lock::lock;
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex};

/// What is shared.
#[derive(Debug, Default)]
pub struct Interner {
    strings: Shared<str>,
    labels: Shared<Labels>,
    ports: Shared<[NamedPort]>,
}

/// A named port whose name is a part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WrittenPort<'a> {
    /// The name.
    pub name: &'a str,
    /// The protocol.
    pub protocol: Protocol,
    /// The number.
    pub number: u16,
}

impl WrittenPort<'_> {
    fn is(self, other: &NamedPort) -> bool {
        let NamedPort {
            name,
            protocol,
            number,
        } = other;
        (self.name, self.protocol, self.number) == (&**name, *protocol, *number)
    }

    fn owned(self) -> NamedPort {
        NamedPort {
            name: self.name.into(),
            protocol: self.protocol,
            number: self.number,
        }
    }
}

impl Interner {
    /// The shared string.
    pub fn string(&self, text: &str) -> Arc<str> {
        self.strings
            .share(text, |known| known == text, || text.into())
    }

    /// The shared label set. Of a key that comes twice, the last value stays.
    pub fn labels<'a>(&self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Arc<Labels> {
        let mut sorted: Vec<(&str, &str)> = labels.into_iter().collect();
        if !sorted.is_sorted_by(|(one, _), (other, _)| one < other) {
            sorted = BTreeMap::from_iter(sorted).into_iter().collect();
        }
        let labels = || sorted.iter().copied();
        self.labels.share(
            sorted.as_slice(),
            |known| known.iter().eq(labels()),
            || Arc::new(labels().collect()),
        )
    }

    /// The shared port list.
    pub fn ports(&self, ports: &[WrittenPort<'_>]) -> Arc<[NamedPort]> {
        let is = |known: &[NamedPort]| {
            known.len() == ports.len()
                && ports.iter().zip(known).all(|(port, known)| port.is(known))
        };
        let make = || ports.iter().map(|port| port.owned()).collect();
        self.ports.share(ports, is, make)
    }
}

/// How many locks there are, so that threads seldom wait for each other.
const LOCKS: usize = 16;

/// Shared values by the hash of what they are asked by.
#[derive(Debug)]
struct Shared<T: ?Sized>([Mutex<ByHash<T>>; LOCKS]);

type ByHash<T> = FxHashMap<u64, Vec<Arc<T>>>;

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self(Default::default())
    }
}

impl<T: ?Sized> Shared<T> {
    fn share<K: Hash + ?Sized>(
        &self,
        key: &K,
        is: impl Fn(&T) -> bool,
        make: impl FnOnce() -> Arc<T>,
    ) -> Arc<T> {
        let hash = FxBuildHasher.hash_one(key);
        let Some(known) = self.0.get(hash as usize % LOCKS) else {
            return make();
        };
        let mut known = lock(known);
        let alike = known.entry(hash).or_default();
        if let Some(shared) = alike.iter().find(|shared| is(shared)) {
            return Arc::clone(shared);
        }
        let shared = make();
        alike.push(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_equal_is_shared() {
        let interner = Interner::default();
        let one = interner.labels([("a", "1"), ("b", "2")]);
        let other = interner.labels([("b", "1"), ("a", "1"), ("b", "2")]);
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(one.to_string(), "a=1,b=2");
        assert_ne!(one, interner.labels([("a", "1")]));
        assert_ne!(one, interner.labels([("a", "1"), ("b", "3")]));
        let port = |name, number| WrittenPort {
            name,
            protocol: Protocol::TCP,
            number,
        };
        let ports = interner.ports(&[port("http", 80), port("dns", 53)]);
        assert!(Arc::ptr_eq(
            &ports,
            &interner.ports(&[port("http", 80), port("dns", 53)])
        ));
        assert_ne!(ports, interner.ports(&[port("dns", 53), port("http", 80)]));
        assert_ne!(ports, interner.ports(&[port("http", 80)]));
        assert!(Arc::ptr_eq(&interner.string("x"), &interner.string("x")));
    }
}
