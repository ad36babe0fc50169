//! Workloads: those that are declared, and the owners that pods name.
//!
//! Output: the workloads at the top of each owner chain, which of them made each pod, and a template for each
//! that has no pod. Owners above a workload that are no workload themselves (an operator's resource) are not
//! followed.

use super::declared::Declared;
use super::namespaces::InTurn;
use super::nodes::NODE_KIND;
use super::report::{Report, Tally};
use crate::cluster::object::{self, Id, Pod, Template};
use crate::cluster::{Cluster, Labels, NamespaceId, Workload, WorkloadId};
use crate::diagnostic::codes;
use crate::source::{Span, to_u32};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// The label with which a Deployment tells its ReplicaSets' pods apart; its value ends the ReplicaSet's name.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pod-template-hash-label>
const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// The workloads, and what they have to do with pods.
pub(super) struct Makers<'o> {
    /// Sorted by namespace, kind and name.
    pub(super) workloads: Vec<Workload>,
    /// The workload of each declared pod.
    pub(super) of_pod: Vec<Option<WorkloadId>>,
    /// The workloads without pods.
    pub(super) stand_ins: Vec<StandIn<'o>>,
}

/// A workload without pods, and the pod that it would create.
pub(super) struct StandIn<'o> {
    pub(super) workload: WorkloadId,
    pub(super) template: &'o Template,
    pub(super) span: Span,
}

type Key<'a> = (NamespaceId, &'a str, &'a str);

/// What is known of a workload at the top of a chain.
#[derive(Default)]
struct Top<'a> {
    defined: Option<Span>,
    template: Option<&'a object::Workload>,
    pod: Option<Span>,
}

pub(super) fn build<'o>(
    declared: &Declared<'o>,
    cluster: &Cluster,
    report: &mut Report,
) -> Makers<'o> {
    let chains = Chains::new(&declared.workloads);
    let mut tops: BTreeMap<Key<'_>, Top<'_>> = BTreeMap::new();
    for workload in declared.workloads.iter().copied() {
        if let Some(key) = chains.key_of_workload(workload, cluster) {
            tops.entry(key).or_default().add_workload(key, workload);
        }
    }
    let pods = declared.pods.par_iter().map_init(
        || InTurn::of(cluster),
        |namespaces, pod| (chains.key_of_pod(pod, namespaces), pod.span),
    );
    let pods: Vec<(Option<Key<'_>>, Span)> = pods.collect();
    // Sorted by name, the pods of a workload stand together.
    let runs = || pods.chunk_by(|(one, _), (other, _)| one == other);
    for run in runs() {
        if let Some((Some(key), _)) = run.first() {
            let spans = run.iter().map(|(_, span)| *span);
            tops.entry(*key).or_default().add_pods(spans);
        }
    }
    report_undefined(declared, &tops, cluster, report);
    let ids: FxHashMap<Key<'_>, WorkloadId> = tops
        .keys()
        .enumerate()
        .map(|(index, key)| (*key, WorkloadId(to_u32(index))))
        .collect();
    Makers {
        of_pod: runs()
            .flat_map(|run| {
                let key = run.first().and_then(|(key, _)| key.as_ref());
                std::iter::repeat_n(key.and_then(|key| ids.get(key).copied()), run.len())
            })
            .collect(),
        stand_ins: tops
            .values()
            .enumerate()
            .filter_map(|(index, top)| top.stand_in(WorkloadId(to_u32(index))))
            .collect(),
        workloads: tops
            .iter()
            .map(|((namespace, kind, name), top)| Workload {
                namespace: *namespace,
                kind: (*kind).into(),
                name: (*name).into(),
                several: top.template.is_some_and(|maker| maker.several),
                span: top.defined,
            })
            .collect(),
    }
}

impl<'a> Top<'a> {
    /// The template is the workload's own, or else that of an active one below it, or else of any.
    fn add_workload(&mut self, (_, kind, name): Key<'_>, workload: &'a object::Workload) {
        let is_top = workload.kind == kind && *workload.name == *name;
        if is_top {
            self.defined = Some(workload.span);
        }
        let rank = |workload: &object::Workload| {
            (
                workload.kind == kind && *workload.name == *name,
                workload.active,
            )
        };
        if self
            .template
            .is_none_or(|known| rank(known) < rank(workload))
        {
            self.template = Some(workload);
        }
    }

