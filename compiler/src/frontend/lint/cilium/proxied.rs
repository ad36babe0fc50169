//! Rules that allow, and whose packets a rule for more peers sends by way of a proxy all the same.
//!
//! Of several rules of one priority for one packet Cilium takes the one that redirects before the one that only allows, however
//! narrow the latter is. What is said is true of every packet of the rule: the other rule is for all of its peers, and for one of
//! its ports.

use super::is_filled;
use crate::diagnostic::codes;
use crate::frontend::cilium_port::number;
use crate::frontend::manifest::NodeRef;
use crate::frontend::report::{Place, Report};
use crate::frontend::schema::walk::whole;

/// Who a rule is for, as far as it can be compared.
#[derive(PartialEq, Eq)]
enum Peers {
    Everyone,
    /// As written.
    These(String),
}

/// Ports of a protocol, both included.
struct Ports {
    /// None stands for every one that has ports.
    protocol: Option<String>,
    first: u16,
    last: u16,
}

impl Ports {
    fn meets(&self, other: &Self) -> bool {
        let same = match (&self.protocol, &other.protocol) {
            (Some(one), Some(two)) => one == two,
            (None, _) | (_, None) => true,
        };
        same && self.first <= other.last && other.first <= self.last
    }
}

/// The rules of a direction (`ingress` or `egress`) of a policy.
pub(super) fn check(spec: &Place<'_>, direction: &str, report: &mut Report<'_, '_>) {
    let Some(rules) = spec.get(direction) else {
        return;
    };
    let mut redirected: Vec<(Peers, Ports)> = Vec::new();
    for rule in rules.items() {
        for item in items(rule.node, "toPorts").filter(|item| redirects(*item)) {
            redirected.extend(ports(item).map(|ports| (peers(rule.node), ports)));
        }
    }
    for rule in rules.items().filter(|_| !redirected.is_empty()) {
        let own = peers(rule.node);
        let Some(lists) = rule.get("toPorts") else {
            continue;
        };
        for item in lists.items().filter(|item| !redirects(item.node)) {
            let meets = |(peers, more): &&(Peers, Ports)| {
                let wider = *peers == Peers::Everyone || *peers == own;
                wider && ports(item.node).any(|ports| ports.meets(more))
            };
            let Some((_, ports)) = redirected.iter().find(meets) else {
                continue;
            };
            let range = match (ports.first, ports.last) {
                (first, last) if first == last => format!("port {first}"),
                (first, last) => format!("ports {first}-{last}"),
            };
            let message = format!(
                "another rule sends {range} of these peers by way of a proxy, and that comes first, however narrow this rule is"
            );
            report.add(
                item.spot()
                    .at_head(&codes::PROXIED_ANYWAY, message, "by way of a proxy too")
                    .help("leave these peers out of the other rule, if they are to go without the proxy"),
            );
        }
    }
}

fn items<'a>(node: NodeRef<'a>, key: &str) -> impl Iterator<Item = NodeRef<'a>> + use<'a> {
    node.get(key).into_iter().flat_map(NodeRef::items)
}

/// Whether an item of `toPorts` sends what it allows by way of a proxy.
fn redirects(item: NodeRef<'_>) -> bool {
    let rules = [["rules", "http"], ["rules", "dns"]];
    let mut lists = rules.iter().filter_map(|path| item.at(path));
    let names = item.get("serverNames").is_some_and(is_filled);
    let others = ["listener", "terminatingTLS", "originatingTLS"];
    let given = |key: &&str| item.get(key).is_some_and(|node| !node.is_null());
    lists.any(is_filled) || names || others.iter().any(given)
}

/// The ports of an item, but for names.
fn ports(item: NodeRef<'_>) -> impl Iterator<Item = Ports> {
    items(item, "ports").filter_map(|port| {
        let first = number(port.get("port")?.as_str()?)?;
        let last = port.get("endPort").and_then(|end| whole(end.value()));
        let last = last.and_then(|last| u16::try_from(last).ok());
        let protocol = port.get("protocol").and_then(NodeRef::as_str);
        let protocol = protocol.map(str::to_ascii_uppercase);
        let (first, last) = match first {
            0 => (0, u16::MAX),
            first => (first, last.filter(|last| *last > first).unwrap_or(first)),
        };
        Some(Ports {
            protocol: protocol.filter(|name| name != "ANY"),
            first,
            last,
        })
    })
}

/// The peers of a rule: those of all fields whose names begin as those of peers do.
fn peers(rule: NodeRef<'_>) -> Peers {
    let fields = rule
        .entries()
        .map(|entry| (entry.key, entry.value))
        .filter(|(key, _)| (key.starts_with("from") || key.starts_with("to")) && *key != "toPorts");
    let mut texts: Vec<String> = Vec::new();
    for (key, value) in fields {
        let everyone =
            key.ends_with("Entities") && value.items().any(|one| one.as_str() == Some("all"));
        if everyone {
            return Peers::Everyone;
        }
        texts.push(format!("{key}:{}", text(value)));
    }
    texts.sort();
    match texts.is_empty() {
        true => Peers::Everyone,
        false => Peers::These(texts.join(",")),
    }
}

/// A value in one spelling, whatever its layout and the order of its keys.
fn text(node: NodeRef<'_>) -> String {
    let mut entries: Vec<String> = node
        .entries()
        .map(|entry| format!("{:?}:{}", entry.key, text(entry.value)))
        .collect();
    entries.sort();
    let items: Vec<String> = node.items().map(text).collect();
    match node.as_str() {
        Some(own) => format!("{own:?}"),
        None if entries.is_empty() && items.is_empty() => node.raw().to_owned(),
        None => format!("{{{}}}[{}]", entries.join(","), items.join(",")),
    }
}
