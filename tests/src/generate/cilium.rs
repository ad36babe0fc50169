//! Random worlds in the dialect `cilium`: its kinds beside NetworkPolicy and ClusterNetworkPolicy, over the clusters of
//! [`super::small`].

use super::policy::{Vocabulary, cluster_network_policy, network_policy};
use super::random::Random;
use super::{World, small};
use serde_json::{Map, Value, json};
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::frontend::settings::cilium::{
    AllowLocalhost, CidrMatchMode, EnablePolicy, Version,
};
use verdict_compiler::frontend::settings::{Dialect, Settings};
use verdict_compiler::ir::Program;

/// The world of a seed, and what it says under the settings of the seed. Sets of policies that Cilium refuses or could not
/// install are passed over: `None`.
#[must_use]
pub fn loaded(seed: u64) -> Option<(World, Loaded)> {
    let world = world(seed);
    let loaded = world.load_with(&settings(seed));
    (!loaded.has_errors()).then_some((world, loaded))
}

/// The same, but for worlds of which there are no images.
#[must_use]
pub fn with_images(seed: u64) -> Option<(World, Loaded)> {
    loaded(seed).filter(|(_, loaded)| has_images(loaded))
}

/// Whether there are images of a world: no end is governed by other policies at one of its addresses than at another.
#[must_use]
pub fn has_images(loaded: &Loaded) -> bool {
    let program = Program::resolve(&loaded.cluster, &loaded.policies);
    program.is_governed_by_address(&loaded.cluster).is_none()
}

/// The settings that change verdicts, in turn.
#[must_use]
pub fn settings(seed: u64) -> Settings {
    let mut random = Random::new(seed ^ 0x5e77_1265);
    let mut settings = Settings {
        dialect: Dialect::Cilium,
        ..Settings::default()
    };
    let cilium = &mut settings.cilium;
    if random.chance(20) {
        cilium.version = Version::V1_19;
    }
    cilium.enable_policy = match random.below(12) {
        0 => EnablePolicy::Always,
        1 => EnablePolicy::Never,
        _ => EnablePolicy::Default,
    };
    if random.chance(20) {
        cilium.allow_localhost = AllowLocalhost::Policy;
    }
    cilium.policy_cidr_match_mode = CidrMatchMode {
        nodes: random.chance(25),
        pods: random.chance(15),
    };
    cilium.enable_node_selector_labels = random.chance(40);
    cilium.enable_ipv6 = random.chance(80);
    cilium.enable_icmp_rules = random.chance(85);
    cilium.allow_icmp_frag_needed = random.chance(80);
    cilium.enable_non_default_deny_policies = random.chance(90);
    cilium.policy_default_local_cluster = random.chance(80);
    cilium.enable_host_firewall = random.chance(40);
    cilium.policy_audit_mode = random.chance(8);
    cilium.enable_k8s_cluster_network_policy = true;
    settings
}

