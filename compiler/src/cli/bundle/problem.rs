//! What is said about a bundle or a key that is not taken.

use super::super::Failure;
use super::super::args::Global;
use super::super::input::bytes_of;
use super::super::output::{self, Style};
use super::super::render::{Report, human};
use super::Bundle;
use crate::bundle::BundleError;
use crate::diagnostic::{Diagnostic, codes};
use crate::source::Sources;
use std::io;
use std::path::{Path, PathBuf};

/// Why a bundle, or a key, is not taken.
#[derive(Debug)]
pub enum NotTaken {
    /// This cannot be read.
    Read(PathBuf, io::Error),
    /// It is bad by itself, or not what was asked for.
    Refused(Box<Diagnostic>),
}

impl NotTaken {
    pub(super) fn refused(path: &Path, error: &BundleError) -> Self {
        Self::Refused(Box::new(refused(path, error)))
    }

    /// Says it.
    pub(in crate::cli) fn said(self, global: &Global) -> Failure {
        match self {
            Self::Read(path, error) => Failure::Read(path, error),
            Self::Refused(problem) => {
                say(global, &[*problem]);
                Failure::Input
            }
        }
    }
}

impl From<Diagnostic> for NotTaken {
    fn from(problem: Diagnostic) -> Self {
        Self::Refused(Box::new(problem))
    }
}

/// What is said of a bundle.
pub(in crate::cli) fn refused(path: &Path, error: &BundleError) -> Diagnostic {
    let name = path.display().to_string();
    let (code, help) = match error {
        BundleError::Malformed { .. }
        | BundleError::Version { .. }
        | BundleError::TooLarge { .. } => (
            &codes::NO_BUNDLE,
            "compile it again, or fetch it again from where it came",
        ),
        BundleError::OldGeneration(_) => (
            &codes::NO_BUNDLE,
            "remove that file, and `verdict image gc` the chunks that it named; the generation in force is not touched by that",
        ),
        BundleError::Missing(_) => (
            &codes::CHUNK_MISSING,
            "fetch it again from where it came: a bundle is copied with all its chunks",
        ),
        BundleError::Damaged(_) | BundleError::Unreadable(..) => (
            &codes::CHUNK_DAMAGED,
            "fetch it again from where it came; compiling into the same place replaces it as well",
        ),
        BundleError::TwoNodes(_) => (
            &codes::TWO_NODES,
            "it was not written by verdict: do not use it, and compile it again",
        ),
        BundleError::NoNode { .. } => (
            &codes::NO_NODE,
            "name it as the manifests do: `--node NAME`; `verdict image inspect BUNDLE` lists all",
        ),
        BundleError::OtherRecord(_)
        | BundleError::OtherImage(_)
        | BundleError::OtherShared
        | BundleError::NoImage(..) => (
            &codes::CHUNK_DAMAGED,
            "it was not written by this verdict, or changed on purpose: do not use it, and compile it again",
        ),
        BundleError::Unsigned => (
            &codes::BAD_SIGNATURE,
            "sign it where it is compiled: `verdict compile PATH... --bundle BUNDLE --sign KEY`",
        ),
        BundleError::WrongKey => (
            &codes::BAD_SIGNATURE,
            "use the public key that belongs to the one that signed; if it is, the manifest was changed: do not use it",
        ),
        BundleError::Key(_) => (
            &codes::BAD_KEY,
            "`openssl genpkey -algorithm ed25519 -out key.pem` makes one, `openssl pkey -in key.pem -pubout` its public half",
        ),
    };
    Diagnostic::new(code, format!("bundle `{name}`: {error}"))
        .file(name)
        .help(help)
}

/// What is said of a bundle that is for another fleet than the one that is asked for.
pub(in crate::cli) fn other_fleet(bundle: &Bundle, asked: &str) -> Option<Diagnostic> {
    let found = bundle.manifest.fleet.as_deref();
    if found == Some(asked) {
        return None;
    }
    let name = bundle.path.display().to_string();
    let found = found.map_or("no fleet in particular".to_owned(), |fleet| {
        format!("fleet `{fleet}`")
    });
    let message = format!("bundle `{name}` is for {found}, not for fleet `{asked}`");
    let problem = Diagnostic::new(&codes::OTHER_FLEET, message).file(name);
    Some(problem.help("name the bundle of this fleet, or another `--fleet`"))
}

/// What is said of a bundle that is older than was asked for.
pub(in crate::cli) fn expired(bundle: &Bundle, least: u64) -> Option<Diagnostic> {
    let generation = bundle.manifest.generation;
    if generation >= least {
        return None;
    }
    let name = bundle.path.display().to_string();
    let message = format!(
        "bundle `{name}` is generation {generation}, and generation {least} or a later one was asked for"
    );
    let problem = Diagnostic::new(&codes::OLD_GENERATION, message).file(name);
    Some(
        problem
            .help("fetch the newest bundle; to go back on purpose, ask for the older generation"),
    )
}

/// What is read of a key: in PEM it has some hundred bytes.
const MAX_KEY_BYTES: usize = 1 << 16;

/// Reads a key.
pub(super) fn key<T>(
    path: &Path,
    read: impl FnOnce(&str) -> Result<T, BundleError>,
) -> Result<T, NotTaken> {
    let bytes = bytes_of(path, MAX_KEY_BYTES);
    let bytes = bytes.map_err(|error| NotTaken::Read(path.to_owned(), error))?;
    let none = || BundleError::Key("it is no text".into());
    let text = String::from_utf8(bytes).map_err(|_| none());
    text.and_then(|text| read(&text)).map_err(|error| {
        let message = format!("key `{}`: {error}", path.display());
        NotTaken::from(Diagnostic {
            message,
            ..refused(path, &error)
        })
    })
}

/// Reads a key, and says what is wrong where it is none.
pub(in crate::cli) fn key_file<T>(
    global: &Global,
    path: &Path,
    read: impl FnOnce(&str) -> Result<T, BundleError>,
) -> Result<T, Failure> {
    key(path, read).map_err(|error| error.said(global))
}

/// Shows problems that no text of the input has.
pub(in crate::cli) fn say(global: &Global, problems: &[Diagnostic]) {
    let sources = Sources::default();
    let report = Report {
        sources: &sources,
        diagnostics: problems,
        files: problems.len(),
        objects: 0,
    };
    let style = Style::of_stderr(global.common.color);
    output::remark(&human::before_answer(&report, style, global));
}
