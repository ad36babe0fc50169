//! Rules on labels and label selectors.
//!
//! Input: a selector or a mapping of labels. Guarantee: what `ValidateLabelSelector` of
//! `k8s.io/apimachinery/pkg/apis/meta/v1/validation` refuses is reported. Custom resources are not held to it
//! by the API server, though no implementation can use what it refuses: there it weighs a warning.

use super::text;
use crate::diagnostic::{Diagnostic, Severity, codes};
use crate::frontend::manifest::Value;
use crate::frontend::report::{Place, Report, Spot};

const OPERATORS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist"];

/// Checks the selector at `place`.
pub(super) fn check(place: &Place<'_>, severity: Severity, report: &mut Report<'_, '_>) {
    if let Some(labels) = place.get("matchLabels") {
        check_labels(&labels, severity, report);
    }
    if let Some(expressions) = place.get("matchExpressions") {
        for expression in expressions.items() {
            check_expression(&expression, severity, report);
        }
    }
}

/// Checks the keys and values of a mapping of labels; both are reported at the mapping's field.
pub(super) fn check_labels(labels: &Place<'_>, severity: Severity, report: &mut Report<'_, '_>) {
    for (key, value) in labels.entries() {
        if let Err(breach) = text::label_key(key) {
            let spot = value.spot();
            report.add(
                Diagnostic::new(
                    &codes::INVALID_LABEL,
                    format!("the label's key `{key}` {breach}"),
                )
                .at(spot.head, "not a valid key")
                .severity(severity)
                .field(labels.spot().field)
                .help("write a name such as `app`, or with a domain `example.com/app`"),
            );
        }
        if let Some(text) = value.node.as_str() {
            let spot = Spot {
                field: String::new(),
                ..value.spot()
            };
            check_value(&spot, text, severity, report, || labels.spot().field);
        }
    }
}

fn check_value(
    spot: &Spot<'_>,
    value: &str,
    severity: Severity,
    report: &mut Report<'_, '_>,
    field: impl FnOnce() -> String,
) {
    if let Err(breach) = text::label_value(value) {
        report.add(
            spot.at_value(
                &codes::INVALID_LABEL,
                format!("the label's value `{value}` {breach}"),
                "no label can have this value",
            )
            .severity(severity)
            .field(field())
            .help("write the value that the objects' labels have; see `kubectl get --show-labels`"),
        );
    }
}

fn check_expression(expression: &Place<'_>, severity: Severity, report: &mut Report<'_, '_>) {
    check_operator(expression, severity, report);
    let key = expression.get("key");
    let name = match &key {
        Some(place) => place.node.as_str(),
        None => Some(""),
    };
    // A key that is missing altogether is for the schema of a custom resource to report.
    if let Some(Err(breach)) = name.map(text::label_key)
        && (key.is_some() || severity == Severity::Error)
    {
        let spot = match &key {
            Some(place) => place.spot(),
            None => expression.spot().below("key"),
        };
        let message = format!("the label's key `{}` {breach}", name.unwrap_or(""));
        let diagnostic = if key.is_some() {
            spot.at_value(&codes::INVALID_LABEL, message, "not a valid key")
        } else {
            spot.at_head(
                &codes::INVALID_LABEL,
                "the expression names no label",
                "lacks `key`",
            )
        };
        report.add(
            diagnostic
                .severity(severity)
                .help("set `key` to the name of a label"),
        );
    }
    let Some(values) = expression.get("values") else {
        return;
    };
    for place in values.items() {
        if let Some(text) = place.node.as_str() {
            let spot = place.spot();
            check_value(&spot, text, severity, report, || spot.field.clone());
        }
    }
}

fn is_list(place: &Place<'_>) -> bool {
    matches!(place.node.value(), Value::Sequence(_))
}

fn check_operator(expression: &Place<'_>, severity: Severity, report: &mut Report<'_, '_>) {
    let values = expression.get("values");
    let count = values.map_or(0, |values| values.node.items().count());
    let operator = expression.get("operator");
    let name = match &operator {
        Some(place) => match place.node.as_str() {
            Some(name) => name,
            // The schema reports a value of another type.
            None => return,
        },
        None if severity == Severity::Error => "",
        None => return,
    };
    match name {
        // Anything but a list is reported as such by the schema.
        "In" | "NotIn" if count == 0 && values.is_none_or(|place| is_list(&place)) => {
            let spot = match &values {
                Some(place) => place.spot(),
                None => expression.spot().below("values"),
            };
            report.add(
                spot.at_head(
                    &codes::REQUIRED_VALUE,
                    format!("`{name}` needs values to compare with"),
                    "no values",
                )
                .severity(severity)
                .help("list `values`, or use `Exists` or `DoesNotExist`"),
            );
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            if let Some(values) = &values {
                let instead = if name == "Exists" { "In" } else { "NotIn" };
                report.add(
                    values
                        .spot()
                        .at_head(
                            &codes::FORBIDDEN_VALUE,
                            format!("`{name}` takes no values"),
                            "not allowed here",
                        )
                        .severity(severity)
                        .help(format!("remove `values`, or use `{instead}`")),
                );
            }
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => {
            let spot = match &operator {
                Some(place) => place.spot(),
                None => expression.spot().below("operator"),
            };
            report.add(text::not_one_of(&spot, name, OPERATORS).severity(severity));
        }
    }
}
