//! Bundles where they are kept: a folder, one archive file, or an OCI image layout.
//!
//! | form | what stands where |
//! | --- | --- |
//! | folder | `manifest.json`; every generation as `manifests/DIGEST.json`, its signature beside it as `.sig`; `chunks/XX/DIGEST` |
//! | archive | a tar file with the same, of one generation |
//! | OCI | `oci-layout`, `index.json`, `blobs/sha256/DIGEST`: an OCI image for each generation, its configuration the manifest, its layers the chunks |
//!
//! What is read is told apart by what is there. Nothing is ever unpacked to a place that a bundle names.

mod archive;
mod gc;
mod oci;
mod open;
mod problem;
mod take;
mod write;

pub(super) use gc::{NotRemoved, Removed, gc};
pub use open::is_bundle;
pub(super) use open::{Bundle, images_in};
pub use problem::NotTaken;
pub(super) use problem::{expired, key_file, other_fleet, refused, say};
pub use take::{Signed, Taken, take};
pub(super) use write::{Committed, Writer};

use super::args::BundleForm;
use crate::bundle::Digest;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "manifest.json";
const MANIFESTS: &str = "manifests";
const CHUNKS: &str = "chunks";
/// How the name of a folder begins in which files wait.
const STAGING: &str = ".verdict-";

/// Whether a folder is laid out as a bundle, whatever is in its files.
pub(super) fn is_folder_of_one(folder: &Path) -> bool {
    let has_files = |files: &[&str]| files.iter().all(|file| folder.join(file).is_file());
    let has_folders = |folders: &[&str]| folders.iter().all(|name| folder.join(name).is_dir());
    let is_folder = has_files(&[MANIFEST]) && has_folders(&[CHUNKS, MANIFESTS]);
    let is_layout = has_files(&[oci::LAYOUT_FILE, oci::INDEX_FILE]) && has_folders(&["blobs"]);
    is_folder || is_layout
}

/// The place of a chunk in a bundle that is a folder or an archive.
fn chunk_path(digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    let shard = name.get(..2).unwrap_or_default();
    Path::new(CHUNKS).join(shard).join(&name)
}

/// The place of a blob in an OCI image layout.
fn blob_path(digest: &Digest) -> PathBuf {
    Path::new("blobs").join("sha256").join(digest.to_string())
}

fn place(form: BundleForm, digest: &Digest) -> PathBuf {
    match form {
        BundleForm::Dir | BundleForm::Tar => chunk_path(digest),
        BundleForm::Oci => blob_path(digest),
    }
}

/// The place of the manifest of a generation, or with the other end of its signature.
fn generation_path(digest: &Digest, end: &str) -> PathBuf {
    Path::new(MANIFESTS).join(format!("{digest}.{end}"))
}
