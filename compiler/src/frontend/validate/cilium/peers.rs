//! Peers: which fields may stand together, selectors, blocks of addresses.

use super::{Context, Way, filled, not_yet, option_off};
use crate::diagnostic::codes;
use crate::frontend::report::{Place, Report};
use crate::frontend::validate::address::{self, Cidr};
use crate::frontend::validate::selector::{self, Refuser};

/// The fields of peers, of which a rule may fill one.
fn members(way: Way) -> &'static [&'static str] {
    match way {
        Way::Ingress => &[
            "fromEndpoints",
            "fromCIDR",
            "fromCIDRSet",
            "fromEntities",
            "fromNodes",
            "fromGroups",
        ],
        Way::Egress => &[
            "toEndpoints",
            "toCIDR",
            "toCIDRSet",
            "toEntities",
            "toNodes",
            "toGroups",
            "toServices",
            "toFQDNs",
        ],
    }
}

/// Checks the peers of a rule.
pub(super) fn check(rule: &Place<'_>, context: Context<'_>, report: &mut Report<'_, '_>) {
    one_member(rule, context.way, report);
    let [endpoints, nodes, cidrs, entities] = match context.way {
        Way::Ingress => ["fromEndpoints", "fromNodes", "fromCIDRSet", "fromEntities"],
        Way::Egress => ["toEndpoints", "toNodes", "toCIDRSet", "toEntities"],
    };
    if let Some(nodes) = filled(rule, nodes)
        && !context.options.enable_node_selector_labels
    {
        let spot = nodes.spot();
        let what = "nodes as peers";
        report.add(option_off(&spot, what, "enable-node-selector-labels"));
    }
    for key in [endpoints, nodes] {
        if let Some(list) = rule.get(key) {
            for item in list.items() {
                selector::check(&item, Refuser::Agent, report);
            }
        }
    }
    blocks(rule, context, report);
    if let Some(list) = rule.get(cidrs) {
        for item in list.items() {
            cidr_rule(&item, context, report);
        }
    }
    if let Some(list) = rule.get(entities) {
        for item in list.items() {
            if context.is_old() && item.node.as_str() == Some("cluster-mesh") {
                report.add(not_yet(&item.spot(), "cluster-mesh"));
            }
        }
    }
}

/// R5: peers of one kind only.
fn one_member(rule: &Place<'_>, way: Way, report: &mut Report<'_, '_>) {
    let set: Vec<&str> = members(way)
        .iter()
        .copied()
        .filter(|key| filled(rule, key).is_some())
        .collect();
    if let [first, .., last] = set.as_slice() {
        report.add(
            rule.spot()
                .at_head(
                    &codes::COMBINED_PEERS,
                    format!("Cilium refuses a rule with both `{first}` and `{last}`"),
                    "peers of two kinds",
                )
                .help("write one rule for each: a rule of its own allows what the items of both would"),
        );
    }
}

/// R8, for lists of blocks.
fn blocks(rule: &Place<'_>, context: Context<'_>, report: &mut Report<'_, '_>) {
    let key = match context.way {
        Way::Ingress => "fromCIDR",
        Way::Egress => "toCIDR",
    };
    if let Some(list) = rule.get(key) {
        for item in list.items() {
            block(&item, report);
        }
    }
}

/// A block as Go's `netip.ParsePrefix` reads it, where the schema's `net.ParseCIDR` has read it; reports what only
/// the former refuses.
fn block(place: &Place<'_>, report: &mut Report<'_, '_>) -> Option<Cidr> {
    let text = place.node.as_str()?;
    let cidr = Cidr::parse(text)?;
    if !address::is_strict_prefix(text) {
        report.add(
            place
                .spot()
                .at_value(
                    &codes::AGENT_ADDRESS,
                    format!("Cilium cannot read the block of addresses `{text}`"),
                    "a zero in front",
                )
                .help(format!("write `{}`", cidr.canonical())),
        );
        return None;
    }
    Some(cidr)
}

/// R8, for an item of `fromCIDRSet` or `toCIDRSet`. Beside a group, exceptions are not looked at.
fn cidr_rule(item: &Place<'_>, context: Context<'_>, report: &mut Report<'_, '_>) {
    if let Some(group) = item.get("cidrGroupSelector") {
        selector::check(&group, Refuser::Agent, report);
    }
    let Some(place) = item.get("cidr") else {
        return;
    };
    let Some(cidr) = block(&place, report) else {
        return;
    };
    let Some(exceptions) = item.get("except") else {
        return;
    };
    for exception in exceptions.items() {
        let Some(except) = block(&exception, report) else {
            continue;
        };
        let is_inside =
            cidr.contains_address(except) && (context.is_old() || cidr.length <= except.length);
        if !is_inside {
            report.add(
                exception
                    .spot()
                    .at_value(
                        &codes::USELESS_EXCEPTION,
                        format!(
                            "Cilium refuses the exception `{}`, which is no part of `{}`",
                            exception.node.raw(),
                            place.node.raw()
                        ),
                        "not inside the block",
                    )
                    .help("write a block that lies in the one it is an exception of, or remove it"),
            );
        }
    }
}
