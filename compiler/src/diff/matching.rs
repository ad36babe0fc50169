//! The peers of two lists side by side.
//!
//! Guarantee: peers of both lists are one where namespace, name and kind of workload are the same; two peers of one
//! class are of one class in every list.

use super::On;
use super::compare::Which;
use crate::list::matrix::Matrix;
use crate::list::peers::ClassId;
use crate::list::{Listing, Peer, PeerId};
use crate::source::to_u32;
use rustc_hash::FxHashMap;
use std::cmp::Ordering;

/// Which peers and classes of each list belong together.
#[derive(Debug, Default)]
pub(super) struct Matching {
    /// By [`PeerId`]: the peers of the old and of the new list.
    peers: Vec<[Option<PeerId>; 2]>,
    /// By peer of the old and of the new list: the peer of both.
    both: [Vec<PeerId>; 2],
    class_of: Vec<ClassId>,
    /// By [`ClassId`].
    list: Vec<Class>,
}

#[derive(Debug)]
struct Class {
    /// In the order of [`Which::ALL`].
    of: [Option<ClassId>; 3],
    /// The first two of its peers.
    samples: Vec<PeerId>,
}

fn name(peer: &Peer) -> (&str, &str, Option<&str>, bool) {
    let is_node = peer.node.is_some();
    (
        &peer.namespace,
        &peer.name,
        peer.workload.as_deref(),
        is_node,
    )
}

/// All peers, sorted by namespace, name and kind, and how they belong together. The third list is of the peers of the
/// first.
pub(super) fn matched(
    old: &Listing<'_>,
    new: &Listing<'_>,
    crossed: Option<&Listing<'_>>,
) -> (Vec<Peer>, Matching) {
    let (mut peers, mut matching) = (Vec::new(), Matching::default());
    let mut known: FxHashMap<[Option<ClassId>; 3], ClassId> = FxHashMap::default();
    let (mut before, mut after) = (old.peer_ids().peekable(), new.peer_ids().peekable());
    loop {
        let one = before.peek().and_then(|id| old.peer(*id));
        let two = after.peek().and_then(|id| new.peer(*id));
        let (order, peer) = match (one, two) {
            (Some(one), Some(two)) => match name(one).cmp(&name(two)) {
                Ordering::Less => (Ordering::Less, one),
                order @ (Ordering::Equal | Ordering::Greater) => (order, two),
            },
            (Some(one), None) => (Ordering::Less, one),
            (None, Some(two)) => (Ordering::Greater, two),
            (None, None) => break,
        };
        let ids = [
            before.next_if(|_| order != Ordering::Greater),
            after.next_if(|_| order != Ordering::Less),
        ];
        let [of_old, of_new] = ids;
        let classes = [
            of_old.and_then(|id| old.class_of(id)),
            of_new.and_then(|id| new.class_of(id)),
            of_old.and_then(|id| crossed?.class_of(id)),
        ];
        let class = *known.entry(classes).or_insert_with(|| {
            matching.list.push(Class {
                of: classes,
                samples: Vec::new(),
            });
            ClassId(to_u32(matching.list.len() - 1))
        });
        let id = PeerId(to_u32(peers.len()));
        matching.add(id, ids, class);
        peers.push(peer.clone());
    }
    (peers, matching)
}

impl Matching {
    fn add(&mut self, id: PeerId, ids: [Option<PeerId>; 2], class: ClassId) {
        self.peers.push(ids);
        self.class_of.push(class);
        for (both, own) in self.both.iter_mut().zip(ids) {
            both.extend(own.map(|_| id));
        }
        let class = self.list.get_mut(class.index());
        if let Some(class) = class.filter(|class| class.samples.len() < 2) {
            class.samples.push(id);
        }
    }

    pub(super) fn classes(&self) -> usize {
        self.list.len()
    }

    pub(super) fn class_of(&self, peer: PeerId) -> Option<ClassId> {
        self.class_of.get(peer.index()).copied()
    }

    /// A class as one of the lists has it.
    pub(super) fn class(&self, which: Which, class: ClassId) -> Option<ClassId> {
        let [old, new, crossed] = self.list.get(class.index())?.of;
        match which {
            Which::Old => old,
            Which::New => new,
            Which::Crossed => crossed,
        }
    }

    /// A peer as one of the lists has it.
    pub(super) fn peer(&self, which: Which, peer: PeerId) -> Option<PeerId> {
        let [old, new] = self.peers.get(peer.index())?;
        match which {
            Which::Old | Which::Crossed => *old,
            Which::New => *new,
        }
    }

    /// The peer of both that is one of a list.
    pub(super) fn both(&self, which: Which, peer: PeerId) -> Option<PeerId> {
        let [old, new] = &self.both;
        let list = match which {
            Which::Old | Which::Crossed => old,
            Which::New => new,
        };
        list.get(peer.index()).copied()
    }

    /// Two different peers of two classes, or of one; `None` where there is only one.
    pub(super) fn samples(&self, src: ClassId, dst: ClassId) -> Option<(PeerId, PeerId)> {
        let of = |class: ClassId| Some(self.list.get(class.index())?.samples.as_slice());
        let src = *of(src)?.first()?;
        let other = of(dst)?.iter().find(|peer| **peer != src);
        Some((src, *other?))
    }

    /// On which sides a class, and another one, are.
    pub(super) fn on(&self, one: ClassId, other: Option<ClassId>) -> On {
        let mut classes = [Some(one), other].into_iter().flatten();
        let mut old = true;
        let mut new = true;
        for class in classes.by_ref() {
            old &= self.class(Which::Old, class).is_some();
            new &= self.class(Which::New, class).is_some();
        }
        match (old, new) {
            (true, true) => On::Both,
            (true, false) => On::Old,
            (false, true) => On::New,
            (false, false) => On::Neither,
        }
    }
}
