//! The open world: what is added after an image was made is decided as if it had been there.
//!
//! For random worlds, "compile, then add a pod, a namespace or a DNS answer" is held to "add it, then compile", over
//! all flows. `VERDICT_WORLDS` sets how many worlds are tried.

use std::net::IpAddr;
use verdict_abi::open::{Overlay, Packet, Places, Verdict as Said, World as Open};
use verdict_abi::{Action, Query, Use, decide};
use verdict_compiler::cluster::{NodeId, Owner, PodId};
use verdict_compiler::compile::Compiler;
use verdict_compiler::engine::{Engine, EngineKind};
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::hir::Direction;
use verdict_compiler::hir::flow::{Address, Endpoint, EndpointKind, Flow, PodView, Transport};
use verdict_compiler::hir::spec::{Side, Verdict};
use verdict_compiler::image::{Image, seen, seen_pod};
use verdict_compiler::ir;
use verdict_compiler::lir::transport;
use verdict_compiler::opt;
use verdict_compiler::query::{Families, Who, flows_between};
use verdict_tests::generate::random::Random;
use verdict_tests::generate::{World, small};
use verdict_tests::images;
use verdict_tests::judging::packets;

fn worlds() -> u64 {
    std::env::var("VERDICT_WORLDS").map_or(60, |count| count.parse().unwrap())
}

/// The addresses of new pods, and those of answers.
const NEW: [&str; 2] = ["10.0.0.77", "2001:db8::77"];
const ANSWERS: [&str; 5] = [
    "192.0.2.7",
    "203.0.113.9",
    "10.0.0.1",
    "10.0.0.77",
    "2001:db8:1::9",
];
const OTHERS: [&str; 5] = [
    "192.0.2.6",
    "203.0.113.9",
    "10.9.9.9",
    "172.18.0.9",
    "2001:db8:2::1",
];

/// What is added to a world.
struct Added {
    text: String,
    pod: bool,
    names: Vec<(String, Vec<IpAddr>)>,
}

fn labels(random: &mut Random, keys: &[&str]) -> String {
    let mut text = String::new();
    for key in keys {
        if random.chance(70) {
            let value = random.one(&["0", "1", "2"]);
            text.push_str(&format!("{key}: \"{value}\", "));
        }
    }
    text
}

fn added(random: &mut Random, loaded: &Loaded) -> Added {
    let mut text = String::new();
    let mut names = Vec::new();
    let pod = random.chance(75);
    if pod {
        let namespace = random.one(&["x", "y2", "z", "new"]);
        let is_known = loaded.cluster.find_namespace(namespace).is_some();
        if !is_known && random.chance(70) {
            let labels = labels(random, &["a"]);
            text.push_str(&format!(
                "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}, labels: {{{labels}}}}}\n"
            ));
        }
        let node = random
            .pick(loaded.cluster.nodes())
            .filter(|_| random.chance(80));
        let node = node.map_or(String::new(), |node| format!("nodeName: {}, ", node.name));
        let host = random.chance(10);
        let port = random.one(&["80", "81", "8080", "9000"]);
        let ports = if random.chance(60) {
            let host_port = if host {
                format!(", hostPort: {port}")
            } else {
                String::new()
            };
            format!("ports: [{{name: http, containerPort: {port}{host_port}}}]")
        } else {
            String::new()
        };
        let labels = labels(random, &["a", "b"]);
        let (host, status) = if host {
            ("hostNetwork: true, ", String::new())
        } else {
            let [v4, v6] = NEW;
            (
                "",
                format!("status: {{podIP: {v4}, podIPs: [{{ip: {v4}}}, {{ip: \"{v6}\"}}]}}\n"),
            )
        };
        text.push_str(&format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: new, namespace: {namespace}, labels: {{{labels}}}}}\n\
             spec: {{{node}{host}containers: [{{name: main, image: main, {ports}}}]}}\n{status}"
        ));
    }
    if !pod || random.chance(25) {
        let name = random.one(&[
            "late.example.com",
            "api.example.com",
            "unseen.example.org",
            "x.test",
        ]);
        let address = random.one(&ANSWERS);
        text.push_str(&format!(
            "---\napiVersion: verdict.dev/v1\nkind: DnsSnapshot\nmetadata: {{name: later}}\nnames: {{{name}: [\"{address}\"]}}\n"
        ));
        names.push((name.to_owned(), vec![address.parse().unwrap()]));
    }
    Added { text, pod, names }
}

