//! Two images of one node, compared as flows: which packets get another verdict, or are decided by another rule.
//!
//! Addresses are taken together where both images take them alike, packets where both put them into one class; each pair of
//! these is asked once. Peers without an address are compared where both images number them alike. Somebody who means ill may
//! have made an image whose addresses are too many to look at: not all are, and that is said.

use crate::cluster::Protocol;
use crate::hir::Direction;
use crate::image::{Image, Said, Visited};
use crate::lir::transport::NOT_KNOWN;
use rustc_hash::FxHashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use verdict_abi::{Code, Config, Section, Tables as _, Use, half, port_class, quarter};

/// How many changes are told one by one.
#[derive(Clone, Copy, Debug)]
pub struct Examples(pub usize);

/// What one side of a flow is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// By the image.
    Said(Box<Said>),
    /// It has nothing to say.
    Nothing,
}

/// A kind of flows that two images decide otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The endpoint: `namespace/name`.
    pub endpoint: Box<str>,
    /// Which side of the flow is asked.
    pub direction: Direction,
    /// Whether the endpoint sends to itself by way of a service.
    pub by_service: bool,
    /// An address at the other end; none of a peer whose address is not known.
    pub other: Option<IpAddr>,
    /// The protocol.
    pub protocol: Protocol,
    /// The first and the last port, or type and code, of a run.
    pub values: (u32, u32),
    /// What the one says.
    pub before: Decided,
    /// What the other says.
    pub after: Decided,
}

/// What differs between two images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// How many kinds of flows get another verdict: endpoint, direction, peers and packets that nothing tells apart.
    pub verdicts: u64,
    /// Some of them.
    pub examples: Vec<Change>,
    /// How many kinds of flows are decided by another rule, or one that stands elsewhere, to the same effect.
    pub rules: u64,
    /// The first of them.
    pub rule: Option<Change>,
    /// Endpoints that only the other image has.
    pub new: Vec<Box<str>>,
    /// Endpoints that only the one image has.
    pub gone: Vec<Box<str>>,
    /// Whether there are more runs of addresses than are looked at, so that more may differ.
    pub cut: bool,
}

impl Changes {
    /// Whether no packet can tell the two images apart.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.verdicts == 0
            && self.rules == 0
            && self.new.is_empty()
            && self.gone.is_empty()
            && !self.cut
    }
}

/// Peers, or packets, that neither image tells apart: the class in each.
type Classes<T> = Vec<((u32, u32), T)>;
/// A run of packets: protocol, first and last value.
type Packets = (Protocol, u32, u32);

/// What there is to look at in two images.
struct Pair<'p, 'b> {
    images: [&'p Image<'b>; 2],
    peers: Classes<Option<IpAddr>>,
    packets: Classes<Packets>,
    /// By rows of both: the packets that they decide otherwise, and whether with another verdict.
    rows: FxHashMap<(u32, u32), Vec<(usize, bool)>>,
}

/// Compares two images of one node.
#[must_use]
pub fn compare(before: &Image<'_>, after: &Image<'_>, examples: Examples) -> Changes {
    let (peers, seen) = peers([before, after]);
    let mut pair = Pair {
        images: [before, after],
        peers,
        packets: packets([before, after]),
        rows: FxHashMap::default(),
    };
    let mut changes = Changes {
        cut: seen == Seen::Part,
        ..Changes::default()
    };
    let known: FxHashMap<&str, u32> = names(after).collect();
    for (name, endpoint) in names(before) {
        match known.get(name) {
            Some(other) => pair.endpoint(name, [endpoint, *other], examples, &mut changes),
            None => changes.gone.push(name.into()),
        }
    }
    let known: FxHashMap<&str, u32> = names(before).collect();
    let new = names(after).filter(|(name, _)| !known.contains_key(name));
    changes.new = new.map(|(name, _)| name.into()).collect();
    changes
}

fn names<'i>(image: &'i Image<'_>) -> impl Iterator<Item = (&'i str, u32)> {
    let names = image.source().endpoints.iter();
    names.map(|name| &**name).zip(0..)
}

