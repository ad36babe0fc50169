//! From images to blobs.

use super::chunk::{groups, pieces, seal};
use super::manifest::{VERSION, written};
use super::read::list;
use super::{
    Blob, BundleError, Digest, Fetch, Inputs, LimitUsed, List, Manifest, Node, Part, Record,
    SectionRecord, Shared,
};
use crate::image::{Limits, Part as Section, Parts, Resource};
use crate::lock::lock;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Mutex;
use verdict_abi::Config;

/// Makes blobs of images, each blob once. Images may come from several threads.
pub struct Packer<S> {
    /// What all images share.
    common: Vec<Section>,
    /// The same, as a manifest names it, without chunks.
    told: Shared,
    /// Takes a new blob.
    sink: S,
    /// What sections became, by their digests.
    known: Mutex<FxHashMap<Vec<Digest>, Part>>,
    stored: Mutex<FxHashSet<Digest>>,
}

/// A packed image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The node in the manifest.
    pub node: Node,
    /// Its record.
    pub record: Record,
    /// How many bytes the image has.
    pub bytes: u64,
    /// How much it has of each resource.
    pub used: Used,
}

/// How much an image has of each resource.
pub type Used = [u64; Resource::ALL.len()];

/// Where blobs are that were stored before.
#[derive(Clone, Copy)]
pub struct Stored<'s> {
    /// Whether it is known that the sink has a blob, and has it whole: it need not be given to it.
    pub has: &'s (dyn Fn(&Blob) -> bool + Sync),
    /// Gives the bytes of others.
    pub fetch: &'s Fetch<'s>,
}

