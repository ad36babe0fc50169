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
use std::collections::HashSet;

const SERVICE_TYPES: &[&str] = &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];

/// Checks the containers of the pod, or of the pods that the workload makes.
pub(super) fn check_containers(root: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(spec) = root.get("spec") else { return };
    containers(&spec, report);
    if let Some(template) = spec.get("template") {
        check_containers(&template, report);
    }
    if let Some(job) = spec.get("jobTemplate") {
        check_containers(&job, report);
    }
}

fn containers(spec: &Place<'_>, report: &mut Report<'_, '_>) {
    for key in ["containers", "initContainers"] {
        let Some(list) = spec.get(key) else { continue };
        for container in list.items() {
            let Some(ports) = container.get("ports") else {
                continue;
            };
            let mut names = HashSet::new();
            for port in ports.items() {
                number(&port, "containerPort", report);
                protocol(&port, report);
                name(&port, "name", report);
                only_once(&port, &mut names, report);
            }
        }
        if key == "containers" && list.node.items().next().is_none() && list.node.raw() == "[]" {
            let message = format!("`{}` needs at least one container", list.spot().field);
            report.add(
                list.spot()
                    .at_head(&codes::REQUIRED_VALUE, message, "no container")
                    .help("list the containers of the pod"),
            );
        }
    }
}

/// A name leads to one port of a container.
fn only_once<'a>(port: &Place<'a>, names: &mut HashSet<&'a str>, report: &mut Report<'_, '_>) {
    let Some(place) = port.get("name") else {
        return;
    };
    let name = port.node.get("name").and_then(NodeRef::as_str);
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
        number(&port, "port", report);
        protocol(&port, report);
        name(&port, "targetPort", report);
        if let Some(target) = port.get("targetPort")
            && let Some(number) = whole(target.node.value())
            && number != 0
        {
            check_number(&target, number, report);
        }
    }
}

fn number(item: &Place<'_>, key: &str, report: &mut Report<'_, '_>) {
    let port = item.get(key);
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

fn protocol(item: &Place<'_>, report: &mut Report<'_, '_>) {
    if let Some(protocol) = item.get("protocol")
        && let Some(name) = protocol.node.as_str()
        && !name.is_empty()
        && !PROTOCOLS.contains(&name)
    {
        report.add(text::not_one_of(&protocol.spot(), name, PROTOCOLS));
    }
}

fn name(item: &Place<'_>, key: &str, report: &mut Report<'_, '_>) {
    let Some(place) = item.get(key) else { return };
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
