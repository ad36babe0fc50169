//! `compile --cache`: a folder with a file for each node, and the blobs that these name.

use super::super::Failure;
use super::super::output;
use crate::bundle::{Blob, BundleError, Digest};
use crate::compile::{Found, Kept};
use crate::diagnostic::{Diagnostic, codes, counted};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The folder of the blobs.
const BLOBS: &str = "blobs";

/// Where images are kept between compiles.
pub(in crate::cli) struct Cache {
    folder: PathBuf,
    unusable: AtomicUsize,
    /// The blobs of this compile.
    named: Mutex<BTreeSet<Digest>>,
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
        std::fs::create_dir_all(folder.join(BLOBS)).map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            unusable: AtomicUsize::new(0),
            named: Mutex::default(),
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
            Found::Kept(kept) => Some(*kept),
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
        self.write(self.path(node), &kept.write(fingerprint))
    }

    /// Not forced to the disk: a torn file is damaged, and nothing is taken of it.
    fn write(&self, path: PathBuf, bytes: &[u8]) -> Result<(), Failure> {
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix(".verdict-").tempfile_in(&self.folder);
        let written = file.and_then(|mut file| {
            file.write_all(bytes)?;
            file.persist(&path).map_err(|error| error.error)
        });
        written
            .map(drop)
            .map_err(|error| Failure::Write(path, error))
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join(BLOBS).join(digest.to_string())
    }

    /// Keeps a blob.
    pub(super) fn put(&self, blob: &Blob, bytes: &[u8]) -> Result<(), Failure> {
        let is_new = self.names().insert(blob.sha256);
        let path = self.blob(&blob.sha256);
        let is_there = std::fs::metadata(&path).is_ok_and(|known| known.len() == blob.bytes);
        if !is_new || is_there {
            return Ok(());
        }
        self.write(path, bytes)
    }

    /// The stored bytes of a blob. One that is damaged is gone after this, so that it is written anew.
    pub(super) fn fetch(&self, blob: &Blob) -> Result<Vec<u8>, BundleError> {
        let path = self.blob(&blob.sha256);
        let bytes = std::fs::read(&path).map_err(|_| BundleError::Missing(blob.sha256))?;
        if blob.is_stored(&bytes) {
            return Ok(bytes);
        }
        self.refuse();
        let _ = std::fs::remove_file(&path);
        Err(BundleError::Damaged(blob.sha256))
    }

    /// Removes the blobs that no image of this compile has. What cannot be removed stays.
    pub(super) fn sweep(&self) {
        let named = self.names();
        let entries = std::fs::read_dir(self.folder.join(BLOBS));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.parse::<Digest>().ok());
            if digest.is_some_and(|digest| !named.contains(&digest)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// A lock whose holder never panics.
    fn names(&self) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
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
