//! What a node's program and its image decide, against what is expected.
//!
//! Endpoints of one case whose chains and tables are the same ones share one proof. In it, every leaf is looked at; leaves of
//! which the same is expected and that lead to the same row in the program and in the image share one comparison, made over
//! every key at which a rule of the cluster or the program changes its mind.

use super::expected::{Expected, Relation, Row};
use super::keys::Part;
use super::mismatch::{Check, Mismatch};
use super::named::is_said;
use super::runs::dense;
use super::subjects::Case;
use super::{Prover, Subject};
use crate::cluster::{Owner, PodId};
use crate::hir::Direction;
use crate::hir::flow::EndpointKind;
use crate::hir::spec::Side;
use crate::lir::transport::{LAST, packet_from, parts};
use crate::lir::{Chain, ChainId, ClassId, CodeId, Decision, LeafId, Lowering, RowId, Table};
use crate::query::{Families, Family, Who, endpoint};
use rayon::prelude::*;
use rustc_hash::FxHashSet;
use verdict_abi::{Config, Query, Section, Use, decide, half, quarter};

/// Where a leaf of a node leads: its class in the program, that in the image, and how the node stands to it.
type Classes = (ClassId, u32, Relation);

/// One proof: a case with its number, the chain of the program, the table of the image, and an endpoint that has them.
struct Proof<'c, 'a> {
    case: &'c Case<'a>,
    chain: ChainId,
    table: u32,
    endpoint: u32,
    of: Use,
    /// The leaf of the endpoint itself, where it is asked what it sends to itself.
    own: Option<LeafId>,
}

/// What does not change in the proofs of a node.
struct Node<'n, 'a> {
    prover: &'n Prover<'a>,
    subject: &'n Subject<'n>,
    /// By leaf.
    classes: Vec<Classes>,
    parts: Vec<Part>,
    /// By number in the image.
    codes: Vec<Decision>,
}

/// What is compared once: the row that is expected, by its number, and the rows in the program and in the image.
type Rows = (u32, RowId, u32);

impl<'a> Prover<'a> {
    /// Compares every decision. Returns how many were compared, equal ones once.
    pub(super) fn decisions(&self, subject: &Subject<'_>) -> Result<u64, Box<Mismatch>> {
        let node = Node {
            prover: self,
            subject,
            classes: self.classes(subject)?,
            parts: self.keys.with(subject.program),
            codes: super::named::coded(subject.program),
        };
        let proofs = self.proofs(subject)?;
        let results: Vec<Result<u64, Box<Mismatch>>> =
            proofs.par_iter().map(|proof| node.prove(proof)).collect();
        results.into_iter().sum()
    }

    /// The classes of the leaves, read from the program and from the image.
    fn classes(&self, subject: &Subject<'_>) -> Result<Vec<Classes>, Box<Mismatch>> {
        let own = self.ends.of_node(subject.node);
        let is_unplaced = subject.node.is_none() && self.enforcement().is_some();
        let mut classes = Vec::with_capacity(self.ends.examples.len());
        for (end, leaf) in self.ends.examples.iter().zip((0..).map(LeafId)) {
            let class = subject.program.leaves.get(leaf.index()).copied();
            let read = quarter(subject.image, Section::Leaves, leaf.0);
            let (Some(class), Some(read)) = (class, read) else {
                return Err(super::mismatch::general(
                    Check::Leaves,
                    format!("the class of {:?}", end.kind),
                    "one",
                    "none",
                ));
            };
            let relation = match end.kind {
                EndpointKind::Node(_) if is_unplaced => Relation::Unplaced,
                _ if own.contains(&leaf) => Relation::OwnNode,
                EndpointKind::Pod(_) | EndpointKind::Node(_) | EndpointKind::Outside => {
                    Relation::Apart
                }
            };
            classes.push((class, read, relation));
        }
        Ok(classes)
    }

    /// What there is to prove of the endpoints, equal proofs once, in the order of the endpoints.
    fn proofs(&self, subject: &Subject<'_>) -> Result<Vec<Proof<'_, 'a>>, Box<Mismatch>> {
        let mut known = FxHashSet::default();
        let mut proofs = Vec::new();
        let all = subject.ends().zip(&subject.program.endpoints);
        for ((of, endpoint), index) in all.zip(0..) {
            let own = match of {
                Owner::Pod(pod) => self.own_leaves(subject.lowering, pod),
                // What a node sends to itself is asked about as all else.
                Owner::Node(_) => {
                    self.itself_as_others(subject, index)?;
                    Vec::new()
                }
            };
            let who = of;
            for (direction, of, hairpin) in [
                (Direction::Ingress, Use::Ingress, Use::HairpinIngress),
                (Direction::Egress, Use::Egress, Use::HairpinEgress),
            ] {
                let Some((number, case)) = self.subjects.case(who, direction) else {
                    continue;
                };
                let asked = own.iter().map(|leaf| (hairpin, Some(*leaf)));
                for (of, own) in std::iter::once((of, None)).chain(asked) {
                    let table = half(subject.image, Section::Endpoints, index * 4 + of as u32);
                    let table = table.unwrap_or(u32::MAX);
                    let chain = *endpoint.chains.get(direction);
                    if known.insert((number, chain, table, own)) {
                        proofs.push(Proof {
                            case,
                            chain,
                            table,
                            endpoint: index,
                            of,
                            own,
                        });
                    }
                }
            }
        }
        Ok(proofs)
    }

