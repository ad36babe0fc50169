//! Swaps under a constant load of connections, and commands that are killed at any point.
//!
//! The two generations agree on what is watched: what both allow must never fail, what both deny must never pass.

use super::cage::{command, on, root, within};
use super::net::{PATIENCE, attach_all, build, connect, datagram, exchange, serve};
use super::world::{NODES, OTHER, Pod, TIERS, World, pod, to_port};
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use verdict_compiler::cluster::Protocol;

/// What was seen while generations were swapped.
#[derive(Debug, Default)]
struct Seen {
    done: AtomicBool,
    connected: AtomicU64,
    exchanged: AtomicU64,
    datagrams: AtomicU64,
    refused: AtomicU64,
    wrong: AtomicU64,
}

impl Seen {
    fn goes_on(&self) -> bool {
        !self.done.load(Ordering::Relaxed)
    }

    fn count(&self, counter: &AtomicU64, right: bool, what: &str) {
        if right {
            counter.fetch_add(1, Ordering::Relaxed);
        } else {
            eprintln!("wrong: {what}");
            self.wrong.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What both generations allow.
const ALLOWED: [(&str, &str, u16); 1] = [("web", "api", 8080)];
/// What both deny.
const DENIED: [(&str, &str, u16); 3] = [
    ("spy", "api", 8080),
    ("spy", "db", 5432),
    ("web", "api", 80),
];

fn check_of(worlds: [&World; 2]) {
    let tcp = |port| to_port(Protocol::TCP, port);
    for world in worlds {
        for (from, to, port) in ALLOWED {
            assert!(world.allows(pod(from), pod(to), tcp(port)));
        }
        for (from, to, port) in DENIED {
            assert!(!world.allows(pod(from), pod(to), tcp(port)));
        }
        // Of another node: judged on both.
        assert!(world.allows(pod("web"), pod("db"), to_port(Protocol::UDP, 9000)));
    }
}

/// Runs some work while connections are made, used and refused all the time. What was seen.
fn under_load(work: impl FnOnce()) -> Seen {
    let seen = Seen::default();
    thread::scope(|scope| {
        for (from, to, port) in ALLOWED {
            for address in pod(to).addresses() {
                scope.spawn({
                    let seen = &seen;
                    move || keep_connecting(seen, pod(from), address, port)
                });
                scope.spawn({
                    let seen = &seen;
                    move || keep_talking(seen, pod(from), address, port)
                });
            }
        }
        for address in pod("db").addresses() {
            let seen = &seen;
            scope.spawn(move || {
                while seen.goes_on() {
                    let right = datagram(pod("web"), address, 9000, 1000, Duration::from_secs(10));
                    seen.count(&seen.datagrams, right, "a datagram was lost");
                    thread::sleep(Duration::from_millis(15));
                }
            });
        }
        for (from, to, port) in DENIED {
            for address in pod(to).addresses() {
                let seen = &seen;
                scope.spawn(move || {
                    while seen.goes_on() {
                        let passed = connect(pod(from), address, port, Duration::from_millis(50));
                        let what = format!("{from} reached {to} {address} {port}");
                        seen.count(&seen.refused, passed.is_none(), &what);
                    }
                });
            }
        }
        // Whatever the work does, the others end.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        seen.done.store(true, Ordering::Relaxed);
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
    });
    eprintln!("{seen:?}");
    assert_eq!(seen.wrong.load(Ordering::Relaxed), 0, "{seen:?}");
    for counter in [
        &seen.connected,
        &seen.exchanged,
        &seen.datagrams,
        &seen.refused,
    ] {
        assert!(counter.load(Ordering::Relaxed) > 20, "{seen:?}");
    }
    seen
}

fn keep_connecting(seen: &Seen, from: Pod, to: IpAddr, port: u16) {
    while seen.goes_on() {
        let connected = connect(from, to, port, Duration::from_secs(10)).is_some();
        seen.count(&seen.connected, connected, "a connection was not made");
        thread::sleep(Duration::from_millis(15));
    }
}

/// One connection for the whole time.
fn keep_talking(seen: &Seen, from: Pod, to: IpAddr, port: u16) {
    let mut stream = connect(from, to, port, PATIENCE).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let bytes = [7; 1400];
    while seen.goes_on() {
        let right = exchange(&mut stream, &bytes);
        seen.count(&seen.exchanged, right, "a long connection was lost");
        if !right {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Loads two generations on both nodes, and attaches all pods. Their images: the first, the second.
fn start(hook: &str) -> [super::world::Images; 2] {
    build();
    serve();
    let worlds = [World::of(TIERS), World::of(OTHER)];
    check_of([&worlds[0], &worlds[1]]);
    let images = [0, 1]
        .map(|index| worlds[index].write(&Path::new("/run/netns").join(format!("images-{index}"))));
    for (node, ..) in NODES {
        on(node, &["load", &images[0].of(node)]).must(0);
    }
    attach_all(true, hook);
    for (node, ..) in NODES {
        on(node, &["load", &images[1].of(node)]).must(0);
    }
    images
}

fn many(variable: &str, otherwise: u32) -> u32 {
    let given = std::env::var(variable).ok();
    given.map_or(otherwise, |many| many.parse().unwrap())
}

both_hooks! {
    nothing_is_lost_or_judged_wrongly_while_generations_are_swapped
}

fn nothing_is_lost_or_judged_wrongly_while_generations_are_swapped(hook: &str) {
    let images = start(hook);
    let swaps = many("VERDICT_SWAPS", 200);
    let mut taken = Vec::new();
    under_load(|| {
        for swap in 0..swaps {
            let node = NODES[swap as usize % 2].0;
            // Now and then all anew, else to and fro between the two that are loaded.
            let ran = if swap % 40 == 39 {
                on(
                    node,
                    &[
                        "load",
                        &images[swap as usize / 40 % 2].of(node),
                        "--format",
                        "json",
                    ],
                )
            } else {
                on(node, &["rollback", "--format", "json"])
            };
            let swapped = ran.must(0).json();
            let swapped = swapped["swapped"].as_array().unwrap().clone();
            taken.extend(
                swapped
                    .iter()
                    .map(|one| one["microseconds"].as_f64().unwrap()),
            );
        }
    });
    taken.sort_by(f64::total_cmp);
    assert!(taken.len() >= swaps as usize, "{} links", taken.len());
    eprintln!(
        "{swaps} swaps: {} interfaces, median {:.1} µs, largest {:.1} µs for both directions",
        taken.len(),
        taken[taken.len() / 2],
        taken[taken.len() - 1],
    );
}

/// Numbers as of chance, the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

both_hooks! {
    killed_at_any_point_the_old_or_the_new_generation_enforces
}

fn killed_at_any_point_the_old_or_the_new_generation_enforces(hook: &str) {
    let images = start(hook);
    let kills = many("VERDICT_KILLS", 50);
    let mut chance = Chance(u64::from(many("VERDICT_SEED", 7)) | 1 << 40);
    let mut killed = 0;
    let mut unfinished = 0;
    under_load(|| {
        let time = |arguments: &[&str]| {
            let start = Instant::now();
            on("n1", arguments).must(0);
            start.elapsed()
        };
        let load_takes = time(&["load", &images[0].of("n1")]);
        let rollback_takes = time(&["rollback"]);
        for kill in 0..kills {
            let node = NODES[kill as usize % 2].0;
            let image = images[kill as usize / 2 % 2].of(node);
            let (arguments, takes) = match kill % 5 {
                0 => (vec!["load", &image], load_takes),
                _ => (vec!["rollback"], rollback_takes),
            };
            let root = root(node);
            let arguments = [&["--root", &root][..], &arguments].concat();
            let mut child = within(node, || {
                let mut command = command(&arguments);
                command.stdout(Stdio::null()).spawn().unwrap()
            });
            let micros = u64::try_from(takes.as_micros()).unwrap();
            thread::sleep(Duration::from_micros(chance.below(micros * 11 / 10)));
            child.kill().unwrap();
            killed += u32::from(child.wait().unwrap().code().is_none());
            // Read from the pins alone, before any command mends anything: every interface has its programs.
            let status = on(node, &["status", "--format", "json"]).json();
            let attachments = status["attachments"].as_array().unwrap();
            assert_eq!(attachments.len(), 2, "{status}");
            for attachment in attachments {
                let state = attachment["state"].as_str().unwrap();
                assert!(["enforced", "unfinished"].contains(&state), "{status}");
                unfinished += u32::from(state == "unfinished");
            }
        }
        // The next command finishes what is left.
        for (node, ..) in NODES {
            on(node, &["rollback"]).must(0);
            on(node, &["status"]).must(0);
            let generations = std::fs::read_dir(Path::new(&root(node)).join("generations"));
            assert_eq!(generations.unwrap().count(), 2);
            assert!(!Path::new(&root(node)).join("making").exists());
        }
    });
    eprintln!(
        "{kills} commands, {killed} of them killed, {unfinished} interfaces between two generations"
    );
    assert!(killed >= kills / 2, "only {killed} were killed");
}
