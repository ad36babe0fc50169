//! Connections, with what is equal put together.

use super::peers::ClassId;
use super::{Focus, Listing, Party, PeerId, RangesId};
use crate::flows::AnswerId;
use crate::hir::Direction;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::net::IpAddr;

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
#[derive(Clone, PartialEq, Eq, Hash)]
struct Column {
    /// Runs of classes: the first class of each with the answer.
    classes: Vec<(u32, AnswerId)>,
    outside: Vec<(RangesId, AnswerId)>,
}

/// Peers by their class.
type ByClass = Vec<Vec<PeerId>>;

/// What a destination that stands alone may send to itself; `None` where it is a single pod.
type Itself = (PeerId, Option<AnswerId>);

impl Listing<'_> {
    /// All connections by destination: those that have the same sources stand together.
    pub fn blocks(&mut self) -> Vec<Block> {
        self.blocks_of(&Focus::everything())
    }

    /// The wanted connections by destination: first those that come to the peers that are looked at, then those
    /// that leave them.
    pub fn blocks_of(&mut self, focus: &Focus) -> Vec<Block> {
        let all = self.by_class(|_| true);
        let focused = self.by_class(|peer| focus.has_peer(peer));
        let mut blocks = Vec::new();
        if focus.ingress() {
            blocks.extend(self.between_peers(&all, &focused, |_| true));
        }
        if focus.egress() {
            let dst = if focus.ingress() {
                &self.by_class(|peer| !focus.has_peer(peer))
            } else {
                &all
            };
            let wanted = |runs: &[(IpAddr, IpAddr)]| focus.has_addresses(runs);
            blocks.extend(self.between_peers(&focused, dst, wanted));
        }
        blocks.extend(self.to_the_outside(focus, &all, &focused));
        blocks
    }

    fn by_class(&self, wanted: impl Fn(PeerId) -> bool) -> ByClass {
        let mut by_class = vec![Vec::new(); self.classes()];
        for peer in self.peer_ids().filter(|peer| wanted(*peer)) {
            let class = self.peers.class_of(peer);
            if let Some(list) = class.and_then(|class| by_class.get_mut(class.index())) {
                list.push(peer);
            }
        }
        by_class
    }

    /// What some peers, and some addresses outside, may send to some peers.
    fn between_peers(
        &mut self,
        src: &ByClass,
        dst: &ByClass,
        outside: impl Fn(&[(IpAddr, IpAddr)]) -> bool,
    ) -> Vec<Block> {
        let mut groups: Vec<(Column, Vec<PeerId>)> = Vec::new();
        let mut known: FxHashMap<Column, usize> = FxHashMap::default();
        for (class, peers) in self.peers.class_ids().zip(dst) {
            if peers.is_empty() {
                continue;
            }
            let column = self.column(class, src, &outside);
            let (apart, alike): (Vec<PeerId>, Vec<PeerId>) =
                peers.iter().partition(|peer| self.is_apart(class, **peer));
            groups.extend(apart.into_iter().map(|peer| (column.clone(), vec![peer])));
            if alike.is_empty() {
                continue;
            }
            let index = *known.entry(column.clone()).or_insert(groups.len());
            match groups.get_mut(index) {
                Some((_, group)) => group.extend(alike),
                None => groups.push((column, alike)),
            }
        }
        let mut blocks: Vec<Block> = Vec::new();
        for (column, mut dst) in groups {
            dst.sort_unstable();
            let itself = match dst.as_slice() {
                [alone] => Some((*alone, self.within(*alone))),
                _ => None,
            };
            let src = sources(src, &column, itself);
            if !src.is_empty() {
                let dst = dst.into_iter().map(Party::Peer).collect();
                blocks.push(Block { dst, src });
            }
        }
        blocks.sort_by(|one, other| one.dst.cmp(&other.dst));
        blocks
    }

    /// Whether a peer's own pods have another answer among them than peers of its class have: it stands in a
    /// block of its own.
    fn is_apart(&mut self, class: ClassId, peer: PeerId) -> bool {
        if self.peers.members(class).len() < 2 {
            return false;
        }
        let within = self.within(peer);
        within.is_some_and(|answer| answer != self.between_classes(class, class))
    }

    fn column(
        &mut self,
        dst: ClassId,
        src: &ByClass,
        wanted: impl Fn(&[(IpAddr, IpAddr)]) -> bool,
    ) -> Column {
        let mut classes: Vec<(u32, AnswerId)> = Vec::new();
        for ((index, class), peers) in (0..).zip(self.peers.class_ids()).zip(src) {
            if peers.is_empty() {
                continue;
            }
            let answer = self.between_classes(class, dst);
            if classes.last().is_none_or(|(_, last)| *last != answer) {
                classes.push((index, answer));
            }
        }
        let mut outside = self.outside_of(dst, Direction::Ingress).to_vec();
        outside.retain(|(ranges, _)| wanted(self.addresses(*ranges)));
        outside.sort_unstable();
        Column { classes, outside }
    }

    fn to_the_outside(&self, focus: &Focus, all: &ByClass, focused: &ByClass) -> Vec<Block> {
        let mut found: BTreeMap<RangesId, BTreeMap<AnswerId, Vec<Party>>> = BTreeMap::new();
        let classes = self.peers.class_ids().zip(all).zip(focused);
        for ((class, all), focused) in classes {
            for (ranges, answer) in self.outside_of(class, Direction::Egress) {
                let come = focus.ingress() && focus.has_addresses(self.addresses(*ranges));
                let peers = match (come, focus.egress()) {
                    (true, _) => all.as_slice(),
                    (false, true) => focused.as_slice(),
                    (false, false) => &[],
                };
                if peers.is_empty() {
                    continue;
                }
                let of_ranges = found.entry(*ranges).or_default();
                let list = of_ranges.entry(*answer).or_default();
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

/// The sources of a column; a destination that stands alone has an answer of its own.
fn sources(
    by_class: &ByClass,
    column: &Column,
    itself: Option<Itself>,
) -> Vec<(AnswerId, Vec<Party>)> {
    let mut found: BTreeMap<AnswerId, Vec<Party>> = BTreeMap::new();
    let mut here = false;
    let mut runs = column.classes.iter().peekable();
    while let Some((first, answer)) = runs.next() {
        let end = runs
            .peek()
            .map_or(by_class.len(), |(next, _)| *next as usize);
        let classes = by_class.get(*first as usize..end).unwrap_or_default();
        for peer in classes.iter().flatten() {
            if itself.is_some_and(|(itself, _)| itself == *peer) {
                here = true;
            } else if *answer != AnswerId::NOTHING {
                found.entry(*answer).or_default().push(Party::Peer(*peer));
            }
        }
    }
    if let Some((peer, Some(answer))) = itself
        && here
        && answer != AnswerId::NOTHING
    {
        found.entry(answer).or_default().push(Party::Peer(peer));
    }
    for (ranges, answer) in &column.outside {
        let parties = found.entry(*answer).or_default();
        parties.push(Party::Outside(*ranges));
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
