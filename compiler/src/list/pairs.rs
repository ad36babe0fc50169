//! Connections one by one, and how many they are.

use super::peers::ClassId;
use super::{Focus, Listing, Pair, Party, PeerId};
use crate::flows::AnswerId;
use crate::hir::Direction;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::collections::hash_map::Entry;

/// How many connections there are; exactly as many as pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All.
    pub total: usize,
    /// Those from or to the outside.
    pub outside: usize,
    /// The others, by the namespace of the destination.
    pub by_namespace: BTreeMap<Box<str>, usize>,
}

/// How many peers a class has, and how many of them are looked at.
#[derive(Clone, Copy, Default)]
struct Size {
    all: usize,
    focused: usize,
}

impl Listing<'_> {
    /// How many pairs there are, without making them.
    pub fn count(&mut self) -> usize {
        self.count_of(&Focus::everything()).total
    }

    /// How many pairs are wanted, without making them.
    pub fn count_of(&mut self, focus: &Focus) -> Count {
        let mut count = Count::default();
        let sizes = self.sizes(focus);
        let incoming = self.incoming(focus, &sizes);
        let mut diagonal: FxHashMap<ClassId, bool> = FxHashMap::default();
        for peer in self.peer_ids() {
            let Some(class) = self.peers.class_of(peer) else {
                continue;
            };
            let focused = focus.has_peer(peer);
            let [to_focused, to_others] = incoming.get(class.index()).copied().unwrap_or_default();
            let mut here = if focused { to_focused } else { to_others };
            // Itself was counted as any other peer of its class.
            if focused {
                let counted = *diagonal
                    .entry(class)
                    .or_insert_with(|| self.between_classes(class, class) != AnswerId::NOTHING);
                let within = self.within(peer);
                let is_pair = within.is_some_and(|answer| answer != AnswerId::NOTHING);
                here = here + usize::from(is_pair) - usize::from(counted);
            }
            for direction in [Direction::Ingress, Direction::Egress] {
                count.outside += self.outside_pairs(focus, class, focused, direction);
            }
            if here > 0
                && let Some(peer) = self.peer(peer)
            {
                *count
                    .by_namespace
                    .entry(peer.namespace.clone())
                    .or_default() += here;
            }
        }
        count.total = count.outside + count.by_namespace.values().sum::<usize>();
        count
    }

    fn sizes(&self, focus: &Focus) -> Vec<Size> {
        let mut sizes = vec![Size::default(); self.classes()];
        for peer in self.peer_ids() {
            let class = self.peers.class_of(peer);
            if let Some(size) = class.and_then(|class| sizes.get_mut(class.index())) {
                size.all += 1;
                size.focused += usize::from(focus.has_peer(peer));
            }
        }
        sizes
    }

    /// By class: how many wanted sources reach a peer that is looked at, and one that is not.
    fn incoming(&mut self, focus: &Focus, sizes: &[Size]) -> Vec<[usize; 2]> {
        let classes: Vec<ClassId> = self.peers.class_ids().collect();
        let mut incoming = Vec::with_capacity(classes.len());
        for dst in &classes {
            let mut reached = Size::default();
            for (src, size) in classes.iter().zip(sizes) {
                // Sources of which none is wanted need no answer.
                if (focus.ingress() || size.focused > 0)
                    && self.between_classes(*src, *dst) != AnswerId::NOTHING
                {
                    reached.all += size.all;
                    reached.focused += size.focused;
                }
            }
            let leaving = if focus.egress() { reached.focused } else { 0 };
            let coming = if focus.ingress() {
                reached.all
            } else {
                leaving
            };
            incoming.push([coming, leaving]);
        }
        incoming
    }

    fn outside_pairs(
        &self,
        focus: &Focus,
        class: ClassId,
        focused: bool,
        direction: Direction,
    ) -> usize {
        // A peer is the destination of what comes in, and the source of what goes out.
        let (peer_wanted, outside_wanted) = match direction {
            Direction::Ingress => (focus.ingress(), focus.egress()),
            Direction::Egress => (focus.egress(), focus.ingress()),
        };
        let runs = self.outside_of(class, direction).iter();
        let wanted = runs.filter(|(ranges, _)| {
            focused && peer_wanted || outside_wanted && focus.has_addresses(self.addresses(*ranges))
        });
        wanted.count()
    }

    /// Every pair between which something passes, by source and destination; the outside comes last.
    pub fn pairs(&mut self) -> Vec<Pair> {
        self.pairs_of(&Focus::everything())
    }

    /// The pairs that are wanted, in the same order.
    pub fn pairs_of(&mut self, focus: &Focus) -> Vec<Pair> {
        let peers: Vec<PeerId> = self.peer_ids().collect();
        let focused: Vec<PeerId> = peers
            .iter()
            .copied()
            .filter(|id| focus.has_peer(*id))
            .collect();
        let mut pairs = Vec::new();
        let mut rows: FxHashMap<(ClassId, ClassId), AnswerId> = FxHashMap::default();
        for src in &peers {
            let Some(class) = self.peers.class_of(*src) else {
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
                    self.within(*src)
                } else {
                    let to = self.peers.class_of(*dst);
                    to.map(|to| match rows.entry((class, to)) {
                        Entry::Occupied(known) => *known.get(),
                        Entry::Vacant(place) => *place.insert(self.between_classes(class, to)),
                    })
                };
                pairs.extend(Pair::of(Party::Peer(*src), Party::Peer(*dst), answer));
            }
            for (ranges, answer) in self.outside_of(class, Direction::Egress) {
                let (src, dst) = (Party::Peer(*src), Party::Outside(*ranges));
                if focus.wants(self, src, dst) {
                    pairs.extend(Pair::of(src, dst, Some(*answer)));
                }
            }
        }
        for dst in &peers {
            for (ranges, answer) in self.outside(*dst, Direction::Ingress) {
                let (src, dst) = (Party::Outside(*ranges), Party::Peer(*dst));
                if focus.wants(self, src, dst) {
                    pairs.extend(Pair::of(src, dst, Some(*answer)));
                }
            }
        }
        pairs
    }
}
