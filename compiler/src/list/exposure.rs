//! What could reach workloads, or be reached from them, from pods and namespaces that do not exist yet, by the
//! labels that they would need; and which workloads no policy protects.
//!
//! Input: a [`Listing`]. Output: [`Exposure`], for each workload and direction some [`NewPods`]. Guarantee: of a
//! pod that may come to be, in a namespace of the cluster or in a new one, every entry that [covers](NewPods::covers)
//! it has its answer; where none does, nothing passes. Policies of both sides count. A new pod has a network of
//! its own, named ports that are not known, and runs on no node of the cluster.
//!
//! Work: pods are cut by the selectors that matter into parts, of which one pod is asked ([`cells`]); parts with
//! one answer are put together again. Where there are too many parts, the answer is left open and
//! [`Exposed::coarse`] says so: nothing is claimed that is not true.

mod cells;
mod labels;
pub mod report;
mod space;
pub mod words;

pub use labels::{Cell, Scope, Values};
pub use space::Sample;

use super::peers::ClassId;
use super::{Listing, PeerId};
use crate::cluster::{Cluster, Labels, NamespaceId};
use crate::flows::{Answer, AnswerId, EndId, PerFamily};
use crate::hir::Direction;
use crate::ir::SelectorId;
use crate::source::to_u32;
use cells::{Cells, merge, split, widen};
use rustc_hash::FxHashMap;
use space::{Kind, Kinds, Selected, Space};

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
        let classes: Vec<ClassId> = self.peers.class_ids().collect();
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

    /// The peers of which some pod is governed by no policy in a direction.
    #[must_use]
    pub fn unprotected(&self, direction: Direction) -> Vec<PeerId> {
        let open = |class: ClassId| {
            let mut members = self.peers.members(class).iter();
            members.any(|member| !self.connections.is_governed(member.end, direction))
        };
        let classes: Vec<bool> = self.peers.class_ids().map(open).collect();
        let is_open = |peer: &PeerId| {
            let class = self.peers.class_of(*peer);
            class.and_then(|class| classes.get(class.index())) == Some(&true)
        };
        self.peer_ids().filter(is_open).collect()
    }
}

/// A class of peers, while it is asked in a direction.
struct Asked<'l, 'a> {
    listing: &'l mut Listing<'a>,
    selected: &'l Selected,
    kinds: &'l Kinds,
    direction: Direction,
    ends: Vec<EndId>,
}

/// Namespaces of the cluster in which new pods have the same answers.
struct Group {
    namespaces: Vec<NamespaceId>,
    cells: Cells<AnswerId>,
}

impl Group {
    /// Whether all pods of a part have one answer.
    fn is(&self, part: &Cell, answer: AnswerId) -> bool {
        let mut met = self.cells.iter().filter(|(cell, _)| cell.meets(part));
        met.all(|(_, own)| *own == answer)
    }
}

impl Asked<'_, '_> {
    fn exposed(&mut self) -> Exposed {
        let mut selectors: Vec<SelectorId> = self
            .ends
            .iter()
            .flat_map(|end| self.listing.connections.peers_asked(*end, self.direction))
            .collect();
        selectors.sort_unstable();
        selectors.dedup();
        let mut coarse = false;
        let new = self.answers(Space::New, &selectors, &mut coarse);
        let mut groups = Vec::new();
        for namespaces in self.alike(&selectors) {
            let Some(first) = namespaces.first() else {
                continue;
            };
            let cells = self.answers(Space::Existing(*first), &selectors, &mut coarse);
            groups.push(Group { namespaces, cells });
        }
        let entries = entries(self.listing.connections.cluster(), &new, &groups);
        Exposed { entries, coarse }
    }

    /// The namespaces of the cluster, those together in which nothing is told apart.
    fn alike(&self, selectors: &[SelectorId]) -> Vec<Vec<NamespaceId>> {
        let mut groups: Vec<Vec<NamespaceId>> = Vec::new();
        let mut known = FxHashMap::default();
        let count = self.listing.connections.cluster().namespaces().len();
        for id in (0..to_u32(count)).map(NamespaceId) {
            let space = Space::Existing(id);
            let mut here = selectors.to_vec();
            here.retain(|selector| self.selected.within(space, *selector).is_some());
            let group = *known
                .entry((self.kinds.of(space), here))
                .or_insert(groups.len());
            match groups.get_mut(group) {
                Some(group) => group.push(id),
                None => groups.push(vec![id]),
            }
        }
        groups
    }