/// How often what happened.
#[derive(Debug, Default)]
struct Counts {
    flows: u64,
    /// Sides that were answered by tables.
    by_tables: u64,
    pods: u64,
    /// New pods, at nodes that have a class for them.
    pods_placed: u64,
    answers: u64,
    answers_placed: u64,
    endpoints: u64,
    /// New pods, on nodes that have an endpoint that is asked the same.
    endpoints_placed: u64,
}

/// A node before something was added, and what it learnt.
struct Node<'i> {
    image: &'i Image<'i>,
    /// What it knows now.
    world: &'i Open,
    overlay: Overlay,
    /// The endpoint that the new pod is like.
    new: Option<u32>,
}

impl Node<'_> {
    fn learn(&mut self, pods: &[&PodView<'_>], added: &Added, here: bool, counts: &mut Counts) {
        let places = Places::new(
            self.world,
            self.image.subjects(),
            self.image,
            self.image.deciders(),
        );
        for view in pods {
            let pod = seen_pod(self.world, view);
            if here {
                counts.endpoints += 1;
                self.new = places.endpoint(&pod);
                counts.endpoints_placed += u64::from(self.new.is_some());
            }
            if view.host.is_some() {
                continue;
            }
            for address in NEW {
                counts.pods += 1;
                let placed = self
                    .overlay
                    .add_pod(&places, &pod, address.parse().unwrap());
                counts.pods_placed += u64::from(placed);
            }
        }
        for address in added.names.iter().flat_map(|(_, addresses)| addresses) {
            counts.answers += 1;
            let placed = self.overlay.add_answer(&places, *address);
            counts.answers_placed += u64::from(placed);
        }
    }

    /// What the tables do with a packet; nothing where they have no class for an end.
    fn acts(&self, endpoint: u32, leaf: u32, of: Use, packet: Transport) -> Option<(bool, bool)> {
        let (protocol, value) = transport::parts(transport::of(packet));
        let query = Query {
            endpoint,
            of,
            leaf,
            protocol: protocol.0,
            value,
        };
        let (_, code) = decide(self.image, query)?;
        Some((code.action != Action::Deny, code.depends))
    }
}

/// Ends that may stand at the other side of a flow.
fn ends(loaded: &Loaded) -> Vec<Who<'static>> {
    let count = |length: usize| 0..u32::try_from(length).unwrap();
    let pods = count(loaded.cluster.pods().len()).map(|pod| Who::Pod(PodId(pod)));
    let nodes = count(loaded.cluster.nodes().len()).map(|node| Who::Node(NodeId(node)));
    let addresses = OTHERS.iter().chain(&ANSWERS);
    pods.chain(nodes)
        .chain(addresses.map(|address| Who::Address(address.parse().unwrap())))
        .collect()
}

struct Case<'a> {
    before: &'a Loaded,
    after: &'a Loaded,
    nodes: Vec<(Option<NodeId>, Node<'a>)>,
    engine: Engine<'a>,
    /// Whether an answer was learnt: what hung on it may be settled now.
    learnt: bool,
}

fn name(loaded: &Loaded, pod: PodId) -> String {
    let pod = &loaded.cluster.pods()[pod.index()];
    format!(
        "{}/{}",
        loaded.cluster.namespace_name(pod.namespace),
        pod.name
    )
}

