//! From images to blobs.

use super::chunk::{groups, pieces, seal};
use super::manifest::{VERSION, written};
use super::{
    Blob, BundleError, Digest, Inputs, LimitUsed, List, Manifest, Node, Part, Record, SectionRecord,
};
use crate::image::{Limits, Parts, Resource};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Mutex;
use verdict_abi::Config;

/// Makes blobs of images, each blob once. Images may come from several threads.
pub struct Packer<S> {
    /// Takes a new blob.
    sink: S,
    /// What sections were cut into, by their digests.
    known: Mutex<FxHashMap<Vec<Digest>, Vec<Part>>>,
    stored: Mutex<FxHashSet<Digest>>,
}

/// A packed image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The node in the manifest.
    pub node: Node,
    /// The digest of the header of the image.
    pub image: Digest,
    /// How much it has of each resource.
    used: [u64; Resource::ALL.len()],
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
        let sections = image.sections();
        let mut chunks = Vec::new();
        let sizes: Vec<usize> = sections.iter().map(|section| section.bytes.len()).collect();
        for group in groups(&sizes) {
            let of = sections.get(group.sections).unwrap_or_default();
            let name: Vec<Digest> = of
                .iter()
                .map(|section| Digest::new(section.digest))
                .collect();
            let known = lock(&self.known).get(&name).cloned();
            let parts = match known {
                Some(parts) => parts,
                None => {
                    let whole: Vec<u8>;
                    let bytes: &[u8] = if let [section] = of {
                        &section.bytes
                    } else {
                        whole = of
                            .iter()
                            .flat_map(|section| section.bytes.iter().copied())
                            .collect();
                        &whole
                    };
                    let parts = self.parts(bytes, group.is_cut)?;
                    lock(&self.known).insert(name, parts.clone());
                    parts
                }
            };
            chunks.extend(parts);
        }
        let record = Record {
            version: VERSION,
            image: Digest::new(image.digest()),
            bytes: image.size() as u64,
            endpoints: crate::lir::number(endpoints),
            sections: sections
                .iter()
                .map(|section| SectionRecord {
                    kind: section.kind,
                    bytes: section.bytes.len() as u64,
                    sha256: Digest::new(section.digest),
                })
                .collect(),
            chunks,
        };
        Ok(Packed {
            image: record.image,
            node: Node {
                name: node.map(Into::into),
                record: self.store(&written(&record))?,
            },
            used: used(image),
        })
    }

    /// Packs what the images were compiled from.
    ///
    /// # Errors
    /// Where the blob is not taken.
    pub fn inputs(&self, inputs: &Inputs) -> Result<Blob, NotPacked<E>> {
        self.store(&written(inputs))
    }

    fn parts(&self, bytes: &[u8], is_cut: bool) -> Result<Vec<Part>, NotPacked<E>> {
        if !is_cut {
            return Ok(vec![Part::Chunk(self.store(bytes)?)]);
        }
        let chunks: Result<Vec<Blob>, _> = pieces(bytes).map(|piece| self.store(piece)).collect();
        let list = written(&List { chunks: chunks? });
        Ok(vec![Part::List(self.store(&list)?)])
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

/// How much an image has of each resource.
fn used(image: &Parts) -> [u64; Resource::ALL.len()] {
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
