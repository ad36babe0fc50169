//! Reading a bundle, whatever its form.

use super::super::Failure;
use super::super::args::{BundleForm, Global};
use super::super::compile::IMAGE_EXTENSION;
use super::archive::{Archive, TAR_START, is_tar};
use super::oci::{INDEX_FILE, Image, Index, LAYOUT_FILE, parsed};
use super::problem::NotTaken;
use super::{MANIFEST, MANIFESTS, generation_path, place};
use crate::bundle::{self, Blob, BundleError, Digest, MAX_MANIFEST, Manifest, Node, Record};
use crate::packed::Packed;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The most bytes of a signature file: it has 64.
const MAX_SIGNATURE: u64 = 1 << 10;

/// A bundle that was found.
#[derive(Debug)]
pub(in crate::cli) struct Bundle {
    /// Where it is.
    pub(in crate::cli) path: PathBuf,
    /// Its form.
    pub(in crate::cli) form: BundleForm,
    /// The bytes of the manifest.
    pub(in crate::cli) text: Vec<u8>,
    /// What they say.
    pub(in crate::cli) manifest: Manifest,
    /// The signature of the manifest.
    pub(in crate::cli) signature: Option<Vec<u8>>,
    /// Of an OCI image layout.
    pub(super) index: Option<Index>,
    archive: Option<Archive>,
}

/// A generation that a bundle still has.
#[derive(Debug)]
pub(in crate::cli) struct Generation {
    pub(in crate::cli) manifest: Manifest,
    /// The files that belong to it alone, chunks apart.
    pub(in crate::cli) files: Vec<PathBuf>,
}

/// Why a bundle cannot be opened.
enum NotOpened {
    Io(PathBuf, io::Error),
    Bundle(BundleError),
}

impl From<BundleError> for NotOpened {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

/// Whether something is a bundle and no image: a folder, or a tar file.
#[must_use]
pub fn is_bundle(path: &Path) -> bool {
    if path.is_dir() {
        return true;
    }
    let mut start = [0; TAR_START];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    // One that is compressed is told to be that.
    read.is_ok() && (is_tar(&start) || Packed::of(&start).is_some())
}

impl Bundle {
    /// Opens a bundle, and says what is wrong where it cannot be.
    pub(in crate::cli) fn open(global: &Global, path: &Path) -> Result<Self, Failure> {
        Self::find(path).map_err(|error| error.said(global))
    }

    /// Opens a bundle.
    pub(super) fn find(path: &Path) -> Result<Self, NotTaken> {
        found(path).map_err(|error| match error {
            NotOpened::Io(path, error) => NotTaken::Read(path, error),
            NotOpened::Bundle(error) => NotTaken::refused(path, &error),
        })
    }

    /// The digest of the manifest.
    pub(in crate::cli) fn digest(&self) -> Digest {
        Digest::of(&self.text)
    }

    /// The stored bytes of a blob.
    pub(in crate::cli) fn fetch(&self, blob: &Blob) -> Result<Vec<u8>, BundleError> {
        let place = place(self.form, &blob.sha256);
        let bytes = match &self.archive {
            Some(archive) => archive.entry(&place, blob.bytes)?,
            None => match file(&self.path.join(place), blob.bytes) {
                Ok(bytes) => bytes,
                Err(NotOpened::Bundle(BundleError::TooLarge { .. })) => {
                    return Err(BundleError::Damaged(blob.sha256));
                }
                Err(NotOpened::Bundle(error)) => return Err(error),
                Err(NotOpened::Io(_, error)) => {
                    let why = super::super::output::reason(&error);
                    return Err(BundleError::Unreadable(blob.sha256, why.into()));
                }
            },
        };
        bytes.ok_or(BundleError::Missing(blob.sha256))
    }

    /// The image of a node.
    pub(in crate::cli) fn image(&self, node: &Node) -> Result<Vec<u8>, BundleError> {
        bundle::image(&|blob| self.fetch(blob), &self.manifest, node)
    }

    /// The blobs that the image of a node is made of, or those of all nodes.
    pub(in crate::cli) fn blobs(
        &self,
        node: Option<&Node>,
    ) -> Result<BTreeMap<Digest, Blob>, BundleError> {
        let fetch = |blob: &Blob| self.fetch(blob);
        match node {
            Some(node) => bundle::blobs_of(&fetch, &self.manifest, node),
            None => self.blobs_with(&FxHashMap::default()),
        }
    }

