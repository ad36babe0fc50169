//! Every connection that is allowed between the workloads of a cluster, and with the outside.
//!
//! Input: [`Connections`]. Output: [`Listing`], the peers with their classes and the answer for any two; from it
//! [`Listing::pairs`], one by one, and [`blocks`](Listing::blocks), where what is equal stands together.
//! Guarantee: an answer between two workloads is what all pairs of their different pods agree on; where they do
//! not, it depends. Work is done per class of equal peers, never per pair of pods.

mod blocks;
pub mod exposure;
mod focus;
mod pairs;
mod peers;
pub mod report;
pub mod words;

pub use blocks::Block;
pub use focus::Focus;
pub use pairs::Count;
pub use peers::{By, Peer, PeerId};

use crate::cluster::Cluster;
use crate::flows::{Answer, AnswerId, Connections, EndId, Outside};
use crate::hir::Direction;
use crate::source::to_u32;
use peers::{ClassId, Member, Peers};
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// The peers of a cluster with what is allowed between them.
#[derive(Debug)]
pub struct Listing<'a> {
    connections: Connections<'a>,
    peers: Peers,
    ranges: Vec<Addresses>,
    ranges_ids: FxHashMap<Addresses, RangesId>,
    /// By class and direction.
    outside: FxHashMap<(ClassId, Direction), Vec<(RangesId, AnswerId)>>,
}

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

/// A pair with what may pass between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Where it comes from.
    pub src: Party,
    /// Where it goes.
    pub dst: Party,
    /// What becomes of it; never [`AnswerId::NOTHING`].
    pub answer: AnswerId,
}

impl<'a> Listing<'a> {
    /// Lists a cluster by workload or by pod.
    #[must_use]
    pub fn new(connections: Connections<'a>, by: By) -> Self {
        let peers = Peers::new(&connections, by);
        let mut listing = Self {
            connections,
            peers,
            ranges: Vec::new(),
            ranges_ids: FxHashMap::default(),
            outside: FxHashMap::default(),
        };
        for class in listing.peers.class_ids() {
            for direction in [Direction::Ingress, Direction::Egress] {
                let runs = listing.make_outside(class, direction);
                listing.outside.insert((class, direction), runs);
            }
        }
        listing
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &'a Cluster {
        self.connections.cluster()
    }

    /// The peers, sorted by namespace, name and kind.
    #[must_use]
    pub fn peers(&self) -> &[Peer] {
        &self.peers.list
    }

