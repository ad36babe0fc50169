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
use rustc_hash::FxHashMap;

#[derive(Default)]
pub(super) struct Declared<'r> {
    /// Sorted.
    refused: &'r [ObjectRef],
    pub(super) namespaces: Vec<Namespace>,
    pub(super) nodes: Vec<Node>,
    pub(super) pods: Vec<Pod>,
    pub(super) workloads: Vec<Workload>,
    pub(super) services: Vec<Service>,
    pub(super) endpoints: Vec<Endpoints>,
    pub(super) service_accounts: Vec<ServiceAccount>,
    pub(super) block_groups: Vec<BlockGroup>,
    pub(super) dns_snapshots: Vec<DnsSnapshot>,
}

impl<'r> Declared<'r> {
    pub(super) fn new(
        objects: Vec<Vec<Object>>,
        refused: &'r [ObjectRef],
        report: &mut Report,
    ) -> Self {
        let mut declared = Self {
            refused,
            // Most objects are pods. What is not used of it takes no memory.
            pods: Vec::with_capacity(objects.iter().map(Vec::len).sum()),
            ..Self::default()
        };
        for object in objects.into_iter().flatten() {
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

    fn add(&mut self, object: Object) {
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

fn uses<T: object::Declared>(objects: &[T]) -> impl Iterator<Item = (&str, Span)> {
    objects
        .iter()
        .map(|object| (object.id().namespace, object.span()))
}

fn sort_once<T: object::Declared>(objects: &mut Vec<T>, report: &mut Report) {
    sort(objects);
    objects.dedup_by(|again, first| {
        let same = again.id() == first.id() && has_own_name(first.id().name);
        if same {
            report.add(duplicate(first.id(), first.span(), again.span()));
        }
        same
    });
}

/// Sorts objects: by namespace and kind first, of which there are few, so that most comparisons are of two names. Objects are
/// large, so it is their keys that are moved about.
fn sort<T: object::Declared>(objects: &mut Vec<T>) {
    type Group<'o> = Vec<(&'o str, Span, usize)>;
    let mut groups: FxHashMap<(&str, &str), Group<'_>> = FxHashMap::default();
    for (index, object) in objects.iter().enumerate() {
        let Id {
            kind,
            namespace,
            name,
        } = object.id();
        let group = groups.entry((namespace, kind)).or_default();
        group.push((name, object.span(), index));
    }
    let mut groups: Vec<((&str, &str), Group<'_>)> = groups.into_iter().collect();
    groups.sort_unstable_by_key(|(key, _)| *key);
    let mut order: Vec<usize> = Vec::with_capacity(objects.len());
    for (_, mut group) in groups {
        group.sort_unstable();
        order.extend(group.into_iter().map(|(_, _, index)| index));
    }
    let mut unsorted: Vec<Option<T>> = std::mem::take(objects).into_iter().map(Some).collect();
    let sorted = order.into_iter();
    objects.extend(sorted.filter_map(|index| unsorted.get_mut(index)?.take()));
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
