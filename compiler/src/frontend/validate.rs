//! What the API server says of an object.
//!
//! Input: an object whose kind is known. Output: every problem of it at once, each at its place in the text
//! and with the field in the API server's notation. Guarantee: an object without errors is accepted by API
//! server 1.37 (for custom resources: by their published definitions), as far as policy depends on it. An
//! address that only older servers accept is a warning. What the server itself writes is taken as it comes.

mod address;
mod admin_network_policy;
mod cluster_network_policy;
mod dns_snapshot;
mod metadata;
mod network_policy;
mod peers;
mod ports;
mod selector;
pub(in crate::frontend) mod text;

use super::kinds::Kind;
use super::manifest::NodeRef;
use super::report::{Place, Report};
use super::schema;
use crate::diagnostic::{Code, Diagnostic, Severity, codes};
use crate::source::Span;

/// Checks an object of a kind that is read, and says whether it is accepted.
///
/// `root` is the whole object, `metadata` included. Problems are added to `diagnostics`.
pub fn check_object(kind: Kind, root: NodeRef<'_>, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let mut report = Report::new(kind, root, diagnostics);
    schema::walk::walk(schema::of(kind), root, &mut report);
    let place = Place::root(root);
    match kind {
        Kind::NetworkPolicy => network_policy::check(&place, &mut report),
        Kind::AdminNetworkPolicy | Kind::BaselineAdminNetworkPolicy => {
            admin_network_policy::check(&place, &mut report);
        }
        Kind::ClusterNetworkPolicy => cluster_network_policy::check(&place, &mut report),
        Kind::DnsSnapshot => dns_snapshot::check(&place, &mut report),
        Kind::Namespace
        | Kind::Node
        | Kind::Pod
        | Kind::Service
        | Kind::ServiceAccount
        | Kind::Endpoints
        | Kind::EndpointSlice => metadata::check(&place, &mut report),
        Kind::Deployment
        | Kind::StatefulSet
        | Kind::DaemonSet
        | Kind::ReplicaSet
        | Kind::ReplicationController
        | Kind::Job
        | Kind::CronJob => {
            metadata::check(&place, &mut report);
            metadata::check_template(&place, &mut report);
        }
    }
    report.accepted()
}

/// Makes errors of the duplicate keys that the reader found in an object of a known kind, and says whether
/// there are any: the API server's strict decoding refuses them, where kubectl alone takes the last.
pub fn refuse_duplicate_keys(object: Span, diagnostics: &mut [Diagnostic]) -> bool {
    let mut found = false;
    for diagnostic in diagnostics
        .iter_mut()
        .filter(|diagnostic| diagnostic.code == &codes::DUPLICATE_KEY)
    {
        if diagnostic
            .label
            .as_ref()
            .is_some_and(|label| object.contains(label.span))
        {
            diagnostic.severity = Severity::Error;
            found = true;
        }
    }
    found
}

/// Whether it is clear what an object means in spite of this error: a name that is none, more items than
/// allowed, an exception of nothing. Where answers are wanted from refused objects, such ones can be read.
#[must_use]
pub fn leaves_meaning(error: &Diagnostic) -> bool {
    const HARMLESS: [&Code; 5] = [
        &codes::TOO_MANY,
        &codes::RULE_VIOLATED,
        &codes::INVALID_NAME,
        &codes::DUPLICATE_ITEM,
        &codes::USELESS_EXCEPTION,
    ];
    // A selector that is missing decodes as an empty one, which selects everything.
    let lacks_selector = error.code == &codes::MISSING_FIELD
        && error
            .field
            .as_deref()
            .is_some_and(|field| field.ends_with("Selector"));
    lacks_selector || HARMLESS.contains(&error.code)
}
