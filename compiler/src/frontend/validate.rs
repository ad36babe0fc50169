//! What the API server says of an object, and of Cilium's policies the agent that enforces them.
//!
//! Input: an object whose kind is known. Output: every problem of it at once, each at its place in the text
//! and with the field in the API server's notation. Guarantee: an object without errors is accepted by API
//! server 1.37 (for custom resources: by their published definitions), and by Cilium's agent where it is the agent's
//! own, as far as policy depends on it. An
//! address that only older servers accept is a warning. What the server itself writes is taken as it comes.

mod address;
mod admin_network_policy;
mod cilium;
mod cluster_network_policy;
mod cluster_ports;
mod dns_snapshot;
mod go_regexp;
mod metadata;
mod network_policy;
mod peers;
mod ports;
mod selector;
mod template;
pub(in crate::frontend) mod text;

use super::kinds::Kind;
use super::manifest::NodeRef;
pub use super::report::Acceptance;
use super::report::{Place, Report};
use super::schema;
use super::settings::Settings;
use crate::diagnostic::{Diagnostic, Severity, codes};
use std::collections::HashSet;

/// Checks an object of a kind that is read, and says what becomes of it.
///
/// `root` is the whole object, `metadata` included. What Cilium's agent refuses hangs on the settings. Problems are
/// added to `diagnostics`.
pub fn check_object(
    kind: Kind,
    root: NodeRef<'_>,
    settings: &Settings,
    diagnostics: &mut Vec<Diagnostic>,
) -> Acceptance {
    let mut report = Report::new(kind, root, diagnostics);
    refuse_repeated_keys(root, &mut report);
    schema::walk::walk(schema::of(kind), root, &mut report);
    let place = Place::root(root);
    match kind {
        Kind::NetworkPolicy => network_policy::check(&place, &mut report),
        Kind::AdminNetworkPolicy | Kind::BaselineAdminNetworkPolicy => {
            admin_network_policy::check(&place, &mut report);
        }
        Kind::ClusterNetworkPolicy => cluster_network_policy::check(&place, settings, &mut report),
        Kind::CiliumNetworkPolicy | Kind::CiliumClusterwideNetworkPolicy => {
            cilium::check(&place, &settings.cilium, &mut report);
        }
        Kind::DnsSnapshot => dns_snapshot::check(&place, &mut report),
        Kind::CiliumCidrGroup
        | Kind::Namespace
        | Kind::Node
        | Kind::ServiceAccount
        | Kind::Endpoints
        | Kind::EndpointSlice => metadata::check(&place, &mut report),
        Kind::Service => {
            metadata::check(&place, &mut report);
            cluster_ports::check_service(&place, &mut report);
        }
        Kind::Pod => {
            metadata::check(&place, &mut report);
            metadata::check_node_name(&place, &mut report);
            cluster_ports::check_containers(&place, &mut report);
        }
        Kind::Deployment
        | Kind::StatefulSet
        | Kind::DaemonSet
        | Kind::ReplicaSet
        | Kind::ReplicationController
        | Kind::Job
        | Kind::CronJob => {
            metadata::check(&place, &mut report);
            metadata::check_template(&place, &mut report);
            template::check(&place, &mut report);
            cluster_ports::check_containers(&place, &mut report);
        }
    }
    report.acceptance()
}

/// The API server's strict decoding refuses a key that stands twice, where kubectl alone takes the last; it sees
/// the object with its aliases and merges written out.
fn refuse_repeated_keys(root: NodeRef<'_>, report: &mut Report<'_, '_>) {
    for key in root.repeated_keys() {
        report.add(key.warning().severity(Severity::Error));
    }
}

/// Drops what the reader said of a place where validation has said it better: its doubt about a scalar whose
/// type the field settles, its warning of a key that stands twice in an object. To be called once for each
/// document, when all of its objects have been checked.
pub fn settle(diagnostics: &mut Vec<Diagnostic>) {
    let place = |diagnostic: &Diagnostic| diagnostic.label.as_ref().map(|label| label.span);
    let is_refused_key = |diagnostic: &Diagnostic| {
        diagnostic.code == &codes::DUPLICATE_KEY && diagnostic.severity == Severity::Error
    };
    let mut wrong_types = HashSet::new();
    let mut refused_keys = HashSet::new();
    for diagnostic in diagnostics.iter() {
        if diagnostic.code == &codes::WRONG_TYPE {
            wrong_types.insert(place(diagnostic));
        } else if is_refused_key(diagnostic) {
            refused_keys.insert(place(diagnostic));
        }
    }
    // What several objects refer to is told once.
    let mut told = HashSet::new();
    diagnostics.retain(|diagnostic| {
        let place = place(diagnostic);
        if diagnostic.code == &codes::SURPRISING_SCALAR {
            !wrong_types.contains(&place)
        } else if is_refused_key(diagnostic) {
            told.insert(place)
        } else {
            diagnostic.code != &codes::DUPLICATE_KEY || !refused_keys.contains(&place)
        }
    });
}
