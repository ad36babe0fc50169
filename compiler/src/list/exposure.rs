//! What could reach workloads, or be reached from them, from pods and namespaces that do not exist yet, by the
//! labels that they would need.
//!
//! Input: a [`Listing`]. Output: [`Exposure`], for each workload and direction some [`NewPods`]. Guarantee: of a
//! pod that may come to be, in a namespace of the cluster or in a new one, every entry that [covers](NewPods::covers)
//! it has its answer; where none does, nothing passes. Policies of both sides count. A new pod has a network of
//! its own, named ports that are not known, and runs on no node of the cluster.
//!
//! Work: pods are cut by the selectors that matter into parts ([`Cell`]), of which one pod is asked; parts with
//! one answer are put together again. Where there are too many parts, the answer is left open and
//! [`Exposed::coarse`] says so: nothing is claimed that is not true.

mod asked;
mod cells;
mod identities;
mod labels;
pub mod report;
mod space;
pub mod words;

pub use labels::{Cell, Scope, Values};
pub use space::Sample;

use super::matrix::Matrix;
use super::peers::ClassId;
use super::{Listing, PeerId};
use crate::cluster::{Cluster, Labels, NamespaceId};
use crate::flows::AnswerId;
use crate::hir::Direction;
use asked::Asked;
use rustc_hash::FxHashMap;
use space::{Kinds, Selected, Space};

/// What pods that do not exist yet may send and be sent.
#[derive(Debug, Default)]
pub struct Exposure {
    /// By class and direction.
    of: FxHashMap<(ClassId, Direction), Exposed>,
}

/// New pods by what may pass between them and a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exposed {
    /// The most general ones first; never those with which nothing passes.
    pub entries: Vec<NewPods>,
    /// Whether there are more kinds of pods than are told apart: of some it is left open.
    pub coarse: bool,
}

/// Pods that do not exist yet, with what may pass between them and a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NewPods {
    /// Whether those in new namespaces are meant.
    pub new: bool,
    /// The namespaces of the cluster that are meant.
    pub existing: Vec<NamespaceId>,
    /// The conditions on the labels of pods and of new namespaces.
    pub cell: Cell,
    /// What becomes of packets.
    pub answer: AnswerId,
}

impl NewPods {
    /// Whether a pod is meant, in a namespace of the cluster or, with `None`, in a new one.
    #[must_use]
    pub fn covers(
        &self,
        namespace: Option<NamespaceId>,
        namespace_labels: &Labels,
        labels: &Labels,
    ) -> bool {
        let there = match namespace {
            Some(id) => self.existing.contains(&id),
            None => self.new && self.cell.has(Scope::Namespace, namespace_labels),
        };
        there && self.cell.has(Scope::Pod, labels)
    }

    /// One of the pods.
    #[must_use]
    pub fn sample(&self, cluster: &Cluster) -> Sample {
        let first = self.existing.first().filter(|_| !self.new);
        let space = first.map_or(Space::New, |id| Space::Existing(*id));
        space.sample(cluster, &self.cell)
    }
}

impl Exposure {
    /// The new pods that matter to a peer.
    #[must_use]
    pub fn of(
        &self,
        listing: &Listing<'_>,
        peer: PeerId,
        direction: Direction,
    ) -> Option<&Exposed> {
        let class = listing.peers.class_of(peer)?;
        self.of.get(&(class, direction))
    }
}

impl Listing<'_> {
    /// What pods that do not exist yet may send to each peer, and be sent.
    pub fn exposure(&mut self) -> Exposure {
        let selected = Selected::new(self.connections.cluster(), self.connections.program());
        let classes: Vec<ClassId> = self.class_ids().collect();
        let mut exposure = Exposure::default();
        for direction in [Direction::Ingress, Direction::Egress] {
            let kinds = Kinds::new(&mut self.connections, &selected, direction.opposite());
            for class in &classes {
                let ends = self.peers.members(*class).iter().map(|member| member.end);
                let ends = ends.collect();
                let mut asked = Asked {
                    listing: self,
                    selected: &selected,
                    kinds: &kinds,
                    direction,
                    ends,
                };
                let exposed = asked.exposed();
                exposure.of.insert((*class, direction), exposed);
            }
        }
        exposure
    }
}
