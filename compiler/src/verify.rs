//! Translation validation: an image is held to the policies that it was compiled from, on every compile.
//!
//! Input: the cluster and the policies, once ([`Prover`]); for each node its program after all passes and its image
//! ([`Subject`]). Output: nothing, or the first thing that is wrong ([`Mismatch`]). What is compared, exhaustively:
//!
//! - *leaves*, once: every end that a question can have, and every address at which the owner or a rule changes, against the
//!   leaf that stands for it;
//! - *endpoints*: who they are and which addresses they have;
//! - *addresses*: the leaf that the image finds for every address at which the cluster or the image changes;
//! - *ports*: the class of every packet;
//! - *codes*: what each does, and the policy, rule, file and line that it names;
//! - *decisions* and *hairpins*: what the definition ([`crate::hir::spec`]), the program and the image say, for every
//!   endpoint of the node, both directions, every leaf, and every packet at which a rule or the program changes; and about
//!   what an endpoint sends to itself by way of a service (of nodes whose tables were made together, `Shared`);
//! - the *open world*: the policies, leaves and endpoints that the image carries for what comes later, held to what
//!   was written.
//!
//! The definition is asked once for all questions that it cannot tell apart, which is found out by asking it how each rule's
//! peers match each leaf and how each rule's ports match each packet (`expected`). That does not depend on the node, so it is
//! done once for all nodes, and nothing that the passes computed is used for it. Of the resolved program only the list of
//! leaves is used, which is itself held to the cluster.
//!
//! The first mismatch is the same whatever the number of threads.

mod mismatch;
mod runs;
mod truths;
mod partition;
mod ends;
mod identities;
mod keys;
mod matches;
mod subjects;
mod expected;
mod named;
mod addresses;
mod decisions;
mod shared;
mod open;
mod fingerprint;
mod ground;

pub(crate) use addresses::ProvedAddresses;
pub use fingerprint::Fingerprints;
pub(crate) use fingerprint::Print;
pub(crate) use ground::ground;
use mismatch::general;
pub use mismatch::{Check, Mismatch};
pub(crate) use shared::{Held, Shared};

use crate::cluster::{Cluster, NodeId, Owner, PodId};
use crate::hir::spec::World;
use crate::hir::{Direction, Enforcement, PolicySet, Resolution};
use crate::image::Image;
use crate::lir::{LeafId, Lowering, Program};
use crate::opt::Library;
use crate::source::Sources;
use std::sync::{Arc, OnceLock};

/// What the images of a cluster's nodes are held to.
#[derive(Debug)]
pub struct Prover<'a> {
    cluster: &'a Cluster,
    policies: &'a PolicySet,
    ends: ends::Ends<'a>,
    keys: keys::Keys,
    lists: matches::Lists<'a>,
    subjects: subjects::Subjects<'a>,
    leaves: Result<(), Box<Mismatch>>,
    lines: named::Lines,
    proved: OnceLock<ProvedAddresses>,
    proved_world: OnceLock<Arc<verdict_abi::open::World>>,
    proved_pods: open::ProvedPods,
}

/// The switches and identities, where rules are resolved by precedence.
fn enforcement(policies: &PolicySet) -> Option<&Enforcement> {
    match &policies.resolution {
        Resolution::Isolation => None,
        Resolution::Precedence(enforcement) => Some(enforcement),
    }
}

/// A node's image, and what it was made of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The snapshot.
    pub cluster: &'a Cluster,
    /// The policies.
    pub policies: &'a PolicySet,
    /// The texts of these.
    pub sources: &'a Sources,
    /// Who the leaves are.
    pub lowering: &'a Lowering<'a>,
    /// The node.
    pub node: Option<NodeId>,
    /// The endpoints, as in the program.
    pub pods: &'a [PodId],
    /// The program after all passes.
    pub program: &'a Program,
    /// The image.
    pub image: &'a Image<'a>,
}

impl Subject<'_> {
    /// The node, where policies govern it: it is the last endpoint.
    fn host(&self) -> Option<NodeId> {
        let governs = enforcement(self.policies).is_some_and(|one| one.governs_nodes);
        self.node.filter(|_| governs)
    }

    /// The endpoints: the pods and, where policies govern it, the node.
    fn ends(&self) -> impl Iterator<Item = Owner> {
        let pods = self.pods.iter().copied().map(Owner::Pod);
        pods.chain(self.host().map(Owner::Node))
    }

    fn describe(&self, leaf: LeafId) -> String {
        let lowering = self.lowering;
        lowering
            .leaves()
            .describe(self.cluster, lowering.resolved(), leaf)
    }
}