    /// The blobs that the images of all nodes are made of; records that are `known` by their digests are not read.
    pub(in crate::cli) fn blobs_with(
        &self,
        known: &FxHashMap<Digest, Record>,
    ) -> Result<BTreeMap<Digest, Blob>, BundleError> {
        bundle::blobs(&|blob| self.fetch(blob), &self.manifest, known)
    }

    /// The record of a node.
    pub(in crate::cli) fn record(&self, node: &Node) -> Result<Record, BundleError> {
        bundle::record(&|blob| self.fetch(blob), &self.manifest, node)
    }

    /// All generations that a folder or a layout still has, the newest first.
    pub(in crate::cli) fn generations(&self) -> Result<Vec<Generation>, BundleError> {
        let mut all = match (&self.index, &self.archive) {
            (Some(index), _) => self.in_layout(index)?,
            (None, Some(_)) => Vec::new(),
            (None, None) => self.in_folder()?,
        };
        all.sort_by_key(|one| std::cmp::Reverse(one.manifest.generation));
        Ok(all)
    }

    fn in_folder(&self) -> Result<Vec<Generation>, BundleError> {
        let folder = self.path.join(MANIFESTS);
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut all = Vec::new();
        for entry in entries {
            let name = PathBuf::from(entry.file_name());
            let digest = name
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse::<Digest>().ok());
            let Some(digest) = digest.filter(|_| name.extension().is_some_and(|end| end == "json"))
            else {
                continue;
            };
            let bytes = file(&entry.path(), MAX_MANIFEST).map_err(|error| of_file(&error))?;
            let bytes = bytes.filter(|bytes| Digest::of(bytes) == digest);
            let bytes = bytes.ok_or_else(|| {
                let file = entry.path().display().to_string();
                BundleError::OldGeneration(file.into())
            })?;
            all.push(Generation {
                manifest: Manifest::read(&bytes)?,
                files: ["json", "sig"]
                    .map(|end| generation_path(&digest, end))
                    .into(),
            });
        }
        Ok(all)
    }

    fn in_layout(&self, index: &Index) -> Result<Vec<Generation>, BundleError> {
        let bundles = index.images().filter(|one| one.is_bundle());
        bundles
            .map(|descriptor| {
                let blob = descriptor.blob()?;
                let (image, text) = image_of(&self.path, &blob)?;
                Ok(Generation {
                    manifest: Manifest::read(&text)?,
                    files: vec![
                        place(BundleForm::Oci, &blob.sha256),
                        place(BundleForm::Oci, &image.config.blob()?.sha256),
                    ],
                })
            })
            .collect()
    }
}

fn found(path: &Path) -> Result<Bundle, NotOpened> {
    let known = std::fs::metadata(path).map_err(|error| NotOpened::Io(path.to_owned(), error))?;
    let (text, signature, form, index, archive) = if known.is_file() {
        let file = File::open(path).map_err(|error| NotOpened::Io(path.to_owned(), error))?;
        let archive = Archive::open(file)?;
        let text = archive
            .entry(Path::new(MANIFEST), MAX_MANIFEST)?
            .ok_or_else(no_manifest)?;
        let signature =
            archive.entry(&generation_path(&Digest::of(&text), "sig"), MAX_SIGNATURE)?;
        (text, signature, BundleForm::Tar, None, Some(archive))
    } else if path.join(LAYOUT_FILE).is_file() {
        let bytes = file(&path.join(INDEX_FILE), MAX_MANIFEST)?.ok_or_else(no_manifest)?;
        let index = Index::read(&bytes)?;
        let (text, signature) = newest(path, &index)?;
        (text, signature, BundleForm::Oci, Some(index), None)
    } else {
        let text = file(&path.join(MANIFEST), MAX_MANIFEST)?;
        let text = text.ok_or_else(|| match images_in(path).is_empty() {
            true => no_manifest(),
            false => only_images(),
        })?;
        let signature = file(
            &path.join(generation_path(&Digest::of(&text), "sig")),
            MAX_SIGNATURE,
        )?;
        (text, signature, BundleForm::Dir, None, None)
    };
    let manifest = Manifest::read(&text)?;
    // A copy may have the manifest alone; beside its generations it is one of them.
    let known = || path.join(generation_path(&Digest::of(&text), "json"));
    if form == BundleForm::Dir && path.join(MANIFESTS).is_dir() && !known().is_file() {
        return Err(changed().into());
    }
    Ok(Bundle {
        path: path.to_owned(),
        form,
        manifest,
        text,
        signature,
        index,
        archive,
    })
}