    /// The peer behind an id.
    #[must_use]
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.list.get(id.index())
    }

    /// All peers by their ids.
    pub fn peer_ids(&self) -> impl Iterator<Item = PeerId> + use<> {
        (0..to_u32(self.peers.list.len())).map(PeerId)
    }

    /// The addresses behind an id.
    #[must_use]
    pub fn addresses(&self, id: RangesId) -> &[(IpAddr, IpAddr)] {
        self.ranges.get(id.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// The answer behind an id.
    #[must_use]
    pub fn answer(&self, id: AnswerId) -> &Answer {
        self.connections.answer(id)
    }

    /// How many classes of equal peers there are.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.peers.classes.len()
    }

    /// The peers of which no policy governs what comes in, or what goes out: no rule of any tier is asked.
    #[must_use]
    pub fn ungoverned(&self, direction: Direction) -> Vec<PeerId> {
        let free = |member: &Member| !self.connections.is_governed(member.end, direction);
        let is_free = |peer: &PeerId| self.peers.members_of(*peer).iter().all(free);
        self.peer_ids().filter(is_free).collect()
    }

    /// Whether a peer is one pod, which has nobody of its own to talk to.
    #[must_use]
    pub fn is_single(&self, peer: PeerId) -> bool {
        let peer = self.peer(peer);
        peer.is_none_or(|peer| matches!(peer.several.as_slice(), [] | [false]))
    }

    /// What one peer may send to another. `None` for a peer to itself where it is a single pod.
    pub fn between(&mut self, src: PeerId, dst: PeerId) -> Option<AnswerId> {
        if src == dst {
            return self.within(src);
        }
        let (src, dst) = (self.peers.class_of(src)?, self.peers.class_of(dst)?);
        Some(self.between_classes(src, dst))
    }

    /// What the pods of a peer may send to each other.
    fn within(&mut self, peer: PeerId) -> Option<AnswerId> {
        let members = self.peers.members_of(peer).to_vec();
        let several = self.peer(peer)?.several.clone();
        let mut all = None;
        for (index, (one, many)) in members.iter().zip(&several).enumerate() {
            for (other_index, other) in members.iter().enumerate() {
                if index != other_index || *many {
                    let answer = self.between_members(one, other);
                    all = Some(self.agreed(all, answer));
                }
            }
        }
        all
    }

    /// What a peer of one class may send to another of the other class.
    fn between_classes(&mut self, src: ClassId, dst: ClassId) -> AnswerId {
        let [src, dst] = [src, dst].map(|class| self.peers.members(class).to_vec());
        let mut all = None;
        for one in &src {
            for other in &dst {
                let answer = self.between_members(one, other);
                all = Some(self.agreed(all, answer));
            }
        }
        all.unwrap_or(AnswerId::NOTHING)
    }

    fn agreed(&mut self, known: Option<AnswerId>, more: AnswerId) -> AnswerId {
        known.map_or(more, |known| self.connections.agreed(known, more))
    }

    /// What pods of one class of ends may send to those of another: where one side is on the network of a
    /// node, pods of that node are asked apart.
    fn between_members(&mut self, src: &Member, dst: &Member) -> AnswerId {
        let host = |end: EndId| self.connections.host(end);
        let (node, pods) = match (host(src.end), host(dst.end)) {
            (Some(node), None) => (node, dst),
            (None, Some(node)) => (node, src),
            (Some(_), Some(_)) | (None, None) => {
                return self.connections.between(src.end, dst.end, false);
            }
        };
        let here = node.is_some() && pods.nodes.contains(&node);
        let elsewhere = !here || pods.nodes.iter().any(|other| *other != node);
        let apart = elsewhere.then(|| self.connections.between(src.end, dst.end, false));
        let beside = here.then(|| self.connections.between(src.end, dst.end, true));
        let all = apart.into_iter().chain(beside);
        all.reduce(|one, other| self.connections.agreed(one, other))
            .unwrap_or(AnswerId::NOTHING)
    }

    /// What a peer may send to the outside, or the outside to it: addresses with one answer together.
    #[must_use]
    pub fn outside(&self, peer: PeerId, direction: Direction) -> &[(RangesId, AnswerId)] {
        let class = self.peers.class_of(peer);
        class.map_or(&[], |class| self.outside_of(class, direction))
    }

    fn outside_of(&self, class: ClassId, direction: Direction) -> &[(RangesId, AnswerId)] {
        let known = self.outside.get(&(class, direction));
        known.map_or(&[], Vec::as_slice)
    }

    fn make_outside(&mut self, class: ClassId, direction: Direction) -> Vec<(RangesId, AnswerId)> {
        let members = self.peers.members(class).to_vec();
        let mut runs: Option<Vec<Outside>> = None;
        for member in &members {
            let more = self.connections.outside(member.end, direction);
            runs = Some(match runs {
                None => more,
                Some(runs) => self.merged(&runs, &more),
            });
        }
        let mut by_answer: Vec<(AnswerId, Addresses)> = Vec::new();
        for (first, last, answer) in runs.unwrap_or_default() {
            if answer == AnswerId::NOTHING {
                continue;
            }
            match by_answer.iter_mut().find(|(known, _)| *known == answer) {
                Some((_, addresses)) => push(addresses, (first, last)),
                None => by_answer.push((answer, vec![(first, last)])),
            }
        }
        let numbered = by_answer.into_iter();
        numbered
            .map(|(answer, addresses)| (self.ranges_id(addresses), answer))
            .collect()
    }

    /// What two lists of runs agree on. Both cover the families that they have from end to end.
    fn merged(&mut self, one: &[Outside], other: &[Outside]) -> Vec<Outside> {
        let mut merged = Vec::new();
        let (mut a, mut b) = (one.iter().peekable(), other.iter().peekable());
        while let (Some((start, end, mine)), Some((other_start, other_end, theirs))) =
            (a.peek().copied(), b.peek().copied())
        {
            // A family that only one side has.
            if start.is_ipv4() != other_start.is_ipv4() {
                if start.is_ipv4() {
                    merged.extend(a.next());
                } else {
                    merged.extend(b.next());
                }
                continue;
            }
            let (first, last) = ((*start).max(*other_start), (*end).min(*other_end));
            let answer = self.connections.agreed(*mine, *theirs);
            merged.push((first, last, answer));
            if *end == last {
                a.next();
            }
            if *other_end == last {
                b.next();
            }
        }
        merged.extend(a);
        merged.extend(b);
        merged
    }

    fn ranges_id(&mut self, addresses: Addresses) -> RangesId {
        if let Some(known) = self.ranges_ids.get(&addresses) {
            return *known;
        }
        let id = RangesId(to_u32(self.ranges.len()));
        self.ranges.push(addresses.clone());
        self.ranges_ids.insert(addresses, id);
        id
    }
}

impl Pair {
    fn of(src: Party, dst: Party, answer: Option<AnswerId>) -> Option<Self> {
        let answer = answer.filter(|answer| *answer != AnswerId::NOTHING)?;
        Some(Self { src, dst, answer })
    }
}

/// Adds a run behind others.
fn push(addresses: &mut Addresses, (first, last): (IpAddr, IpAddr)) {
    match addresses.last_mut() {
        Some(run) if is_next(run.1, first) => run.1 = last,
        Some(_) | None => addresses.push((first, last)),
    }
}

fn is_next(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            one.to_bits().checked_add(1) == Some(other.to_bits())
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            one.to_bits().checked_add(1) == Some(other.to_bits())
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}