/// The world of a seed.
#[must_use]
pub fn world(seed: u64) -> World {
    let mut random = Random::new(seed ^ 0xc111_0000);
    let random = &mut random;
    let usual = small::vocabulary();
    // Where nodes have no labels, Cilium refuses rules that name them.
    let words = Vocabulary {
        nodes: if settings(seed).cilium.enable_node_selector_labels {
            usual.nodes
        } else {
            0
        },
        ..usual
    };
    let mut cluster = small::cluster(random, &words);
    cluster.push(json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumCIDRGroup",
        "metadata": {"name": "partners", "labels": {"tier": "1"}},
        "spec": {"externalCIDRs": ["192.0.2.0/25", "203.0.113.0/24"]},
    }));
    cluster.push(json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumCIDRGroup",
        "metadata": {"name": "racks", "labels": {"rack": random.one(&["0", "1"])}},
        "spec": {"externalCIDRs": ["10.0.0.2/31", "172.18.1.0/24", "2001:db8::2/127"]},
    }));
    for node in cluster.iter_mut().filter(|one| one["kind"] == "Node") {
        let addresses = node["status"]["addresses"].as_array_mut();
        if let Some(addresses) = addresses.filter(|_| random.chance(25)) {
            let number = addresses.len() + random.below(9);
            let more = format!("172.18.1.{number}");
            addresses.push(json!({"type": "ExternalIP", "address": more}));
        }
    }
    if random.chance(50) {
        cluster.push(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "x", "labels": {"a": "0"}},
            "spec": {"selector": {"a": "1"}, "ports": [{"port": 80}]},
        }));
    }
    if random.chance(50) {
        cluster.push(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "beyond", "namespace": "x", "labels": {"a": "1"}},
            "spec": {"ports": [{"port": 80, "protocol": "TCP"}]},
        }));
        cluster.push(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": "beyond-1", "namespace": "x",
                "labels": {"kubernetes.io/service-name": "beyond"},
            },
            "addressType": "IPv4",
            "ports": [{"port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["192.0.2.7"]}],
        }));
    }
    let mut policies = Vec::new();
    // Where nodes are governed, there shall be something that governs them.
    let of_nodes = if settings(seed).cilium.enable_host_firewall {
        60
    } else {
        15
    };
    let matching = settings(seed).cilium.policy_cidr_match_mode;
    for index in 0..random.between(1, 4) {
        let mut policy = policy(random, &words, index, of_nodes);
        if (matching.pods || matching.nodes) && random.chance(15) {
            by_address(random, &mut policy);
        }
        policies.push(policy);
    }
    for index in 0..random.below(3) {
        policies.push(network_policy(random, &words, index));
    }
    for index in 0..random.below(3) {
        policies.push(cluster_network_policy(random, &words, index));
    }
    small::of(&cluster, &policies)
}

/// Makes what governs ends hang on their addresses.
fn by_address(random: &mut Random, policy: &mut Value) {
    for subject in ["endpointSelector", "nodeSelector"] {
        if policy["spec"].get(subject).is_some() {
            policy["spec"][subject] = rack(random);
        }
    }
}

/// A selector of what is in a group of blocks, or is not.
fn rack(random: &mut Random) -> Value {
    match random.below(4) {
        0 => json!({"matchLabels": {"cidrgroup:rack": "0"}}),
        1 => json!({"matchExpressions": [{"key": "any:rack", "operator": "Exists"}]}),
        2 => json!({"matchExpressions": [{"key": "cidrgroup:rack", "operator": "DoesNotExist"}]}),
        _ => json!({"matchLabels": {"any:a": "0"}, "matchExpressions": [
            {"key": "cidrgroup:rack", "operator": "In", "values": ["0"]},
        ]}),
    }
}

fn policy(random: &mut Random, words: &Vocabulary, index: usize, nodes: usize) -> Value {
    let clusterwide = random.chance(40);
    let kind = if clusterwide {
        "CiliumClusterwideNetworkPolicy"
    } else {
        "CiliumNetworkPolicy"
    };
    let mut metadata = json!({"name": format!("c{index}")});
    if !clusterwide {
        metadata["namespace"] = random.one(&words.namespaces).into();
    }
    let of_nodes = clusterwide && random.chance(nodes);
    let mut policy = json!({"apiVersion": "cilium.io/v2", "kind": kind, "metadata": metadata});
    if random.chance(15) {
        let specs: Vec<Value> = (0..2).map(|_| spec(random, words, of_nodes)).collect();
        policy["specs"] = specs.into();
    } else {
        policy["spec"] = spec(random, words, of_nodes);
    }
    policy
}

fn spec(random: &mut Random, words: &Vocabulary, of_nodes: bool) -> Value {
    let mut spec = Map::new();
    let subject = if of_nodes {
        "nodeSelector"
    } else {
        "endpointSelector"
    };
    let selected = if random.chance(40) {
        json!({})
    } else {
        selector(random, words)
    };
    spec.insert(subject.into(), selected);
    for (section, chance) in [
        ("ingress", 60),
        ("egress", 50),
        ("ingressDeny", 30),
        ("egressDeny", 30),
    ] {
        if random.chance(chance) {
            let rules: Vec<Value> = (0..random.between(1, 3))
                .map(|_| rule(random, words, section, of_nodes))
                .collect();
            spec.insert(section.into(), rules.into());
        }
    }
    if spec.len() == 1 {
        spec.insert("ingress".into(), json!([{}]));
    }
    if random.chance(25) {
        let switch = |random: &mut Random| random.chance(50);
        let both = json!({"ingress": switch(random), "egress": switch(random)});
        spec.insert("enableDefaultDeny".into(), both);
    }
    Value::Object(spec)
}

