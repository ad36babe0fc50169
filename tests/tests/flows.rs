//! Sets of flows against the definition, flow by flow, on random worlds.
//!
//! `VERDICT_WORLDS` sets how many worlds are tried.

use std::net::IpAddr;
use verdict_compiler::cluster::NodeId;
use verdict_compiler::flows::{Connections, EndId, Outside};
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::hir::spec::Verdict;
use verdict_compiler::hir::{Direction, PolicySet, Resolution};
use verdict_compiler::ir::Program;
use verdict_compiler::query::{Families, Who};
use verdict_tests::generate::of_both;
use verdict_tests::judging::{
    between, families, judgement_in, outside, packets, pods, proves, verdict_of, whos,
    without_proxies,
};

fn worlds() -> u64 {
    let wanted = std::env::var("VERDICT_WORLDS")
        .ok()
        .and_then(|text| text.parse().ok());
    wanted.unwrap_or(400)
}

#[test]
fn between_pods_the_sets_are_the_definition() {
    let mut seen = [0_usize; 3];
    let (mut proxied, mut proving, mut of_nodes) = (0_usize, 0_usize, 0_usize);
    for (seed, world, mut loaded) in of_both(0..worlds()) {
        let program = Program::resolve(&loaded.cluster, &loaded.policies);
        let mut with_proxies = without_proxies(&loaded.policies);
        std::mem::swap(&mut loaded.policies, &mut with_proxies);
        let of_cluster = Families::of(&loaded.cluster);
        let mut connections = Connections::new(&loaded.cluster, &program, of_cluster);
        let all = whos(&loaded);
        for src in all.iter().copied() {
            for dst in all.iter().copied().filter(|dst| *dst != src) {
                let ends = [src, dst].map(|who| end(&connections, who));
                let nodes = [src, dst].map(|who| node(&loaded, who));
                let hosts = ends.map(|end| connections.host(end).is_some());
                let own_node = hosts.contains(&true) && nodes[0].is_some() && nodes[0] == nodes[1];
                let id = connections.between(ends[0], ends[1], own_node);
                of_nodes += usize::from(matches!(src, Who::Node(_)));
                for packet in packets() {
                    let text = || {
                        format!(
                            "seed {seed}: {src:?} -> {dst:?}, {packet:?}\n{}",
                            world.text()
                        )
                    };
                    let verdict = between(&loaded, src, dst, packet);
                    seen[verdict as usize] += 1;
                    let answer = connections.answer(id);
                    assert_eq!(verdict_of(answer, packet), verdict, "{}", text());
                    std::mem::swap(&mut loaded.policies, &mut with_proxies);
                    let judgement = judgement_in(&loaded, families(&loaded), src, dst, packet);
                    std::mem::swap(&mut loaded.policies, &mut with_proxies);
                    let Some(judgement) = judgement else { continue };
                    let verdict = judgement.verdict;
                    if matches!(verdict, Verdict::Allow | Verdict::Redirect) {
                        let must = proves(&judgement);
                        proving += usize::from(must);
                        assert_eq!(answer.proving.contains(packet), must, "{}", text());
                    }
                    if have_no_proxy(&with_proxies) {
                        assert!(!answer.proxied.contains(packet), "{}", text());
                        continue;
                    }
                    let said = answer.proxied.contains(packet);
                    proxied += usize::from(said);
                    match verdict {
                        Verdict::Redirect => assert!(said, "{}", text()),
                        // What is not authenticated goes by no proxy where that is only recorded.
                        Verdict::Allow if audits(&loaded.policies) => {}
                        Verdict::Allow | Verdict::Deny => assert!(!said, "{}", text()),
                        Verdict::Depends => {}
                    }
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    assert!(
        proxied > 0 && proving > 0 && of_nodes > 0,
        "{proxied} {proving} {of_nodes}"
    );
}

fn audits(policies: &PolicySet) -> bool {
    match &policies.resolution {
        Resolution::Isolation => false,
        Resolution::Precedence(enforcement) => enforcement.audits,
    }
}

fn have_no_proxy(policies: &PolicySet) -> bool {
    let rules = policies.policies.iter();
    let mut rules =
        rules.flat_map(|policy| policy.rules.ingress.iter().chain(&policy.rules.egress));
    rules.all(|rule| rule.precedence.redirect.is_none())
}

#[test]
fn towards_the_outside_the_sets_are_the_definition() {
    let mut seen = [0_usize; 3];
    for (seed, world, mut loaded) in of_both(0..worlds()) {
        let program = Program::resolve(&loaded.cluster, &loaded.policies);
        loaded.policies = without_proxies(&loaded.policies);
        let cluster = &loaded.cluster;
        let families = Families::of(cluster);
        let mut connections = Connections::new(cluster, &program, families);
        for who in whos(&loaded) {
            let end = end(&connections, who);
            for direction in [Direction::Ingress, Direction::Egress] {
                for (first, last, id) in connections.outside(end, direction) {
                    let owned = |address: &IpAddr| cluster.owner(*address).is_some();
                    for address in [first, last].into_iter().filter(|one| !owned(one)) {
                        for packet in packets() {
                            let verdict = outside(&loaded, who, address, direction, packet);
                            seen[verdict as usize] += 1;
                            assert_eq!(
                                verdict_of(connections.answer(id), packet),
                                verdict,
                                "seed {seed}: {who:?}, {direction}, {address}, {packet:?}\n{}",
                                world.text()
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn the_outside_is_covered_once() {
    for (_, _, loaded) in of_both(0..worlds() / 8) {
        let program = Program::resolve(&loaded.cluster, &loaded.policies);
        let mut connections = Connections::new(&loaded.cluster, &program, Families::ALL);
        for pod in pods(&loaded) {
            let end = connections.end(pod).unwrap();
            let own = connections.families(end);
            let runs = connections.outside(end, Direction::Egress);
            let (v4, v6): (Vec<Outside>, Vec<Outside>) =
                runs.into_iter().partition(|run| run.0.is_ipv4());
            for (wanted, runs, bounds) in [
                (own.v4, v4, ["0.0.0.0", "255.255.255.255"]),
                (
                    own.v6,
                    v6,
                    ["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
                ),
            ] {
                let [first, last] = bounds.map(|text| text.parse::<IpAddr>().unwrap());
                assert_eq!(runs.first().map(|run| run.0), wanted.then_some(first));
                assert_eq!(runs.last().map(|run| run.1), wanted.then_some(last));
                for pair in runs.windows(2) {
                    assert_eq!(number(pair[0].1) + 1, number(pair[1].0), "{pair:?}");
                }
            }
        }
    }
}

fn end(connections: &Connections<'_>, who: Who<'_>) -> EndId {
    match who {
        Who::Pod(pod) => connections.end(pod).unwrap(),
        Who::Node(node) => connections.node(node).unwrap(),
        _ => panic!("{who:?} is no end"),
    }
}

/// On which node an end is, or which one it is.
fn node(loaded: &Loaded, who: Who<'_>) -> Option<NodeId> {
    match who {
        Who::Pod(pod) => loaded.cluster.pod(pod).unwrap().node,
        Who::Node(node) => Some(node),
        _ => None,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}
