//! System calls that fail: a kernel without memory, a bpffs that is full, a verifier that refuses. Each has its message, and
//! leaves what enforces. A filter of `seccomp` lets them fail.
#![expect(unsafe_code, reason = "filters of system calls")]

use super::cage::{Ran, caged, command, on, root, within};
use super::faults::{enforcing, refused};
use super::net::build;
use super::world::{OTHER, TIERS, World, pod};
use std::path::Path;

/// Commands of `bpf()`: its first argument (Linux, `include/uapi/linux/bpf.h`).
const MAP_CREATE: u32 = 0;
const PROG_LOAD: u32 = 5;
const OBJ_PIN: u32 = 6;
const MAP_FREEZE: u32 = 22;
const LINK_CREATE: u32 = 28;
const LINK_UPDATE: u32 = 29;

/// What fails.
#[derive(Clone, Copy, Debug)]
enum Call {
    Bpf(u32),
    MakeFolder,
    MakeText,
    Rename,
    Send,
}

impl Call {
    /// The numbers of the calls, and their first argument where that matters.
    fn numbers(self) -> (Vec<libc::c_long>, Option<u32>) {
        match self {
            Self::Bpf(command) => (vec![libc::SYS_bpf], Some(command)),
            Self::Send => (vec![libc::SYS_sendto], None),
            #[cfg(target_arch = "x86_64")]
            Self::MakeFolder => (vec![libc::SYS_mkdirat, libc::SYS_mkdir], None),
            #[cfg(target_arch = "x86_64")]
            Self::MakeText => (vec![libc::SYS_symlinkat, libc::SYS_symlink], None),
            #[cfg(target_arch = "x86_64")]
            Self::Rename => (vec![libc::SYS_renameat2, libc::SYS_rename], None),
            #[cfg(not(target_arch = "x86_64"))]
            Self::MakeFolder => (vec![libc::SYS_mkdirat], None),
            #[cfg(not(target_arch = "x86_64"))]
            Self::MakeText => (vec![libc::SYS_symlinkat], None),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Rename => (vec![libc::SYS_renameat2, libc::SYS_renameat], None),
        }
    }

    /// From now on it fails in this thread, and in what it starts.
    fn fails(self, errno: i32) {
        let (numbers, first) = self.numbers();
        let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
            code: u16::try_from(code).unwrap(),
            jt,
            jf,
            k,
        };
        let load = |at: u32| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
        let equal = |value: u32, otherwise: u8| {
            step(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                0,
                otherwise,
                value,
            )
        };
        let end = |value: u32| step(libc::BPF_RET | libc::BPF_K, 0, 0, value);
        let failing = end(libc::SECCOMP_RET_ERRNO | errno.cast_unsigned());
        let mut filter = Vec::new();
        for number in numbers {
            filter.push(load(0));
            let number = u32::try_from(number).unwrap();
            match first {
                // The first argument, of which the lower half stands first.
                Some(first) => filter.extend([equal(number, 3), load(16), equal(first, 1)]),
                None => filter.push(equal(number, 1)),
            }
            filter.push(failing);
        }
        filter.push(end(libc::SECCOMP_RET_ALLOW));
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).unwrap(),
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: the kernel copies the filter, which is as long as it is told.
        let done = unsafe {
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            )
        };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }
}

/// Runs a command on a node where a call fails.
fn without(call: Call, errno: i32, arguments: &[&str]) -> Ran {
    let root = root("n1");
    within("n1", || {
        call.fails(errno);
        let arguments = [&["--root", &root], arguments].concat();
        command(&arguments).output().unwrap().into()
    })
}

/// What fails at `load`, and what is said.
const LOADING: [(Call, i32, &str, &str); 10] = [
    (
        Call::Bpf(MAP_CREATE),
        libc::ENOMEM,
        "V0803",
        "not enough memory for its maps",
    ),
    (
        Call::Bpf(MAP_CREATE),
        libc::E2BIG,
        "V0803",
        "larger than this kernel takes",
    ),
    (Call::Bpf(MAP_CREATE), libc::EPERM, "V0803", "it needs root"),
    (
        Call::Bpf(MAP_FREEZE),
        libc::EPERM,
        "V0803",
        "cannot be filled",
    ),
    (
        Call::Bpf(PROG_LOAD),
        libc::EACCES,
        "V0803",
        "permission denied",
    ),
    (
        Call::Bpf(OBJ_PIN),
        libc::ENOSPC,
        "V0803",
        "has no room left",
    ),
    (
        Call::MakeFolder,
        libc::ENOSPC,
        "V0809",
        "the bpffs has no room",
    ),
    (Call::Rename, libc::ENOMEM, "V0809", "the bpffs has no room"),
    (
        Call::MakeText,
        libc::ENOSPC,
        "V0809",
        "the bpffs has no room",
    ),
    (Call::Rename, libc::EROFS, "V0809", "is mounted read-only"),
];

#[test]
fn whatever_fails_while_an_image_is_loaded_leaves_the_one_before() {
    caged(
        "calls::whatever_fails_while_an_image_is_loaded_leaves_the_one_before",
        || {
            build();
            let [old, new] = [(TIERS, "old"), (OTHER, "new")].map(|(policies, name)| {
                World::of(policies).write(&Path::new("/run/netns").join(name))
            });
            on("n1", &["load", &old.of("n1")]).must(0);
            on("n1", &["attach", "--address", pod("web").v4]).must(0);
            let before = enforcing("n1");
            for (call, errno, code, words) in LOADING {
                let ran = without(call, errno, &["load", &new.of("n1")]);
                eprintln!("{call:?} {errno}: {}", ran.said());
                refused(ran, code, words);
                assert_eq!(enforcing("n1"), before, "{call:?}");
            }
            // When it is decided which one enforces, the next command finishes what was begun.
            let ran = without(Call::Bpf(LINK_UPDATE), libc::EIO, &["load", &new.of("n1")]);
            refused(ran, "V0809", "cannot be changed");
            let status = on("n1", &["status", "--format", "json"]).must(1).json();
            assert_eq!(status["attachments"][0]["state"], "unfinished");
            on("n1", &["attach", "--address", pod("web").v4]).must(0);
            assert_ne!(enforcing("n1"), before);
        },
    );
}

#[test]
fn whatever_fails_while_an_endpoint_is_attached_leaves_nothing_of_it() {
    caged(
        "calls::whatever_fails_while_an_endpoint_is_attached_leaves_nothing_of_it",
        || {
            build();
            let images = World::of(TIERS).write(Path::new("/run/netns/images"));
            on("n1", &["load", &images.of("n1")]).must(0);
            on("n1", &["attach", "--address", pod("web").v4]).must(0);
            let before = enforcing("n1");
            let api = pod("api").v4;
            for (call, errno, hook, code) in [
                (Call::Bpf(LINK_CREATE), libc::EPERM, "tcx", "V0805"),
                (Call::Bpf(OBJ_PIN), libc::ENOSPC, "tcx", "V0805"),
                (Call::Send, libc::ENOBUFS, "clsact", "V0805"),
                (Call::MakeText, libc::ENOSPC, "clsact", "V0809"),
            ] {
                let ran = without(call, errno, &["attach", "--address", api, "--hook", hook]);
                eprintln!("{call:?} {errno}: {}", ran.said());
                refused(ran, code, "cannot be");
                let status = on("n1", &["status", "--format", "json"]).must(0).json();
                assert_eq!(
                    status["attachments"].as_array().unwrap().len(),
                    1,
                    "{call:?}"
                );
            }
            assert_eq!(enforcing("n1"), before);
        },
    );
}