impl Case<'_> {
    fn check(&self, flow: &Flow<'_>, direction: Direction, counts: &mut Counts) -> Option<String> {
        let judgement = self.engine.judge(flow);
        let (expected, subject, other) = match direction {
            Direction::Ingress => (judgement.ingress, &flow.dst, &flow.src),
            Direction::Egress => (judgement.egress, &flow.src, &flow.dst),
        };
        let EndpointKind::Pod(pod) = &subject.kind else {
            return None;
        };
        if expected.exempt.is_some() {
            return None;
        }
        let (_, node) = self.nodes.iter().find(|(node, _)| *node == pod.node)?;
        counts.flows += 1;
        // What the policies in the image say, classes or not.
        let own = seen_pod(node.world, pod);
        let governing = node.world.governing(&own);
        let packet = Packet {
            protocol: flow.transport.protocol.0,
            port: flow.transport.port,
        };
        let end = seen(node.world, other);
        let ingress = direction == Direction::Ingress;
        let said = node.world.judge(&own, &governing, &end, ingress, packet);
        let verdict = match said.verdict {
            Said::Allow => Verdict::Allow,
            Said::Deny => Verdict::Deny,
            Said::Depends => Verdict::Depends,
        };
        let rules: Vec<u32> = expected.rules.iter().map(|rule| rule.0).collect();
        if verdict != expected.verdict || said.rules != rules {
            return Some(format!(
                "the policies in the image say {said:?}, not {expected:?}"
            ));
        }
        self.check_tables(node, flow, (pod, other), direction, &expected, counts)
    }

    fn check_tables(
        &self,
        node: &Node<'_>,
        flow: &Flow<'_>,
        (pod, other): (&PodView<'_>, &Endpoint<'_>),
        direction: Direction,
        expected: &Side,
        counts: &mut Counts,
    ) -> Option<String> {
        let Address::Known(address) = other.address else {
            return None;
        };
        // By its address an end is the first owner of it: the node, for a pod on its network.
        let owner = self.after.cluster.owner(address);
        let is_owner = match &other.kind {
            EndpointKind::Pod(peer) => owner == peer.id.map(Owner::Pod),
            EndpointKind::Node(node) => node.id.is_some() && owner == node.id.map(Owner::Node),
            EndpointKind::Outside => owner.is_none(),
        };
        if !is_owner {
            return None;
        }
        let name = name(self.after, pod.id?);
        let endpoint = node.image.endpoint(&name).or(node.new)?;
        let itself = matches!(&other.kind, EndpointKind::Pod(peer) if peer.id == pod.id);
        let of = match (direction, itself) {
            (Direction::Ingress, false) => Use::Ingress,
            (Direction::Egress, false) => Use::Egress,
            (Direction::Ingress, true) => Use::HairpinIngress,
            (Direction::Egress, true) => Use::HairpinEgress,
        };
        let leaf = node.overlay.leaf(node.image, address).unwrap();
        let acts = node.acts(endpoint, leaf, of, flow.transport);
        counts.by_tables += u64::from(acts.is_some());
        let (passes, depends) = acts?;
        let same = passes == (expected.verdict == Verdict::Allow)
            && (self.learnt || depends == (expected.verdict == Verdict::Depends));
        (!same).then(|| format!("the tables pass {passes}, depend {depends}, not {expected:?}"))
    }
}

#[test]
fn what_comes_later_is_decided_as_if_it_had_been_there() {
    let mut counts = Counts::default();
    for seed in 0..worlds() {
        let mut random = Random::new(seed ^ 0x0be2);
        let world = small::world(seed);
        let before = world.load_for(seed);
        let added = added(&mut random, &before);
        let mut more = world.clone();
        more.files.push(("later.yaml".into(), added.text.clone()));
        let after = more.load_for(seed);
        assert!(
            !after.has_errors(),
            "{:#?}\n{}",
            after.diagnostics,
            more.text()
        );
        one(seed, &world, &more, &before, &after, &added, &mut counts);
    }
    println!("{counts:?}");
    assert!(counts.by_tables > 10_000, "{counts:?}");
    assert!(
        counts.pods_placed > 0 && counts.pods_placed < counts.pods,
        "{counts:?}"
    );
    assert!(counts.answers_placed > 0, "{counts:?}");
    assert!(counts.endpoints_placed > 0, "{counts:?}");
}

