//! How time and memory grow from 10,000 to 100,000 pods of the same label sets.
//!
//! `cargo bench -p verdict-tests --bench scale`. Each size is loaded in a process of its own, which reports its
//! peak of memory (`VmHWM` of `/proc/self/status`; Linux only). Bounds: growth by not much more than ten, and
//! six times the input in memory.

#[path = "common/memory.rs"]
mod memory;

use memory::peak;
use std::process::Command;
use std::time::Instant;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::ir::Program;
use verdict_tests::asking::Asked;
use verdict_tests::generate::large::{self, Size};

/// Names the folder of manifests to a process that is to measure.
const FOLDER: &str = "VERDICT_BENCH_FOLDER";

const ROUNDS: usize = 3;

/// What a process measures: seconds and bytes.
struct Measured {
    load: f64,
    resolve: f64,
    input: f64,
    peak: f64,
}

fn main() {
    match std::env::var_os(FOLDER) {
        Some(folder) => measure(folder.into()),
        None => compare(),
    }
}

fn compare() {
    println!(
        "{:<12}{:>10}{:>10}{:>12}{:>12}{:>10}",
        "pods", "MB", "load ms", "resolve ms", "peak MB", "peak/in"
    );
    let [small, large] = [10_000, 100_000].map(|pods| {
        let measured = in_a_process(pods);
        println!(
            "{pods:<12}{:>10.1}{:>10.1}{:>12.2}{:>12.1}{:>10.2}",
            measured.input / 1e6,
            measured.load * 1e3,
            measured.resolve * 1e3,
            measured.peak / 1e6,
            measured.peak / measured.input,
        );
        measured
    });
    let ratio = |name: &str, of: fn(&Measured) -> f64| {
        println!("{name:<12}{:>10.2}", of(&large) / of(&small));
    };
    println!("ten times the pods take so many times as much:");
    ratio("input", |one| one.input);
    ratio("load", |one| one.load);
    ratio("resolve", |one| one.resolve);
    ratio("peak", |one| one.peak);
}

fn in_a_process(pods: usize) -> Measured {
    let folder = std::env::temp_dir().join(format!("verdict-scale-{}-{pods}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for manifests");
    for (name, text) in large::world(
        Size {
            pods,
            ..Size::default()
        },
        1,
    )
    .files
    {
        std::fs::write(folder.join(name), text).expect("a manifest");
    }
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .env(FOLDER, &folder)
        .output()
        .expect("a process");
    std::fs::remove_dir_all(&folder).expect("the folder");
    let text = String::from_utf8(output.stdout).expect("text");
    let numbers: Vec<f64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [load, resolve, input, peak] = numbers.try_into().expect("four numbers");
    Measured {
        load,
        resolve,
        input,
        peak,
    }
}

fn measure(folder: std::path::PathBuf) {
    let start = Instant::now();
    let asked =
        Asked::read(std::slice::from_ref(&folder), &Settings::default()).expect("manifests");
    let load = start.elapsed().as_secs_f64();
    let mut resolve = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        std::hint::black_box(Program::resolve(
            &asked.loaded.cluster,
            &asked.loaded.policies,
        ));
        resolve = resolve.min(start.elapsed().as_secs_f64());
    }
    let input: usize = asked
        .sources
        .iter()
        .map(|(_, file)| file.text().len())
        .sum();
    println!("{load} {resolve} {input} {}", peak());
}
