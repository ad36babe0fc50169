//! The list of connections against the definition, packet by packet, on random worlds; and its forms against
//! each other.
//!
//! `VERDICT_WORLDS` sets how many worlds are tried.

use std::collections::BTreeMap;
use std::net::IpAddr;
use verdict_compiler::flows::{AnswerId, Connections};
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::hir::Direction;
use verdict_compiler::hir::spec::Verdict;
use verdict_compiler::ir::Program;
use verdict_compiler::list::{Block, By, Focus, Listing, Pair, Party, words};
use verdict_compiler::query::{Families, Who, families_of};
use verdict_tests::generate::of_both;
use verdict_tests::judging::{
    agreed, families, members, outside, packets, verdict_of, without_proxies,
};

fn worlds(most: u64) -> u64 {
    let wanted = std::env::var("VERDICT_WORLDS")
        .ok()
        .and_then(|text| text.parse().ok());
    wanted.unwrap_or(most)
}

/// Runs a check on the list of each world, by workload and by pod.
fn on_lists(most: u64, mut check: impl FnMut(&mut Listing<'_>, &Loaded, &str)) {
    for (seed, world, mut loaded) in of_both(0..worlds(most)) {
        let program = Program::resolve(&loaded.cluster, &loaded.policies);
        loaded.policies = without_proxies(&loaded.policies);
        for by in [By::Workload, By::Pod] {
            let families = Families::of(&loaded.cluster);
            let connections = Connections::new(&loaded.cluster, &program, families);
            let mut listing = Listing::new(connections, by);
            check(
                &mut listing,
                &loaded,
                &format!("seed {seed}, {by:?}\n{}", world.text()),
            );
        }
    }
}

fn by_ends(pairs: &[Pair]) -> BTreeMap<(Party, Party), AnswerId> {
    let ends: BTreeMap<_, _> = pairs
        .iter()
        .map(|pair| ((pair.src, pair.dst), pair.answer))
        .collect();
    assert_eq!(ends.len(), pairs.len(), "a pair stands twice");
    ends
}

#[test]
fn pairs_are_what_all_pods_agree_on() {
    let mut seen = [0_usize; 3];
    on_lists(60, |listing, loaded, world| {
        let pairs = by_ends(&listing.pairs());
        for src in listing.peer_ids() {
            for dst in listing.peer_ids() {
                let [from, to] = [src, dst].map(|id| members(listing.peer(id).unwrap()));
                let pair = pairs.get(&(Party::Peer(src), Party::Peer(dst)));
                let stands_in = |who: &Who<'_>| match who {
                    Who::Pod(pod) => loaded.cluster.pod(*pod).unwrap().stand_in,
                    _ => false,
                };
                if src == dst && from.iter().any(stands_in) {
                    continue;
                }
                for packet in packets() {
                    let Some(verdict) = agreed(loaded, families(loaded), &from, &to, packet) else {
                        assert_eq!(pair, None, "one pod has nobody to talk to: {world}");
                        continue;
                    };
                    seen[verdict as usize] += 1;
                    let listed =
                        pair.map_or(Verdict::Deny, |id| verdict_of(listing.answer(*id), packet));
                    let names = [src, dst].map(|id| words::peer(listing.directory(), id));
                    assert_eq!(listed, verdict, "{names:?} {packet:?} {world}");
                }
            }
        }
    });
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn pairs_with_the_outside_are_what_all_pods_agree_on() {
    let mut seen = [0_usize; 3];
    on_lists(60, |listing, loaded, world| {
        for pair in listing.pairs() {
            let (peer, ranges, direction) = match (pair.src, pair.dst) {
                (Party::Peer(peer), Party::Outside(ranges)) => (peer, ranges, Direction::Egress),
                (Party::Outside(ranges), Party::Peer(peer)) => (peer, ranges, Direction::Ingress),
                (Party::Peer(_), Party::Peer(_)) | (Party::Outside(_), Party::Outside(_)) => {
                    continue;
                }
            };
            let own = members(listing.peer(peer).unwrap());
            let runs = listing.addresses(ranges).iter();
            let owned = |address: &IpAddr| loaded.cluster.owner(*address).is_some();
            let bounds = runs.flat_map(|(first, last)| [*first, *last]);
            for address in bounds.filter(|one| !owned(one)) {
                let family = |who: &Who<'_>| {
                    let own = families_of(&loaded.cluster, families(loaded), *who);
                    if address.is_ipv4() { own.v4 } else { own.v6 }
                };
                for packet in packets() {
                    // Pods without an address of the family have no say.
                    let verdicts = own.iter().copied().filter(family);
                    let verdicts =
                        verdicts.map(|who| outside(loaded, who, address, direction, packet));
                    let verdict = verdicts
                        .reduce(|one, other| if one == other { one } else { Verdict::Depends })
                        .unwrap();
                    seen[verdict as usize] += 1;
                    let listed = verdict_of(listing.answer(pair.answer), packet);
                    assert_eq!(listed, verdict, "{address} {direction} {packet:?} {world}");
                }
            }
        }
    });
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

/// The pairs that blocks stand for.
fn expanded(listing: &mut Listing<'_>, blocks: &[Block]) -> BTreeMap<(Party, Party), AnswerId> {
    let mut pairs = BTreeMap::new();
    for block in blocks {
        for (answer, sources) in &block.src {
            for src in sources {
                for dst in &block.dst {
                    let alone = match src {
                        Party::Peer(peer) => src == dst && listing.is_single(*peer),
                        Party::Outside(_) => false,
                    };
                    if !alone {
                        let before = pairs.insert((*src, *dst), *answer);
                        assert_eq!(before, None, "{src:?} -> {dst:?} stands in two blocks");
                    }
                }
            }
        }
    }
    pairs
}

#[test]
fn blocks_are_pairs_and_counted() {
    on_lists(200, |listing, _, world| {
        let pairs = listing.pairs();
        let blocks = listing.blocks();
        assert_eq!(expanded(listing, &blocks), by_ends(&pairs), "{world}");
        assert_eq!(listing.count(), pairs.len(), "{world}");
        for peer in listing.peer_ids() {
            let within = listing.between(peer, peer);
            assert_eq!(within.is_none(), listing.is_single(peer), "{world}");
        }
    });
}

#[test]
fn a_focus_takes_the_wanted_ones_of_all_pairs() {
    on_lists(40, |listing, _, world| {
        let all = listing.pairs();
        let mut texts: Vec<Vec<String>> = listing
            .peer_ids()
            .map(|id| vec![words::peer(listing.directory(), id)])
            .collect();
        texts.extend([
            vec!["192.0.2.7".into()],
            vec!["entity:world".into()],
            texts.concat().into_iter().take(2).collect(),
        ]);
        for texts in texts.iter().filter(|texts| !texts.is_empty()) {
            for direction in [None, Some(Direction::Ingress), Some(Direction::Egress)] {
                let (focus, _) = Focus::of(listing, texts, direction)
                    .unwrap_or_else(|problems| panic!("{texts:?}: {problems:?} {world}"));
                let wanted: Vec<Pair> = all
                    .iter()
                    .filter(|pair| focus.wants(listing.directory(), pair.src, pair.dst))
                    .copied()
                    .collect();
                let context = format!("{texts:?} {direction:?} {world}");
                assert_eq!(listing.pairs_of(&focus), wanted, "{context}");
                let blocks = listing.blocks_of(&focus);
                assert_eq!(expanded(listing, &blocks), by_ends(&wanted), "{context}");
                let count = listing.count_of(&focus);
                assert_eq!(count.total, wanted.len(), "{context}");
            }
        }
    });
}