fn one(
    seed: u64,
    world: &World,
    more: &World,
    before: &Loaded,
    after: &Loaded,
    added: &Added,
    counts: &mut Counts,
) {
    let sources = world.sources();
    let program = ir::Program::resolve(&before.cluster, &before.policies);
    let compiler = Compiler::new(&before.cluster, &before.policies, &sources, &program);
    let made: Vec<(Option<NodeId>, Vec<u8>)> = compiler
        .lowering()
        .nodes()
        .iter()
        .map(|(node, pods)| (*node, compiler.node(*node, pods).unwrap().image.write()))
        .collect();
    let images: Vec<(Option<NodeId>, Image<'_>)> = made
        .iter()
        .map(|(node, bytes)| (*node, Image::decode(bytes).unwrap()))
        .collect();
    let learnt: Vec<Open> = images
        .iter()
        .map(|(_, image)| {
            let mut world = image.world().clone();
            for (name, addresses) in &added.names {
                world.learn(name, addresses);
            }
            world
        })
        .collect();
    let new = (0..)
        .zip(after.cluster.pods())
        .find(|(_, pod)| added.pod && *pod.name == *"new");
    let view =
        new.map(|(id, pod)| verdict_compiler::query::pod_view(&after.cluster, PodId(id), pod));
    // A pod that is taken for its node is none.
    let view = view.filter(|view| {
        view.host.is_none()
            || after.cluster.host_network() == verdict_compiler::cluster::HostNetwork::Pod
    });
    let mut nodes = Vec::new();
    for ((node, image), open) in images.iter().zip(&learnt) {
        let mut state = Node {
            image,
            world: open,
            overlay: Overlay::default(),
            new: None,
        };
        let here = view.as_ref().is_some_and(|view| view.node == *node);
        let pods: Vec<&PodView<'_>> = view.iter().collect();
        state.learn(&pods, added, here, counts);
        nodes.push((*node, state));
    }
    let case = Case {
        before,
        after,
        nodes,
        engine: Engine::new(
            EngineKind::Image,
            &more.sources(),
            &after.cluster,
            &after.policies,
        )
        .unwrap(),
        learnt: !added.names.is_empty(),
    };
    assert!(case.before.cluster.nodes().len() == after.cluster.nodes().len());
    let families = Families::of(&after.cluster);
    let ends = ends(after);
    for src in &ends {
        for dst in &ends {
            for packet in packets().into_iter().step_by(3) {
                for mut flow in flows_between(&after.cluster, families, *src, *dst, packet) {
                    for by_service in [false, true] {
                        flow.dst.by_service = by_service;
                        for direction in [Direction::Ingress, Direction::Egress] {
                            if let Some(fault) = case.check(&flow, direction, counts) {
                                panic!("world {seed}: {fault}\n{flow:#?}\n{}", more.text());
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The world without the lines at which things are written, which no policy knows.
fn placeless(mut world: Open) -> Open {
    for policy in &mut world.policies {
        (policy.file, policy.line) = (0, 0);
        let rules = policy.rules.iter_mut().flatten();
        rules.for_each(|rule| rule.line = 0);
    }
    world.strings.clear();
    world
}

#[test]
fn a_changed_world_is_found() {
    let (mut changed, mut refused) = (0, 0);
    for seed in 0..6 {
        let world = small::world(seed);
        let loaded = world.load_for(seed);
        let sources = world.sources();
        let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
        let compiler = Compiler::new(&loaded.cluster, &loaded.policies, &sources, &program);
        let nodes = compiler.lowering().nodes().iter();
        let (node, pods) = nodes.max_by_key(|(_, pods)| pods.len()).unwrap();
        let lowered = opt::optimize(compiler.lowering().node(*node, pods), |_, _| {});
        let bytes = compiler.encode(*node, pods, &lowered).unwrap();
        let image = Image::decode(&bytes).unwrap();
        let (subjects, own) = (image.subjects().clone(), image.world().clone());
        // The two sections are the last, and the last padded to a page.
        let world = image.world().write().len();
        let first = bytes.len() - 4096 - world.next_multiple_of(4096);
        let mut random = Random::new(seed);
        for _ in 0..60 {
            let at = if random.chance(90) {
                first + random.below(world)
            } else {
                bytes.len() - 4096 + random.below(subjects.write().len())
            };
            let mut faulty = bytes.clone();
            faulty[at] = faulty[at].wrapping_add(u8::try_from(1 + random.below(3)).unwrap());
            let faulty = images::sealed(faulty);
            let Ok(read) = Image::decode(&faulty) else {
                refused += 1;
                continue;
            };
            let texts = read.world().strings == own.strings;
            if texts
                && *read.subjects() == subjects
                && placeless(read.world().clone()) == placeless(own.clone())
            {
                continue;
            }
            changed += 1;
            let proved = compiler.prove(*node, pods, &lowered, &faulty);
            let is_file = !texts && placeless(read.world().clone()) == placeless(own.clone());
            assert!(
                proved.is_err() || is_file,
                "world {seed}: byte {at} is not found"
            );
        }
    }
    assert!(
        changed > 50 && refused > 50,
        "{changed} changed, {refused} refused"
    );
}
