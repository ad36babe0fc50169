//! The ports of a rule: `toPorts` and `icmps`.

use crate::cluster::Protocol;
use crate::frontend::cilium_port::{is_name, number};
use crate::frontend::icmp;
use crate::frontend::lower::selector::text;
use crate::frontend::lower::{Unread, filled_list, list, read};
use crate::frontend::manifest::{NodeRef, Value};
use crate::frontend::schema::walk::whole;
use crate::hir::{ItemOrigin, PortMatch, PortRange, Redirect};

type Found = Vec<(PortMatch, ItemOrigin)>;

/// Ports with the proxy to which what goes there is led.
pub(super) struct Ports {
    /// Where the ports are one item of several: it, with its path below the rule's.
    pub(super) item: Option<ItemOrigin>,
    /// Those of the rule: `None` is every port, an empty list none.
    pub(super) ports: Option<Found>,
    pub(super) redirect: Option<Redirect>,
    /// What the proxy is told to look at.
    pub(super) contents: Option<Box<str>>,
}

/// The ports of a rule, together where nothing else tells them apart.
pub(super) fn ports(rule: NodeRef<'_>) -> Result<Vec<Ports>, Unread> {
    let to_ports = filled_list(rule, "toPorts").map(Iterator::collect::<Vec<_>>);
    let icmps = filled_list(rule, "icmps").map(Iterator::collect::<Vec<_>>);
    if to_ports.is_none() && icmps.is_none() {
        return Ok(vec![Ports {
            item: None,
            ports: None,
            redirect: None,
            contents: None,
        }]);
    }
    let mut items = Vec::new();
    for (path, item) in to_ports.into_iter().flatten() {
        let mut found = Vec::new();
        for (below, port) in list(item, "ports").into_iter().flatten() {
            let origin = ItemOrigin {
                path: format!("{path}.{below}").into(),
                span: port.span(),
            };
            found.extend(
                port_matches(port)?
                    .into_iter()
                    .map(|port| (port, origin.clone())),
            );
        }
        let span = item.span();
        let redirect = redirect(item);
        let redirect = redirect.map(|redirect| (redirect, contents(item)));
        items.push((ItemOrigin { path, span }, found, redirect));
    }
    for (path, item) in icmps.into_iter().flatten() {
        let mut found = Vec::new();
        for (below, field) in list(item, "fields").into_iter().flatten() {
            let origin = ItemOrigin {
                path: format!("{path}.{below}").into(),
                span: field.span(),
            };
            found.push((icmp_match(field)?, origin));
        }
        let span = item.span();
        items.push((ItemOrigin { path, span }, found, None));
    }
    if items.iter().all(|(_, _, redirect)| redirect.is_none()) {
        let all = items.into_iter().flat_map(|(_, found, _)| found).collect();
        return Ok(vec![Ports {
            item: None,
            ports: Some(all),
            redirect: None,
            contents: None,
        }]);
    }
    let is_several = items.len() > 1;
    let each = items.into_iter().map(|(item, found, redirect)| {
        let (redirect, contents) = redirect.unzip();
        Ports {
            item: is_several.then_some(item),
            ports: Some(found),
            redirect,
            contents,
        }
    });
    Ok(each.collect())
}

/// By which proxy an item of `toPorts` leads flows, with the priority of its listener
/// (`pkg/policy/types/entry.go`).
fn redirect(item: NodeRef<'_>) -> Option<Redirect> {
    const HTTP: u8 = 101;
    const TLS: u8 = 116;
    const DNS: u8 = 121;
    const LISTENER: u8 = 126;
    let filled = |parent: NodeRef<'_>, key: &str| {
        parent
            .get(key)
            .is_some_and(|list| list.items().next().is_some())
    };
    if let Some(listener) = item.get("listener") {
        let own = listener
            .get("priority")
            .and_then(|priority| whole(priority.value()));
        let own = own.and_then(|priority| u8::try_from(priority).ok());
        let priority = own.filter(|priority| *priority > 0).unwrap_or(LISTENER);
        return Some(Redirect { priority });
    }
    let rules = item.get("rules");
    let has_tls = ["terminatingTLS", "originatingTLS"]
        .iter()
        .any(|key| item.get(key).is_some());
    let priority = if rules.is_some_and(|rules| filled(rules, "http")) {
        HTTP
    } else if rules.is_some_and(|rules| filled(rules, "dns")) {
        DNS
    } else if has_tls || filled(item, "serverNames") {
        TLS
    } else {
        return None;
    };
    Some(Redirect { priority })
}

