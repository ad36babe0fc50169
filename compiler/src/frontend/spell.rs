//! Rules, peers and ports of the HIR, written as the kind of their policy writes them.
//!
//! Input: an item of the HIR and the object that it goes into. Output: the JSON of the item and the names of
//! the lists that hold such items. The reverse of lowering, for what `explain` suggests.

use super::kinds::{Kind, PolicyKind};
use crate::cluster::{NAMESPACE_NAME_LABEL, Protocol};
use crate::diagnostic::ObjectRef;
use crate::hir::{
    Direction, IpBlock, NamespaceSelector, Operator, Peer, Policy, PortMatch, PortRange,
    Requirement, Rule, Selector,
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
        Shape::Namespaced | Shape::V1alpha1 => "ports",
        Shape::V1alpha2 => "protocols",
    }
}

/// How many items a list of rules, peers or ports may hold, where the kind's definition sets a limit.
#[must_use]
pub fn limit(object: &ObjectRef) -> Option<usize> {
    match shape(object) {
        Shape::Namespaced => None,
        Shape::V1alpha1 => Some(100),
        Shape::V1alpha2 => Some(25),
    }
}

/// The spelling of the kind that an edit is for.
enum Shape {
    /// NetworkPolicy.
    Namespaced,
    /// AdminNetworkPolicy and BaselineAdminNetworkPolicy.
    V1alpha1,
    /// ClusterNetworkPolicy.
    V1alpha2,
}

fn shape(object: &ObjectRef) -> Shape {
    match Kind::named(&object.kind).and_then(Kind::policy) {
        Some(PolicyKind::AdminNetworkPolicy | PolicyKind::BaselineAdminNetworkPolicy) => {
            Shape::V1alpha1
        }
        Some(PolicyKind::ClusterNetworkPolicy) => Shape::V1alpha2,
        Some(
            PolicyKind::NetworkPolicy
            | PolicyKind::CiliumNetworkPolicy
            | PolicyKind::CiliumClusterwideNetworkPolicy,
        )
        | None => Shape::Namespaced,
    }
}

/// A policy with its rules in one direction, as a whole object.
#[must_use]
pub fn policy(policy: &Policy, direction: Direction) -> Value {
    let object = &policy.object;
    let rules = policy.rules.get(direction).iter();
    let rules: Vec<Value> = rules
        .map(|rule| self::rule(object, direction, rule))
        .collect();
    let list = direction.to_string();
    let (version, spec) = match shape(object) {
        Shape::Namespaced => {
            let types = match direction {
                Direction::Ingress => "Ingress",
                Direction::Egress => "Egress",
            };
            let subject = policy.subject.pods();
            let subject = subject.map_or(json!({}), |subject| selector_value(&subject.pods));
            (
                "networking.k8s.io/v1",
                json!({"podSelector": subject, "policyTypes": [types], list: rules}),
            )
        }
        Shape::V1alpha1 => (
            "policy.networking.k8s.io/v1alpha1",
            json!({"priority": policy.priority, "subject": subject(policy), list: rules}),
        ),
        Shape::V1alpha2 => (
            "policy.networking.k8s.io/v1alpha2",
            json!({
                "tier": policy.tier.to_string(),
                "priority": policy.priority,
                "subject": subject(policy),
                list: rules,
            }),
        ),
    };
    let metadata = match &object.namespace {
        Some(namespace) => json!({"name": &*object.name, "namespace": &**namespace}),
        None => json!({"name": &*object.name}),
    };
    json!({"apiVersion": version, "kind": &*object.kind, "metadata": metadata, "spec": spec})
}

fn subject(policy: &Policy) -> Value {
    let subject = policy.subject.pods().cloned().map(Peer::Pods);
    subject.map_or(Value::Null, |subject| peer(&policy.object, &subject))
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
        Shape::Namespaced => json!({}),
        Shape::V1alpha1 => json!({"action": "Allow"}),
        Shape::V1alpha2 => json!({"action": "Accept"}),
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
    match port {
        PortMatch::Range { protocol, ports } if ports.first == ports.last => {
            one_port(object, *protocol, ports.first)
        }
        PortMatch::Range { protocol, ports } => port_range(object, *protocol, *ports),
        PortMatch::Named { protocol, name } => named_port(object, *protocol, name),
    }
}

fn one_port(object: &ObjectRef, protocol: Protocol, port: u16) -> Value {
    let name = protocol.to_string();
    match shape(object) {
        Shape::Namespaced => json!({"port": port, "protocol": name}),
        Shape::V1alpha1 => json!({"portNumber": {"port": port, "protocol": name}}),
        Shape::V1alpha2 => {
            json!({protocol_key(protocol): {"destinationPort": {"number": port}}})
        }
    }
}

/// A whole protocol is written as ports 1 to 65535 by the kinds that refuse a protocol alone.
fn port_range(object: &ObjectRef, protocol: Protocol, ports: PortRange) -> Value {
    let name = protocol.to_string();
    let (start, end) = (ports.first.max(1), ports.last);
    match shape(object) {
        Shape::Namespaced if ports == PortRange::ALL => json!({"protocol": name}),
        Shape::Namespaced => json!({"port": start, "endPort": end, "protocol": name}),
        Shape::V1alpha1 => {
            json!({"portRange": {"start": start, "end": end, "protocol": name}})
        }
        Shape::V1alpha2 => json!({
            protocol_key(protocol): {"destinationPort": {"range": {"start": start, "end": end}}}
        }),
    }
}

