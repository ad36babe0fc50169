//! The addresses that were learnt after an image was made.

use super::{Address, End, NEEDS_RECOMPILE, Places, Pod, Who};
use crate::{Tables, leaf_v4, leaf_v6};
use alloc::collections::BTreeMap;
use core::net::IpAddr;

/// The leaf of each address that the image does not have, or has for someone else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    known: BTreeMap<IpAddr, (Who, u32)>,
}

impl Overlay {
    /// Takes a new pod. Where the image has no class for it, its address is [`NEEDS_RECOMPILE`]; the answer is whether
    /// it has one.
    pub fn add_pod(
        &mut self,
        places: &Places<'_, impl Tables>,
        pod: &Pod,
        address: IpAddr,
    ) -> bool {
        self.add(places, Who::Pod(pod.clone()), address)
    }

    /// Takes a node, or another address of one.
    pub fn add_node(
        &mut self,
        places: &Places<'_, impl Tables>,
        node: u32,
        address: IpAddr,
    ) -> bool {
        let node = places.world().node(Some(node));
        self.add(places, Who::Node(node), address)
    }

    /// Takes an address that came with a DNS answer which the world of `places` has
    /// [learnt](super::World::learn): who has it stays as it is, and the names are taken together with the blocks in
    /// which it is.
    pub fn add_answer(&mut self, places: &Places<'_, impl Tables>, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let of_tables = || places.world().leaf(leaf(places.tables(), address)?);
        let learnt = self.known.get(&address).map(|(who, _)| who.clone());
        let who = learnt.or_else(of_tables).unwrap_or(Who::Outside);
        self.add(places, who, address)
    }

    fn add(&mut self, places: &Places<'_, impl Tables>, who: Who, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let end = End {
            who,
            address: Address::Known(address),
        };
        let found = places.leaf(&end);
        let leaf = found.unwrap_or(NEEDS_RECOMPILE);
        self.known.insert(address, (end.who, leaf));
        found.is_some()
    }

    /// The leaf of an address: what was learnt, else what the tables say.
    #[must_use]
    pub fn leaf(&self, tables: &impl Tables, address: IpAddr) -> Option<u32> {
        let address = address.to_canonical();
        match self.known.get(&address) {
            Some((_, leaf)) => Some(*leaf),
            None => leaf(tables, address),
        }
    }

    /// Whether nothing was learnt.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

fn leaf(tables: &impl Tables, address: IpAddr) -> Option<u32> {
    match address {
        IpAddr::V4(address) => leaf_v4(tables, address.to_bits()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            leaf_v6(tables, (bits >> 64) as u64, bits as u64)
        }
    }
}