    /// Holds the tables for what an endpoint sends to itself to be those for all else.
    fn itself_as_others(&self, subject: &Subject<'_>, endpoint: u32) -> Result<(), Box<Mismatch>> {
        let table = |of: Use| half(subject.image, Section::Endpoints, endpoint * 4 + of as u32);
        let same = [
            (Use::Ingress, Use::HairpinIngress),
            (Use::Egress, Use::HairpinEgress),
        ];
        if same.iter().all(|(one, other)| table(*one) == table(*other)) {
            return Ok(());
        }
        Err(super::mismatch::general(
            Check::Hairpins,
            "the node as an endpoint",
            "tables that are those for all else",
            "others",
        ))
    }

    /// The leaves that an endpoint is to itself.
    pub(super) fn own_leaves(&self, lowering: &Lowering<'_>, pod: PodId) -> Vec<LeafId> {
        let Some(of) = self.cluster.pod(pod) else {
            return Vec::new();
        };
        let addresses = &of.addresses;
        let known = addresses.iter().map(|address| {
            let owned = Who::Owned(*address, Owner::Pod(pod));
            (owned, Family::of(*address))
        });
        // In a family of which it has an address, a pod is at the first of these.
        let is_known = |family: &Family| {
            let mut families = addresses.iter().map(|own| Family::of(*own));
            !of.host_network && families.any(|own| own == *family)
        };
        let unknown = Families::ALL.iter().filter(|family| !is_known(family));
        let unknown = unknown.map(|family| (Who::Pod(pod), family));
        let leaves = known.chain(unknown).filter_map(|(who, family)| {
            let own = endpoint(self.cluster, who, family);
            lowering.leaves().of(lowering.resolved(), &own)
        });
        let mut leaves: Vec<LeafId> = leaves.collect();
        leaves.sort_unstable();
        leaves.dedup();
        leaves
    }

    /// Holds the class of every packet in the image to that in the program.
    pub(super) fn ports(&self, subject: &Subject<'_>) -> Result<(), Box<Mismatch>> {
        let mut runs = subject.program.transports.iter().peekable();
        let mut class = None;
        let mut next = packet_from(0);
        while let Some(packet) = next {
            while let Some((_, own)) = runs.next_if(|(start, _)| *start <= packet) {
                class = Some(own.0);
            }
            let (protocol, value) = parts(packet);
            let found = verdict_abi::port_class(subject.image, protocol.0, value);
            if found != class || class.is_none() {
                let say =
                    |class: Option<u32>| class.map_or("none".to_owned(), |id| format!("k{id}"));
                return Err(super::mismatch::general(
                    Check::Ports,
                    format!("the class of protocol {} value {value}", protocol.0),
                    say(class),
                    say(found),
                ));
            }
            next = (packet < LAST).then(|| packet_from(packet + 1)).flatten();
        }
        Ok(())
    }
}

impl Node<'_, '_> {
    fn prove(&self, proof: &Proof<'_, '_>) -> Result<u64, Box<Mismatch>> {
        let expected = proof
            .case
            .expected
            .get_or_init(|| Expected::of(self.prover, proof.case));
        let chain = self.subject.program.chains.get(proof.chain.index());
        let Some(Chain::Table(table)) = chain else {
            return Err(self.mismatch(proof, LeafId(0), 0, "a table", "rules".to_owned()));
        };
        match proof.own {
            None => self.all(proof, expected, table),
            Some(own) => {
                let row = expected.of_leaf(own.0).and_then(|group| {
                    expected.row(self.prover, proof.case, group, own, Relation::Itself)
                });
                let row = row.ok_or_else(|| self.nothing(proof, own))?;
                self.compare(proof, expected, &row, own)
            }
        }
    }

