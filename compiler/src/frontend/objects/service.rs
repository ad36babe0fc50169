//! Services and their endpoints.

use super::metadata::Metadata;
use super::{Decoder, labels, once, port, protocol};
use crate::cluster::Labels;
use crate::cluster::ServiceKind;
use crate::cluster::object::{self, EndpointPort, ServicePort, Subset, Target};
use crate::frontend::manifest::{NodeRef, Value};
use std::net::IpAddr;

/// The label with which an EndpointSlice names its service.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetesioservice-name>
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

pub(super) fn decode(root: NodeRef<'_>, decoder: &mut Decoder<'_>) -> object::Service {
    let metadata = Metadata::of(root);
    let mut service = object::Service {
        namespace: decoder.interner.string(metadata.namespace),
        name: metadata.name.into(),
        kind: ServiceKind::default(),
        addresses: Vec::new(),
        external_addresses: Vec::new(),
        labels: metadata.labels().collect(),
        selector: None,
        ports: Vec::new(),
        span: metadata.span,
    };
    let mut single = None;
    for entry in root.get("spec").into_iter().flat_map(NodeRef::entries) {
        let value = entry.value;
        match entry.key {
            "type" => service.kind = kind(value),
            "clusterIP" => single = decoder.address(value, || "spec.clusterIP".into()),
            "clusterIPs" => service.addresses = decoder.addresses(value, "spec.clusterIPs"),
            "externalIPs" => {
                service.external_addresses = decoder.addresses(value, "spec.externalIPs")
            }
            "selector" => {
                let selector: Labels = labels(value).collect();
                service.selector = Some(selector).filter(|selector| !selector.is_empty());
            }
            "ports" => service.ports = value.items().filter_map(service_port).collect(),
            _ => {}
        }
    }
    service.addresses = once(service.addresses.into_iter().chain(single));
    if service.kind == ServiceKind::ClusterIp && is_headless(root) {
        service.kind = ServiceKind::Headless;
    }
    let balanced = load_balancer(root, decoder);
    service.external_addresses = once(service.external_addresses.into_iter().chain(balanced));
    if service.kind == ServiceKind::ExternalName {
        service.addresses.clear();
        service.selector = None;
    }
    service
}

fn kind(node: NodeRef<'_>) -> ServiceKind {
    match node.as_str() {
        Some("NodePort") => ServiceKind::NodePort,
        Some("LoadBalancer") => ServiceKind::LoadBalancer,
        Some("ExternalName") => ServiceKind::ExternalName,
        _ => ServiceKind::ClusterIp,
    }
}

fn is_headless(root: NodeRef<'_>) -> bool {
    let address = root.at(&["spec", "clusterIP"]);
    address.and_then(NodeRef::as_str) == Some("None")
}

fn load_balancer(root: NodeRef<'_>, decoder: &mut Decoder<'_>) -> Vec<IpAddr> {
    let listed = root.at(&["status", "loadBalancer", "ingress"]);
    let items = listed.into_iter().flat_map(NodeRef::items).enumerate();
    items
        .filter_map(|(index, item)| {
            let field = || format!("status.loadBalancer.ingress[{index}].ip");
            decoder.address(item.get("ip")?, field)
        })
        .collect()
}

fn service_port(node: NodeRef<'_>) -> Option<ServicePort> {
    let (mut name, mut number, mut node_port) = ("", None, None);
    let (mut target, mut protocol_node) = (None, None);
    let mut span = node.span();
    for entry in node.entries() {
        match entry.key {
            "name" => name = entry.value.as_str().unwrap_or(""),
            "port" => number = port(entry.value),
            "nodePort" => node_port = port(entry.value),
            "protocol" => protocol_node = Some(entry.value),
            "targetPort" => {
                target = target_port(entry.value);
                span = entry.value.span();
            }
            _ => {}
        }
    }
    Some(ServicePort {
        name: name.into(),
        protocol: protocol(protocol_node)?,
        number: number?,
        node_port,
        target: target.unwrap_or(Target::Number(number?)),
        span,
    })
}

