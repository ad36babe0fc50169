//! Small worlds as manifests: few labels, few ports, both address families, every kind of policy, and rules
//! that overlap.

use serde_json::{Value, json};

/// Choices, drawn from random bytes: shorter and smaller bytes make smaller worlds.
pub(crate) struct Dice<'b> {
    bytes: &'b [u8],
}

impl<'b> Dice<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        let Some((first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        usize::from(*first) % sides
    }

    /// One in so many.
    fn chance(&mut self, sides: usize) -> bool {
        self.roll(sides) == sides - 1
    }

    pub(crate) fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.roll(items.len())].clone()
    }

    fn some<T>(
        &mut self,
        least: usize,
        most: usize,
        mut make: impl FnMut(&mut Self) -> T,
    ) -> Vec<T> {
        let count = least + self.roll(most - least + 1);
        (0..count).map(|_| make(self)).collect()
    }
}

const NAMESPACES: [&str; 2] = ["a", "b"];
const PORTS: [u16; 3] = [80, 443, 8080];

/// The objects of a world, cluster first.
pub(crate) fn world(dice: &mut Dice<'_>) -> Vec<Value> {
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": {"team": "x"}}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b", "labels": {"team": "w"}}}),
        node(1),
        node(2),
    ];
    for index in 0..5 {
        objects.push(pod(dice, index));
    }
    if dice.chance(2) {
        objects.push(json!({
            "apiVersion": "verdict.dev/v1", "kind": "DnsSnapshot", "metadata": {"name": "seen"},
            "names": {"api.example.com": ["192.0.2.7"]},
        }));
    }
    for index in 0..dice.roll(4) {
        objects.push(network_policy(dice, index));
    }
    for index in 0..dice.roll(3) {
        objects.push(admin(dice, index));
    }
    for index in 0..dice.roll(4) {
        objects.push(cluster(dice, index));
    }
    if dice.chance(3) {
        objects.push(baseline(dice));
    }
    objects
}

fn node(index: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": format!("n{index}"), "labels": {"kubernetes.io/hostname": format!("n{index}")}},
        "status": {"addresses": [{"type": "InternalIP", "address": format!("172.16.0.{index}")}]},
    })
}

fn pod(dice: &mut Dice<'_>, index: usize) -> Value {
    let mut labels = labels(dice);
    labels["pod-template-hash"] = "x".into();
    let v4 = json!({"ip": format!("10.0.0.{}", index + 1)});
    let v6 = json!({"ip": format!("fd00::{}", index + 1)});
    let addresses = match dice.roll(5) {
        0 | 1 => json!([v4]),
        2 => json!([v6]),
        3 => json!([v4, v6]),
        _ => json!([]),
    };
    let node = dice.pick(&["n1", "n2"]);
    let port = json!({"name": "http", "containerPort": dice.pick(&PORTS)});
    let host_network = dice.chance(6);
    let addresses = if host_network { json!([]) } else { addresses };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("p{index}"), "namespace": dice.pick(&NAMESPACES), "labels": labels},
        "spec": {
            "nodeName": node, "hostNetwork": host_network,
            "containers": [{"name": "main", "image": "main", "ports": [port]}],
        },
        "status": {"podIP": addresses[0]["ip"], "podIPs": addresses},
    })
}

fn labels(dice: &mut Dice<'_>) -> Value {
    let mut labels = json!({});
    if !dice.chance(4) {
        labels["app"] = dice.pick(&["web", "api"]).into();
    }
    if dice.chance(2) {
        labels["tier"] = dice.pick(&["front", "back"]).into();
    }
    labels
}

fn selector(dice: &mut Dice<'_>, key: &str, values: [&str; 2]) -> Value {
    match dice.roll(6) {
        0 | 1 => json!({"matchLabels": {key: dice.pick(&values)}}),
        2 => json!({}),
        3 => {
            json!({"matchExpressions": [{"key": key, "operator": "NotIn", "values": [dice.pick(&values)]}]})
        }
        4 => {
            json!({"matchExpressions": [{"key": key, "operator": dice.pick(&["Exists", "DoesNotExist"])}]})
        }
        _ => json!({"matchExpressions": [{"key": key, "operator": "In", "values": values}]}),
    }
}

fn pods(dice: &mut Dice<'_>) -> Value {
    match dice.roll(2) {
        0 => selector(dice, "app", ["web", "api"]),
        _ => selector(dice, "tier", ["front", "back"]),
    }
}

fn namespaces(dice: &mut Dice<'_>) -> Value {
    selector(dice, "team", ["x", "w"])
}

fn cidr(dice: &mut Dice<'_>) -> &'static str {
    dice.pick(&[
        "0.0.0.0/0",
        "10.0.0.0/30",
        "192.0.2.0/24",
        "172.16.0.1/32",
        "::/0",
        "fd00::/126",
        "2001:db8::/32",
    ])
}

fn network_policy(dice: &mut Dice<'_>, index: usize) -> Value {
    let mut spec = json!({"podSelector": pods(dice)});
    let types = dice.roll(4);
    if types > 0 {
        let types: &[&str] = [&["Ingress"][..], &["Egress"], &["Ingress", "Egress"]][types - 1];
        spec["policyTypes"] = json!(types);
    }
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        if dice.chance(3) {
            continue;
        }
        spec[direction] = json!(dice.some(0, 2, |dice| network_rule(dice, peers)));
    }
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": format!("np{index}"), "namespace": dice.pick(&NAMESPACES)},
        "spec": spec,
    })
}

fn network_rule(dice: &mut Dice<'_>, peers: &str) -> Value {
    let mut rule = json!({});
    if !dice.chance(4) {
        rule[peers] = json!(dice.some(1, 2, network_peer));
    }
    if !dice.chance(4) {
        rule["ports"] = json!(dice.some(0, 2, network_port));
    }
    rule
}

