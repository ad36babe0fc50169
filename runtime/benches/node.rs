//! What it costs to load, to swap and to enforce: `cargo bench -p verdict-runtime --bench node`.
//!
//! Everything is measured in one run, and ratios are printed. Traffic stays in namespaces that are gone afterwards.

#![expect(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    dead_code,
    reason = "a benchmark, with the helpers of the tests; aya has no batched updates to compare with"
)]

#[path = "../tests/node/cage.rs"]
mod cage;
#[path = "../tests/node/net.rs"]
mod net;
#[path = "../tests/node/wire.rs"]
mod wire;
#[path = "../tests/node/world.rs"]
mod world;

use aya::maps::{Array, HashMap, MapData};
use cage::{caged, on, root, within};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use verdict_runtime::fill;
use verdict_runtime::node::{Hands, Node};
use world::{NODES, OTHER, TIERS, World, pod};

const ENTRIES: u32 = 1_000_000;
/// `BPF_F_MMAPABLE`, `BPF_F_NO_PREALLOC` of Linux.
const MMAPABLE: u32 = 1 << 10;
const NO_PREALLOC: u32 = 1;
/// `BPF_MAP_UPDATE_BATCH` of `enum bpf_cmd`.
const UPDATE_BATCH: libc::c_int = 26;

fn main() {
    caged("node", || {
        tables();
        let images = start();
        swaps("clsact");
        swaps("tcx");
        streams();
        drop(images);
    });
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn best(mut measure: impl FnMut() -> Duration) -> Duration {
    (0..7).map(|_| measure()).min().unwrap()
}

/// A million words as a table of an image, and a million entries of a hash map with keys as an address map has.
fn tables() {
    let bytes: Vec<u8> = (0..ENTRIES)
        .flat_map(|word| u64::from(word).to_le_bytes())
        .collect();
    let pin = Path::new(cage::BPFFS).join("bench");
    let loaded = best(|| {
        let start = Instant::now();
        let map = Array::<MapData, u64>::create(ENTRIES, MMAPABLE).unwrap();
        map.pin(&pin).unwrap();
        let map = MapData::from_pin(&pin).unwrap();
        fill(&map, &bytes).unwrap();
        let taken = start.elapsed();
        std::fs::remove_file(&pin).unwrap();
        taken
    });
    let hashed = |flags: u32| best_of_three(|| batched(flags, &pin));
    let (eager, lazy) = (hashed(0), hashed(NO_PREALLOC));
    let hash = eager.min(lazy);
    println!(
        "{ENTRIES} entries: {:.1} ms as a table, {:.0} ms as a hash map in batches: {:.0} times as long",
        millis(loaded),
        millis(hash),
        hash.as_secs_f64() / loaded.as_secs_f64()
    );
}

fn best_of_three(mut measure: impl FnMut() -> Duration) -> Duration {
    (0..3).map(|_| measure()).min().unwrap()
}

/// `union bpf_attr` of the batched commands.
#[repr(C)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

fn batched(flags: u32, pin: &Path) -> Duration {
    // As random as addresses are.
    let keys: Vec<[u64; 2]> = (0..u64::from(ENTRIES))
        .map(|key| [0, key.wrapping_mul(0x9e37_79b9_7f4a_7c15)])
        .collect();
    let values: Vec<u64> = (0..u64::from(ENTRIES)).collect();
    let start = Instant::now();
    let map = HashMap::<MapData, [u64; 2], u64>::create(ENTRIES, flags).unwrap();
    map.pin(pin).unwrap();
    let map = MapData::from_pin(pin).unwrap();
    let mut batch = Batch {
        in_batch: 0,
        out_batch: 0,
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: ENTRIES,
        map: map.fd().as_fd().as_raw_fd().cast_unsigned(),
        element_flags: 0,
        flags: 0,
    };
    // SAFETY: keys and values are as many as the count says, and of the sizes of the map.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            UPDATE_BATCH,
            &raw mut batch,
            size_of::<Batch>(),
        )
    };
    assert_eq!((done, batch.count), (0, ENTRIES));
    let taken = start.elapsed();
    std::fs::remove_file(pin).unwrap();
    taken
}

fn start() -> [world::Images; 2] {
    net::build();
    let images = [TIERS, OTHER].map(|policies| {
        let folder = format!("/run/netns/images-{}", policies.len());
        World::of(policies).write(Path::new(&folder))
    });
    for (node, ..) in NODES {
        on(node, &["load", &images[0].of(node)]).must(0);
    }
    net::attach_all(true, "tcx");
    for (node, ..) in NODES {
        on(node, &["load", &images[1].of(node)]).must(0);
    }
    images
}

fn swaps(hook: &str) {
    let hands = Hands {
        root: root("n1").into(),
        patience: Duration::from_secs(9),
        connections: 262_144,
    };
    for name in ["web", "api"] {
        on("n1", &["detach", &pod(name).path()]).must(0);
        on("n1", &["attach", "--address", pod(name).v4, "--hook", hook]).must(0);
    }
    let mut taken: Vec<Duration> = within("n1", || {
        let rollback = |_| {
            let changed = Node::open(&hands).unwrap().rollback().unwrap();
            changed.swapped.into_iter().map(|(_, taken)| taken)
        };
        (0..100).flat_map(rollback).collect()
    });
    taken.sort();
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    println!(
        "swap of an interface by {hook}, both directions: median {:.1} µs, 9 of 10 within {:.1} µs",
        micros(taken[taken.len() / 2]),
        micros(taken[taken.len() * 9 / 10]),
    );
}

/// Bytes a second from one pod to another of the same node: both ends are judged, in both directions.
fn stream() -> f64 {
    const PORT: u16 = 8080;
    let to: SocketAddr = (pod("api").addresses()[0], PORT).into();
    let listener = within("api", || TcpListener::bind(to).unwrap());
    let receiver = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; 1 << 18];
        let mut total = 0_u64;
        while let Ok(many @ 1..) = stream.read(&mut bytes) {
            total += many as u64;
        }
        total
    });
    let start = Instant::now();
    let mut stream = within("web", || TcpStream::connect(to).unwrap());
    let bytes = vec![7; 1 << 18];
    while start.elapsed() < Duration::from_millis(700) {
        stream.write_all(&bytes).unwrap();
    }
    drop(stream);
    let total = receiver.join().unwrap();
    total as f64 / start.elapsed().as_secs_f64()
}

fn streams() {
    // The policies of both generations allow it; those of the first are loaded or come back.
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..9 {
        rates[0].push(stream());
        for name in ["web", "api"] {
            on("n1", &["detach", &pod(name).path()]).must(0);
        }
        rates[1].push(stream());
        for name in ["web", "api"] {
            on("n1", &["attach", "--address", pod(name).v4]).must(0);
        }
    }
    let [enforced, bare] = rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        (rates[rates.len() / 2], rates[rates.len() - 1])
    });
    println!(
        "a TCP stream between two pods: {:.2} GB/s enforced, {:.2} GB/s not: {:.1} % (medians; the best: {:.1} %)",
        enforced.0 / 1e9,
        bare.0 / 1e9,
        100.0 * enforced.0 / bare.0,
        100.0 * enforced.1 / bare.1
    );
}
