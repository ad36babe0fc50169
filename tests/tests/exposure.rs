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
use verdict_compiler::hir::flow::{Flow, Transport};
use verdict_compiler::hir::spec::{self, Verdict, World as Judged};
use verdict_compiler::ir::Program;
use verdict_compiler::query::{
    Families, Family, Hypothetical, Who, combine, endpoint, families_of,
};
use verdict_tests::generate::random::Random;
use verdict_tests::generate::small;

const BOTH: [Direction; 2] = [Direction::Ingress, Direction::Egress];

fn worlds() -> u64 {
    let wanted = std::env::var("VERDICT_WORLDS")
        .ok()
        .and_then(|text| text.parse().ok());
    wanted.unwrap_or(300)
}

/// Packets around every bound of the small worlds.
fn packets() -> Vec<Transport> {
    let ports = [1, 80, 81, 82, 85, 90, 8080, 9000, 65_535];
    let protocols = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
    let with_ports = protocols
        .iter()
        .flat_map(|protocol| ports.map(|port| Transport::to_port(*protocol, port)));
    let bare = |protocol, icmp| Transport {
        protocol,
        port: None,
        icmp,
    };
    with_ports
        .chain([
            bare(Protocol::ICMP, Some((8, 0))),
            bare(Protocol::ICMPV6, Some((128, 0))),
            bare(Protocol(47), None),
        ])
        .collect()
}

fn carries(family: Family, packet: Transport) -> bool {
    match family {
        Family::V4 => packet.protocol != Protocol::ICMPV6,
        Family::V6 => packet.protocol != Protocol::ICMP,
    }
}

fn verdict_of(answer: &Answer, packet: Transport) -> Verdict {
    match (
        answer.allow.contains(packet),
        answer.depends.contains(packet),
    ) {
        (true, false) => Verdict::Allow,
        (false, true) => Verdict::Depends,
        (false, false) => Verdict::Deny,
        (true, true) => panic!("an answer has a packet in both sets: {answer:?}"),
    }
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
    let cluster = &loaded.cluster;
    let families = Families::of(cluster);
    let (src, dst) = match direction {
        Direction::Ingress => (other, one),
        Direction::Egress => (one, other),
    };
    let world = Judged {
        policies: &loaded.policies,
        names: cluster.names(),
    };
    let judgements = families_of(cluster, families, src)
        .and(families_of(cluster, families, dst))
        .iter()
        .filter(|family| carries(*family, packet))
        .map(|family| {
            let flow = Flow {
                src: endpoint(cluster, src, family),
                dst: endpoint(cluster, dst, family),
                transport: packet,
            };
            spec::judge(world, &flow)
        });
    combine(judgements.collect::<Vec<_>>()).map_or(Verdict::Deny, |judgement| judgement.verdict)
}

fn pods(loaded: &Loaded) -> impl Iterator<Item = PodId> + Clone + use<> {
    (0..u32::try_from(loaded.cluster.pods().len()).unwrap()).map(PodId)
}

/// A pod that does not exist.
#[derive(Clone, Debug)]
struct Stranger {
    namespace: Box<str>,
    namespace_labels: Labels,
    labels: Labels,
}

impl Stranger {
    /// One in a namespace of the cluster or in a new one.
    fn random(random: &mut Random, cluster: &Cluster) -> Self {
        let index = random.below(cluster.namespaces().len() * 2);
        let existing = NamespaceId(u32::try_from(index).unwrap());
        let (namespace, namespace_labels) = match cluster.namespace(existing) {
            Some(namespace) => (
                namespace.name.clone(),
                cluster.namespace_labels(existing).clone(),
            ),
            None => new_namespace(random, cluster),
        };
        Self {
            namespace,
            namespace_labels,
            labels: labels(random, &["a", "b", "c"]).into_iter().collect(),
        }
    }

    fn hypothetical(&self) -> Hypothetical<'_> {
        Hypothetical {
            namespace: &self.namespace,
            namespace_labels: &self.namespace_labels,
            labels: &self.labels,
        }
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
    for seed in 0..worlds() {
        let world = small::world(seed);
        let loaded = world.load(seed % 3 != 0);
        let cluster = &loaded.cluster;
        let program = Program::resolve(cluster, &loaded.policies);
        let mut connections = Connections::new(cluster, &program, Families::of(cluster));
        let mut random = Random::new(seed);
        for pod in pods(&loaded) {
            let end = connections.end(pod).unwrap();
            for direction in BOTH {
                let stranger = Stranger::random(&mut random, cluster);
                let id = connections.beside_fresh(end, direction, stranger.hypothetical());
                for packet in packets() {
                    let other = Who::Hypothetical(stranger.hypothetical());
                    let verdict = expected(&loaded, direction, Who::Pod(pod), other, packet);
                    seen[verdict as usize] += 1;
                    assert_eq!(
                        verdict_of(connections.answer(id), packet),
                        verdict,
                        "seed {seed}: {direction} of pod {pod:?}, {stranger:?}, {packet:?}\n{}",
                        world.text()
                    );
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}