fn named_port(object: &ObjectRef, protocol: Option<Protocol>, name: &str) -> Value {
    match (shape(object), protocol) {
        (Shape::Namespaced, Some(protocol)) => {
            json!({"port": name, "protocol": protocol.to_string()})
        }
        (Shape::Namespaced, None) => json!({"port": name}),
        (Shape::V1alpha1, _) => json!({"namedPort": name}),
        (Shape::V1alpha2, _) => json!({"destinationNamedPort": name}),
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
        (Peer::Pods(selector), Shape::Namespaced) => match &selector.namespaces {
            NamespaceSelector::Named(_) => json!({"podSelector": selector_value(&selector.pods)}),
            NamespaceSelector::Labels(namespaces) => json!({
                "namespaceSelector": selector_value(namespaces),
                "podSelector": selector_value(&selector.pods),
            }),
        },
        (Peer::Pods(selector), Shape::V1alpha1 | Shape::V1alpha2) => {
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
        (Peer::Addresses(block), Shape::Namespaced) => {
            json!({"ipBlock": block_value(block)})
        }
        (Peer::Addresses(block), Shape::V1alpha1 | Shape::V1alpha2) => {
            json!({"networks": [block.cidr.to_string()]})
        }
        (Peer::Nodes(selector), _) => json!({"nodes": selector_value(selector)}),
        (Peer::Domain(pattern), _) => json!({"domainNames": [pattern.to_string()]}),
        // No kind that is spelt names ends so, and nothing is suggested for those that do.
        (Peer::Identities(_), _) => json!({}),
    }
}

fn block_value(block: &IpBlock) -> Value {
    let cidr = block.cidr.to_string();
    let except: Vec<String> = block.except.iter().map(ToString::to_string).collect();
    if except.is_empty() {
        json!({"cidr": cidr})
    } else {
        json!({"cidr": cidr, "except": except})
    }
}

/// Requirements of one value are `matchLabels`, others `matchExpressions`.
fn selector_value(selector: &Selector) -> Value {
    let mut labels = serde_json::Map::new();
    let mut expressions = Vec::new();
    for Requirement { key, operator } in selector.requirements.iter() {
        let (operator, values) = match operator {
            Operator::In(values) => match values.as_slice() {
                [only] if !labels.contains_key(&**key) => {
                    labels.insert(key.to_string(), only.to_string().into());
                    continue;
                }
                values => ("In", values),
            },
            Operator::NotIn(values) => ("NotIn", values.as_slice()),
            Operator::Exists => ("Exists", &[][..]),
            Operator::DoesNotExist => ("DoesNotExist", &[][..]),
        };
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        expressions.push(if values.is_empty() {
            json!({"key": &**key, "operator": operator})
        } else {
            json!({"key": &**key, "operator": operator, "values": values})
        });
    }
    let mut value = serde_json::Map::new();
    if !labels.is_empty() {
        value.insert("matchLabels".into(), labels.into());
    }
    if !expressions.is_empty() {
        value.insert("matchExpressions".into(), expressions.into());
    }
    value.into()
}

/// An item of a list as YAML, so that every reader takes strings for strings: quotes stand around what YAML
/// 1.1 or 1.2 reads as something else.
#[must_use]
pub fn yaml_item(value: &Value) -> String {
    let mut text = String::new();
    write_items(&mut text, std::slice::from_ref(value), 0);
    text
}

/// A mapping as YAML, written like [`yaml_item`].
#[must_use]
pub fn yaml(value: &Value) -> String {
    let mut text = String::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        text.push_str(&scalar(key));
        text.push(':');
        write_value(&mut text, value, 2, false);
    }
    text
}

fn write_items(text: &mut String, items: &[Value], indent: usize) {
    for item in items {
        text.push_str(&" ".repeat(indent));
        text.push('-');
        write_value(text, item, indent + 2, true);
    }
}

/// A value behind `-` or `KEY:`, with the end of its line.
fn write_value(text: &mut String, value: &Value, indent: usize, in_item: bool) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (index, (key, value)) in fields.iter().enumerate() {
                match (index, in_item) {
                    (0, true) => text.push(' '),
                    (0, false) => text.push_str(&format!("\n{}", " ".repeat(indent))),
                    _ => text.push_str(&" ".repeat(indent)),
                }
                text.push_str(&scalar(key));
                text.push(':');
                write_value(text, value, indent + 2, false);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            write_items(text, items, indent.saturating_sub(2));
        }
        Value::String(string) => text.push_str(&format!(" {}\n", scalar(string))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            text.push_str(&format!(" {value}\n"))
        }
    }
}

/// Words that are no strings where they stand bare. <https://yaml.org/type/bool.html>
const NO_STRINGS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

fn scalar(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let starts_as_word = text.starts_with(|first: char| first.is_ascii_alphabetic());
    // Neither a number nor a date has a slash.
    let starts_as_block =
        text.starts_with(|first: char| first.is_ascii_digit()) && text.contains('/');
    let is_bare = (starts_as_word || starts_as_block)
        && text.bytes().all(is_plain)
        && !NO_STRINGS.contains(&&*text.to_ascii_lowercase());
    if is_bare {
        text.to_owned()
    } else {
        // A string of JSON is one of YAML.
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_written_as_every_reader_takes_them() {
        let value = json!({
            "from": [
                {"podSelector": {"matchLabels": {"app": "web", "arm": "y", "version": "1.0"}}},
                {"podSelector": {}},
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                {"ipBlock": {"cidr": "2001:db8::/32"}},
            ],
            "ports": [{"port": 80, "protocol": "TCP"}],
        });
        let expected = r#"- from:
  - podSelector:
      matchLabels:
        app: web
        arm: "y"
        version: "1.0"
  - podSelector: {}
  - ipBlock:
      cidr: 10.0.0.0/8
      except:
      - 10.1.0.0/16
  - ipBlock:
      cidr: "2001:db8::/32"
  ports:
  - port: 80
    protocol: TCP
"#;
        assert_eq!(yaml_item(&value), expected);
    }
}
