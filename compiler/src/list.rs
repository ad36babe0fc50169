//! Every connection that is allowed between the workloads of a cluster, and with the outside.
//!
//! Input: [`Connections`]. Output: [`Listing`], the peers with their classes and the answer for any two; from it
//! [`Listing::pairs`], one by one, and [`blocks`](Listing::blocks), where what is equal stands together.
//! Guarantee: an answer between two workloads is what all pairs of their different pods agree on; where they do
//! not, it depends. Work is done per class of equal peers, never per pair of pods.

pub(crate) mod blocks;
pub(crate) mod directory;
pub mod exposure;
mod focus;
pub(crate) mod matrix;
mod outside;
pub(crate) mod pairs;
pub(crate) mod peers;
pub mod report;
pub mod words;

pub use blocks::Block;
pub use directory::{Addresses, Directory, Party, RangesId};
pub use focus::Focus;
pub use pairs::{Count, Pair};
pub use peers::{By, Peer, PeerId};

use crate::cluster::{Cluster, NodeId, PodId};
use crate::flows::{Answer, AnswerId, Connections, EndId};
use crate::hir::Direction;
use crate::query::Who;
use matrix::Matrix;
use peers::{ClassId, Classes, Member};
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// The peers of a cluster with what is allowed between them.
#[derive(Debug)]
pub struct Listing<'a> {
    connections: Connections<'a>,
    directory: Directory,
    peers: Classes,
    /// By class and direction.
    outside: FxHashMap<(ClassId, Direction), Vec<(RangesId, AnswerId)>>,
}

impl<'a> Listing<'a> {
    /// Lists a cluster by workload or by pod.
    #[must_use]
    pub fn new(connections: Connections<'a>, by: By) -> Self {
        let (list, peers) = peers::classified(&connections, by);
        let mut listing = Self {
            connections,
            directory: Directory::new(list),
            peers,
            outside: FxHashMap::default(),
        };
        for class in listing.class_ids() {
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

    /// As [`Connections::sets_nodes_apart`].
    pub(crate) fn sets_nodes_apart(&self) -> bool {
        self.connections.sets_nodes_apart()
    }

    /// Who there is.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The peers, sorted by namespace, name and kind.
    #[must_use]
    pub fn peers(&self) -> &[Peer] {
        self.directory.peers()
    }

    /// The peer behind an id.
    #[must_use]
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.directory.peer(id)
    }

    /// All peers by their ids.
    pub fn peer_ids(&self) -> impl Iterator<Item = PeerId> + use<> {
        self.directory.peer_ids()
    }

    /// The addresses behind an id.
    #[must_use]
    pub fn addresses(&self, id: RangesId) -> &[(IpAddr, IpAddr)] {
        self.directory.addresses(id)
    }

    /// The answer behind an id.
    #[must_use]
    pub fn answer(&self, id: AnswerId) -> &Answer {
        self.connections.answer(id)
    }

    /// How many pairs there are, without making them.
    pub fn count(&mut self) -> usize {
        self.count_of(&Focus::everything()).total
    }

    /// How many pairs are wanted, without making them.
    pub fn count_of(&mut self, focus: &Focus) -> Count {
        pairs::count(self, focus)
    }

    /// Every pair between which something passes, by source and destination; the outside comes last.
    pub fn pairs(&mut self) -> Vec<Pair> {
        self.pairs_of(&Focus::everything())
    }

    /// The pairs that are wanted, in the same order.
    pub fn pairs_of(&mut self, focus: &Focus) -> Vec<Pair> {
        pairs::pairs(self, focus)
    }

    /// All connections by destination: those that have the same sources stand together.
    pub fn blocks(&mut self) -> Vec<Block> {
        self.blocks_of(&Focus::everything())
    }

    /// The wanted connections by destination: first those that come to the peers that are looked at, then those
    /// that leave them.
    pub fn blocks_of(&mut self, focus: &Focus) -> Vec<Block> {
        blocks::blocks(self, focus)
    }

    /// How many classes of equal peers there are.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.peers.len()
    }

    /// The peers of which no policy governs what comes in, or what goes out: no rule of any tier is asked.
    #[must_use]
    pub fn ungoverned(&self, direction: Direction) -> Vec<PeerId> {
        let free = |member: &Member| !self.connections.is_governed(member.end, direction);
        let is_free = |peer: &PeerId| self.peers.members_of(*peer).iter().all(free);
        self.peer_ids().filter(is_free).collect()
    }

    /// Whether a peer is one pod or a node, which has nobody of its own to talk to.
    #[must_use]
    pub fn is_single(&self, peer: PeerId) -> bool {
        let peer = self.peer(peer);
        peer.is_none_or(|peer| matches!(peer.several.as_slice(), [] | [false]))
    }