fn rule(random: &mut Random, words: &Vocabulary, section: &str, of_nodes: bool) -> Value {
    let denies = section.ends_with("Deny");
    let (way, is_egress) = if section.starts_with("egress") {
        ("to", true)
    } else {
        ("from", false)
    };
    let mut rule = Map::new();
    if random.chance(85) {
        let (key, peers) = peers(random, words, is_egress, denies);
        rule.insert(format!("{way}{key}"), peers);
    }
    match random.below(10) {
        0..=5 => {
            let lists: Vec<Value> = (0..random.between(1, 2))
                .map(|_| ports(random, words, denies, is_egress, of_nodes))
                .collect();
            rule.insert("toPorts".into(), lists.into());
        }
        6 => {
            let kinds: Vec<Value> = (0..random.between(1, 2)).map(|_| icmp(random)).collect();
            rule.insert("icmps".into(), json!([{"fields": kinds}]));
        }
        _ => {}
    }
    if !denies && random.chance(30) {
        let mode = random.one(&["required", "required", "disabled", "test-always-fail"]);
        rule.insert("authentication".into(), json!({"mode": mode}));
    }
    Value::Object(rule)
}

fn peers(
    random: &mut Random,
    words: &Vocabulary,
    is_egress: bool,
    denies: bool,
) -> (&'static str, Value) {
    let count = random.between(1, 2);
    let mut many = |make: fn(&mut Random, &Vocabulary) -> Value| -> Value {
        (0..count).map(|_| make(random, words)).collect()
    };
    let mut kinds = vec![0, 1, 2, 3, 4, 5, 6];
    if is_egress {
        kinds.push(7);
    }
    if is_egress && !denies {
        kinds.push(8);
    }
    if words.nodes > 0 {
        kinds.push(9);
    }
    let kind = many(|random, _| random.below(1000).into());
    let kind = kind[0]
        .as_u64()
        .and_then(|drawn| usize::try_from(drawn).ok());
    let kind = kind.map_or(0, |drawn| kinds[drawn % kinds.len()]);
    match kind {
        0 | 1 => ("Endpoints", many(selector)),
        2 | 3 => (
            "Entities",
            many(|random, _| {
                random
                    .one(&[
                        "all",
                        "world",
                        "cluster",
                        "host",
                        "remote-node",
                        "kube-apiserver",
                        "unmanaged",
                    ])
                    .into()
            }),
        ),
        4 => (
            "CIDR",
            many(|random, words| random.one(&words.blocks).0.into()),
        ),
        5 => ("CIDRSet", many(block)),
        6 => ("Endpoints", many(selector)),
        7 => ("Services", many(service)),
        9 => (
            "Nodes",
            many(|random, _| match random.below(3) {
                0 => json!({}),
                1 => json!({"matchLabels": {"node:a": random.one(&["0", "1"])}}),
                _ => json!({"matchExpressions": [{"key": "node:a", "operator": "DoesNotExist"}]}),
            }),
        ),
        _ => (
            "FQDNs",
            many(|random, _| match random.below(3) {
                0 => json!({"matchName": "api.example.com"}),
                1 => json!({"matchPattern": "*.example.com"}),
                _ => json!({"matchName": "unseen.example.org"}),
            }),
        ),
    }
}

/// A service that selects pods, one that has addresses, or none.
fn service(random: &mut Random, _: &Vocabulary) -> Value {
    match random.below(4) {
        0 => json!({"k8sService": {"serviceName": "web", "namespace": "x"}}),
        1 => json!({"k8sService": {"serviceName": "beyond", "namespace": "x"}}),
        2 => json!({"k8sService": {"serviceName": "nowhere", "namespace": "x"}}),
        _ => {
            let selector = json!({"matchLabels": {"a": random.one(&["0", "1"])}});
            json!({"k8sServiceSelector": {"selector": selector, "namespace": "x"}})
        }
    }
}

