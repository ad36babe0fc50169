//! Differences between worlds against the definition, packet by packet, on random worlds and random edits of them;
//! and public differences.
//!
//! `VERDICT_WORLDS` sets how many worlds are tried. The vectors are read from beside the workspace
//! (`VERDICT_VECTORS` names another folder); without any that test says so and passes.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use verdict_compiler::cluster::{NodeId, Pod, PodId};
use verdict_compiler::diff::rules::{Ends, When};
use verdict_compiler::diff::{DeltaId, Diff, Programs, Reason, Way, Worlds};
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::hir::flow::{Address, Endpoint, EndpointKind, Flow, Transport};
use verdict_compiler::hir::spec::{self, Judgement, Verdict, World as Judged};
use verdict_compiler::hir::{Direction, RuleId};
use verdict_compiler::list::report::{PeerReport, party};
use verdict_compiler::list::{By, Focus, Pair, Party, Peer, words};
use verdict_compiler::query::{Families, Who, endpoint, families_of};
use verdict_tests::asking::{Asked, cases, vectors};
use verdict_tests::generate::edit::{crossed, edited, edited_as, renamed};
use verdict_tests::generate::{World, cilium, settings_for, small};
use verdict_tests::judging::{agreed, outside, packets, verdict_of, without_proxies};

fn worlds(most: u64) -> u64 {
    let wanted = std::env::var("VERDICT_WORLDS")
        .ok()
        .and_then(|text| text.parse().ok());
    wanted.unwrap_or(most)
}

fn asked(world: &World, settings: &Settings) -> Asked {
    let files = world.files.iter();
    let texts = files.map(|(name, text)| (name.clone(), text.clone().into_bytes()));
    Asked::of(texts.collect(), settings)
}

/// Two worlds and what differs.
struct Case<'d, 'a> {
    diff: &'d mut Diff<'a>,
    old: &'a Asked,
    new: &'a Asked,
    families: Families,
    text: String,
}

/// Runs a check on the differences of each world and a change of it, by workload and by pod.
fn on_changes(
    most: u64,
    change: impl Fn(&World, u64) -> World,
    mut check: impl FnMut(Case<'_, '_>, &World, &World),
) {
    for seed in 0..worlds(most) {
        let before = small::world(seed);
        let after = change(&before, seed);
        on_change(seed, [&before, &after], &settings_for(seed), |case| {
            check(case, &before, &after);
        });
    }
}

/// The same on worlds of Cilium's, but for those that it refuses.
fn on_changes_of_cilium(most: u64, mut check: impl FnMut(Case<'_, '_>)) {
    for seed in 0..worlds(most) {
        let before = cilium::world(seed);
        let after = edited_as(&before, &cilium::world(seed ^ 0x5eed), seed);
        let settings = cilium::settings(seed);
        let is_refused = |world: &World| world.load_with(&settings).has_errors();
        if !is_refused(&before) && !is_refused(&after) {
            on_change(seed, [&before, &after], &settings, &mut check);
        }
    }
}

fn on_change(
    seed: u64,
    [before, after]: [&World; 2],
    settings: &Settings,
    mut check: impl FnMut(Case<'_, '_>),
) {
    let [old, new] = [before, after].map(|world| asked(world, settings));
    // Sets of flows tell what passes, not how: so does what they are held to.
    let [plain_old, plain_new] = [before, after].map(|world| {
        let mut plain = asked(world, settings);
        plain.loaded.policies = without_proxies(&plain.loaded.policies);
        plain
    });
    let compared = Worlds {
        old: old.context(),
        new: new.context(),
    };
    let programs = Programs::resolve(&compared);
    for by in [By::Workload, By::Pod] {
        let mut diff = Diff::new(compared, &programs, by);
        let text = format!(
            "seed {seed}, {by:?}\n{}\n=== new\n{}",
            before.text(),
            after.text()
        );
        check(Case {
            diff: &mut diff,
            old: &plain_old,
            new: &plain_new,
            families: compared.families(),
            text,
        });
    }
}

