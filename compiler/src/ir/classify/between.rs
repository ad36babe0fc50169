//! What a program says of flows between ends of the snapshot of which only the classes are known.
//!
//! Guarantee: what [`Program::judge`] says of every flow between ends of these classes, without reading the pods, and
//! without making lists where there is room in those that are given.

use super::super::judge::{NamedPorts, Other, Question};
use super::super::{ClassId, Program};
use super::{EndClass, FIRST_SPECIAL, Who};
use crate::cluster::Cluster;
use crate::hir::Direction;
use crate::hir::flow::{Address, Transport};
use crate::hir::spec::{self, Exemption, Judgement};

impl Program {
    /// Judges the flows between ends of two classes, source first. `false` where that cannot be said by class: where rules
    /// are resolved by precedence.
    pub(crate) fn judge_between(
        &self,
        cluster: &Cluster,
        [src, dst]: [&EndClass; 2],
        transport: Transport,
        said: &mut Judgement,
    ) -> bool {
        if self.kinds.is_some() {
            return false;
        }
        let named = match dst.who {
            Who::Identity(identity) => match self.identities.get(identity.index()) {
                Some(identity) => {
                    NamedPorts::of_pod(cluster.ports(identity.ports), identity.host.is_some())
                }
                None => return false,
            },
            Who::Node(_) | Who::Outside => NamedPorts::None,
        };
        let itself = src.is_same_pod(dst);
        for direction in [Direction::Egress, Direction::Ingress] {
            let (subject, other, side) = match direction {
                Direction::Egress => (src, dst, &mut said.egress),
                Direction::Ingress => (dst, src, &mut said.ingress),
            };
            side.clear();
            let Who::Identity(identity) = subject.who else {
                side.exempt = Some(Exemption::NotAPod);
                continue;
            };
            if itself && !dst.by_service {
                side.exempt = Some(Exemption::Itself);
                continue;
            }
            let Some(table) = self.table(identity) else {
                return false;
            };
            let question = Question {
                program: self,
                chain: table.chains.get(direction),
                other: other.seen(),
                transport,
                number: transport.port,
                named,
            };
            question.ask(itself || subject.is_on(other), side);
        }
        said.verdict = spec::both(said.egress.verdict, said.ingress.verdict);
        true
    }
}

impl EndClass {
    /// Whether both are one pod.
    pub(crate) fn is_same_pod(&self, other: &Self) -> bool {
        self.pod.is_some() && self.pod == other.pod
    }

    /// Whether the other is the node on which this one runs.
    fn is_on(&self, other: &Self) -> bool {
        matches!(other.who, Who::Node(_)) && self.node.is_some() && self.node == other.node
    }

    /// The end as rules see it.
    fn seen(&self) -> Other<'static> {
        let special = self.address.checked_sub(FIRST_SPECIAL);
        let address = match special {
            None => Ok(ClassId(self.address)),
            Some(families) => Err(Address::Unknown {
                v4: families & 1 != 0,
                v6: families & 2 != 0,
            }),
        };
        match self.who {
            Who::Identity(identity) => Other::of_class(Some(identity), None, address),
            Who::Node(node) => Other::of_class(None, Some(node), address),
            Who::Outside => Other::of_class(None, None, address),
        }
    }
}