fn block(random: &mut Random, words: &Vocabulary) -> Value {
    match random.below(7) {
        0 => json!({"cidrGroupRef": "partners"}),
        6 => json!({"cidrGroupRef": "racks"}),
        1 => json!({"cidrGroupSelector": {"matchLabels": {"tier": "1"}}}),
        _ => {
            let (cidr, inside) = random.one(&words.blocks);
            let mut block = json!({"cidr": cidr});
            if !inside.is_empty() && random.chance(60) {
                block["except"] = json!([random.one(&inside)]);
            }
            block
        }
    }
}

/// A selector of endpoints, by labels of pods, of namespaces and of the implementation itself.
fn selector(random: &mut Random, words: &Vocabulary) -> Value {
    if random.chance(15) {
        return json!({});
    }
    if random.chance(5) {
        return rack(random);
    }
    let keys = [
        "a",
        "b",
        "k8s:a",
        "any:b",
        "k8s:io.cilium.k8s.namespace.labels.a",
        "k8s:io.kubernetes.pod.namespace",
        "reserved:host",
        "reserved:world",
    ];
    let mut names = Map::new();
    let mut expressions = Vec::new();
    for _ in 0..random.between(1, 2) {
        let key = match random.below(20) {
            0..=16 => random.one(&keys[..6]),
            _ => random.one(&keys[6..]),
        };
        let value = if key.ends_with("pod.namespace") {
            random.one(&words.namespaces)
        } else {
            random.one(&["0".to_owned(), "1".to_owned()])
        };
        let reserved = key.starts_with("reserved");
        match random.below(10) {
            0..=5 if !reserved => {
                names.insert(key.into(), value.into());
            }
            6 | 7 => expressions.push(json!({"key": key, "operator": "Exists"})),
            8 => expressions.push(json!({"key": key, "operator": "NotIn", "values": [value]})),
            _ => expressions.push(json!({"key": key, "operator": "DoesNotExist"})),
        }
    }
    let mut selector = Map::new();
    if !names.is_empty() {
        selector.insert("matchLabels".into(), names.into());
    }
    if !expressions.is_empty() {
        selector.insert("matchExpressions".into(), expressions.into());
    }
    Value::Object(selector)
}

fn ports(
    random: &mut Random,
    words: &Vocabulary,
    denies: bool,
    is_egress: bool,
    of_nodes: bool,
) -> Value {
    let redirects = !denies && !of_nodes && random.chance(20);
    let count = random.between(1, 2);
    let list: Vec<Value> = (0..count)
        .map(|_| {
            let protocol = if redirects {
                "TCP"
            } else {
                random.one(&["TCP", "TCP", "UDP", "ANY", "SCTP"])
            };
            let mut port = json!({"protocol": protocol});
            match random.below(10) {
                0 | 1 if !redirects => port["port"] = "0".into(),
                2 | 3 => port["port"] = random.one(&words.port_names).into(),
                4 | 5 => {
                    let first = random.one(&words.ports);
                    port["port"] = first.to_string().into();
                    port["endPort"] = (first + random.one(&[1, 3, 15])).into();
                }
                _ => port["port"] = random.one(&words.ports).to_string().into(),
            }
            port
        })
        .collect();
    let mut ports = json!({"ports": list});
    if redirects {
        if is_egress && random.chance(30) {
            ports["listener"] = json!({
                "envoyConfig": {"name": "proxy"}, "name": "main",
                "priority": random.one(&[1, 50, 100]),
            });
        } else if random.chance(30) {
            ports["serverNames"] = json!(["api.example.com"]);
        } else {
            ports["rules"] = json!({"http": [{"method": "GET"}]});
        }
    }
    ports
}

fn icmp(random: &mut Random) -> Value {
    let family = random.one(&["IPv4", "IPv6"]);
    match family {
        "IPv4" => json!({"family": family, "type": random.one(&[0, 3, 8])}),
        _ => json!({"family": family, "type": random.one(&[1, 128, 129])}),
    }
}
