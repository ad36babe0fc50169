//! What the proof of a node's image is about, as a digest: where it is the same, an image that was proved is proved.
//!
//! The proof compares what the definition says of each endpoint with what the image says. The definition is asked about the
//! policies that govern the endpoint and about the ends that stand for all leaves, so these are told: the policies in full, in
//! their order, with the places that decisions are named after; every end; the sections of addresses; the names that were
//! answered; and the endpoints. Which policies govern is found by asking the definition, here as in the proof. What is told is
//! what `Hash` and `Debug` tell, which are derived and leave nothing out; where that changes, digests do, and what was kept is not used. What
//! each pod has of its own are names and numbers, told as bytes: each with its length, so that no two lists of them are alike.

use super::subjects::Case;
use super::{Prover, Subject};
use crate::cluster::{LabelsId, NamespaceId, Owner, Pod, PodId, PortsId};
use crate::hash::{Latest, Told};
use crate::hir::flow::{EndpointKind, PodView};
use crate::hir::{Direction, PerDirection, Policy, Rule};
use crate::image::Part;
use crate::lir::{LeafId, Lowering, number};
use crate::query::pod_view;
use crate::source::Sources;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};
use std::fmt::{self, Debug, Write as _};
use std::hash::Hash;
use std::net::IpAddr;

/// A digest.
pub(crate) type Print = [u8; 32];

/// What the proofs of all nodes are about.
#[derive(Debug)]
pub struct Fingerprints {
    common: Print,
    /// By policy.
    policies: Vec<Print>,
    /// By case: the policies that govern it.
    cases: Vec<Print>,
    /// By case: everything that its proof is about.
    proofs: Vec<Print>,
    kinds: Vec<Print>,
    /// By pod: its kind.
    kind_of: Vec<u32>,
}

impl Fingerprints {
    /// By policy: what it says and where.
    pub(crate) fn policies(&self) -> &[Print] {
        &self.policies
    }

    /// By case: what the tables of its endpoints and the proof of these hang on.
    pub(crate) fn proofs(&self) -> &[Print] {
        &self.proofs
    }
}

/// What is told of pods with others, but for where they run: namespace, labels, named ports, service account; and their cases.
type Kind<'a> = (NamespaceId, LabelsId, PortsId, &'a str, [Option<u32>; 2]);

/// Takes the words of `Debug`, what `Hash` tells, and bytes.
pub(super) struct Words {
    digest: Sha256,
    /// What the digest has not yet: it takes much at once sooner than much by little.
    waiting: Told,
}

/// How many bytes wait: as many as most things that are told have.
const WAITING: usize = 1 << 14;

/// How many ends are told together.
const TOGETHER: usize = 256;

/// No number of anything.
pub(super) const NONE: u32 = u32::MAX;

/// In place of a digest that is there by all that is known.
const NO_PRINT: Print = [0; 32];

impl fmt::Write for Words {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add_bytes(text.as_bytes());
        Ok(())
    }
}

impl Words {
    pub(super) fn new() -> Self {
        Self {
            digest: Sha256::new(),
            waiting: Told::default(),
        }
    }

    fn flush(&mut self) {
        self.digest.update(&self.waiting.0);
        self.waiting.0.clear();
    }

    /// Adds something, apart from what is before and after.
    pub(super) fn add(&mut self, thing: &impl Debug) {
        // A digest takes everything.
        let _ = writeln!(self, "{thing:?}");
    }

    /// Adds bytes of which it is known how many they are.
    pub(super) fn add_bytes(&mut self, bytes: &[u8]) {
        self.waiting.0.extend_from_slice(bytes);
        if self.waiting.0.len() >= WAITING {
            self.flush();
        }
    }

    /// Adds a thing by what `Hash` tells of it.
    pub(super) fn add_thing(&mut self, thing: &impl Hash) {
        thing.hash(&mut self.waiting);
        if self.waiting.0.len() >= WAITING {
            self.flush();
        }
    }

    pub(super) fn add_number(&mut self, number: u32) {
        self.add_bytes(&number.to_le_bytes());
    }

    /// Adds how many of something come.
    pub(super) fn add_count(&mut self, count: usize) {
        self.add_bytes(&(count as u64).to_le_bytes());
    }

    pub(super) fn add_text(&mut self, text: &str) {
        self.add_count(text.len());
        self.add_bytes(text.as_bytes());
    }

