//! `compile --cache`: a folder with a file for each node.

use super::super::Failure;
use super::super::output;
use crate::bundle::Digest;
use crate::compile::{Found, Kept};
use crate::diagnostic::{Diagnostic, codes, counted};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where images are kept between compiles.
pub(in crate::cli) struct Cache {
    folder: PathBuf,
    unusable: AtomicUsize,
}

/// What tells this verdict from others: its version and its bytes. `None` where these cannot be read, as when the program was
/// replaced while it runs: nothing is kept then, and nothing taken.
pub(super) fn build() -> Option<Vec<u8>> {
    let program = std::env::current_exe().and_then(std::fs::read).ok()?;
    let mut build = env!("CARGO_PKG_VERSION").as_bytes().to_vec();
    build.extend(Digest::of(&program).bytes());
    Some(build)
}

impl Cache {
    /// A folder; it is made if it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::Write(folder.to_owned(), error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            unusable: AtomicUsize::new(0),
        })
    }

    /// Names of nodes are no names of files.
    fn path(&self, node: Option<&str>) -> PathBuf {
        let name = node.map_or("none".to_owned(), |node| {
            Digest::of(node.as_bytes()).to_string()
        });
        self.folder.join(name)
    }

    /// What is kept of the image of a node.
    pub(super) fn find(&self, node: Option<&str>, fingerprint: &[u8; 32]) -> Option<Kept> {
        let file = std::fs::read(self.path(node)).ok()?;
        match Found::read(&file, fingerprint) {
            Found::Kept(kept) => Some(kept),
            Found::Stale => None,
            Found::Unusable => {
                self.refuse();
                None
            }
        }
    }

    /// Counts a file of which nothing is taken.
    pub(super) fn refuse(&self) {
        self.unusable.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps the image of a node.
    pub(super) fn keep(
        &self,
        node: Option<&str>,
        fingerprint: &[u8; 32],
        kept: &Kept,
    ) -> Result<(), Failure> {
        let path = self.path(node);
        let bytes = kept.write(fingerprint);
        // Not forced to the disk: a torn file is damaged, and nothing is taken of it.
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix(".verdict-").tempfile_in(&self.folder);
        let written = file.and_then(|mut file| {
            file.write_all(&bytes)?;
            file.persist(&path).map_err(|error| error.error)
        });
        written
            .map(drop)
            .map_err(|error| Failure::Write(path, error))
    }

    /// What there is to say of files that were not used.
    pub(super) fn note(&self) -> Option<Diagnostic> {
        let count = self.unusable.load(Ordering::Relaxed);
        if count == 0 {
            return None;
        }
        let (folder, files) = (self.folder.display(), counted(count, "file"));
        let message = format!("cache `{folder}`: {files} damaged, or written by another verdict");
        let note = Diagnostic::new(&codes::CACHE_NOT_USED, message);
        Some(note.help("nothing was taken of it, and it was written anew"))
    }
}

/// Says what there is to say, unless it is to be quiet.
pub(super) fn tell(global: &super::Global, cache: Option<&Cache>) {
    let note = cache.and_then(Cache::note).filter(|_| !global.common.quiet);
    if let Some(note) = note {
        output::remark(&format!(
            "note[{}]: {}: {}\n",
            note.code.id,
            note.message,
            note.help.as_deref().unwrap_or_default()
        ));
    }
}
