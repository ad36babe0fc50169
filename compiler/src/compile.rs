//! From a cluster and its policies to the image of each node, each proved.
//!
//! Input: what manifests say. Output: for a node, an [`Artifact`]: the bytes, and what there is to tell of them. What does
//! not depend on the node is made once ([`Compiler::new`]). Guarantee: bytes come out only if
//! [`crate::verify`] found no flow that they decide otherwise than the policies; equal input gives equal bytes.

mod blame;
mod cache;
mod ground;
mod tables;

pub use blame::Contribution;
pub use cache::{Kept, KeptImages, NotRestored, ProvedCommon};
pub use ground::{GroundFile, KeptGround};
pub use tables::{Tables, Together};

use crate::cluster::{Cluster, NodeId, PodId};
use crate::hir::PolicySet;
use crate::image::{
    self, Addresses, Common, DecodeError, Image, Input, Known, LimitError, Limits, Parts,
    SourceTable,
};
use crate::ir;
use crate::lir::leaves::Leaves;
use crate::lir::{self, Lowering, Program, Size};
use crate::opt::{self, Pass};
use crate::source::{Sources, Span};
use crate::verify::{self, Mismatch, Print, ProvedAddresses, Prover, Subject};
use rustc_hash::FxHashMap;
use serde_json::value::{RawValue, to_raw_value};
use std::fmt;
use std::net::IpAddr;
use std::sync::OnceLock;
use verdict_abi::open::{Subjects, World};

/// What a source table says of a policy or a rule, as it is written there, once it is asked for.
type Named = OnceLock<Option<Box<RawValue>>>;

/// What is the same for all nodes.
#[derive(Debug)]
pub struct Compiler<'a> {
    cluster: &'a Cluster,
    policies: &'a PolicySet,
    sources: &'a Sources,
    lowering: Lowering<'a>,
    incomplete: Vec<Box<str>>,
    prover: Prover<'a>,
    limits: Limits,
    /// What all images have.
    common: Common,
    /// By identity of the program: the identity in that section.
    identities: Vec<u32>,
    /// The tables of all nodes together.
    library: Option<Together>,
    /// What the leaves and addresses are kept under, where they were not kept.
    ground: Option<Print>,
    /// What was checked of the sections that all images have.
    known: OnceLock<Known>,
    /// By policy and by rule: what the source tables of images say of it.
    origins: (Vec<Named>, Vec<Named>),
}

/// The image of a node.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The node; `None` for the pods whose node is not known.
    pub node: Option<NodeId>,
    /// The image.
    pub image: Parts,
    /// How many endpoints it has.
    pub endpoints: usize,
    /// The size after lowering, and after each pass; none where the tables of all nodes were made together.
    pub sizes: Vec<(Option<Pass>, Size)>,
    /// How many decisions were compared with the definition.
    pub compared: u64,
}

/// Why there is no image.
#[derive(Clone, Debug)]
pub enum CompileError {
    /// It has no room for something. With it come the policies that contribute most.
    Limit(LimitError, Vec<Contribution>),
    /// It decides a flow otherwise than the policies: a bug in verdict.
    Mismatch(Box<Mismatch>),
    /// What was written cannot be read back: a bug in verdict.
    Decode(DecodeError),
}

/// Why there is no image of a node.
#[derive(Clone, Debug)]
pub struct NodeError {
    /// The node; `None` for the pods whose node is not known.
    pub node: Option<NodeId>,
    /// Why.
    pub error: CompileError,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(error, _) => error.fmt(f),
            Self::Mismatch(mismatch) => {
                write!(f, "the image and the policies disagree: {mismatch}")
            }
            Self::Decode(error) => write!(f, "the image cannot be read back: {error}"),
        }
    }
}

/// What images say of policies and are asked about them, whoever is there: made while the policies are resolved, or before.
#[derive(Debug)]
pub struct Written<'a> {
    cluster: &'a Cluster,
    policies: &'a PolicySet,
    sources: &'a Sources,
    proof: verify::Written<'a>,
    world: image::Written<'a>,
}