fn by_ends(pairs: &[Pair<DeltaId>]) -> BTreeMap<(Party, Party), DeltaId> {
    let ends: BTreeMap<_, _> = pairs
        .iter()
        .map(|pair| ((pair.src, pair.dst), pair.answer))
        .collect();
    assert_eq!(ends.len(), pairs.len(), "a pair stands twice");
    ends
}

/// The pods of a peer, or the node that it is, by its names, in one of the worlds.
fn pods_of(loaded: &Loaded, peer: &Peer) -> Vec<Who<'static>> {
    let cluster = &loaded.cluster;
    if peer.node.is_some() {
        let nodes = cluster.nodes().iter().zip((0..).map(NodeId));
        let own = nodes.filter(|(node, _)| *node.name == *peer.name);
        return own.map(|(_, id)| Who::Node(id)).collect();
    }
    let all = cluster.pods().iter().zip((0..).map(PodId));
    let own: Vec<(PodId, bool)> = all
        .filter(|(pod, _)| {
            let workload = pod.workload.and_then(|id| cluster.workload(id));
            let namespace = cluster.namespace_name(pod.namespace);
            let (name, kind) = match (&peer.workload, workload) {
                (None, Some(workload)) if pod.stand_in => {
                    let own = format!("{}/{}", workload.kind, workload.name);
                    return *namespace == *peer.namespace
                        && peer.stands_for.as_deref() == Some(&*own);
                }
                (None, _) if peer.stands_for.is_some() => return false,
                (None, _) => (&pod.name, None),
                (Some(_), Some(workload)) => (&workload.name, Some(&*workload.kind)),
                (Some(_), None) => (&pod.name, Some("Pod")),
            };
            *namespace == *peer.namespace && *name == peer.name && kind == peer.workload.as_deref()
        })
        .map(|(pod, id)| (id, pod.finished))
        .collect();
    assert!(own.iter().all(|(_, finished)| !finished));
    own.into_iter().map(|(id, _)| Who::Pod(id)).collect()
}

