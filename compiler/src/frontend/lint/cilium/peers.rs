//! Peers: lists that are empty, selectors that match more, addresses that cannot be.

use super::{empty_list, is_filled, is_new};
use crate::diagnostic::{Code, codes};
use crate::frontend::address;
use crate::frontend::report::{Place, Report};
use crate::frontend::settings::cilium::{AllowLocalhost, Options};
use ipnet::IpNet;

/// Fields whose empty list matches nothing.
const MATCH_NOTHING: &[&str] = &[
    "fromEndpoints",
    "fromNodes",
    "fromEntities",
    "fromCIDR",
    "fromCIDRSet",
    "toEndpoints",
    "toNodes",
    "toEntities",
    "toCIDR",
    "toCIDRSet",
];

/// Fields whose empty list is taken for none, so that the rule is for every peer.
const MATCH_ALL: &[&str] = &["toFQDNs", "toServices", "toGroups", "fromGroups"];

/// Fields that hold selectors.
const SELECTORS: &[&str] = &["fromEndpoints", "toEndpoints", "fromNodes", "toNodes"];

/// All lints of the peers of a rule.
pub(super) fn check(rule: &Place<'_>, options: &Options, report: &mut Report<'_, '_>) {
    empty(rule, report);
    for key in SELECTORS {
        if let Some(list) = rule.get(key) {
            for item in list.items() {
                negative(&item, options, report);
            }
        }
    }
    for key in ["toFQDNs"] {
        if let Some(list) = rule.get(key) {
            for item in list.items() {
                if let Some(pattern) = item.get("matchPattern") {
                    stars(&pattern, report);
                }
            }
        }
    }
    for key in ["fromCIDR", "toCIDR"] {
        if let Some(list) = rule.get(key) {
            for item in list.items() {
                family(&item, options, report);
            }
        }
    }
    for key in ["fromCIDRSet", "toCIDRSet"] {
        if let Some(list) = rule.get(key) {
            for item in list.items() {
                if let Some(cidr) = item.get("cidr") {
                    family(&cidr, options, report);
                }
            }
        }
    }
}

fn warn(
    place: &Place<'_>,
    code: &'static Code,
    (message, label, help): (String, &str, &str),
    report: &mut Report<'_, '_>,
) {
    let diagnostic = place.spot().at_value(code, message, label);
    report.add(diagnostic.help(help));
}

/// Lists without items, where no other peer stands beside them.
fn empty(rule: &Place<'_>, report: &mut Report<'_, '_>) {
    let has_peers = MATCH_NOTHING
        .iter()
        .chain(MATCH_ALL)
        .any(|key| rule.node.get(key).is_some_and(is_filled));
    if has_peers {
        return;
    }
    for key in MATCH_NOTHING {
        if let Some(list) = empty_list(rule, key) {
            let message =
                format!("an empty `{key}` matches no peer, so that the rule does nothing");
            let help = "name the peers, or remove the field to mean every peer";
            warn(
                &list,
                &codes::EMPTY_PEERS,
                (message, "matches nothing", help),
                report,
            );
            return;
        }
    }
    let has_ports = ["toPorts", "icmps"]
        .iter()
        .any(|key| rule.node.get(key).is_some_and(is_filled));
    for key in MATCH_ALL {
        if let Some(list) = empty_list(rule, key).filter(|_| has_ports) {
            let message =
                format!("Cilium takes an empty `{key}` for none: the rule is for every peer");
            let help = "name the peers, or remove the rule";
            warn(
                &list,
                &codes::FAIL_OPEN_PEERS,
                (message, "matches everything", help),
                report,
            );
        }
    }
}

/// Expressions on reserved labels that ask for their absence: the identities that stand for many others have one
/// label only, and so match (`semantics` of 1.20).
pub(super) fn negative(selector: &Place<'_>, options: &Options, report: &mut Report<'_, '_>) {
    let Some(expressions) = selector.get("matchExpressions").filter(|_| is_new(options)) else {
        return;
    };
    for expression in expressions.items() {
        let text = |key| expression.node.get(key).and_then(|node| node.as_str());
        let is_negative = matches!(text("operator"), Some("DoesNotExist" | "NotIn"));
        let key = text("key").unwrap_or_default();
        if is_negative && key.starts_with("reserved:") {
            let message = format!(
                "without `{key}` are also the identities that stand for whole groups of peers"
            );
            let help =
                "name what is meant by `toEntities` or `fromEntities`, or by labels that it has";
            let told = (message, "matches every pod, node and address outside", help);
            warn(&expression, &codes::MATCHES_AGGREGATES, told, report);
        }
    }
}

