//! Clusters of a given size, as a company's may look: every namespace a team, every label set an application.

use super::World;
use super::policy::{Vocabulary, admin_network_policy, cluster_network_policy, network_policy};
use super::random::Random;
use super::yaml;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How large a world is to be.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Pods.
    pub pods: usize,
    /// Namespaces.
    pub namespaces: usize,
    /// NetworkPolicies.
    pub policies: usize,
    /// AdminNetworkPolicies and ClusterNetworkPolicies together.
    pub cluster_policies: usize,
    /// Distinct label sets of pods.
    pub label_sets: usize,
    /// Nodes.
    pub nodes: usize,
    /// Whether pods have an IPv6 address too.
    pub dual_stack: bool,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            pods: 10_000,
            namespaces: 200,
            policies: 1_000,
            cluster_policies: 20,
            label_sets: 500,
            nodes: 100,
            dual_stack: false,
        }
    }
}

/// Pods in one file at most: as many as a dump of one namespace may have.
const PODS_PER_FILE: usize = 2_000;

fn numbered(word: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{word}-{index}")).collect()
}

fn vocabulary(size: Size) -> Vocabulary {
    Vocabulary {
        namespaces: numbered("team", size.namespaces.max(1)),
        namespace_labels: vec![
            (
                "kubernetes.io/metadata.name".into(),
                numbered("team", size.namespaces.max(1)),
            ),
            ("stage".into(), numbered("stage", 3)),
            ("division".into(), numbered("division", 8)),
        ],
        pod_labels: vec![
            ("app".into(), numbered("app", size.label_sets.max(1))),
            ("tier".into(), numbered("tier", 4)),
            ("zone".into(), numbered("zone", 3)),
        ],
        node_labels: vec![("pool".into(), numbered("pool", 4))],
        ports: vec![53, 80, 443, 5432, 6379, 8080, 8443, 9090],
        port_names: ["http", "metrics"].map(str::to_owned).into(),
        blocks: [
            ("0.0.0.0/0", &["10.0.0.0/8", "169.254.169.254/32"][..]),
            ("192.0.2.0/24", &["192.0.2.128/25"]),
            ("198.51.100.0/24", &[]),
            ("10.200.0.0/16", &["10.200.7.0/24"]),
            ("2001:db8:ffff::/48", &[]),
        ]
        .map(|(cidr, inside)| {
            (
                cidr.to_owned(),
                inside.iter().map(|text| (*text).to_owned()).collect(),
            )
        })
        .into(),
        domains: ["api.example.com", "*.example.net"]
            .map(str::to_owned)
            .into(),
        priorities: (0..1000).step_by(7).collect(),
        narrow: 40,
        nodes: 20,
    }
}

/// The world of a size and a seed.
#[must_use]
pub fn world(size: Size, seed: u64) -> World {
    let mut random = Random::new(seed);
    let words = vocabulary(size);
    let mut files = vec![(
        "cluster.yaml".to_owned(),
        yaml::documents(&cluster(size, &words)),
    )];
    let first: Vec<usize> = (0..size.pods).step_by(PODS_PER_FILE).collect();
    for (number, first) in first.into_iter().enumerate() {
        let mut text = String::new();
        for index in first..size.pods.min(first + PODS_PER_FILE) {
            text.push_str("---\n");
            yaml::document(&pod(&mut random, size, index), &mut text);
        }
        files.push((format!("pods-{number:03}.yaml"), text));
    }
    files.push((
        "policies.yaml".into(),
        yaml::documents(&policies(&mut random, size, &words)),
    ));
    World { files }
}

fn cluster(size: Size, words: &Vocabulary) -> Vec<Value> {
    let namespaces = words.namespaces.iter().enumerate().map(|(index, name)| {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {
                "stage": format!("stage-{}", index % 3),
                "division": format!("division-{}", index % 8),
            }},
        })
    });
    let nodes = (0..size.nodes).map(|index| {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": format!("node-{index}"), "labels": {"pool": format!("pool-{}", index % 4)}},
            "status": {"addresses": [
                {"type": "InternalIP", "address": format!("172.16.{}.{}", index / 250, index % 250 + 1)},
            ]},
        })
    });
    let dns = json!({
        "apiVersion": "verdict.dev/v1", "kind": "DnsSnapshot", "metadata": {"name": "seen"},
        "names": {"api.example.com": ["192.0.2.7"]},
    });
    namespaces.chain(nodes).chain([dns]).collect()
}

