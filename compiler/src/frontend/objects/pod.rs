//! Pods, and what pods and pod templates have in common.

use super::metadata::Metadata;
use super::{Decoder, once, port, protocol};
use crate::cluster::NamedPort;
use crate::cluster::interner::WrittenPort;
use crate::cluster::object::{self, Template};
use crate::frontend::manifest::NodeRef;
use std::net::IpAddr;
use std::sync::Arc;

/// The service account of pods that name none.
const DEFAULT_SERVICE_ACCOUNT: &str = "default";

pub(super) fn decode(root: NodeRef<'_>, decoder: &mut Decoder<'_>) -> object::Pod {
    let metadata = Metadata::of(root);
    let status = Status::of(root.get("status"), decoder);
    object::Pod {
        namespace: decoder.interner.string(metadata.namespace),
        name: metadata.name.into(),
        template: template(metadata.labels(), root.get("spec"), decoder),
        owner: metadata.owner(decoder.interner),
        finished: status.finished,
        addresses: status.addresses.into(),
        host_addresses: status.host_addresses.into(),
        span: metadata.span,
    }
}

#[derive(Default)]
struct Status {
    finished: bool,
    addresses: Vec<IpAddr>,
    host_addresses: Vec<IpAddr>,
}

impl Status {
    fn of(node: Option<NodeRef<'_>>, decoder: &mut Decoder<'_>) -> Self {
        let mut status = Self::default();
        let (mut single, mut single_host) = (None, None);
        for entry in node.into_iter().flat_map(NodeRef::entries) {
            let key = entry.key;
            let mut one = || decoder.address(entry.value, || format!("status.{key}"));
            match key {
                "phase" => {
                    status.finished = matches!(entry.value.as_str(), Some("Succeeded" | "Failed"));
                }
                "podIP" => single = one(),
                "hostIP" => single_host = one(),
                "podIPs" => status.addresses = wrapped(entry.value, key, decoder),
                "hostIPs" => status.host_addresses = wrapped(entry.value, key, decoder),
                _ => {}
            }
        }
        status.addresses = once(status.addresses.into_iter().chain(single));
        status.host_addresses = once(status.host_addresses.into_iter().chain(single_host));
        status
    }
}

/// A list of `{ip: address}`.
fn wrapped(list: NodeRef<'_>, key: &str, decoder: &mut Decoder<'_>) -> Vec<IpAddr> {
    let items = list.items().enumerate();
    items
        .filter_map(|(index, item)| {
            decoder.address(item.get("ip")?, || format!("status.{key}[{index}].ip"))
        })
        .collect()
}

/// A pod's labels with what its `spec` says.
pub(super) fn template<'a>(
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    spec: Option<NodeRef<'_>>,
    decoder: &mut Decoder<'_>,
) -> Template {
    let spec = Spec::of(spec);
    let account = spec.service_account.or(spec.former_service_account);
    let interner = decoder.interner;
    Template {
        labels: interner.labels(labels),
        ports: spec.ports(decoder),
        host_network: spec.host_network,
        service_account: interner.string(account.unwrap_or(DEFAULT_SERVICE_ACCOUNT)),
        node: spec.node.map(|node| interner.string(node)),
    }
}

#[derive(Default)]
struct Spec<'a> {
    containers: Option<NodeRef<'a>>,
    init_containers: Option<NodeRef<'a>>,
    host_network: bool,
    service_account: Option<&'a str>,
    /// `serviceAccount`, the name of the field in the first versions of the API; the server fills in both.
    former_service_account: Option<&'a str>,
    node: Option<&'a str>,
}

impl<'a> Spec<'a> {
    fn of(node: Option<NodeRef<'a>>) -> Self {
        let mut spec = Self::default();
        for entry in node.into_iter().flat_map(NodeRef::entries) {
            let text = || entry.value.as_str().filter(|text| !text.is_empty());
            match entry.key {
                "containers" => spec.containers = Some(entry.value),
                "initContainers" => spec.init_containers = Some(entry.value),
                "hostNetwork" => spec.host_network = entry.value.as_bool() == Some(true),
                "serviceAccountName" => spec.service_account = text(),
                "serviceAccount" => spec.former_service_account = text(),
                "nodeName" => spec.node = text(),
                _ => {}
            }
        }
        spec
    }

    /// Named ports: containers first, then init containers that restart always, which run beside them.
    /// <https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/>
    fn ports(&self, decoder: &Decoder<'_>) -> Arc<[NamedPort]> {
        let mut ports = Vec::new();
        for container in self.containers.into_iter().flat_map(NodeRef::items) {
            add_ports(container, &mut ports);
        }
        for container in self.init_containers.into_iter().flat_map(NodeRef::items) {
            if container.get("restartPolicy").and_then(NodeRef::as_str) == Some("Always") {
                add_ports(container, &mut ports);
            }
        }
        decoder.interner.ports(&ports)
    }
}

fn add_ports<'a>(container: NodeRef<'a>, ports: &mut Vec<WrittenPort<'a>>) {
    for item in container.get("ports").into_iter().flat_map(NodeRef::items) {
        ports.extend(named_port(item));
    }
}

fn named_port(node: NodeRef<'_>) -> Option<WrittenPort<'_>> {
    let (mut name, mut number, mut protocol_node) = (None, None, None);
    for entry in node.entries() {
        match entry.key {
            "name" => name = entry.value.as_str().filter(|name| !name.is_empty()),
            "containerPort" => number = port(entry.value),
            "protocol" => protocol_node = Some(entry.value),
            _ => {}
        }
    }
    Some(WrittenPort {
        name: name?,
        protocol: protocol(protocol_node)?,
        number: number?,
    })
}
