//! `compile --cache`: a folder with a file for the images of all nodes, the blobs that it names, and files with the tables of all
//! kinds of endpoints, with the leaves and who each address is, and with what the texts say.

use super::super::Failure;
use super::super::output;
use crate::bundle::{Blob, BundleError, Digest, Shared};
use crate::compile::{Compiler, Kept, KeptGround, KeptImages, Tables};
use crate::diagnostic::{Diagnostic, codes, counted};
use crate::frontend::kept::{Keeping, SMALLEST};
use crate::frontend::load::{self, Loaded};
use crate::frontend::settings::Settings;
use crate::lock::lock;
use crate::source::Sources;
use crate::verify::Fingerprints;
use rustc_hash::FxHashSet;
use std::collections::BTreeSet;
use std::fs::{DirEntry, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// The folder of the blobs.
const BLOBS: &str = "blobs";

/// The file of the images.
const IMAGES: &str = "images";
/// The file of the tables.
const TABLES: &str = "tables";
/// The file of the leaves and addresses.
const GROUND: &str = "leaves";
/// The file of what the texts say.
const TEXTS: &str = "texts";
/// The file of the pods whose node is not known, as it was named where each node had a file. Those of others were named by digests.
const OLD_UNASSIGNED: &str = "none";
/// How the names of files begin that are being written.
const TEMPORARY: &str = ".verdict-";
/// No file of a cache has more: what a million pods leave is a tenth of it.
const MOST_BYTES: u64 = 1 << 30;
/// Nobody takes as long to write one.
const ABANDONED: Duration = Duration::from_hours(1);

/// Where images are kept between compiles.
pub(in crate::cli) struct Cache {
    folder: PathBuf,
    build: OnceLock<Option<Vec<u8>>>,
    unusable: AtomicUsize,
    /// The blobs of this compile.
    named: Mutex<FxHashSet<Digest>>,
    /// What this compile adds to the images that are kept.
    new: Mutex<Vec<([u8; 32], Kept)>>,
    /// Of the files that could not be written that whose path is the least, so that it is the same whatever the number of threads.
    unwritten: Mutex<Option<(PathBuf, std::io::Error)>>,
}

/// What was kept of texts.
pub(super) struct CachedReadings<'c> {
    build: Option<&'c [u8]>,
    file: Option<Vec<u8>>,
}

fn build() -> Option<Vec<u8>> {
    let program = std::env::current_exe()
        .and_then(|path| hashed(&path))
        .ok()?;
    let mut build = env!("CARGO_PKG_VERSION").as_bytes().to_vec();
    build.extend(program);
    Some(build)
}

