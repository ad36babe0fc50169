//! Connections, with what is equal put together.

use super::peers::ClassId;
use super::{Listing, Party, PeerId};
use crate::flows::AnswerId;
use crate::hir::Direction;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Everything that reaches some destinations.
///
/// A source that is also among the destinations reaches the others; itself only where it has several pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The destinations: peers, or addresses outside, never both.
    pub dst: Vec<Party>,
    /// The answers with the sources that have them, as their first source stands in the list of peers; the
    /// outside comes last.
    pub src: Vec<(AnswerId, Vec<Party>)>,
}

/// Which classes, and which addresses outside, have which answer.
#[derive(PartialEq, Eq, Hash)]
struct Column {
    /// Runs of classes: the first class of each with the answer.
    classes: Vec<(u32, AnswerId)>,
    outside: Vec<(super::RangesId, AnswerId)>,
}

impl Listing<'_> {
    /// All connections by destination: those that have the same sources stand together.
    pub fn blocks(&mut self) -> Vec<Block> {
        let by_class = self.peers_by_class();
        let mut groups: Vec<(Column, Vec<PeerId>)> = Vec::new();
        let mut known: FxHashMap<Column, usize> = FxHashMap::default();
        for peer in self.peer_ids() {
            let Some(class) = self.peers.class_of(peer) else {
                continue;
            };
            // Each class once, at its first peer.
            let Some(peers) = by_class.get(class.index()) else {
                continue;
            };
            if peers.first() != Some(&peer) {
                continue;
            }
            let column = self.column(class);
            if let Some(index) = known.get(&column) {
                if let Some((_, group)) = groups.get_mut(*index) {
                    group.extend(peers);
                }
                continue;
            }
            let copy = Column {
                classes: column.classes.clone(),
                outside: column.outside.clone(),
            };
            known.insert(copy, groups.len());
            groups.push((column, peers.clone()));
        }
        let mut blocks: Vec<Block> = Vec::new();
        for (column, mut dst) in groups {
            dst.sort_unstable();
            let alone = dst.len() == 1;
            let src = sources(&by_class, &column, dst.first().filter(|_| alone), |peer| {
                self.within(peer).is_some()
            });
            if !src.is_empty() {
                let dst = dst.into_iter().map(Party::Peer).collect();
                blocks.push(Block { dst, src });
            }
        }
        blocks.extend(self.to_the_outside(&by_class));
        blocks
    }

    fn peers_by_class(&self) -> Vec<Vec<PeerId>> {
        let mut by_class = vec![Vec::new(); self.classes()];
        for peer in self.peer_ids() {
            let class = self.peers.class_of(peer);
            if let Some(list) = class.and_then(|class| by_class.get_mut(class.index())) {
                list.push(peer);
            }
        }
        by_class
    }

    fn column(&mut self, dst: ClassId) -> Column {
        let mut classes: Vec<(u32, AnswerId)> = Vec::new();
        for (index, src) in (0..).zip(self.peers.class_ids()) {
            let answer = self.between_classes(src, dst);
            if classes.last().is_none_or(|(_, last)| *last != answer) {
                classes.push((index, answer));
            }
        }
        let mut outside = self.outside_of(dst, Direction::Ingress).to_vec();
        outside.sort_unstable();
        Column { classes, outside }
    }

    fn to_the_outside(&self, by_class: &[Vec<PeerId>]) -> Vec<Block> {
        let mut found: BTreeMap<super::RangesId, BTreeMap<AnswerId, Vec<Party>>> = BTreeMap::new();
        for (class, peers) in self.peers.class_ids().zip(by_class) {
            for (ranges, answer) in self.outside_of(class, Direction::Egress) {
                let list = found
                    .entry(*ranges)
                    .or_default()
                    .entry(*answer)
                    .or_default();
                list.extend(peers.iter().copied().map(Party::Peer));
            }
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_cached_key(|(ranges, _)| self.addresses(*ranges).to_vec());
        let blocks = found.into_iter().map(|(ranges, src)| Block {
            dst: vec![Party::Outside(ranges)],
            src: in_order(src),
        });
        blocks.collect()
    }
}

/// The sources of a column. A single destination that is a single pod is left out of its own sources.
fn sources(
    by_class: &[Vec<PeerId>],
    column: &Column,
    alone: Option<&PeerId>,
    mut reaches_itself: impl FnMut(PeerId) -> bool,
) -> Vec<(AnswerId, Vec<Party>)> {
    let alone = alone.filter(|peer| !reaches_itself(**peer));
    let mut found: BTreeMap<AnswerId, Vec<Party>> = BTreeMap::new();
    let mut runs = column.classes.iter().peekable();
    while let Some((first, answer)) = runs.next() {
        if *answer == AnswerId::NOTHING {
            continue;
        }
        let end = runs
            .peek()
            .map_or(by_class.len(), |(next, _)| *next as usize);
        let classes = by_class.get(*first as usize..end).unwrap_or_default();
        let peers = classes.iter().flatten().filter(|peer| Some(*peer) != alone);
        let mut peers = peers.copied().map(Party::Peer).peekable();
        if peers.peek().is_some() {
            found.entry(*answer).or_default().extend(peers);
        }
    }
    for (ranges, answer) in &column.outside {
        found
            .entry(*answer)
            .or_default()
            .push(Party::Outside(*ranges));
    }
    in_order(found)
}

fn in_order(found: BTreeMap<AnswerId, Vec<Party>>) -> Vec<(AnswerId, Vec<Party>)> {
    let mut src: Vec<(AnswerId, Vec<Party>)> = found.into_iter().collect();
    for (_, parties) in &mut src {
        parties.sort_unstable();
    }
    src.sort_by(|(_, one), (_, other)| one.first().cmp(&other.first()));
    src
}