impl Stored<'_> {
    /// Nothing was.
    pub const NOTHING: Stored<'static> = Stored {
        has: &|_| false,
        fetch: &|blob| Err(BundleError::Missing(blob.sha256)),
    };
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
    /// Gives new blobs to `sink`. The sections that all images share, by kind, are named in the manifest; an image that has
    /// others in their place is named by its record as a whole.
    pub fn new(common: Vec<Section>, sink: S) -> Self {
        let sections = common.iter().map(SectionRecord::of).collect();
        Self {
            common,
            told: Shared {
                sections,
                chunks: Vec::new(),
            },
            sink,
            known: Mutex::default(),
            stored: Mutex::default(),
        }
    }

    /// Packs what all images share. What was packed `before` as it is now is taken as it was stored.
    ///
    /// # Errors
    /// Where a blob is not taken.
    pub fn shared(&self, before: &Shared, stored: Stored<'_>) -> Result<Shared, NotPacked<E>> {
        let name = |of: &[SectionRecord]| -> Vec<Digest> {
            of.iter().map(|section| section.sha256).collect()
        };
        let known = groups(&before.sections).into_iter().zip(&before.chunks);
        let known = known.map(|(group, part)| {
            let of = before.sections.get(group.sections).unwrap_or_default();
            ((name(of), group.is_cut), *part)
        });
        let known: FxHashMap<(Vec<Digest>, bool), Part> = known.collect();
        let sections = self.told.sections.clone();
        let mut chunks = Vec::new();
        for group in groups(&sections) {
            let of = sections.get(group.sections.clone()).unwrap_or_default();
            let known = known.get(&(name(of), group.is_cut));
            if let Some(part) = known
                && self.recall(part, stored)?
            {
                chunks.push(*part);
                continue;
            }
            let of = self.common.get(group.sections).unwrap_or_default();
            chunks.push(self.group(&of.iter().collect::<Vec<_>>(), group.is_cut)?);
        }
        Ok(Shared { sections, chunks })
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
        let is_shared = |section: &Section| {
            let mut common = self.common.iter();
            common.any(|one| one.kind == section.kind && one.digest == section.digest)
        };
        let all = image.sections();
        let whole = all.iter().filter(|one| is_shared(one)).count() != self.common.len();
        let own = all.iter().filter(|section| whole || !is_shared(section));
        let own: Vec<&Section> = own.collect();
        let sections: Vec<SectionRecord> = own.iter().copied().map(SectionRecord::of).collect();
        let mut chunks = Vec::new();
        for group in groups(&sections) {
            let of = own.get(group.sections).unwrap_or_default();
            chunks.push(self.group(of, group.is_cut)?);
        }
        let record = Record {
            version: VERSION,
            endpoints: crate::lir::number(endpoints),
            whole,
            sections,
            chunks,
        };
        let blob = self.store(&written(&record))?;
        Ok(self.packed(node, record, blob, used(image)))
    }

    /// Packs the image of a node of which all that is its own is as it was before, but for who its endpoints are: its blobs are
    /// taken as they were stored, and not made once more. `None` where that is not enough.
    ///
    /// # Errors
    /// Where a blob is not taken.
    pub fn again(
        &self,
        node: Option<&str>,
        subjects: &Section,
        before: &Packed,
        stored: Stored<'_>,
    ) -> Result<Option<Packed>, NotPacked<E>> {
        let mut record = before.record.clone();
        // It comes last, and is a chunk by itself.
        let own = record.sections.last_mut().zip(record.chunks.last_mut());
        let own = own.filter(|(own, _)| own.is_subjects() && !before.record.whole);
        let Some((own, part)) = own else {
            return Ok(None);
        };
        let told = SectionRecord::of(subjects);
        let is_same = *own == told;
        if !is_same {
            *own = told;
            let is_cut = groups(&[told]).iter().any(|group| group.is_cut);
            *part = self.group(&[subjects], is_cut)?;
        }
        for part in &record.chunks {
            if !self.recall(part, stored)? {
                return Ok(None);
            }
        }
        let blob = before.node.record;
        let blob = if is_same && self.recall_blob(&blob, stored)? {
            blob
        } else {
            self.store(&written(&record))?
        };
        // The sections that all images share may be larger now.
        let mut used = before.used;
        let sizes = record.with(&self.told).map(|section| section.bytes);
        let largest = sizes.max().unwrap_or_default();
        for (slot, resource) in used.iter_mut().zip(Resource::ALL) {
            if matches!(resource, Resource::SectionBytes) {
                *slot = largest;
            }
        }
        Ok(Some(self.packed(node, record, blob, used)))
    }

    /// An image of this record.
    fn packed(&self, node: Option<&str>, record: Record, blob: Blob, used: Used) -> Packed {
        Packed {
            node: Node {
                name: node.map(Into::into),
                image: record.image(&self.told),
                record: blob,
            },
            bytes: record.bytes(&self.told),
            record,
            used,
        }
    }

    /// What some sections became together.
    fn group(&self, of: &[&Section], is_cut: bool) -> Result<Part, NotPacked<E>> {
        let name: Vec<Digest> = of
            .iter()
            .map(|section| Digest::new(section.digest))
            .collect();
        if let Some(known) = lock(&self.known).get(&name) {
            return Ok(*known);
        }
        let part = match of {
            [section] => self.part(&section.bytes, is_cut)?,
            _ => {
                let bytes: Vec<&[u8]> = of.iter().map(|section| &*section.bytes).collect();
                self.part(&bytes.concat(), is_cut)?
            }
        };
        lock(&self.known).insert(name, part);
        Ok(part)
    }

    /// Takes what was stored before as it is. False where it cannot be fetched, or is something else.
    fn recall(&self, part: &Part, stored: Stored<'_>) -> Result<bool, NotPacked<E>> {
        if let Part::List(blob) = part {
            if lock(&self.stored).contains(&blob.sha256) {
                return Ok(true);
            }
            let Ok(list) = list(stored.fetch, blob) else {
                return Ok(false);
            };
            // The list comes behind all that it names: where it is stored these are.
            for chunk in &list.chunks {
                if !self.recall_blob(chunk, stored)? {
                    return Ok(false);
                }
            }
        }
        self.recall_blob(part.blob(), stored)
    }

    /// The same of a blob.
    fn recall_blob(&self, blob: &Blob, stored: Stored<'_>) -> Result<bool, NotPacked<E>> {
        if lock(&self.stored).contains(&blob.sha256) {
            return Ok(true);
        }
        if (stored.has)(blob) {
            lock(&self.stored).insert(blob.sha256);
            return Ok(true);
        }
        let bytes = (stored.fetch)(blob).ok();
        let Some(bytes) = bytes.filter(|bytes| blob.is_stored(bytes)) else {
            return Ok(false);
        };
        if lock(&self.stored).insert(blob.sha256) {
            (self.sink)(blob, &bytes).map_err(NotPacked::Sink)?;
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

/// How much an image has of everything that there is room for.
pub(super) fn used(image: &Parts) -> Used {
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
            let sections = image.sections().iter();
            let sizes = sections.map(|section| section.bytes.len() as u64);
            sizes.max().unwrap_or_default()
        }
    })
}
