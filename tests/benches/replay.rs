//! How many flows a second are judged: by the definition, by the resolved program, by the images, and end to end, with the
//! records read from JSON and the replies written.
//!
//! `cargo bench -p verdict-tests --bench replay`. The baseline is the definition, in the same run. The best of
//! several rounds counts, since other work on the machine only slows down. One thread.

use std::io::Write as _;
use std::time::Instant;
use verdict_compiler::cluster::{PodId, Protocol};
use verdict_compiler::engine::{Engine, EngineKind, Found};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::hir::flow::{Flow, Transport};
use verdict_compiler::lir::transport;
use verdict_compiler::query::{Families, Who, flows_between};
use verdict_compiler::trace::{Options, replay};
use verdict_tests::asking::Asked;
use verdict_tests::generate::large::{self, Size};
use verdict_tests::generate::random::Random;

const RECORDS: usize = 400_000;
const ROUNDS: usize = 5;

fn main() {
    let size = Size::default();
    let files = large::world(size, 1).files.into_iter();
    let asked = Asked::of(
        files
            .map(|(name, text)| (name, text.into_bytes()))
            .collect(),
        &Settings::default(),
    );
    let flows = flows(&asked);
    println!("{size:?}");
    println!("{:<42}{:>12}{:>10}", "one thread", "flows/s", "ratio");
    let [spec, ir, image] = EngineKind::ALL.map(|kind| {
        let loaded = &asked.loaded;
        let made = Engine::new(kind, &asked.sources, &loaded.cluster, &loaded.policies);
        made.expect("an engine")
    });
    let few = flows.get(..5_000).expect("there are more");
    let baseline = rate(few.len(), || judge(&spec, few));
    report("the definition", baseline, baseline);
    report(
        "the program, every flow judged",
        rate(flows.len(), || judge(&ir, &flows)),
        baseline,
    );
    report(
        "the images, with all rules that decide",
        rate(few.len(), || judge(&image, few)),
        baseline,
    );
    if let Engine::Image(images) = &image {
        let ends: Vec<(Found, Found, u32)> = flows
            .iter()
            .map(|flow| {
                let key = transport::of(flow.transport);
                (images.find(&flow.src), images.find(&flow.dst), key)
            })
            .collect();
        report(
            "the images, ends known",
            rate(ends.len(), || {
                for (src, dst, key) in &ends {
                    std::hint::black_box(images.codes(*src, *dst, false, *key));
                }
            }),
            baseline,
        );
    }
    let trace = large::trace(size, 1, RECORDS);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a thread");
    let whole = |trace: &str| pool.install(|| end_to_end(&asked, &ir, trace));
    report(
        "replay of a trace, from JSON to JSON",
        rate(RECORDS, || whole(&trace)),
        baseline,
    );
    report(
        "the same by images",
        rate(RECORDS, || {
            pool.install(|| end_to_end(&asked, &image, &trace));
        }),
        baseline,
    );
    let random = random_trace(&asked, RECORDS);
    report(
        "the same between random pods",
        rate(RECORDS, || whole(&random)),
        baseline,
    );
    report(
        "the same by images",
        rate(RECORDS, || {
            pool.install(|| end_to_end(&asked, &image, &random));
        }),
        baseline,
    );
}

fn report(name: &str, rate: f64, baseline: f64) {
    println!("{name:<42}{rate:>12.0}{:>10.1}", rate / baseline);
}

/// How many of `count` things are done a second, at best.
fn rate(count: usize, mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    count as f64 / best
}

fn pod(random: &mut Random, asked: &Asked) -> PodId {
    let pods = asked.loaded.cluster.pods().len();
    PodId(u32::try_from(random.below(pods)).unwrap_or(0))
}

fn flows(asked: &Asked) -> Vec<Flow<'_>> {
    let cluster = &asked.loaded.cluster;
    let families = Families::of(cluster);
    let mut random = Random::new(2);
    let mut flows = Vec::with_capacity(RECORDS);
    while flows.len() < RECORDS {
        let (src, dst) = (pod(&mut random, asked), pod(&mut random, asked));
        let port = random.one(&[80, 443, 5432, 8080, 8443, 9090, 53]);
        let transport = Transport::to_port(Protocol::TCP, port);
        flows.extend(flows_between(
            cluster,
            families,
            Who::Pod(src),
            Who::Pod(dst),
            transport,
        ));
    }
    flows
}

fn judge(engine: &Engine<'_>, flows: &[Flow<'_>]) {
    for flow in flows {
        std::hint::black_box(engine.judge(flow));
    }
}

fn random_trace(asked: &Asked, records: usize) -> String {
    let cluster = &asked.loaded.cluster;
    let mut random = Random::new(3);
    let mut text = Vec::new();
    let name = |id: PodId| {
        let pod = cluster.pod(id).expect("it exists");
        format!("{}/{}", cluster.namespace_name(pod.namespace), pod.name)
    };
    for _ in 0..records {
        let (src, dst) = (name(pod(&mut random, asked)), name(pod(&mut random, asked)));
        let port = random.one(&[80, 443, 5432, 8080, 8443, 9090, 53]);
        writeln!(
            text,
            r#"{{"src":"{src}","dst":"{dst}","protocol":"TCP","dport":{port}}}"#
        )
        .expect("memory");
    }
    String::from_utf8(text).expect("text")
}

fn end_to_end(asked: &Asked, engine: &Engine<'_>, trace: &str) {
    let mut sink = std::io::sink();
    let outcome = replay(
        asked.context(),
        engine,
        Options::default(),
        trace.as_bytes(),
        &mut sink,
    );
    assert_eq!(outcome.expect("memory").problems, []);
}