impl Pair<'_, '_> {
    fn endpoint(
        &mut self,
        name: &str,
        endpoints: [u32; 2],
        examples: Examples,
        changes: &mut Changes,
    ) {
        for (of, direction, by_service) in [
            (Use::Ingress, Direction::Ingress, false),
            (Use::Egress, Direction::Egress, false),
            (Use::HairpinIngress, Direction::Ingress, true),
            (Use::HairpinEgress, Direction::Egress, true),
        ] {
            let own = by_service.then(|| self.own(endpoints));
            for index in 0..self.peers.len() {
                let Some(((one, other), address)) = self.peers.get(index).copied() else {
                    continue;
                };
                if own.as_ref().is_some_and(|own| !own.contains(&(one, other))) {
                    continue;
                }
                let row = |side: usize, class| {
                    let image = self.images.get(side)?;
                    let endpoint = *endpoints.get(side)?;
                    let table = half(*image, Section::Endpoints, endpoint * 4 + of as u32)?;
                    let at = table.checked_mul(image.count(Config::Classes))?;
                    quarter(*image, Section::Rows, at.checked_add(class)?)
                };
                let (Some(one), Some(other)) = (row(0, one), row(1, other)) else {
                    continue;
                };
                for (packets, is_verdict) in self.differing((one, other)) {
                    let Some((classes, (protocol, first, last))) = self.packets.get(packets) else {
                        continue;
                    };
                    let wanted = if is_verdict {
                        changes.verdicts += 1;
                        changes.examples.len() < examples.0
                    } else {
                        changes.rules += 1;
                        changes.rule.is_none()
                    };
                    if !wanted {
                        continue;
                    }
                    let change = Change {
                        endpoint: name.into(),
                        direction,
                        by_service,
                        other: address,
                        protocol: *protocol,
                        values: (*first, *last),
                        before: self.said(0, one, classes.0),
                        after: self.said(1, other, classes.1),
                    };
                    if is_verdict {
                        changes.examples.push(change);
                    } else {
                        changes.rule = Some(change);
                    }
                }
            }
        }
    }

    /// The classes of the addresses of an endpoint.
    fn own(&self, endpoints: [u32; 2]) -> Vec<(u32, u32)> {
        let [before, after] = self.images;
        let [own, _] = endpoints;
        let addresses = before.endpoint_addresses();
        let of = addresses.filter(|(_, endpoint)| *endpoint == own);
        of.filter_map(|(address, _)| {
            let class = |image: &Image<'_>| quarter(image, Section::Leaves, image.leaf(address)?);
            Some((class(before)?, class(after)?))
        })
        .collect()
    }

    fn differing(&mut self, rows: (u32, u32)) -> Vec<(usize, bool)> {
        if let Some(known) = self.rows.get(&rows) {
            return known.clone();
        }
        let differ = self
            .packets
            .iter()
            .enumerate()
            .filter_map(|(index, ((one, other), _))| {
                let (one, other) = (self.said(0, rows.0, *one), self.said(1, rows.1, *other));
                (one != other).then(|| (index, verdict(&one) != verdict(&other)))
            });
        let differ: Vec<(usize, bool)> = differ.collect();
        self.rows.insert(rows, differ.clone());
        differ
    }

    /// What an image says in a row of a class of packets; the number of the origin is not told.
    fn said(&self, side: usize, row: u32, class: u32) -> Decided {
        let Some(image) = self.images.get(side) else {
            return Decided::Nothing;
        };
        let at = row.checked_mul(image.count(Config::PortClasses));
        let at = at.and_then(|at| at.checked_add(class));
        let code = at.and_then(|at| quarter(*image, Section::Cells, at));
        let code = code.and_then(|code| image.word(Section::Codes, code));
        let Some(code) = code.and_then(Code::of) else {
            return Decided::Nothing;
        };
        Decided::Said(Box::new(Said {
            code: Code { origin: 0, ..code },
            origin: image.source().decider(code).cloned(),
        }))
    }
}

fn verdict(decided: &Decided) -> Option<Code> {
    match decided {
        Decided::Said(said) => Some(said.code),
        Decided::Nothing => None,
    }
}

/// How much of the addresses of an image was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    All,
    Part,
}

