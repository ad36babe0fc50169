//! What np-guard's netpol-analyzer says of pods that do not exist yet, and what we say of one of each kind.
//!
//! The vectors are read from beside the workspace (`VERDICT_VECTORS` names another folder); without any the test
//! says so and passes. What is compared: for `entire-cluster`, a pod without labels in a new namespace has what is
//! expected; for a kind of pods that it names, one of them has at least that (it gives what one rule allows, we
//! what all rules do). Ports by name are not compared: it gives the name, we the ports that it may stand for.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside of test functions"
)]

use serde_json::Value;
use std::collections::BTreeSet;
use verdict_compiler::cluster::{Cluster, Labels, NAMESPACE_NAME_LABEL, Protocol};
use verdict_compiler::flows::{Answer, Connections, Packets};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::hir::Direction;
use verdict_compiler::ir::Program;
use verdict_compiler::list::exposure::{Exposure, Sample};
use verdict_compiler::list::{By, Listing, PeerId};
use verdict_compiler::query::Families;
use verdict_compiler::ranges::Ranges;
use verdict_tests::asking::{Asked, cases, vectors};

const BOTH: [(&str, Direction, &str, &str); 2] = [
    ("ingress", Direction::Ingress, "dst", "src_n"),
    ("egress", Direction::Egress, "src", "dst_n"),
];

/// Where its answer is not ours, and why.
const ARGUED: &[(&str, &str)] = &[(
    "npa/exposure/exposure_test_with_anp_15",
    "its policies select `pods` without `podSelector`, which the API server refuses",
)];

