//! Connections, with what is equal put together.

use super::matrix::Matrix;
use super::peers::ClassId;
use super::{Focus, Party, PeerId, RangesId};
use crate::flows::AnswerId;
use crate::hir::Direction;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Everything that reaches some destinations.
///
/// A source that is also among the destinations reaches the others; itself only where it has several pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<A = AnswerId> {
    /// The destinations: peers, or addresses outside, never both.
    pub dst: Vec<Party>,
    /// The answers, or whatever stands between, with the sources that have them, as their first source stands in the list of peers; the
    /// outside comes last.
    pub src: Vec<(A, Vec<Party>)>,
}

/// Which classes, and which addresses outside, have which answer.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Column<A> {
    /// Runs of classes: the first class of each with the answer.
    classes: Vec<(u32, A)>,
    outside: Vec<(RangesId, A)>,
}

/// Peers by their class.
type ByClass = Vec<Vec<PeerId>>;

/// What a destination that stands alone may send to itself; `None` where it is a single pod.
type Itself<A> = (PeerId, Option<A>);

/// The wanted connections by destination: first those that come to the peers that are looked at, then those
/// that leave them.
pub(crate) fn blocks<M: Matrix>(matrix: &mut M, focus: &Focus) -> Vec<Block<M::Entry>> {
    let all = by_class(matrix, |_| true);
    let focused = by_class(matrix, |peer| focus.has_peer(peer));
    let mut blocks = Vec::new();
    if focus.ingress() {
        blocks.extend(between_peers(matrix, &all, &focused, |_| true));
    }
    if focus.egress() {
        let dst = if focus.ingress() {
            &by_class(matrix, |peer| !focus.has_peer(peer))
        } else {
            &all
        };
        let wanted = |runs: &[(IpAddr, IpAddr)]| focus.has_addresses(runs);
        blocks.extend(between_peers(matrix, &focused, dst, wanted));
    }
    blocks.extend(to_the_outside(matrix, focus, &all, &focused));
    blocks
}

fn by_class<M: Matrix>(matrix: &M, wanted: impl Fn(PeerId) -> bool) -> ByClass {
    let mut by_class = vec![Vec::new(); matrix.classes()];
    for peer in matrix.directory().peer_ids().filter(|peer| wanted(*peer)) {
        let class = matrix.class_of(peer);
        if let Some(list) = class.and_then(|class| by_class.get_mut(class.index())) {
            list.push(peer);
        }
    }
    by_class
}

/// What stands from some peers, and some addresses outside, to some peers.
fn between_peers<M: Matrix>(
    matrix: &mut M,
    src: &ByClass,
    dst: &ByClass,
    outside: impl Fn(&[(IpAddr, IpAddr)]) -> bool,
) -> Vec<Block<M::Entry>> {
    let mut groups: Vec<(Column<M::Entry>, Vec<PeerId>)> = Vec::new();
    let mut known: FxHashMap<Column<M::Entry>, usize> = FxHashMap::default();
    for (class, peers) in matrix.class_ids().zip(dst) {
        if peers.is_empty() {
            continue;
        }
        let column = column(matrix, class, src, &outside);
        let (apart, alike): (Vec<PeerId>, Vec<PeerId>) = peers
            .iter()
            .partition(|peer| is_apart(matrix, class, **peer));
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
    let mut blocks: Vec<Block<M::Entry>> = Vec::new();
    for (column, mut dst) in groups {
        dst.sort_unstable();
        let itself = match dst.as_slice() {
            [alone] => Some((*alone, matrix.within(*alone))),
            _ => None,
        };
        let src = sources(src, &column, itself, M::NOTHING);
        if !src.is_empty() {
            let dst = dst.into_iter().map(Party::Peer).collect();
            blocks.push(Block { dst, src });
        }
    }
    blocks.sort_by(|one, other| one.dst.cmp(&other.dst));
    blocks
}

/// Whether something else stands between a peer's own pods than between peers of its class: it stands in a block
/// of its own.
fn is_apart<M: Matrix>(matrix: &mut M, class: ClassId, peer: PeerId) -> bool {
    if !matrix.varies(class) {
        return false;
    }
    let within = matrix.within(peer);
    within.is_some_and(|entry| entry != matrix.between_classes(class, class))
}

fn column<M: Matrix>(
    matrix: &mut M,
    dst: ClassId,
    src: &ByClass,
    wanted: impl Fn(&[(IpAddr, IpAddr)]) -> bool,
) -> Column<M::Entry> {
    let mut classes: Vec<(u32, M::Entry)> = Vec::new();
    for ((index, class), peers) in (0..).zip(matrix.class_ids()).zip(src) {
        if peers.is_empty() {
            continue;
        }
        let entry = matrix.between_classes(class, dst);
        if classes.last().is_none_or(|(_, last)| *last != entry) {
            classes.push((index, entry));
        }
    }
    let mut outside = matrix.outside_of(dst, Direction::Ingress).to_vec();
    outside.retain(|(ranges, _)| wanted(matrix.directory().addresses(*ranges)));
    outside.sort_unstable();
    Column { classes, outside }
}

fn to_the_outside<M: Matrix>(
    matrix: &M,
    focus: &Focus,
    all: &ByClass,
    focused: &ByClass,
) -> Vec<Block<M::Entry>> {
    let mut found: BTreeMap<RangesId, BTreeMap<M::Entry, Vec<Party>>> = BTreeMap::new();
    let addresses = |ranges| matrix.directory().addresses(ranges);
    let classes = matrix.class_ids().zip(all).zip(focused);
    for ((class, all), focused) in classes {
        for (ranges, entry) in matrix.outside_of(class, Direction::Egress) {
            let come = focus.ingress() && focus.has_addresses(addresses(*ranges));
            let peers = match (come, focus.egress()) {
                (true, _) => all.as_slice(),
                (false, true) => focused.as_slice(),
                (false, false) => &[],
            };
            if peers.is_empty() {
                continue;
            }
            let of_ranges = found.entry(*ranges).or_default();
            let list = of_ranges.entry(*entry).or_default();
            list.extend(peers.iter().copied().map(Party::Peer));
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_cached_key(|(ranges, _)| addresses(*ranges).to_vec());
    let blocks = found.into_iter().map(|(ranges, src)| Block {
        dst: vec![Party::Outside(ranges)],
        src: in_order(src),
    });
    blocks.collect()
}

/// The sources of a column; a destination that stands alone has an answer of its own.
fn sources<A: Copy + Ord>(
    by_class: &ByClass,
    column: &Column<A>,
    itself: Option<Itself<A>>,
    nothing: A,
) -> Vec<(A, Vec<Party>)> {
    let mut found: BTreeMap<A, Vec<Party>> = BTreeMap::new();
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
            } else if *answer != nothing {
                found.entry(*answer).or_default().push(Party::Peer(*peer));
            }
        }
    }
    if let Some((peer, Some(answer))) = itself
        && here
        && answer != nothing
    {
        found.entry(answer).or_default().push(Party::Peer(peer));
    }
    for (ranges, answer) in &column.outside {
        let parties = found.entry(*answer).or_default();
        parties.push(Party::Outside(*ranges));
    }
    in_order(found)
}

fn in_order<A>(found: BTreeMap<A, Vec<Party>>) -> Vec<(A, Vec<Party>)> {
    let mut src: Vec<(A, Vec<Party>)> = found.into_iter().collect();
    for (_, parties) in &mut src {
        parties.sort_unstable();
    }
    src.sort_by(|(_, one), (_, other)| one.first().cmp(&other.first()));
    src
}
