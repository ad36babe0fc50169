//! What `check` and one `explain` spend their time on: 10,000 pods and 1,000 policies.
//!
//! `cargo bench -p verdict-tests --bench check`. The baseline is reading the text into documents, in the same
//! run: at least 80 % of the whole should be that. The best of several rounds counts. One thread.

use std::time::Instant;
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

fn main() {
    let size = Size::default();
    let sources = large::world(size, 1).sources();
    let bytes: usize = sources.iter().map(|(_, file)| file.text().len()).sum();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a thread");
    println!("{size:?}, {:.1} MB", bytes as f64 / 1e6);
    println!("{:<44}{:>10}{:>16}", "one thread", "ms", "of it reading");
    let reading = best(|| read(&sources));
    report("reading the text", reading, reading);
    let check = best(|| {
        pool.install(|| std::hint::black_box(load(&sources, &Settings::default())));
    });
    report("check: reading, validating, building", check, reading);
    for kind in EngineKind::ALL {
        let explain = best(|| pool.install(|| judge_one(&sources, kind)));
        report(
            &format!("load and judge one flow, engine {kind}"),
            explain,
            reading,
        );
    }
}

fn report(name: &str, seconds: f64, reading: f64) {
    println!(
        "{name:<44}{:>10.1}{:>14.0} %",
        seconds * 1e3,
        reading / seconds * 100.0
    );
}

fn best(mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
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