impl<'a> Written<'a> {
    /// Takes the policies of a snapshot.
    #[must_use]
    pub fn of(cluster: &'a Cluster, policies: &'a PolicySet, sources: &'a Sources) -> Self {
        // What takes longer is begun first: the other is for a thread that has nothing else to do.
        let (world, proof) = rayon::join(
            || image::Written::of(cluster, policies, sources),
            || verify::Written::of(cluster, policies),
        );
        Self {
            cluster,
            policies,
            sources,
            proof,
            world,
        }
    }
}

impl<'a> Compiler<'a> {
    /// Prepares the images of a cluster.
    #[must_use]
    pub fn new(
        cluster: &'a Cluster,
        policies: &'a PolicySet,
        sources: &'a Sources,
        program: &'a ir::Program,
    ) -> Self {
        let written = Written::of(cluster, policies, sources);
        Self::with(written, Lowering::new(cluster, program))
    }

    /// Prepares the images of a cluster that is lowered.
    #[must_use]
    pub fn with(written: Written<'a>, lowering: Lowering<'a>) -> Self {
        Self::made(written, lowering, None)
    }

    /// With the sections of addresses that are known, and what is proved of them and of the leaves.
    fn made(
        written: Written<'a>,
        lowering: Lowering<'a>,
        known: Option<(Addresses, ProvedAddresses)>,
    ) -> Self {
        let Written {
            cluster,
            policies,
            sources,
            proof,
            world,
        } = written;
        let (program, leaves) = (lowering.resolved(), lowering.leaves());
        let (addresses, proved) = known.unzip();
        let common = || {
            let (world, identities) = world.with(cluster, program, leaves);
            let addresses = addresses.unwrap_or_else(|| Addresses::of(leaves.v4(), leaves.v6()));
            (Common::of(addresses, world.write()), identities)
        };
        let prover = || Prover::with(cluster, policies, proof, &lowering, proved);
        let (prover, (common, identities)) = rayon::join(prover, common);
        Self {
            cluster,
            policies,
            sources,
            lowering,
            prover,
            limits: Limits::default(),
            common,
            identities,
            incomplete: Vec::new(),
            library: None,
            ground: None,
            known: OnceLock::new(),
            origins: (
                policies.policies.iter().map(|_| Named::new()).collect(),
                policies.origins.iter().map(|_| Named::new()).collect(),
            ),
        }
    }

    /// Says in every image what was left out of the policies.
    #[must_use]
    pub fn incomplete(mut self, left_out: Vec<Box<str>>) -> Self {
        self.incomplete = left_out;
        self
    }