fn network_peer(dice: &mut Dice<'_>) -> Value {
    match dice.roll(4) {
        0 => json!({"podSelector": pods(dice)}),
        1 => json!({"namespaceSelector": namespaces(dice)}),
        2 => json!({"namespaceSelector": namespaces(dice), "podSelector": pods(dice)}),
        _ if dice.chance(2) => {
            json!({"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.2/31"]}})
        }
        _ => json!({"ipBlock": {"cidr": cidr(dice)}}),
    }
}

fn network_port(dice: &mut Dice<'_>) -> Value {
    let port = dice.pick(&PORTS);
    match dice.roll(6) {
        0 | 1 => json!({"port": port}),
        2 => json!({"port": 53, "protocol": "UDP"}),
        3 => json!({"port": 79, "endPort": port}),
        4 => json!({"port": "http"}),
        _ => json!({"protocol": "TCP"}),
    }
}

fn subject(dice: &mut Dice<'_>) -> Value {
    match dice.roll(2) {
        0 => json!({"namespaces": namespaces(dice)}),
        _ => json!({"pods": {"namespaceSelector": namespaces(dice), "podSelector": pods(dice)}}),
    }
}

fn admin(dice: &mut Dice<'_>, index: usize) -> Value {
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "AdminNetworkPolicy",
        "metadata": {"name": format!("anp{index}")},
        "spec": {
            "priority": dice.roll(2),
            "subject": subject(dice),
            "ingress": dice.some(0, 3, |dice| admin_rule(dice, "from", &["Deny", "Pass", "Allow"])),
            "egress": dice.some(0, 3, |dice| admin_rule(dice, "to", &["Deny", "Pass", "Allow"])),
        },
    })
}

fn baseline(dice: &mut Dice<'_>) -> Value {
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "BaselineAdminNetworkPolicy",
        "metadata": {"name": "default"},
        "spec": {
            "subject": subject(dice),
            "ingress": dice.some(0, 2, |dice| admin_rule(dice, "from", &["Deny", "Allow"])),
            "egress": dice.some(0, 2, |dice| admin_rule(dice, "to", &["Deny", "Allow"])),
        },
    })
}

fn admin_rule(dice: &mut Dice<'_>, peers: &str, actions: &[&str]) -> Value {
    let action = dice.pick(actions);
    let list = dice.some(1, 2, |dice| admin_peer(dice, peers == "to"));
    let mut rule = json!({"action": action, peers: list});
    let names = !names_outside(&rule[peers]);
    if dice.chance(2) {
        rule["ports"] = json!(dice.some(1, 2, |dice| admin_port(dice, names)));
    }
    rule
}

fn names_outside(peers: &Value) -> bool {
    let mut peers = peers.as_array().unwrap().iter();
    peers.any(|peer| {
        ["networks", "nodes", "domainNames"]
            .iter()
            .any(|key| peer.get(key).is_some())
    })
}

fn admin_peer(dice: &mut Dice<'_>, is_egress: bool) -> Value {
    match dice.roll(if is_egress { 4 } else { 2 }) {
        0 => json!({"namespaces": namespaces(dice)}),
        1 => json!({"pods": {"namespaceSelector": namespaces(dice), "podSelector": pods(dice)}}),
        2 => {
            let first = cidr(dice);
            match cidr(dice) {
                second if second != first => json!({"networks": [first, second]}),
                _ => json!({"networks": [first]}),
            }
        }
        _ => json!({"nodes": selector(dice, "kubernetes.io/hostname", ["n1", "n2"])}),
    }
}

fn admin_port(dice: &mut Dice<'_>, names: bool) -> Value {
    let port = dice.pick(&PORTS);
    match dice.roll(if names { 4 } else { 3 }) {
        0 => json!({"portNumber": {"port": port, "protocol": "TCP"}}),
        1 => json!({"portNumber": {"port": 53, "protocol": "UDP"}}),
        2 => json!({"portRange": {"start": 79, "end": port, "protocol": "TCP"}}),
        _ => json!({"namedPort": "http"}),
    }
}

fn cluster(dice: &mut Dice<'_>, index: usize) -> Value {
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": {"name": format!("cnp{index}")},
        "spec": {
            "tier": dice.pick(&["Admin", "Baseline"]),
            "priority": dice.roll(2),
            "subject": subject(dice),
            "ingress": dice.some(0, 3, |dice| cluster_rule(dice, "from")),
            "egress": dice.some(0, 3, |dice| cluster_rule(dice, "to")),
        },
    })
}

fn cluster_rule(dice: &mut Dice<'_>, peers: &str) -> Value {
    let is_egress = peers == "to";
    let mut list = dice.some(1, 2, |dice| admin_peer(dice, is_egress));
    let mut action = dice.pick(&["Deny", "Pass", "Accept"]);
    if is_egress && dice.chance(4) {
        action = "Accept";
        list.push(json!({"domainNames": ["*.example.net", "api.example.com"]}));
    }
    let mut rule = json!({"action": action, peers: list});
    let names = !names_outside(&rule[peers]);
    if dice.chance(2) {
        rule["protocols"] = json!(dice.some(1, 2, |dice| cluster_port(dice, names)));
    }
    rule
}

fn cluster_port(dice: &mut Dice<'_>, names: bool) -> Value {
    let port = dice.pick(&PORTS);
    match dice.roll(if names { 4 } else { 3 }) {
        0 => json!({"tcp": {"destinationPort": {"number": port}}}),
        1 => json!({"udp": {"destinationPort": {"number": 53}}}),
        2 => json!({"tcp": {"destinationPort": {"range": {"start": 79, "end": port}}}}),
        _ => json!({"destinationNamedPort": "http"}),
    }
}