    fn add_pods(&mut self, spans: impl Iterator<Item = Span>) {
        self.pod = self.pod.into_iter().chain(spans).min();
    }

    fn stand_in(&self, workload: WorkloadId) -> Option<StandIn<'a>> {
        let maker = self.template.filter(|_| self.pod.is_none())?;
        Some(StandIn {
            workload,
            template: &maker.template,
            span: maker.span,
        })
    }
}

/// The declared workloads by name, to follow owners.
struct Chains<'a> {
    known: FxHashMap<Id<'a>, &'a object::Workload>,
}

impl<'a> Chains<'a> {
    fn new(workloads: &[&'a object::Workload]) -> Self {
        let known = workloads
            .iter()
            .map(|workload| (object::Declared::id(*workload), *workload))
            .collect();
        Self { known }
    }

    fn key_of_workload(
        &self,
        workload: &'a object::Workload,
        cluster: &Cluster,
    ) -> Option<Key<'a>> {
        let namespace = cluster.find_namespace(&workload.namespace)?;
        let (kind, name) = top_of(workload);
        Some((namespace, kind, name))
    }

    fn key_of_pod(&self, pod: &'a Pod, namespaces: &mut InTurn<'_>) -> Option<Key<'a>> {
        let owner = pod.owner.as_ref()?;
        if *owner.kind == *NODE_KIND {
            return None;
        }
        let id = Id {
            kind: &owner.kind,
            namespace: &pod.namespace,
            name: &owner.name,
        };
        let (kind, name) = match self.known.get(&id) {
            Some(workload) => top_of(workload),
            None => self.guess(id, &pod.template.labels),
        };
        Some((namespaces.find(&pod.namespace)?, kind, name))
    }

    /// The top above an owner that is not declared: a Deployment or CronJob that is, and that names what it
    /// makes like this; else the owner itself.
    fn guess(&self, id: Id<'a>, labels: &Labels) -> (&'a str, &'a str) {
        let upper = match id.kind {
            "ReplicaSet" => labels
                .get(TEMPLATE_HASH_LABEL)
                .and_then(|hash| id.name.strip_suffix(hash)?.strip_suffix('-'))
                .map(|name| ("Deployment", name)),
            "Job" => id
                .name
                .rsplit_once('-')
                .filter(|(_, time)| {
                    !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit())
                })
                .map(|(name, _)| ("CronJob", name)),
            _ => None,
        };
        upper
            .filter(|(kind, name)| self.known.contains_key(&Id { kind, name, ..id }))
            .unwrap_or((id.kind, id.name))
    }
}

/// The top above a declared workload.
fn top_of(workload: &object::Workload) -> (&str, &str) {
    match &workload.owner {
        Some(owner) if is_step(workload.kind, &owner.kind) => (&owner.kind, &owner.name),
        _ => (workload.kind, &workload.name),
    }
}

/// Whether one workload is but a step below another.
fn is_step(kind: &str, owner: &str) -> bool {
    matches!(
        (kind, owner),
        ("ReplicaSet", "Deployment") | ("Job", "CronJob")
    )
}

fn report_undefined(
    declared: &Declared<'_>,
    tops: &BTreeMap<Key<'_>, Top<'_>>,
    cluster: &Cluster,
    report: &mut Report,
) {
    let mut undefined = Tally::default();
    for ((namespace, kind, name), top) in tops {
        let namespace = cluster.namespace_name(*namespace);
        if let (None, Some(span)) = (top.defined, top.pod)
            && !declared.is_refused(kind, Some(namespace), name)
        {
            undefined.add(span, || format!("{namespace}/{kind}/{name}"));
        }
    }
    report.extend(undefined.report(
        &codes::UNDEFINED_OWNER,
        "the owner of pods is not defined",
        "owners of pods are not defined",
        "their pods are grouped by the owner that they name: add Deployments and CronJobs to have them grouped by these",
    ));
}
