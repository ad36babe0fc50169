//! Worlds of a few pods with few labels and few ports, in which rules overlap as much as they can.

use super::World;
use super::policy::{Vocabulary, admin_network_policy, cluster_network_policy, network_policy};
use super::random::Random;
use super::yaml;
use serde_json::{Map, Value, json};

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// The words of small worlds. The blocks hold the addresses of their pods and nodes, and others.
#[must_use]
pub fn vocabulary() -> Vocabulary {
    let zero_or_one = |key: &str| (key.to_owned(), texts(&["0", "1"]));
    let block = |cidr: &str, inside: &[&str]| (cidr.to_owned(), texts(inside));
    Vocabulary {
        namespaces: texts(&["x", "y2", "z"]),
        namespace_labels: vec![
            zero_or_one("a"),
            (
                "kubernetes.io/metadata.name".into(),
                texts(&["x", "y2", "z"]),
            ),
        ],
        pod_labels: vec![zero_or_one("a"), zero_or_one("b")],
        node_labels: vec![zero_or_one("a")],
        ports: vec![80, 81, 8080],
        port_names: texts(&["http", "dns"]),
        blocks: vec![
            block("0.0.0.0/0", &["10.0.0.0/8", "10.0.0.0/30", "192.0.2.7/32"]),
            block("10.0.0.0/30", &["10.0.0.2/32"]),
            block("10.0.0.2/31", &["10.0.0.3/32"]),
            block("172.16.0.0/12", &[]),
            block("192.0.2.0/24", &["192.0.2.7/32", "192.0.2.128/25"]),
            block("::/0", &["2001:db8::/64"]),
            block("2001:db8::/126", &["2001:db8::2/127"]),
        ],
        domains: texts(&["api.example.com", "*.example.com", "unseen.example.org"]),
        priorities: vec![0, 1, 2],
        narrow: 30,
        nodes: 40,
    }
}

/// The world of a seed.
#[must_use]
pub fn world(seed: u64) -> World {
    let mut random = Random::new(seed);
    let words = vocabulary();
    let cluster = cluster(&mut random, &words);
    let policies = policies(&mut random, &words);
    of(&cluster, &policies)
}

/// A world of these objects.
pub(super) fn of(cluster: &[Value], policies: &[Value]) -> World {
    World {
        files: vec![
            ("cluster.yaml".into(), yaml::documents(cluster)),
            ("policies.yaml".into(), yaml::documents(policies)),
        ],
    }
}

/// The cluster of a world.
pub(super) fn cluster(random: &mut Random, words: &Vocabulary) -> Vec<Value> {
    let mut cluster = Vec::new();
    for name in words.namespaces.iter().take(random.between(1, 3)) {
        if random.chance(80) {
            cluster.push(json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": labels(random, &["a"])},
            }));
        }
    }
    let nodes = random.below(3);
    for index in 0..nodes {
        cluster.push(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": format!("node-{index}"), "labels": labels(random, &["a"])},
            "status": {"addresses": [{"type": "InternalIP", "address": format!("172.18.0.{}", index + 1)}]},
        }));
    }
    for index in 1..=random.between(1, 6) {
        cluster.push(pod(random, words, index, nodes));
    }
    if let Some(twin) = cluster.last().filter(|_| random.chance(40)) {
        cluster.push(on_other_node(twin.clone(), nodes));
    }
    if random.chance(30) {
        cluster.push(deployment(random));
    }
    if random.chance(60) {
        cluster.push(json!({
            "apiVersion": "verdict.dev/v1", "kind": "DnsSnapshot", "metadata": {"name": "seen"},
            "names": {"api.example.com": ["192.0.2.7", "2001:db8:1::7"], "db.example.com": ["10.0.0.2"]},
        }));
    }
    cluster
}

fn policies(random: &mut Random, words: &Vocabulary) -> Vec<Value> {
    let mut policies = Vec::new();
    for index in 0..random.below(5) {
        policies.push(network_policy(random, words, index));
    }
    for index in 0..random.below(3) {
        policies.push(admin_network_policy(random, words, index, false));
    }
    for index in 0..random.below(4) {
        policies.push(cluster_network_policy(random, words, index));
    }
    if random.chance(40) {
        policies.push(admin_network_policy(random, words, 0, true));
    }
    policies
}

/// Some of these keys, each 0 or 1.
fn labels(random: &mut Random, keys: &[&str]) -> Map<String, Value> {
    let mut labels = Map::new();
    for key in keys {
        if random.chance(75) {
            labels.insert((*key).into(), random.one(&["0", "1"]).into());
        }
    }
    labels
}

fn ports(random: &mut Random) -> Vec<Value> {
    let mut ports = Vec::new();
    for (name, protocol) in [("http", "TCP"), ("dns", "UDP"), ("other", "SCTP")] {
        if random.chance(60) {
            let number = random.one(&[80_u16, 81, 8080, 9000]);
            ports.push(json!({"name": name, "containerPort": number, "protocol": protocol}));
        }
    }
    ports
}

fn pod(random: &mut Random, words: &Vocabulary, index: usize, nodes: usize) -> Value {
    let mut spec = Map::new();
    spec.insert(
        "containers".into(),
        json!([{"name": "main", "image": "main", "ports": ports(random)}]),
    );
    if nodes > 0 && random.chance(70) {
        spec.insert(
            "nodeName".into(),
            format!("node-{}", random.below(nodes)).into(),
        );
    }
    let mut addresses = Vec::new();
    if random.chance(15) {
        spec.insert("hostNetwork".into(), true.into());
        if let Some(ports) = spec
            .get_mut("containers")
            .and_then(|list| list.pointer_mut("/0/ports"))
        {
            for port in ports.as_array_mut().into_iter().flatten() {
                port["hostPort"] = port["containerPort"].clone();
            }
        }
    } else {
        let family = random.below(4);
        if family < 3 {
            addresses.push(json!({"ip": format!("10.0.0.{index}")}));
        }
        if family == 1 || family == 3 && random.chance(50) {
            addresses.push(json!({"ip": format!("2001:db8::{index}")}));
        }
    }
    let mut status = Map::new();
    if let Some(first) = addresses.first() {
        status.insert("podIP".into(), first["ip"].clone());
        status.insert("podIPs".into(), Value::Array(addresses));
    }
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("pod-{index}"),
            "namespace": random.one(&words.namespaces),
            "labels": labels(random, &["a", "b"]),
        },
        "spec": spec,
        "status": status,
    });
    // Workloads whose pods differ in labels, addresses and nodes.
    if !index.is_multiple_of(3) {
        pod["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "StatefulSet", "controller": true,
            "name": format!("set-{}", index % 2), "uid": "00000000-0000-0000-0000-000000000000",
        }]);
    }
    pod
}

/// A pod that differs in its name, node and addresses only.
fn on_other_node(mut pod: Value, nodes: usize) -> Value {
    pod["metadata"]["name"] = "twin".into();
    pod["status"] = json!({"podIP": "10.0.0.9"});
    let here = pod["spec"]["nodeName"].take();
    if nodes > 0 && here != "node-0" {
        pod["spec"]["nodeName"] = "node-0".into();
    }
    pod
}

fn deployment(random: &mut Random) -> Value {
    let mut labels = labels(random, &["a", "b"]);
    labels.insert("app".into(), "web".into());
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "x"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "main", "ports": ports(random)}]},
            },
        },
    })
}
