//! Rules on the ports of containers and services: a rule or a service that goes by a port which the API server
//! refuses would lead elsewhere than its author thinks.
//!
//! Input: a pod, a workload or a service. Guarantee: numbers, protocols and names are as `validateContainerPorts` and
//! `validateServicePort` of `pkg/apis/core/validation` in Kubernetes 1.37 want them.

use super::ports::{PROTOCOLS, breaches, check_number, port_name};
use super::text;
use crate::diagnostic::codes;
use crate::frontend::manifest::NodeRef;
use crate::frontend::report::{Place, Report};
use crate::frontend::schema::walk::whole;
use rustc_hash::FxHashSet;

const SERVICE_TYPES: &[&str] = &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];

/// Checks the containers of the pod, or of the pods that the workload makes.
pub(super) fn check_containers(root: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(spec) = root.get("spec") else { return };
    let [main, init, template, job] =
        spec.fields(["containers", "initContainers", "template", "jobTemplate"]);
    if let Some(list) = main {
        containers(&list, report);
        if list.node.items().next().is_none() && list.node.raw() == "[]" {
            let message = format!("`{}` needs at least one container", list.spot().field);
            report.add(
                list.spot()
                    .at_head(&codes::REQUIRED_VALUE, message, "no container")
                    .help("list the containers of the pod"),
            );
        }
    }
    if let Some(list) = init {
        containers(&list, report);
    }
    for made in [template, job].into_iter().flatten() {
        check_containers(&made, report);
    }
}

fn containers(list: &Place<'_>, report: &mut Report<'_, '_>) {
    for container in list.items() {
        let Some(ports) = container.get("ports") else {
            continue;
        };
        let mut names = FxHashSet::default();
        for port in ports.items() {
            let [own, spoken, called] = port.fields(["containerPort", "protocol", "name"]);
            number(&port, "containerPort", own, report);
            protocol(spoken, report);
            if let Some(called) = called {
                name(&called, "name", report);
                let text = port.node.get("name").and_then(NodeRef::as_str);
                only_once(&called, text, &mut names, report);
            }
        }
    }
}

/// A name leads to one port of a container.
fn only_once<'a>(
    place: &Place<'_>,
    name: Option<&'a str>,
    names: &mut FxHashSet<&'a str>,
    report: &mut Report<'_, '_>,
) {
    let name = name.filter(|name| !name.is_empty());
    if let Some(name) = name.filter(|name| !names.insert(*name)) {
        report.add(
            place
                .spot()
                .at_value(
                    &codes::DUPLICATE_ITEM,
                    format!("two ports of the container are called `{name}`"),
                    "the second one",
                )
                .help("give each port of a container a name of its own"),
        );
    }
}

/// Checks the type and the ports of a service.
pub(super) fn check_service(root: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(spec) = root.get("spec") else { return };
    if let Some(kind) = spec.get("type")
        && let Some(name) = kind.node.as_str()
        && !name.is_empty()
        && !SERVICE_TYPES.contains(&name)
    {
        report.add(text::not_one_of(&kind.spot(), name, SERVICE_TYPES));
    }
    let Some(ports) = spec.get("ports") else {
        return;
    };
    for port in ports.items() {
        let [own, spoken, target] = port.fields(["port", "protocol", "targetPort"]);
        number(&port, "port", own, report);
        protocol(spoken, report);
        if let Some(target) = target {
            name(&target, "targetPort", report);
            if let Some(number) = whole(target.node.value()).filter(|number| *number != 0) {
                check_number(&target, number, report);
            }
        }
    }
}

fn number(item: &Place<'_>, key: &str, port: Option<Place<'_>>, report: &mut Report<'_, '_>) {
    let number = port.as_ref().and_then(|port| whole(port.node.value()));
    match (port, number) {
        (Some(port), Some(number)) if number != 0 => check_number(&port, number, report),
        // The schema reports what is no number.
        (Some(_), None) => {}
        (_, Some(_)) | (None, None) => {
            let spot = item.spot().below(key);
            report.add(
                spot.at_head(
                    &codes::REQUIRED_VALUE,
                    "the port has no number",
                    format!("lacks `{key}`"),
                )
                .help(format!("set `{key}` to a number from 1 to 65535")),
            );
        }
    }
}

fn protocol(place: Option<Place<'_>>, report: &mut Report<'_, '_>) {
    if let Some(protocol) = place
        && let Some(name) = protocol.node.as_str()
        && !name.is_empty()
        && !PROTOCOLS.contains(&name)
    {
        report.add(text::not_one_of(&protocol.spot(), name, PROTOCOLS));
    }
}

fn name(place: &Place<'_>, key: &str, report: &mut Report<'_, '_>) {
    let Some(name) = place.node.as_str().filter(|name| !name.is_empty()) else {
        return;
    };
    for breach in breaches(name) {
        let is_number = key == "targetPort" && name.parse::<u16>().is_ok();
        let help = match port_name(name) {
            _ if is_number => format!("write `{name}` without quotes"),
            Some(better) => format!("write `{better}`"),
            None => {
                "write at most 15 small letters, digits and `-`, and a letter among them".to_owned()
            }
        };
        let message = format!("the port's name `{name}` {breach}");
        let spot = place.spot();
        report.add(
            spot.at_value(&codes::INVALID_PORT, message, "not a valid port name")
                .help(help),
        );
    }
}
