//! Values by address.
//!
//! Guarantee: as quick for addresses that differ in their last bytes only, as those of a cluster do. These bytes of an
//! [`Ipv6Addr`] have next to no part in where [`FxHashMap`] looks for it, so it is the number that is the key.

use rustc_hash::FxHashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Values by address, at most one of each.
#[derive(Clone, Debug)]
pub(crate) struct ByAddress<T> {
    v4: FxHashMap<u32, T>,
    v6: FxHashMap<u128, T>,
}

impl<T> Default for ByAddress<T> {
    fn default() -> Self {
        Self {
            v4: FxHashMap::default(),
            v6: FxHashMap::default(),
        }
    }
}

impl<T> ByAddress<T> {
    /// The values of the addresses of each family, by their numbers.
    pub(crate) fn new(v4: FxHashMap<u32, T>, v6: FxHashMap<u128, T>) -> Self {
        Self { v4, v6 }
    }

    /// The value of an address.
    pub(crate) fn get(&self, address: IpAddr) -> Option<&T> {
        match address {
            IpAddr::V4(address) => self.v4.get(&address.to_bits()),
            IpAddr::V6(address) => self.v6.get(&address.to_bits()),
        }
    }

    /// Gives an address a value, unless it has one: that which it has now.
    pub(crate) fn or_insert(&mut self, address: IpAddr, value: T) -> &mut T {
        match address {
            IpAddr::V4(address) => self.v4.entry(address.to_bits()).or_insert(value),
            IpAddr::V6(address) => self.v6.entry(address.to_bits()).or_insert(value),
        }
    }

    /// All addresses with their values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpAddr, &T)> {
        let v4 = self.v4.iter();
        let v4 = v4.map(|(bits, value)| (Ipv4Addr::from_bits(*bits).into(), value));
        let v6 = self.v6.iter();
        let v6 = v6.map(|(bits, value)| (Ipv6Addr::from_bits(*bits).into(), value));
        v4.chain(v6)
    }
}

/// The number of an IPv4 address.
pub(crate) fn v4(address: IpAddr) -> Option<u32> {
    match address {
        IpAddr::V4(address) => Some(address.to_bits()),
        IpAddr::V6(_) => None,
    }
}

/// The number of an IPv6 address.
pub(crate) fn v6(address: IpAddr) -> Option<u128> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address.to_bits()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_an_address_stays() {
        let texts = [
            "10.0.0.1",
            "::ffff:10.0.0.1",
            "::a00:1",
            "10.0.0.1",
            "::a00:1",
        ];
        let addresses = texts.map(|text| text.parse::<IpAddr>().unwrap());
        let mut values = ByAddress::default();
        let firsts = addresses
            .iter()
            .zip(0..)
            .map(|(address, value)| *values.or_insert(*address, value));
        assert_eq!(firsts.collect::<Vec<_>>(), [0, 1, 2, 0, 2]);
        assert_eq!(addresses.map(|address| values.get(address).copied()), {
            [0, 1, 2, 0, 2].map(Some)
        });
        assert_eq!(values.get(IpAddr::V4(Ipv4Addr::LOCALHOST)), None);
        let mut all: Vec<(IpAddr, i32)> = values.iter().map(|(at, value)| (at, *value)).collect();
        all.sort();
        let [v4, mapped, v6, ..] = addresses;
        assert_eq!(all, [(v4, 0), (v6, 2), (mapped, 1)]);
    }
}
