//! Everything that can be wrong with an image, a node or an interface: each has its message, and leaves what enforces.

use super::cage::{Ran, caged, on, root, run, sh, within};
use super::net::build;
use super::world::{OTHER, TIERS, World, pod};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

const HOLD: &str = "exec 9<$0; flock -x 9; echo; exec sleep 60";

pub(crate) fn refused(ran: Ran, code: &str, words: &str) {
    assert_eq!(ran.code, Some(2), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout, "");
    let said = ran.said();
    assert!(
        said.contains(code) && said.contains(words),
        "{code} {words}: {said}"
    );
}

/// The digest of the generation that enforces, at an interface that is enforced.
pub(crate) fn enforcing(node: &str) -> String {
    let status = on(node, &["status", "--format", "json"]).must(0).json();
    assert_eq!(status["attachments"][0]["state"], "enforced");
    status["generation"]["sha256"].as_str().unwrap().to_owned()
}

#[test]
fn without_rights_or_a_bpffs_it_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    for arguments in [&["status"][..], &["rollback"], &["load", "/dev/null"]] {
        let ran = run(&[&["--root", root], arguments].concat());
        refused(ran, "V0801", "is on no bpffs");
    }
    // Rights are given up by a tool of the same package as `unshare`.
    if rustix::process::geteuid().is_root() {
        let node = env!("CARGO_BIN_EXE_verdict-node");
        let output = Command::new("setpriv")
            .args([
                "--bounding-set=-all",
                "--inh-caps=-all",
                "--",
                node,
                "status",
            ])
            .args(["--root", root])
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        refused(
            output.into(),
            "V0801",
            "has no CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON",
        );
    }
}

#[test]
fn usage_is_checked_before_the_node() {
    for (arguments, words) in [
        (
            &["--connections", "3", "status"][..],
            "takes a power of two",
        ),
        (&["load", "/nowhere"], "there is no such file"),
        (
            &["load", "/dev/null", "--digest", "12"],
            "64 hexadecimal digits",
        ),
        (&["attach"], "it takes `--interface NAME --pod"),
        (&["attach", "--interface", "x"], "--pod"),
        (&["attach", "--address", "x"], "invalid value"),
        (
            &["attach", "--interface", "x", "--pod", "nosuch"],
            "a pod is named with its namespace",
        ),
    ] {
        let ran = run(&[&["--root", "/sys/fs/bpf/none"], arguments].concat());
        assert_eq!(ran.code, Some(2), "{arguments:?}");
        assert!(ran.said().contains(words), "{arguments:?}: {}", ran.said());
    }
    for name in ["change", "status"] {
        let ran = run(&["schema", name]).must(0);
        let path = format!(
            "{}/../schemas/node-{name}.schema.json",
            env!("CARGO_MANIFEST_DIR")
        );
        if std::env::var_os("VERDICT_BLESS").is_some() {
            std::fs::write(&path, &ran.stdout).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            ran.stdout,
            "{name}"
        );
    }
    assert!(
        run(&["completions", "bash"])
            .must(0)
            .stdout
            .contains("verdict-node")
    );
}

