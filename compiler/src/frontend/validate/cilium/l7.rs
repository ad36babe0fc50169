//! Rules on HTTP and DNS, and what may stand beside them: R11 and R12. Names in DNS rules are held to their patterns
//! by the schema.

use super::{Context, Way, filled, option_off};
use crate::diagnostic::codes;
use crate::frontend::cilium_port::{is_name, number};
use crate::frontend::report::{Place, Report};
use crate::frontend::schema::walk::whole;
use crate::frontend::validate::go_regexp;

/// Checks an item of `toPorts`. Empty lists of rules count as none.
pub(super) fn check(item: &Place<'_>, context: Context<'_>, report: &mut Report<'_, '_>) {
    listener(item, context, report);
    let Some(rules) = item.get("rules") else {
        return;
    };
    let (http, dns) = (filled(&rules, "http"), filled(&rules, "dns"));
    if http.is_none() && dns.is_none() {
        return;
    }
    if !context.options.enable_l7_proxy {
        let spot = rules.spot();
        report.add(option_off(
            &spot,
            "rules on HTTP and DNS",
            "enable-l7-proxy",
        ));
    }
    server_names(item, report);
    if let Some(dns) = &dns {
        check_dns(item, dns, context, report);
    }
    if let Some(http) = &http {
        check_http(http, context, report);
    }
    check_ports(item, dns.is_some(), report);
}

fn misplaced(place: &Place<'_>, message: &str, help: &str, report: &mut Report<'_, '_>) {
    report.add(
        place
            .spot()
            .at_head(&codes::MISPLACED_L7, message, "not allowed here")
            .help(help),
    );
}

fn listener(item: &Place<'_>, context: Context<'_>, report: &mut Report<'_, '_>) {
    let Some(listener) = item.get("listener") else {
        return;
    };
    let rules = item.get("rules");
    let has_rules = rules
        .is_some_and(|rules| filled(&rules, "http").is_some() || filled(&rules, "dns").is_some());
    let why = match context.way {
        Way::Ingress => "Cilium takes a listener in `egress` only",
        Way::Egress if has_rules => "Cilium refuses a listener beside `rules`",
        Way::Egress => return,
    };
    report.add(
        listener
            .spot()
            .at_head(&codes::MISPLACED_LISTENER, why, "not allowed here")
            .help("remove it, or write an item of `toPorts` of its own in `egress`"),
    );
}

fn server_names(item: &Place<'_>, report: &mut Report<'_, '_>) {
    if let Some(names) = filled(item, "serverNames")
        && item.get("terminatingTLS").is_none()
    {
        report.add(
            names
                .spot()
                .at_head(
                    &codes::MISPLACED_SERVER_NAMES,
                    "Cilium refuses `serverNames` beside `rules`, unless it ends TLS itself",
                    "no `terminatingTLS` beside it",
                )
                .help("add `terminatingTLS`, or remove one of the two"),
        );
    }
}

fn check_dns(item: &Place<'_>, dns: &Place<'_>, context: Context<'_>, report: &mut Report<'_, '_>) {
    if context.way == Way::Ingress {
        let help = "write the rule in `egress` of those who ask";
        misplaced(
            dns,
            "Cilium refuses rules on DNS in `ingress`",
            help,
            report,
        );
    }
    if filled(item, "ports").is_none() {
        let help = "add `ports: [{port: \"53\", protocol: ANY}]`";
        misplaced(
            dns,
            "Cilium refuses rules on DNS without `ports`",
            help,
            report,
        );
    }
    let Some(ports) = item.get("ports") else {
        return;
    };
    for port in ports.items() {
        let Some(end) = port.get("endPort") else {
            continue;
        };
        let first = port.get("port").and_then(|place| place.node.as_str());
        let first = first.filter(|text| !is_name(text)).and_then(number);
        if let (Some(first), Some(last)) = (first, whole(end.node.value()))
            && last > i128::from(first)
        {
            let help = "write one item for each port";
            misplaced(
                &end,
                "Cilium refuses a range of ports beside rules on DNS",
                help,
                report,
            );
        }
    }
}

fn check_http(http: &Place<'_>, context: Context<'_>, report: &mut Report<'_, '_>) {
    if context.is_host {
        let help = "remove the rules, or write a policy for the pods";
        misplaced(
            http,
            "Cilium refuses rules on HTTP in a policy for nodes",
            help,
            report,
        );
    }
    for rule in http.items() {
        for key in ["path", "method"] {
            if let Some(place) = rule.get(key) {
                regexp(&place, report);
            }
        }
        if let Some(headers) = rule.get("headerMatches") {
            for header in headers.items() {
                secret(&header, report);
            }
        }
    }
}

fn regexp(place: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(text) = place.node.as_str() else {
        return;
    };
    if let Err(fault) = go_regexp::check(text) {
        report.add(
            place
                .spot()
                .at_value(
                    &codes::BAD_REGEXP,
                    format!("the regular expression `{text}` {fault}"),
                    "does not compile",
                )
                .help("put a `\\` in front of a character that is to stand for itself"),
        );
    }
}

fn secret(header: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(secret) = header.get("secret") else {
        return;
    };
    if let Some(name) = secret.get("name")
        && name.node.as_str() == Some("")
    {
        report.add(
            name.spot()
                .at_value(
                    &codes::AGENT_VALUE,
                    "Cilium refuses a secret without a name",
                    "empty",
                )
                .help("name the secret, or remove it"),
        );
    }
}

/// Ports under rules: none is 0, and those of other rules than on DNS are TCP's.
fn check_ports(item: &Place<'_>, is_dns: bool, report: &mut Report<'_, '_>) {
    let Some(ports) = item.get("ports") else {
        return;
    };
    for port in ports.items() {
        let text = port.get("port").and_then(|place| place.node.as_str());
        if text.is_some_and(|text| number(text) == Some(0)) {
            let help = "name the ports one by one";
            misplaced(
                &port,
                "Cilium refuses `rules` for port 0, which is every port",
                help,
                report,
            );
        }
        let protocol = port.get("protocol");
        let name = protocol.and_then(|place| place.node.as_str());
        if !is_dns && name.unwrap_or("ANY") != "TCP" {
            let place = protocol.unwrap_or(port);
            let help = "write `protocol: TCP`";
            misplaced(
                &place,
                "Cilium takes rules on HTTP for protocol TCP only",
                help,
                report,
            );
        }
    }
}
