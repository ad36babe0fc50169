//! Rules on what a workload selects and what its template makes.
//!
//! Input: a workload. Guarantee: as `ValidateDeploymentSpec` and its like of `pkg/apis/apps/validation` in Kubernetes
//! 1.37, a selector that is written selects the pods of the template: otherwise labels are not what their author
//! thinks, and policies go by labels. The pods that it makes are not in doubt. A workload without selector, whose pods are all the same known, is taken.

use super::selector::{self, Refuser};
use crate::cluster::Labels;
use crate::diagnostic::codes;
use crate::frontend::kinds::Kind;
use crate::frontend::lower;
use crate::frontend::report::{Place, Report, Spot};
use crate::hir::{Requirement, Selector};

/// Checks the selector of the workload at `root`.
pub(super) fn check(root: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(spec) = root.get("spec") else { return };
    let Some(place) = spec.get("selector") else {
        return;
    };
    let selector = if report.kind == Kind::ReplicationController {
        // Its selector is a mapping of labels.
        let labels = place.entries();
        let equal =
            labels.filter_map(|(key, value)| Some(Requirement::equal(key, value.node.as_str()?)));
        Some(equal.collect())
    } else if matches!(
        report.kind,
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::ReplicaSet
    ) {
        selector::check(&place, Refuser::Server, report);
        lower::selector::selector(Some(place.node)).ok()
    } else {
        // The server makes the selector of a Job; the others have no template.
        None
    };
    if let Some(selector) = selector {
        check_match(&spec, &place.spot(), &selector, report);
    }
}

fn check_match(
    spec: &Place<'_>,
    place: &Spot<'_>,
    selector: &Selector,
    report: &mut Report<'_, '_>,
) {
    if selector.requirements.is_empty() {
        // That of a ReplicationController is then made of the labels.
        if report.kind != Kind::ReplicationController {
            let message = "an empty `selector` is refused for a workload";
            report.add_mendable(
                place
                    .at_head(&codes::INVALID_VALUE, message, "selects everything")
                    .help("select the labels of the template"),
            );
        }
        return;
    }
    let Some(template) = spec.get("template") else {
        return;
    };
    let metadata = template.get("metadata");
    let labels = metadata
        .as_ref()
        .and_then(|metadata| metadata.get("labels"));
    let entries = labels.iter().flat_map(Place::entries);
    let own: Labels = entries
        .map(|(key, value)| (key, value.node.as_str().unwrap_or("")))
        .collect();
    let missed = selector.requirements.iter().find(|it| !it.matches(&own));
    if let Some(missed) = missed {
        let spot = match &labels {
            Some(labels) => labels.spot(),
            None => template.spot().below("metadata").below("labels"),
        };
        let message = format!(
            "`spec.selector` does not match the labels of the template: see `{}`",
            missed.key
        );
        report.add_mendable(
            Spot {
                field: format!("{}.template.metadata.labels", spec.spot().field),
                ..spot
            }
            .at_head(&codes::INVALID_VALUE, message, "not selected")
            .help("give the template the labels that the selector asks for"),
        );
    }
}
