//! Rules that the custom resources of the Network Policy API share.
//!
//! Guarantee: the CEL rules on peers, networks and domain names of their published definitions hold, each
//! cited where it stands.

use super::address::{self, Cidr};
use super::network_policy::no_cidr;
use super::selector::{self, Refuser};
use crate::diagnostic::codes;
use crate::frontend::report::{Place, Report};

/// Peers that have no named ports.
const OUTSIDE: [&str; 3] = ["networks", "nodes", "domainNames"];

/// Checks a subject, or a peer: its selectors, networks and domain names.
pub(super) fn check(peer: &Place<'_>, report: &mut Report<'_, '_>) {
    for key in ["namespaces", "nodes"] {
        if let Some(place) = peer.get(key) {
            selector::check(&place, Refuser::Implementations, report);
        }
    }
    if let Some(pods) = peer.get("pods") {
        for key in ["namespaceSelector", "podSelector"] {
            if let Some(place) = pods.get(key) {
                selector::check(&place, Refuser::Implementations, report);
            }
        }
    }
    if let Some(networks) = peer.get("networks") {
        for item in networks.items() {
            check_network(&item, report);
        }
    }
    if let Some(names) = peer.get("domainNames") {
        for item in names.items() {
            check_domain(&item, report);
        }
    }
}

/// CEL: `isCIDR(self)`.
fn check_network(item: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(text) = item.node.as_str() else {
        return;
    };
    if address::is_strict_cidr(text) {
        return;
    }
    let spot = item.spot();
    let diagnostic = no_cidr(&spot, text);
    report.add(match Cidr::parse(text) {
        Some(cidr) => diagnostic.help(format!("write `{}`", cidr.canonical())),
        None => diagnostic,
    });
}

/// Pattern: `^(\*\.)?([a-zA-z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$`.
fn check_domain(item: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(text) = item.node.as_str() else {
        return;
    };
    if is_domain(text) {
        return;
    }
    let help = if text.contains("://") {
        "write the name alone, without scheme and path"
    } else if text.contains('*') {
        "write a name such as `example.com`; a wildcard is a single `*.` in front"
    } else {
        "write a name of at least two labels, such as `example.com` or `*.example.com`"
    };
    report.add(
        item.spot()
            .at_value(
                &codes::INVALID_VALUE,
                format!("`{text}` is not a domain name"),
                "not a domain name",
            )
            .help(help),
    );
}

fn is_domain(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let name = name.strip_suffix('.').unwrap_or(name);
    name.split('.').count() > 1 && name.split('.').all(is_domain_label)
}

fn is_domain_label(label: &str) -> bool {
    // The published pattern says `A-z` for the first character, which spans some signs too.
    let is_first = |byte: &u8| (b'A'..=b'z').contains(byte) || byte.is_ascii_digit();
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    match label.as_bytes() {
        [] => false,
        [only] => is_first(only),
        [first, inner @ .., last] => {
            is_first(first) && inner.iter().all(is_inner) && last.is_ascii_alphanumeric()
        }
    }
}

/// Field `domainNames`: "only supported for" rules that allow, says its documentation; the definition lets others pass.
pub(super) fn no_domains_unless(allowing: &str, rule: &Place<'_>, report: &mut Report<'_, '_>) {
    let action = rule.get("action");
    let action = action.and_then(|action| action.node.as_str());
    let Some(action) = action.filter(|action| *action != allowing) else {
        return;
    };
    let peers = rule.get("to");
    for peer in peers.iter().flat_map(Place::items) {
        if let Some(names) = peer.get("domainNames") {
            let message = format!(
                "`domainNames` in a rule with action `{action}`: the API defines them for `{allowing}` alone"
            );
            report.add(
                names
                    .spot()
                    .at_head(&codes::DOMAIN_NOT_ALLOWED, message, "implementations may ignore it")
                    .help("allow the names that are wanted, and deny the rest by a rule behind it with `networks`"),
            );
        }
    }
}

/// CEL: `!(self.to.exists(peer, has(peer.networks) || has(peer.nodes) || has(peer.domainNames)) &&
/// has(self.PORTS) && self.PORTS.exists(port, has(port.NAMED)))`.
pub(super) fn no_named_ports_outside(
    rule: &Place<'_>,
    ports: &str,
    named: &str,
    report: &mut Report<'_, '_>,
) {
    let Some(peers) = rule.get("to") else { return };
    let Some(ports) = rule.get(ports) else { return };
    let outside = peers
        .node
        .items()
        .find_map(|peer| OUTSIDE.into_iter().find(|key| peer.get(key).is_some()));
    let has_name = ports.node.items().any(|port| port.get(named).is_some());
    if let Some(outside) = outside.filter(|_| has_name) {
        report.add(
            rule.spot()
                .at_head(
                    &codes::RULE_VIOLATED,
                    format!(
                        "`{named}` cannot stand in a rule with `{outside}`: only pods name ports"
                    ),
                    format!("has both `{named}` and `{outside}`"),
                )
                .help("write the port's number, or split the rule in two"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_names_follow_the_published_pattern() {
        for good in [
            "a.b",
            "example.com.",
            "*.example.com",
            "a_b.example.com",
            "_a.b",
            "_.b",
        ] {
            assert!(is_domain(good), "{good}");
        }
        for bad in [
            "", ".", "com", "*", "*.com", "a.*.com", "a..b", "-a.b", "a-.b", "a_.b", "é.b",
        ] {
            assert!(!is_domain(bad), "{bad}");
        }
    }
}
