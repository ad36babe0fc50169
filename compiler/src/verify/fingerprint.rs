//! What the proof of a node's image is about, as a digest: where it is the same, an image that was proved is proved.
//!
//! The proof compares what the definition says of each endpoint with what the image says. The definition is asked about the
//! policies that govern the endpoint and about the ends that stand for all leaves, so these are told: the policies in full, in
//! their order, with the places that decisions are named after; every end; the sections of addresses; the names that were
//! answered; and the endpoints. Which policies govern is found by asking the definition, here as in the proof. What is told is
//! told in the words of `Debug`, which leaves nothing out; where that changes, digests do, and what was kept is not used.

use super::subjects::Case;
use super::{Prover, Subject};
use crate::cluster::PodId;
use crate::hir::{Direction, PerDirection, Policy, Rule};
use crate::image::Part;
use crate::lir::Lowering;
use crate::query::pod_view;
use crate::source::Sources;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};
use std::fmt::{self, Debug, Write as _};

/// A digest.
type Print = [u8; 32];

/// What the proofs of all nodes are about.
#[derive(Debug)]
pub struct Fingerprints {
    common: Print,
    /// By policy.
    policies: Vec<Print>,
}

/// Takes the words of `Debug`.
struct Words(Sha256);

impl fmt::Write for Words {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
}

impl Words {
    fn new() -> Self {
        Self(Sha256::new())
    }

    /// Adds something, apart from what is before and after.
    fn add(&mut self, thing: &impl Debug) {
        // A digest takes everything.
        let _ = writeln!(self, "{thing:?}");
    }

    fn print(self) -> Print {
        self.0.finalize().into()
    }
}

impl Prover<'_> {
    /// What is the same for all nodes. `build` tells apart what made the images, `addresses` are the sections that say who an
    /// address is.
    #[must_use]
    pub fn fingerprints(
        &self,
        sources: &Sources,
        build: &[u8],
        addresses: &[Part],
    ) -> Fingerprints {
        let mut words = Words::new();
        words.add(&build);
        for part in addresses {
            words.add(&part.digest);
        }
        words.add(&self.policies.semantics);
        words.add(&self.policies.resolution);
        for answer in self.cluster.names().iter() {
            words.add(&answer);
        }
        for end in &self.ends.examples {
            words.add(end);
        }
        let policies = self.policies.policies.par_iter();
        Fingerprints {
            common: words.print(),
            policies: policies
                .map(|policy| self.policy(sources, policy))
                .collect(),
        }
    }

    /// A policy with everything that a decision or its name can hang on, but for its number and those of its rules: only their
    /// order means something.
    fn policy(&self, sources: &Sources, policy: &Policy) -> Print {
        let Policy {
            id: _,
            object,
            span,
            tier,
            priority,
            subject,
            isolates,
            rules,
        } = policy;
        let mut words = Words::new();
        words.add(&object.to_string());
        words.add(&sources.location(*span));
        words.add(&(tier, priority, subject, isolates));
        let PerDirection { ingress, egress } = rules;
        for (direction, rules) in [(Direction::Ingress, ingress), (Direction::Egress, egress)] {
            words.add(&(direction, rules.len()));
            for rule in rules {
                let Rule {
                    id,
                    action,
                    peers,
                    ports,
                    precedence,
                } = rule;
                words.add(&(action, peers, ports, precedence));
                let origin = self.policies.origin(*id);
                let place = origin.map(|origin| (&origin.path, sources.location(origin.span)));
                words.add(&place);
            }
        }
        words.print()
    }

    /// What the proof of a node's image is about.
    #[must_use]
    pub fn fingerprint(
        &self,
        of: &Fingerprints,
        lowering: &Lowering<'_>,
        node: Option<crate::cluster::NodeId>,
        pods: &[PodId],
    ) -> Print {
        let mut words = Words::new();
        words.add(&of.common);
        let known = node.and_then(|node| self.cluster.node(node));
        words.add(&(node, known.map(|node| &node.name)));
        words.add(&self.ends.of_node(node));
        let mut cases: FxHashMap<u32, Print> = FxHashMap::default();
        for pod in pods {
            let Some(own) = self.cluster.pod(*pod) else {
                continue;
            };
            let view = crate::hir::flow::PodView {
                id: None,
                ..pod_view(self.cluster, *pod, own)
            };
            words.add(&(&own.name, &own.addresses, own.host_network, view));
            words.add(&self.own_leaves(lowering, *pod));
            for direction in [Direction::Ingress, Direction::Egress] {
                let Some((number, case)) = self.subjects.case(*pod, direction) else {
                    continue;
                };
                let print = cases.entry(number).or_insert_with(|| case_print(of, case));
                words.add(print);
            }
        }
        words.print()
    }
}

fn case_print(of: &Fingerprints, case: &Case<'_>) -> Print {
    let mut words = Words::new();
    words.add(&(case.direction, case.by_name));
    for policy in &case.governing {
        words.add(&of.policies.get(policy.id.index()));
    }
    words.print()
}

impl Subject<'_> {
    /// Holds an image that was proved, of this fingerprint, to what is not part of that proof: who its endpoints are, and the
    /// sections that it shares with other images.
    pub(super) fn proved_before(&self, prover: &Prover<'_>) -> Result<(), Box<super::Mismatch>> {
        prover.leaves.clone()?;
        self.endpoints()?;
        prover.addresses(self)?;
        prover.open_world(self)
    }
}
