//! The documents of a bundle.
//!
//! Each is JSON with the fields in the order of the types, without spaces: equal content gives equal bytes.

use super::{BundleError, Digest, MAX_BLOB, Used};
use crate::cluster::peer::{did_you_mean, list, nearest};
use crate::image::{MOST_SECTIONS, Resource, SUBJECTS, Told, digest_of, size_of};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use verdict_abi::{ABI_VERSION, FORMAT_VERSION};

/// The version of the documents.
pub(super) const VERSION: u32 = 2;
/// The most bytes of a manifest: that of a million nodes.
pub const MAX_MANIFEST: u64 = 1 << 28;
/// The most bytes of an image: a gibibyte of addresses of each family and as much for all else is more than a node can hold.
const MAX_IMAGE: u64 = 4 << 30;

/// What stands for the pods whose node is not known where nodes are named. No node has this name.
pub const UNASSIGNED: &str = "_unassigned";

/// How many nodes are named that may have been meant.
const MOST_MEANT: usize = 3;

/// What a bundle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this document.
    pub version: u32,
    /// The fleet that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Box<str>>,
    /// One more than that of the parent; 1 where there is none.
    pub generation: u64,
    /// The digest of the manifest that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    /// What compiled it.
    pub compiler: Box<str>,
    /// The version of the layout of images.
    pub format: u32,
    /// The version of their tables.
    pub abi: u32,
    /// The digest of what was compiled, free of any node: the section `world` of every image.
    pub program: Digest,
    /// What it was compiled from ([`Inputs`]).
    pub inputs: Blob,
    /// What all images share.
    #[serde(default, skip_serializing_if = "Shared::is_empty")]
    pub shared: Shared,
    /// What was left out of the policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<Box<str>>,
    /// How much of what images have room for the largest takes.
    pub limits: Vec<LimitUsed>,
    /// The nodes, by name; the pods whose node is not known come last.
    pub nodes: Vec<Node>,
}

/// Some stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// The digest of the stored bytes.
    pub sha256: Digest,
    /// How many there are.
    pub bytes: u64,
    /// How many they unpack to.
    pub plain: u64,
}

/// A limit of images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitUsed {
    /// Of what.
    pub of: Box<str>,
    /// How much the image has that has most of it.
    pub used: u64,
    /// How much an image may have.
    pub most: u64,
}

/// A node of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name; none for the pods whose node is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// The digest of the header of its image, which covers every byte of it.
    pub image: Digest,
    /// What its image has that others do not share ([`Record`]).
    pub record: Blob,
}

/// The sections that all images share. No record names them, so that a record stays as it is where they alone change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shared {
    /// The sections by kind, ascending.
    pub sections: Vec<SectionRecord>,
    /// What they, one after the other, are cut into.
    pub chunks: Vec<Part>,
}

/// The image of a node, as far as it is the node's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The version of this document.
    pub version: u32,
    /// How many endpoints the image has.
    pub endpoints: u32,
    /// Whether these are all sections of the image, so that it has none of those that others share.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// Its own sections by kind, ascending: kind, bytes, digest.
    pub sections: Vec<SectionRecord>,
    /// What these, one after the other, are cut into.
    pub chunks: Vec<Part>,
}

/// A section of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SectionRecord {
    /// Its kind, as in the header of the image.
    pub kind: u32,
    /// Its bytes.
    pub bytes: u64,
    /// Their digest.
    pub sha256: Digest,
}

/// A chunk, or the list of some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Part {
    /// A chunk.
    Chunk(Blob),
    /// A list of chunks ([`List`]).
    List(Blob),
}

/// Chunks that follow one another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// The chunks.
    pub chunks: Vec<Blob>,
}

/// What a bundle was compiled from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// The texts, manifests and settings, by name.
    pub inputs: Vec<Input>,
}

/// A text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its file, as it was named.
    pub file: Box<str>,
    /// The digest of the text.
    pub sha256: Digest,
    /// Its bytes.
    pub bytes: u64,
}

impl SectionRecord {
    /// What a section is told by.
    pub(crate) fn of(section: &crate::image::Part) -> Self {
        Self {
            kind: section.kind,
            bytes: section.bytes.len() as u64,
            sha256: Digest::new(section.digest),
        }
    }

    /// As the header of an image tells it.
    fn told(&self) -> Told {
        (self.kind, self.bytes, *self.sha256.bytes())
    }

    /// Whether it says who the endpoints are.
    pub(super) fn is_subjects(&self) -> bool {
        self.kind == SUBJECTS
    }

    /// Its bytes, as far as memory may have them.
    pub(crate) fn size(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }
}

impl Blob {
    /// Whether some stored bytes are those that it names.
    #[must_use]
    pub fn is_stored(&self, stored: &[u8]) -> bool {
        stored.len() as u64 == self.bytes && Digest::of(stored) == self.sha256
    }

    /// Refuses sizes that no blob has.
    pub(super) fn check(&self) -> Result<(), BundleError> {
        for given in [self.bytes, self.plain] {
            if given > MAX_BLOB {
                return Err(BundleError::TooLarge {
                    of: format!("chunk {}", self.sha256).into(),
                    given,
                    most: MAX_BLOB,
                });
            }
        }
        Ok(())
    }
}

