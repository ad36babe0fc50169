//! Time as the wall clock shows it, and as the processor spent it on one thread.

use std::time::Instant;

/// How long something took, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// By the clock on the wall.
    pub(crate) wall: f64,
    /// On the processor, by the thread that did it: what other work on the machine takes does not count.
    pub(crate) cpu: f64,
}

/// The least of several rounds, each clock by itself, since other work on the machine only slows down. What is to
/// be timed runs on the thread that asks.
pub(crate) fn best(rounds: usize, mut run: impl FnMut()) -> Spent {
    let mut best = Spent {
        wall: f64::INFINITY,
        cpu: f64::INFINITY,
    };
    for _ in 0..rounds {
        let (wall, cpu) = (Instant::now(), on_processor());
        run();
        best.cpu = best.cpu.min(on_processor() - cpu);
        best.wall = best.wall.min(wall.elapsed().as_secs_f64());
    }
    best
}

/// How long this thread has been on a processor; not a number where the system does not tell (Linux does).
fn on_processor() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds: f64| nanoseconds / 1e9)
}
