//! Namespaces, declared and implied, and the service accounts in them.

use super::declared::Declared;
use super::report::{Report, Tally};
use super::sets::Sets;
use crate::cluster::{
    Cluster, Labels, NAMESPACE_NAME_LABEL, Namespace, NamespaceId, ServiceAccount,
};
use crate::diagnostic::codes;
use crate::source::Span;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every cluster has this namespace; manifests that name none mean it.
const DEFAULT_NAMESPACE: &str = "default";

/// The namespaces that are used and not defined, with the first place of each.
pub(super) fn implied<'d, 'r: 'd>(
    declared: &'d Declared<'_>,
    referred: impl IntoIterator<Item = (&'r str, Span)>,
) -> BTreeMap<&'d str, Span> {
    let mut places: FxHashMap<&str, Span> = FxHashMap::default();
    let referred = referred
        .into_iter()
        .map(|(name, span)| -> (&'d str, Span) { (name, span) });
    for (name, span) in declared.used_namespaces().chain(referred) {
        let first = places.entry(name).or_insert(span);
        *first = span.min(*first);
    }
    for namespace in &declared.namespaces {
        places.remove(&*namespace.name);
    }
    places.into_iter().collect()
}

pub(super) fn build(
    declared: &Declared<'_>,
    implied: BTreeMap<&str, Span>,
    sets: &mut Sets,
    report: &mut Report,
) -> Vec<Namespace> {
    report_undefined(declared, &implied, report);
    let implied = implied
        .into_keys()
        .map(|name| (Box::from(name), Arc::default(), None));
    let defined = declared.namespaces.iter().map(|namespace| {
        let labels = Arc::clone(&namespace.labels);
        (namespace.name.clone(), labels, Some(namespace.span))
    });
    let mut all: Vec<(Box<str>, Arc<Labels>, Option<Span>)> = defined.chain(implied).collect();
    all.sort();
    all.into_iter()
        .map(|(name, labels, span)| Namespace {
            labels: sets.labels(&with_name(&labels, &name)),
            name,
            span,
        })
        .collect()
}

/// The ids of the namespaces of objects that are sorted by them: each is looked for once.
pub(super) struct InTurn<'c> {
    cluster: &'c Cluster,
    last: Option<(Arc<str>, Option<NamespaceId>)>,
}

impl<'c> InTurn<'c> {
    pub(super) fn of(cluster: &'c Cluster) -> Self {
        Self {
            cluster,
            last: None,
        }
    }

    pub(super) fn find(&mut self, name: &Arc<str>) -> Option<NamespaceId> {
        if let Some((last, id)) = &self.last
            && last == name
        {
            return *id;
        }
        let id = self.cluster.find_namespace(name);
        self.last = Some((Arc::clone(name), id));
        id
    }
}

fn with_name(labels: &Labels, name: &str) -> Arc<Labels> {
    let name_label = (NAMESPACE_NAME_LABEL, name);
    Arc::new(labels.iter().chain([name_label]).collect())
}

fn report_undefined(declared: &Declared<'_>, places: &BTreeMap<&str, Span>, report: &mut Report) {
    let mut undefined = Tally::default();
    for (name, span) in places {
        if *name != DEFAULT_NAMESPACE && !declared.is_refused("Namespace", None, name) {
            undefined.add(*span, || (*name).to_owned());
        }
    }
    report.extend(undefined.report(
        &codes::UNDEFINED_NAMESPACE,
        "a namespace is referred to but not defined",
        "namespaces are referred to but not defined",
        "only the label `kubernetes.io/metadata.name` is known of it: add its Namespace object if a policy selects namespaces by other labels",
    ));
}

pub(super) fn service_accounts(
    declared: &Declared<'_>,
    cluster: &Cluster,
    sets: &mut Sets,
) -> Vec<ServiceAccount> {
    let accounts = declared.service_accounts.iter().filter_map(|account| {
        Some(ServiceAccount {
            namespace: cluster.find_namespace(&account.namespace)?,
            name: account.name.clone(),
            labels: sets.labels(&account.labels),
            span: account.span,
        })
    });
    accounts.collect()
}