    /// With less room in an image.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Tabulates what the endpoints of some nodes are asked, once for all of them: what is made for one of these is the same, and
    /// made sooner. Where rules are resolved by precedence each is made by itself all the same.
    #[must_use]
    pub fn for_nodes<'p>(
        mut self,
        nodes: impl Iterator<Item = &'p (Option<NodeId>, Vec<PodId>)>,
    ) -> Self {
        self.library = self.library(nodes);
        self
    }

    /// What the nodes have in common.
    #[must_use]
    pub fn lowering(&self) -> &Lowering<'a> {
        &self.lowering
    }

    /// What all images have, to be changed as a fault would. The proof is to find it.
    pub fn common_mut(&mut self) -> &mut Common {
        &mut self.common
    }

    /// What the nodes have in common, without what it was made of.
    #[must_use]
    pub fn into_leaves(self) -> Leaves {
        self.lowering.into_leaves()
    }

    /// The section `world` of every image, read back.
    ///
    /// # Errors
    /// Where it cannot be read: a bug in verdict.
    pub fn world(&self) -> Result<World, NodeError> {
        World::read(&self.common.world().bytes).map_err(|why| NodeError {
            node: None,
            error: CompileError::Decode(DecodeError::Wire { of: "world", why }),
        })
    }

    /// The identity of a pod in the section `world`; none of a pod that is taken for its node.
    #[must_use]
    pub fn identity(&self, pod: PodId) -> Option<u32> {
        let identity = self.lowering.resolved().identity_of(pod)?;
        self.identities.get(identity.index()).copied()
    }

    /// Makes the image of a node.
    ///
    /// # Errors
    /// Where it has no room for something, or does not say what the policies say.
    pub fn node(&self, node: Option<NodeId>, pods: &[PodId]) -> Result<Artifact, CompileError> {
        self.node_by(self.library.as_ref(), node, pods)
    }

    /// Makes the image of a node, whose tables may be in a library.
    ///
    /// # Errors
    /// Where it has no room for something, or does not say what the policies say.
    pub fn node_by(
        &self,
        together: Option<&Together>,
        node: Option<NodeId>,
        pods: &[PodId],
    ) -> Result<Artifact, CompileError> {
        let mut sizes = Vec::new();
        let program = match together {
            Some(Together { library, .. }) => library.program(&self.lowering, node, pods),
            None => {
                let lowered = self.lowering.node(node, pods);
                sizes.push((None, lowered.size()));
                opt::optimize(lowered, |pass, size| sizes.push((Some(pass), size)))
            }
        };
        let image = self
            .parts(node, pods, &program)
            .map_err(|error| self.blame(error, pods))?;
        let read = self.decoded(&image)?;
        let compared = self.compare(together, node, pods, &program, &read)?;
        drop(read);
        Ok(Artifact {
            node,
            image,
            endpoints: program.endpoints.len(),
            sizes,
            compared,
        })
    }

    /// Holds an image to the policies.
    ///
    /// # Errors
    /// Where it cannot be read, or decides a flow otherwise.
    pub fn prove(
        &self,
        node: Option<NodeId>,
        pods: &[PodId],
        program: &Program,
        bytes: &[u8],
    ) -> Result<u64, CompileError> {
        let image = Image::decode(bytes).map_err(CompileError::Decode)?;
        self.compare(self.library.as_ref(), node, pods, program, &image)
    }

    /// Holds an image that is not in a file yet to the policies. What it shares with images that were proved is not proved once
    /// more.
    ///
    /// # Errors
    /// Where it cannot be read, or decides a flow otherwise.
    pub fn prove_parts(
        &self,
        node: Option<NodeId>,
        pods: &[PodId],
        program: &Program,
        parts: &Parts,
    ) -> Result<u64, CompileError> {
        let image = self.decoded(parts)?;
        self.compare(self.library.as_ref(), node, pods, program, &image)
    }

    /// Reads an image that is not in a file yet.
    fn decoded<'p>(&self, parts: &'p Parts) -> Result<Image<'p>, CompileError> {
        let decode = |known| Image::of_parts(parts, known).map_err(CompileError::Decode);
        // Looked at once: where another thread finds it meanwhile, this image is read again, to share what was found there.
        let known = self.known.get();
        let image = decode(known)?;
        if known.is_none()
            && let Some(found) = image.known(&self.common)
        {
            return decode(Some(self.known.get_or_init(|| found)));
        }
        Ok(image)
    }

    fn compare(
        &self,
        together: Option<&Together>,
        node: Option<NodeId>,
        pods: &[PodId],
        program: &Program,
        image: &Image<'_>,
    ) -> Result<u64, CompileError> {
        let subject = self.subject(node, pods, program, image);
        let library = together.map(|together| (&together.library, &together.shared));
        let proved = self.prover.prove_by(&subject, library);
        proved.map_err(CompileError::Mismatch)
    }

    fn subject<'s>(
        &'s self,
        node: Option<NodeId>,
        pods: &'s [PodId],
        program: &'s Program,
        image: &'s Image<'s>,
    ) -> Subject<'s> {
        Subject {
            cluster: self.cluster,
            policies: self.policies,
            sources: self.sources,
            lowering: &self.lowering,
            node,
            pods,
            program,
            image,
        }
    }

    /// What has no room in the image of a node, with the policies that contribute most to it.
    #[must_use]
    pub fn blame(&self, error: LimitError, pods: &[PodId]) -> CompileError {
        let most = blame::most(error.of, self.policies, self.lowering.resolved(), pods);
        CompileError::Limit(error, most)
    }

    /// Writes a program as the file of an image.
    ///
    /// # Errors
    /// Where it has no room for something.
    pub fn encode(
        &self,
        node: Option<NodeId>,
        pods: &[PodId],
        program: &Program,
    ) -> Result<Vec<u8>, LimitError> {
        Ok(self.parts(node, pods, program)?.write())
    }

    /// The section of all images that says what was compiled, free of any node.
    #[must_use]
    pub fn compiled(&self) -> &image::Part {
        self.common.world()
    }

    /// The sections that all images share, by kind.
    #[must_use]
    pub fn shared(&self) -> Vec<image::Part> {
        self.common.sections()
    }

    /// How large an image may be.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Makes the sections of an image of a program.
    ///
    /// # Errors
    /// Where it has no room for something.
    pub fn parts(
        &self,
        node: Option<NodeId>,
        pods: &[PodId],
        program: &Program,
    ) -> Result<Parts, LimitError> {
        let subjects = self.subjects(node, pods);
        let id = node;
        let node = node.and_then(|node| self.cluster.nodes().get(node.index()));
        let mut source = SourceTable {
            version: 1,
            node: node.map(|node| node.name.clone()),
            endpoints: program
                .endpoints
                .iter()
                .map(|endpoint| endpoint.name.clone())
                .collect(),
            origins: Vec::new(),
            incomplete: self.incomplete.clone(),
        };
        let mut known: FxHashMap<lir::Origin, u32> = FxHashMap::default();
        let origins: Vec<u32> = program
            .codes
            .iter()
            .map(|code| {
                *known
                    .entry(code.origin)
                    .or_insert_with(|| match self.origin(code.origin) {
                        None => 0,
                        Some(origin) => {
                            source.origins.push(origin);
                            lir::number(source.origins.len())
                        }
                    })
            })
            .collect();
        let mut addresses: Vec<Vec<IpAddr>> = pods
            .iter()
            .filter_map(|pod| self.cluster.pods().get(pod.index()))
            .map(|pod| {
                if pod.host_network {
                    Vec::new()
                } else {
                    pod.addresses.to_vec()
                }
            })
            .collect();
        let host = self.lowering.host(id).and_then(|id| self.cluster.node(id));
        addresses.extend(host.map(|host| host.addresses.clone()));
        image::encode(&Input {
            program,
            common: &self.common,
            addresses: &addresses,
            source: &source,
            origins: &origins,
            limits: self.limits,
            subjects: &subjects,
        })
    }

    fn subjects(&self, node: Option<NodeId>, pods: &[PodId]) -> Subjects {
        let identities = pods.iter().filter_map(|pod| self.identity(*pod));
        Subjects {
            node: node.map(|node| node.0),
            identities: identities.collect(),
        }
    }

    /// Who decides, found out once for all nodes.
    fn origin(&self, origin: lir::Origin) -> Option<&RawValue> {
        let slot = match origin {
            lir::Origin::Nobody => return None,
            lir::Origin::Isolation(policy) => self.origins.0.get(policy.index()),
            lir::Origin::Rule(rule) => self.origins.1.get(rule.index()),
        };
        // A struct of strings and numbers is JSON.
        let write = || to_raw_value(&self.origin_of(origin)?).ok();
        slot?.get_or_init(write).as_deref()
    }

    fn origin_of(&self, origin: lir::Origin) -> Option<image::Origin> {
        let (policy, rule, span): (_, Option<Box<str>>, Span) = match origin {
            lir::Origin::Nobody => return None,
            lir::Origin::Isolation(policy) => {
                let policy = self.policies.policy(policy)?;
                (policy, None, policy.span)
            }
            lir::Origin::Rule(rule) => {
                let origin = self.policies.origin(rule)?;
                let policy = self.policies.policy(origin.policy)?;
                (policy, Some(origin.path.clone()), origin.span)
            }
        };
        let (file, location) = self.sources.location(span);
        Some(image::Origin {
            policy: policy.object.to_string().into(),
            rule,
            file: file.to_string().into(),
            line: location.line,
        })
    }
}
