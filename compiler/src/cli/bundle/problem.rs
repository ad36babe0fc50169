//! What is said about a bundle or a key that is not taken.

use super::super::Failure;
use super::super::args::Global;
use super::super::input::whole_file;
use super::super::output::{self, Style};
use super::super::render::{Report, human};
use crate::bundle::BundleError;
use crate::diagnostic::{Diagnostic, codes};
use crate::source::Sources;
use std::path::Path;

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
        BundleError::OtherImage(_) | BundleError::NoImage(..) => (
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

/// What is read of a key: in PEM it has some hundred bytes.
const MAX_KEY_BYTES: usize = 1 << 16;

/// Reads a key.
pub(in crate::cli) fn key_file<T>(
    global: &Global,
    path: &Path,
    read: impl FnOnce(&str) -> Result<T, BundleError>,
) -> Result<T, Failure> {
    let bytes = whole_file(path, MAX_KEY_BYTES)?;
    let none = || BundleError::Key("it is no text".into());
    let text = String::from_utf8(bytes).map_err(|_| none());
    text.and_then(|text| read(&text)).map_err(|error| {
        let name = path.display();
        let message = format!("key `{name}`: {error}");
        let problem = Diagnostic {
            message,
            ..refused(path, &error)
        };
        say(global, &[problem]);
        Failure::Input
    })
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
    let style = Style::of_stderr(global.color);
    output::remark(&human::before_answer(&report, style, global));
}
