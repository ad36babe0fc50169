//! Where a pod that does not exist may be: in a namespace of the cluster, or in a new one.

use super::cells::{Cells, split};
use super::identities;
use super::labels::{Cell, Key, Scope, Values};
use crate::cluster::{Cluster, Labels, NAMESPACE_NAME_LABEL, NamespaceId};
use crate::flows::{Connections, Governed};
use crate::hir::{Direction, NamespaceSelector, PodSelector, Selector};
use crate::ir::{Program, SelectorId};
use crate::query::Hypothetical;
use crate::source::to_u32;
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// A namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Space {
    Existing(NamespaceId),
    /// Any that the cluster does not have.
    New,
}

/// A pod that does not exist.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The name of its namespace.
    pub namespace: Box<str>,
    /// The labels of its namespace.
    pub namespace_labels: Labels,
    /// Its own labels.
    pub labels: Labels,
}

impl Sample {
    /// The pod as an end of flows.
    #[must_use]
    pub fn hypothetical(&self) -> Hypothetical<'_> {
        Hypothetical {
            namespace: &self.namespace,
            namespace_labels: &self.namespace_labels,
            labels: &self.labels,
        }
    }
}

pub(super) fn name_key() -> Key {
    (Scope::Namespace, NAMESPACE_NAME_LABEL.into())
}

impl Space {
    /// Every pod in it. A new namespace has a name, and none of the cluster: names of the cluster do not occur in
    /// conditions on that label.
    pub(super) fn all(self) -> Cell {
        let mut all = Cell::default();
        match self {
            Self::Existing(_) => {}
            Self::New => all.set(name_key(), Values::present()),
        }
        all
    }

    /// What a selector selects in it; `None` where that is nothing.
    fn selected(self, cluster: &Cluster, selector: &PodSelector) -> Option<Cell> {
        let pods = Cell::of(Scope::Pod, &selector.pods)?;
        match (self, &selector.namespaces) {
            (Self::Existing(id), NamespaceSelector::Named(name)) => {
                (*cluster.namespace_name(id) == **name).then_some(pods)
            }
            (Self::Existing(id), NamespaceSelector::Labels(labels)) => {
                labels.matches(cluster.namespace_labels(id)).then_some(pods)
            }
            (Self::New, NamespaceSelector::Named(name)) => {
                let named = Values::one_of([name.clone()]);
                new_namespaces(cluster, Cell::default().with(name_key(), &named)?)?
                    .intersection(&pods)
            }
            (Self::New, NamespaceSelector::Labels(labels)) => {
                new_namespaces(cluster, Cell::of(Scope::Namespace, labels)?)?.intersection(&pods)
            }
        }
    }

    /// A pod of a part.
    pub(super) fn sample(self, cluster: &Cluster, cell: &Cell) -> Sample {
        let of_scope = |scope| {
            let labels = cell.labels(scope);
            labels.filter_map(move |(key, values)| {
                let is_name = scope == Scope::Namespace && key == NAMESPACE_NAME_LABEL;
                let taken = |value: &str| is_name && cluster.find_namespace(value).is_some();
                Some((Box::<str>::from(key), values.sample(taken)?))
            })
        };
        let labels = of_scope(Scope::Pod).collect();
        match self {
            Self::Existing(id) => Sample {
                namespace: cluster.namespace_name(id).into(),
                namespace_labels: cluster.namespace_labels(id).clone(),
                labels,
            },
            Self::New => {
                let namespace_labels: Labels = of_scope(Scope::Namespace).collect();
                let name = namespace_labels.get(NAMESPACE_NAME_LABEL);
                Sample {
                    namespace: name.unwrap_or_default().into(),
                    namespace_labels,
                    labels,
                }
            }
        }
    }
}

/// The new namespaces among some: the names of the cluster are left out.
fn new_namespaces(cluster: &Cluster, mut cell: Cell) -> Option<Cell> {
    let key = name_key();
    let mut names = cell.get(&key).intersection(&Values::present());
    names
        .listed
        .retain(|name| cluster.find_namespace(name).is_none());
    if names.is_empty() {
        return None;
    }
    cell.set(key, names);
    Some(cell)
}

/// What each selector of a program selects, in namespaces of the cluster and in new ones.
#[derive(Debug)]
pub(super) struct Selected {
    /// By selector and namespace: whether it selects anything there.
    namespaces: Vec<Vec<bool>>,
    /// By selector: the pods that it selects in such a namespace.
    pods: Vec<Cell>,
    /// By selector.
    new: Vec<Option<Cell>>,
}

