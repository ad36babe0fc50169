//! Ports and ICMP types that are read otherwise than they look.

use super::is_filled;
use crate::diagnostic::codes;
use crate::frontend::cilium_port::{is_name, number};
use crate::frontend::report::{Place, Report};
use crate::frontend::schema::walk::whole;

/// All lints of the ports of a rule.
pub(super) fn check(rule: &Place<'_>, report: &mut Report<'_, '_>) {
    if let Some(list) = rule.get("toPorts") {
        for item in list.items() {
            needs(&item, "ports", report);
            if let Some(ports) = item.get("ports") {
                for port in ports.items() {
                    spelling(&port, report);
                    end(&port, report);
                    replies(&port, report);
                }
            }
            if let Some(names) = item
                .get("serverNames")
                .filter(|names| is_filled(names.node))
            {
                only_tls(&names, report);
            }
            if let Some(rules) = item.get("rules")
                && let Some(dns) = rules.get("dns")
            {
                for name in dns.items() {
                    if let Some(pattern) = name.get("matchPattern") {
                        super::peers::stars(&pattern, report);
                    }
                }
            }
        }
    }
    if let Some(list) = rule.get("icmps") {
        for item in list.items() {
            needs(&item, "fields", report);
            if let Some(fields) = item.get("fields") {
                for field in fields.items() {
                    all_icmp(&field, report);
                }
            }
        }
    }
}

/// An item without ports matches none, whereas an empty list of items matches all.
fn needs(item: &Place<'_>, key: &str, report: &mut Report<'_, '_>) {
    if !item.node.get(key).is_some_and(is_filled) {
        let message = format!("an item without `{key}` matches nothing");
        report.add(
            item.spot()
                .at_head(&codes::NO_PORTS, message, "not every port")
                .help(format!(
                    "list `{key}`, or remove the item: without any the rule is for everything"
                )),
        );
    }
}

/// Server names are asked of every connection to the ports, whichever rule allows it.
fn only_tls(names: &Place<'_>, report: &mut Report<'_, '_>) {
    let message = "Cilium asks every connection to these ports for a server name: what is no TLS is refused, though another rule \
                   allows it without names";
    report.add(
        names
            .spot()
            .at_head(&codes::ONLY_TLS, message, "only TLS")
            .help("give what is no TLS another port"),
    );
}

/// Numbers that Go reads in another base, or takes for a name.
fn spelling(port: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(place) = port.get("port") else {
        return;
    };
    let Some(text) = place.node.as_str() else {
        return;
    };
    let lower = text.to_ascii_lowercase();
    let hexadecimal = lower
        .strip_prefix("0x")
        .and_then(|digits| u16::from_str_radix(digits, 16).ok());
    let (message, help) = if let Some(meant) = hexadecimal.filter(|_| is_name(text)) {
        (
            format!("Cilium takes `{text}` for the name of a port"),
            format!("write `\"{meant}\"`"),
        )
    } else if let (Some(read), Ok(meant)) = (number(text), text.parse::<u16>())
        && !is_name(text)
        && read != meant
    {
        (
            format!("Cilium reads `{text}`, with a zero in front, as the octal number {read}"),
            format!("write `\"{meant}\"`, or `\"{read}\"` if that is meant"),
        )
    } else {
        return;
    };
    report.add(
        place
            .spot()
            .at_value(
                &codes::PORT_SPELLING,
                message,
                "not the number that it looks like",
            )
            .help(help),
    );
}

/// Ends of ranges that do not count.
fn end(port: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(place) = port.get("endPort") else {
        return;
    };
    let Some(last) = whole(place.node.value()).filter(|last| *last > 0) else {
        return;
    };
    let text = port
        .node
        .get("port")
        .and_then(|node| node.as_str())
        .unwrap_or_default();
    let message = if is_name(text) {
        format!("`endPort` beside the name `{text}` is ignored")
    } else {
        match number(text) {
            Some(first) if last < i128::from(first) => {
                format!(
                    "`endPort` {last} is below `port` {first} and is ignored: the rule is for one port"
                )
            }
            Some(_) | None => return,
        }
    };
    report.add(
        place
            .spot()
            .at_value(&codes::END_PORT_IGNORED, message, "ignored")
            .help("write the first port as `port` and the last as `endPort`, both as numbers"),
    );
}

/// The ports that Linux gives to who opens a connection: from 32768 to 60999, unless it is told otherwise.
/// <https://docs.kernel.org/networking/ip-sysctl.html>, `ip_local_port_range`
const OF_REPLIES: (i128, i128) = (32_768, 60_999);

/// A range that has the ports to which replies go, and not every port.
fn replies(port: &Place<'_>, report: &mut Report<'_, '_>) {
    let text = port.node.get("port").and_then(|node| node.as_str());
    let Some(first) = text.and_then(number).map(i128::from) else {
        return;
    };
    let Some(place) = port.get("endPort") else {
        return;
    };
    let Some(last) = whole(place.node.value()) else {
        return;
    };
    let (from, to) = OF_REPLIES;
    if (1024..=from).contains(&first) && last >= to {
        let message = "these are the ports to which replies go, and replies pass without a rule";
        let help = "remove the range, unless servers listen on all of these ports; whoever is at the other end can open connections \
                    to them";
        let diagnostic =
            place
                .spot()
                .at_value(&codes::PORTS_OF_REPLIES, message, "not needed for replies");
        report.add(diagnostic.help(help));
    }
}

/// Type 0, which becomes port 0, which is every type.
fn all_icmp(field: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(place) = field.get("type") else {
        return;
    };
    let is_v6 = field.node.get("family").and_then(|node| node.as_str()) == Some("IPv6");
    let is_zero = match place.node.as_str() {
        Some("EchoReply") => !is_v6,
        Some(text) => text == "0",
        None => whole(place.node.value()) == Some(0),
    };
    if is_zero {
        report.add(
            place
                .spot()
                .at_value(
                    &codes::ALL_ICMP,
                    "Cilium takes ICMP type 0 for every type",
                    "matches all of ICMP",
                )
                .help("remove it: replies to what was let out are let in without a rule"),
        );
    }
}
