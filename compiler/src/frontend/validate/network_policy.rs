//! Rules on NetworkPolicy.
//!
//! Guarantee: as `ValidateNetworkPolicy` of `pkg/apis/networking/validation` in Kubernetes 1.37, except that
//! addresses which servers before 1.36 accept weigh a warning: clusters hold such objects.

use super::address::{Cidr, Objection};
use super::{metadata, ports, selector, text};
use crate::diagnostic::{Diagnostic, codes};
use crate::frontend::report::{Place, Report, Spot};
use std::net::IpAddr;

const POLICY_TYPES: &[&str] = &["Ingress", "Egress"];

/// Checks the policy at `root`.
pub(super) fn check(root: &Place<'_>, report: &mut Report<'_, '_>) {
    metadata::check(root, report);
    let Some(spec) = root.get("spec") else { return };
    if let Some(pods) = spec.get("podSelector") {
        selector::check(&pods, selector::Refuser::Server, report);
    }
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let Some(rules) = spec.get(direction) else {
            continue;
        };
        for rule in rules.items() {
            check_rule(&rule, peers, report);
        }
    }
    policy_types(&spec, report);
    without_effect(&spec, report);
}

fn check_rule(rule: &Place<'_>, peers: &str, report: &mut Report<'_, '_>) {
    if let Some(ports) = rule.get("ports") {
        for item in ports.items() {
            ports::check(&item, report);
        }
    }
    if let Some(peers) = rule.get(peers) {
        for peer in peers.items() {
            check_peer(&peer, report);
        }
    }
}

fn check_peer(peer: &Place<'_>, report: &mut Report<'_, '_>) {
    let (pods, namespaces) = (peer.get("podSelector"), peer.get("namespaceSelector"));
    for place in [&pods, &namespaces].into_iter().flatten() {
        selector::check(place, selector::Refuser::Server, report);
    }
    let block = peer.get("ipBlock");
    if let Some(block) = &block {
        check_block(block, report);
    }
    let is_mapping = peer.node.is_null() || peer.node.entries().next().is_some();
    if pods.is_none() && namespaces.is_none() && block.is_none() {
        // Anything but a mapping is reported as such already.
        if is_mapping || peer.node.raw().starts_with('{') {
            report.add(
                peer.spot()
                    .at_head(
                        &codes::REQUIRED_VALUE,
                        "the peer names nothing",
                        "no selector and no `ipBlock`",
                    )
                    .help("set `podSelector`, `namespaceSelector` or `ipBlock`; `podSelector: {}` is every pod of the namespace"),
            );
        }
    } else if block.is_some() && (pods.is_some() || namespaces.is_some()) {
        report.add(
            peer.spot()
                .at_head(
                    &codes::FORBIDDEN_VALUE,
                    "`ipBlock` cannot stand beside a selector in one peer",
                    "both are set here",
                )
                .help(
                    "make two items of it, each with its own `-`: a flow has to match one of them",
                ),
        );
    }
}

fn check_block(block: &Place<'_>, report: &mut Report<'_, '_>) {
    let place = block.get("cidr");
    let text = match &place {
        Some(place) => match place.node.as_str() {
            Some(text) => text,
            None => return,
        },
        None if block.node.entries().next().is_some() || block.node.raw().starts_with('{') => "",
        None => return,
    };
    let spot = || match &place {
        Some(place) => place.spot(),
        None => block.spot().below("cidr"),
    };
    if text.is_empty() {
        report.add(
            spot()
                .at_head(
                    &codes::REQUIRED_VALUE,
                    "the `ipBlock` names no addresses",
                    "no `cidr`",
                )
                .help("set `cidr`, for example `10.0.0.0/8`"),
        );
        return;
    }
    let Some(cidr) = check_cidr(spot, text, report) else {
        return;
    };
    let Some(except) = block.get("except") else {
        return;
    };
    for item in except.items() {
        check_exception(&item, text, cidr, report);
    }
}

fn check_exception(item: &Place<'_>, outer: &str, cidr: Cidr, report: &mut Report<'_, '_>) {
    let text = match item.node.as_str() {
        Some(text) => text,
        None if item.node.is_null() => "",
        None => return,
    };
    let Some(inner) = check_cidr(|| item.spot(), text, report) else {
        return;
    };
    if !cidr.strictly_contains(inner) {
        let message = format!("the exception `{text}` must lie in `{outer}` and be smaller");
        let help = if inner.length == cidr.length && inner.canonical() == cidr.canonical() {
            "remove the peer: an exception of the whole block leaves nothing"
        } else {
            "remove the exception: it may only take addresses out of its own `cidr`"
        };
        report.add(
            item.spot()
                .at_value(&codes::USELESS_EXCEPTION, message, "not part of `cidr`")
                .help(help),
        );
    }
}

