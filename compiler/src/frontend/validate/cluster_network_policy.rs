//! Rules on ClusterNetworkPolicy.
//!
//! Guarantee: the CEL rules of its published definition (v0.2.0) hold; in the dialect of Cilium, also what its agent
//! asks of peers beyond them.

use super::cilium::option_off;
use super::{metadata, peers};
use crate::diagnostic::codes;
use crate::frontend::report::{Place, Report};
use crate::frontend::schema::walk::whole;
use crate::frontend::settings::cilium::Options;
use crate::frontend::settings::{Dialect, Settings};

/// Checks the policy at `root`.
pub(super) fn check(root: &Place<'_>, settings: &Settings, report: &mut Report<'_, '_>) {
    metadata::check(root, report);
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
            match settings.dialect {
                Dialect::Kubernetes => {}
                Dialect::Cilium => agent(&rule, key, &settings.cilium, report),
            }
        }
    }
}

/// What Cilium's agent refuses of peers: nodes without identities of their own, and names that only its proxy for
/// DNS could learn, or that are not accepted.
fn agent(rule: &Place<'_>, key: &str, options: &Options, report: &mut Report<'_, '_>) {
    let Some(peers) = rule.get(key) else { return };
    let action = rule.get("action").and_then(|place| place.node.as_str());
    for peer in peers.items() {
        if let Some(nodes) = peer.get("nodes")
            && !options.enable_node_selector_labels
        {
            let spot = nodes.spot();
            report.add(option_off(
                &spot,
                "nodes as peers",
                "enable-node-selector-labels",
            ));
        }
        let Some(names) = peer.get("domainNames") else {
            continue;
        };
        if !options.enable_l7_proxy {
            let spot = names.spot();
            report.add(option_off(&spot, "domain names", "enable-l7-proxy"));
        }
        if action.is_some_and(|action| action != "Accept") {
            report.add(
                names
                    .spot()
                    .at_head(
                        &codes::AGENT_VALUE,
                        "Cilium takes domain names in rules that accept only",
                        "not accepted",
                    )
                    .help("write `action: Accept`, or the addresses as `networks`"),
            );
        }
    }
}

fn check_rule(rule: &Place<'_>, key: &str, report: &mut Report<'_, '_>) {
    if let Some(list) = rule.get(key) {
        for peer in list.items() {
            peers::check(&peer, report);
        }
    }
    if let Some(protocols) = rule.get("protocols") {
        for protocol in protocols.items() {
            for key in ["tcp", "udp", "sctp"] {
                if let Some(place) = protocol.get(key)
                    && let Some(port) = place.get("destinationPort")
                    && let Some(range) = port.get("range")
                {
                    check_range(&range, report);
                }
            }
        }
    }
    if key == "to" {
        peers::no_domains_unless("Accept", rule, report);
        peers::no_named_ports_outside(rule, "protocols", "destinationNamedPort", report);
    }
}

/// CEL: `self.start < self.end`.
fn check_range(range: &Place<'_>, report: &mut Report<'_, '_>) {
    let end = |key| range.get(key).and_then(|place| whole(place.node.value()));
    let (Some(start), Some(end)) = (end("start"), end("end")) else {
        return;
    };
    if start >= end {
        let help = if start == end {
            format!("write `number: {start}` instead of the range")
        } else {
            format!("write `start: {end}` and `end: {start}`")
        };
        report.add(
            range
                .spot()
                .at_head(
                    &codes::RULE_VIOLATED,
                    format!("the range must end above its start: {start} to {end}"),
                    "not a range",
                )
                .help(help),
        );
    }
}
