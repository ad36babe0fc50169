//! `compile --cache`: a folder with a file for each node, the blobs that these name, a file with the tables of all kinds of
//! endpoints, and one with what the texts say.

use super::super::Failure;
use super::super::output;
use crate::bundle::{Blob, BundleError, Digest};
use crate::compile::{Compiler, Found, Kept, Tables};
use crate::diagnostic::{Diagnostic, codes, counted};
use crate::frontend::kept::{Keeping, SMALLEST};
use crate::frontend::load::{self, Loaded};
use crate::frontend::settings::Settings;
use crate::source::Sources;
use crate::verify::Fingerprints;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs::{DirEntry, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The folder of the blobs.
const BLOBS: &str = "blobs";

/// The file of the tables.
const TABLES: &str = "tables";
/// The file of what the texts say.
const TEXTS: &str = "texts";
/// The file of the pods whose node is not known.
const UNASSIGNED: &str = "none";
/// How the names of files begin that are being written.
const TEMPORARY: &str = ".verdict-";
/// Nobody takes as long to write one.
const ABANDONED: Duration = Duration::from_hours(1);

/// Where images are kept between compiles.
pub(in crate::cli) struct Cache {
    folder: PathBuf,
    build: OnceLock<Option<Vec<u8>>>,
    unusable: AtomicUsize,
    /// The blobs of this compile.
    named: Mutex<BTreeSet<Digest>>,
}

fn build() -> Option<Vec<u8>> {
    let mut program = std::env::current_exe().and_then(File::open).ok()?;
    let mut digest = Sha256::new();
    std::io::copy(&mut program, &mut digest).ok()?;
    let mut build = env!("CARGO_PKG_VERSION").as_bytes().to_vec();
    build.extend(digest.finalize());
    Some(build)
}

/// Names of nodes are no names of files.
fn file_name(node: Option<&str>) -> String {
    node.map_or(UNASSIGNED.to_owned(), |node| {
        Digest::of(node.as_bytes()).to_string()
    })
}

/// Removes some of the files of a folder, which are told by name.
fn remove(folder: &Path, is_to_go: impl Fn(&str, &DirEntry) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| is_to_go(name, &entry)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether a file was last written long ago.
fn is_old(entry: &DirEntry) -> bool {
    let written = entry.metadata().and_then(|of| of.modified()).ok();
    let age = written.and_then(|written| written.elapsed().ok());
    age.is_some_and(|age| age > ABANDONED)
}

impl Cache {
    /// A folder; it is made if it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::Write(folder.to_owned(), error);
        std::fs::create_dir_all(folder.join(BLOBS)).map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            build: OnceLock::new(),
            unusable: AtomicUsize::new(0),
            named: Mutex::default(),
        })
    }

    /// What tells this verdict from others: its version and its bytes. `None` where these cannot be read, as when the program was
    /// replaced while it runs: nothing is kept then, and nothing taken.
    pub(super) fn build(&self) -> Option<&[u8]> {
        self.build.get_or_init(build).as_deref()
    }

    /// What texts say. Those of which it is kept are not read, and what the others say is kept in its turn.
    pub(super) fn load(&self, sources: &Sources, settings: &Settings) -> Result<Loaded, Failure> {
        let path = self.folder.join(TEXTS);
        let file = std::fs::read(&path).ok();
        let keeping = self.build().map(|build| Keeping {
            build,
            file: file.as_deref(),
            smallest: SMALLEST,
        });
        let (loaded, readings) = load::load_with(sources, settings, keeping);
        if readings.unusable {
            self.refuse();
        }
        if let Some(file) = readings.file {
            self.write(path, &file)?;
        }
        Ok(loaded)
    }

    fn path(&self, node: Option<&str>) -> PathBuf {
        self.folder.join(file_name(node))
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

    /// The tables that are kept.
    pub(super) fn tables(&self, compiler: &Compiler<'_>, prints: &Fingerprints) -> Option<Tables> {
        let file = std::fs::read(self.folder.join(TABLES)).ok()?;
        let found = compiler.kept_tables(prints, &file);
        if found.is_none() {
            self.refuse();
        }
        found
    }

    /// Keeps tables in place of those that were kept.
    pub(super) fn keep_tables(&self, file: &[u8]) -> Result<(), Failure> {
        self.write(self.folder.join(TABLES), file)
    }

    /// Not forced to the disk: a torn file is damaged, and nothing is taken of it.
    fn write(&self, path: PathBuf, bytes: &[u8]) -> Result<(), Failure> {
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix(TEMPORARY).tempfile_in(&self.folder);
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

    /// Removes what no image of this compile has: blobs, files of other nodes, and what a compile left that was ended. What cannot
    /// be removed stays.
    pub(super) fn sweep<'n>(&self, nodes: impl Iterator<Item = Option<&'n str>>) {
        let named = self.names();
        remove(&self.folder.join(BLOBS), |name, _| {
            let digest = name.parse::<Digest>();
            digest.is_ok_and(|digest| !named.contains(&digest))
        });
        let nodes: BTreeSet<String> = nodes.map(file_name).collect();
        remove(&self.folder, |name, entry| {
            if name.starts_with(TEMPORARY) {
                return is_old(entry);
            }
            let is_of_node = name == UNASSIGNED || name.parse::<Digest>().is_ok();
            is_of_node && !nodes.contains(name)
        });
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
