//! Removing what no manifest of a bundle names.

use super::super::Failure;
use super::super::args::{BundleForm, Global};
use super::oci::{Descriptor, INDEX_FILE};
use super::open::{Bundle, Generation};
use super::write::{folder_of, lock_folder, name_of};
use super::{CHUNKS, MANIFESTS, STAGING, generation_path, place};
use crate::bundle::{self, BundleError, Digest};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// What was removed.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cli) struct Removed {
    pub(in crate::cli) generations: usize,
    pub(in crate::cli) kept_generations: usize,
    pub(in crate::cli) chunks: usize,
    pub(in crate::cli) bytes: u64,
    pub(in crate::cli) kept_chunks: usize,
}

/// Why nothing was removed.
pub(in crate::cli) enum NotRemoved {
    Bundle(BundleError),
    Failure(Failure),
}

impl From<BundleError> for NotRemoved {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

impl From<Failure> for NotRemoved {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Keeps the newest generations, at least the one that is in force, and what they name.
pub(in crate::cli) fn gc(
    global: &Global,
    path: &Path,
    keep: Option<usize>,
) -> Result<Removed, NotRemoved> {
    // What is read after this stays as it is.
    let _lock = path.is_dir().then(|| lock_folder(path)).transpose()?;
    let bundle = &Bundle::open(global, path)?;
    if bundle.form == BundleForm::Tar {
        let message = format!(
            "`{}` is an archive, which has one generation and no other chunks",
            bundle.path.display()
        );
        return Err(Failure::Usage(message).into());
    }
    if let Some(index) = &bundle.index
        && !index.images().all(Descriptor::is_bundle)
    {
        let message = format!(
            "`{}` has other images than bundles, whose blobs are not known here",
            bundle.path.display()
        );
        return Err(Failure::Usage(message).into());
    }
    let mut generations = bundle.generations()?;
    let kept = keep
        .unwrap_or(generations.len())
        .max(1)
        .min(generations.len());
    let dropped = generations.split_off(kept);
    let mut named = named(bundle, &generations)?;
    let is_current = |one: &Generation| one.manifest == bundle.manifest;
    // A roll-back may have put an older one in force.
    let (current, dropped): (Vec<_>, Vec<_>) = dropped.into_iter().partition(is_current);
    named.extend(self::named(bundle, &current)?);
    let mut removed = Removed {
        generations: dropped.len(),
        kept_generations: generations.len() + current.len(),
        ..Removed::default()
    };
    if bundle.form == BundleForm::Oci {
        rewrite_index(bundle, &named)?;
    }
    for path in candidates(bundle) {
        let name = path.strip_prefix(&bundle.path).unwrap_or(&path);
        if named.contains(name) {
            removed.kept_chunks += usize::from(!name.starts_with(MANIFESTS));
            continue;
        }
        let size = std::fs::metadata(&path).map_or(0, |known| known.len());
        let failed = |error| Failure::Write(path.clone(), error);
        std::fs::remove_file(&path).map_err(failed)?;
        removed.bytes += size;
        removed.chunks += usize::from(!name.starts_with(MANIFESTS));
    }
    for path in leftovers(&bundle.path) {
        let failed = |error| Failure::Write(path.clone(), error);
        std::fs::remove_dir_all(&path).map_err(failed)?;
    }
    Ok(removed)
}

/// The files that some generations name.
fn named(bundle: &Bundle, generations: &[Generation]) -> Result<BTreeSet<PathBuf>, BundleError> {
    let mut named = BTreeSet::new();
    for Generation { manifest, files } in generations {
        named.extend(files.iter().cloned());
        let blobs = bundle::blobs(&|blob| bundle.fetch(blob), manifest, &FxHashMap::default())?;
        named.extend(blobs.keys().map(|digest| place(bundle.form, digest)));
    }
    if bundle.form == BundleForm::Dir {
        let digest = bundle.digest();
        named.extend(["json", "sig"].map(|end| generation_path(&digest, end)));
        let blobs = bundle.blobs(None)?;
        named.extend(blobs.keys().map(|digest| place(bundle.form, digest)));
    }
    Ok(named)
}

fn rewrite_index(bundle: &Bundle, named: &BTreeSet<PathBuf>) -> Result<(), NotRemoved> {
    let Some(index) = &bundle.index else {
        return Ok(());
    };
    let mut index = index.clone();
    let blobs = index.images().map(Descriptor::blob);
    // All are looked at before any goes.
    blobs.collect::<Result<Vec<_>, _>>()?;
    index.retain(|descriptor| {
        let blob = descriptor.blob();
        blob.is_ok_and(|blob| named.contains(&place(BundleForm::Oci, &blob.sha256)))
    });
    let path = bundle.path.join(INDEX_FILE);
    let text = index.write();
    super::super::output::replace(&path, |out| out.write_all(&text))
        .map_err(|error| Failure::Write(path, error).into())
}

/// The files that may go: those that are named as a bundle names its own.
fn candidates(bundle: &Bundle) -> Vec<PathBuf> {
    let is_named = |path: &PathBuf| {
        let end = path.extension().and_then(|end| end.to_str());
        let name = match end {
            Some("json" | "sig") => path.file_stem(),
            Some(_) | None => path.file_name(),
        };
        let name = name.and_then(|name| name.to_str());
        name.is_some_and(|name| name.parse::<Digest>().is_ok())
    };
    let folders: &[&str] = match bundle.form {
        BundleForm::Dir | BundleForm::Tar => &[CHUNKS, MANIFESTS],
        BundleForm::Oci => &["blobs/sha256"],
    };
    let walk = folders
        .iter()
        .flat_map(|folder| WalkDir::new(bundle.path.join(folder)));
    let files = walk.flatten().filter(|entry| entry.file_type().is_file());
    files
        .map(walkdir::DirEntry::into_path)
        .filter(is_named)
        .collect()
}

/// Folders that a compile left that was ended: in the bundle, and beside it one that was to become it. Who still writes there holds
/// a lock.
fn leftovers(path: &Path) -> Vec<PathBuf> {
    let beside = format!("{STAGING}{}-", name_of(path));
    let places = [(path, STAGING), (folder_of(path), beside.as_str())];
    let found = places.into_iter().flat_map(|(folder, prefix)| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let is_left = move |entry: &std::fs::DirEntry| {
            let name = entry.file_name();
            let is_free = || File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok());
            name.to_string_lossy().starts_with(prefix) && entry.path().is_dir() && is_free()
        };
        entries.filter(is_left).map(|entry| entry.path())
    });
    found.collect()
}
