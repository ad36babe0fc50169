//! Texts that are read with what an earlier run kept of them.

use sha2::{Digest as _, Sha256};
use verdict_compiler::frontend::kept::{Keeping, Readings};
use verdict_compiler::frontend::load::{Loaded, load, load_with};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::source::Sources;

/// What tells the program of these runs from others.
pub const BUILD: &[u8] = b"test";

/// Reads texts of any length with a file of an earlier run.
#[must_use]
pub fn read(sources: &Sources, settings: &Settings, file: Option<&[u8]>) -> (Loaded, Readings) {
    let keeping = Keeping {
        build: BUILD,
        file,
        smallest: 0,
    };
    load_with(sources, settings, Some(keeping))
}

/// The same, and the file for the next run.
///
/// # Panics
/// Where the texts say something else than to who reads them without a file.
pub fn next(sources: &Sources, settings: &Settings, file: &mut Option<Vec<u8>>) -> Readings {
    let (loaded, readings) = read(sources, settings, file.as_deref());
    let expected = load(sources, settings);
    // Not one part of it is another: the order of all diagnostics, labels by number, tables by hash.
    assert_eq!(format!("{loaded:?}"), format!("{expected:?}"));
    for (_, source) in sources.iter() {
        let digest = <[u8; 32]>::from(Sha256::digest(source.text()));
        assert_eq!(*source.sha256(), digest, "{}", source.name());
    }
    if let Some(new) = &readings.file {
        *file = Some(new.clone());
    }
    readings
}

/// A file with the digest put right at its end.
#[must_use]
pub fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    file.truncate(file.len().saturating_sub(32));
    closed(file)
}

/// A file of a cache that lacks the digest at its end, with it.
#[must_use]
pub fn closed(mut file: Vec<u8>) -> Vec<u8> {
    let digest = blake3::hash(&file);
    file.extend(digest.as_bytes());
    file
}