fn no_manifest() -> BundleError {
    BundleError::Malformed {
        of: "the manifest".into(),
        why: "it is not there: this is no bundle".into(),
    }
}

fn only_images() -> BundleError {
    BundleError::Malformed {
        of: "the manifest".into(),
        why: "it is not there: this is a folder of images, as `verdict compile --out` writes them, and no bundle".into(),
    }
}

/// The images in a folder that is no bundle, by their names.
pub(in crate::cli) fn images_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_image = |path: &PathBuf| path.extension().is_some_and(|end| end == IMAGE_EXTENSION);
    let mut images: Vec<PathBuf> = paths.filter(is_image).collect();
    images.sort();
    images
}

fn changed() -> BundleError {
    BundleError::Malformed {
        of: "the manifest".into(),
        why: format!("it is none of those in `{MANIFESTS}`: it was changed after it was written")
            .into(),
    }
}

/// The manifest of the newest generation of a layout, with its signature.
fn newest(path: &Path, index: &Index) -> Result<(Vec<u8>, Option<Vec<u8>>), BundleError> {
    let mut newest: Option<(u64, Vec<u8>, Option<Vec<u8>>)> = None;
    for descriptor in index.images().filter(|one| one.is_bundle()) {
        let (image, text) = image_of(path, &descriptor.blob()?)?;
        let generation = Manifest::read(&text)?.generation;
        if newest
            .as_ref()
            .is_none_or(|(known, ..)| *known < generation)
        {
            newest = Some((generation, text, image.signature()));
        }
    }
    let (_, text, signature) = newest.ok_or_else(no_manifest)?;
    Ok((text, signature))
}

/// An image of a layout, with the manifest that is its configuration.
fn image_of(path: &Path, blob: &Blob) -> Result<(Image, Vec<u8>), BundleError> {
    let image: Image = parsed("an image of the layout", &whole(path, blob)?)?;
    let text = whole(path, &image.config.blob()?)?;
    Ok((image, text))
}

/// The bytes of a blob that is stored as it is.
fn whole(path: &Path, blob: &Blob) -> Result<Vec<u8>, BundleError> {
    let most = blob.bytes.min(MAX_MANIFEST);
    let bytes = file(&path.join(place(BundleForm::Oci, &blob.sha256)), most);
    let bytes = bytes.map_err(|error| of_file(&error))?;
    let bytes = bytes.ok_or(BundleError::Missing(blob.sha256))?;
    if Digest::of(&bytes) == blob.sha256 {
        return Ok(bytes);
    }
    Err(BundleError::Damaged(blob.sha256))
}

fn of_file(error: &NotOpened) -> BundleError {
    match error {
        NotOpened::Io(path, error) => BundleError::Malformed {
            of: format!("`{}`", path.display()).into(),
            why: super::super::output::reason(error).into(),
        },
        NotOpened::Bundle(error) => error.clone(),
    }
}

/// The bytes of a regular file of at most so many; `None` where there is none.
fn file(path: &Path, most: u64) -> Result<Option<Vec<u8>>, NotOpened> {
    let io = |error| NotOpened::Io(path.to_owned(), error);
    let known = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        known => known.map_err(io)?,
    };
    // A pipe would never end, and a folder is no file.
    if !known.is_file() {
        return Err(io(io::Error::other("it is no regular file")));
    }
    if known.len() > most {
        return Err(NotOpened::Bundle(BundleError::TooLarge {
            of: format!("`{}`", path.display()).into(),
            given: known.len(),
            most,
        }));
    }
    // What is asked for is read in one go; what may have come behind it meanwhile is not.
    let length = known.len().min(most);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let mut taken = File::open(path).map_err(io)?;
    taken.read_exact(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}