    pub(super) fn add_addresses(&mut self, addresses: &[IpAddr]) {
        self.add_count(addresses.len());
        for address in addresses {
            match address {
                IpAddr::V4(address) => {
                    let [a, b, c, d] = address.octets();
                    self.add_bytes(&[4, a, b, c, d]);
                }
                IpAddr::V6(address) => {
                    self.add_bytes(&[6]);
                    self.add_bytes(&address.octets());
                }
            }
        }
    }

    fn add_leaves(&mut self, leaves: &[LeafId]) {
        self.add_count(leaves.len());
        for leaf in leaves {
            self.add_number(leaf.0);
        }
    }

    /// Adds what is told already: its length is always the same.
    pub(super) fn add_print(&mut self, print: &Print) {
        self.add_bytes(print);
    }

    /// Adds what is told of cases.
    fn add_cases(&mut self, told: &[Print], cases: [Option<u32>; 2]) {
        for case in cases {
            let print = case.and_then(|case| told.get(case as usize));
            self.add_print(print.unwrap_or(&NO_PRINT));
        }
    }

    pub(super) fn print(mut self) -> Print {
        self.next_print()
    }

    /// The digest of what was added, and nothing of it with what comes next.
    pub(super) fn next_print(&mut self) -> Print {
        self.flush();
        self.digest.finalize_reset().into()
    }
}