#[test]
fn kinds_of_pods_that_netpol_analyzer_names_have_its_answer() {
    let Some(folder) = vectors() else {
        eprintln!("no vectors: not compared with netpol-analyzer");
        return;
    };
    let mut compared = 0;
    let mut wrong = Vec::new();
    for case in cases(&folder, "npa").unwrap() {
        let options = &case["options"];
        if case["kind"] != "exposure" || !options["focus_conn"].is_null() {
            continue;
        }
        let input = folder.join(case["input"].as_str().unwrap());
        let settings = Settings {
            cidr_matches_pods: Some(false),
            ..Settings::default()
        };
        let asked = Asked::read(&[input], &settings).unwrap();
        let cluster = &asked.loaded.cluster;
        let program = Program::resolve(cluster, &asked.loaded.policies);
        let connections = Connections::new(cluster, &program, Families::of(cluster));
        let mut listing = Listing::new(connections, By::Workload);
        let exposure = listing.exposure();
        let expected = &case["expected"]["exposure"];
        let mut differences = Vec::new();
        for (key, direction, peer, other) in BOTH {
            for row in expected[key].as_array().unwrap() {
                let Some((sample, whole)) = sample(cluster, &row[other]) else {
                    continue;
                };
                let Some(packets) = packets(&row["conns_n"]) else {
                    continue;
                };
                let id = find(&listing, row[peer].as_str().unwrap());
                let answer = answer(&listing, &exposure, id, direction, &sample);
                let with_ports = answer.allow.intersection(&with_ports());
                let holds = if whole {
                    with_ports == packets
                } else {
                    packets.minus(&with_ports).is_empty()
                };
                compared += 1;
                if !holds {
                    differences.push(format!("{key} {row}: {sample:?} has {answer:?}"));
                }
            }
        }
        if options["focus_workloads"] == serde_json::json!([]) {
            let wanted: BTreeSet<String> = expected["unprotected"]
                .as_array()
                .unwrap()
                .iter()
                .map(|line| line.as_str().unwrap().into())
                .collect();
            let ours = unprotected(&listing);
            if wanted != ours {
                differences.push(format!("unprotected: {wanted:?}, ours {ours:?}"));
            }
        }
        let id = case["id"].as_str().unwrap();
        let argued = ARGUED.iter().any(|(known, _)| *known == id);
        if differences.is_empty() == argued {
            wrong.push(format!("{id}: {differences:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 100, "{compared}");
}

fn answer(
    listing: &Listing<'_>,
    exposure: &Exposure,
    peer: PeerId,
    direction: Direction,
    sample: &Sample,
) -> Answer {
    let exposed = exposure.of(listing, peer, direction).unwrap();
    let namespace = listing.cluster().find_namespace(&sample.namespace);
    let mut entries = exposed.entries.iter();
    let found =
        entries.find(|entry| entry.covers(namespace, &sample.namespace_labels, &sample.labels));
    found.map_or(Answer::nothing(), |entry| {
        listing.answer(entry.answer).clone()
    })
}

fn full_name(listing: &Listing<'_>, id: PeerId) -> String {
    let peer = listing.peer(id).unwrap();
    let kind = peer.workload.as_deref().unwrap();
    format!("{}/{}[{kind}]", peer.namespace, peer.name)
}

fn find(listing: &Listing<'_>, name: &str) -> PeerId {
    let mut ids = listing.peer_ids();
    ids.find(|id| full_name(listing, *id) == name)
        .unwrap_or_else(|| panic!("{name}"))
}

fn unprotected(listing: &Listing<'_>) -> BTreeSet<String> {
    let of = |direction, word: &str| {
        let peers = listing.ungoverned(direction).into_iter();
        peers
            .map(|id| format!("{} is not protected on {word}", full_name(listing, id)))
            .collect::<Vec<_>>()
    };
    let mut all: BTreeSet<String> = of(Direction::Ingress, "Ingress").into_iter().collect();
    all.extend(of(Direction::Egress, "Egress"));
    all
}

fn with_ports() -> Packets {
    [Protocol::TCP, Protocol::UDP, Protocol::SCTP]
        .into_iter()
        .map(Packets::of_protocol)
        .fold(Packets::none(), |all, one| all.union(&one))
}

/// Connections as packets; `None` where a port is a name.
fn packets(connections: &Value) -> Option<Packets> {
    let mut all = Packets::none();
    for (protocol, ranges) in connections.as_object()? {
        let protocol = match protocol.as_str() {
            "TCP" => Protocol::TCP,
            "UDP" => Protocol::UDP,
            "SCTP" => Protocol::SCTP,
            other => panic!("{other}"),
        };
        let bound = |value: &Value| Some(u16::try_from(value.as_u64()?).unwrap());
        let ranges = ranges.as_array()?.iter();
        let ranges: Option<Vec<(u16, u16)>> = ranges
            .map(|range| Some((bound(&range[0])?, bound(&range[1])?)))
            .collect();
        all = all.union(&Packets::of(protocol, &Ranges::new(ranges?)));
    }
    Some(all)
}

/// A pod of a kind, and whether that is every pod. `None` for what is no pod.
fn sample(cluster: &Cluster, peer: &Value) -> Option<(Sample, bool)> {
    let whole = match peer["t"].as_str()? {
        "entire-cluster" => true,
        "representative" => false,
        _ => return None,
    };
    let (namespace, labels) = if whole {
        ("[all namespaces]", Labels::default())
    } else {
        let pod = peer["pod"].as_str()?;
        let labels = pod.strip_prefix("[pod with {").map(labels);
        (peer["ns"].as_str()?, labels.unwrap_or_default())
    };
    let (name, own) = match namespace.strip_prefix("[namespace with {") {
        Some(text) => ("brand-new", labels_of(text)),
        None if namespace == "[all namespaces]" => ("brand-new", Vec::new()),
        None => (namespace, Vec::new()),
    };
    let named = [(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned())];
    let namespace_labels = match cluster.find_namespace(name) {
        Some(id) => cluster.namespace_labels(id).clone(),
        None => own.into_iter().chain(named).collect(),
    };
    let sample = Sample {
        namespace: name.into(),
        namespace_labels,
        labels,
    };
    Some((sample, whole))
}

fn labels(text: &str) -> Labels {
    labels_of(text).into_iter().collect()
}

/// Labels that meet `a=b,{Key:app,Operator:In,Values:[x y],}}]`.
fn labels_of(text: &str) -> Vec<(String, String)> {
    let text = text.strip_suffix("}]").unwrap();
    let mut labels = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(expression) = rest.strip_prefix("{Key:") {
            let (expression, after) = expression.split_once('}').unwrap();
            let (key, expression) = expression.split_once(",Operator:").unwrap();
            let (operator, values) = expression.split_once(",Values:[").unwrap();
            let values = values.split_once(']').unwrap().0;
            let first = values.split(' ').next().unwrap();
            match operator {
                "In" => labels.push((key.to_owned(), first.to_owned())),
                "Exists" => labels.push((key.to_owned(), "any".to_owned())),
                "NotIn" | "DoesNotExist" => {}
                other => panic!("{other}"),
            }
            rest = after.strip_prefix(',').unwrap_or(after);
        } else {
            let (pair, after) = rest.split_once(',').unwrap_or((rest, ""));
            let (key, value) = pair.split_once('=').unwrap();
            labels.push((key.to_owned(), value.to_owned()));
            rest = after;
        }
    }
    labels
}
