//! Connections one by one, and how many they are.

use super::matrix::Matrix;
use super::peers::ClassId;
use super::{Focus, Party, PeerId};
use crate::flows::AnswerId;
use crate::hir::Direction;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::collections::hash_map::Entry;

/// A pair with what may pass between them, or whatever else stands between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<A = AnswerId> {
    /// Where it comes from.
    pub src: Party,
    /// Where it goes.
    pub dst: Party,
    /// What becomes of it; never [`AnswerId::NOTHING`].
    pub answer: A,
}

/// How many connections there are; exactly as many as pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count<A = AnswerId> {
    /// All.
    pub total: usize,
    /// Those from or to the outside.
    pub outside: usize,
    /// The others, by the namespace of the destination.
    pub by_namespace: BTreeMap<Box<str>, usize>,
    /// All, by what stands between.
    pub by_answer: BTreeMap<A, usize>,
}

/// How many peers a class has, and how many of them are looked at.
#[derive(Clone, Copy, Default)]
struct Size {
    all: usize,
    focused: usize,
}

/// How many wanted sources a destination has by what stands between.
type Incoming<A> = Vec<(A, usize)>;

/// How many pairs are wanted, without making them.
pub(crate) fn count<M: Matrix>(matrix: &mut M, focus: &Focus) -> Count<M::Entry> {
    let mut count = Count {
        total: 0,
        outside: 0,
        by_namespace: BTreeMap::new(),
        by_answer: BTreeMap::new(),
    };
    let sizes = sizes(matrix, focus);
    let incoming = incoming(matrix, focus, &sizes);
    let mut diagonal: FxHashMap<ClassId, M::Entry> = FxHashMap::default();
    for peer in matrix.directory().peer_ids() {
        let Some(class) = matrix.class_of(peer) else {
            continue;
        };
        let focused = focus.has_peer(peer);
        let of_class = incoming.get(class.index());
        let here =
            of_class.map(|[to_focused, to_others]| if focused { to_focused } else { to_others });
        let mut here = here.cloned().unwrap_or_default();
        // Itself was counted as any other peer of its class.
        if focused {
            let counted = *diagonal
                .entry(class)
                .or_insert_with(|| matrix.between_classes(class, class));
            take(&mut here, counted);
            if let Some(within) = matrix.within(peer).filter(|entry| *entry != M::NOTHING) {
                add(&mut here, within, 1);
            }
        }
        for (entry, pairs) in here {
            count.of_peers(matrix, peer, entry, pairs);
        }
        for direction in [Direction::Ingress, Direction::Egress] {
            for entry in outside_pairs(matrix, focus, class, focused, direction) {
                count.total += 1;
                count.outside += 1;
                *count.by_answer.entry(entry).or_default() += 1;
            }
        }
    }
    count
}

impl<A: Copy + Ord> Count<A> {
    /// Adds pairs that lead to a peer.
    fn of_peers(&mut self, matrix: &impl Matrix, dst: PeerId, entry: A, pairs: usize) {
        if pairs == 0 {
            return;
        }
        self.total += pairs;
        *self.by_answer.entry(entry).or_default() += pairs;
        if let Some(peer) = matrix.directory().peer(dst) {
            let namespace = peer.namespace.clone();
            *self.by_namespace.entry(namespace).or_default() += pairs;
        }
    }
}

fn add<A: Copy + Eq>(incoming: &mut Incoming<A>, entry: A, pairs: usize) {
    match incoming.iter_mut().find(|(known, _)| *known == entry) {
        Some((_, count)) => *count += pairs,
        None => incoming.push((entry, pairs)),
    }
}

fn take<A: Copy + Eq>(incoming: &mut Incoming<A>, entry: A) {
    if let Some((_, count)) = incoming.iter_mut().find(|(known, _)| *known == entry) {
        *count = count.saturating_sub(1);
    }
}

fn sizes<M: Matrix>(matrix: &M, focus: &Focus) -> Vec<Size> {
    let mut sizes = vec![Size::default(); matrix.classes()];
    for peer in matrix.directory().peer_ids() {
        let class = matrix.class_of(peer);
        if let Some(size) = class.and_then(|class| sizes.get_mut(class.index())) {
            size.all += 1;
            size.focused += usize::from(focus.has_peer(peer));
        }
    }
    sizes
}