#[test]
fn what_is_refused_leaves_what_enforces() {
    caged("faults::what_is_refused_leaves_what_enforces", || {
        build();
        let images = World::of(TIERS).images();
        let good = &images["n1"];
        let file = |name: &str, bytes: &[u8]| {
            let path = format!("/run/netns/{name}");
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let image = file("good.image", good);
        refused(
            on("n1", &["rollback"]),
            "V0807",
            "no generation to go back to",
        );
        on("n1", &["load", &image]).must(0);
        on("n1", &["attach", "--address", pod("web").v4]).must(0);
        let before = enforcing("n1");

        // Images.
        let mut damaged = good.clone();
        damaged[4096] ^= 1;
        refused(
            on("n1", &["load", &file("damaged", &damaged)]),
            "V0702",
            "damaged",
        );
        refused(
            on("n1", &["load", &file("short", &good[..9000])]),
            "V0702",
            "`/run/netns/short` is no image",
        );
        refused(
            on("n1", &["load", &file("empty", b"")]),
            "V0702",
            "no image",
        );
        let other = "0".repeat(64);
        refused(
            on("n1", &["load", &image, "--digest", &other]),
            "V0802",
            "was expected",
        );
        on(
            "n1",
            &["load", &image, "--digest", &format!("sha256:{before}")],
        )
        .must(0);
        assert_eq!(enforcing("n1"), before);

        // The kernel.
        let node = env!("CARGO_BIN_EXE_verdict-node");
        let roots = root("n1");
        let ran = within("n1", || {
            let line = format!("ulimit -n 12; exec {node} --root {roots} load --force {image}");
            Command::new("sh")
                .args(["-c", &line])
                .env("NO_COLOR", "1")
                .output()
                .unwrap()
        });
        refused(ran.into(), "V0803", "too many open files");
        assert_eq!(enforcing("n1"), before);

        // Pins.
        sh(&format!("mount -o remount,bind,ro {}", super::cage::BPFFS));
        refused(
            on("n1", &["load", "--force", &image]),
            "V0809",
            "read-only file system",
        );
        sh(&format!("mount -o remount,bind,rw {}", super::cage::BPFFS));
        assert_eq!(enforcing("n1"), before);

        // Interfaces.
        let attach = ["attach", "--interface", "nowhere", "--pod", "shop/web"];
        refused(on("n1", &attach), "V0805", "no interface `nowhere`");
        refused(
            on("n1", &["attach", "--address", "10.1.2.10"]),
            "V0805",
            "it shares with others",
        );
        refused(
            on("n1", &["attach", "--address", "203.0.113.9"]),
            "V0805",
            "no route",
        );
        refused(
            on("n1", &["attach", "--cgroup", "/nowhere"]),
            "V0805",
            "no cgroup",
        );
        refused(
            on("n1", &["attach", "--cgroup", "/run/netns"]),
            "V0805",
            "is no cgroup: it is not in a cgroup v2 file system",
        );
        refused(
            on("n1", &["detach", "shop/none"]),
            "V0805",
            "nothing is attached",
        );
        assert_eq!(enforcing("n1"), before);

        // Others.
        let mut holder = Command::new("sh")
            .args(["-c", HOLD, &root("n1")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut line).unwrap();
        refused(
            on("n1", &["--wait", "0", "rollback"]),
            "V0808",
            "another command is at work",
        );
        refused(
            on("n1", &["--wait", "0", "status"]),
            "V0808",
            "another command is at work",
        );
        holder.kill().unwrap();
        holder.wait().unwrap();
        sh("sleep 0.1");
        assert_eq!(enforcing("n1"), before);
    });
}

#[test]
fn pins_that_are_damaged_are_told() {
    caged("faults::pins_that_are_damaged_are_told", || {
        build();
        let images = World::of(TIERS).write(Path::new("/run/netns/images"));
        on("n1", &["load", &images.of("n1")]).must(0);
        on("n1", &["attach", "--address", pod("web").v4]).must(0);
        let root = root("n1");
        sh(&format!("rm {root}/generations/1/cells"));
        refused(on("n1", &["status"]), "V0809", "generations/1");
        // A new image mends it: the links were never without a program.
        on("n1", &["load", &images.of("n1")]).must(0);
        enforcing("n1");
        // A table of another image in the place of one.
        let others = World::of(OTHER).write(Path::new("/run/netns/others"));
        on("n1", &["load", &others.of("n1")]).must(0);
        let generations = format!("{root}/generations");
        sh(&format!(
            "rm {generations}/3/config; mv {generations}/2/config {generations}/3/config"
        ));
        for arguments in [&["status"][..], &["attach", "--address", pod("api").v4]] {
            refused(
                on("n1", arguments),
                "V0804",
                "generations/3` hold something else than the image",
            );
        }
        on("n1", &["unload", "--all"]).must(0);
        assert!(!Path::new(&root).exists());
        let status = on("n1", &["status", "--format", "json"]).must(1).json();
        assert_eq!(status["attachments"].as_array().unwrap().len(), 0);
    });
}

#[test]
fn a_cgroup_is_protected_by_the_addresses_of_its_packets() {
    caged(
        "faults::a_cgroup_is_protected_by_the_addresses_of_its_packets",
        || {
            build();
            let Some(cgroup) = Cgroup::new() else {
                return;
            };
            let images = World::of(TIERS).write(Path::new("/run/netns/images"));
            let try_from = |to: &str| {
                let line = format!(
                    "echo $$ > {}/cgroup.procs; exec ping -n -c 1 -W 1 {to}",
                    cgroup.0
                );
                within("web", || {
                    let ran = Command::new("sh").args(["-c", &line]).output().unwrap();
                    ran.status.success()
                })
            };
            let (api, db) = (pod("api").v4, pod("db").v4);
            assert!(try_from(api) && try_from(db));
            on("n1", &["attach", "--cgroup", &cgroup.0]).must(1);
            assert!(!try_from(api) && !try_from(db));
            // The image allows whatever the pod sends to its own namespace, where both of these are.
            on("n1", &["load", &images.of("n1")]).must(0);
            assert!(try_from(api) && try_from(db));
            assert!(!try_from(pod("spy").v4));
            on("n1", &["rollback"]).must(2);
            assert!(!try_from(pod("spy").v4));
            on("n1", &["detach", &format!("{}/", cgroup.0)]).must(0);
            assert!(try_from(pod("spy").v4));
            // What is gone is called as `status` calls it.
            on("n1", &["attach", "--cgroup", &cgroup.0]).must(0);
            std::fs::remove_dir(&cgroup.0).unwrap();
            let status = on("n1", &["status", "--format", "json"]).must(1).json();
            assert_eq!(status["attachments"][0]["state"], "gone");
            let done = on("n1", &["detach", &cgroup.0, "--format", "json"]).must(0);
            assert_eq!(done.json()["detached"][0]["cgroup"], *cgroup.0);
            std::fs::create_dir(&cgroup.0).unwrap();
            number_of_an_interface(&cgroup.0);
            on("n1", &["unload", "--all"]).must(0);
        },
    );
}

/// A cgroup and an interface that have one number are two.
fn number_of_an_interface(cgroup: &str) {
    let number = std::fs::metadata(cgroup).unwrap().ino();
    sh(&format!(
        "ip -n n1 link add twin index {number} type veth peer name other"
    ));
    let attach = ["attach", "--interface", "twin", "--pod", "shop/web"];
    on("n1", &attach).must(0);
    on("n1", &["attach", "--cgroup", cgroup]).must(0);
    let before = enforcing("n1");
    // The same cgroup by another path.
    let path = "/run/netns/cgroup";
    sh(&format!("mkdir {path}; mount --bind {cgroup} {path}"));
    on("n1", &["attach", "--cgroup", path]).must(0);
    assert_eq!(enforcing("n1"), before);
    sh(&format!("umount {path}"));
}

/// How old the cgroup of a test is that was killed.
const KILLED: Duration = Duration::from_secs(3600);

/// A cgroup that is gone afterwards.
pub(crate) struct Cgroup(pub(crate) String);

impl Cgroup {
    /// `None`, which it says, where there is no cgroup v2 file system.
    pub(crate) fn new() -> Option<Self> {
        let unified = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .into_iter()
            .find(|path| Path::new(path).join("cgroup.controllers").exists());
        let Some(unified) = unified else {
            eprintln!("skipped: there is no cgroup v2 file system");
            return None;
        };
        // Those of runs that were killed, long ago: others may be at work.
        for entry in Path::new(unified).read_dir().unwrap().flatten() {
            let name = entry.file_name();
            let made = entry.metadata().and_then(|known| known.modified());
            let age = made.map_or(Duration::ZERO, |made| made.elapsed().unwrap_or_default());
            if name.to_string_lossy().starts_with("verdict-test-") && age > KILLED {
                let _ = std::fs::remove_dir(entry.path());
            }
        }
        // Processes in cages have the numbers of others.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let path = format!("{unified}/verdict-test-{}", now.unwrap().as_nanos());
        std::fs::create_dir(&path).unwrap();
        Some(Self(path))
    }

    /// Runs something whose sockets are of the cgroup.
    pub(crate) fn of<T>(&self, make: impl FnOnce() -> T) -> T {
        let join = |folder: &Path| std::fs::write(folder.join("cgroup.procs"), "0").unwrap();
        let own = Path::new(&self.0);
        join(own);
        let made = make();
        join(own.parent().unwrap());
        made
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}
