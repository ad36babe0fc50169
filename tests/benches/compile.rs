//! What compiling costs after the YAML is read, stage by stage: once for a cluster, and for each node; and how many flows a
//! second an image answers.
//!
//! `cargo bench -p verdict-tests --bench compile`. The cluster has 100,000 pods on 100 nodes, 10,000 policies and 2,000 label
//! sets, both families; beside it stands one with a tenth of the pods, and with `VERDICT_BENCH_PODS=1000000` one with ten
//! times as many. Each is measured in a process of its own, which reports its peak of memory (`VmHWM` of
//! `/proc/self/status`) and the time that its threads spent running (`schedstat`; both Linux only), since other work on the
//! machine stretches the time on the wall.
//!
//! Bounds: ten seconds on two cores and 4 GiB; validation no more than the compile itself; twelve times for ten times the
//! pods; 5 million flows a second and core.

#[path = "common/memory.rs"]
mod memory;
#[path = "common/threads.rs"]
mod threads;

use memory::peak;
use rayon::prelude::*;
use std::net::IpAddr;
use std::process::Command;
use std::time::Instant;
use threads::on_cpu;
use verdict_abi::{Query, Use, decide};
use verdict_compiler::cluster::{PodId, Protocol};
use verdict_compiler::compile::{Compiler, Written};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::hir::Direction;
use verdict_compiler::hir::flow::{Flow, Transport};
use verdict_compiler::hir::spec::{self, World};
use verdict_compiler::image::Image;
use verdict_compiler::ir::Program;
use verdict_compiler::lir::Lowering;
use verdict_compiler::opt;
use verdict_compiler::query::{Family, Who, endpoint};
use verdict_tests::asking::Asked;
use verdict_tests::generate::large::{self, Size};
use verdict_tests::generate::random::Random;

/// Names the folder of manifests to a process that is to measure.
const FOLDER: &str = "VERDICT_BENCH_FOLDER";
/// Asks for another number of pods than a tenth beside those of the bounds.
const PODS: &str = "VERDICT_BENCH_PODS";

/// Nodes that are measured one by one.
const NODES: usize = 5;
const FLOWS: usize = 1_000_000;
const ROUNDS: usize = 3;

fn size(pods: usize) -> Size {
    Size {
        pods,
        namespaces: 200,
        policies: 10_000,
        cluster_policies: 50,
        label_sets: 2_000,
        nodes: 100,
        dual_stack: true,
    }
}

/// The stages, in the order in which they are reported.
const STAGES: [&str; 16] = [
    "read the YAML",
    "resolve, once",
    "lower, once",
    "validate, once",
    "lower, first node",
    "optimise, first node",
    "encode, first node",
    "validate, first node",
    "lower, a later node",
    "optimise, a later node",
    "encode, a later node",
    "validate, a later node",
    "all nodes, one after another and on all cores",
    "image: flows a second",
    "indexed program: flows a second",
    "definition: flows a second",
];

/// Of each stage the time on the wall and that of all threads, in seconds; for flows their rate, twice.
type Measured = Vec<(f64, f64)>;

fn main() {
    match std::env::var_os(FOLDER) {
        Some(folder) => measure(folder.into()),
        None => compare(),
    }
}

fn compare() {
    let other = std::env::var(PODS).ok().and_then(|pods| pods.parse().ok());
    let mut sizes = [100_000, other.unwrap_or(10_000)];
    sizes.sort_unstable();
    let [(few, few_peak), (many, many_peak)] = sizes.map(in_a_process);
    println!(
        "{:<48}{:>14}{:>14}{:>14}{:>14}{:>8}",
        "", "wall ms", "CPU ms", "wall ms", "CPU ms", "ratio"
    );
    println!("{:<48}{:>28}{:>28}", "pods", sizes[0], sizes[1]);
    for ((name, few), many) in STAGES.iter().zip(&few).zip(&many).take(13) {
        println!(
            "{name:<48}{:>14.1}{:>14.1}{:>14.1}{:>14.1}{:>8.2}",
            few.0 * 1e3,
            few.1 * 1e3,
            many.0 * 1e3,
            many.1 * 1e3,
            many.1 / few.1,
        );
    }
    for (name, of) in [
        ("the first node, after reading", first as fn(&Measured) -> _),
        ("validation", validation),
        ("all else", compile),
    ] {
        let (few, many) = (of(&few), of(&many));
        println!(
            "{name:<48}{:>14.1}{:>14.1}{:>14.1}{:>14.1}{:>8.2}",
            few.0 * 1e3,
            few.1 * 1e3,
            many.0 * 1e3,
            many.1 * 1e3,
            many.1 / few.1,
        );
    }
    let ratio = |measured: &Measured| validation(measured).1 / compile(measured).1;
    println!(
        "{:<48}{:>28.2}{:>28.2}",
        "validation / compile",
        ratio(&few),
        ratio(&many)
    );
    println!(
        "{:<48}{:>28.1}{:>28.1}",
        "peak of memory, MB",
        few_peak / 1e6,
        many_peak / 1e6
    );
    for ((name, few), many) in STAGES.iter().zip(&few).zip(&many).skip(13) {
        println!("{name:<48}{:>28.0}{:>28.0}", few.0, many.0);
    }
}