/// The port behind a service's; 0 and the empty string mean the service's own number.
fn target_port(node: NodeRef<'_>) -> Option<Target> {
    match node.as_str() {
        Some("") => None,
        Some(name) => Some(Target::Name(name.into())),
        None => port(node).map(Target::Number),
    }
}

pub(super) fn slice(root: NodeRef<'_>, decoder: &mut Decoder<'_>) -> object::Endpoints {
    let metadata = Metadata::of(root);
    let (mut addresses, mut ports, mut are_names) = (Vec::new(), Vec::new(), false);
    let mut endpoints = None;
    for entry in root.entries() {
        match entry.key {
            "addressType" => are_names = entry.value.as_str() == Some("FQDN"),
            "ports" => ports = entry.value.items().filter_map(endpoint_port).collect(),
            "endpoints" => endpoints = Some(entry.value),
            _ => {}
        }
    }
    let endpoints = endpoints.filter(|_| !are_names);
    for (index, endpoint) in endpoints.into_iter().flat_map(NodeRef::items).enumerate() {
        addresses.extend(ready_addresses(endpoint, index, decoder));
    }
    object::Endpoints {
        namespace: decoder.interner.string(metadata.namespace),
        name: metadata.name.into(),
        service: metadata
            .label(SERVICE_NAME_LABEL)
            .filter(|name| !name.is_empty())
            .map(Box::from),
        slice: true,
        subsets: vec![Subset { addresses, ports }],
        span: metadata.span,
    }
}

/// The addresses of an endpoint; it is ready unless it says that it is not.
fn ready_addresses(endpoint: NodeRef<'_>, index: usize, decoder: &mut Decoder<'_>) -> Vec<IpAddr> {
    let (mut addresses, mut ready) = (None, true);
    for entry in endpoint.entries() {
        match entry.key {
            "addresses" => addresses = Some(entry.value),
            "conditions" => {
                ready = entry.value.get("ready").and_then(NodeRef::as_bool) != Some(false);
            }
            _ => {}
        }
    }
    match addresses {
        Some(list) if ready => decoder.addresses(list, &format!("endpoints[{index}].addresses")),
        _ => Vec::new(),
    }
}

fn endpoint_port(node: NodeRef<'_>) -> Option<EndpointPort> {
    let (mut name, mut number, mut protocol_node) = ("", None, None);
    for entry in node.entries() {
        match entry.key {
            "name" => name = entry.value.as_str().unwrap_or(""),
            "protocol" => protocol_node = Some(entry.value),
            "port" if !matches!(entry.value.value(), Value::Null) => {
                number = Some(port(entry.value)?);
            }
            _ => {}
        }
    }
    Some(EndpointPort {
        name: name.into(),
        protocol: protocol(protocol_node)?,
        number,
    })
}

pub(super) fn endpoints(root: NodeRef<'_>, decoder: &mut Decoder<'_>) -> object::Endpoints {
    let metadata = Metadata::of(root);
    let listed = root.get("subsets").into_iter().flat_map(NodeRef::items);
    let subsets = listed
        .enumerate()
        .map(|(index, node)| subset(node, index, decoder))
        .collect();
    object::Endpoints {
        namespace: decoder.interner.string(metadata.namespace),
        name: metadata.name.into(),
        service: Some(metadata.name.into()),
        slice: false,
        subsets,
        span: metadata.span,
    }
}

fn subset(node: NodeRef<'_>, subset: usize, decoder: &mut Decoder<'_>) -> Subset {
    let (mut addresses, mut ports) = (Vec::new(), Vec::new());
    for entry in node.entries() {
        match entry.key {
            "addresses" => {
                for (index, item) in entry.value.items().enumerate() {
                    let field = || format!("subsets[{subset}].addresses[{index}].ip");
                    let ip = item.get("ip");
                    addresses.extend(ip.and_then(|node| decoder.address(node, field)));
                }
            }
            "ports" => ports = entry.value.items().filter_map(endpoint_port).collect(),
            _ => {}
        }
    }
    Subset { addresses, ports }
}
