//! What is kept of the images that were proved, for the next compile.
//!
//! Kept is what the image of a node became when it was packed ([`Packed`]), under the [fingerprint](Compiler::fingerprint) of the
//! proof; those of all nodes stand in one file ([`KeptImages`]), and the blobs that they name are kept beside it. The fingerprint
//! covers everything that the sections hang on that are the node's own. So these are taken as they are, and the sections that all
//! images share are those of this compile: they are proved once, before any image is taken ([`ProvedCommon`]), and so is who the
//! endpoints of each are. Of bytes that are damaged, or that another verdict wrote, nothing is taken.

use super::{Artifact, CompileError, Compiler};
use crate::bundle::{
    Blob, BundleError, Digest, Fetch, Node, Packed, Part as Chunks, Record, SectionRecord, Shared,
    Used, own_sections,
};
use crate::cluster::{NodeId, PodId};
use crate::hir::PerDirection;
use crate::image::{DecodeError, Part, Resource, is_own};
use crate::kept::{Form, closed};
use crate::lir::{ChainId, Endpoint, Program, host_name};
use crate::opt;
use crate::verify::Fingerprints;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use verdict_abi::open::{Subjects, World};

/// How the file begins.
const FORM: Form = Form {
    magic: b"VERDICTC",
    version: 3,
};

/// What is kept of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How many decisions were compared with the definition.
    pub compared: u64,
    /// What it became.
    pub packed: Packed,
}

/// What is kept of the images of all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptImages {
    /// What the sections became that all of them share.
    pub shared: Shared,
    /// By node, with the fingerprint of its proof.
    nodes: BTreeMap<Option<Box<str>>, ([u8; 32], Kept)>,
}

/// A file of such.
#[derive(Serialize, Deserialize)]
struct File {
    build: Digest,
    shared: Shared,
    nodes: Vec<Entry>,
}

/// A node of it. Nothing may be left out: there are no names of fields in a file.
#[derive(Serialize, Deserialize)]
struct Entry {
    name: Option<Box<str>>,
    fingerprint: [u8; 32],
    compared: u64,
    image: Digest,
    bytes: u64,
    record: Blob,
    endpoints: u32,
    version: u32,
    whole: bool,
    sections: Vec<SectionRecord>,
    chunks: Vec<Chunks>,
    used: Used,
}

impl KeptImages {
    /// Reads the bytes of a file. `None` where they are damaged, have another layout, or are of another `build`.
    #[must_use]
    pub fn read(file: &[u8], build: &[u8]) -> Option<Self> {
        let file: File = postcard::from_bytes(FORM.whole(file)?).ok()?;
        if file.build != Digest::of(build) {
            return None;
        }
        Some(Self {
            shared: file.shared,
            nodes: file.nodes.into_iter().map(Entry::read).collect(),
        })
    }

    /// The bytes of a file.
    #[must_use]
    pub fn write(&self, build: &[u8]) -> Vec<u8> {
        let told = File {
            build: Digest::of(build),
            shared: self.shared.clone(),
            nodes: self.nodes.values().map(Entry::of).collect(),
        };
        // Strings and numbers always have room in memory.
        closed(postcard::to_extend(&told, FORM.begun()).unwrap_or_default())
    }

    /// What is kept of the image of a node for this proof.
    #[must_use]
    pub fn find(&self, node: Option<&str>, fingerprint: &[u8; 32]) -> Option<&Kept> {
        let (own, kept) = self.nodes.get(&node.map(Box::from))?;
        (own == fingerprint).then_some(kept)
    }

    /// Keeps the image of a node in place of what was kept of it. Returns whether that is something else.
    pub fn keep(&mut self, fingerprint: [u8; 32], kept: Kept) -> bool {
        let name = kept.packed.node.name.clone();
        let new = (fingerprint, kept);
        if self.nodes.get(&name) == Some(&new) {
            return false;
        }
        self.nodes.insert(name, new);
        true
    }

    /// Keeps those of some nodes alone. Returns whether there were others.
    pub fn retain(&mut self, is_kept: impl Fn(Option<&str>) -> bool) -> bool {
        let before = self.nodes.len();
        self.nodes.retain(|name, _| is_kept(name.as_deref()));
        self.nodes.len() < before
    }
}

impl Entry {
    fn of((fingerprint, kept): &([u8; 32], Kept)) -> Self {
        let Kept { compared, packed } = kept.clone();
        let (node, record) = (packed.node, packed.record);
        Self {
            name: node.name,
            fingerprint: *fingerprint,
            compared,
            image: node.image,
            bytes: packed.bytes,
            record: node.record,
            endpoints: record.endpoints,
            version: record.version,
            whole: record.whole,
            sections: record.sections,
            chunks: record.chunks,
            used: packed.used,
        }
    }

    fn read(self) -> (Option<Box<str>>, ([u8; 32], Kept)) {
        let packed = Packed {
            node: Node {
                name: self.name.clone(),
                image: self.image,
                record: self.record,
            },
            record: Record {
                version: self.version,
                endpoints: self.endpoints,
                whole: self.whole,
                sections: self.sections,
                chunks: self.chunks,
            },
            bytes: self.bytes,
            used: self.used,
        };
        let compared = self.compared;
        (self.name, (self.fingerprint, Kept { compared, packed }))
    }
}

/// Why what was kept is not used.
#[derive(Clone, Debug)]
pub enum NotRestored {
    /// A blob is missing, or something else.
    Bundle(BundleError),
    /// What the blobs make up is no image of the node.
    Compile(CompileError),
}