fn sum(measured: &Measured, stages: &[usize]) -> (f64, f64) {
    let found = stages.iter().filter_map(|stage| measured.get(*stage));
    found.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

fn first(measured: &Measured) -> (f64, f64) {
    sum(measured, &[1, 2, 3, 4, 5, 6, 7])
}

fn validation(measured: &Measured) -> (f64, f64) {
    sum(measured, &[3, 7])
}

fn compile(measured: &Measured) -> (f64, f64) {
    sum(measured, &[1, 2, 4, 5, 6])
}

fn in_a_process(pods: usize) -> (Measured, f64) {
    let folder =
        std::env::temp_dir().join(format!("verdict-compile-{}-{pods}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for manifests");
    for (name, text) in large::world(size(pods), 1).files {
        std::fs::write(folder.join(name), text).expect("a manifest");
    }
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .env(FOLDER, &folder)
        .output()
        .expect("a process");
    std::fs::remove_dir_all(&folder).expect("the folder");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    let mut measured = Vec::new();
    while let (Some(wall), Some(cpu)) = (numbers.next(), numbers.next()) {
        measured.push((wall, cpu));
    }
    let (peak, _) = measured.pop().expect("a peak");
    assert_eq!(
        measured.len(),
        STAGES.len(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (measured, peak)
}

/// Does something, and prints what it took.
fn timed<T>(run: impl FnOnce() -> T) -> T {
    let (start, before) = (Instant::now(), on_cpu());
    let made = run();
    println!("{} {}", start.elapsed().as_secs_f64(), on_cpu() - before);
    made
}

fn measure(folder: std::path::PathBuf) {
    // Threads of the pool live as long as the process, and their time is counted.
    rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build_global()
        .expect("two threads");
    let asked = timed(|| {
        Asked::read(std::slice::from_ref(&folder), &Settings::default()).expect("manifests")
    });
    let (cluster, policies) = (&asked.loaded.cluster, &asked.loaded.policies);
    let program = timed(|| Program::resolve(cluster, policies));
    let lowering = timed(|| Lowering::new(cluster, &program));
    let compiler = timed(|| {
        let written = Written::of(cluster, policies, &asked.sources);
        Compiler::with(written, lowering)
    });
    let nodes = compiler.lowering().nodes();
    let mut last = Vec::new();
    for (index, (node, pods)) in nodes.iter().take(NODES).enumerate() {
        // Only the first node and one of the later ones are reported.
        if index > 0 && index + 1 < NODES {
            compiler.node(*node, pods).expect("an image");
            continue;
        }
        let lowered = timed(|| compiler.lowering().node(*node, pods));
        let program = timed(|| opt::optimize(lowered, |_, _| {}));
        let bytes = timed(|| compiler.encode(*node, pods, &program)).expect("room");
        timed(|| compiler.prove(*node, pods, &program, &bytes)).expect("a proof");
        last = bytes;
    }
    timed(|| {
        nodes.par_iter().for_each(|(node, pods)| {
            compiler.node(*node, pods).expect("an image");
        });
    });
    let peak = peak();
    let image = Image::decode(&last).expect("an image");
    let pods = nodes.get(NODES - 1).map_or(&[][..], |(_, pods)| pods);
    engines(&asked, &program, &image, pods);
    println!("{peak} 0");
}

/// A flow into or out of an endpoint of a node, by the address at the other end.
#[derive(Clone, Copy)]
struct Question {
    endpoint: u32,
    pod: PodId,
    direction: Direction,
    other: IpAddr,
    port: u16,
}

fn questions(asked: &Asked, pods: &[PodId]) -> Vec<Question> {
    let all = asked.loaded.cluster.pods();
    let mut random = Random::new(5);
    let question = |_| {
        let endpoint = random.below(pods.len());
        let addresses = &all[random.below(all.len())].addresses;
        let outside = || IpAddr::from([192, 0, 2, 7]);
        let other = if random.chance(90) && !addresses.is_empty() {
            addresses[random.below(addresses.len())]
        } else {
            outside()
        };
        Question {
            endpoint: u32::try_from(endpoint).expect("few"),
            pod: pods[endpoint],
            direction: if random.chance(50) {
                Direction::Ingress
            } else {
                Direction::Egress
            },
            other,
            port: random.one(&[80, 443, 5432, 8080, 8443, 9090, 53]),
        }
    };
    (0..FLOWS).map(question).collect()
}

fn engines(asked: &Asked, program: &Program, image: &Image<'_>, pods: &[PodId]) {
    let questions = questions(asked, pods);
    let tell = |rate: f64| println!("{rate} {rate}");
    tell(rate(&questions, |question| {
        let leaf = image.leaf(question.other)?;
        let query = Query {
            endpoint: question.endpoint,
            of: match question.direction {
                Direction::Ingress => Use::Ingress,
                Direction::Egress => Use::Egress,
            },
            leaf,
            protocol: Protocol::TCP.0,
            value: question.port.into(),
        };
        decide(image, query)
    }));
    tell(rate(&questions, |question| {
        let flow = flow(asked, question);
        program.judge_side(&flow, question.direction)
    }));
    let world = World {
        policies: &asked.loaded.policies,
        names: asked.loaded.cluster.names(),
    };
    let few = questions.get(..2_000).unwrap_or_default();
    tell(rate(few, |question| {
        let flow = flow(asked, question);
        spec::judge_side(world, &flow, question.direction)
    }));
}

fn flow<'a>(asked: &'a Asked, question: &Question) -> Flow<'a> {
    let family = Family::of(question.other);
    let cluster = &asked.loaded.cluster;
    let own = endpoint(cluster, Who::Pod(question.pod), family);
    let other = endpoint(cluster, Who::Address(question.other), family);
    let (src, dst) = match question.direction {
        Direction::Ingress => (other, own),
        Direction::Egress => (own, other),
    };
    Flow {
        src,
        dst,
        transport: Transport::to_port(Protocol::TCP, question.port),
    }
}

/// How many questions are answered a second by one thread, at best.
fn rate<T>(questions: &[Question], answer: impl Fn(&Question) -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let before = on_cpu();
        for question in questions {
            std::hint::black_box(answer(question));
        }
        best = best.min(on_cpu() - before);
    }
    questions.len() as f64 / best
}
