//! What `list` costs beyond reading the files.
//!
//! `cargo bench -p verdict-tests --bench list`. Each size is measured in a process of its own, which reports
//! its peak of memory (`VmHWM` of `/proc/self/status`; Linux only). Bounds, by workload: 10,000 pods with 1,000
//! policies and 500 label sets, twice the time of reading; 100,000 pods with 10,000 policies, three times.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;
use verdict_compiler::flows::Connections;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::ir::Program;
use verdict_compiler::list::{By, Listing};
use verdict_compiler::query::Families;
use verdict_tests::asking::Asked;
use verdict_tests::generate::large::{self, Size};

/// Names the folder of manifests to a process that is to measure.
const FOLDER: &str = "VERDICT_BENCH_FOLDER";

/// What a process measures: seconds, numbers, bytes.
const MEASURED: [&str; 9] = [
    "read s",
    "resolve s",
    "flows s",
    "blocks s",
    "count s",
    "workloads",
    "pairs",
    "MB read",
    "MB all",
];

fn main() {
    match std::env::var_os(FOLDER) {
        Some(folder) => measure(folder.into()),
        None => compare(),
    }
}

fn compare() {
    print!("{:<8}", "pods");
    MEASURED.iter().for_each(|name| print!("{name:>10}"));
    println!("{:>8}{:>7}", "ratio", "bound");
    for (pods, policies, bound) in [(10_000, 1_000, 2.0), (100_000, 10_000, 3.0)] {
        let measured = in_a_process(Size {
            pods,
            policies,
            ..Size::default()
        });
        let [read, resolve, flows, blocks, ..] = measured;
        print!("{pods:<8}");
        measured.iter().for_each(|one| print!("{one:>10.2}"));
        println!("{:>8.2}{bound:>7}", (resolve + flows + blocks) / read);
    }
}

fn in_a_process(size: Size) -> [f64; MEASURED.len()] {
    let folder = tempfile::tempdir().expect("a folder for manifests");
    for (name, text) in large::world(size, 1).files {
        std::fs::write(folder.path().join(name), text).expect("a manifest");
    }
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

fn measure(folder: PathBuf) {
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
    println!(
        "{read} {resolve} {flows} {blocks} {count} {} {pairs} {after_reading} {}",
        listing.peers().len(),
        peak()
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
