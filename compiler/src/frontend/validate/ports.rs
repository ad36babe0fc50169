//! Rules on ports.
//!
//! Input: an item of `ports` of a NetworkPolicy. Guarantee: as `ValidateNetworkPolicyPort` of
//! `pkg/apis/networking/validation` in Kubernetes 1.37.

use super::text;
use crate::diagnostic::codes;
use crate::frontend::manifest::Value;
use crate::frontend::report::{Place, Report};
use crate::frontend::schema::walk::whole;

pub(super) const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];
const PORT_NUMBERS: std::ops::RangeInclusive<i128> = 1..=65535;

/// Checks one item of `ports`.
pub(super) fn check(item: &Place<'_>, report: &mut Report<'_, '_>) {
    if let Some(protocol) = item.get("protocol")
        && let Some(name) = protocol.node.as_str()
        && !PROTOCOLS.contains(&name)
    {
        report.add(text::not_one_of(&protocol.spot(), name, PROTOCOLS));
    }
    let end = item.get("endPort");
    let Some(port) = item.get("port") else {
        if let Some(end) = end {
            report.add(
                end.spot()
                    .at_head(
                        &codes::FORBIDDEN_VALUE,
                        "`endPort` needs a `port` at which the range starts",
                        "no `port` beside it",
                    )
                    .help("set `port` to the first port of the range"),
            );
        }
        return;
    };
    match port.node.value() {
        Value::Int(_) | Value::Uint(_) | Value::Float(_) => {
            if let Some(first) = whole(port.node.value()) {
                check_number(&port, first, report);
                check_end(first, end, report);
            }
        }
        Value::String(name) => {
            check_name(&port, name, report);
            if let Some(end) = end {
                report.add(
                    end.spot()
                        .at_head(
                            &codes::FORBIDDEN_VALUE,
                            format!("`endPort` needs a numeric `port`, not the name `{name}`"),
                            "not allowed beside a port's name",
                        )
                        .help("write `port` as a number without quotes, or remove `endPort`"),
                );
            }
        }
        Value::Null | Value::Bool(_) | Value::Sequence(_) | Value::Mapping(_) => {}
    }
}

fn check_end(first: i128, end: Option<Place<'_>>, report: &mut Report<'_, '_>) {
    let Some(end) = end else { return };
    let Some(last) = whole(end.node.value()) else {
        return;
    };
    if last < first {
        let message = format!("`endPort` {last} is below `port` {first}");
        let diagnostic = end
            .spot()
            .at_value(&codes::INVALID_PORT, message, "below `port`");
        report.add(if PORT_NUMBERS.contains(&last) {
            diagnostic.help(format!("write `port: {last}` and `endPort: {first}`"))
        } else {
            diagnostic.help("write the last port of the range")
        });
    }
    check_number(&end, last, report);
}

pub(super) fn check_number(place: &Place<'_>, port: i128, report: &mut Report<'_, '_>) {
    if !PORT_NUMBERS.contains(&port) && i32::try_from(port).is_ok() {
        let help = if port == 0 {
            "remove the field to mean every port"
        } else {
            "write a number from 1 to 65535"
        };
        report.add(
            place
                .spot()
                .at_value(
                    &codes::INVALID_PORT,
                    format!("a port must be between 1 and 65535, not {port}"),
                    "no such port",
                )
                .help(help),
        );
    }
}

/// The names that a container may give a port: an IANA service name.
fn check_name(place: &Place<'_>, name: &str, report: &mut Report<'_, '_>) {
    for breach in breaches(name) {
        let help = match name.trim().trim_start_matches('+').parse::<u16>() {
            Ok(number) if number > 0 => format!("write `{number}` without quotes"),
            Ok(_) | Err(_) => match port_name(name) {
                Some(better) => format!("write `{better}`, if the pod's port has that name"),
                None => "write the port's number, or the name that the pod gives it".to_owned(),
            },
        };
        report.add(
            place
                .spot()
                .at_value(
                    &codes::INVALID_PORT,
                    format!("the port's name `{name}` {breach}"),
                    "not a valid port name",
                )
                .help(help),
        );
    }
}

pub(super) fn breaches(name: &str) -> Vec<text::Breach> {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let mut breaches = Vec::new();
    if name.len() > 15 {
        breaches.push("must be no longer than 15 characters");
    }
    if name.is_empty() {
        breaches.push("must not be empty");
    }
    if !name.bytes().all(is_inner) {
        breaches.push("must consist of lower case letters, digits and `-`");
    }
    if !name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        breaches.push("must contain a letter: a number in quotes is taken for a name");
    }
    if name.contains("--") {
        breaches.push("must not have two `-` in a row");
    }
    if name.starts_with('-') || name.ends_with('-') {
        breaches.push("must not start or end with `-`");
    }
    // One sentence is enough where several say the same of the same characters.
    breaches.truncate(1);
    breaches
}

/// The nearest name that a port may have, for a remedy.
pub(super) fn port_name(name: &str) -> Option<String> {
    let better = name
        .trim_matches('-')
        .to_lowercase()
        .replace(['_', ' '], "-");
    (breaches(&better).is_empty() && better != name).then_some(better)
}