/// The pairs of classes of all peers, each with an address that it has.
fn peers(images: [&Image<'_>; 2]) -> (Classes<Option<IpAddr>>, Seen) {
    let mut found: FxHashMap<(u32, u32), usize> = FxHashMap::default();
    let mut list = Classes::new();
    let mut add = |leaves: [u32; 2], address| {
        let [one, other] = images;
        let class = |image: &Image<'_>, leaf| quarter(image, Section::Leaves, leaf);
        let [leaf, leaf_of_other] = leaves;
        let classes = class(one, leaf).zip(class(other, leaf_of_other));
        let Some(classes) = classes else { return };
        found.entry(classes).or_insert_with(|| {
            list.push((classes, address));
            list.len() - 1
        });
    };
    let [before, after] = images;
    let ((one, seen), (other, seen_of_other)) = (v4(before), v4(after));
    for (start, leaves) in merged(&one, &other) {
        add(leaves, Some(Ipv4Addr::from_bits(start).into()));
    }
    for (start, leaves) in merged(&before.v6_runs(), &after.v6_runs()) {
        add(leaves, Some(Ipv6Addr::from_bits(start).into()));
    }
    let numbered_alike = before.world().leaves == after.world().leaves
        && before.world().identities == after.world().identities;
    if numbered_alike {
        for leaf in 0..before.count(Config::Leaves) {
            add([leaf, leaf], None);
        }
    }
    (list, seen.max(seen_of_other))
}

/// Where either changes, with what both say from there on.
fn merged<T: Copy + Ord>(
    one: &[(T, u32)],
    other: &[(T, u32)],
) -> impl Iterator<Item = (T, [u32; 2])> {
    let (mut a, mut b) = (one.iter().peekable(), other.iter().peekable());
    let mut told = [0, 0];
    std::iter::from_fn(move || {
        let next = [a.peek(), b.peek()].into_iter().flatten();
        let next = next.map(|(start, _)| *start).min()?;
        let [one, other] = &mut told;
        if let Some((_, leaf)) = a.next_if(|(start, _)| *start == next) {
            *one = *leaf;
        }
        if let Some((_, leaf)) = b.next_if(|(start, _)| *start == next) {
            *other = *leaf;
        }
        Some((next, told))
    })
}

/// The most blocks of the trie that are looked at: they may be shared, so that a small trie may have four billion parts.
const MAX_BLOCKS: usize = 1 << 20;
/// The most parts of the trie that are looked at: a second.
const MAX_PARTS: usize = 1 << 28;
/// The most runs of IPv4 addresses that are looked at, of 8 bytes each: as many as an image has leaves at most.
const MAX_RUNS: usize = 1 << 24;

/// The runs of IPv4 addresses: where each begins, ascending from 0, with its leaf.
fn v4(image: &Image<'_>) -> (Vec<(u32, u32)>, Seen) {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    let mut parts = 0;
    let visited = image.visit_v4(MAX_BLOCKS, |start, found| {
        parts += 1;
        let is_new = runs.last().is_none_or(|(_, leaf)| *leaf != found);
        if parts > MAX_PARTS || (is_new && runs.len() >= MAX_RUNS) {
            return ControlFlow::Break(());
        }
        if is_new {
            runs.push((start, found));
        }
        ControlFlow::Continue(())
    });
    match visited {
        Visited::All => (runs, Seen::All),
        Visited::TooMany | Visited::Stopped(()) => (runs, Seen::Part),
    }
}

/// The pairs of classes of all packets, each with the first run that it has.
fn packets(images: [&Image<'_>; 2]) -> Classes<Packets> {
    let mut found: FxHashMap<(u32, u32), usize> = FxHashMap::default();
    let mut list: Classes<Packets> = Vec::new();
    for protocol in 0..=u8::MAX {
        let mut last: Option<(usize, u32)> = None;
        let cut = |image: &&Image<'_>| {
            half(*image, Section::Protocols, protocol.into())
                .is_some_and(|entry| entry & verdict_abi::TO_DIRECTORY != 0)
        };
        let values = if images.iter().any(cut) { NOT_KNOWN } else { 0 };
        for value in 0..=values {
            let [one, other] = images.map(|image| port_class(image, protocol, value));
            let Some(classes) = one.zip(other) else {
                continue;
            };
            let index = *found.entry(classes).or_insert_with(|| {
                list.push((classes, (Protocol(protocol), value, value)));
                list.len() - 1
            });
            let goes_on = last == Some((index, value.wrapping_sub(1)));
            if let Some((_, (own, first, end))) = list.get_mut(index)
                && *own == Protocol(protocol)
                && (*first == value || (goes_on && *end == value.wrapping_sub(1)))
            {
                *end = value;
            }
            last = Some((index, value));
        }
    }
    list
}