impl Part {
    /// What is named.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        match self {
            Self::Chunk(blob) | Self::List(blob) => blob,
        }
    }
}

impl Shared {
    /// Whether images share nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty() && self.chunks.is_empty()
    }
}

impl Node {
    /// Its name, or what stands for the pods whose node is not known.
    #[must_use]
    pub fn text(&self) -> &str {
        self.name.as_deref().unwrap_or(UNASSIGNED)
    }
}

impl Manifest {
    /// A manifest of this version, without nodes.
    #[must_use]
    pub fn new(program: Digest, inputs: Blob, shared: Shared) -> Self {
        Self {
            version: VERSION,
            fleet: None,
            generation: 1,
            parent: None,
            compiler: concat!("verdict ", env!("CARGO_PKG_VERSION")).into(),
            format: FORMAT_VERSION,
            abi: ABI_VERSION,
            program,
            inputs,
            shared,
            incomplete: Vec::new(),
            limits: Vec::new(),
            nodes: Vec::new(),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        written(self)
    }

    /// Reads a manifest, and checks everything that it says by itself.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(BundleError::TooLarge {
                of: "the manifest".into(),
                given: bytes.len() as u64,
                most: MAX_MANIFEST,
            });
        }
        let manifest: Self = versioned("the manifest", bytes)?;
        manifest.inputs.check()?;
        check(
            "the manifest",
            &manifest.shared.sections,
            &manifest.shared.chunks,
        )?;
        let mut names = BTreeSet::new();
        for node in &manifest.nodes {
            node.record.check()?;
            if !names.insert(node.text()) {
                return Err(BundleError::TwoNodes(node.text().into()));
            }
        }
        let is_sorted = manifest.nodes.is_sorted_by_key(Self::order);
        if !is_sorted {
            return Err(BundleError::malformed(
                "the manifest",
                "its nodes do not ascend",
            ));
        }
        if [0, u64::MAX].contains(&manifest.generation) {
            let why = format!("there is no generation {}", manifest.generation);
            return Err(BundleError::malformed("the manifest", why));
        }
        if (manifest.generation == 1) != manifest.parent.is_none() {
            return Err(BundleError::malformed(
                "the manifest",
                "generation 1 has no parent, and each later one has",
            ));
        }
        manifest.hold_names()?;
        // Fields in another order, or spaces, would give one content two digests.
        if manifest.write() != bytes {
            return Err(BundleError::malformed(
                "the manifest",
                "it is not written as verdict writes it",
            ));
        }
        Ok(manifest)
    }

    /// Refuses names that would make lines of their own where they are shown.
    fn hold_names(&self) -> Result<(), BundleError> {
        let nodes = self.nodes.iter().filter_map(|node| node.name.as_deref());
        let mut names = nodes.chain(self.fleet.as_deref()).chain([&*self.compiler]);
        match names.find(|name| name.contains(char::is_control)) {
            None => Ok(()),
            Some(name) => {
                let why = format!("the name {name:?} has control characters");
                Err(BundleError::malformed("the manifest", why))
            }
        }
    }

    /// Holds what it says of its images to one of them: the versions of its layout and tables, the program that it carries, and how much of
    /// everything it has at most. What a verdict that lays images out otherwise says of its own is not asked before one is read.
    pub(super) fn hold_image(
        &self,
        of: &str,
        program: &Digest,
        used: &Used,
    ) -> Result<(), BundleError> {
        let wrong = |why: String| Err(BundleError::malformed("the manifest", why));
        for (what, said, found) in [
            ("layout", self.format, FORMAT_VERSION),
            ("tables", self.abi, ABI_VERSION),
        ] {
            if said != found {
                return wrong(format!(
                    "it gives the {what} of its images version {said}, and that of node `{of}` has {found}"
                ));
            }
        }
        if self.program != *program {
            return wrong(format!(
                "its program is not what the image of node `{of}` was compiled from"
            ));
        }
        for (resource, own) in Resource::ALL.into_iter().zip(used) {
            let name = resource.to_string();
            let mut said = self.limits.iter().filter(|limit| *limit.of == *name);
            match (said.next(), said.next()) {
                (Some(limit), None) if *own <= limit.used => {}
                (Some(limit), None) => {
                    return wrong(format!(
                        "it says that no image has more than {} {name}, and that of node `{of}` has {own}",
                        limit.used
                    ));
                }
                (None, _) | (Some(_), Some(_)) => {
                    return wrong(format!("it does not say once how many {name} an image has"));
                }
            }
        }
        Ok(())
    }

    /// By what the nodes are sorted.
    pub(super) fn order(node: &Node) -> (bool, Option<Box<str>>) {
        (node.name.is_none(), node.name.clone())
    }

    /// The node with a name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.text() == name)
    }

    /// The node with a name that is asked for.
    ///
    /// # Errors
    /// Where there is none: with the names that may have been meant, or those that there are.
    pub fn wanted(&self, name: &str) -> Result<&Node, BundleError> {
        self.node(name).ok_or_else(|| BundleError::NoNode {
            node: name.into(),
            known: self.meant(name).into(),
        })
    }

    fn meant(&self, name: &str) -> String {
        let names = || self.nodes.iter().map(Node::text);
        // A host's name may be that of the node with a domain behind it, or the other way round.
        let host = |name: &str| name.split('.').next().unwrap_or_default().to_lowercase();
        let wanted = host(name);
        let mut near: Vec<String> = names()
            .filter(|own| host(own) == wanted)
            .take(MOST_MEANT)
            .map(str::to_owned)
            .collect();
        if near.is_empty() {
            let nearest = nearest(name, names()).into_iter();
            near = nearest.map(str::to_owned).collect();
        }
        did_you_mean(&near).unwrap_or_else(|| match self.nodes.len() {
            0 => "there are none".to_owned(),
            _ => format!("there are {}", list(names())),
        })
    }

    /// Whether two manifests name the same images, compiled from the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let plain = |manifest: &Self| Self {
            generation: 1,
            parent: None,
            ..manifest.clone()
        };
        plain(self) == plain(other)
    }
}

