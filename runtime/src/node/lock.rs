//! One command at a time: a lock on the folder of pins, which the kernel gives back when its holder dies.

use super::problem::{Done, pins, problem};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use verdict_compiler::diagnostic::codes;

/// How a command holds a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// With others that only look.
    Look,
    /// Alone.
    Change,
}

/// How long it is waited between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Takes the lock, and waits for it at most as long as said.
pub(super) fn take(root: &Path, hold: Hold, patience: Duration) -> Done<File> {
    let failed = |error: io::Error| pins(root, "locked", &error);
    let operation = match hold {
        Hold::Look => FlockOperation::NonBlockingLockShared,
        Hold::Change => FlockOperation::NonBlockingLockExclusive,
    };
    let start = Instant::now();
    loop {
        let folder = File::open(root).map_err(failed)?;
        match flock(&folder, operation) {
            // Whoever held it may have removed the folder.
            Ok(()) if is_at(&folder, root) => return Ok(folder),
            Ok(()) | Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(failed(error.into())),
        }
        if start.elapsed() >= patience {
            let root = root.display();
            let message = format!("another command is at work on `{root}`");
            let help = "wait until it is done, or longer by `--wait SECONDS`";
            return Err(problem(&codes::NODE_BUSY, message, help));
        }
        sleep(PAUSE);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let one = file.metadata().map(|found| (found.dev(), found.ino()));
    let other = fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((one, other), (Ok(one), Ok(other)) if one == other)
}
