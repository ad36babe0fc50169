//! Writing a bundle: all of it or nothing, next to what is there of it already.
//!
//! A new folder is made beside its place and gets its name when it is whole. Into one that is there, new chunks are moved first,
//! which no manifest names yet, and the manifest last: a reader sees the one generation or the other. One writer at a time.

use super::super::Failure;
use super::super::args::{BundleForm, Global};
use super::super::output;
use super::oci::{INDEX_FILE, Image, Index, LAYOUT, LAYOUT_FILE, written};
use super::open::Bundle;
use super::problem::NotTaken;
use super::{MANIFEST, STAGING, archive, blob_path, generation_path, place};
use crate::bundle::{Blob, Digest, Manifest, Record, Signer};
use crate::lock::lock;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::fs::{File, create_dir_all, rename};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempDir;

/// A bundle that is being written. What was written is gone where it is dropped without [`Writer::commit`].
pub(in crate::cli) struct Writer {
    path: PathBuf,
    form: BundleForm,
    /// What is there already.
    previous: Option<Bundle>,
    /// Where new files wait; none of an archive.
    staging: Option<TempDir>,
    /// The files that wait there, as they are named from the bundle.
    waiting: Mutex<Vec<PathBuf>>,
    /// All blobs of the new generation.
    blobs: Mutex<FxHashMap<Digest, Blob>>,
    /// Those of an archive.
    contents: Mutex<BTreeMap<Digest, Vec<u8>>>,
    /// Held while something is written into a folder.
    _lock: Option<File>,
    /// Held while new files wait: a folder that nobody holds was left.
    _staging_lock: Option<File>,
}

/// What was written.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Committed {
    pub(in crate::cli) form: BundleForm,
    pub(in crate::cli) generation: u64,
    pub(in crate::cli) digest: Digest,
    /// Whether there is a new generation.
    pub(in crate::cli) is_new: bool,
    pub(in crate::cli) is_signed: bool,
    /// Chunks of the generation that was there already, and were missing or damaged.
    pub(in crate::cli) repaired: usize,
    /// Whether the generation that was there has a signature that it did not have.
    pub(in crate::cli) newly_signed: bool,
    pub(in crate::cli) chunks: usize,
    /// The stored bytes of all chunks and of the manifest.
    pub(in crate::cli) bytes: u64,
    /// Of these, what the generation before did not have.
    pub(in crate::cli) new_chunks: usize,
    pub(in crate::cli) new_bytes: u64,
}

impl Writer {
    /// Begins to write. What is at the place must be a bundle, or nothing.
    pub(in crate::cli) fn begin(
        global: &Global,
        path: &Path,
        form: Option<BundleForm>,
    ) -> Result<Self, Failure> {
        let is_tar = path.extension().is_some_and(|end| end == "tar");
        let usual = if is_tar {
            BundleForm::Tar
        } else {
            BundleForm::Dir
        };
        let is_empty =
            |path: &Path| std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        let is_there = path.exists() && !is_empty(path);
        // Whoever writes there now is waited for, so that what is found is what the next generation follows.
        let lock = (is_there && path.is_dir())
            .then(|| lock_folder(path))
            .transpose()?;
        let previous = is_there.then(|| in_the_way(path)).transpose();
        let previous = previous.map_err(|error| error.said(global))?;
        let found = previous.as_ref().map(|bundle| bundle.form);
        let wanted = form.or(found).unwrap_or(usual);
        if let Some(found) = found.filter(|found| *found != wanted) {
            let (path, found, wanted) = (path.display(), found.text(), wanted.text());
            let message = format!(
                "`{path}` is a bundle of the form `{found}`: it is not replaced by one of the form `{wanted}`"
            );
            return Err(Failure::Usage(message));
        }
        let into = previous
            .as_ref()
            .filter(|bundle| bundle.form != BundleForm::Tar);
        let staging = match (wanted, into) {
            (BundleForm::Tar, _) => None,
            (BundleForm::Dir | BundleForm::Oci, Some(_)) => Some(staging_in(path, STAGING)?),
            (BundleForm::Dir | BundleForm::Oci, None) => {
                let prefix = format!("{STAGING}{}-", name_of(path));
                Some(staging_in(folder_of(path), &prefix)?)
            }
        };
        let waiting = staging.as_ref().map(|staging| lock_folder(staging.path()));
        Ok(Self {
            _staging_lock: waiting.transpose()?,
            path: path.to_owned(),
            form: wanted,
            previous,
            staging,
            waiting: Mutex::default(),
            blobs: Mutex::default(),
            contents: Mutex::default(),
            _lock: lock,
        })
    }

