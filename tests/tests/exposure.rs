//! Pods that do not exist, on random worlds: against the definition, and against the same world with the pod in
//! it.
//!
//! `VERDICT_WORLDS` sets how many worlds are tried.

use verdict_compiler::cluster::{
    Cluster, Labels, NAMESPACE_NAME_LABEL, NamespaceId, PodId, Protocol,
};
use verdict_compiler::flows::{Answer, Connections};
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::hir::Direction;
use verdict_compiler::hir::flow::Transport;
use verdict_compiler::hir::spec::Verdict;
use verdict_compiler::ir::Program;
use verdict_compiler::list::exposure::{Exposure, Sample};
use verdict_compiler::list::{By, Listing, PeerId};
use verdict_compiler::query::Who;
use verdict_tests::generate::random::Random;
use verdict_tests::generate::{World, of_both, small, yaml};
use verdict_tests::judging::{
    between, families, members, packets, verdict_of, whos, without_proxies,
};

const BOTH: [Direction; 2] = [Direction::Ingress, Direction::Egress];

fn worlds() -> u64 {
    let wanted = std::env::var("VERDICT_WORLDS")
        .ok()
        .and_then(|text| text.parse().ok());
    wanted.unwrap_or(300)
}

/// Worlds in which something was wrong once: their rules on addresses govern no pod that exists.
const MORE_WORLDS: [u64; 1] = [779];

/// The workloads of a world, with what new pods could reach and be reached from.
fn exposed<'a>(loaded: &'a Loaded, program: &'a Program) -> (Listing<'a>, Exposure) {
    let connections = Connections::new(&loaded.cluster, program, families(loaded));
    let mut listing = Listing::new(connections, By::Workload);
    let exposure = listing.exposure();
    (listing, exposure)
}

/// What the definition says of a packet between two ends, in all families that they share; `direction` is that
/// of the first.
fn expected(
    loaded: &Loaded,
    direction: Direction,
    one: Who<'_>,
    other: Who<'_>,
    packet: Transport,
) -> Verdict {
    let (src, dst) = match direction {
        Direction::Ingress => (other, one),
        Direction::Egress => (one, other),
    };
    between(loaded, src, dst, packet)
}

/// A pod that does not exist, in a namespace of the cluster or in a new one.
fn stranger(random: &mut Random, cluster: &Cluster) -> Sample {
    let index = random.below(cluster.namespaces().len() * 2);
    let existing = NamespaceId(u32::try_from(index).unwrap());
    let (namespace, namespace_labels) = match cluster.namespace(existing) {
        Some(namespace) => (
            namespace.name.clone(),
            cluster.namespace_labels(existing).clone(),
        ),
        None => new_namespace(random, cluster),
    };
    Sample {
        namespace,
        namespace_labels,
        labels: labels(random, &["a", "b", "c"]).into_iter().collect(),
    }
}

fn new_namespace(random: &mut Random, cluster: &Cluster) -> (Box<str>, Labels) {
    let names = ["x", "y2", "z", "other"];
    let mut free = names
        .into_iter()
        .filter(|name| cluster.find_namespace(name).is_none());
    let name = free
        .clone()
        .nth(random.below(3))
        .or(free.next_back())
        .unwrap();
    let mut labels = labels(random, &["a", "c"]);
    labels.push((NAMESPACE_NAME_LABEL.into(), name.into()));
    (name.into(), labels.into_iter().collect())
}

/// Some of these keys, with values that policies name and with one that none does.
fn labels(random: &mut Random, keys: &[&str]) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    for key in keys {
        if random.chance(60) {
            labels.push(((*key).into(), random.one(&["0", "1", "2"]).into()));
        }
    }
    labels
}

