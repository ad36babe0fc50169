//! What is kept of an image that was proved, for the next compile.
//!
//! Kept are the sections that are the node's own, under the [fingerprint](Compiler::fingerprint) of the proof. What is taken is held
//! to everything that the fingerprint does not cover, and read like any image; decisions alone are not compared once more. Of
//! bytes that are damaged, or that another verdict wrote, nothing is taken.

use super::{Artifact, CompileError, Compiler};
use crate::cluster::{NodeId, PodId};
use crate::hir::PerDirection;
use crate::image::is_own;
use crate::lir::{ChainId, Endpoint, Program};
use crate::verify::Fingerprints;
use sha2::{Digest as _, Sha256};

/// The first bytes.
const MAGIC: &[u8; 8] = b"VERDICTC";
/// The version of this layout.
const VERSION: u32 = 1;
/// The most bytes that are unpacked.
const MAX_BYTES: usize = 1 << 30;
/// How hard the compressor tries.
const LEVEL: i32 = 1;

/// What was found in a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An image for the same proof.
    Kept(Kept),
    /// One for another proof.
    Stale,
    /// Bytes that are damaged, or that another verdict wrote.
    Unusable,
}

/// What is kept of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    compared: u64,
    /// Kind and bytes of each section that is the node's own.
    sections: Vec<(u32, Vec<u8>)>,
}

impl Kept {
    /// What is kept of an image.
    #[must_use]
    pub fn of(artifact: &Artifact) -> Self {
        let sections = artifact.image.sections().iter();
        let own = sections.filter(|part| is_own(part.kind));
        Self {
            compared: artifact.compared,
            sections: own.map(|part| (part.kind, part.bytes.to_vec())).collect(),
        }
    }

    /// The bytes of a file.
    #[must_use]
    pub fn write(&self, fingerprint: &[u8; 32]) -> Vec<u8> {
        let mut plain = Vec::new();
        plain.extend(self.compared.to_le_bytes());
        for (kind, bytes) in &self.sections {
            plain.extend(kind.to_le_bytes());
            plain.extend((bytes.len() as u64).to_le_bytes());
            plain.extend(bytes);
        }
        let packed = zstd::bulk::compress(&plain, LEVEL).unwrap_or_default();
        let mut file = Vec::with_capacity(packed.len() + 84);
        file.extend(MAGIC);
        file.extend(VERSION.to_le_bytes());
        file.extend((plain.len() as u64).to_le_bytes());
        file.extend(fingerprint);
        file.extend(packed);
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
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (own, packed) = rest.split_first_chunk::<32>()?;
    if own != fingerprint {
        return Some(Found::Stale);
    }
    let size = usize::try_from(u64::from_le_bytes(*size)).ok();
    let size = size.filter(|size| *size <= MAX_BYTES)?;
    let plain = zstd::bulk::decompress(packed, size).ok()?;
    let (compared, mut rest) = plain.split_first_chunk::<8>()?;
    let mut sections = Vec::new();
    while !rest.is_empty() {
        let (kind, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (bytes, after) = after.split_at_checked(length)?;
        sections.push((u32::from_le_bytes(*kind), bytes.to_vec()));
        rest = after;
    }
    Some(Found::Kept(Kept {
        compared: u64::from_le_bytes(*compared),
        sections,
    }))
}

impl Compiler<'_> {
    /// What the proofs of all nodes are about. `build` is what tells this verdict from others.
    #[must_use]
    pub fn fingerprints(&self, build: &[u8]) -> Fingerprints {
        let mut build = build.to_vec();
        for text in &self.incomplete {
            build.extend(text.as_bytes());
            build.push(0);
        }
        build.extend(format!("{:?}", self.limits).into_bytes());
        self.prover
            .fingerprints(self.sources, &build, self.common.addresses())
    }

    /// What the proof of a node's image is about.
    #[must_use]
    pub fn fingerprint(&self, of: &Fingerprints, node: Option<NodeId>, pods: &[PodId]) -> [u8; 32] {
        self.prover.fingerprint(of, &self.lowering, node, pods)
    }

    /// The image of a node from what was kept of it, under the same fingerprint.
    ///
    /// # Errors
    /// Where it is no image of this node.
    pub fn restore(
        &self,
        node: Option<NodeId>,
        pods: &[PodId],
        kept: &Kept,
    ) -> Result<Artifact, CompileError> {
        let subjects = self.subjects(node, pods).write();
        let own = kept
            .sections
            .iter()
            .map(|(kind, bytes)| (*kind, bytes.as_slice()));
        let image = self.common.with(own, subjects);
        let program = self.names(pods);
        let read = self.decoded(&image)?;
        let subject = self.subject(node, pods, &program, &read);
        let proved = self.prover.prove_again(&subject);
        proved.map_err(CompileError::Mismatch)?;
        Ok(Artifact {
            node,
            endpoints: program.endpoints.len(),
            image,
            sizes: Vec::new(),
            compared: kept.compared,
        })
    }

    /// A program that has the endpoints of a node and nothing else.
    fn names(&self, pods: &[PodId]) -> Program {
        let own = pods.iter().filter_map(|pod| self.cluster.pod(*pod));
        let endpoints = own.map(|pod| Endpoint {
            name: format!(
                "{}/{}",
                self.cluster.namespace_name(pod.namespace),
                pod.name
            )
            .into(),
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
