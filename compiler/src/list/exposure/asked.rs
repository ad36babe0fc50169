//! One class of peers in one direction: the parts that new pods are cut into, with their answers, and what is said
//! of them.

use super::cells::{Cells, merge, split, widen};
use super::labels::{Cell, Scope};
use super::space::{Kind, Kinds, Selected, Space};
use super::{Exposed, NewPods};
use crate::cluster::{Cluster, NamespaceId};
use crate::flows::{Answer, AnswerId, EndId, Packets, PerFamily};
use crate::hir::Direction;
use crate::ir::SelectorId;
use crate::list::Listing;
use crate::source::to_u32;
use rustc_hash::FxHashMap;

/// A class of peers, while it is asked in a direction.
pub(super) struct Asked<'l, 'a> {
    pub(super) listing: &'l mut Listing<'a>,
    pub(super) selected: &'l Selected,
    pub(super) kinds: &'l Kinds,
    pub(super) direction: Direction,
    pub(super) ends: Vec<EndId>,
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
    /// The new pods that matter to the class.
    pub(super) fn exposed(&mut self) -> Exposed {
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
        self.listing.connections.numbered(Answer {
            allow: Packets::none(),
            depends: Packets::all(),
            proxied: Packets::none(),
            proving: Packets::none(),
        })
    }
}

fn passes((_, answer): &(Cell, AnswerId)) -> bool {
    *answer != AnswerId::NOTHING
}

/// What is said of new namespaces and of those of the cluster, put together where it is the same.
fn entries(cluster: &Cluster, new: &Cells<AnswerId>, groups: &[Group]) -> Vec<NewPods> {
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
    let mut others = others(&entries, groups);
    entries.append(&mut others);
    entries.sort_by_cached_key(|entry| (!entry.new, entry.cell.keys().len(), entry.clone()));
    entries
}

/// What is said of pods in namespaces of the cluster that is not said of them with new ones.
fn others(entries: &[NewPods], groups: &[Group]) -> Vec<NewPods> {
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
    others
}
