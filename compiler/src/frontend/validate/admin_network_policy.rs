//! Rules on AdminNetworkPolicy and BaselineAdminNetworkPolicy.
//!
//! Guarantee: the CEL rules of their published definitions (v0.1.7) hold, and what the API's text asks of
//! ports beyond them.

use super::selector::Refuser;
use super::{metadata, peers, text};
use crate::diagnostic::{Severity, codes};
use crate::frontend::kinds::Kind;
use crate::frontend::report::{Place, Report};
use crate::frontend::schema::walk::whole;

/// Checks the policy at `root`.
pub(super) fn check(root: &Place<'_>, report: &mut Report<'_, '_>) {
    metadata::check(root, report);
    if report.kind == Kind::BaselineAdminNetworkPolicy {
        singleton(root, report);
    }
    let Some(spec) = root.get("spec") else { return };
    if let Some(subject) = spec.get("subject") {
        peers::check(&subject, report);
    }
    for (direction, key) in [("ingress", "from"), ("egress", "to")] {
        let Some(rules) = spec.get(direction) else {
            continue;
        };
        for rule in rules.items() {
            check_rule(&rule, key, report);
        }
    }
}

/// CEL: `self.metadata.name == 'default'`.
fn singleton(root: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(metadata) = root.get("metadata") else {
        return;
    };
    let Some(name) = metadata.get("name") else {
        return;
    };
    if let Some(text) = name.node.as_str()
        && text != "default"
        && !text.is_empty()
    {
        report.add(
            name.spot()
                .at_value(
                    &codes::RULE_VIOLATED,
                    format!("the one BaselineAdminNetworkPolicy of a cluster is named `default`, not `{text}`"),
                    "must be `default`",
                )
                .help("write `name: default`"),
        );
    }
}

fn check_rule(rule: &Place<'_>, key: &str, report: &mut Report<'_, '_>) {
    if let Some(list) = rule.get(key) {
        for peer in list.items() {
            peers::check(&peer, report);
        }
    }
    if let Some(ports) = rule.get("ports") {
        for port in ports.items() {
            check_port(&port, report);
        }
    }
    if key == "to" {
        peers::no_domains_unless("Allow", rule, report);
        peers::no_named_ports_outside(rule, "ports", "namedPort", report);
    }
}

/// The definition leaves protocols and the order of a range open: no implementation can use other protocols, and a
/// range in the wrong order is empty.
fn check_port(port: &Place<'_>, report: &mut Report<'_, '_>) {
    for key in ["portNumber", "portRange"] {
        let Some(place) = port.get(key) else { continue };
        if let Some(protocol) = place.get("protocol")
            && let Some(name) = protocol.node.as_str()
            && !["TCP", "UDP", "SCTP"].contains(&name)
        {
            let diagnostic = text::not_one_of(&protocol.spot(), name, &["TCP", "UDP", "SCTP"]);
            Refuser::Implementations.add(diagnostic, report);
        }
    }
    let Some(range) = port.get("portRange") else {
        return;
    };
    let end = |key| range.get(key).and_then(|place| whole(place.node.value()));
    if let (Some(start), Some(end)) = (end("start"), end("end"))
        && end < start
    {
        report.add(
            range
                .spot()
                .at_head(
                    &codes::INVALID_PORT,
                    format!("the range ends at {end}, below its start {start}: it holds no port"),
                    "empty range",
                )
                .severity(Severity::Warning)
                .help(format!("write `start: {end}` and `end: {start}`")),
        );
    }
}
