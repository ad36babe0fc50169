//! What a node must have before anything is enforced on it: all that is missing, said at once.

use super::problem::{Done, Problems};
use rustix::fs::statfs;
use rustix::thread::{CapabilitySet, capabilities};
use std::path::Path;
use verdict_compiler::diagnostic::{Diagnostic, codes};

/// `BPF_FS_MAGIC` (Linux, `include/uapi/linux/magic.h`).
const BPF_FS: u32 = 0xcafe_4a11;

/// The first kernel with all that is used: exchanges of words in programs (5.12), numbers of network namespaces (5.14).
const OLDEST: (u32, u32) = (5, 14);

/// Checks everything, and names all that is missing.
pub(super) fn check(root: &Path) -> Done<()> {
    let missing: Vec<Diagnostic> = [kernel(), rights(), bpffs(root)]
        .into_iter()
        .flatten()
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Problems(missing))
    }
}

fn lacks(message: String, help: &str) -> Diagnostic {
    Diagnostic::new(&codes::NODE_LACKS, message).help(help)
}

fn kernel() -> Option<Diagnostic> {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    match version(&release) {
        Some(version) if version < OLDEST => Some(lacks(
            format!("Linux {release} does not take the programs: it is older than 5.14"),
            "take a kernel from 6.6 on, or one from 5.14 on, where filters of traffic control hold the programs",
        )),
        _ => None,
    }
}

/// Major and minor number: `6.12.3-1-generic`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

fn rights() -> Option<Diagnostic> {
    let own = capabilities(None).ok()?.effective;
    let has = |capability| own.contains(capability);
    let admin = has(CapabilitySet::SYS_ADMIN);
    let needed = [
        ("CAP_BPF", has(CapabilitySet::BPF) || admin),
        ("CAP_NET_ADMIN", has(CapabilitySet::NET_ADMIN)),
        ("CAP_PERFMON", has(CapabilitySet::PERFMON) || admin),
    ];
    let missing: Vec<&str> = needed
        .into_iter()
        .filter(|(_, is_there)| !is_there)
        .map(|(name, _)| name)
        .collect();
    let missing = missing.join(", ");
    (!missing.is_empty()).then(|| {
        lacks(
            format!("this process has no {missing}"),
            "run it as root, or give it these capabilities",
        )
    })
}

fn bpffs(root: &Path) -> Option<Diagnostic> {
    let there = root.ancestors().find(|path| path.exists())?;
    let found = statfs(there).ok()?;
    let kind = u32::try_from(found.f_type).unwrap_or_default();
    (kind != BPF_FS).then(|| {
        let root = root.display();
        lacks(
            format!("`{root}` is on no bpffs, where programs outlive the process that loaded them"),
            "mount one: `mount -t bpf bpf /sys/fs/bpf`; or name another folder by `--root`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(version("6.12.3-1-generic"), Some((6, 12)));
        assert_eq!(version("5.4"), Some((5, 4)));
        assert_eq!(version("weird"), None);
    }
}
