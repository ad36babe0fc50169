//! From blobs back to images.

use super::manifest::parsed;
use super::pack::used;
use super::{
    Blob, BundleError, Digest, Inputs, List, Manifest, Node, Part, Record, SectionRecord, Shared,
    open_blob,
};
use crate::image::{Image, Parts, WORLD};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Gives the stored bytes of a blob.
pub type Fetch<'f> = dyn Fn(&Blob) -> Result<Vec<u8>, BundleError> + Sync + 'f;

fn opened(fetch: &Fetch<'_>, blob: &Blob) -> Result<Vec<u8>, BundleError> {
    blob.check()?;
    open_blob(blob, &fetch(blob)?)
}

/// The record of a node. With what all images share it is of the image that the manifest names.
///
/// # Errors
/// Where it cannot be read, or is of another image.
pub fn record(fetch: &Fetch<'_>, manifest: &Manifest, node: &Node) -> Result<Record, BundleError> {
    Record::read(node, &manifest.shared, &opened(fetch, &node.record)?)
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

/// All blobs that a manifest names. Records that are `known` by their digests are not read.
///
/// # Errors
/// Where a record or a list cannot be read.
pub fn blobs(
    fetch: &Fetch<'_>,
    manifest: &Manifest,
    known: &FxHashMap<Digest, Record>,
) -> Result<BTreeMap<Digest, Blob>, BundleError> {
    let mut found = named(fetch, manifest, &manifest.nodes, known)?;
    found.insert(manifest.inputs.sha256, manifest.inputs);
    Ok(found)
}

/// All blobs that the image of a node is made of, its record among them.
///
/// # Errors
/// Where a record or a list cannot be read.
pub fn blobs_of(
    fetch: &Fetch<'_>,
    manifest: &Manifest,
    node: &Node,
) -> Result<BTreeMap<Digest, Blob>, BundleError> {
    let nodes = std::slice::from_ref(node);
    named(fetch, manifest, nodes, &FxHashMap::default())
}

fn named(
    fetch: &Fetch<'_>,
    manifest: &Manifest,
    nodes: &[Node],
    known: &FxHashMap<Digest, Record>,
) -> Result<BTreeMap<Digest, Blob>, BundleError> {
    let mut found = BTreeMap::new();
    let mut lists = BTreeMap::new();
    let mut add = |record: &Record| {
        for part in record.parts(&manifest.shared) {
            let blob = *part.blob();
            found.insert(blob.sha256, blob);
            if let Part::List(blob) = part {
                lists.insert(blob.sha256, *blob);
            }
        }
    };
    for node in nodes {
        match known.get(&node.record.sha256) {
            Some(record) => add(record),
            None => add(&record(fetch, manifest, node)?),
        }
    }
    found.extend(nodes.iter().map(|node| (node.record.sha256, node.record)));
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

/// A section of an image: its kind and its bytes.
pub type Section = (u32, Vec<u8>);

/// The sections of an image that are the node's own, as its record names them.
///
/// # Errors
/// Where a chunk is missing or another, or the whole is not what the record says.
pub fn own_sections(
    of: &str,
    record: &Record,
    fetch: &Fetch<'_>,
) -> Result<Vec<Section>, BundleError> {
    let other = || BundleError::OtherImage(of.into());
    sections(&record.sections, &record.chunks, fetch, &other)
}

/// The sections that all images share.
fn shared_sections(shared: &Shared, fetch: &Fetch<'_>) -> Result<Vec<Section>, BundleError> {
    let other = || BundleError::OtherShared;
    sections(&shared.sections, &shared.chunks, fetch, &other)
}

/// Sections out of the chunks that they, one after the other, were cut into; `other` tells that these make up something else.
fn sections(
    told: &[SectionRecord],
    chunks: &[Part],
    fetch: &Fetch<'_>,
    other: &dyn Fn() -> BundleError,
) -> Result<Vec<Section>, BundleError> {
    let sizes = told.iter().map(|section| section.bytes);
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
    for part in chunks {
        match part {
            Part::Chunk(blob) => add(blob)?,
            Part::List(blob) => list(fetch, blob)?.chunks.iter().try_for_each(&mut add)?,
        }
    }
    if whole.len() as u64 != length {
        return Err(other());
    }
    let mut sections = Vec::with_capacity(told.len());
    let mut rest = &*whole;
    for section in told {
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
/// Where a chunk is missing or another, or the whole is not what the manifest and the record say.
pub fn image(fetch: &Fetch<'_>, manifest: &Manifest, node: &Node) -> Result<Vec<u8>, BundleError> {
    let record = record(fetch, manifest, node)?;
    let other = || BundleError::OtherImage(node.text().into());
    let mut sections = own_sections(node.text(), &record, fetch)?;
    if !record.whole {
        sections.extend(shared_sections(&manifest.shared, fetch)?);
    }
    // The kinds ascend in a file.
    sections.sort_by_key(|(kind, _)| *kind);
    let mut parts = Parts::default();
    for (kind, bytes) in sections {
        parts.push(kind, bytes.into());
    }
    if parts.digest() != *node.image.bytes() {
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
    let mut sections = parts.sections().iter();
    let world = sections.find(|section| section.kind == WORLD);
    // Without it this is no image.
    let program = Digest::new(world.ok_or_else(other)?.digest);
    manifest.hold_image(node.text(), &program, &used(&parts))?;
    Ok(bytes)
}
