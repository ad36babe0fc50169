//! Random policies of every kind over a given vocabulary.

use super::random::Random;
use serde_json::{Map, Value, json};

/// The words that policies and clusters share.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// Names of namespaces.
    pub namespaces: Vec<String>,
    /// Labels of namespaces: keys, each with its values.
    pub namespace_labels: Vec<(String, Vec<String>)>,
    /// Labels of pods.
    pub pod_labels: Vec<(String, Vec<String>)>,
    /// Labels of nodes.
    pub node_labels: Vec<(String, Vec<String>)>,
    /// Port numbers.
    pub ports: Vec<u16>,
    /// Names of ports.
    pub port_names: Vec<String>,
    /// Blocks, each with what may be left out of it.
    pub blocks: Vec<(String, Vec<String>)>,
    /// Domain names, with or without a wildcard.
    pub domains: Vec<String>,
    /// Priorities.
    pub priorities: Vec<u16>,
    /// How often, in a hundred, a pod selector has a second requirement.
    pub narrow: usize,
    /// How often, in a hundred, a rule names nodes, where its kind may.
    pub nodes: usize,
}

/// A NetworkPolicy.
pub fn network_policy(random: &mut Random, words: &Vocabulary, index: usize) -> Value {
    let mut spec = Map::new();
    spec.insert(
        "podSelector".into(),
        selector(random, words, &words.pod_labels),
    );
    let (ingress, egress) = (random.chance(70), random.chance(60));
    if ingress {
        spec.insert("ingress".into(), np_rules(random, words, "from"));
    }
    if egress {
        spec.insert("egress".into(), np_rules(random, words, "to"));
    }
    let types: &[&[&str]] = &[&["Ingress"], &["Egress"], &["Ingress", "Egress"]];
    if random.chance(60)
        && let Some(types) = random.pick(types)
    {
        spec.insert("policyTypes".into(), json!(types));
    }
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": format!("np-{index}"), "namespace": random.one(&words.namespaces)},
        "spec": spec,
    })
}

fn np_rules(random: &mut Random, words: &Vocabulary, key: &str) -> Value {
    let rules = (0..random.below(4)).map(|_| {
        let mut rule = Map::new();
        if random.chance(80) {
            let peers = (0..random.between(1, 3))
                .map(|_| np_peer(random, words))
                .collect();
            rule.insert(key.into(), Value::Array(peers));
        }
        if random.chance(70) {
            let ports = (0..random.between(1, 3))
                .map(|_| np_port(random, words))
                .collect();
            rule.insert("ports".into(), Value::Array(ports));
        }
        Value::Object(rule)
    });
    rules.collect()
}

fn np_peer(random: &mut Random, words: &Vocabulary) -> Value {
    match random.below(4) {
        0 => json!({"podSelector": selector(random, words, &words.pod_labels)}),
        1 => json!({"namespaceSelector": selector(random, words, &words.namespace_labels)}),
        2 => json!({
            "namespaceSelector": selector(random, words, &words.namespace_labels),
            "podSelector": selector(random, words, &words.pod_labels),
        }),
        _ => {
            let (cidr, inside) = random.one(&words.blocks);
            let mut block = Map::new();
            block.insert("cidr".into(), cidr.into());
            if !inside.is_empty() && random.chance(50) {
                let except: Vec<String> = (0..random.between(1, 2))
                    .map(|_| random.one(&inside))
                    .collect();
                block.insert("except".into(), json!(except));
            }
            json!({ "ipBlock": block })
        }
    }
}

fn np_port(random: &mut Random, words: &Vocabulary) -> Value {
    let mut port = Map::new();
    if random.chance(60) {
        let protocol = random.one(&["TCP", "UDP", "SCTP"]);
        port.insert("protocol".into(), protocol.into());
    }
    match random.below(10) {
        0..=4 => {
            port.insert("port".into(), random.one(&words.ports).into());
        }
        5..=6 => {
            let (first, last) = range(random, words);
            port.insert("port".into(), first.into());
            port.insert("endPort".into(), last.into());
        }
        7..=8 => {
            port.insert("port".into(), random.one(&words.port_names).into());
        }
        _ => {}
    }
    Value::Object(port)
}

/// Two ports, the first below the second.
fn range(random: &mut Random, words: &Vocabulary) -> (u16, u16) {
    let (one, other) = (random.one(&words.ports), random.one(&words.ports));
    if one == other {
        (one, one.saturating_add(10))
    } else {
        (one.min(other), one.max(other))
    }
}

