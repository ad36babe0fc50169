//! The answer for any two ends.

use super::answer::{Answer, AnswerId, Answers, Operation};
use super::ends::{EndId, EndKind, Ends};
use super::fresh::{Fresh, PerFamily};
use super::rows::Rows;
use crate::cluster::{Cluster, NodeId, PodId};
use crate::hir::Direction;
use crate::ir::Program;
use crate::query::{Families, Family};
use std::net::IpAddr;

/// Who may send what to whom, in a cluster under a program. See the module above for what it guarantees.
#[derive(Debug)]
pub struct Connections<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) program: &'a Program,
    /// Those of pods without an address.
    families: Families,
    pub(super) ends: Ends<'a>,
    rows: Rows,
    pub(super) answers: Answers,
    pub(super) fresh: Fresh,
}

/// Addresses outside the cluster with one answer: the first, the last, and what becomes of packets from or to
/// them. Addresses of pods and nodes in between are not the outside.
pub type Outside = (IpAddr, IpAddr, AnswerId);

impl<'a> Connections<'a> {
    /// All connections of a program that was resolved for this cluster. Pods without an address may have
    /// these `families`; where there are none, IPv4 stands for them.
    #[must_use]
    pub fn new(cluster: &'a Cluster, program: &'a Program, families: Families) -> Self {
        Self::with_nodes(cluster, program, families, program.governs_nodes())
    }

    /// The same where it is said whether nodes are among the ends: they are where policies govern them.
    #[must_use]
    pub fn with_nodes(
        cluster: &'a Cluster,
        program: &'a Program,
        families: Families,
        listed: bool,
    ) -> Self {
        let families = families.or_else(Families::only(Family::V4));
        let ends = Ends::new(cluster, program, families, listed);
        let mut answers = Answers::new();
        let rows = Rows::new(cluster, program, &ends, &mut answers);
        Self {
            cluster,
            program,
            families,
            ends,
            rows,
            answers,
            fresh: Fresh::default(),
        }
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &'a Program {
        self.program
    }

    /// How many classes of ends there are.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.ends.list.len()
    }

    /// The class of a pod; `None` where the cluster does not have it.
    #[must_use]
    pub fn end(&self, pod: PodId) -> Option<EndId> {
        self.ends.of_pod.get(pod.index()).copied()
    }

    /// The class of a node; `None` where nodes are not listed.
    #[must_use]
    pub fn node(&self, node: NodeId) -> Option<EndId> {
        self.ends.of_node.get(node.index()).copied()
    }

    /// Whether what is said of addresses outside is never meant of those of nodes: these are listed by themselves, or no block
    /// matches them. Else rules for a node's address are told by the address alone.
    #[must_use]
    pub fn sets_nodes_apart(&self) -> bool {
        let kinds = self.program.kinds.as_ref();
        let is_blind =
            kinds.is_some_and(|kinds| !kinds.enforcement.identities.options().blocks_match_nodes);
        is_blind || !self.ends.of_node.is_empty()
    }

    /// The node that a class is, or on whose network its pods are; `None` where they have networks of their own.
    #[must_use]
    pub fn host(&self, end: EndId) -> Option<Option<NodeId>> {
        match self.ends.get(end)?.kind {
            EndKind::Pod { .. } => None,
            EndKind::Node { node, .. } => Some(node),
        }
    }

    /// Whether a policy has a say in what reaches the pods of a class, or in what leaves them.
    #[must_use]
    pub fn is_governed(&self, end: EndId, direction: Direction) -> bool {
        let chains = self.ends.get(end).and_then(|end| end.chains_of(direction));
        let chains = chains.into_iter().flatten();
        let mut chains = chains.flat_map(|list| self.ends.chains(list));
        chains.any(|chain| !chain.is_empty())
    }

    /// The families of the addresses of a class.
    #[must_use]
    pub fn families(&self, end: EndId) -> Families {
        let end = self.ends.get(end);
        end.map_or(Families::default(), |end| end.families)
    }

    /// The answer behind an id.
    #[must_use]
    pub fn answer(&self, id: AnswerId) -> &Answer {
        self.answers.get(id)
    }

    /// What becomes of packets from one pod to another, by their classes. Families that the two do not have in
    /// common carry nothing; where they have both in common, the answer is what these agree on. `own_node`:
    /// one of them is the other's node, or on the network of it.
    pub fn between(&mut self, src: EndId, dst: EndId, own_node: bool) -> AnswerId {
        let common = self.families(src).and(self.families(dst));
        self.in_families(common, |own, family| {
            let egress = own.rows.of(src, Direction::Egress, family);
            let egress = egress.map_or(AnswerId::ALL, |row| row.answer(dst, own_node));
            let ingress = own.rows.of(dst, Direction::Ingress, family);
            let ingress = ingress.map_or(AnswerId::ALL, |row| row.answer(src, own_node));
            (egress, ingress)
        })
    }

    /// What becomes of packets between a pod of a class and one that does not exist, by what the two sides say in
    /// each family, as [`between`](Self::between) has it. One that does not exist has the families of the cluster.
    pub fn with_fresh(&mut self, end: EndId, one: PerFamily, other: PerFamily) -> AnswerId {
        let common = self.families(end).and(self.families);
        self.in_families(common, |_, family| match family {
            Family::V4 => (one[0], other[0]),
            Family::V6 => (one[1], other[1]),
        })
    }

    fn in_families(
        &mut self,
        common: Families,
        sides: impl Fn(&Self, Family) -> (AnswerId, AnswerId),
    ) -> AnswerId {
        let mut of = |family| {
            let (one, other) = sides(self, family);
            let both = self.answers.of(Operation::Both, one, other);
            self.answers.carried(both, family)
        };
        match (common.v4, common.v6) {
            (false, false) => AnswerId::NOTHING,
            (true, false) => of(Family::V4),
            (false, true) => of(Family::V6),
            (true, true) => {
                let (v4, v6) = (of(Family::V4), of(Family::V6));
                self.answers.of(Operation::Beside, v4, v6)
            }
        }
    }

    /// The id of an answer.
    pub fn numbered(&mut self, answer: Answer) -> AnswerId {
        self.answers.id(answer)
    }

    /// What of two answers they agree on; where they do not, it depends.
    pub fn agreed(&mut self, one: AnswerId, other: AnswerId) -> AnswerId {
        if one == other {
            return one;
        }
        self.answers.of(Operation::Agreed, one, other)
    }

    /// What becomes of packets between a class of pods and the outside, where `direction` is that of the pods'
    /// side: runs of addresses in order, IPv4 first, in the families that the pods have.
    pub fn outside(&mut self, end: EndId, direction: Direction) -> Vec<Outside> {
        let own = self.families(end);
        let mut runs: Vec<Outside> = Vec::new();
        for family in own.iter() {
            let of_family = match self.rows.of(end, direction, family) {
                Some(row) => row.outside.clone(),
                None => every_address(family),
            };
            runs.extend(of_family.iter().filter(|run| family_of(run) == family));
        }
        for run in &mut runs {
            run.2 = self.answers.carried(run.2, family_of(run));
        }
        runs
    }
}

/// The family of a run of addresses.
fn family_of((first, ..): &Outside) -> Family {
    if first.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    }
}

fn every_address(family: Family) -> Vec<Outside> {
    let (first, last): (IpAddr, IpAddr) = match family {
        Family::V4 => ([0; 4].into(), [u8::MAX; 4].into()),
        Family::V6 => ([0; 16].into(), [u8::MAX; 16].into()),
    };
    vec![(first, last, AnswerId::ALL)]
}