    /// The answers for all pods of a namespace.
    fn answers(
        &mut self,
        space: Space,
        selectors: &[SelectorId],
        coarse: &mut bool,
    ) -> Cells<AnswerId> {
        let selected = self.selected;
        let here = selectors.iter();
        let here: Vec<&Cell> = here
            .filter_map(|selector| selected.within(space, *selector))
            .collect();
        let kinds = self.kinds;
        let Some(kind) = kinds.of(space).and_then(|kind| kinds.get(kind)) else {
            return Vec::new();
        };
        let mut answers = Vec::new();
        for (cell, own) in self.own_sides(kind) {
            let Some(own) = own else {
                *coarse = true;
                answers.push((cell, self.open()));
                continue;
            };
            if self.is_shut(&own) {
                answers.push((cell, AnswerId::NOTHING));
                continue;
            }
            for (part, decided) in split(&cell, &here) {
                *coarse |= !decided;
                let answer = if decided {
                    self.answer(space, &part, &own)
                } else {
                    self.open()
                };
                answers.push((part, answer));
            }
        }
        merge(answers)
    }

    /// What the policies of new pods say, for each end of the class; `None` where that is left open.
    fn own_sides(&mut self, kind: &Kind) -> Cells<Option<Vec<PerFamily>>> {
        let (direction, ends) = (self.direction, &self.ends);
        let connections = &mut self.listing.connections;
        let sides = kind.0.iter().map(|(cell, governed)| {
            let sides = governed.map(|governed| {
                let ends = ends.iter();
                let sides = ends.map(|end| connections.side_of_fresh(*end, direction, governed));
                sides.collect()
            });
            (cell.clone(), sides)
        });
        merge(sides.collect())
    }

    /// Whether the policies of a new pod let nothing pass.
    fn is_shut(&mut self, own: &[PerFamily]) -> bool {
        let connections = &mut self.listing.connections;
        self.ends.iter().zip(own).all(|(end, own)| {
            connections.with_fresh(*end, *own, [AnswerId::ALL; 2]) == AnswerId::NOTHING
        })
    }

    fn answer(&mut self, space: Space, part: &Cell, own: &[PerFamily]) -> AnswerId {
        let connections = &mut self.listing.connections;
        let sample = space.sample(connections.cluster(), part);
        let mut all = None;
        for (end, own) in self.ends.iter().zip(own) {
            let other = connections.side_towards_fresh(*end, self.direction, sample.hypothetical());
            let answer = connections.with_fresh(*end, *own, other);
            all = Some(all.map_or(answer, |known| connections.agreed(known, answer)));
        }
        all.unwrap_or(AnswerId::NOTHING)
    }

    /// The answer that claims nothing.
    fn open(&mut self) -> AnswerId {
        let all = Answer::all().allow;
        self.listing.connections.numbered(Answer {
            allow: Answer::nothing().allow,
            depends: all,
        })
    }
}

/// What is said of new namespaces and of those of the cluster, put together where it is the same.
fn entries(cluster: &Cluster, new: &Cells<AnswerId>, groups: &[Group]) -> Vec<NewPods> {
    let passes = |(_, answer): &(Cell, AnswerId)| *answer != AnswerId::NOTHING;
    let wide = widen(new, &Space::New.all()).into_iter().filter(passes);
    let mut entries: Vec<NewPods> = wide
        .map(|(cell, answer)| {
            let part = cell.part(Scope::Pod);
            let alike = groups.iter().filter(|group| group.is(&part, answer));
            let ids = alike.flat_map(|group| group.namespaces.iter().copied());
            let meets =
                |id: &NamespaceId| cell.has(Scope::Namespace, cluster.namespace_labels(*id));
            let mut existing: Vec<NamespaceId> = ids.filter(meets).collect();
            existing.sort_unstable();
            NewPods {
                new: true,
                existing,
                cell,
                answer,
            }
        })
        .collect();
    let mut others: Vec<NewPods> = Vec::new();
    let mut known: FxHashMap<(Cell, AnswerId), usize> = FxHashMap::default();
    for group in groups {
        let wide = widen(&group.cells, &Cell::default());
        for (cell, answer) in wide.into_iter().filter(passes) {
            for id in &group.namespaces {
                let said = entries.iter().any(|entry| {
                    entry.answer == answer
                        && entry.existing.binary_search(id).is_ok()
                        && cell.is_within(&entry.cell.part(Scope::Pod))
                });
                if said {
                    continue;
                }
                let index = *known.entry((cell.clone(), answer)).or_insert(others.len());
                match others.get_mut(index) {
                    Some(entry) => entry.existing.push(*id),
                    None => others.push(NewPods {
                        new: false,
                        existing: vec![*id],
                        cell: cell.clone(),
                        answer,
                    }),
                }
            }
        }
    }
    for entry in &mut others {
        entry.existing.sort_unstable();
    }
    entries.append(&mut others);
    entries.sort_by_cached_key(|entry| (!entry.new, entry.cell.keys().len(), entry.clone()));
    entries
}
