//! How many flows a second are judged: by the definition, by the resolved program, by the images, and end to end, with the
//! records read from JSON and the replies written.
//!
//! `cargo bench -p verdict-tests --bench replay`. The baseline is the definition, in the same run. The best of
//! several rounds counts, since other work on the machine only slows down; time on the processor does not count
//! other work at all. One thread. With an argument (`-- capture`), only what it names: `flows`, `hubble`, `capture`,
//! `trace`.

#[path = "common/clock.rs"]
mod clock;

use clock::{Spent, best};
use std::io::Write as _;
use verdict_compiler::cluster::{PodId, Protocol};
use verdict_compiler::engine::{Engine, EngineKind, Found};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::hir::flow::{Flow, Transport};
use verdict_compiler::lir::transport;
use verdict_compiler::query::{Families, Who, flows_between};
use verdict_compiler::trace::inspect::{Item, inspect};
use verdict_compiler::trace::{Options, Tunnels, replay};
use verdict_tests::asking::Asked;
use verdict_tests::generate::large::{self, Size};
use verdict_tests::generate::random::Random;
use verdict_tests::generate::traffic::{self, Traffic};

const RECORDS: usize = 400_000;
const ROUNDS: usize = 5;
const FLOWS: usize = 100_000;
const PACKETS: usize = 1_000_000;

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
    println!(
        "{:<42}{:>12}{:>14}{:>10}",
        "one thread", "flows/s", "flows/s cpu", "ratio"
    );
    let [spec, ir, image] = EngineKind::ALL.map(|kind| {
        let loaded = &asked.loaded;
        let made = Engine::new(kind, &asked.sources, &loaded.cluster, &loaded.policies);
        made.expect("an engine")
    });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.expect("a thread");
    let timed = |run: &(dyn Fn() + Sync)| pool.install(|| best(ROUNDS, run));
    let few = flows.get(..5_000).expect("there are more");
    let baseline = Rate::of(few.len(), timed(&|| judge(&spec, few)));
    baseline.report("the definition", &baseline);
    if is_wanted("flows") {
        engines_alone(&timed, &baseline, [&ir, &image], &flows);
    }
    if is_wanted("hubble") {
        let labels = traffic::hubble(size, 1, FLOWS);
        let reading = |engine: &Engine<'_>| {
            let run = || end_to_end(&asked, engine, labels.as_bytes());
            Rate::of(labels.len(), timed(&run)).cpu / 1e6
        };
        let (by_program, by_images) = (reading(&ir), reading(&image));
        println!(
            "Hubble JSON to JSON: {by_program:.0} MB/s cpu, {by_images:.0} MB/s cpu by images"
        );
    }
    if is_wanted("capture") {
        for traffic in [Traffic::Even, Traffic::Skewed] {
            captures(&timed, &asked, [&ir, &image], (size, traffic));
        }
    }
    if is_wanted("trace") {
        traces(&timed, &baseline, [&ir, &image], &asked, size);
    }
}

/// Whether a part is to be measured.
fn is_wanted(part: &str) -> bool {
    let mut named = std::env::args()
        .skip(1)
        .filter(|one| !one.starts_with("--"))
        .peekable();
    named.peek().is_none() || named.any(|one| one == part)
}

fn captures(
    timed: Timed<'_>,
    asked: &Asked,
    [ir, image]: [&Engine<'_>; 2],
    (size, traffic): (Size, Traffic),
) {
    let capture = traffic::capture(size, 1, PACKETS, traffic);
    let alone = Rate::of(PACKETS, timed(&|| parsed(&capture)));
    alone.report(&format!("a capture ({traffic:?}), parsed alone"), &alone);
    for (name, engine) in [("a capture to verdicts", ir), ("the same by images", image)] {
        let whole = Rate::of(PACKETS, timed(&|| summed(asked, engine, &capture)));
        whole.report(name, &alone);
    }
}

type Timed<'t> = &'t dyn Fn(&(dyn Fn() + Sync)) -> Spent;

fn engines_alone(
    timed: Timed<'_>,
    baseline: &Rate,
    [ir, image]: [&Engine<'_>; 2],
    flows: &[Flow<'_>],
) {
    let few = flows.get(..5_000).expect("there are more");
    let program = Rate::of(flows.len(), timed(&|| judge(ir, flows)));
    program.report("the program, every flow judged", baseline);
    let images = Rate::of(few.len(), timed(&|| judge(image, few)));
    images.report("the images, with all rules that decide", baseline);
    if let Engine::Image(images) = image {
        let ends: Vec<(Found, Found, u32)> = flows
            .iter()
            .map(|flow| {
                let key = transport::of(flow.transport);
                (images.find(&flow.src), images.find(&flow.dst), key)
            })
            .collect();
        let known = timed(&|| {
            for (src, dst, key) in &ends {
                std::hint::black_box(images.codes(*src, *dst, false, *key));
            }
        });
        Rate::of(ends.len(), known).report("the images, ends known", baseline);
    }
}

fn traces(
    timed: Timed<'_>,
    baseline: &Rate,
    [ir, image]: [&Engine<'_>; 2],
    asked: &Asked,
    size: Size,
) {
    let traces = [
        (
            "replay of a trace, from JSON to JSON",
            large::trace(size, 1, RECORDS),
        ),
        ("the same between random pods", random_trace(asked, RECORDS)),
    ];
    for (name, trace) in &traces {
        let whole = |engine: &Engine<'_>| {
            Rate::of(
                RECORDS,
                timed(&|| end_to_end(asked, engine, trace.as_bytes())),
            )
        };
        whole(ir).report(name, baseline);
        whole(image).report("the same by images", baseline);
    }
}

/// How many things are done a second.
struct Rate {
    wall: f64,
    cpu: f64,
}

impl Rate {
    fn of(count: usize, spent: Spent) -> Self {
        Self {
            wall: count as f64 / spent.wall,
            cpu: count as f64 / spent.cpu,
        }
    }

    fn report(&self, name: &str, baseline: &Self) {
        println!(
            "{name:<42}{:>12.0}{:>14.0}{:>10.2}",
            self.wall,
            self.cpu,
            self.cpu / baseline.cpu
        );
    }
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

fn end_to_end(asked: &Asked, engine: &Engine<'_>, trace: &[u8]) {
    let mut sink = std::io::sink();
    let options = Options::default();
    let outcome = replay(asked.asked(engine), options, trace, &mut sink);
    assert_eq!(outcome.expect("memory").problems, []);
}

/// Reads the packets of a capture and no more.
fn parsed(capture: &[u8]) {
    let mut packets = 0;
    let each = |item: Item| {
        packets += u64::from(matches!(
            std::hint::black_box(item),
            Item::Packet(_, _, Ok(_))
        ))
    };
    let is_capture = inspect(capture, Tunnels::default(), each);
    assert!(is_capture.expect("memory"));
    assert_eq!(packets, PACKETS as u64);
}

/// The sum of a capture, without replies.
fn summed(asked: &Asked, engine: &Engine<'_>, capture: &[u8]) {
    let options = Options {
        replies: false,
        ..Options::default()
    };
    let outcome = replay(asked.asked(engine), options, capture, &mut std::io::sink());
    assert_eq!(outcome.expect("memory").records, PACKETS as u64);
}
