//! The bodies of the fuzz targets over mutated files of `testdata` and over mutated images, the same ones in every run,
//! without a fuzzer.
//!
//! `VERDICT_INPUTS` sets how many mutated files are tried. No input may make the reader, `check` or the decoder of
//! images panic, hang or take memory out of proportion.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRng, TestRunner};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use verdict_compiler::frontend::settings::Settings;
use verdict_tests::generate::small;
use verdict_tests::{bundles, fuzz, images, readings};

/// How many mutated files each body is run on, unless it is set.
const INPUTS: u32 = 400;
/// How long one input may take, also where several builds share the machine.
const TIME_OF_ONE: Duration = Duration::from_secs(20);
/// Inputs are cut here.
const MAX_BYTES: usize = 1 << 16;
/// Images are cut here.
const MAX_IMAGE_BYTES: usize = 1 << 20;
/// What the process may have taken at its peak, in kilobytes.
const MAX_MEMORY: u64 = 1 << 20;

/// What is done to a file.
#[derive(Clone, Debug)]
enum Mutation {
    /// One byte becomes another.
    Flip(Index, u8),
    /// A character that has a meaning in YAML or JSON is put in.
    Insert(Index, u8),
    /// A part of another file is put in.
    Splice(Index, Index, Index, Index),
    /// The end is cut off.
    Truncate(Index),
    /// A part is taken out.
    Remove(Index, Index),
    /// A part is there many times.
    Repeat(Index, Index, u16),
    /// Something that opens a level is there many times.
    Nest(Index, u8, u16),
}

const MARKS: &[u8] = b"\n\t -:{}[]\"'#&*!|>%@`,?~<=\\\r\0\xef\xbb\xbf\xe2\x80\xa8\xff";
const OPENERS: [&[u8]; 7] = [b"[", b"{", b"- ", b"? ", b"{\"a\":", b"[{a: ", b"a:\n "];

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>, files: &[Vec<u8>], most: usize) {
        match self {
            Self::Flip(at, byte) => {
                let at = place(at, bytes);
                if let Some(found) = bytes.get_mut(at) {
                    *found = *byte;
                }
            }
            Self::Insert(at, mark) => bytes.insert(place(at, bytes), *mark),
            Self::Splice(file, from, to, at) => {
                let other = file.get(files);
                let part = other[range(from, to, other)].to_vec();
                insert(bytes, at, &part);
            }
            Self::Truncate(at) => bytes.truncate(place(at, bytes)),
            Self::Remove(from, to) => drop(bytes.drain(range(from, to, bytes))),
            Self::Repeat(from, to, times) => {
                let range = range(from, to, bytes);
                let part = &bytes[range.clone()];
                let times = usize::from(*times).min(most / part.len().max(1));
                let many = part.repeat(times);
                bytes.splice(range.end..range.end, many);
            }
            Self::Nest(at, opener, times) => {
                let opener = OPENERS[usize::from(*opener) % OPENERS.len()];
                insert(bytes, at, &opener.repeat(usize::from(*times)));
            }
        }
        bytes.truncate(most);
    }
}

fn place(at: &Index, bytes: &[u8]) -> usize {
    at.index(bytes.len() + 1)
}

fn range(from: &Index, to: &Index, bytes: &[u8]) -> std::ops::Range<usize> {
    let (from, to) = (place(from, bytes), place(to, bytes));
    from.min(to)..from.max(to)
}

fn insert(bytes: &mut Vec<u8>, at: &Index, part: &[u8]) {
    let at = place(at, bytes);
    bytes.splice(at..at, part.iter().copied());
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Flip(at, byte)),
        6 => (at(), prop::sample::select(MARKS)).prop_map(|(at, mark)| Mutation::Insert(at, mark)),
        3 => (at(), at(), at(), at()).prop_map(|(file, from, to, at)| Mutation::Splice(file, from, to, at)),
        1 => at().prop_map(Mutation::Truncate),
        3 => (at(), at()).prop_map(|(from, to)| Mutation::Remove(from, to)),
        1 => (at(), at(), 1..500_u16).prop_map(|(from, to, times)| Mutation::Repeat(from, to, times)),
        1 => (at(), any::<u8>(), 1..20_000_u16).prop_map(|(at, opener, times)| Mutation::Nest(at, opener, times)),
    ]
}

/// The files of `testdata`, whatever they hold.
fn files() -> Vec<Vec<u8>> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")];
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let read = |path: &PathBuf| std::fs::read(path).expect("a file");
    paths.iter().map(read).collect()
}

fn run(body: fn(&[u8]), files: &[Vec<u8>], most: usize) {
    files.iter().for_each(|file| body(file));
    let inputs = (any::<Index>(), prop::collection::vec(mutation(), 1..6));
    let wanted = std::env::var("VERDICT_INPUTS")
        .ok()
        .and_then(|text| text.parse().ok());
    let config = Config {
        cases: wanted.unwrap_or(INPUTS),
        failure_persistence: None,
        ..Config::default()
    };
    let random = TestRng::deterministic_rng(config.rng_algorithm);
    let tried = TestRunner::new_with_rng(config, random).run(&inputs, |(file, mutations)| {
        let mut bytes = file.get(files).clone();
        for mutation in mutations {
            mutation.apply(&mut bytes, files, most);
        }
        one(body, &bytes)
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
    let peak = peak();
    assert!(peak < MAX_MEMORY, "{peak} kB at the peak");
}

fn one(body: fn(&[u8]), bytes: &[u8]) -> Result<(), TestCaseError> {
    let start = Instant::now();
    let ended = std::panic::catch_unwind(|| body(bytes));
    let text = bytes.escape_ascii();
    prop_assert!(ended.is_ok(), "a panic by b\"{text}\"");
    prop_assert!(start.elapsed() < TIME_OF_ONE, "slow: b\"{text}\"");
    Ok(())
}

/// The peak of this process's memory in kilobytes; 0 where the system does not tell.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    number.unwrap_or(0)
}

#[test]
fn the_reader_takes_any_bytes() {
    run(fuzz::read, &files(), MAX_BYTES);
}

#[test]
fn check_takes_any_bytes() {
    run(fuzz::check, &files(), MAX_BYTES);
}

#[test]
fn the_decoder_takes_any_bytes() {
    let images: Vec<Vec<u8>> = [4, 7, 11]
        .into_iter()
        .map(|seed| images::of(&small::world(seed), seed))
        .collect();
    run(fuzz::image, &images, MAX_IMAGE_BYTES);
}

#[test]
fn what_is_kept_of_texts_takes_any_bytes() {
    let files: Vec<Vec<u8>> = [4, 7, 11]
        .into_iter()
        .map(|seed| {
            let sources = small::world(seed).sources();
            let (_, readings) = readings::read(&sources, &Settings::default(), None);
            readings.file.expect("something is kept of every world")
        })
        .collect();
    run(fuzz::texts, &files, MAX_BYTES);
}

#[test]
fn bundles_take_any_bytes() {
    let manifests: Vec<Vec<u8>> = [4, 7, 11]
        .into_iter()
        .map(|seed| bundles::of(&small::world(seed), seed, false).manifest)
        .collect();
    run(fuzz::bundle, &manifests, MAX_BYTES);
}
