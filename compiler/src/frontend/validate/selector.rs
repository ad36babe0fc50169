//! Rules on labels and label selectors.
//!
//! Input: a selector or a mapping of labels. Guarantee: what `ValidateLabelSelector` of
//! `k8s.io/apimachinery/pkg/apis/meta/v1/validation` refuses is reported. Custom resources are not held to it by
//! the API server, but `LabelSelectorAsSelector`, by which implementations read them, refuses the same.

use super::text;
use crate::diagnostic::{Diagnostic, codes};
use crate::frontend::lower;
use crate::frontend::manifest::Value;
use crate::frontend::report::{Place, Report};

const OPERATORS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist"];

/// Who refuses a selector without a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refuser {
    /// The API server.
    Server,
    /// Every implementation, for the API server takes it; what is missing, its schema says.
    Implementations,
    /// Cilium's agent, which takes keys with a source in front; what the schema says, it says.
    Agent,
}

impl Refuser {
    /// Adds what is wrong: an error where the API server refuses it, else the reason why the object has no meaning.
    pub(super) fn add(self, diagnostic: Diagnostic, report: &mut Report<'_, '_>) {
        match self {
            Self::Server => report.add(diagnostic),
            Self::Implementations => report.add_unusable(diagnostic),
            Self::Agent => report.add(Diagnostic {
                code: &codes::AGENT_SELECTOR,
                ..diagnostic
            }),
        }
    }

    fn check_key(self, key: &str) -> Result<(), text::Breach> {
        match self {
            Self::Server | Self::Implementations => text::label_key(key),
            Self::Agent => sourced_key(key),
        }
    }
}

/// `app`, or with the source of the label `k8s:app`: `IsValidCiliumLabelKey` of Cilium's `pkg/labels`.
fn sourced_key(text: &str) -> Result<(), text::Breach> {
    let Some((source, key)) = text.split_once(':') else {
        return text::label_key(text);
    };
    if key.contains(':') {
        Err("must have at most one `:`, behind the label's source")
    } else if source.is_empty() || !source.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Err("must have letters and digits in front of the `:`, such as `k8s`")
    } else {
        text::label_key(key)
    }
}

/// Checks the selector at `place`.
pub(super) fn check(place: &Place<'_>, refuser: Refuser, report: &mut Report<'_, '_>) {
    if let Some(labels) = place.get("matchLabels") {
        check_labels(&labels, refuser, report);
    }
    if let Some(expressions) = place.get("matchExpressions") {
        for expression in expressions.items() {
            check_expression(&expression, refuser, report);
        }
        check_together(place, report);
    }
}

/// What is asked of one label in several places may exclude each other. Labels alone cannot: each stands once.
fn check_together(place: &Place<'_>, report: &mut Report<'_, '_>) {
    let Ok(selector) = lower::selector::selector(Some(place.node)) else {
        return;
    };
    if let Some(key) = selector.contradiction() {
        let spot = place.spot();
        let message = format!(
            "`{}` asks what excludes itself of the label `{key}`: nothing matches",
            spot.field
        );
        report.add(
            spot.at_head(&codes::CONTRADICTION, message, "selects nothing, ever")
                .help("a label must meet all that is asked of it; what may be one or the other is one list of `values`"),
        );
    }
}

/// Checks the keys and values of a mapping of labels; both are reported at the mapping's field.
pub(super) fn check_labels(labels: &Place<'_>, refuser: Refuser, report: &mut Report<'_, '_>) {
    for (key, value) in labels.entries() {
        if let Err(breach) = refuser.check_key(key) {
            let spot = value.spot();
            refuser.add(
                Diagnostic::new(
                    &codes::INVALID_LABEL,
                    format!("the label's key `{key}` {breach}"),
                )
                .at(spot.head, "not a valid key")
                .field(labels.spot().field)
                .help("write a name such as `app`, or with a domain `example.com/app`"),
                report,
            );
        }
        if let Some(text) = value.node.as_str()
            && refuser != Refuser::Agent
        {
            check_value(&value, labels, text, refuser, report);
        }
    }
}

/// Checks a value of a label, which is reported at the field of `told_at`.
fn check_value(
    place: &Place<'_>,
    told_at: &Place<'_>,
    value: &str,
    refuser: Refuser,
    report: &mut Report<'_, '_>,
) {
    if let Err(breach) = text::label_value(value) {
        refuser.add(
            place.spot().at_value(
                &codes::INVALID_LABEL,
                format!("the label's value `{value}` {breach}"),
                "no label can have this value",
            )
            .field(told_at.spot().field)
            .help("write the value that the objects' labels have; see `kubectl get --show-labels`"),
            report,
        );
    }
}

fn check_expression(expression: &Place<'_>, refuser: Refuser, report: &mut Report<'_, '_>) {
    check_operator(expression, refuser, report);
    let key = expression.get("key");
    let name = match &key {
        Some(place) => place.node.as_str(),
        None => Some(""),
    };
    // A key that is missing altogether is for the schema of a custom resource to report.
    if let Some(Err(breach)) = name.map(|name| refuser.check_key(name))
        && (key.is_some() || refuser == Refuser::Server)
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
        refuser.add(diagnostic.help("set `key` to the name of a label"), report);
    }
    let Some(values) = expression.get("values") else {
        return;
    };
    for place in values.items() {
        if let Some(text) = place.node.as_str() {
            check_value(&place, &place, text, refuser, report);
        }
    }
}

fn is_list(place: &Place<'_>) -> bool {
    matches!(place.node.value(), Value::Sequence(_))
}

fn check_operator(expression: &Place<'_>, refuser: Refuser, report: &mut Report<'_, '_>) {
    let values = expression.get("values");
    let count = values.map_or(0, |values| values.node.items().count());
    let operator = expression.get("operator");
    let name = match &operator {
        Some(place) => match place.node.as_str() {
            Some(name) => name,
            // The schema reports a value of another type.
            None => return,
        },
        None if refuser == Refuser::Server => "",
        None => return,
    };
    match name {
        // Anything but a list is reported as such by the schema.
        "In" | "NotIn" if count == 0 && values.is_none_or(|place| is_list(&place)) => {
            let spot = match &values {
                Some(place) => place.spot(),
                None => expression.spot().below("values"),
            };
            refuser.add(
                spot.at_head(
                    &codes::REQUIRED_VALUE,
                    format!("`{name}` needs values to compare with"),
                    "no values",
                )
                .help("list `values`, or use `Exists` or `DoesNotExist`"),
                report,
            );
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            if let Some(values) = &values {
                let instead = if name == "Exists" { "In" } else { "NotIn" };
                refuser.add(
                    values
                        .spot()
                        .at_head(
                            &codes::FORBIDDEN_VALUE,
                            format!("`{name}` takes no values"),
                            "not allowed here",
                        )
                        .help(format!("remove `values`, or use `{instead}`")),
                    report,
                );
            }
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ if refuser == Refuser::Agent => {}
        _ => {
            let spot = match &operator {
                Some(place) => place.spot(),
                None => expression.spot().below("operator"),
            };
            refuser.add(text::not_one_of(&spot, name, OPERATORS), report);
        }
    }
}
