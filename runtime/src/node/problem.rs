//! What can go wrong on a node, as diagnostics.

use crate::error::LoadError;
use rustix::io::Errno;
use std::error::Error;
use std::fmt::Display;
use std::io;
use std::path::Path;
use verdict_compiler::cli::reason;
use verdict_compiler::diagnostic::{Code, Diagnostic, codes};

/// Why something was not done. What was enforcing before still is.
#[derive(Debug)]
pub struct Problems(pub Vec<Diagnostic>);

/// What was done, or why it was not.
pub type Done<T> = Result<T, Problems>;

impl From<Diagnostic> for Problems {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl From<LoadError> for Problems {
    fn from(error: LoadError) -> Self {
        not_loaded(&error)
    }
}

/// A problem of a kind with its remedy.
pub(super) fn problem(
    code: &'static Code,
    message: impl Into<String>,
    help: impl Into<String>,
) -> Problems {
    Diagnostic::new(code, message).help(help).into()
}

/// A pin or a folder of pins that cannot be read, made or removed.
pub(super) fn pins(path: &Path, what: &str, error: &io::Error) -> Problems {
    let (path, why) = (path.display(), reason(error));
    let help = match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::NOMEM) => {
            "the bpffs has no room: remove pins that nobody needs, or give the system memory"
        }
        Some(Errno::ROFS) => "the bpffs is mounted read-only: `mount -o remount,rw` changes it",
        Some(Errno::PERM | Errno::ACCESS) => {
            "it needs root, or CAP_BPF and the right to write there"
        }
        _ => {
            "what enforces goes on; where this does not pass, `verdict-node unload --all` removes everything, to be loaded and \
             attached anew"
        }
    };
    let message = format!("`{path}` cannot be {what}: {why}");
    problem(&codes::PINS_UNUSABLE, message, help)
}

/// A generation that the kernel does not take.
pub(super) fn not_loaded(error: &LoadError) -> Problems {
    let message = causes(error);
    match error {
        LoadError::Differs(_) | LoadError::Silent(..) => problem(
            &codes::NOT_ATTESTED,
            message,
            "nothing was changed: load the image again; where it happens again the memory of this machine is not to be \
             trusted",
        ),
        LoadError::Object(_)
        | LoadError::Map(..)
        | LoadError::Fill(..)
        | LoadError::Pin(..)
        | LoadError::Program(..)
        | LoadError::Missing(_)
        | LoadError::NoRoom(_)
        | LoadError::Connections(_) => problem(&codes::NOT_LOADED, message, remedy(error)),
    }
}

fn remedy(error: &LoadError) -> &'static str {
    match errno(error) {
        Some(Errno::NOMEM) => {
            "there is not enough memory for its maps, or not within the limit of this cgroup"
        }
        Some(Errno::TOOBIG) => "a map is larger than this kernel takes",
        Some(Errno::NOSPC) => "the bpffs or a map has no room left",
        Some(Errno::PERM | Errno::ACCESS) => {
            "it needs root, or CAP_BPF and CAP_NET_ADMIN; `kernel.lockdown` may forbid it, too"
        }
        Some(Errno::INVAL) => {
            "this kernel may be too old: it takes Linux 6.6 or later, or at least 5.14"
        }
        _ => "what enforced before goes on",
    }
}

/// The number of the system's error in a chain of causes.
pub(super) fn errno(error: &(dyn Error + 'static)) -> Option<Errno> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Errno::from_io_error(found);
        }
        next = error.source();
    }
    None
}

/// An error with all of its causes that its own text does not tell.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let words = |error: &(dyn Error + 'static)| match error.downcast_ref::<io::Error>() {
        Some(error) => reason(error),
        None => error.to_string(),
    };
    let mut text = words(error);
    let mut next = error.source();
    while let Some(cause) = next {
        let words = words(cause);
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

/// `worker-1.image`, in backticks.
pub(super) fn quoted(text: impl Display) -> String {
    format!("`{text}`")
}
