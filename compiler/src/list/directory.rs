//! Who connections are between, by id: workloads or pods, and addresses outside.

use super::peers::{Peer, PeerId};
use crate::cluster::{Cluster, Owner};
use crate::source::to_u32;
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// Runs of addresses, both bounds included: in order, IPv4 first, no two adjacent.
pub type Addresses = Vec<(IpAddr, IpAddr)>;

/// The index of runs of addresses outside the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangesId(u32);

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A workload or a pod.
    Peer(PeerId),
    /// Addresses that no pod and no node has.
    Outside(RangesId),
}

/// All that ends of connections can be.
#[derive(Debug)]
pub struct Directory {
    peers: Vec<Peer>,
    ranges: Vec<Addresses>,
    ranges_ids: FxHashMap<Addresses, RangesId>,
}

impl Directory {
    /// Of some peers, sorted by namespace, name and kind; without addresses.
    pub(crate) fn new(peers: Vec<Peer>) -> Self {
        Self {
            peers,
            ranges: Vec::new(),
            ranges_ids: FxHashMap::default(),
        }
    }

    /// The peers, sorted by namespace, name and kind.
    #[must_use]
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// The peer behind an id.
    #[must_use]
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(id.index())
    }

    /// All peers by their ids.
    pub fn peer_ids(&self) -> impl Iterator<Item = PeerId> + use<> {
        (0..to_u32(self.peers.len())).map(PeerId)
    }

    /// The addresses behind an id.
    #[must_use]
    pub fn addresses(&self, id: RangesId) -> &[(IpAddr, IpAddr)] {
        self.ranges.get(id.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// The id of some addresses.
    pub(crate) fn ranges_id(&mut self, addresses: Addresses) -> RangesId {
        if let Some(known) = self.ranges_ids.get(&addresses) {
            return *known;
        }
        let id = RangesId(to_u32(self.ranges.len()));
        self.ranges.push(addresses.clone());
        self.ranges_ids.insert(addresses, id);
        id
    }
}

/// Adds a run behind others.
pub(crate) fn push(addresses: &mut Addresses, (first, last): (IpAddr, IpAddr)) {
    match addresses.last_mut() {
        Some(run) if after(run.1) == Some(first) => run.1 = last,
        Some(_) | None => addresses.push((first, last)),
    }
}

/// A run of addresses without those of nodes at its ends; `None` where it has no others.
pub(crate) fn without_nodes(
    clusters: &[&Cluster],
    mut first: IpAddr,
    mut last: IpAddr,
) -> Option<(IpAddr, IpAddr)> {
    let is_node = |address| {
        let mut owners = clusters.iter().map(|cluster| cluster.owner(address));
        owners.any(|owner| matches!(owner, Some(Owner::Node(_))))
    };
    while is_node(first) {
        first = after(first).filter(|next| *next <= last)?;
    }
    while is_node(last) {
        last = before(last).filter(|next| *next >= first)?;
    }
    Some((first, last))
}

/// The address in front of another one; `None` in front of the first of a family.
fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(one) => Some(IpAddr::V4(one.to_bits().checked_sub(1)?.into())),
        IpAddr::V6(one) => Some(IpAddr::V6(one.to_bits().checked_sub(1)?.into())),
    }
}

/// The address behind another one; `None` behind the last of a family.
pub(crate) fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(one) => Some(IpAddr::V4(one.to_bits().checked_add(1)?.into())),
        IpAddr::V6(one) => Some(IpAddr::V6(one.to_bits().checked_add(1)?.into())),
    }
}