/// The IPv4 address of a pod.
#[must_use]
pub fn address(index: usize) -> String {
    format!(
        "10.{}.{}.{}",
        index / 62_500,
        index / 250 % 250,
        index % 250 + 1
    )
}

/// Applications are spread over namespaces so that a label set always lives in the same one.
fn pod(random: &mut Random, size: Size, index: usize) -> Value {
    let app = index % size.label_sets.max(1);
    let namespace = app % size.namespaces.max(1);
    let v4 = address(index);
    let mut addresses = vec![json!({"ip": v4})];
    if size.dual_stack {
        addresses.push(json!({"ip": format!("2001:db8::{:x}:{:x}", index >> 16, index & 0xffff)}));
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("app-{app}-7d9c8b6f5-{index:05}"),
            "namespace": format!("team-{namespace}"),
            "labels": {
                "app": format!("app-{app}"),
                "tier": format!("tier-{}", app % 4),
                "zone": format!("zone-{}", app % 3),
                "pod-template-hash": "7d9c8b6f5",
            },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
                "name": format!("app-{app}-7d9c8b6f5"), "uid": format!("00000000-0000-0000-0000-{app:012}"),
            }],
        },
        "spec": {
            "containers": [{
                "name": "main",
                "image": format!("registry.example.com/app-{app}:1.2.3"),
                "ports": [
                    {"name": "http", "containerPort": 8080, "protocol": "TCP"},
                    {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
                ],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            }],
            "nodeName": format!("node-{}", random.below(size.nodes.max(1))),
            "serviceAccountName": format!("app-{app}"),
        },
        "status": {
            "phase": "Running",
            "podIP": addresses.first().map(|first| first["ip"].clone()),
            "podIPs": addresses,
            "startTime": "2026-01-01T00:00:00Z",
        },
    })
}

fn policies(random: &mut Random, size: Size, words: &Vocabulary) -> Vec<Value> {
    let mut policies: Vec<Value> = (0..size.policies)
        .map(|index| network_policy(random, words, index))
        .collect();
    for index in 0..size.cluster_policies {
        policies.push(if index % 2 == 0 {
            admin_network_policy(random, words, index, false)
        } else {
            cluster_network_policy(random, words, index)
        });
    }
    policies
}

/// A native trace. Nine records in ten are between pods of applications that talk to each other, five for
/// each; the rest between any two pods or the outside.
#[must_use]
pub fn trace(size: Size, seed: u64, records: usize) -> String {
    let mut random = Random::new(seed);
    let mut text = String::new();
    for _ in 0..records {
        let (src, dst) = if random.chance(90) {
            let from = random.below(size.label_sets);
            let to = Random::new((from * 5 + random.below(5)) as u64).below(size.label_sets);
            (
                pod_of(&mut random, size, from),
                pod_of(&mut random, size, to),
            )
        } else {
            (peer(&mut random, size), peer(&mut random, size))
        };
        let protocol = random.one(&["TCP", "TCP", "TCP", "UDP"]);
        let dport = random.one(&[80, 443, 5432, 8080, 8443, 9090, 53]);
        let sport = random.between(32_768, 60_999);
        let _ = writeln!(
            text,
            r#"{{"src":"{src}","dst":"{dst}","protocol":"{protocol}","dport":{dport},"sport":{sport},"time":"2026-01-01T00:00:00Z"}}"#
        );
    }
    text
}

fn peer(random: &mut Random, size: Size) -> String {
    if random.chance(10) {
        return format!("192.0.2.{}", random.below(255));
    }
    let app = random.below(size.label_sets);
    pod_of(random, size, app)
}

/// One of the pods of an application.
fn pod_of(random: &mut Random, size: Size, app: usize) -> String {
    let index = app + size.label_sets * random.below(size.pods / size.label_sets.max(1));
    format!(
        "team-{}/app-{app}-7d9c8b6f5-{index:05}",
        app % size.namespaces.max(1)
    )
}