    /// The bundle that is there.
    pub(in crate::cli) fn previous(&self) -> Option<&Bundle> {
        self.previous.as_ref()
    }

    /// Whether a blob is there, and whole: it is one of the new generation then, as if it had been put there.
    pub(in crate::cli) fn has(&self, blob: &Blob) -> bool {
        let into = self.previous.as_ref().filter(|_| self.staging.is_some());
        let found = into.and_then(|previous| previous.fetch(blob).ok());
        let is_there = found.is_some_and(|stored| blob.is_stored(&stored));
        if is_there {
            lock(&self.blobs).insert(blob.sha256, *blob);
        }
        is_there
    }

    /// Takes a blob.
    pub(in crate::cli) fn put(&self, blob: &Blob, bytes: &[u8]) -> Result<(), Failure> {
        lock(&self.blobs).insert(blob.sha256, *blob);
        if self.staging.is_none() {
            lock(&self.contents).insert(blob.sha256, bytes.to_vec());
            return Ok(());
        }
        // One that is there and whole stays; one that is damaged is replaced.
        if let Some(previous) = &self.previous
            && previous.fetch(blob).is_ok_and(|found| *found == *bytes)
        {
            return Ok(());
        }
        self.stage(&place(self.form, &blob.sha256), bytes)
    }

    fn stage(&self, name: &Path, bytes: &[u8]) -> Result<(), Failure> {
        let Some(staging) = &self.staging else {
            return Ok(());
        };
        let failed = |error| Failure::Write(self.path.join(name), error);
        let path = staging.path().join(name);
        let written = with_folder(&path, || File::create_new(&path));
        written
            .and_then(|mut file| file.write_all(bytes))
            .map_err(failed)?;
        lock(&self.waiting).push(name.to_owned());
        Ok(())
    }

    /// Puts the bundle in its place, as the generation after what `parent` is, or after what is there. Where that says the
    /// same, it stays. `records` are those of the nodes, by their digests.
    pub(in crate::cli) fn commit(
        self,
        manifest: Manifest,
        records: &FxHashMap<Digest, Record>,
        parent: Option<&Bundle>,
        signer: Option<&Signer>,
    ) -> Result<Committed, Failure> {
        let parent = parent.or(self.previous.as_ref());
        let is_same = |one: &Bundle| one.manifest.is_same(&manifest);
        let same = self.previous.as_ref().filter(|previous| is_same(previous));
        let (text, generation) = match (same, parent) {
            (Some(same), _) => (same.text.clone(), same.manifest.generation),
            (None, None) => (manifest.write(), manifest.generation),
            (None, Some(parent)) => {
                let next = Manifest {
                    generation: parent.manifest.generation.saturating_add(1),
                    parent: Some(parent.digest()),
                    ..manifest
                };
                (next.write(), next.generation)
            }
        };
        let known = same.and_then(|same| same.signature.clone());
        let signature = signer.map(|signer| signer.sign(&text).to_vec()).or(known);
        let old = parent.map(|parent| parent.blobs_with(records).unwrap_or_default());
        let blobs = std::mem::take(&mut *lock(&self.blobs));
        let blobs: BTreeMap<Digest, Blob> = blobs.into_iter().collect();
        let is_new = |digest: &Digest| !old.as_ref().is_some_and(|old| old.contains_key(digest));
        let new: Vec<&Blob> = blobs.values().filter(|blob| is_new(&blob.sha256)).collect();
        let sum =
            |blobs: &mut dyn Iterator<Item = &Blob>| blobs.map(|blob| blob.bytes).sum::<u64>();
        let committed = Committed {
            form: self.form,
            generation,
            digest: Digest::of(&text),
            is_new: same.is_none(),
            is_signed: signature.is_some(),
            repaired: same.map_or(0, |_| self.staged_chunks()),
            newly_signed: same.is_some_and(|same| same.signature.is_none()) && signature.is_some(),
            chunks: blobs.len(),
            bytes: sum(&mut blobs.values()) + text.len() as u64,
            new_chunks: new.len(),
            new_bytes: sum(&mut new.into_iter()),
        };
        match self.form {
            BundleForm::Tar => self.archive(&text, signature.as_deref())?,
            BundleForm::Dir => {
                let digest = committed.digest;
                self.stage(&generation_path(&digest, "json"), &text)?;
                if let Some(signature) = &signature {
                    self.stage(&generation_path(&digest, "sig"), signature)?;
                }
                self.place(MANIFEST, &text)?;
            }
            BundleForm::Oci => self.layout(&text, signature.as_deref(), generation, &blobs)?,
        }
        Ok(committed)
    }