impl Selected {
    pub(super) fn new(cluster: &Cluster, program: &Program) -> Self {
        let selectors = program.selectors.iter();
        let selectors: Vec<Option<Cow<'_, PodSelector>>> = selectors
            .map(|selector| identities::of_pods(program, &selector.written))
            .collect();
        let written = || selectors.iter().map(Option::as_deref);
        let namespaces = || (0..to_u32(cluster.namespaces().len())).map(NamespaceId);
        let in_namespaces = |selector: &PodSelector| {
            // Without the part that all namespaces have in common.
            let anyone = PodSelector {
                namespaces: selector.namespaces.clone(),
                pods: Selector::everything(),
            };
            let possible = Cell::of(Scope::Pod, &selector.pods).is_some();
            let here = |id| Space::Existing(id).selected(cluster, &anyone).is_some();
            namespaces().map(|id| possible && here(id)).collect()
        };
        Self {
            namespaces: written()
                .map(|selector| selector.map(in_namespaces).unwrap_or_default())
                .collect(),
            pods: written()
                .map(|selector| Cell::of(Scope::Pod, &selector?.pods))
                .map(Option::unwrap_or_default)
                .collect(),
            new: written()
                .map(|selector| Space::New.selected(cluster, selector?))
                .collect(),
        }
    }

    /// The pods of a namespace that a selector selects; `None` where there are none.
    pub(super) fn within(&self, space: Space, selector: SelectorId) -> Option<&Cell> {
        match space {
            Space::Existing(id) => {
                let here = self.namespaces.get(selector.index())?.get(id.index());
                here.copied()
                    .unwrap_or(false)
                    .then(|| self.pods.get(selector.index()))
                    .flatten()
            }
            Space::New => self.new.get(selector.index())?.as_ref(),
        }
    }
}

/// Namespaces in which new pods are governed alike, with those pods by what governs them; `None` is what is left
/// open.
#[derive(Debug)]
pub(super) struct Kind(pub(super) Cells<Option<Governed>>);

/// The kinds of all namespaces.
#[derive(Debug)]
pub(super) struct Kinds {
    list: Vec<Kind>,
    /// By namespace; that of new ones comes last.
    of: Vec<usize>,
}

impl Kinds {
    /// By what governs packets of new pods in a direction of theirs.
    pub(super) fn new(
        connections: &mut Connections<'_>,
        selected: &Selected,
        direction: Direction,
    ) -> Self {
        let (cluster, program) = (connections.cluster(), connections.program());
        let subjects: Vec<SelectorId> = program
            .policies
            .iter()
            .filter(|policy| {
                *policy.isolates.get(direction) || !policy.rules.get(direction).is_empty()
            })
            .map(|policy| policy.subject)
            .collect();
        let mut kinds = Self {
            list: Vec::new(),
            of: Vec::new(),
        };
        let mut known: FxHashMap<(Space, Vec<SelectorId>), usize> = FxHashMap::default();
        let existing = (0..to_u32(cluster.namespaces().len())).map(NamespaceId);
        for space in existing.map(Space::Existing).chain([Space::New]) {
            let mut here = subjects.clone();
            here.retain(|subject| selected.within(space, *subject).is_some());
            here.sort_unstable();
            here.dedup();
            let like = match space {
                Space::Existing(_) => Space::Existing(NamespaceId(0)),
                Space::New => Space::New,
            };
            let kind = *known.entry((like, here)).or_insert_with_key(|(_, here)| {
                let selectors: Vec<&Cell> = here
                    .iter()
                    .filter_map(|subject| selected.within(space, *subject))
                    .collect();
                let cells = split(&space.all(), &selectors).into_iter();
                let governed = cells.map(|(cell, decided)| {
                    let sample = space.sample(cluster, &cell);
                    let governed = decided.then(|| connections.governed(sample.hypothetical()));
                    (cell, governed)
                });
                kinds.list.push(Kind(governed.collect()));
                kinds.list.len() - 1
            });
            kinds.of.push(kind);
        }
        kinds
    }

    /// The kind of a namespace, by number.
    pub(super) fn of(&self, space: Space) -> Option<usize> {
        match space {
            Space::Existing(id) => self.of.get(id.index()).copied(),
            Space::New => self.of.last().copied(),
        }
    }

    pub(super) fn get(&self, kind: usize) -> Option<&Kind> {
        self.list.get(kind)
    }
}
