//! Ports, protocols and ICMP types.

use super::{Context, filled, not_yet, option_off};
use crate::cluster::Protocol;
use crate::diagnostic::codes;
use crate::frontend::cilium_port::{is_name, number};
use crate::frontend::icmp;
use crate::frontend::manifest::Value;
use crate::frontend::report::{Place, Report};
use crate::frontend::schema::walk::whole;

/// How many ports a list may hold; the definition limits those of rules that allow, the agent all.
const MOST_PORTS: usize = 40;

/// Protocols without ports.
const WITHOUT_PORTS: &[&str] = &["VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH"];

/// Protocols that 1.19 does not know.
const NEW_PROTOCOLS: &[&str] = &["GRE", "IPIP", "IPV6", "ESP", "AH"];

/// Checks the ports of an item of `toPorts`: R10.
pub(super) fn check(item: &Place<'_>, context: Context<'_>, report: &mut Report<'_, '_>) {
    let Some(ports) = item.get("ports") else {
        return;
    };
    let count = ports.node.items().count();
    // The other lists are for the schema to count.
    if count > MOST_PORTS && context.denies {
        report.add(
            ports
                .spot()
                .at_value(
                    &codes::TOO_MANY,
                    format!("Cilium takes at most {MOST_PORTS} ports in one list, not {count}"),
                    "too many",
                )
                .help("split them over several items of `toPorts`"),
        );
    }
    for port in ports.items() {
        check_port(&port, context, report);
    }
}

fn check_port(item: &Place<'_>, context: Context<'_>, report: &mut Report<'_, '_>) {
    let protocol = item
        .get("protocol")
        .and_then(|place| place.node.as_str().map(|name| (name, place.spot())));
    if let Some((name, spot)) = &protocol
        && context.is_old()
        && NEW_PROTOCOLS.contains(name)
    {
        report.add(not_yet(spot, name));
    }
    let Some(port) = item.get("port") else {
        if !context.options.enable_extended_ip_protocols
            && matches!(item.node.value(), Value::Mapping(_))
        {
            report.add(
                item.spot()
                    .below("port")
                    .at_head(
                        &codes::AGENT_PORT,
                        "Cilium refuses a port without a number",
                        "lacks `port`",
                    )
                    .help(
                        "write `port: \"0\"` for every port, or set `enable-extended-ip-protocols`",
                    ),
            );
        }
        return;
    };
    let Some(text) = port.node.as_str().filter(|text| !text.is_empty()) else {
        return;
    };
    let protocol = protocol.map_or("ANY", |(name, _)| name);
    if is_name(text) {
        return;
    }
    let problem = if text != "0" && WITHOUT_PORTS.contains(&protocol) {
        Some((
            format!("{protocol} has no ports, so that Cilium refuses `{text}`"),
            "write `port: \"0\"`".to_owned(),
        ))
    } else if number(text).is_none() {
        let help = if text.len() > 15 {
            "a name has at most 15 characters; write the number"
        } else {
            "write a number from 0 to 65535, or the name that pods give the port"
        };
        let message = format!("Cilium cannot read the port `{text}`");
        Some((message, help.to_owned()))
    } else {
        None
    };
    if let Some((message, help)) = problem {
        report.add(
            port.spot()
                .at_value(&codes::AGENT_PORT, message, "not a port")
                .help(help),
        );
    }
}

/// Checks the items of `icmps`: R9.
pub(super) fn check_icmps(
    rule: &Place<'_>,
    icmps: &Place<'_>,
    context: Context<'_>,
    report: &mut Report<'_, '_>,
) {
    if !context.options.enable_icmp_rules {
        report.add(option_off(
            &icmps.spot(),
            "rules on ICMP",
            "enable-icmp-rules",
        ));
    }
    if filled(rule, "toPorts").is_some() {
        report.add(
            icmps
                .spot()
                .at_head(
                    &codes::ICMP_BESIDE_PORTS,
                    "Cilium refuses a rule with both `icmps` and `toPorts`",
                    "beside `toPorts`",
                )
                .help("write one rule for each"),
        );
    }
    for item in icmps.items() {
        if let Some(fields) = item.get("fields") {
            for field in fields.items() {
                check_icmp(&field, report);
            }
        }
    }
}

/// A type that the family of the field does not have.
fn check_icmp(field: &Place<'_>, report: &mut Report<'_, '_>) {
    let family = field.get("family").and_then(|place| place.node.as_str());
    let (family, other, protocol) = match family {
        Some("IPv6") => ("IPv6", "IPv4", Protocol::ICMPV6),
        Some(_) | None => ("IPv4", "IPv6", Protocol::ICMP),
    };
    let Some(place) = field.get("type") else {
        return;
    };
    let is_known = match place.node.as_str() {
        Some(name) => name.parse::<u8>().is_ok() || icmp::named(protocol, name).is_some(),
        // A value of another type is for the schema to report.
        None => whole(place.node.value()).is_none_or(|number| u8::try_from(number).is_ok()),
    };
    if !is_known {
        let name = place.node.raw();
        report.add(
            place
                .spot()
                .at_value(
                    &codes::AGENT_VALUE,
                    format!("ICMP over {family} has no type `{name}`"),
                    format!("no type of {family}"),
                )
                .help(format!(
                    "write `family: {other}`, or a number from 0 to 255"
                )),
        );
    }
}