/// An AdminNetworkPolicy, or the BaselineAdminNetworkPolicy, of which there is only one.
pub fn admin_network_policy(
    random: &mut Random,
    words: &Vocabulary,
    index: usize,
    baseline: bool,
) -> Value {
    let actions: &[&str] = if baseline {
        &["Allow", "Deny"]
    } else {
        &["Allow", "Deny", "Pass"]
    };
    let mut spec = Map::new();
    if !baseline {
        spec.insert("priority".into(), random.one(&words.priorities).into());
    }
    spec.insert("subject".into(), cluster_peer(random, words));
    for (section, key) in [("ingress", "from"), ("egress", "to")] {
        let rules: Vec<Value> = (0..random.below(4))
            .map(|_| {
                let peers: Vec<Value> = (0..random.between(1, 3))
                    .map(|_| anp_peer(random, words, key))
                    .collect();
                let numeric = !peers
                    .iter()
                    .all(|peer| peer.get("networks").is_none() && peer.get("nodes").is_none());
                let mut rule = json!({"action": random.one(actions), key: peers});
                if random.chance(60) {
                    let ports: Vec<Value> = (0..random.between(1, 3))
                        .map(|_| anp_port(random, words, numeric))
                        .collect();
                    rule["ports"] = Value::Array(ports);
                }
                rule
            })
            .collect();
        spec.insert(section.into(), Value::Array(rules));
    }
    let (kind, name) = if baseline {
        ("BaselineAdminNetworkPolicy", "default".to_owned())
    } else {
        ("AdminNetworkPolicy", format!("anp-{index}"))
    };
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// The subject of a policy of the whole cluster, or a peer: namespaces or pods.
fn cluster_peer(random: &mut Random, words: &Vocabulary) -> Value {
    if random.chance(50) {
        json!({"namespaces": selector(random, words, &words.namespace_labels)})
    } else {
        json!({"pods": {
            "namespaceSelector": selector(random, words, &words.namespace_labels),
            "podSelector": selector(random, words, &words.pod_labels),
        }})
    }
}

fn anp_peer(random: &mut Random, words: &Vocabulary, key: &str) -> Value {
    if key == "to" && random.chance(40) {
        if random.chance(words.nodes) {
            return json!({"nodes": selector(random, words, &words.node_labels)});
        }
        let count = random.between(1, 2);
        let networks: Vec<String> = (0..count).map(|_| random.one(&words.blocks).0).collect();
        return json!({"networks": distinct(networks)});
    }
    cluster_peer(random, words)
}

fn anp_port(random: &mut Random, words: &Vocabulary, numeric: bool) -> Value {
    let protocol = random.one(&["TCP", "UDP", "SCTP"]);
    match random.below(10) {
        0..=2 if !numeric => json!({"namedPort": random.one(&words.port_names)}),
        0..=6 => json!({"portNumber": {"protocol": protocol, "port": random.one(&words.ports)}}),
        _ => {
            let (start, end) = range(random, words);
            json!({"portRange": {"protocol": protocol, "start": start, "end": end}})
        }
    }
}

/// A ClusterNetworkPolicy.
pub fn cluster_network_policy(random: &mut Random, words: &Vocabulary, index: usize) -> Value {
    let mut spec = Map::new();
    spec.insert("tier".into(), random.one(&["Admin", "Baseline"]).into());
    spec.insert("priority".into(), random.one(&words.priorities).into());
    spec.insert("subject".into(), cluster_peer(random, words));
    for (section, key) in [("ingress", "from"), ("egress", "to")] {
        let rules = (0..random.below(4))
            .map(|_| cnp_rule(random, words, key))
            .collect();
        spec.insert(section.into(), Value::Array(rules));
    }
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": format!("cnp-{index}")},
        "spec": spec,
    })
}

fn cnp_rule(random: &mut Random, words: &Vocabulary, key: &str) -> Value {
    let mut action = random.one(&["Accept", "Deny", "Pass"]);
    let mut peers: Vec<Value> = (0..random.between(1, 3))
        .map(|_| anp_peer(random, words, key))
        .collect();
    if key == "to" && !words.domains.is_empty() && random.chance(25) {
        action = "Accept";
        let names: Vec<String> = (0..random.between(1, 2))
            .map(|_| random.one(&words.domains))
            .collect();
        peers.push(json!({"domainNames": distinct(names)}));
    }
    let numeric = peers.iter().any(|peer| {
        ["networks", "nodes", "domainNames"]
            .iter()
            .any(|key| peer.get(key).is_some())
    });
    let mut rule = json!({"action": action, key: peers});
    if random.chance(60) {
        let count = random.between(1, 3);
        let protocols: Vec<Value> = (0..count)
            .map(|_| cnp_protocol(random, words, numeric))
            .collect();
        rule["protocols"] = Value::Array(protocols);
    }
    rule
}

fn cnp_protocol(random: &mut Random, words: &Vocabulary, numeric: bool) -> Value {
    let protocol = random.one(&["tcp", "udp", "sctp"]);
    match random.below(10) {
        0..=2 if !numeric => json!({"destinationNamedPort": random.one(&words.port_names)}),
        0..=6 => json!({protocol: {"destinationPort": {"number": random.one(&words.ports)}}}),
        _ => {
            let (start, end) = range(random, words);
            json!({protocol: {"destinationPort": {"range": {"start": start, "end": end}}}})
        }
    }
}

fn distinct(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list.dedup();
    list
}

/// A label selector over some keys; sometimes the one that selects everything.
fn selector(random: &mut Random, words: &Vocabulary, labels: &[(String, Vec<String>)]) -> Value {
    if labels.is_empty() || random.chance(15) {
        return json!({});
    }
    let mut names = Map::new();
    let mut expressions = Vec::new();
    for _ in 0..=usize::from(random.chance(words.narrow)) {
        let (key, values) = random.one(labels);
        match random.below(10) {
            0..=5 => {
                names.insert(key, random.one(&values).into());
            }
            6 => expressions.push(json!({"key": key, "operator": "Exists"})),
            7 => expressions.push(json!({"key": key, "operator": "DoesNotExist"})),
            8 => expressions
                .push(json!({"key": key, "operator": "NotIn", "values": [random.one(&values)]})),
            _ => {
                let picked = vec![random.one(&values), random.one(&values)];
                expressions.push(json!({"key": key, "operator": "In", "values": distinct(picked)}));
            }
        }
    }
    let mut selector = Map::new();
    if !names.is_empty() {
        selector.insert("matchLabels".into(), Value::Object(names));
    }
    if !expressions.is_empty() {
        selector.insert("matchExpressions".into(), Value::Array(expressions));
    }
    Value::Object(selector)
}
