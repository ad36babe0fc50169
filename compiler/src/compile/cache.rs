//! What is kept of an image that was proved, for the next compile.
//!
//! Kept is what the image became when it was packed ([`Packed`]), under the [fingerprint](Compiler::fingerprint) of the proof; the
//! blobs that it names are kept beside it. The fingerprint covers everything that the sections hang on that are the node's own.
//! So these are taken as they are, and the sections that all images share are those of this compile: they are proved once, before
//! any image is taken ([`ProvedCommon`]), and so is who the endpoints of each are. Of bytes that are damaged, or that another verdict
//! wrote, nothing is taken.

use super::{Artifact, CompileError, Compiler};
use crate::bundle::{BundleError, Fetch, Packed, Piece, sections};
use crate::cluster::{NodeId, PodId};
use crate::hir::PerDirection;
use crate::image::{DecodeError, Part, Resource, is_own};
use crate::lir::{ChainId, Endpoint, Program, host_name};
use crate::opt;
use crate::verify::Fingerprints;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use verdict_abi::open::{Subjects, World};

/// The first bytes.
const MAGIC: &[u8; 8] = b"VERDICTC";
/// The version of this layout.
const VERSION: u32 = 2;

/// What was found in a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An image for the same proof.
    Kept(Box<Kept>),
    /// One for another proof.
    Stale,
    /// Bytes that are damaged, or that another verdict wrote.
    Unusable,
}

/// What is kept of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How many decisions were compared with the definition.
    pub compared: u64,
    /// What it became.
    pub packed: Packed,
}

impl Kept {
    /// The bytes of a file.
    #[must_use]
    pub fn write(&self, fingerprint: &[u8; 32]) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(MAGIC);
        file.extend(VERSION.to_le_bytes());
        file.extend(fingerprint);
        file.extend(self.compared.to_le_bytes());
        // A struct of strings and numbers is JSON.
        file.extend(serde_json::to_vec(&self.packed).unwrap_or_default());
        let digest = Sha256::digest(&file);
        file.extend(digest);
        file
    }
}

impl Found {
    /// Reads the bytes of a file.
    #[must_use]
    pub fn read(file: &[u8], fingerprint: &[u8; 32]) -> Self {
        let Some((told, digest)) = file.split_last_chunk::<32>() else {
            return Self::Unusable;
        };
        if <[u8; 32]>::from(Sha256::digest(told)) != *digest {
            return Self::Unusable;
        }
        read(told, fingerprint).unwrap_or(Self::Unusable)
    }
}

fn read(told: &[u8], fingerprint: &[u8; 32]) -> Option<Found> {
    let (magic, rest) = told.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    if magic != MAGIC || u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let (own, rest) = rest.split_first_chunk::<32>()?;
    if own != fingerprint {
        return Some(Found::Stale);
    }
    let (compared, rest) = rest.split_first_chunk::<8>()?;
    Some(Found::Kept(Box::new(Kept {
        compared: u64::from_le_bytes(*compared),
        packed: serde_json::from_slice(rest).ok()?,
    })))
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

    /// The sections that the image of a node has now, of which some were kept: those that are not its own are at hand, and proved.
    ///
    /// # Errors
    /// Where there is no room for one, or `subjects` does not say who the endpoints are.
    pub fn sections<'s>(
        &'s self,
        common: &ProvedCommon,
        (node, pods): (Option<NodeId>, &[PodId]),
        subjects: &'s Part,
        kept: &Kept,
    ) -> Result<Vec<Piece<'s>>, CompileError> {
        let ProvedCommon(world) = common;
        let who = Subjects::read(&subjects.bytes, world).map_err(|why| {
            let of = "subjects";
            CompileError::Decode(DecodeError::Wire { of, why })
        })?;
        let proved = self.prover.who_are(node, pods, world, &who);
        proved.map_err(CompileError::Mismatch)?;
        let own = kept.packed.record.sections.iter();
        let own = own.filter(|section| is_own(section.kind));
        let own = own.map(|section| Piece {
            told: *section,
            bytes: None,
        });
        let common = self
            .common
            .addresses()
            .iter()
            .chain([self.common.world(), subjects]);
        let mut all: Vec<Piece<'_>> = own.chain(common.map(Piece::of)).collect();
        // The kinds ascend in a file.
        all.sort_by_key(|piece| piece.told.kind);
        self.hold_sizes(all.iter().map(|piece| piece.told.size()), pods)?;
        Ok(all)
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
        let sections = sections(packed.node.text(), &packed.record, fetch)?;
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
