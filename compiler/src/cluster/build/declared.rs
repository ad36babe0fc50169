//! Objects by kind, sorted by name, each once.
//!
//! Guarantee: of two definitions of one object the one that stands first stays, whatever order they came in;
//! each further one is an error that shows both places.

use super::report::Report;
use crate::cluster::object::{
    self, BlockGroup, DnsSnapshot, Endpoints, Id, Namespace, Node, Object, Pod, Service,
    ServiceAccount, Workload,
};
use crate::diagnostic::{Diagnostic, ObjectRef, codes};
use crate::source::Span;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::ops::Deref;

/// Objects are large: they stay where they are.
#[derive(Default)]
pub(super) struct Declared<'o> {
    /// Sorted.
    refused: &'o [ObjectRef],
    pub(super) namespaces: Vec<&'o Namespace>,
    pub(super) nodes: Vec<&'o Node>,
    /// What the cluster has of them is taken out.
    pub(super) pods: Vec<&'o mut Pod>,
    pub(super) workloads: Vec<&'o Workload>,
    pub(super) services: Vec<&'o Service>,
    pub(super) endpoints: Vec<&'o Endpoints>,
    pub(super) service_accounts: Vec<&'o ServiceAccount>,
    pub(super) block_groups: Vec<&'o BlockGroup>,
    pub(super) dns_snapshots: Vec<&'o DnsSnapshot>,
}

impl<'o> Declared<'o> {
    pub(super) fn new(
        objects: &'o mut [Vec<Object>],
        refused: &'o [ObjectRef],
        report: &mut Report,
    ) -> Self {
        let mut declared = Self {
            refused,
            // Most objects are pods. What is not used of it takes no memory.
            pods: Vec::with_capacity(objects.iter().map(Vec::len).sum()),
            ..Self::default()
        };
        for object in objects.iter_mut().flatten() {
            declared.add(object);
        }
        sort_once(&mut declared.namespaces, report);
        sort_once(&mut declared.nodes, report);
        sort_once(&mut declared.pods, report);
        sort_once(&mut declared.workloads, report);
        sort_once(&mut declared.services, report);
        sort_once(&mut declared.endpoints, report);
        sort_once(&mut declared.service_accounts, report);
        sort_once(&mut declared.block_groups, report);
        sort_once(&mut declared.dns_snapshots, report);
        declared
    }

    /// Whether an object is in the inputs, but has errors.
    pub(super) fn is_refused(&self, kind: &str, namespace: Option<&str>, name: &str) -> bool {
        let of = |object: &ObjectRef| {
            let key = (&*object.kind, object.namespace.as_deref(), &*object.name);
            key.cmp(&(kind, namespace, name))
        };
        self.refused.binary_search_by(of).is_ok()
    }

    fn add(&mut self, object: &'o mut Object) {
        match object {
            Object::Namespace(namespace) => self.namespaces.push(namespace),
            Object::Node(node) => self.nodes.push(node),
            Object::Pod(pod) => self.pods.push(pod),
            Object::Workload(workload) => self.workloads.push(workload),
            Object::Service(service) => self.services.push(service),
            Object::Endpoints(endpoints) => self.endpoints.push(endpoints),
            Object::ServiceAccount(account) => self.service_accounts.push(account),
            Object::BlockGroup(group) => self.block_groups.push(group),
            Object::DnsSnapshot(snapshot) => self.dns_snapshots.push(snapshot),
        }
    }

    /// The namespaces in which something is declared, with the places.
    pub(super) fn used_namespaces(&self) -> impl Iterator<Item = (&str, Span)> {
        uses(&self.pods)
            .chain(uses(&self.workloads))
            .chain(uses(&self.services))
            .chain(uses(&self.endpoints))
            .chain(uses(&self.service_accounts))
    }
}

fn uses<'a, T: object::Declared + 'a>(
    objects: &'a [impl Deref<Target = T>],
) -> impl Iterator<Item = (&'a str, Span)> {
    objects
        .iter()
        .map(|object| (object.id().namespace, object.span()))
}

fn sort_once<T: object::Declared>(objects: &mut Vec<impl Deref<Target = T>>, report: &mut Report) {
    // Most of what programs write is sorted.
    let is_as_it_is = objects.is_sorted_by(|one, other| order(&**one) < order(&**other));
    if is_as_it_is || sort(objects) == Names::Once {
        return;
    }
    objects.dedup_by(|again, first| {
        let same = again.id() == first.id() && has_own_name(first.id().name);
        if same {
            report.add(duplicate(first.id(), first.span(), again.span()));
        }
        same
    });
}

/// By what objects are sorted.
fn order<T: object::Declared>(object: &T) -> (&str, &str, &str) {
    let Id {
        kind,
        namespace,
        name,
    } = object.id();
    (namespace, kind, name)
}

/// Whether names stand once each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Names {
    Once,
    Again,
}

/// Sorts objects: by namespace and kind first, of which there are few, so that most comparisons are of two names.
fn sort<T: object::Declared>(objects: &mut Vec<impl Deref<Target = T>>) -> Names {
    type Group<'o> = Vec<(&'o str, Span, usize)>;
    let mut groups: FxHashMap<(&str, &str), Group<'_>> = FxHashMap::default();
    for (index, object) in objects.iter().enumerate() {
        let (namespace, kind, name) = order(&**object);
        let group = groups.entry((namespace, kind)).or_default();
        group.push((name, object.span(), index));
    }
    let mut groups: Vec<((&str, &str), Group<'_>)> = groups.into_iter().collect();
    groups.sort_unstable_by_key(|(key, _)| *key);
    let names = groups.par_iter_mut().map(|(_, group)| {
        group.sort_unstable();
        if group.is_sorted_by(|(one, ..), (other, ..)| one < other) {
            Names::Once
        } else {
            Names::Again
        }
    });
    let names = names.reduce(|| Names::Once, Ord::max);
    let order: Vec<usize> = groups
        .into_iter()
        .flat_map(|(_, group)| group)
        .map(|(_, _, index)| index)
        .collect();
    let unsorted = std::mem::take(objects).into_iter();
    let mut unsorted: Vec<_> = unsorted.map(Some).collect();
    let sorted = order.into_iter();
    objects.extend(sorted.filter_map(|index| unsorted.get_mut(index)?.take()));
    names
}

/// Whether a name is the object's own: what `generateName` gives, the server completes, and ours need none.
fn has_own_name(name: &str) -> bool {
    !name.is_empty() && !name.ends_with('-')
}

fn duplicate(id: Id<'_>, first: Span, again: Span) -> Diagnostic {
    let object = ObjectRef {
        kind: id.kind.into(),
        namespace: (!id.namespace.is_empty()).then(|| id.namespace.into()),
        name: id.name.into(),
    };
    Diagnostic::new(
        &codes::DUPLICATE_OBJECT,
        format!("`{object}` is defined twice"),
    )
    .at(again, "defined again")
    .related(first, "defined first")
    .help("remove one of them, or give the files to be compared to `verdict diff`")
    .object(object)
}