#[test]
fn beside_pods_that_do_not_exist_the_sets_are_the_definition() {
    let mut seen = [0_usize; 3];
    let more = MORE_WORLDS
        .into_iter()
        .flat_map(|seed| of_both(seed..seed + 1));
    for (seed, world, mut loaded) in of_both(0..worlds()).chain(more) {
        let program = Program::resolve(&loaded.cluster, &loaded.policies);
        loaded.policies = without_proxies(&loaded.policies);
        let cluster = &loaded.cluster;
        let mut connections = Connections::new(cluster, &program, families(&loaded));
        let mut random = Random::new(seed);
        for who in whos(&loaded) {
            let end = match who {
                Who::Node(node) => connections.node(node).unwrap(),
                Who::Pod(pod) => connections.end(pod).unwrap(),
                _ => panic!("{who:?} is no end"),
            };
            for direction in BOTH {
                let stranger = stranger(&mut random, cluster);
                let id = connections.beside_fresh(end, direction, stranger.hypothetical());
                for packet in packets() {
                    let other = Who::Hypothetical(stranger.hypothetical());
                    let verdict = expected(&loaded, direction, who, other, packet);
                    seen[verdict as usize] += 1;
                    assert_eq!(
                        verdict_of(connections.answer(id), packet),
                        verdict,
                        "seed {seed}: {direction} of {who:?}, {stranger:?}, {packet:?}\n{}",
                        world.text()
                    );
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

/// What the definition says of a packet between the pods of a peer, or the node that it is, and another end.
fn expected_of_peer(
    loaded: &Loaded,
    direction: Direction,
    members: &[Who<'_>],
    other: Who<'_>,
    packet: Transport,
) -> Verdict {
    let verdicts = members
        .iter()
        .map(|own| expected(loaded, direction, *own, other, packet));
    let agreed = |one, other| {
        if one == other { one } else { Verdict::Depends }
    };
    verdicts.reduce(agreed).unwrap()
}

/// Every pod that may come to be is told of, and what is told of it is its answer.
#[test]
fn whatever_is_said_of_new_pods_is_true_of_each() {
    let mut seen = [0_usize; 3];
    let more = MORE_WORLDS
        .into_iter()
        .flat_map(|seed| of_both(seed..seed + 1));
    for (seed, world, mut loaded) in of_both(0..worlds()).chain(more) {
        let program = Program::resolve(&loaded.cluster, &loaded.policies);
        loaded.policies = without_proxies(&loaded.policies);
        let (listing, exposure) = exposed(&loaded, &program);
        let cluster = &loaded.cluster;
        let mut random = Random::new(seed);
        let peers: Vec<PeerId> = listing.peer_ids().collect();
        for peer in peers {
            let pods = members(listing.peer(peer).unwrap());
            for direction in BOTH {
                let exposed = exposure.of(&listing, peer, direction).unwrap();
                assert!(!exposed.coarse);
                for _ in 0..4 {
                    let stranger = stranger(&mut random, cluster);
                    let namespace = cluster.find_namespace(&stranger.namespace);
                    let labels = (&stranger.namespace_labels, &stranger.labels);
                    let mut covering = exposed.entries.iter();
                    let found = covering.find(|entry| entry.covers(namespace, labels.0, labels.1));
                    let answer = found.map_or(Answer::nothing(), |entry| {
                        listing.answer(entry.answer).clone()
                    });
                    let mut same = exposed.entries.iter();
                    assert!(
                        same.all(|entry| !entry.covers(namespace, labels.0, labels.1)
                            || Some(entry.answer) == found.map(|found| found.answer))
                    );
                    for packet in packets() {
                        let other = Who::Hypothetical(stranger.hypothetical());
                        let verdict = expected_of_peer(&loaded, direction, &pods, other, packet);
                        seen[verdict as usize] += 1;
                        assert_eq!(
                            verdict_of(&answer, packet),
                            verdict,
                            "seed {seed}: {direction} of {peer:?}, {stranger:?}, {packet:?}, {exposed:#?}\n{}",
                            world.text()
                        );
                    }
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

/// The world with one more pod, in a namespace of its own where that is new.
fn with_pod(world: &World, cluster: &Cluster, sample: &Sample) -> World {
    let labels = |labels: &Labels| {
        let pairs = labels.iter().map(|(key, value)| (key.into(), value.into()));
        serde_json::Value::Object(pairs.collect())
    };
    let mut objects = vec![serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "added", "namespace": sample.namespace, "labels": labels(&sample.labels)},
        "spec": {"containers": [{"name": "main", "image": "main"}]},
    })];
    if cluster.find_namespace(&sample.namespace).is_none() {
        objects.push(serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": sample.namespace, "labels": labels(&sample.namespace_labels)},
        }));
    }
    let mut more = world.clone();
    more.files
        .push(("added.yaml".into(), yaml::documents(&objects)));
    more
}

/// A pod that has the labels is added to the manifests, and the question is asked again.
#[test]
fn a_pod_with_the_labels_has_the_answer() {
    let mut seen = [0_usize; 3];
    for seed in 0..worlds() / 4 {
        let world = small::world(seed);
        let loaded = world.load_for(seed);
        let program = Program::resolve(&loaded.cluster, &loaded.policies);
        let (listing, exposure) = exposed(&loaded, &program);
        let cluster = &loaded.cluster;
        let mut random = Random::new(seed);
        let peers: Vec<PeerId> = listing.peer_ids().collect();
        let peer = *random.pick(&peers).unwrap();
        let pods: Vec<&str> = listing
            .peer(peer)
            .unwrap()
            .pods
            .iter()
            .map(|pod| &*cluster.pods()[pod.index()].name)
            .collect();
        for direction in BOTH {
            for entry in &exposure.of(&listing, peer, direction).unwrap().entries {
                let sample = entry.sample(cluster);
                let more = with_pod(&world, cluster, &sample).load_for(seed);
                let named = |name: &str| {
                    let mut all = more.cluster.pods().iter();
                    PodId(u32::try_from(all.position(|pod| *pod.name == *name).unwrap()).unwrap())
                };
                let pods: Vec<Who<'_>> = pods.iter().map(|name| Who::Pod(named(name))).collect();
                let added = named("added");
                for packet in packets() {
                    let other = Who::Pod(added);
                    let verdict = expected_of_peer(&more, direction, &pods, other, packet);
                    let said = verdict_of(listing.answer(entry.answer), packet);
                    seen[said as usize] += 1;
                    // Which ports a new pod names is not known; this one names none.
                    let open = direction == Direction::Egress && said == Verdict::Depends;
                    assert!(
                        said == verdict || open,
                        "seed {seed}: {direction} of {peer:?}, {entry:?}, {packet:?}: {said:?}, {verdict:?}\n{}",
                        world.text()
                    );
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

/// More kinds of pods than are told apart: what is said is still true.
#[test]
fn where_pods_are_not_told_apart_nothing_is_claimed() {
    let rules = (0..11).map(|index| {
        let labels = serde_json::json!({"matchLabels": {(format!("k{index}")): "v"}});
        serde_json::json!({"from": [{"podSelector": labels}], "ports": [{"port": 1000 + index}]})
    });
    let policy = serde_json::json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "many", "namespace": "x"},
        "spec": {"podSelector": {}, "ingress": rules.collect::<Vec<_>>()},
    });
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "x"},
        "spec": {"containers": [{"name": "main", "image": "main"}]},
    });
    let world = World {
        files: vec![("world.yaml".into(), yaml::documents(&[policy, pod]))],
    };
    let loaded = world.load(true);
    let cluster = &loaded.cluster;
    let program = Program::resolve(cluster, &loaded.policies);
    let (listing, exposure) = exposed(&loaded, &program);
    let web = listing.peer_ids().next().unwrap();
    let exposed = exposure.of(&listing, web, Direction::Ingress).unwrap();
    assert!(exposed.coarse);
    let mut random = Random::new(1);
    let namespace = cluster.find_namespace("x").unwrap();
    let mut open = 0;
    for _ in 0..200 {
        let picked = (0..11).filter(|_| random.chance(40));
        let labels: Labels = picked.map(|index| (format!("k{index}"), "v")).collect();
        let sample = Sample {
            namespace: "x".into(),
            namespace_labels: cluster.namespace_labels(namespace).clone(),
            labels,
        };
        let mut entries = exposed.entries.iter();
        let found = entries
            .find(|entry| entry.covers(Some(namespace), &sample.namespace_labels, &sample.labels));
        for port in 999..1012 {
            let packet = Transport::to_port(Protocol::TCP, port);
            let said = found.map_or(Verdict::Deny, |entry| {
                verdict_of(listing.answer(entry.answer), packet)
            });
            let other = Who::Hypothetical(sample.hypothetical());
            let verdict = expected(
                &loaded,
                Direction::Ingress,
                Who::Pod(PodId(0)),
                other,
                packet,
            );
            open += usize::from(said == Verdict::Depends);
            assert!(
                said == verdict || said == Verdict::Depends,
                "{sample:?} {port}"
            );
        }
    }
    assert!(open > 0);
}
