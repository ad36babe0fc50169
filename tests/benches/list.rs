//! What `list` costs beyond reading the files, and what `diff` costs beside it.
//!
//! `cargo bench -p verdict-tests --bench list`. Each size is measured in a process of its own, which reports
//! its peak of memory (`VmHWM` of `/proc/self/status`; Linux only). Bounds, by workload: 10,000 pods with 1,000
//! policies and 500 label sets, twice the time of reading; 100,000 pods with 10,000 policies, three times. A diff with
//! the same cluster under policies of which every tenth is missing: twice the time of the list.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;
use verdict_compiler::diff::{Diff, Programs, Worlds};
use verdict_compiler::explain::Context;
use verdict_compiler::flows::Connections;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::ir::Program;
use verdict_compiler::list::{By, Focus, Listing};
use verdict_compiler::query::Families;
use verdict_tests::asking::Asked;
use verdict_tests::generate::large::{self, Size};

/// Names the folder of manifests to a process that is to measure.
const FOLDER: &str = "VERDICT_BENCH_FOLDER";

/// What a process measures: seconds, numbers, bytes.
const MEASURED: [&str; 10] = [
    "read s",
    "resolve s",
    "flows s",
    "blocks s",
    "count s",
    "workloads",
    "pairs",
    "MB read",
    "MB all",
    "diff s",
];

/// The bound of diff, as a multiple of list.
const DIFF_BOUND: f64 = 2.0;

fn main() {
    match std::env::var_os(FOLDER) {
        Some(folder) => measure(folder.into()),
        None => compare(),
    }
}

fn compare() {
    print!("{:<8}", "pods");
    MEASURED.iter().for_each(|name| print!("{name:>10}"));
    println!(
        "{:>8}{:>7}{:>11}{:>7}",
        "ratio", "bound", "diff/list", "bound"
    );
    for (pods, policies, bound) in [(10_000, 1_000, 2.0), (100_000, 10_000, 3.0)] {
        let measured = in_a_process(Size {
            pods,
            policies,
            ..Size::default()
        });
        let [read, resolve, flows, blocks, .., diff] = measured;
        let list = resolve + flows + blocks;
        print!("{pods:<8}");
        measured.iter().for_each(|one| print!("{one:>10.2}"));
        println!(
            "{:>8.2}{bound:>7}{:>11.2}{DIFF_BOUND:>7}",
            list / read,
            diff / list
        );
    }
}

fn in_a_process(size: Size) -> [f64; MEASURED.len()] {
    let folder = tempfile::tempdir().expect("a folder for manifests");
    for (name, text) in large::world(size, 1).files {
        std::fs::write(folder.path().join(name), text).expect("a manifest");
    }
    let fewer = folder.path().join(FEWER);
    std::fs::write(&fewer, fewer_policies(size)).expect("a manifest");
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .env(FOLDER, folder.path())
        .output()
        .expect("a process");
    let text = String::from_utf8(output.stdout).expect("text");
    let numbers: Vec<f64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    numbers.try_into().expect("a number for each name")
}

/// Where fewer policies stand; no name of a manifest.
const FEWER: &str = "policies.fewer";

/// The policies of a world, less every tenth.
fn fewer_policies(size: Size) -> String {
    let mut files = large::world(size, 1).files.into_iter();
    let policies = files.find(|(name, _)| name == "policies.yaml");
    let (_, text) = policies.expect("policies");
    let documents = text.split_inclusive("---\n").enumerate();
    let kept = documents.filter(|(index, _)| index % 10 != 5);
    kept.map(|(_, document)| document).collect()
}

/// How long a diff takes, with the same cluster on both sides.
fn diff(asked: &Asked, fewer: PathBuf) -> f64 {
    let other = Asked::read(&[fewer], &Settings::default()).expect("policies");
    let new = Context {
        sources: &other.sources,
        cluster: &asked.loaded.cluster,
        policies: &other.loaded.policies,
    };
    let worlds = Worlds {
        old: asked.context(),
        new,
    };
    let (_, seconds) = timed(|| {
        let programs = Programs::resolve(&worlds);
        let mut diff = Diff::new(worlds, &programs, By::Workload);
        std::hint::black_box(diff.blocks_of(&Focus::everything()))
    });
    seconds
}

fn measure(folder: PathBuf) {
    let fewer = folder.join(FEWER);
    let (asked, read) = timed(|| Asked::read(&[folder], &Settings::default()).expect("manifests"));
    let after_reading = peak();
    let cluster = &asked.loaded.cluster;
    let (program, resolve) = timed(|| Program::resolve(cluster, &asked.loaded.policies));
    let (mut listing, flows) = timed(|| {
        let connections = Connections::new(cluster, &program, Families::of(cluster));
        Listing::new(connections, By::Workload)
    });
    let (_, blocks) = timed(|| std::hint::black_box(listing.blocks()));
    let (pairs, count) = timed(|| listing.count());
    let (workloads, all) = (listing.peers().len(), peak());
    drop(listing);
    let diff = diff(&asked, fewer);
    println!(
        "{read} {resolve} {flows} {blocks} {count} {workloads} {pairs} {after_reading} {all} {diff}"
    );
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let made = work();
    (made, start.elapsed().as_secs_f64())
}

/// The peak of this process's memory, in MB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1e3
}
