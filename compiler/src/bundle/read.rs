//! From blobs back to images.

use super::manifest::parsed;
use super::{Blob, BundleError, Digest, Inputs, List, Manifest, Node, Part, Record, open_blob};
use crate::image::{Image, Parts};
use std::collections::BTreeMap;

/// Gives the stored bytes of a blob.
pub type Fetch<'f> = dyn Fn(&Blob) -> Result<Vec<u8>, BundleError> + Sync + 'f;

fn opened(fetch: &Fetch<'_>, blob: &Blob) -> Result<Vec<u8>, BundleError> {
    blob.check()?;
    open_blob(blob, &fetch(blob)?)
}

/// The record of a node.
///
/// # Errors
/// Where it cannot be read.
pub fn record(fetch: &Fetch<'_>, node: &Node) -> Result<Record, BundleError> {
    Record::read(node.text(), &opened(fetch, &node.record)?)
}

/// What a bundle was compiled from.
///
/// # Errors
/// Where it cannot be read.
pub fn inputs(fetch: &Fetch<'_>, manifest: &Manifest) -> Result<Inputs, BundleError> {
    parsed("the list of inputs", &opened(fetch, &manifest.inputs)?)
}

pub(super) fn list(fetch: &Fetch<'_>, blob: &Blob) -> Result<List, BundleError> {
    List::read(&opened(fetch, blob)?)
}

/// All blobs that a manifest names.
///
/// # Errors
/// Where a record or a list cannot be read.
pub fn blobs(
    fetch: &Fetch<'_>,
    manifest: &Manifest,
) -> Result<BTreeMap<Digest, Blob>, BundleError> {
    let mut found = named(fetch, &manifest.nodes)?;
    found.insert(manifest.inputs.sha256, manifest.inputs);
    Ok(found)
}

/// All blobs that the image of a node is made of, its record among them.
///
/// # Errors
/// Where a record or a list cannot be read.
pub fn blobs_of(fetch: &Fetch<'_>, node: &Node) -> Result<BTreeMap<Digest, Blob>, BundleError> {
    named(fetch, std::slice::from_ref(node))
}

fn named(fetch: &Fetch<'_>, nodes: &[Node]) -> Result<BTreeMap<Digest, Blob>, BundleError> {
    let mut found = BTreeMap::new();
    let mut lists = BTreeMap::new();
    for node in nodes {
        found.insert(node.record.sha256, node.record);
        for part in record(fetch, node)?.chunks {
            let blob = *part.blob();
            found.insert(blob.sha256, blob);
            if let Part::List(blob) = part {
                lists.insert(blob.sha256, blob);
            }
        }
    }
    for blob in lists.values() {
        let chunks = list(fetch, blob)?.chunks;
        found.extend(chunks.into_iter().map(|chunk| (chunk.sha256, chunk)));
    }
    Ok(found)
}

/// How many bytes some blobs take.
#[must_use]
pub fn stored_bytes(blobs: &BTreeMap<Digest, Blob>) -> u64 {
    let sizes = blobs.values().map(|blob| blob.bytes);
    sizes.fold(0, u64::saturating_add)
}

/// The sections of an image, each with its kind, as the record of a node names them.
///
/// # Errors
/// Where a chunk is missing or another, or the whole is not what the record says.
pub fn sections(
    of: &str,
    record: &Record,
    fetch: &Fetch<'_>,
) -> Result<Vec<(u32, Vec<u8>)>, BundleError> {
    let other = || BundleError::OtherImage(of.into());
    let sizes = record.sections.iter().map(|section| section.bytes);
    let length = sizes.fold(0_u64, u64::saturating_add);
    let mut whole: Vec<u8> = Vec::new();
    let mut add = |blob: &Blob| {
        // Before anything is unpacked.
        if (whole.len() as u64).saturating_add(blob.plain) > length {
            return Err(other());
        }
        whole.extend(opened(fetch, blob)?);
        Ok(())
    };
    for part in &record.chunks {
        match part {
            Part::Chunk(blob) => add(blob)?,
            Part::List(blob) => list(fetch, blob)?.chunks.iter().try_for_each(&mut add)?,
        }
    }
    if whole.len() as u64 != length {
        return Err(other());
    }
    let mut sections = Vec::with_capacity(record.sections.len());
    let mut rest = &*whole;
    for section in &record.sections {
        let split = rest.split_at_checked(section.size());
        let (bytes, after) = split.ok_or_else(other)?;
        if Digest::of(bytes) != section.sha256 {
            return Err(other());
        }
        sections.push((section.kind, bytes.to_vec()));
        rest = after;
    }
    Ok(sections)
}

/// The image of a node: the bytes of its file.
///
/// # Errors
/// Where a chunk is missing or another, or the whole is not what the record says.
pub fn image(fetch: &Fetch<'_>, node: &Node) -> Result<Vec<u8>, BundleError> {
    let record = record(fetch, node)?;
    let other = || BundleError::OtherImage(node.text().into());
    let mut parts = Parts::default();
    for (kind, bytes) in sections(node.text(), &record, fetch)? {
        parts.push(kind, bytes.into());
    }
    if parts.digest() != *record.image.bytes() || parts.size() as u64 != record.bytes {
        return Err(other());
    }
    let bytes = parts.write();
    let found =
        Image::decode(&bytes).map_err(|error| BundleError::NoImage(node.text().into(), error))?;
    if found.source().node.as_deref() != node.name.as_deref()
        || found.source().endpoints.len() != record.endpoints as usize
    {
        return Err(other());
    }
    Ok(bytes)
}
