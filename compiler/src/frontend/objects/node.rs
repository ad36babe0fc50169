//! Nodes.

use super::metadata::Metadata;
use super::{Decoder, once};
use crate::cluster::object;
use crate::diagnostic::{Diagnostic, codes};
use crate::frontend::address::parse_cidr;
use crate::frontend::manifest::NodeRef;
use ipnet::IpNet;
use std::net::IpAddr;

pub(super) fn decode(root: NodeRef<'_>, decoder: &mut Decoder<'_>) -> object::Node {
    let metadata = Metadata::of(root);
    object::Node {
        name: metadata.name.into(),
        labels: decoder.interner.labels(metadata.labels()),
        addresses: addresses(root, decoder),
        pod_cidrs: pod_cidrs(root, decoder),
        span: metadata.span,
    }
}

/// Internal addresses, then external ones; names (`Hostname`, `InternalDNS`, ...) are no addresses.
fn addresses(root: NodeRef<'_>, decoder: &mut Decoder<'_>) -> Vec<IpAddr> {
    let listed = root.at(&["status", "addresses"]);
    let (mut internal, mut external) = (Vec::new(), Vec::new());
    for (index, item) in listed.into_iter().flat_map(NodeRef::items).enumerate() {
        let list = match item.get("type").and_then(NodeRef::as_str) {
            Some("InternalIP") => &mut internal,
            Some("ExternalIP") => &mut external,
            _ => continue,
        };
        if let Some(address) = item.get("address") {
            let field = || format!("status.addresses[{index}].address");
            list.extend(decoder.address(address, field));
        }
    }
    once(internal.into_iter().chain(external))
}

fn pod_cidrs(root: NodeRef<'_>, decoder: &mut Decoder<'_>) -> Vec<IpNet> {
    let mut blocks = Vec::new();
    let listed = root.at(&["spec", "podCIDRs"]);
    let single = root.at(&["spec", "podCIDR"]);
    for node in listed.into_iter().flat_map(NodeRef::items).chain(single) {
        let Some(text) = node.as_str().filter(|text| !text.is_empty()) else {
            continue;
        };
        let block = parse_cidr(text);
        if block.is_none() {
            let found = Diagnostic::new(
                &codes::UNUSABLE_ADDRESS,
                format!("`{text}` is no address block"),
            )
            .at(node.span(), "left out")
            .field("spec.podCIDRs")
            .help("write a block such as `10.244.1.0/24`");
            decoder.diagnostics.push(found);
        }
        blocks.extend(block);
    }
    once(blocks)
}