impl Prover<'_> {
    /// What is the same for all nodes. `build` tells apart what made the images, `addresses` are the sections that say who an
    /// address is.
    #[must_use]
    pub fn fingerprints(
        &self,
        sources: &Sources,
        lowering: &Lowering<'_>,
        build: &[u8],
        addresses: &[Part],
    ) -> Fingerprints {
        let mut words = Words::new();
        words.add(&build);
        words.add(&self.policies.semantics);
        words.add(&self.policies.resolution);
        for answer in self.cluster.names().iter() {
            words.add(&answer);
        }
        words.add(&self.ends.examples.len());
        let ends = self.ends.examples.par_chunks(TOGETHER);
        let ends = ends.map_init(Words::new, |words, ends| {
            ends.iter().for_each(|end| words.add_thing(end));
            words.next_print()
        });
        for print in ends.collect::<Vec<_>>() {
            words.add_print(&print);
        }
        let of_all = words.print();
        let mut words = Words::new();
        words.add_print(&of_all);
        for part in addresses {
            words.add_print(&part.digest);
        }
        words.add_thing(&lowering.leaves().list());
        let classes = &lowering.resolved().addresses;
        words.add_thing(&(classes.v4.starts(), classes.v6.starts()));
        let policies = self.policies.policies.par_iter();
        let policies = policies.map_init(Words::new, |words, policy| {
            self.add_policy(words, sources, policy);
            words.next_print()
        });
        let policies: Vec<Print> = policies.collect();
        let cases = self.subjects.cases.par_iter();
        let of_cases = cases.clone().map_init(Words::new, |words, case| {
            add_case(words, &policies, case);
            words.next_print()
        });
        let of_cases: Vec<Print> = of_cases.collect();
        let proofs = cases.zip(&of_cases);
        let proofs = proofs.map_init(Words::new, |words, (case, print)| {
            words.add_print(&of_all);
            words.add_print(print);
            let ports = match &case.subject {
                EndpointKind::Pod(pod) if case.by_name => Some((pod.ports, pod.host.is_some())),
                EndpointKind::Pod(_) | EndpointKind::Node(_) | EndpointKind::Outside => None,
            };
            words.add(&ports.filter(|_| case.direction == Direction::Ingress));
            words.next_print()
        });
        let mut known: FxHashMap<Kind<'_>, u32> = FxHashMap::default();
        let mut latest = Latest::default();
        let mut kinds: Vec<PodId> = Vec::new();
        let kind_of = self.cluster.pods().iter().zip(0..).map(|(pod, index)| {
            let cases = self.cases_of(Owner::Pod(PodId(index)));
            let account = &*pod.service_account;
            let kind = (pod.namespace, pod.labels, pod.ports, account, cases);
            latest.get(kind, |kind| {
                *known.entry(kind).or_insert_with(|| {
                    kinds.push(PodId(index));
                    number(kinds.len() - 1)
                })
            })
        });
        let kind_of: Vec<u32> = kind_of.collect();
        let kinds = kinds.par_iter().map_init(Words::new, |words, pod| {
            self.add_kind(words, &of_cases, *pod);
            words.next_print()
        });
        Fingerprints {
            common: words.print(),
            proofs: proofs.collect(),
            policies,
            kinds: kinds.collect(),
            kind_of,
            cases: of_cases,
        }
    }

    /// The cases of a pod or a node.
    fn cases_of(&self, of: Owner) -> [Option<u32>; 2] {
        [Direction::Ingress, Direction::Egress].map(|direction| {
            let case = self.subjects.case(of, direction);
            case.map(|(number, _)| number)
        })
    }

    /// Adds what is told of a pod with others of its kind.
    fn add_kind(&self, words: &mut Words, cases: &[Print], pod: PodId) {
        let own = self.cluster.pod(pod);
        let view = own.map(|own| PodView {
            id: None,
            node: None,
            host: None,
            ..pod_view(self.cluster, pod, own)
        });
        words.add_thing(&view);
        words.add_cases(cases, self.cases_of(Owner::Pod(pod)));
    }

    /// Adds a policy with everything that a decision or its name can hang on, but for its number and those of its rules: only their
    /// order means something.
    fn add_policy(&self, words: &mut Words, sources: &Sources, policy: &Policy) {
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
        words.add_thing(object);
        words.add_thing(&sources.line(*span));
        words.add_thing(&(tier, priority, subject, isolates.ingress, isolates.egress));
        let PerDirection { ingress, egress } = rules;
        for (direction, rules) in [(Direction::Ingress, ingress), (Direction::Egress, egress)] {
            words.add_thing(&(direction, rules.len()));
            for rule in rules {
                let Rule {
                    id,
                    action,
                    peers,
                    ports,
                    precedence,
                } = rule;
                words.add_thing(&(action, peers, ports, precedence));
                let origin = self.policies.origin(*id);
                words.add_thing(&origin.map(|origin| (&origin.path, sources.line(origin.span))));
            }
        }
    }

    /// Adds the leaves at which a pod is. Of a pod that has a network of its own they hang on nothing but its identity and its addresses,
    /// which are told beside this, and on the list of leaves and where classes of addresses begin, which are told already.
    fn add_own_leaves(&self, words: &mut Words, lowering: &Lowering<'_>, id: PodId, pod: &Pod) {
        let identity = lowering.resolved().identity_of(id);
        let identity = identity.filter(|_| !pod.host_network);
        words.add_bytes(&[identity.is_some().into()]);
        match identity {
            Some(identity) => words.add_number(identity.0),
            None => words.add_leaves(&self.own_leaves(lowering, id)),
        }
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
        words.add_print(&of.common);
        let known = node.and_then(|node| self.cluster.node(node));
        words.add(&(node, known.map(|node| &node.name)));
        words.add(&self.ends.of_node(node));
        let pods = pods
            .iter()
            .filter_map(|pod| Some((*pod, self.cluster.pod(*pod)?)));
        let pods: Vec<(PodId, &Pod)> = pods.collect();
        words.add_count(pods.len());
        // One thing of all after another: what lies apart in memory is waited for together.
        for (pod, own) in &pods {
            words.add_number(own.node.map_or(NONE, |node| node.0));
            words.add_bytes(&[own.host_network.into()]);
            self.add_own_leaves(&mut words, lowering, *pod, own);
            if own.host_network {
                words.add(&pod_view(self.cluster, *pod, own).host);
            }
        }
        for (_, own) in &pods {
            words.add_text(&own.name);
        }
        for (_, own) in &pods {
            words.add_addresses(&own.addresses);
        }
        for (pod, _) in &pods {
            let kind = of.kind_of.get(pod.index());
            let kind = kind.and_then(|kind| of.kinds.get(*kind as usize));
            words.add_print(kind.unwrap_or(&NO_PRINT));
        }
        let host = lowering.host(node);
        if let Some((id, own)) = host.and_then(|id| Some((id, self.cluster.node(id)?))) {
            words.add(&(&own.name, &own.addresses));
            words.add_cases(&of.cases, self.cases_of(Owner::Node(id)));
        }
        words.print()
    }
}

fn add_case(words: &mut Words, policies: &[Print], case: &Case<'_>) {
    words.add(&(case.direction, case.by_name));
    for policy in &case.governing {
        words.add_print(policies.get(policy.id.index()).unwrap_or(&NO_PRINT));
    }
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
