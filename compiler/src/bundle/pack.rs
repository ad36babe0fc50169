//! From images to blobs.

use super::chunk::{groups, pieces, seal};
use super::manifest::{VERSION, written};
use super::read::list;
use super::{
    Blob, BundleError, Digest, Fetch, Inputs, LimitUsed, List, Manifest, Node, Part, Record,
    SectionRecord,
};
use crate::image::{Limits, Parts, Resource, digest_of, size_of};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use verdict_abi::Config;

/// Makes blobs of images, each blob once. Images may come from several threads.
pub struct Packer<S> {
    /// Takes a new blob.
    sink: S,
    /// What sections became, by their digests.
    known: Mutex<FxHashMap<Vec<Digest>, Part>>,
    stored: Mutex<FxHashSet<Digest>>,
}

/// A packed image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packed {
    /// The node in the manifest.
    pub node: Node,
    /// Its record.
    pub record: Record,
    /// How much it has of each resource.
    used: Used,
}

/// How much an image has of each resource.
type Used = [u64; Resource::ALL.len()];

/// A section of an image, with its bytes where they are at hand.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'b> {
    /// Its kind, size and digest.
    pub told: SectionRecord,
    /// Its bytes.
    pub bytes: Option<&'b [u8]>,
}

impl<'b> Piece<'b> {
    /// A section that is at hand.
    #[must_use]
    pub fn of(section: &'b crate::image::Part) -> Self {
        Self {
            told: SectionRecord {
                kind: section.kind,
                bytes: section.bytes.len() as u64,
                sha256: Digest::new(section.digest),
            },
            bytes: Some(&section.bytes),
        }
    }
}