impl Record {
    /// Reads the record of a node, which is to be of the image that the manifest names.
    pub(super) fn read(node: &Node, shared: &Shared, bytes: &[u8]) -> Result<Self, BundleError> {
        let of = node.text();
        let name = format!("the record of node `{of}`");
        let record: Self = versioned(&name, bytes)?;
        check(&name, &record.sections, &record.chunks)?;
        hold_count(&name, record.with(shared).count())?;
        // Before any of these sizes is rounded up.
        let sizes = record.with(shared).map(|section| section.bytes);
        let given = sizes.fold(0_u64, u64::saturating_add);
        if given > MAX_IMAGE {
            return Err(BundleError::TooLarge {
                of: format!("the image of node `{of}`").into(),
                given,
                most: MAX_IMAGE,
            });
        }
        if record.image(shared) != node.image {
            return Err(BundleError::OtherRecord(of.into()));
        }
        Ok(record)
    }

    /// All sections of the image, in their order.
    pub(super) fn with<'s>(
        &'s self,
        shared: &'s Shared,
    ) -> impl Iterator<Item = &'s SectionRecord> + Clone {
        let shared: &[SectionRecord] = if self.whole { &[] } else { &shared.sections };
        merged(&self.sections, shared)
    }

    /// The digest of the header of the image.
    #[must_use]
    pub fn image(&self, shared: &Shared) -> Digest {
        let told = self.with(shared).map(SectionRecord::told);
        Digest::new(digest_of(told))
    }

    /// How many bytes the image has.
    #[must_use]
    pub fn bytes(&self, shared: &Shared) -> u64 {
        size_of(self.with(shared).map(SectionRecord::told))
    }

    /// All chunks, and lists of some, that the image is made of.
    pub(super) fn parts<'s>(&'s self, shared: &'s Shared) -> impl Iterator<Item = &'s Part> {
        let shared: &[Part] = if self.whole { &[] } else { &shared.chunks };
        self.chunks.iter().chain(shared)
    }
}

/// Two lists of sections in one order.
fn merged<'s>(
    one: &'s [SectionRecord],
    other: &'s [SectionRecord],
) -> impl Iterator<Item = &'s SectionRecord> + Clone {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    std::iter::from_fn(move || {
        let is_first = match (one.peek(), other.peek()) {
            (Some(first), Some(second)) => first.kind <= second.kind,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_first { one.next() } else { other.next() }
    })
}

/// Refuses sections that no image has, and sizes that no blob has.
fn check(of: &str, sections: &[SectionRecord], chunks: &[Part]) -> Result<(), BundleError> {
    chunks.iter().try_for_each(|part| part.blob().check())?;
    if !sections.is_sorted_by(|one, next| one.kind < next.kind) {
        return Err(BundleError::malformed(of, "its sections do not ascend"));
    }
    hold_count(of, sections.len())
}

/// Refuses more sections than the header of an image has room for: it would not cover the rest.
fn hold_count(of: &str, sections: usize) -> Result<(), BundleError> {
    if sections <= MOST_SECTIONS {
        return Ok(());
    }
    let why = format!("it has {sections} sections, and an image has {MOST_SECTIONS} at most");
    Err(BundleError::malformed(of, why))
}

impl List {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        let list: Self = parsed("a list of chunks", bytes)?;
        list.chunks.iter().try_for_each(Blob::check)?;
        Ok(list)
    }
}

/// A struct of strings and numbers is JSON.
pub(super) fn written(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

pub(super) fn parsed<T: DeserializeOwned>(of: &str, bytes: &[u8]) -> Result<T, BundleError> {
    serde_json::from_slice(bytes).map_err(|error| BundleError::malformed(of, error))
}

/// A document whose version is looked at before anything else.
fn versioned<T: DeserializeOwned>(of: &str, bytes: &[u8]) -> Result<T, BundleError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let found = parsed::<Versioned>(of, bytes)?.version;
    if found != VERSION {
        return Err(BundleError::Version {
            found,
            read: VERSION,
        });
    }
    parsed(of, bytes)
}
