//! A bundle in one tar file: entries in the order of their names, without times or owners.

use super::{CHUNKS, MANIFEST, chunk_path, generation_path};
use crate::bundle::{BundleError, Digest};
use crate::lock::lock;
use crate::packed::Packed;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use verdict_abi::MAGIC;

/// Where a tar archive says that it is one.
const TAR_MAGIC: Range<usize> = 257..262;
/// How many of the first bytes tell it.
pub(super) const TAR_START: usize = TAR_MAGIC.end;

/// Whether a file that begins so is a tar archive.
pub(super) fn is_tar(start: &[u8]) -> bool {
    start.get(TAR_MAGIC) == Some(b"ustar")
}

/// Where the entries of an archive are: offset and size.
#[derive(Debug)]
pub(super) struct Archive {
    file: Mutex<File>,
    entries: BTreeMap<PathBuf, (u64, u64)>,
}

impl Archive {
    /// Finds the entries of a file.
    pub(super) fn open(mut file: File) -> Result<Self, BundleError> {
        let length = file
            .seek(SeekFrom::End(0))
            .map_err(|error| unreadable(&error))?;
        file.rewind().map_err(|error| unreadable(&error))?;
        let mut start = Vec::new();
        (&file)
            .take(TAR_START as u64)
            .read_to_end(&mut start)
            .map_err(|error| unreadable(&error))?;
        if let Some(packed) = Packed::of(&start) {
            let tool = packed.unpacker();
            return Err(wrong(&format!(
                "it is compressed: unpack it with `{tool}` first"
            )));
        }
        if !is_tar(&start) {
            let what = if start.starts_with(&MAGIC) {
                "the image of one node, which is no bundle"
            } else {
                "no bundle: neither a folder nor a tar archive"
            };
            return Err(wrong(&format!("it is {what}")));
        }
        file.rewind().map_err(|error| unreadable(&error))?;
        let mut entries = BTreeMap::new();
        {
            let mut archive = tar::Archive::new(&file);
            let all = archive
                .entries_with_seek()
                .map_err(|error| unreadable(&error))?;
            for entry in all {
                let entry = entry.map_err(|error| unreadable(&error))?;
                let path = entry.path_bytes();
                let path = String::from_utf8_lossy(&path).into_owned();
                if !entry.header().entry_type().is_file() || !has_place(&path) {
                    return Err(wrong(&format!("`{path}` has no place in a bundle")));
                }
                let (at, size) = (entry.raw_file_position(), entry.size());
                if at.checked_add(size).is_none_or(|end| end > length) {
                    return Err(wrong(&format!("`{path}` is cut")));
                }
                if entries.insert(PathBuf::from(&path), (at, size)).is_some() {
                    return Err(wrong(&format!("`{path}` is there twice")));
                }
            }
        }
        Ok(Self {
            file: Mutex::new(file),
            entries,
        })
    }

    /// The bytes of an entry of at most so many; `None` where there is none.
    pub(super) fn entry(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, BundleError> {
        let Some((at, size)) = self.entries.get(path) else {
            return Ok(None);
        };
        if *size > most {
            return Err(BundleError::TooLarge {
                of: format!("`{}`", path.display()).into(),
                given: *size,
                most,
            });
        }
        let mut file = lock(&self.file);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(*at))
            .and_then(|_| (&mut *file).take(*size).read_to_end(&mut bytes))
            .map_err(|error| unreadable(&error))?;
        Ok(Some(bytes))
    }
}

fn unreadable(error: &io::Error) -> BundleError {
    wrong(&error.to_string())
}

fn wrong(why: &str) -> BundleError {
    BundleError::Malformed {
        of: "the archive".into(),
        why: why.into(),
    }
}

/// Whether a bundle has a file of this name.
fn has_place(path: &str) -> bool {
    if path == MANIFEST {
        return true;
    }
    let end = |digest: &str| -> Option<Digest> { digest.parse().ok() };
    if let Some(rest) = path.strip_prefix(CHUNKS) {
        let digest = rest.rsplit('/').next().and_then(end);
        return digest.is_some_and(|digest| chunk_path(&digest) == Path::new(path));
    }
    let signature = path
        .strip_prefix("manifests/")
        .and_then(|rest| rest.strip_suffix(".sig"));
    signature.and_then(end).is_some()
}

/// Writes an archive.
pub(super) fn write(
    manifest: &[u8],
    signature: Option<&[u8]>,
    chunks: &BTreeMap<Digest, Vec<u8>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut builder = tar::Builder::new(out);
    let mut add = |path: &Path, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(tar::EntryType::Regular);
        builder.append_data(&mut header, path, bytes)
    };
    for (digest, bytes) in chunks {
        add(&chunk_path(digest), bytes)?;
    }
    add(Path::new(MANIFEST), manifest)?;
    if let Some(signature) = signature {
        add(&generation_path(&Digest::of(manifest), "sig"), signature)?;
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_bundle_has_has_a_place() {
        let digest = Digest::of(b"x").to_string();
        for right in [
            "manifest.json".to_owned(),
            format!("manifests/{digest}.sig"),
            format!("chunks/{}/{digest}", &digest[..2]),
        ] {
            assert!(has_place(&right), "{right}");
        }
        for wrong in [
            "../manifest.json".to_owned(),
            "/manifest.json".to_owned(),
            "./manifest.json".to_owned(),
            format!("chunks/{digest}"),
            format!("chunks/../chunks/{}/{digest}", &digest[..2]),
            format!("chunks/zz/{digest}"),
            format!("chunksx/{}/{digest}", &digest[..2]),
            format!("manifests/../{digest}.sig"),
            "manifests/x.sig".to_owned(),
        ] {
            assert!(!has_place(&wrong), "{wrong}");
        }
    }
}
