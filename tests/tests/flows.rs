//! Sets of flows against the definition, flow by flow, on random worlds.
//!
//! `VERDICT_WORLDS` sets how many worlds are tried.

use std::net::IpAddr;
use verdict_compiler::cluster::HostNetwork;
use verdict_compiler::flows::{Connections, Outside};
use verdict_compiler::hir::spec::Verdict;
use verdict_compiler::hir::{Direction, PolicySet, Resolution};
use verdict_compiler::ir::Program;
use verdict_compiler::query::Families;
use verdict_tests::generate::of_both;
use verdict_tests::judging::{expected, outside, packets, pods, verdict_of, without_proxies};

fn worlds() -> u64 {
    let wanted = std::env::var("VERDICT_WORLDS")
        .ok()
        .and_then(|text| text.parse().ok());
    wanted.unwrap_or(400)
}

#[test]
fn between_pods_the_sets_are_the_definition() {
    let mut seen = [0_usize; 3];
    let mut proxied = 0_usize;
    for (seed, world, mut loaded) in of_both(0..worlds()) {
        let program = Program::resolve(&loaded.cluster, &loaded.policies);
        let mut with_proxies = without_proxies(&loaded.policies);
        std::mem::swap(&mut loaded.policies, &mut with_proxies);
        let families = Families::of(&loaded.cluster);
        let mut connections = Connections::new(&loaded.cluster, &program, families);
        let list = loaded.cluster.pods();
        for src in pods(&loaded) {
            for dst in pods(&loaded).filter(|dst| *dst != src) {
                let [one, other] = [src, dst].map(|pod| &list[pod.index()]);
                let own_node = loaded.cluster.host_network() == HostNetwork::Node
                    && one.host_network != other.host_network
                    && one.node.is_some()
                    && one.node == other.node;
                let ends = [src, dst].map(|pod| connections.end(pod).unwrap());
                let id = connections.between(ends[0], ends[1], own_node);
                for packet in packets() {
                    let text = || {
                        let (src, dst) = (&one.name, &other.name);
                        format!("seed {seed}: {src} -> {dst}, {packet:?}\n{}", world.text())
                    };
                    let verdict = expected(&loaded, src, dst, packet);
                    seen[verdict as usize] += 1;
                    let answer = connections.answer(id);
                    assert_eq!(verdict_of(answer, packet), verdict, "{}", text());
                    if have_no_proxy(&with_proxies) {
                        assert!(!answer.proxied.contains(packet), "{}", text());
                        continue;
                    }
                    std::mem::swap(&mut loaded.policies, &mut with_proxies);
                    let verdict = expected(&loaded, src, dst, packet);
                    std::mem::swap(&mut loaded.policies, &mut with_proxies);
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
    assert!(proxied > 0);
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
        for pod in pods(&loaded) {
            let end = connections.end(pod).unwrap();
            for direction in [Direction::Ingress, Direction::Egress] {
                for (first, last, id) in connections.outside(end, direction) {
                    for address in [first, last] {
                        for packet in packets() {
                            let verdict = outside(&loaded, pod, address, direction, packet);
                            seen[verdict as usize] += 1;
                            assert_eq!(
                                verdict_of(connections.answer(id), packet),
                                verdict,
                                "seed {seed}: pod {pod:?}, {direction}, {address}, {packet:?}\n{}",
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

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}