impl From<BundleError> for NotRestored {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

/// The sections that all images share, held to the manifests: what the images that are kept are taken with.
#[derive(Clone, Debug)]
pub struct ProvedCommon(Arc<World>);

impl<'a> Compiler<'a> {
    /// Proves the sections that all images share, by the image of a node that has no endpoint.
    ///
    /// # Errors
    /// Where there is no room for them, or they do not say what the manifests say.
    pub fn prove_common(&self) -> Result<ProvedCommon, CompileError> {
        let program = opt::optimize(self.lowering.node(None, &[]), |_, _| {});
        let image = self
            .parts(None, &[], &program)
            .map_err(|error| self.blame(error, &[]))?;
        let read = self.decoded(&image)?;
        let subject = self.subject(None, &[], &program, &read);
        let proved = self.prover.prove_again(&subject);
        proved.map_err(CompileError::Mismatch)?;
        Ok(ProvedCommon(Arc::clone(read.shared_world())))
    }

    /// What the proofs of all nodes are about. `build` is what tells this verdict from others.
    #[must_use]
    pub fn fingerprints(&self, build: &[u8]) -> Fingerprints {
        let mut build = build.to_vec();
        for text in &self.incomplete {
            build.extend(text.as_bytes());
            build.push(0);
        }
        build.extend(format!("{:?}", self.limits).into_bytes());
        self.prover.fingerprints(
            self.sources,
            &self.lowering,
            &build,
            self.common.addresses(),
        )
    }

    /// What the proof of a node's image is about.
    #[must_use]
    pub fn fingerprint(&self, of: &Fingerprints, node: Option<NodeId>, pods: &[PodId]) -> [u8; 32] {
        self.prover.fingerprint(of, &self.lowering, node, pods)
    }

    /// Holds what was kept of a node's image to what is now: `subjects` says who the endpoints are, and there is room for each
    /// section. Those that all images share are proved.
    ///
    /// # Errors
    /// Where there is no room for one, or `subjects` does not say who the endpoints are.
    pub fn hold(
        &self,
        common: &ProvedCommon,
        (node, pods): (Option<NodeId>, &[PodId]),
        subjects: &Part,
        kept: &Kept,
    ) -> Result<(), CompileError> {
        let ProvedCommon(world) = common;
        let who = Subjects::read(&subjects.bytes, world).map_err(|why| {
            let of = "subjects";
            CompileError::Decode(DecodeError::Wire { of, why })
        })?;
        let proved = self.prover.who_are(node, pods, world, &who);
        proved.map_err(CompileError::Mismatch)?;
        let own = kept.packed.record.sections.iter();
        let own = own.map(SectionRecord::size);
        let common = self.common.addresses().iter();
        let common = common.chain([self.common.world(), subjects]);
        self.hold_sizes(own.chain(common.map(|part| part.bytes.len())), pods)
    }

    /// Looks whether there is room for each section of an image that was kept.
    fn hold_sizes(
        &self,
        sizes: impl Iterator<Item = usize>,
        pods: &[PodId],
    ) -> Result<(), CompileError> {
        let longest = sizes.max().unwrap_or_default();
        let held = self.limits.hold(Resource::SectionBytes, longest);
        held.map_err(|error| self.blame(error, pods))
    }

    /// The section of an image that says who its endpoints are.
    #[must_use]
    pub fn subjects_of(&self, node: Option<NodeId>, pods: &[PodId]) -> Part {
        Part::subjects(self.subjects(node, pods).write())
    }

    /// The image of a node from what was kept of it, under the same fingerprint: put together of blobs, read like any image, and held
    /// to its endpoints and to the sections that all images share. Decisions are not compared once more.
    ///
    /// # Errors
    /// Where a blob cannot be fetched or is another, or what they make up is no image of this node.
    pub fn restore(
        &self,
        node: Option<NodeId>,
        pods: &[PodId],
        kept: &Kept,
        fetch: &Fetch<'_>,
    ) -> Result<Artifact, NotRestored> {
        let packed = &kept.packed;
        let sections = own_sections(packed.node.text(), &packed.record, fetch)?;
        let own = sections.iter().filter(|(kind, _)| is_own(*kind));
        let own = own.map(|(kind, bytes)| (*kind, bytes.as_slice()));
        let image = self.common.with(own, self.subjects(node, pods).write());
        let program = self.names(node, pods);
        let wrong = NotRestored::Compile;
        let sizes = image.sections().iter().map(|part| part.bytes.len());
        self.hold_sizes(sizes, pods).map_err(wrong)?;
        let read = self.decoded(&image).map_err(wrong)?;
        let subject = self.subject(node, pods, &program, &read);
        let proved = self.prover.prove_again(&subject);
        proved.map_err(|mismatch| wrong(CompileError::Mismatch(mismatch)))?;
        Ok(Artifact {
            node,
            endpoints: program.endpoints.len(),
            image,
            sizes: Vec::new(),
            compared: kept.compared,
        })
    }

    /// A program that has the endpoints of a node and nothing else.
    fn names(&self, node: Option<NodeId>, pods: &[PodId]) -> Program {
        let own = pods.iter().filter_map(|pod| self.cluster.pod(*pod));
        let own = own.map(|pod| {
            let namespace = self.cluster.namespace_name(pod.namespace);
            format!("{namespace}/{}", pod.name)
        });
        let host = self.lowering.host(node);
        let host = host.and_then(|node| self.cluster.node(node));
        let names = own.chain(host.map(|node| host_name(&node.name)));
        let endpoints = names.map(|name| Endpoint {
            name: name.into(),
            chains: PerDirection {
                ingress: ChainId(0),
                egress: ChainId(0),
            },
        });
        Program {
            endpoints: endpoints.collect(),
            ..Program::default()
        }
    }
}