/// The block, unless no API server can read it.
fn check_cidr<'a>(
    spot: impl FnOnce() -> Spot<'a>,
    text: &str,
    report: &mut Report<'_, '_>,
) -> Option<Cidr> {
    let Some(cidr) = Cidr::parse(text) else {
        report.add(no_cidr(&spot(), text));
        return None;
    };
    if let Some(objection) = cidr.objection(text) {
        report.add(legacy(&spot(), text, cidr, objection));
    }
    Some(cidr)
}

pub(super) fn no_cidr(spot: &Spot<'_>, text: &str) -> Diagnostic {
    if text.is_empty() {
        return spot
            .at_value(
                &codes::INVALID_ADDRESS,
                "a CIDR must not be empty",
                "nothing here",
            )
            .help("remove the item, or write an address and a prefix length");
    }
    let help = as_cidr(text.trim()).unwrap_or_else(|| {
        "write an address and a prefix length, for example `10.0.0.0/8` or `2001:db8::/32`"
            .to_owned()
    });
    spot.at_value(
        &codes::INVALID_ADDRESS,
        format!("`{text}` is not a CIDR"),
        "not an address with a prefix length",
    )
    .help(help)
}

/// What may have been meant: an address alone, a mask for a length, a length that is too large.
fn as_cidr(text: &str) -> Option<String> {
    if Cidr::parse(text).is_some() {
        return Some(format!("write `{text}`"));
    }
    let (address, rest) = match text.split_once('/') {
        Some((address, rest)) => (address.parse::<IpAddr>().ok()?, Some(rest)),
        None => (text.parse().ok()?, None),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    Some(match rest {
        None => format!("write `{address}/{most}` for this address alone"),
        Some(rest) => match rest.parse().map(ipnet::ipv4_mask_to_prefix) {
            Ok(Ok(length)) => format!("write `{address}/{length}`"),
            Ok(Err(_)) | Err(_) => format!("write a prefix length from 0 to {most}"),
        },
    })
}

fn legacy(spot: &Spot<'_>, text: &str, cidr: Cidr, objection: Objection) -> Diagnostic {
    let (what, label) = match objection {
        Objection::LeadingZeros => ("has leading zeros", "leading zeros"),
        Objection::MappedAddress => (
            "is an IPv4 address in IPv6 notation",
            "IPv4 in IPv6 notation",
        ),
        Objection::HostBits => ("has bits set behind its prefix", "bits behind the prefix"),
    };
    spot.at_value(
        &codes::LEGACY_ADDRESS,
        format!("`{text}` {what}: Kubernetes 1.36 and newer refuse it, older versions accept it"),
        label,
    )
    .help(format!(
        "write `{}`, which means the same",
        cidr.canonical()
    ))
}

/// Rules that say nothing, since the policy does not govern their direction: `policyTypes` is without it, or is not
/// there and there are no egress rules.
fn without_effect(spec: &Place<'_>, report: &mut Report<'_, '_>) {
    let types = spec.get("policyTypes");
    let mut items = types.iter().flat_map(Place::items).peekable();
    if items.peek().is_none() {
        let egress = spec.get("egress");
        if let Some(egress) = egress.filter(|egress| egress.node.items().next().is_none()) {
            let message = "an empty `egress` without `policyTypes` isolates nothing on egress";
            report.add(
                egress
                    .spot()
                    .at_head(&codes::ISOLATES_NOTHING, message, "has no effect")
                    .help("add `policyTypes: [Ingress, Egress]` to deny all egress, or remove it"),
            );
        }
        return;
    }
    let types: Vec<&str> = items.filter_map(|item| item.node.as_str()).collect();
    // Of what is refused it is open what was meant.
    if types.iter().any(|name| !POLICY_TYPES.contains(name)) {
        return;
    }
    for (section, direction) in [("ingress", "Ingress"), ("egress", "Egress")] {
        let Some(rules) = spec.get(section).filter(|_| !types.contains(&direction)) else {
            continue;
        };
        let message =
            format!("`spec.{section}` is ignored: `policyTypes` is without `{direction}`");
        report.add(
            rules
                .spot()
                .at_head(&codes::IGNORED_RULES, message, "has no effect")
                .help(format!(
                    "add `{direction}` to `policyTypes`, or remove `{section}`"
                )),
        );
    }
}

fn policy_types(spec: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(types) = spec.get("policyTypes") else {
        return;
    };
    let count = types.node.items().count();
    if count > POLICY_TYPES.len() {
        report.add(
            types
                .spot()
                .at_value(
                    &codes::TOO_MANY,
                    format!("`spec.policyTypes` has {count} items, and at most two are allowed"),
                    "too many",
                )
                .help("list `Ingress` and `Egress` at most once each"),
        );
        return;
    }
    for item in types.items() {
        let name = match item.node.as_str() {
            Some(name) => name,
            None if item.node.is_null() => "",
            None => continue,
        };
        if !POLICY_TYPES.contains(&name) {
            report.add(text::not_one_of(&item.spot(), name, POLICY_TYPES));
        }
    }
}