/// A rule for nothing but the node of the pods: unless a rule denies it or sends it elsewhere, that node reaches them.
pub(super) fn own_node(rule: &Place<'_>, options: &Options, report: &mut Report<'_, '_>) {
    if options.allow_localhost == AllowLocalhost::Policy {
        return;
    }
    let Some(entities) = rule.get("fromEntities") else {
        return;
    };
    let mut named = entities.items().peekable();
    let is_given = named.peek().is_some();
    if !is_given || named.any(|one| one.node.as_str() != Some("host")) {
        return;
    }
    let message = "the node of a pod reaches it without a rule: what isolates the pod does not keep that node away";
    report.add(
        entities
            .spot()
            .at_head(&codes::OWN_NODE, message, "allowed anyway")
            .help(
                "name `remote-node` for other nodes; to keep the node away, deny `host`, or set `allow-localhost: policy`",
            ),
    );
}

/// Two stars that are no more than one: only at the start and in front of a dot do they cross dots.
pub(super) fn stars(pattern: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(text) = pattern.node.as_str() else {
        return;
    };
    let is_all = text.trim_end_matches('.').bytes().all(|byte| byte == b'*');
    let leading = text.len() - text.trim_start_matches('*').len();
    let rest = text.get(leading..).unwrap_or_default();
    let crosses = leading >= 2 && rest.starts_with('.');
    let is_plain = rest.contains("**") || (leading >= 2 && !crosses);
    if is_plain && !is_all {
        let message = format!("in `{text}`, `**` is no more than `*`: it does not match a dot");
        let help = "write `**.` at the start to match names of any number of labels";
        warn(
            pattern,
            &codes::STARS,
            (message, "within one label", help),
            report,
        );
    }
}

/// A block of a family that endpoints do not have.
fn family(block: &Place<'_>, options: &Options, report: &mut Report<'_, '_>) {
    let Some((address, _)) = block.node.as_str().and_then(address::split_cidr) else {
        return;
    };
    let (option, is_on) = if address.is_ipv4() {
        ("enable-ipv4", options.enable_ipv4)
    } else {
        ("enable-ipv6", options.enable_ipv6)
    };
    if !is_on {
        let message = format!("`{option}` is off, so that no address is in this block");
        let help = "remove it, or turn the option on";
        warn(
            block,
            &codes::OTHER_FAMILY,
            (message, "matches nothing", help),
            report,
        );
    }
}

/// Blocks that a policy allows within blocks of which it denies everything: deny comes first, however narrow the other is.
pub(super) fn denied_blocks(spec: &Place<'_>, direction: &str, report: &mut Report<'_, '_>) {
    let Some(denying) = spec.get(&format!("{direction}Deny")) else {
        return;
    };
    let is_whole = |rule: &Place<'_>| {
        let mut narrowing = ["toPorts", "icmps"].iter();
        !narrowing.any(|key| rule.node.get(key).is_some_and(is_filled))
    };
    let mut denied: Vec<IpNet> = Vec::new();
    for rule in denying.items().filter(is_whole) {
        each_block(&rule, |_, block, has_exceptions| {
            denied.extend((!has_exceptions).then_some(block));
        });
    }
    let Some(allowing) = spec.get(direction) else {
        return;
    };
    for rule in allowing.items() {
        each_block(&rule, |place, block, _| {
            let Some(around) = denied.iter().find(|denied| denied.contains(&block)) else {
                return;
            };
            let message = format!(
                "`{block}` lies in `{around}`, which `{direction}Deny` has: a deny comes first, however narrow the block that is \
                 allowed"
            );
            let help = "make it an exception of the block that is denied (`except`)";
            warn(
                place,
                &codes::DENIED_BLOCK,
                (message, "denied", help),
                report,
            );
        });
    }
}

/// Calls for each block of a rule, with whether it has exceptions.
fn each_block(rule: &Place<'_>, mut with: impl FnMut(&Place<'_>, IpNet, bool)) {
    for key in ["fromCIDR", "toCIDR"] {
        let Some(list) = rule.get(key) else { continue };
        for item in list.items() {
            if let Some(block) = item.node.as_str().and_then(address::parse_block) {
                with(&item, block, false);
            }
        }
    }
    for key in ["fromCIDRSet", "toCIDRSet"] {
        let Some(list) = rule.get(key) else { continue };
        for item in list.items() {
            let Some(cidr) = item.get("cidr") else {
                continue;
            };
            if let Some(block) = cidr.node.as_str().and_then(address::parse_block) {
                with(&cidr, block, item.node.get("except").is_some_and(is_filled));
            }
        }
    }
}