fn sizes(sections: &[Piece<'_>]) -> Vec<usize> {
    let sizes = sections.iter().map(|section| section.told.size());
    sizes.collect()
}

fn name(sections: &[Piece<'_>]) -> Vec<Digest> {
    let digests = sections.iter().map(|section| section.told.sha256);
    digests.collect()
}

/// Why an image is not packed.
#[derive(Debug)]
pub enum NotPacked<E> {
    /// It is larger than a bundle can name.
    Bundle(BundleError),
    /// The blob was not taken.
    Sink(E),
}

impl<E> From<BundleError> for NotPacked<E> {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

impl<E, S: Fn(&Blob, &[u8]) -> Result<(), E>> Packer<S> {
    /// Gives new blobs to `sink`.
    pub fn new(sink: S) -> Self {
        Self {
            sink,
            known: Mutex::default(),
            stored: Mutex::default(),
        }
    }

    /// Packs the image of a node.
    ///
    /// # Errors
    /// Where a blob is not taken.
    pub fn add(
        &self,
        node: Option<&str>,
        endpoints: usize,
        image: &Parts,
    ) -> Result<Packed, NotPacked<E>> {
        let sections: Vec<Piece<'_>> = image.sections().iter().map(Piece::of).collect();
        let mut chunks = Vec::new();
        for group in groups(&sizes(&sections)) {
            let of = sections.get(group.sections).unwrap_or_default();
            // All bytes are at hand.
            chunks.extend(self.group(of, group.is_cut)?);
        }
        let told = sections.iter().map(|section| section.told);
        self.packed(node, record(endpoints, told, chunks), None, used(image))
    }

    /// Packs the image of a node of which some sections are at hand, and all others are those of an image that was packed before:
    /// its blobs are fetched as they were stored, and not made once more. `None` where that is not enough.
    ///
    /// # Errors
    /// Where a blob is not taken.
    pub fn again(
        &self,
        node: Option<&str>,
        sections: &[Piece<'_>],
        before: &Packed,
        fetch: &Fetch<'_>,
    ) -> Result<Option<Packed>, NotPacked<E>> {
        let old = &before.record;
        let sizes_before: Vec<usize> = old.sections.iter().map(SectionRecord::size).collect();
        let known = groups(&sizes_before).into_iter().zip(&old.chunks);
        let known = known.map(|(group, part)| {
            let of = old.sections.get(group.sections).unwrap_or_default();
            let name: Vec<Digest> = of.iter().map(|section| section.sha256).collect();
            ((name, group.is_cut), *part)
        });
        let known: FxHashMap<(Vec<Digest>, bool), Part> = known.collect();
        let mut chunks = Vec::new();
        for group in groups(&sizes(sections)) {
            let of = sections.get(group.sections).unwrap_or_default();
            let name = name(of);
            if let Some(part) = self.group(of, group.is_cut)? {
                chunks.push(part);
                continue;
            }
            let Some(part) = known.get(&(name.clone(), group.is_cut)) else {
                return Ok(None);
            };
            if !self.recall(part, fetch)? {
                return Ok(None);
            }
            lock(&self.known).insert(name, *part);
            chunks.push(*part);
        }
        let mut used = before.used;
        for (slot, resource) in used.iter_mut().zip(Resource::ALL) {
            if matches!(resource, Resource::SectionBytes) {
                let sizes = sections.iter().map(|section| section.told.bytes);
                *slot = sizes.max().unwrap_or_default();
            }
        }
        let told = sections.iter().map(|section| section.told);
        let record = record(old.endpoints as usize, told, chunks);
        // What is the same was stored under the same name.
        let is_known = record == *old && self.recall_blob(&before.node.record, fetch)?;
        let blob = is_known.then_some(before.node.record);
        self.packed(node, record, blob, used).map(Some)
    }

    /// An image of this record, whose blob may be stored already.
    fn packed(
        &self,
        node: Option<&str>,
        record: Record,
        stored: Option<Blob>,
        used: Used,
    ) -> Result<Packed, NotPacked<E>> {
        Ok(Packed {
            node: Node {
                name: node.map(Into::into),
                record: match stored {
                    Some(blob) => blob,
                    None => self.store(&written(&record))?,
                },
            },
            record,
            used,
        })
    }

    /// What some sections became together; none where their bytes are not at hand.
    fn group(&self, of: &[Piece<'_>], is_cut: bool) -> Result<Option<Part>, NotPacked<E>> {
        let name = name(of);
        if let Some(known) = lock(&self.known).get(&name) {
            return Ok(Some(*known));
        }
        let whole: Vec<u8>;
        let bytes: &[u8] = match of {
            [
                Piece {
                    bytes: Some(bytes), ..
                },
            ] => bytes,
            _ => {
                let bytes = of.iter().map(|section| section.bytes);
                let Some(bytes) = bytes.collect::<Option<Vec<&[u8]>>>() else {
                    return Ok(None);
                };
                whole = bytes.concat();
                &whole
            }
        };
        let part = self.part(bytes, is_cut)?;
        lock(&self.known).insert(name, part);
        Ok(Some(part))
    }

    /// Takes what was stored before as it is. False where it cannot be fetched, or is something else.
    fn recall(&self, part: &Part, fetch: &Fetch<'_>) -> Result<bool, NotPacked<E>> {
        let chunks = match part {
            Part::Chunk(_) => Vec::new(),
            Part::List(blob) => match list(fetch, blob) {
                Ok(list) => list.chunks,
                Err(_) => return Ok(false),
            },
        };
        for blob in std::iter::once(part.blob()).chain(&chunks) {
            if !self.recall_blob(blob, fetch)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same of a blob.
    fn recall_blob(&self, blob: &Blob, fetch: &Fetch<'_>) -> Result<bool, NotPacked<E>> {
        if lock(&self.stored).contains(&blob.sha256) {
            return Ok(true);
        }
        let stored = fetch(blob).ok().filter(|stored| blob.is_stored(stored));
        let Some(stored) = stored else {
            return Ok(false);
        };
        if lock(&self.stored).insert(blob.sha256) {
            (self.sink)(blob, &stored).map_err(NotPacked::Sink)?;
        }
        Ok(true)
    }

    /// Packs what the images were compiled from.
    ///
    /// # Errors
    /// Where the blob is not taken.
    pub fn inputs(&self, inputs: &Inputs) -> Result<Blob, NotPacked<E>> {
        self.store(&written(inputs))
    }

    fn part(&self, bytes: &[u8], is_cut: bool) -> Result<Part, NotPacked<E>> {
        if !is_cut {
            return Ok(Part::Chunk(self.store(bytes)?));
        }
        let chunks: Result<Vec<Blob>, _> = pieces(bytes).map(|piece| self.store(piece)).collect();
        let list = written(&List { chunks: chunks? });
        Ok(Part::List(self.store(&list)?))
    }

    fn store(&self, plain: &[u8]) -> Result<Blob, NotPacked<E>> {
        let (blob, stored) = seal(plain)?;
        blob.check()?;
        if lock(&self.stored).insert(blob.sha256) {
            (self.sink)(&blob, &stored).map_err(NotPacked::Sink)?;
        }
        Ok(blob)
    }
}

/// The record of an image.
fn record(
    endpoints: usize,
    sections: impl Iterator<Item = SectionRecord> + Clone,
    chunks: Vec<Part>,
) -> Record {
    let told = sections
        .clone()
        .map(|section| (section.kind, section.bytes, *section.sha256.bytes()));
    Record {
        version: VERSION,
        image: Digest::new(digest_of(told.clone())),
        bytes: size_of(told),
        endpoints: crate::lir::number(endpoints),
        sections: sections.collect(),
        chunks,
    }
}

/// A lock whose holder never panics.
fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Packed {
    /// Puts nodes into a manifest, with how much they have of everything.
    pub fn list(packed: Vec<Self>, limits: Limits, manifest: &mut Manifest) {
        manifest.limits = Resource::ALL
            .into_iter()
            .enumerate()
            .map(|(index, resource)| {
                let used = packed.iter().filter_map(|one| one.used.get(index).copied());
                LimitUsed {
                    of: resource.to_string().into(),
                    used: used.max().unwrap_or_default(),
                    most: limits.of(resource) as u64,
                }
            })
            .collect();
        manifest.nodes = packed.into_iter().map(|one| one.node).collect();
        manifest.nodes.sort_by_key(Manifest::order);
    }
}

fn used(image: &Parts) -> Used {
    let config = image
        .sections()
        .first()
        .map_or(&[][..], |config| &config.bytes);
    let count = |field: Config| {
        let at = field as usize * 8;
        let word = config.get(at..at + 8).and_then(|word| word.try_into().ok());
        word.map_or(0, u64::from_le_bytes)
    };
    Resource::ALL.map(|resource| match resource {
        Resource::Leaves => count(Config::Leaves),
        Resource::Classes => count(Config::Classes),
        Resource::PortClasses => count(Config::PortClasses),
        Resource::Rows => count(Config::Rows),
        Resource::Codes => count(Config::Codes),
        Resource::V4Entries => count(Config::V4Entries),
        Resource::V6Runs => count(Config::V6Runs),
        Resource::Pages => count(Config::Pages),
        Resource::SectionBytes => {
            let sizes = image
                .sections()
                .iter()
                .map(|section| section.bytes.len() as u64);
            sizes.max().unwrap_or_default()
        }
    })
}