/// The BLAKE3 digest of a file, of which few bytes are held at once: those of a whole program are new pages, which cost more than
/// hashing them.
fn hashed(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().into())
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
        let blobs = folder.join(BLOBS);
        std::fs::create_dir_all(&blobs).map_err(|error| Failure::Write(blobs, error))?;
        Ok(Self {
            folder: folder.to_owned(),
            build: OnceLock::new(),
            unusable: AtomicUsize::new(0),
            named: Mutex::default(),
            new: Mutex::default(),
            unwritten: Mutex::default(),
        })
    }

    /// What tells this verdict from others: its version and its bytes. `None` where these cannot be read, as when the program was
    /// replaced while it runs: nothing is kept then, and nothing taken.
    pub(super) fn build(&self) -> Option<&[u8]> {
        self.build.get_or_init(build).as_deref()
    }

    /// The file of what texts say, and what tells this verdict from others: what [`Self::load`] needs besides the texts.
    pub(super) fn readings(&self) -> CachedReadings<'_> {
        CachedReadings {
            build: self.build(),
            file: self.read(&self.folder.join(TEXTS)),
        }
    }

    /// What texts say. Those of which it is kept are not read, and what the others say is kept in its turn.
    pub(super) fn load(
        &self,
        CachedReadings { build, file }: &CachedReadings<'_>,
        sources: &Sources,
        settings: &Settings,
    ) -> Loaded {
        let keeping = build.map(|build| Keeping {
            build,
            file: file.as_deref(),
            smallest: SMALLEST,
        });
        let (loaded, readings) = load::load_with(sources, settings, keeping);
        if readings.unusable {
            self.refuse();
        }
        if let Some(file) = readings.file {
            self.write(self.folder.join(TEXTS), &file);
        }
        loaded
    }

    /// The images that are kept.
    pub(super) fn images(&self, build: &[u8]) -> KeptImages {
        let Some(file) = self.read(&self.folder.join(IMAGES)) else {
            return KeptImages::default();
        };
        let found = KeptImages::read(&file, build);
        if found.is_none() {
            self.refuse();
        }
        found.unwrap_or_default()
    }

    /// The bytes of a file. A pipe may have no end, and what is larger than any of these files is none of them: both are counted as
    /// damaged, and not read.
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let known = std::fs::metadata(path).ok()?;
        if !known.is_file() || known.len() > MOST_BYTES {
            self.refuse();
            return None;
        }
        let mut bytes = Vec::new();
        let mut file = File::open(path).ok()?.take(MOST_BYTES);
        file.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Counts a file of which nothing is taken.
    pub(super) fn refuse(&self) {
        self.unusable.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps the image of a node, once all are kept.
    pub(super) fn keep(&self, fingerprint: [u8; 32], kept: Kept) {
        lock(&self.new).push((fingerprint, kept));
    }

    /// Keeps images in place of those that were kept `before`: with these those that were made and, of a compile of all, no others
    /// than of `nodes`.
    pub(super) fn keep_images(
        &self,
        build: &[u8],
        before: KeptImages,
        shared: Shared,
        nodes: Option<&BTreeSet<Option<&str>>>,
    ) {
        let mut images = before;
        let mut is_changed = images.shared != shared;
        images.shared = shared;
        for (fingerprint, kept) in std::mem::take(&mut *lock(&self.new)) {
            is_changed |= images.keep(fingerprint, kept);
        }
        if let Some(nodes) = nodes {
            is_changed |= images.retain(|node| nodes.contains(&node));
        }
        if is_changed {
            self.write(self.folder.join(IMAGES), &images.write(build));
        }
    }

    /// The tables that are kept.
    pub(super) fn tables(&self, compiler: &Compiler<'_>, prints: &Fingerprints) -> Option<Tables> {
        let file = self.read(&self.folder.join(TABLES))?;
        let found = compiler.kept_tables(prints, &file);
        if found.is_none() {
            self.refuse();
        }
        found
    }

    /// Keeps tables in place of those that were kept.
    pub(super) fn keep_tables(&self, file: &[u8]) {
        self.write(self.folder.join(TABLES), file);
    }

    /// The leaves and addresses that are kept.
    pub(super) fn ground(&self) -> Option<KeptGround> {
        let file = self.read(&self.folder.join(GROUND))?;
        Some(KeptGround::of(&file))
    }

    /// Keeps leaves and addresses in place of those that were kept.
    pub(super) fn keep_ground(&self, file: &[u8]) {
        self.write(self.folder.join(GROUND), file);
    }

    /// Not forced to the disk: a torn file is damaged, and nothing is taken of it. What cannot be kept is made again by the next
    /// compile; that one file could not be written is said at the end.
    fn write(&self, path: PathBuf, bytes: &[u8]) {
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix(TEMPORARY).tempfile_in(&self.folder);
        let written = file.and_then(|mut file| {
            file.write_all(bytes)?;
            file.persist(&path).map_err(|error| error.error)
        });
        if let Err(error) = written {
            let mut unwritten = lock(&self.unwritten);
            if unwritten.as_ref().is_none_or(|(known, _)| path < *known) {
                *unwritten = Some((path, error));
            }
        }
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join(BLOBS).join(digest.to_string())
    }

    /// Keeps a blob.
    pub(super) fn put(&self, blob: &Blob, bytes: &[u8]) {
        let path = self.blob(&blob.sha256);
        let is_there = || std::fs::metadata(&path).is_ok_and(|known| known.len() == blob.bytes);
        if self.name(blob) && !is_there() {
            self.write(path, bytes);
        }
    }

    /// Says that an image of this compile has a blob. False where that was said.
    pub(super) fn name(&self, blob: &Blob) -> bool {
        lock(&self.named).insert(blob.sha256)
    }

    /// The stored bytes of a blob. One that is damaged is gone after this, so that it is written anew.
    pub(super) fn fetch(&self, blob: &Blob) -> Result<Vec<u8>, BundleError> {
        let path = self.blob(&blob.sha256);
        let bytes = self.read(&path).ok_or(BundleError::Missing(blob.sha256))?;
        if blob.is_stored(&bytes) {
            // It need not be put there once more.
            self.name(blob);
            return Ok(bytes);
        }
        self.refuse();
        let _ = std::fs::remove_file(&path);
        Err(BundleError::Damaged(blob.sha256))
    }

    /// Removes what no image of this compile has: blobs, the files that an older verdict wrote for each node, and what a compile
    /// left that was ended. What cannot be removed stays.
    pub(super) fn sweep(&self) {
        let named = lock(&self.named);
        remove(&self.folder.join(BLOBS), |name, _| {
            let digest = name.parse::<Digest>();
            digest.is_ok_and(|digest| !named.contains(&digest))
        });
        remove(&self.folder, |name, entry| {
            if name.starts_with(TEMPORARY) {
                return is_old(entry);
            }
            name == OLD_UNASSIGNED || name.parse::<Digest>().is_ok()
        });
    }

    /// What there is to say of files that were not used, and of one that could not be written.
    fn notes(&self) -> impl Iterator<Item = Diagnostic> {
        let folder = self.folder.display();
        let count = self.unusable.load(Ordering::Relaxed);
        let damaged = (count > 0).then(|| {
            let files = counted(count, "file");
            let message =
                format!("cache `{folder}`: {files} damaged, or written by another verdict");
            let note = Diagnostic::new(&codes::CACHE_NOT_USED, message);
            note.help("nothing was taken of it, and it was written anew")
        });
        let unwritten = lock(&self.unwritten).take().map(|(path, error)| {
            let (path, why) = (path.display(), output::reason(&error));
            let message = format!("cache `{folder}`: `{path}` cannot be written: {why}");
            let note = Diagnostic::new(&codes::CACHE_NOT_USED, message);
            note.help("what is not kept is made again by the next compile")
        });
        damaged.into_iter().chain(unwritten)
    }
}

/// Says what there is to say, unless it is to be quiet.
pub(super) fn tell(global: &super::Global, cache: Option<&Cache>) {
    let notes = cache.into_iter().flat_map(Cache::notes);
    for note in notes.filter(|_| !global.common.quiet) {
        output::remark(&format!(
            "note[{}]: {}: {}\n",
            note.code.id,
            note.message,
            note.help.as_deref().unwrap_or_default()
        ));
    }
}