/// What the proxy of an item of `toPorts` is told to look at, in whatever order that is written.
fn contents(item: NodeRef<'_>) -> Box<str> {
    let fields = [
        "rules",
        "serverNames",
        "terminatingTLS",
        "originatingTLS",
        "listener",
    ];
    let fields = fields.iter().filter_map(|key| Some((key, item.get(key)?)));
    let all = fields.map(|(key, value)| format!("{key:?}:{}", sorted(value)));
    format!("{{{}}}", all.collect::<Vec<_>>().join(",")).into()
}

/// A value as JSON, with keys and items sorted.
fn sorted(value: NodeRef<'_>) -> String {
    match value.value() {
        Value::Mapping(entries) => {
            let entries = entries.filter(|entry| !entry.value.is_null());
            let mut all: Vec<String> = entries
                .map(|entry| format!("{:?}:{}", entry.key, sorted(entry.value)))
                .collect();
            all.sort();
            format!("{{{}}}", all.join(","))
        }
        Value::Sequence(items) => {
            let mut all: Vec<String> = items.map(sorted).collect();
            all.sort();
            format!("[{}]", all.join(","))
        }
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Float(_)
        | Value::String(_) => value.json().to_string(),
    }
}

/// The protocols that have ports, for which `ANY` stands.
pub(super) const WITH_PORTS: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];

fn protocols(node: NodeRef<'_>) -> Result<Vec<Protocol>, Unread> {
    let Some(name) = text(node, "protocol").filter(|name| !name.is_empty()) else {
        return Ok(WITH_PORTS.into());
    };
    let protocol = match &*name.to_ascii_uppercase() {
        "ANY" => return Ok(WITH_PORTS.into()),
        "TCP" => Protocol::TCP,
        "UDP" => Protocol::UDP,
        "SCTP" => Protocol::SCTP,
        "IGMP" => Protocol(2),
        "IPIP" => Protocol(4),
        "IPV6" => Protocol(41),
        "GRE" => Protocol(47),
        "ESP" => Protocol(50),
        "AH" => Protocol(51),
        "VRRP" => Protocol(112),
        _ => return read(node, None),
    };
    Ok(vec![protocol])
}

/// An item of `ports`, once for each of its protocols.
fn port_matches(node: NodeRef<'_>) -> Result<Vec<PortMatch>, Unread> {
    let port = text(node, "port").unwrap_or_default();
    let end = node.get("endPort").and_then(|end| whole(end.value()));
    let protocols = protocols(node)?.into_iter();
    if is_name(port) {
        let name: Box<str> = port.to_ascii_lowercase().into();
        let named = protocols.map(|protocol| PortMatch::Named {
            protocol: Some(protocol),
            name: name.clone(),
        });
        return Ok(named.collect());
    }
    let first = if port.is_empty() {
        0
    } else {
        read(node, number(port))?
    };
    // An end that is not behind the start says nothing.
    let last = end
        .and_then(|end| u16::try_from(end).ok())
        .filter(|end| *end > first);
    let ports = match (first, last) {
        (0, None) => PortRange::ALL,
        (first, last) => PortRange {
            first,
            last: last.unwrap_or(first),
        },
    };
    Ok(protocols
        .map(|protocol| PortMatch::Range { protocol, ports })
        .collect())
}

/// An item of `icmps[].fields`. A type stands where other protocols have the port, so that type 0 stands for all.
fn icmp_match(node: NodeRef<'_>) -> Result<PortMatch, Unread> {
    let protocol = match text(node, "family") {
        Some("IPv6") => Protocol::ICMPV6,
        Some("IPv4" | "") | None => Protocol::ICMP,
        Some(_) => return read(node, None),
    };
    let kind = match node.get("type") {
        None => 0,
        Some(kind) => {
            let number = match kind.as_str() {
                Some(name) => icmp::named(protocol, name).or_else(|| name.parse().ok()),
                None => whole(kind.value()).and_then(|number| u8::try_from(number).ok()),
            };
            u16::from(read(kind, number)?)
        }
    };
    let ports = match kind {
        0 => PortRange::ALL,
        kind => PortRange {
            first: kind,
            last: kind,
        },
    };
    Ok(PortMatch::Range { protocol, ports })
}