/// By class: how many wanted sources reach a peer that is looked at, and one that is not.
fn incoming<M: Matrix>(
    matrix: &mut M,
    focus: &Focus,
    sizes: &[Size],
) -> Vec<[Incoming<M::Entry>; 2]> {
    let classes: Vec<ClassId> = matrix.class_ids().collect();
    let mut incoming = Vec::with_capacity(classes.len());
    for dst in &classes {
        let mut to = [Incoming::new(), Incoming::new()];
        let [to_focused, to_others] = &mut to;
        for (src, size) in classes.iter().zip(sizes) {
            // Sources of which none is wanted need no answer.
            if !focus.ingress() && size.focused == 0 {
                continue;
            }
            let entry = matrix.between_classes(*src, *dst);
            if entry == M::NOTHING {
                continue;
            }
            let leaving = if focus.egress() { size.focused } else { 0 };
            let coming = if focus.ingress() { size.all } else { leaving };
            add(to_focused, entry, coming);
            add(to_others, entry, leaving);
        }
        incoming.push(to);
    }
    incoming
}

/// What stands between a peer of a class and each wanted part of the outside.
fn outside_pairs<M: Matrix>(
    matrix: &M,
    focus: &Focus,
    class: ClassId,
    focused: bool,
    direction: Direction,
) -> Vec<M::Entry> {
    // A peer is the destination of what comes in, and the source of what goes out.
    let (peer_wanted, outside_wanted) = match direction {
        Direction::Ingress => (focus.ingress(), focus.egress()),
        Direction::Egress => (focus.egress(), focus.ingress()),
    };
    let runs = matrix.outside_of(class, direction).iter();
    let wanted = runs.filter(|(ranges, _)| {
        focused && peer_wanted
            || outside_wanted && focus.has_addresses(matrix.directory().addresses(*ranges))
    });
    wanted.map(|(_, entry)| *entry).collect()
}

/// The pairs that are wanted, by source and destination; the outside comes last.
pub(crate) fn pairs<M: Matrix>(matrix: &mut M, focus: &Focus) -> Vec<Pair<M::Entry>> {
    let peers: Vec<PeerId> = matrix.directory().peer_ids().collect();
    let focused: Vec<PeerId> = peers
        .iter()
        .copied()
        .filter(|id| focus.has_peer(*id))
        .collect();
    let mut pairs = Vec::new();
    let pair =
        |src, dst, answer: M::Entry| (answer != M::NOTHING).then_some(Pair { src, dst, answer });
    let mut rows: FxHashMap<(ClassId, ClassId), M::Entry> = FxHashMap::default();
    for src in &peers {
        let Some(class) = matrix.class_of(*src) else {
            continue;
        };
        let leaves = focus.egress() && focus.has_peer(*src);
        let destinations = match (leaves, focus.ingress()) {
            (true, _) => &peers,
            (false, true) => &focused,
            (false, false) => &Vec::new(),
        };
        for dst in destinations {
            let answer = if src == dst {
                matrix.within(*src)
            } else {
                let to = matrix.class_of(*dst);
                to.map(|to| match rows.entry((class, to)) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(place) => *place.insert(matrix.between_classes(class, to)),
                })
            };
            let (src, dst) = (Party::Peer(*src), Party::Peer(*dst));
            pairs.extend(answer.and_then(|answer| pair(src, dst, answer)));
        }
        for (ranges, answer) in matrix.outside_of(class, Direction::Egress) {
            let (src, dst) = (Party::Peer(*src), Party::Outside(*ranges));
            if focus.wants(matrix.directory(), src, dst) {
                pairs.extend(pair(src, dst, *answer));
            }
        }
    }
    for dst in &peers {
        let Some(class) = matrix.class_of(*dst) else {
            continue;
        };
        for (ranges, answer) in matrix.outside_of(class, Direction::Ingress) {
            let (src, dst) = (Party::Outside(*ranges), Party::Peer(*dst));
            if focus.wants(matrix.directory(), src, dst) {
                pairs.extend(pair(src, dst, *answer));
            }
        }
    }
    pairs
}