    /// Pods of a peer, two of each kind that rules tell apart and only some of many kinds; or the node that it is.
    pub(crate) fn samples(&self, peer: PeerId) -> Vec<Who<'static>> {
        const MOST: usize = 32;
        if let Some(node) = self.peer(peer).and_then(|peer| peer.node) {
            return vec![Who::Node(node)];
        }
        let members = self.peers.members_of(peer);
        let by_node = members.iter().any(|member| !member.nodes.is_empty());
        let mut seen: FxHashMap<(EndId, Option<NodeId>), usize> = FxHashMap::default();
        let pods = self.peer(peer).map_or(&[][..], |peer| &peer.pods).iter();
        let is_wanted = |pod: &PodId| {
            let node = self.cluster().pod(*pod).and_then(|pod| pod.node);
            let key = self
                .connections
                .end(*pod)
                .map(|end| (end, node.filter(|_| by_node)));
            key.is_some_and(|key| {
                let count = seen.entry(key).or_default();
                *count += 1;
                *count <= 2
            })
        };
        let wanted = pods.copied().filter(is_wanted);
        wanted.take(MOST).map(Who::Pod).collect()
    }

    /// What one peer may send to another. `None` for a peer to itself where it is a single pod.
    pub fn between(&mut self, src: PeerId, dst: PeerId) -> Option<AnswerId> {
        if src == dst {
            return self.within(src);
        }
        let (src, dst) = (self.peers.class_of(src)?, self.peers.class_of(dst)?);
        Some(self.between_classes(src, dst))
    }

    /// What a peer may send to the outside, or the outside to it: addresses with one answer together.
    #[must_use]
    pub fn outside(&self, peer: PeerId, direction: Direction) -> &[(RangesId, AnswerId)] {
        let class = self.peers.class_of(peer);
        class.map_or(&[], |class| self.outside_of(class, direction))
    }
}

/// What pods of one class of ends may send to those of another: where one side is on the network of a node, pods of
/// that node are asked apart.
fn between(connections: &mut Connections<'_>, src: &Member, dst: &Member) -> AnswerId {
    let (node, pods) = match (connections.host(src.end), connections.host(dst.end)) {
        (Some(node), None) => (node, dst),
        (None, Some(node)) => (node, src),
        // Of what is not known to be the same node the answer is what both agree on.
        (Some(one), Some(other)) => {
            let same = one.is_some() && one == other;
            return connections.between(src.end, dst.end, same);
        }
        (None, None) => return connections.between(src.end, dst.end, false),
    };
    let here = node.is_some() && pods.nodes.contains(&node);
    let elsewhere = !here || pods.nodes.iter().any(|other| *other != node);
    let apart = elsewhere.then(|| connections.between(src.end, dst.end, false));
    let beside = here.then(|| connections.between(src.end, dst.end, true));
    let all = apart.into_iter().chain(beside);
    all.reduce(|one, other| connections.agreed(one, other))
        .unwrap_or(AnswerId::NOTHING)
}

fn agreed(connections: &mut Connections<'_>, known: Option<AnswerId>, more: AnswerId) -> AnswerId {
    known.map_or(more, |known| connections.agreed(known, more))
}

impl Matrix for Listing<'_> {
    type Entry = AnswerId;

    const NOTHING: AnswerId = AnswerId::NOTHING;

    fn directory(&self) -> &Directory {
        &self.directory
    }

    fn classes(&self) -> usize {
        self.peers.len()
    }

    fn class_of(&self, peer: PeerId) -> Option<ClassId> {
        self.peers.class_of(peer)
    }

    fn between_classes(&mut self, src: ClassId, dst: ClassId) -> AnswerId {
        let Self {
            connections, peers, ..
        } = self;
        let mut all = None;
        for one in peers.members(src) {
            for other in peers.members(dst) {
                let answer = between(connections, one, other);
                all = Some(agreed(connections, all, answer));
            }
        }
        all.unwrap_or(AnswerId::NOTHING)
    }

    fn within(&mut self, peer: PeerId) -> Option<AnswerId> {
        let Self {
            connections,
            peers,
            directory,
            ..
        } = self;
        let members = peers.members_of(peer);
        let several = &directory.peer(peer)?.several;
        let mut all = None;
        for (index, (one, many)) in members.iter().zip(several).enumerate() {
            for (other_index, other) in members.iter().enumerate() {
                if index != other_index || *many {
                    let answer = between(connections, one, other);
                    all = Some(agreed(connections, all, answer));
                }
            }
        }
        all
    }

    fn varies(&self, class: ClassId) -> bool {
        self.peers.members(class).len() > 1
    }

    fn outside_of(&self, class: ClassId, direction: Direction) -> &[(RangesId, AnswerId)] {
        let known = self.outside.get(&(class, direction));
        known.map_or(&[], Vec::as_slice)
    }
}
