//! From an object that is no policy to what it says of the cluster.
//!
//! Input: the root node of one object. Output: an [`object::Object`] without anything of the text but spans.
//! Guarantee: total and linear in the object's size; what validation would have refused is left out. An
//! address that cannot be read is a warning here, since it stands in what the server itself wrote. Entry:
//! [`decode`].

mod metadata;
mod node;
mod pod;
mod service;
mod workload;

use super::address;
use super::kinds::Kind;
use super::manifest::NodeRef;
use crate::cluster::Protocol;
use crate::cluster::interner::Interner;
use crate::cluster::object::{self, Object};
use crate::diagnostic::{Diagnostic, codes};
use metadata::Metadata;
use rustc_hash::FxHashSet;
use std::hash::Hash;
use std::net::IpAddr;

/// Decodes an object; `None` where the kind is a policy. `interner` is shared by all objects of a run.
pub fn decode(
    kind: Kind,
    root: NodeRef<'_>,
    interner: &Interner,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Object> {
    let mut decoder = Decoder {
        interner,
        diagnostics,
    };
    let workload = |decoder, kind| Some(Object::Workload(workload::decode(root, kind, decoder)));
    match kind {
        Kind::NetworkPolicy
        | Kind::AdminNetworkPolicy
        | Kind::BaselineAdminNetworkPolicy
        | Kind::ClusterNetworkPolicy
        | Kind::CiliumNetworkPolicy
        | Kind::CiliumClusterwideNetworkPolicy => None,
        Kind::CiliumCidrGroup => Some(Object::BlockGroup(decoder.block_group(root))),
        Kind::Namespace => Some(Object::Namespace(decoder.namespace(root))),
        Kind::Node => Some(Object::Node(node::decode(root, &mut decoder))),
        Kind::Pod => Some(Object::Pod(pod::decode(root, &mut decoder))),
        Kind::Service => Some(Object::Service(service::decode(root, &mut decoder))),
        Kind::ServiceAccount => Some(Object::ServiceAccount(decoder.service_account(root))),
        Kind::Endpoints => Some(Object::Endpoints(service::endpoints(root, &mut decoder))),
        Kind::EndpointSlice => Some(Object::Endpoints(service::slice(root, &mut decoder))),
        Kind::Deployment => workload(&mut decoder, "Deployment"),
        Kind::StatefulSet => workload(&mut decoder, "StatefulSet"),
        Kind::DaemonSet => workload(&mut decoder, "DaemonSet"),
        Kind::ReplicaSet => workload(&mut decoder, "ReplicaSet"),
        Kind::ReplicationController => workload(&mut decoder, "ReplicationController"),
        Kind::Job => workload(&mut decoder, "Job"),
        Kind::CronJob => workload(&mut decoder, "CronJob"),
        Kind::DnsSnapshot => Some(Object::DnsSnapshot(decoder.dns_snapshot(root))),
    }
}

/// What decoding needs besides the text.
struct Decoder<'d> {
    interner: &'d Interner,
    diagnostics: &'d mut Vec<Diagnostic>,
}

impl Decoder<'_> {
    fn namespace(&mut self, root: NodeRef<'_>) -> object::Namespace {
        let metadata = Metadata::of(root);
        object::Namespace {
            name: metadata.name.into(),
            labels: self.interner.labels(metadata.labels()),
            span: metadata.span,
        }
    }

    fn service_account(&mut self, root: NodeRef<'_>) -> object::ServiceAccount {
        let metadata = Metadata::of(root);
        object::ServiceAccount {
            namespace: self.interner.string(metadata.namespace),
            name: metadata.name.into(),
            labels: self.interner.labels(metadata.labels()),
            span: metadata.span,
        }
    }

    fn block_group(&mut self, root: NodeRef<'_>) -> object::BlockGroup {
        let metadata = Metadata::of(root);
        let blocks = root.at(&["spec", "externalCIDRs"]);
        let blocks = blocks.into_iter().flat_map(NodeRef::items);
        object::BlockGroup {
            name: metadata.name.into(),
            labels: metadata.labels().collect(),
            // What is no block was refused before.
            blocks: blocks
                .filter_map(|block| block.as_str().and_then(address::parse_block))
                .collect(),
            span: metadata.span,
        }
    }

    fn dns_snapshot(&mut self, root: NodeRef<'_>) -> object::DnsSnapshot {
        let metadata = Metadata::of(root);
        let names = root.get("names").into_iter().flat_map(NodeRef::entries);
        let answers = names.map(|entry| {
            let field = format!("names.{}", entry.key);
            (
                canonical_name(entry.key),
                self.addresses(entry.value, &field),
            )
        });
        object::DnsSnapshot {
            name: metadata.name.into(),
            answers: answers.collect(),
            span: metadata.span,
        }
    }

    /// The addresses in a list of strings.
    fn addresses(&mut self, list: NodeRef<'_>, field: &str) -> Vec<IpAddr> {
        let items = list.items().enumerate();
        items
            .filter_map(|(index, item)| self.address(item, || format!("{field}[{index}]")))
            .collect()
    }

    /// The address in a string; the empty string and `None` (a headless service's) are none.
    fn address(&mut self, node: NodeRef<'_>, field: impl FnOnce() -> String) -> Option<IpAddr> {
        let text = node.as_str().filter(|text| !matches!(*text, "" | "None"))?;
        let address = address::parse_ip(text);
        if address.is_none() {
            let message = format!("`{text}` is no IP address");
            let found = Diagnostic::new(&codes::UNUSABLE_ADDRESS, message)
                .at(node.span(), "left out")
                .field(field())
                .help("write an address such as `10.0.0.7` or `2001:db8::7`");
            self.diagnostics.push(found);
        }
        address
    }
}

/// How many items are compared with each other rather than looked up.
const FEW: usize = 8;

/// Each item once, where it comes first.
fn once<T: Copy + Eq + Hash>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    let mut seen = FxHashSet::default();
    for item in items {
        if kept.len() == FEW && seen.is_empty() {
            seen.extend(kept.iter().copied());
        }
        let is_known = if kept.len() < FEW {
            kept.contains(&item)
        } else {
            !seen.insert(item)
        };
        if !is_known {
            kept.push(item);
        }
    }
    kept
}

/// A domain name in lower case without the final dot.
fn canonical_name(name: &str) -> Box<str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.to_ascii_lowercase().into()
}

/// A mapping of strings to strings.
fn labels(node: NodeRef<'_>) -> impl Iterator<Item = (&str, &str)> {
    node.entries()
        .filter_map(|entry| Some((entry.key, entry.value.as_str()?)))
}

/// A protocol as objects of the cluster name it; TCP where they name none.
fn protocol(node: Option<NodeRef<'_>>) -> Option<Protocol> {
    match node.and_then(NodeRef::as_str) {
        None | Some("TCP" | "") => Some(Protocol::TCP),
        Some("UDP") => Some(Protocol::UDP),
        Some("SCTP") => Some(Protocol::SCTP),
        Some(_) => None,
    }
}

/// A port number.
fn port(node: NodeRef<'_>) -> Option<u16> {
    let number = node.as_int()?;
    u16::try_from(number).ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests;