    /// Every leaf.
    fn all(
        &self,
        proof: &Proof<'_, '_>,
        expected: &Expected,
        table: &Table,
    ) -> Result<u64, Box<Mismatch>> {
        let classes = self.subject.image.count(Config::Classes);
        let mut done: FxHashSet<Rows> = FxHashSet::default();
        // By group and class of the program: one more than the class of the image with which they were looked at last. The three
        // lead to the same rows each time.
        let in_program = self.subject.program.classes as usize;
        let mut last = vec![0_u32; expected.groups.len().saturating_mul(in_program)];
        let mut compared = 0;
        let mut before = None;
        let groups = dense(&expected.leaves, self.classes.len());
        for ((group, (class, read, relation)), leaf) in groups
            .into_iter()
            .zip(self.classes.iter().copied())
            .zip(0..)
        {
            let leaf = LeafId(leaf);
            let is_apart = relation == Relation::Apart;
            // Leaves in a row of which nothing differs are looked at together.
            let here = (group, class, read);
            if is_apart && before.replace(here) == Some(here) {
                continue;
            }
            let slot = last.get_mut(group as usize * in_program + class.index());
            if let Some(slot) = slot.filter(|_| is_apart) {
                let seen = read.saturating_add(1);
                if *slot == seen {
                    continue;
                }
                *slot = seen;
            }
            let group = expected.groups.get(group as usize);
            let group = group.ok_or_else(|| self.nothing(proof, leaf))?;
            if !is_apart {
                let row = expected.row(self.prover, proof.case, group, leaf, relation);
                let row = row.ok_or_else(|| self.nothing(proof, leaf))?;
                compared += self.compare(proof, expected, &row, leaf)?;
                continue;
            }
            let in_program = table.rows.get(class.index()).copied();
            let at = proof
                .table
                .checked_mul(classes)
                .and_then(|at| at.checked_add(read));
            let in_image = at.and_then(|at| quarter(self.subject.image, Section::Rows, at));
            let (Some(in_program), Some(in_image)) = (in_program, in_image) else {
                return Err(self.nothing(proof, leaf));
            };
            if done.insert((group.row, in_program, in_image)) {
                let row = expected.rows.get(group.row as usize);
                let row = row.ok_or_else(|| self.nothing(proof, leaf))?;
                compared += self.compare(proof, expected, row, leaf)?;
            }
        }
        Ok(compared)
    }

    /// Every packet to or from a leaf.
    fn compare(
        &self,
        proof: &Proof<'_, '_>,
        expected: &Expected,
        row: &Row,
        leaf: LeafId,
    ) -> Result<u64, Box<Mismatch>> {
        let program = self.subject.program;
        let chain = program.chains.get(proof.chain.index());
        let class = program.leaves.get(leaf.index());
        let (Some(chain), Some(class)) = (chain, class) else {
            return Err(self.nothing(proof, leaf));
        };
        let hairpin = proof.own.is_some();
        let mut right: FxHashSet<(u32, CodeId)> = FxHashSet::default();
        for part in &self.parts {
            let Some((said, side)) = expected.said(row, part.cell) else {
                return Err(self.nothing(proof, leaf));
            };
            let decision = program.decide(chain, *class, part.class, hairpin);
            let (protocol, value) = parts(part.packet);
            let query = Query {
                endpoint: proof.endpoint,
                of: proof.of,
                leaf: leaf.0,
                protocol: protocol.0,
                value,
            };
            let found = decide(self.subject.image, query);
            let code = found.map(|(code, _)| CodeId(code));
            // The codes of both were compared.
            let same = code.and_then(|code| self.codes.get(code.index())) == Some(&decision);
            if !same {
                let found = found.map_or("nothing".to_owned(), |(_, code)| format!("{code:?}"));
                return Err(self.mismatch(
                    proof,
                    leaf,
                    part.packet,
                    &decision.to_string(),
                    format!("{found} in the image"),
                ));
            }
            if code.is_some_and(|code| right.contains(&(said, code))) {
                continue;
            }
            if !is_said(self.subject.policies, decision, side) {
                return Err(self.mismatch(
                    proof,
                    leaf,
                    part.packet,
                    &describe(side),
                    format!("{decision} in the program"),
                ));
            }
            right.extend(code.map(|code| (said, code)));
        }
        Ok(self.parts.len() as u64)
    }

    fn nothing(&self, proof: &Proof<'_, '_>, leaf: LeafId) -> Box<Mismatch> {
        self.mismatch(proof, leaf, 0, "a decision", "none".to_owned())
    }

    fn mismatch(
        &self,
        proof: &Proof<'_, '_>,
        leaf: LeafId,
        packet: u32,
        expected: &str,
        found: String,
    ) -> Box<Mismatch> {
        let endpoint = self.subject.program.endpoints.get(proof.endpoint as usize);
        let (protocol, value) = parts(packet);
        let direction = proof.case.direction;
        let way = match direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        let hairpin = proof.own.is_some();
        let by_service = if hairpin { " by way of a service" } else { "" };
        let who = self.subject.describe(leaf);
        let question = format!(
            "{direction} {way} {who}{by_service}, protocol {} value {value}",
            protocol.0
        );
        Box::new(Mismatch {
            by: if hairpin {
                Check::Hairpins
            } else {
                Check::Decisions
            },
            endpoint: endpoint.map_or("".into(), |endpoint| endpoint.name.clone()),
            question: question.into(),
            expected: expected.into(),
            found: found.into(),
        })
    }
}

fn describe(side: &Side) -> String {
    let rules = side.rules.iter().map(ToString::to_string);
    let policies = side.isolated_by.iter().map(ToString::to_string);
    let names: Vec<String> = rules.chain(policies).collect();
    match side.exempt {
        None => format!("{:?} by {}", side.verdict, names.join(" ")),
        Some(exemption) => format!("{:?}: {exemption:?}", side.verdict),
    }
}