fn has_stand_in(loaded: &Loaded, whos: &[Who<'_>]) -> bool {
    whos.iter().any(|who| match who {
        Who::Pod(pod) => loaded.cluster.pod(*pod).unwrap().stand_in,
        _ => false,
    })
}

#[test]
fn peers_differ_where_their_pods_do() {
    let mut seen = [0_usize; 2];
    on_changes(40, edited, |mut case, _, _| {
        compare_peers(&mut case, &mut seen)
    });
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn peers_differ_where_their_pods_do_under_cilium() {
    let mut seen = [0_usize; 2];
    on_changes_of_cilium(40, |mut case| compare_peers(&mut case, &mut seen));
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

fn compare_peers(case: &mut Case<'_, '_>, seen: &mut [usize; 2]) {
    let pairs = by_ends(&case.diff.pairs_of(&Focus::everything()));
    let directory = case.diff.directory();
    for src in directory.peer_ids() {
        for dst in directory.peer_ids() {
            let peers = [src, dst].map(|id| directory.peer(id).unwrap());
            let pair = pairs.get(&(Party::Peer(src), Party::Peer(dst)));
            let sides = [&case.old.loaded, &case.new.loaded];
            let pods = sides.map(|loaded| peers.map(|peer| pods_of(loaded, peer)));
            let mut stand_ins = sides.iter().zip(&pods);
            if src == dst && stand_ins.any(|(loaded, [pods, _])| has_stand_in(loaded, pods)) {
                continue;
            }
            for packet in packets() {
                let [before, after] = [0, 1].map(|side| {
                    let [from, to] = &pods[side];
                    agreed(sides[side], case.families, from, to, packet).unwrap_or(Verdict::Deny)
                });
                seen[usize::from(before == after)] += 1;
                let context = || format!("{peers:?} {packet:?} {}", case.text);
                let Some(id) = pair else {
                    assert_eq!(before, after, "{}", context());
                    continue;
                };
                let delta = case.diff.delta(*id);
                let said =
                    [delta.before, delta.after].map(|id| verdict_of(case.diff.answer(id), packet));
                assert_eq!(said, [before, after], "{}", context());
            }
        }
    }
}

/// Addresses outside of the small worlds, around every bound of their blocks.
fn strangers() -> impl Iterator<Item = IpAddr> {
    [
        "0.0.0.0",
        "10.0.0.100",
        "10.0.0.255",
        "172.16.0.1",
        "192.0.2.6",
        "192.0.2.7",
        "192.0.2.8",
        "192.0.2.127",
        "192.0.2.128",
        "255.255.255.255",
        "::",
        "2001:db8::ff",
        "2001:db8:0:1::",
        "2001:db8:1::7",
        "2001:db8:1::8",
    ]
    .into_iter()
    .map(|text| text.parse().unwrap())
}

/// What all pods of a peer that have the family agree on.
fn agreed_outside(
    loaded: &Loaded,
    families: Families,
    whos: &[Who<'_>],
    address: IpAddr,
    direction: Direction,
    packet: Transport,
) -> Verdict {
    let has_family = |who: &Who<'_>| {
        let own = families_of(&loaded.cluster, families, *who);
        if address.is_ipv4() { own.v4 } else { own.v6 }
    };
    let verdicts = whos.iter().copied().filter(has_family);
    let verdicts = verdicts.map(|who| outside(loaded, who, address, direction, packet));
    verdicts
        .reduce(|one, other| if one == other { one } else { Verdict::Depends })
        .unwrap_or(Verdict::Deny)
}

#[test]
fn peers_differ_with_the_outside_where_their_pods_do() {
    let mut seen = [0_usize; 2];
    on_changes(25, edited, |mut case, _, _| {
        compare_outside(&mut case, &mut seen)
    });
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn peers_differ_with_the_outside_where_their_pods_do_under_cilium() {
    let mut seen = [0_usize; 2];
    on_changes_of_cilium(25, |mut case| compare_outside(&mut case, &mut seen));
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

fn compare_outside(case: &mut Case<'_, '_>, seen: &mut [usize; 2]) {
    let pairs = case.diff.pairs_of(&Focus::everything());
    let directory = case.diff.directory();
    for id in directory.peer_ids() {
        let peer = directory.peer(id).unwrap();
        let sides = [&case.old.loaded, &case.new.loaded];
        let pods = sides.map(|loaded| pods_of(loaded, peer));
        for direction in [Direction::Ingress, Direction::Egress] {
            let own = pairs.iter().filter_map(|pair| match (pair.src, pair.dst) {
                (Party::Peer(own), Party::Outside(ranges))
                    if own == id && direction == Direction::Egress =>
                {
                    Some((ranges, pair.answer))
                }
                (Party::Outside(ranges), Party::Peer(own))
                    if own == id && direction == Direction::Ingress =>
                {
                    Some((ranges, pair.answer))
                }
                _ => None,
            });
            let own: Vec<_> = own.collect();
            for address in strangers() {
                let mut deltas = own.iter().filter(|(ranges, _)| {
                    let mut runs = directory.addresses(*ranges).iter();
                    runs.any(|(first, last)| {
                        first.is_ipv4() == address.is_ipv4() && (*first..=*last).contains(&address)
                    })
                });
                let delta = deltas.next().map(|(_, id)| case.diff.delta(*id));
                assert!(deltas.next().is_none(), "{address} twice: {}", case.text);
                for packet in packets() {
                    let [before, after] = [0, 1].map(|side| {
                        let (loaded, pods) = (sides[side], &pods[side]);
                        agreed_outside(loaded, case.families, pods, address, direction, packet)
                    });
                    seen[usize::from(before == after)] += 1;
                    let context =
                        || format!("{peer:?} {address} {direction} {packet:?} {}", case.text);
                    let Some(delta) = delta else {
                        assert_eq!(before, after, "{}", context());
                        continue;
                    };
                    let said = [delta.before, delta.after]
                        .map(|id| verdict_of(case.diff.answer(id), packet));
                    assert_eq!(said, [before, after], "{}", context());
                }
            }
        }
    }
}

#[test]
fn blocks_are_pairs_and_counted() {
    on_changes(120, edited, |case, _, _| {
        let pairs = case.diff.pairs_of(&Focus::everything());
        let count = case.diff.count_of(&Focus::everything());
        assert_eq!(count.total, pairs.len(), "{}", case.text);
        let mut by_answer: BTreeMap<DeltaId, usize> = BTreeMap::new();
        for pair in &pairs {
            *by_answer.entry(pair.answer).or_default() += 1;
        }
        assert_eq!(count.by_answer, by_answer, "{}", case.text);
        let pairs = by_ends(&pairs);
        let mut expanded = BTreeMap::new();
        let blocks = case.diff.blocks_of(&Focus::everything());
        assert_eq!(case.diff.counted(&blocks), by_answer, "{}", case.text);
        for block in blocks {
            for (answer, sources) in &block.src {
                for src in sources {
                    for dst in &block.dst {
                        // A single pod has nobody of its own to talk to.
                        if src != dst || pairs.contains_key(&(*src, *dst)) {
                            let before = expanded.insert((*src, *dst), *answer);
                            assert_eq!(before, None, "{src:?} -> {dst:?} stands in two blocks");
                        }
                    }
                }
            }
        }
        assert_eq!(expanded, pairs, "{}", case.text);
    });
}

/// The kind, namespace and name of the workload of the pod that is called so on a side, as `shop/web-1`.
fn owner_of(side: &Asked, text: &str) -> Option<[Box<str>; 3]> {
    let cluster = &side.loaded.cluster;
    let mut pods = cluster.pods().iter();
    let named = |pod: &&Pod| {
        let namespace = &cluster.namespace(pod.namespace).unwrap().name;
        !pod.stand_in && format!("{namespace}/{}", pod.name) == text
    };
    let owner = cluster.workload(pods.find(named)?.workload?)?;
    let namespace = cluster.namespace(owner.namespace)?.name.clone();
    Some([owner.kind.clone(), namespace, owner.name.clone()])
}

/// Whether a peer is a workload. A pod that only one side lists by itself is one of a workload on the other.
fn is([kind, namespace, name]: &[Box<str>; 3], peer: &Peer) -> bool {
    peer.workload.as_ref() == Some(kind) && peer.namespace == *namespace && peer.name == *name
}

#[test]
fn a_focus_takes_the_wanted_ones_of_all_pairs() {
    on_changes(40, edited, |case, _, _| {
        let all = case.diff.pairs_of(&Focus::everything());
        let directory = case.diff.directory();
        let mut texts: Vec<(String, Option<Party>)> = directory
            .peer_ids()
            .map(|id| (words::peer(directory, id), Some(Party::Peer(id))))
            .collect();
        texts.push(("192.0.2.7".into(), None));
        for (text, party) in texts {
            for direction in [None, Some(Direction::Ingress), Some(Direction::Egress)] {
                let focus = case.diff.focus(std::slice::from_ref(&text), direction);
                let (focus, _) = focus.unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
                let directory = case.diff.directory();
                let owners = [case.old, case.new].map(|side| owner_of(side, &text));
                let is_meant = |end: Party| match (end, party) {
                    (Party::Peer(id), _) => {
                        let peer = directory.peer(id).unwrap();
                        Some(end) == party || owners.iter().flatten().any(|owner| is(owner, peer))
                    }
                    (Party::Outside(ranges), None) => {
                        let address: IpAddr = "192.0.2.7".parse().unwrap();
                        let mut runs = directory.addresses(ranges).iter();
                        runs.any(|(first, last)| (*first..=*last).contains(&address))
                    }
                    (Party::Outside(_), Some(_)) => false,
                };
                let wanted = all.iter().filter(|pair| {
                    direction != Some(Direction::Egress) && is_meant(pair.dst)
                        || direction != Some(Direction::Ingress) && is_meant(pair.src)
                });
                let wanted: Vec<_> = wanted.copied().collect();
                let context = format!("{text} {direction:?} {}", case.text);
                assert_eq!(case.diff.pairs_of(&focus), wanted, "{context}");
                let count = case.diff.count_of(&focus);
                assert_eq!(count.total, wanted.len(), "{context}");
                let blocks = case.diff.blocks_of(&focus);
                assert_eq!(case.diff.counted(&blocks), count.by_answer, "{context}");
            }
        }
        let nobody = case.diff.focus(&["nowhere/nobody".into()], None);
        assert!(nobody.is_err());
    });
}

#[test]
fn other_names_in_another_order_change_nothing() {
    on_changes(
        150,
        |world, _| renamed(world),
        |case, _, _| {
            let [old, new] = [case.old, case.new].map(|side| &side.loaded.cluster);
            assert!(old.is_same(new), "{}", case.text);
            let pairs = case.diff.pairs_of(&Focus::everything());
            assert_eq!(pairs, [], "{}", case.text);
        },
    );
}

#[test]
fn causes_are_what_the_new_policies_say_of_the_old_cluster() {
    let mut seen: BTreeMap<Reason, usize> = BTreeMap::new();
    on_changes(150, edited, |case, before, after| {
        let semantics = case.new.loaded.policies.semantics;
        let settings = Settings {
            cidr_matches_pods: Some(semantics.cidr_matches_pods),
            host_network: Some(semantics.host_network),
            ..Settings::default()
        };
        let middle = asked(&crossed(before, after), &settings);
        let pairs = case.diff.pairs_of(&Focus::everything());
        for pair in pairs {
            let (Party::Peer(src), Party::Peer(dst)) = (pair.src, pair.dst) else {
                continue;
            };
            let delta = case.diff.delta(pair.answer);
            let peers = [src, dst].map(|id| case.diff.directory().peer(id).unwrap());
            let of = |loaded: &Loaded| peers.map(|peer| pods_of(loaded, peer));
            let [old, new] = [&case.old.loaded, &case.new.loaded].map(of);
            let apart = old.iter().chain(&new).any(Vec::is_empty);
            assert_eq!(delta.reason == Reason::Workload, apart, "{}", case.text);
            *seen.entry(delta.reason).or_default() += 1;
            let [from, to] = of(&middle.loaded);
            if apart || src == dst && has_stand_in(&middle.loaded, &from) {
                continue;
            }
            let says = |id, packet| verdict_of(case.diff.answer(id), packet);
            let between = |packet| {
                agreed(&middle.loaded, case.families, &from, &to, packet).unwrap_or(Verdict::Deny)
            };
            let (mut as_new, mut as_old) = (true, true);
            for packet in packets() {
                as_new &= between(packet) == says(delta.after, packet);
                as_old &= between(packet) == says(delta.before, packet);
            }
            let expected = match (as_new, as_old) {
                (true, _) => Reason::Policy,
                (false, true) => Reason::Cluster,
                (false, false) => Reason::Both,
            };
            assert_eq!(delta.reason, expected, "{peers:?} {}", case.text);
        }
    });
    assert_eq!(seen.len(), 4, "{seen:?}");
}

fn judged(asked: &Asked, flow: &Flow<'_>) -> Judgement {
    let world = Judged {
        policies: &asked.loaded.policies,
        names: asked.loaded.cluster.names(),
    };
    spec::judge(world, flow)
}

fn flow<'a>(
    asked: &'a Asked,
    ends: Ends,
    address: Option<IpAddr>,
    transport: Transport,
) -> Flow<'a> {
    let end = |who: Option<Who<'a>>| match who {
        Some(who) => endpoint(&asked.loaded.cluster, who, ends.family),
        None => Endpoint {
            kind: EndpointKind::Outside,
            address: Address::Known(address.unwrap()),
            by_service: false,
        },
    };
    let mut flow = Flow {
        src: end(ends.src),
        dst: end(ends.dst),
        transport,
    };
    // Two pods that one pod stands for.
    if ends.src == ends.dst
        && let EndpointKind::Pod(view) = &mut flow.dst.kind
    {
        view.id = None;
    }
    flow
}

/// The rules of a judgement in some directions.
fn rules(judgement: &Judgement, directions: &[Direction]) -> Vec<RuleId> {
    let of = |direction: &Direction| match direction {
        Direction::Ingress => &judgement.ingress,
        Direction::Egress => &judgement.egress,
    };
    let sides = directions.iter().map(of);
    sides.flat_map(|side| side.rules.clone()).collect()
}

#[test]
fn rules_decide_about_their_packet() {
    let mut seen = [0_usize; 3];
    on_changes(100, edited, |case, _, _| {
        for pair in case.diff.pairs_of(&Focus::everything()) {
            let delta = case.diff.delta(pair.answer);
            let decision = case.diff.decision(&pair).expect("a decision").clone();
            let directions: Vec<Direction> = decision.directions().collect();
            let sides = [
                (When::Before, case.old, delta.after),
                (When::After, case.new, delta.before),
            ];
            for (when, asked, other) in sides {
                let told: Vec<RuleId> = decision.rules(when).iter().map(|(id, _)| *id).collect();
                let Some(ends) = decision.ends(when) else {
                    assert_eq!(told, [], "{}", case.text);
                    continue;
                };
                let flow = flow(asked, ends, decision.address, decision.transport);
                let judgement = judged(asked, &flow);
                assert_eq!(rules(&judgement, &directions), told, "{}", case.text);
                let elsewhere = verdict_of(case.diff.answer(other), decision.transport);
                assert_ne!(judgement.verdict, elsewhere, "{decision:?} {}", case.text);
                seen[0] += 1;
                seen[1] += told.len();
                for direction in decision.isolated(when) {
                    let side = match direction {
                        Direction::Ingress => &judgement.ingress,
                        Direction::Egress => &judgement.egress,
                    };
                    assert_ne!(side.verdict, Verdict::Allow, "{}", case.text);
                    let governed = match direction {
                        Direction::Ingress => pair.dst,
                        Direction::Egress => pair.src,
                    };
                    let Party::Peer(peer) = governed else {
                        panic!("the outside is isolated: {}", case.text);
                    };
                    let isolating = case.diff.isolating(when, peer, direction);
                    assert!(!isolating.is_empty(), "{}", case.text);
                    seen[2] += 1;
                }
                same_rules_for_its_own_pods(&case, &pair, asked, &directions, &told);
            }
        }
    });
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

/// The rules were found for peers of the same classes: those of the pair itself have them too.
fn same_rules_for_its_own_pods(
    case: &Case<'_, '_>,
    pair: &Pair<DeltaId>,
    asked: &Asked,
    directions: &[Direction],
    told: &[RuleId],
) {
    let (Party::Peer(src), Party::Peer(dst)) = (pair.src, pair.dst) else {
        return;
    };
    let pods = [src, dst].map(|id| pods_of(&asked.loaded, case.diff.directory().peer(id).unwrap()));
    let transport = case
        .diff
        .answer(case.diff.delta(pair.answer).before)
        .difference(case.diff.answer(case.diff.delta(pair.answer).after))
        .first()
        .unwrap();
    let cluster = &asked.loaded.cluster;
    let mut found = pods[0].iter().flat_map(|src| {
        let of = |who: Who<'_>| families_of(cluster, case.families, who);
        let from = of(*src);
        pods[1].iter().flat_map(move |dst| {
            let common = from.common(of(*dst), transport.protocol);
            common.iter().map(move |family| Ends {
                src: Some(*src),
                dst: Some(*dst),
                family,
            })
        })
    });
    let decides = |ends: Ends| {
        rules(
            &judged(asked, &flow(asked, ends, None, transport)),
            directions,
        ) == told
    };
    assert!(found.any(decides), "{pair:?} {told:?} {}", case.text);
}

/// The tool leaves ICMP and other protocols out of its lists.
const PROTOCOLS: &str = "three protocols are everything there is";

/// Cases that end otherwise, with the reason. One that begins to pass must go from here.
const KNOWN: &[(&str, &str)] = &[(
    "npa/diff/with_end_port_example__with_end_port_example_new",
    PROTOCOLS,
)];

/// Ways with the ends: `added`, source, destination.
type Differences = BTreeSet<(String, String, String)>;

fn name(peer: &PeerReport) -> Option<String> {
    match peer {
        PeerReport::Workload {
            namespace,
            name,
            workload,
        } => Some(format!("{namespace}/{name}[{workload}]")),
        PeerReport::Pod { .. } | PeerReport::Node { .. } | PeerReport::Ip { .. } => None,
    }
}

/// What verdict finds: whether anything, and what between workloads.
fn found(old: &Asked, new: &Asked) -> (bool, Differences) {
    let compared = Worlds {
        old: old.context(),
        new: new.context(),
    };
    let programs = Programs::resolve(&compared);
    let mut diff = Diff::new(compared, &programs, By::Workload);
    let pairs = diff.pairs_of(&Focus::everything());
    let named = pairs.iter().filter_map(|pair| {
        let [src, dst] = [pair.src, pair.dst].map(|end| name(&party(diff.directory(), end)));
        let way = match diff.delta(pair.answer).way() {
            Way::Added => "added",
            Way::Removed => "removed",
            Way::Changed => "changed",
        };
        Some((way.to_owned(), src?, dst?))
    });
    (!pairs.is_empty(), named.collect())
}

fn wanted(case: &Value) -> (bool, Differences) {
    let rows = case["expected"]["diff"].as_array().unwrap();
    let name = |peer: &Value| {
        let text = |key: &str| Some(peer[key].as_str()?.to_owned());
        (peer["t"] == "workload").then_some(())?;
        Some(format!(
            "{}/{}[{}]",
            text("ns")?,
            text("name")?,
            text("kind")?
        ))
    };
    let named = rows.iter().filter_map(|row| {
        let way = row["type"].as_str()?.to_owned();
        Some((way, name(&row["src_n"])?, name(&row["dst_n"])?))
    });
    (!rows.is_empty(), named.collect())
}

#[test]
fn public_differences() {
    let Some(vectors) = vectors() else {
        println!("skipped: there is no folder ../shared/vectors, and VERDICT_VECTORS names none");
        return;
    };
    let known: BTreeMap<&str, &str> = KNOWN.iter().copied().collect();
    let (mut wrong, mut met) = (Vec::new(), BTreeSet::new());
    let (mut passed, mut total) = (0, 0);
    for case in cases(&vectors, "npa").unwrap() {
        let features = case["features"].as_array().into_iter().flatten();
        let out_of_scope = ["ingress-analysis", "multi-network"];
        let mut features = features.filter_map(Value::as_str);
        if case["kind"] != "diff" || features.any(|feature| out_of_scope.contains(&feature)) {
            continue;
        }
        total += 1;
        let id = case["id"].as_str().unwrap();
        let [old, new] = [0, 1].map(|side| {
            let folder = vectors.join(case["input"][side].as_str().unwrap());
            let settings = Settings {
                cidr_matches_pods: Some(false),
                ..Settings::default()
            };
            Asked::read(&[folder], &settings).unwrap()
        });
        let (found, wanted) = (found(&old, &new), wanted(&case));
        passed += usize::from(found == wanted);
        match (found == wanted, known.get_key_value(id)) {
            (true, None) => {}
            (false, Some((known, _))) => assert!(met.insert(*known), "{id} stands twice"),
            (false, None) => wrong.push(format!("{id}: found {found:?}, wanted {wanted:?}")),
            (true, Some((_, reason))) => {
                wrong.push(format!("{id} passes, and is known not to: {reason}"));
            }
        }
    }
    println!("npa    {passed:>4} {total:>4}");
    let unmet: Vec<_> = known.keys().filter(|id| !met.contains(*id)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        unmet.is_empty(),
        "known, and not among the cases: {unmet:?}"
    );
}