/// What the definition is asked about policies, whoever is there.
#[derive(Debug)]
pub(crate) struct Written<'a> {
    lists: matches::Lists<'a>,
    subjects: subjects::Subjects<'a>,
    keys: keys::Keys,
}

impl<'a> Written<'a> {
    pub(crate) fn of(cluster: &'a Cluster, policies: &'a PolicySet) -> Self {
        let mut lists = matches::Lists::of_rules(policies.origins.len());
        Self {
            subjects: subjects::Subjects::of(cluster, policies, &mut lists),
            keys: keys::Keys::of(cluster, policies),
            lists,
        }
    }
}

impl<'a> Prover<'a> {
    /// Prepares what is the same for all nodes. The sections of addresses that are named were proved before, and the leaves were.
    #[must_use]
    pub(crate) fn with(
        cluster: &'a Cluster,
        policies: &'a PolicySet,
        written: Written<'a>,
        lowering: &Lowering<'_>,
        proved: Option<ProvedAddresses>,
    ) -> Self {
        let ends = ends::Ends::of(cluster, policies, lowering);
        let leaves = match proved {
            Some(_) => Ok(()),
            None => ends.check(cluster, policies, lowering),
        };
        Self {
            cluster,
            policies,
            ends,
            keys: written.keys,
            lists: written.lists,
            subjects: written.subjects,
            leaves,
            lines: named::Lines::of(policies),
            proved: proved.map_or_else(OnceLock::new, OnceLock::from),
            proved_world: OnceLock::new(),
            proved_pods: open::ProvedPods::default(),
        }
    }

    /// The sections of addresses that are proved, where the leaves are proved too.
    pub(crate) fn proved_addresses(&self) -> Option<&ProvedAddresses> {
        self.proved.get().filter(|_| self.leaves.is_ok())
    }

    /// Compares everything. Returns how many decisions were compared, equal ones once.
    ///
    /// # Errors
    /// The first mismatch.
    pub fn prove(&self, subject: &Subject<'_>) -> Result<u64, Box<Mismatch>> {
        self.prove_by(subject, None)
    }

    /// As [`Prover::prove`], with what is proved of a library from which the program was put together.
    pub(crate) fn prove_by(
        &self,
        subject: &Subject<'_>,
        library: Option<(&Library, &Shared)>,
    ) -> Result<u64, Box<Mismatch>> {
        self.leaves.clone()?;
        self.one_table()?;
        subject.endpoints()?;
        self.addresses(subject)?;
        let compared =
            library.and_then(|(library, shared)| shared.decisions(self, library, subject));
        if compared.is_none() {
            self.ports(subject)?;
        }
        subject.codes(self)?;
        self.open_world(subject)?;
        compared.map_or_else(|| self.decisions(subject), Ok)
    }

    /// Compares an image whose decisions were proved before, for the same [fingerprint](Prover::fingerprint), in all that is not
    /// part of that.
    ///
    /// # Errors
    /// The first mismatch.
    pub fn prove_again(&self, subject: &Subject<'_>) -> Result<(), Box<Mismatch>> {
        self.one_table()?;
        subject.proved_before(self)
    }

    /// An endpoint has one table for each direction, whichever of its addresses it is asked by.
    fn one_table(&self) -> Result<(), Box<Mismatch>> {
        let Some(split) = self.subjects.split else {
            return Ok(());
        };
        let name = named::name(self.cluster, split);
        Err(general(
            Check::Endpoints,
            format!("which policies govern {}", name.unwrap_or_default()),
            "others at one of its addresses than at another",
            "the same at all",
        ))
    }

    /// The number of what a pod is asked in a direction: those of one number are asked the same.
    pub(crate) fn case(&self, pod: PodId, direction: Direction) -> Option<u32> {
        Some(self.subjects.case(Owner::Pod(pod), direction)?.0)
    }

    /// The switches and identities, where rules are resolved by precedence.
    fn enforcement(&self) -> Option<&'a Enforcement> {
        enforcement(self.policies)
    }

    fn world(&self) -> World<'a> {
        World {
            policies: self.policies,
            names: self.cluster.names(),
        }
    }
}
