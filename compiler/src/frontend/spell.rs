//! Rules, peers and ports of the HIR, written as the kind of their policy writes them.
//!
//! Input: an item of the HIR and the object that it goes into. Output: the JSON of the item and the names of
//! the lists that hold such items. The reverse of lowering, for what `explain` suggests.

use crate::cluster::{NAMESPACE_NAME_LABEL, Protocol};
use crate::diagnostic::ObjectRef;
use crate::hir::{
    Direction, NamespaceSelector, Operator, Peer, PortMatch, Requirement, Rule, Selector,
};
use serde_json::{Value, json};

/// The list of a rule that holds its peers.
#[must_use]
pub fn peer_list(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}

/// The list of a rule that holds its ports.
#[must_use]
pub fn port_list(object: &ObjectRef) -> &'static str {
    match shape(object) {
        Shape::NetworkPolicy | Shape::AdminNetworkPolicy => "ports",
        Shape::ClusterNetworkPolicy => "protocols",
    }
}

/// The spelling of the kind that an edit is for.
enum Shape {
    NetworkPolicy,
    AdminNetworkPolicy,
    ClusterNetworkPolicy,
}

fn shape(object: &ObjectRef) -> Shape {
    match &*object.kind {
        "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy" => Shape::AdminNetworkPolicy,
        "ClusterNetworkPolicy" => Shape::ClusterNetworkPolicy,
        _ => Shape::NetworkPolicy,
    }
}

/// A rule.
#[must_use]
pub fn rule(object: &ObjectRef, direction: Direction, rule: &Rule) -> Value {
    let peers: Vec<Value> = rule
        .peers
        .iter()
        .flatten()
        .map(|peer| self::peer(object, peer))
        .collect();
    let ports: Vec<Value> = rule
        .ports
        .iter()
        .flatten()
        .map(|port| self::port(object, port))
        .collect();
    let mut value = match shape(object) {
        Shape::NetworkPolicy => json!({}),
        Shape::AdminNetworkPolicy => json!({"action": "Allow"}),
        Shape::ClusterNetworkPolicy => json!({"action": "Accept"}),
    };
    if let Some(fields) = value.as_object_mut() {
        fields.insert(peer_list(direction).into(), peers.into());
        if !ports.is_empty() {
            fields.insert(port_list(object).into(), ports.into());
        }
    }
    value
}

/// An item of the list of ports.
#[must_use]
pub fn port(object: &ObjectRef, port: &PortMatch) -> Value {
    let PortMatch::Range { protocol, ports } = port else {
        return Value::Null;
    };
    let name = protocol.to_string();
    match shape(object) {
        Shape::NetworkPolicy => json!({"port": ports.first, "protocol": name}),
        Shape::AdminNetworkPolicy => json!({"portNumber": {"port": ports.first, "protocol": name}}),
        Shape::ClusterNetworkPolicy => {
            json!({protocol_key(*protocol): {"destinationPort": {"number": ports.first}}})
        }
    }
}

fn protocol_key(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::UDP => "udp",
        Protocol::SCTP => "sctp",
        _ => "tcp",
    }
}

/// An item of the list of peers.
#[must_use]
pub fn peer(object: &ObjectRef, peer: &Peer) -> Value {
    match (peer, shape(object)) {
        (Peer::Pods(selector), Shape::NetworkPolicy) => match &selector.namespaces {
            NamespaceSelector::Named(_) => json!({"podSelector": selector_value(&selector.pods)}),
            NamespaceSelector::Labels(namespaces) => json!({
                "namespaceSelector": selector_value(namespaces),
                "podSelector": selector_value(&selector.pods),
            }),
        },
        (Peer::Pods(selector), Shape::AdminNetworkPolicy | Shape::ClusterNetworkPolicy) => {
            let namespaces = match &selector.namespaces {
                NamespaceSelector::Named(name) => [Requirement::equal(NAMESPACE_NAME_LABEL, name)]
                    .into_iter()
                    .collect(),
                NamespaceSelector::Labels(labels) => labels.clone(),
            };
            json!({"pods": {
                "namespaceSelector": selector_value(&namespaces),
                "podSelector": selector_value(&selector.pods),
            }})
        }
        (Peer::Addresses(block), Shape::NetworkPolicy) => {
            json!({"ipBlock": {"cidr": block.cidr.to_string()}})
        }
        (Peer::Addresses(block), Shape::AdminNetworkPolicy | Shape::ClusterNetworkPolicy) => {
            json!({"networks": [block.cidr.to_string()]})
        }
        (Peer::Nodes(selector), _) => json!({"nodes": selector_value(selector)}),
        (Peer::Domain(pattern), _) => json!({"domainNames": [pattern.to_string()]}),
    }
}

fn selector_value(selector: &Selector) -> Value {
    let labels: serde_json::Map<String, Value> = selector
        .requirements
        .iter()
        .filter_map(|requirement| match &requirement.operator {
            Operator::In(values) => Some((
                requirement.key.to_string(),
                values.first()?.to_string().into(),
            )),
            Operator::NotIn(_) | Operator::Exists | Operator::DoesNotExist => None,
        })
        .collect();
    if labels.is_empty() {
        json!({})
    } else {
        json!({"matchLabels": labels})
    }
}
