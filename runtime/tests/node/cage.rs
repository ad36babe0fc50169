//! A cage for tests: a process of its own in new network, mount and process namespaces.
//!
//! Whatever happens inside, also when it is killed, the kernel removes the namespaces with all interfaces, mounts, pins and
//! processes in them when the first process in it ends.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

const CAGE: &str = "VERDICT_CAGE";

/// Where bpffs is mounted inside.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";

/// The name of a test as its runner knows it: without that of the crate.
pub(crate) fn own(path: &str) -> &str {
    path.split_once("::").map_or(path, |(_, name)| name)
}

/// Runs the body of a test in a cage. `name` is that of the test. Where the kernel cannot do it, the test is passed over,
/// and says why; with `VERDICT_REQUIRE_KERNEL=1` it fails then.
pub(crate) fn caged(name: &str, body: impl FnOnce()) {
    if std::env::var_os(CAGE).is_some_and(|inside| inside == *name) {
        prepare();
        body();
        return;
    }
    if let Some(why) = missing() {
        let required = std::env::var_os("VERDICT_REQUIRE_KERNEL").is_some_and(|value| value == "1");
        assert!(!required, "{name}: {why}");
        eprintln!("skipped: {name}: {why}");
        return;
    }
    let status = Command::new("unshare")
        .args([
            "--mount",
            "--net",
            "--uts",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CAGE, name)
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed in its cage: {status}");
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root".into());
    }
    for tool in ["ip", "tc", "unshare", "mount", "ping"] {
        if Command::new(tool).arg("-V").output().is_err() {
            return Some(format!("`{tool}` is not there"));
        }
    }
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    let mut next = || numbers.next()?.parse::<u32>().ok();
    if (next(), next()) < (Some(6), Some(6)) {
        return Some(format!("Linux {release} has no tcx"));
    }
    let text = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    (!text.contains("\tbpf\n")).then(|| "this kernel has no bpffs".into())
}

fn prepare() {
    sh("mount -t bpf bpf /sys/fs/bpf && mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns");
}

/// Runs a line of shell, which must succeed.
pub(crate) fn sh(line: &str) {
    let output = Command::new("sh").args(["-euc", line]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {stderr}");
}

/// Runs some work in a network namespace.
pub(crate) fn within<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            enter(namespace);
            work()
        });
        inside.join().unwrap()
    })
}

/// Moves this thread into a network namespace.
pub(crate) fn enter(namespace: &str) {
    let file = File::open(Path::new("/run/netns").join(namespace)).unwrap();
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// The command `verdict-node`.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verdict-node"));
    command.args(arguments).env("NO_COLOR", "1");
    command
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The words that were written to standard error, however they are set.
    pub(crate) fn said(&self) -> String {
        let words = self.stderr.split_whitespace().filter(|word| *word != "│");
        words.collect::<Vec<_>>().join(" ")
    }

    /// That it was done, with a certain answer.
    #[track_caller]
    pub(crate) fn must(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs `verdict-node`.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    command(arguments).output().unwrap().into()
}

/// Runs `verdict-node` on a node, which is a network namespace.
pub(crate) fn on(node: &str, arguments: &[&str]) -> Ran {
    let root = root(node);
    within(node, || {
        let arguments = [&["--root", &root], arguments].concat();
        run(&arguments)
    })
}

/// Where a node has its pins.
pub(crate) fn root(node: &str) -> String {
    format!("{BPFFS}/{node}")
}
