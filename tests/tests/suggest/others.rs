//! Other edits than the one that is suggested, made by hand: none that allows the flow costs less.

use crate::World;
use serde_json::{Value, json};
use verdict_compiler::diff::{Diff, Programs, Worlds};
use verdict_compiler::explain::report::{Explanation, Party, PartyKind, Suggestion};
use verdict_compiler::flows::Packets;
use verdict_compiler::list::{By, Directory, Focus, Party as Listed};
use verdict_compiler::ranges::Ranges;

/// Single edits of NetworkPolicies: a port of the flow in a rule, a rule for the flow.
fn edits(world: &World, explanation: &Explanation) -> Vec<Vec<Value>> {
    let flow = &explanation.flow;
    let (Some(port), true) = (flow.port, flow.protocol != "ICMP") else {
        return Vec::new();
    };
    let port = match flow.last_port {
        Some(last) => json!({"port": port, "endPort": last, "protocol": flow.protocol}),
        None => json!({"port": port, "protocol": flow.protocol}),
    };
    let mut found = Vec::new();
    for (index, object) in world.objects.iter().enumerate() {
        if object["kind"] != "NetworkPolicy" {
            continue;
        }
        let name = object["metadata"]["name"].as_str().unwrap();
        let policies = &world.loaded.policies.policies;
        let policy = policies.iter().find(|policy| *policy.object.name == *name);
        let isolates = policy.unwrap().isolates;
        for (list, peers, other, isolates) in [
            ("ingress", "from", &flow.src, isolates.ingress),
            ("egress", "to", &flow.dst, isolates.egress),
        ] {
            // A rule in a policy that does not isolate yet would isolate its pods.
            if !isolates {
                continue;
            }
            let mut edit = |change: &dyn Fn(&mut Value)| {
                let mut objects = world.objects.clone();
                change(&mut objects[index]["spec"][list]);
                found.push(objects);
            };
            let rules = object["spec"][list].as_array().map_or(0, Vec::len);
            for rule in 0..rules {
                let ports = &object["spec"][list][rule]["ports"];
                if ports.as_array().is_some_and(|ports| !ports.is_empty()) {
                    edit(&|rules| {
                        let ports = rules[rule]["ports"].as_array_mut().unwrap();
                        ports.push(port.clone());
                    });
                }
            }
            if let Some(peer) = peer(world, other) {
                edit(&|rules| {
                    if rules.is_null() {
                        *rules = json!([]);
                    }
                    let rule = json!({peers: [peer], "ports": [port]});
                    rules.as_array_mut().unwrap().push(rule);
                });
            }
        }
    }
    found
}

fn peer(world: &World, party: &Party) -> Option<Value> {
    match party.kind {
        PartyKind::Ip => {
            let ip = party.ip.as_ref()?;
            let length = if ip.contains(':') { 128 } else { 32 };
            Some(json!({"ipBlock": {"cidr": format!("{ip}/{length}")}}))
        }
        PartyKind::Pod => {
            let object = world.objects.iter().find(|object| {
                object["kind"] == "Pod"
                    && object["metadata"]["name"].as_str() == party.name.as_deref()
            })?;
            let namespace = party.namespace.as_ref()?;
            let mut labels = object["metadata"]["labels"].clone();
            labels.as_object_mut()?.remove("pod-template-hash");
            Some(json!({
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "podSelector": {"matchLabels": labels},
            }))
        }
        PartyKind::Node => None,
    }
}

/// How many connections change from one world to another, beside what is asked.
fn changed(old: &World, new: &World, explanation: &Explanation) -> usize {
    let worlds = Worlds {
        old: old.context(),
        new: new.context(),
    };
    let programs = Programs::resolve(&worlds);
    let mut diff = Diff::new(worlds, &programs, By::Workload);
    let pairs = diff.pairs_of(&Focus::everything());
    let asked = asked_packets(explanation);
    let is_further = |pair: &verdict_compiler::list::Pair<_>| {
        let delta = diff.delta(pair.answer);
        let (before, after) = (diff.answer(delta.before), diff.answer(delta.after));
        let changed = before.difference(after);
        let flow = &explanation.flow;
        let is_asked = is_party(diff.directory(), pair.src, &flow.src)
            && is_party(diff.directory(), pair.dst, &flow.dst);
        !is_asked || !changed.minus(&asked).is_empty()
    };
    pairs.iter().filter(|pair| is_further(pair)).count()
}

fn asked_packets(explanation: &Explanation) -> Packets {
    let flow = &explanation.flow;
    let protocol = crate::transport(explanation, flow.port).protocol;
    let first = flow.port.unwrap_or_default();
    Packets::of(
        protocol,
        &Ranges::new(vec![(first, flow.last_port.unwrap_or(first))]),
    )
}

/// Whether a party is what is asked about, and nothing more.
fn is_party(directory: &Directory, party: Listed, asked: &Party) -> bool {
    match party {
        Listed::Peer(id) => {
            let peer = directory.peer(id).unwrap();
            asked.name.as_deref() == Some(&*peer.name)
                && asked.namespace.as_deref() == Some(&*peer.namespace)
        }
        Listed::Outside(ranges) => {
            let ranges = directory.addresses(ranges);
            let own = asked.ip.as_ref().map(|ip| ip.parse().unwrap());
            own.is_some_and(|own| ranges == [(own, own)])
        }
    }
}

/// Tries the other edits.
pub(crate) fn check(
    world: &World,
    ends: (&str, &str),
    explanation: &Explanation,
    suggestion: &Suggestion,
) -> usize {
    let cost = suggestion.opens.count + suggestion.closes.count;
    let mut tried = 0;
    for objects in edits(world, explanation) {
        let changed_world = World::new(objects);
        if crate::allowed(&changed_world, ends, explanation).contains(&false) {
            continue;
        }
        tried += 1;
        let other = changed(world, &changed_world, explanation);
        assert!(
            suggestion.edits.len() == 1 && cost <= other,
            "another edit changes {other} connections\n{}\n{}",
            serde_json::to_string_pretty(explanation).unwrap(),
            serde_json::to_string_pretty(&changed_world.objects).unwrap(),
        );
    }
    tried
}
