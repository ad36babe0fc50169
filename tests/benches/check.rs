//! What `check` and one `explain` spend their time on: 10,000 pods and 1,000 policies.
//!
//! `cargo bench -p verdict-tests --bench check`. Two baselines, in the same run: reading the text into documents, of
//! which at least 80 % of the whole should be, and libyaml's events of the same text, thrown away: what follows
//! reading should take at most a quarter of that, as it would where a reader of libyaml's speed took 80 %. The best of
//! several rounds counts. One thread; then all of it on more.

#[path = "common/clock.rs"]
mod clock;
#[path = "common/libyaml.rs"]
mod libyaml;

use clock::{Spent, best};
use verdict_compiler::cluster::PodId;
use verdict_compiler::cluster::Protocol;
use verdict_compiler::engine::{Engine, EngineKind};
use verdict_compiler::frontend::load::load;
use verdict_compiler::frontend::manifest;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::hir::flow::Transport;
use verdict_compiler::query::{Families, Who, flows_between};
use verdict_compiler::source::Sources;
use verdict_tests::generate::large::{self, Size};

const ROUNDS: usize = 7;

/// How much of the baseline of libyaml may follow reading.
const BOUND: f64 = 0.25;

fn main() {
    let size = Size::default();
    let sources = large::world(size, 1).sources();
    let bytes: usize = sources.iter().map(|(_, file)| file.text().len()).sum();
    println!("{size:?}, {:.1} MB", bytes as f64 / 1e6);
    println!(
        "{:<40}{:>9}{:>9}{:>10}{:>17}{:>7}",
        "one thread", "ms", "ms cpu", "reading", "rest to libyaml", "bound"
    );
    let pool = pool(1);
    let timed = |run: &(dyn Fn() + Sync)| pool.install(|| best(ROUNDS, run));
    let events = timed(&|| libyaml_events(&sources));
    let reading = timed(&|| read(&sources));
    let baselines = Baselines { events, reading };
    baselines.report("libyaml's events", events);
    baselines.report("reading the text", reading);
    let check = timed(&|| {
        std::hint::black_box(load(&sources, &Settings::default()));
    });
    baselines.report("check: reading, validating, building", check);
    for kind in EngineKind::ALL {
        let explain = timed(&|| judge_one(&sources, kind));
        baselines.report(&format!("load and judge one flow, engine {kind}"), explain);
    }
    for threads in [2, 4] {
        let all = self::pool(threads).install(|| {
            best(ROUNDS, || {
                std::hint::black_box(load(&sources, &Settings::default()));
            })
        });
        println!(
            "{:<40}{:>9.1}{:>35.2} times one",
            format!("check on {threads} threads"),
            all.wall * 1e3,
            check.wall / all.wall
        );
    }
}

fn pool(threads: usize) -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("threads")
}

struct Baselines {
    events: Spent,
    reading: Spent,
}

impl Baselines {
    fn report(&self, name: &str, spent: Spent) {
        let rest = (spent.cpu - self.reading.cpu).max(0.0);
        println!(
            "{name:<40}{:>9.1}{:>9.1}{:>8.0} %{:>17.2}{BOUND:>7}",
            spent.wall * 1e3,
            spent.cpu * 1e3,
            self.reading.cpu / spent.cpu * 100.0,
            rest / self.events.cpu
        );
    }
}

fn libyaml_events(sources: &Sources) {
    for (id, file) in sources.iter() {
        for chunk in manifest::split(id, file) {
            let text = file.text().get(chunk.span.range()).unwrap_or_default();
            std::hint::black_box(libyaml::events(text));
        }
    }
}

fn read(sources: &Sources) {
    for (id, file) in sources.iter() {
        for chunk in manifest::split(id, file) {
            std::hint::black_box(manifest::parse(file, &chunk));
        }
    }
}

fn judge_one(sources: &Sources, kind: EngineKind) {
    let loaded = load(sources, &Settings::default());
    let engine = Engine::new(kind, sources, &loaded.cluster, &loaded.policies).expect("an engine");
    let families = Families::of(&loaded.cluster);
    let transport = Transport::to_port(Protocol::TCP, 8080);
    let (src, dst) = (Who::Pod(PodId(1)), Who::Pod(PodId(2)));
    for flow in flows_between(&loaded.cluster, families, src, dst, transport) {
        std::hint::black_box(engine.judge(&flow));
    }
}