    /// How many chunks wait: those that were not there, or not whole.
    fn staged_chunks(&self) -> usize {
        lock(&self.waiting).len()
    }

    fn archive(&self, text: &[u8], signature: Option<&[u8]>) -> Result<(), Failure> {
        let contents = lock(&self.contents);
        let failed = |error| Failure::Write(self.path.clone(), error);
        create_dir_all(folder_of(&self.path)).map_err(failed)?;
        output::replace(&self.path, |out| {
            archive::write(text, signature, &contents, out)
        })
        .map_err(failed)
    }

    fn layout(
        &self,
        text: &[u8],
        signature: Option<&[u8]>,
        generation: u64,
        blobs: &BTreeMap<Digest, Blob>,
    ) -> Result<(), Failure> {
        let index = self
            .previous
            .as_ref()
            .and_then(|previous| previous.index.clone());
        let image = written(&Image::new(text, signature, blobs));
        self.stage(&blob_path(&Digest::of(text)), text)?;
        self.stage(&blob_path(&Digest::of(&image)), &image)?;
        if index.is_none() {
            self.stage(Path::new(LAYOUT_FILE), LAYOUT)?;
        }
        let mut index = index.unwrap_or_else(Index::new);
        index.add(generation, &image);
        self.place(INDEX_FILE, &index.write())
    }

    /// Puts everything in its place, and at last the file that names it.
    fn place(&self, last: &str, bytes: &[u8]) -> Result<(), Failure> {
        let Some(staging) = &self.staging else {
            return Ok(());
        };
        let failed = |path: &Path| {
            let path = path.to_owned();
            |error| Failure::Write(path, error)
        };
        let new = staging.path().join(last);
        let file = File::create_new(&new).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        file.map_err(failed(&self.path.join(last)))?;
        if self.previous.is_none() {
            return rename(staging.path(), &self.path).map_err(failed(&self.path));
        }
        for name in lock(&self.waiting).iter() {
            let target = self.path.join(name);
            let from = staging.path().join(name);
            let moved = with_folder(&target, || rename(&from, &target));
            moved.map_err(failed(&target))?;
        }
        let target = self.path.join(last);
        rename(new, &target).map_err(failed(&target))
    }
}

/// The bundle at a place that is to be written.
fn in_the_way(path: &Path) -> Result<Bundle, NotTaken> {
    Bundle::find(path).map_err(|error| match error {
        NotTaken::Refused(problem) => NotTaken::Refused(Box::new(problem.help(
            "nothing is written over what is no whole bundle: remove it, or name another place",
        ))),
        NotTaken::Read(..) => error,
    })
}

/// Does something to a path, and once more with its folder made where that is missing.
fn with_folder<T>(path: &Path, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let done = act();
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    if done.as_ref().is_err_and(is_missing) {
        create_dir_all(folder_of(path))?;
        return act();
    }
    done
}

pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    }
}

/// What a folder beside a bundle is named after.
pub(super) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn staging_in(folder: &Path, prefix: &str) -> Result<TempDir, Failure> {
    let failed = |error| Failure::Write(folder.to_owned(), error);
    create_dir_all(folder).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // The umask takes away what new folders of this user do not have.
        builder.permissions(std::fs::Permissions::from_mode(0o777));
    }
    builder.tempdir_in(folder).map_err(failed)
}

/// Waits until nobody else writes into a folder.
pub(super) fn lock_folder(path: &Path) -> Result<File, Failure> {
    let failed = |error| Failure::Write(path.to_owned(), error);
    let folder = File::open(path).map_err(failed)?;
    folder.lock().map_err(failed)?;
    Ok(folder)
}
