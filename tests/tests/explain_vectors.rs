//! What np-guard's netpol-analyzer explains of connections, asked again flow by flow.
//!
//! The vectors are read from beside the workspace (`VERDICT_VECTORS` names another folder); without any the test says
//! so and passes. What is compared: for each connection between two workloads, or of one and the outside, and for the
//! first and the last port of each range, whether it is allowed, and that every policy which the reasons name is named
//! by `explain` too. Messages are not compared. [`KNOWN`] has every case in which the two disagree, with the reason.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at what is not as it should be"
)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use verdict_compiler::cluster::peer::{self, PeerSpec, PortSpec, Resolved};
use verdict_compiler::engine::{Engine, EngineKind};
use verdict_compiler::explain::question::{Answered, answer};
use verdict_compiler::explain::report::{Explanation, Word};
use verdict_compiler::explain::{Asking, ends};
use verdict_compiler::frontend::settings::Settings;
use verdict_tests::asking::{Asked, cases, vectors};

/// The API server refuses a `pods` peer without `podSelector`, so that verdict leaves the policy out.
const POD_SELECTOR: &str = "an invalid policy counts: `pods` without `podSelector`";

/// The API server refuses a port without a number, so that verdict leaves the Deployment out.
const PORT_NUMBER: &str = "an invalid Deployment counts: `containerport` for `containerPort`";

/// Cases that end otherwise, with the reason. One that begins to pass must go from here.
const KNOWN: &[(&str, &str)] = &[
    ("npa/explain/anp_demo_explain_output", POD_SELECTOR),
    (
        "npa/explain/exposure_test_with_anp_15_explain_exposure_output",
        POD_SELECTOR,
    ),
    (
        "npa/explain/netpol_named_port_test_explain_output",
        PORT_NUMBER,
    ),
];

/// Ends that stand for no workload and no address.
const OTHER_ENDS: [&str; 3] = ["ingress-controller", "entire-cluster", "with"];

/// A peer as `explain` takes it; `None` for one that stands for others.
fn spelt(end: &str) -> Option<String> {
    if let Some(range) = end.strip_suffix("[External]") {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let [first, last] = [first, last].map(|one| one.parse::<Ipv4Addr>().unwrap());
        // No address that a host has is the first or the last of all.
        let within = (1_u32..).find_map(|step| {
            let one = Ipv4Addr::from_bits(first.to_bits().saturating_add(step * 7));
            (one > last || !one.is_unspecified()).then_some(one)
        });
        let within = within.filter(|one| *one <= last).unwrap_or(first);
        return Some(within.to_string());
    }
    if OTHER_ENDS.iter().any(|other| end.contains(other)) {
        return None;
    }
    let (name, kind) = end.strip_suffix(']')?.split_once('[')?;
    let (namespace, name) = name.split_once('/')?;
    Some(if kind == "Pod" {
        format!("{namespace}/{name}")
    } else {
        format!("{namespace}/{}/{name}", kind.to_ascii_lowercase())
    })
}

/// The first and the last port of each range: `TCP:[80,443-445] UDP:[53]`, `TCP, UDP, SCTP`, `All Connections`.
fn ports(conns: &str) -> Vec<String> {
    let mut found = Vec::new();
    for protocol in ["TCP", "UDP", "SCTP"] {
        let numbers = match conns.split_once(protocol) {
            None if conns == "All Connections" => "1-65535",
            None => continue,
            Some((_, rest)) => match rest.strip_prefix(":[") {
                Some(listed) => listed.split(']').next().unwrap(),
                None => "1-65535",
            },
        };
        for range in numbers.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let ends = BTreeSet::from([first, last]);
            found.extend(ends.into_iter().map(|port| format!("{port}/{protocol}")));
        }
    }
    assert!(!found.is_empty(), "{conns}");
    found
}

/// The policies that reasons name, without what a policy is said to select.
fn policies(reasons: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for reason in reasons.as_array().unwrap() {
        let mut words = reason.as_str().unwrap().split('\'');
        while let (Some(kind), Some(name)) = (words.next(), words.next()) {
            let kind = kind.rsplit([' ', '\t']).find(|word| !word.is_empty());
            let kind = kind.unwrap_or_default();
            if kind.ends_with("NetworkPolicy") {
                found.insert(format!("{kind}/{name}"));
            }
        }
    }
    found
}

/// The policies that an answer names.
fn named(answer: &Explanation) -> BTreeSet<String> {
    let sides = [&answer.egress, &answer.ingress];
    let rules = sides.iter().flat_map(|side| &side.rules);
    let isolating = sides.iter().flat_map(|side| &side.isolated_by);
    let policies = rules
        .map(|rule| rule.policy.to_string())
        .chain(isolating.map(|one| one.policy.to_string()));
    let of_cases = answer.cases.iter().flat_map(named);
    policies.chain(of_cases).collect()
}

/// What is otherwise in one case.
fn differences(asked: &Asked, case: &Value, compared: &mut usize) -> Vec<String> {
    let context = asked.context();
    let engine = Engine::new(
        EngineKind::Spec,
        context.sources,
        context.cluster,
        context.policies,
    );
    let engine = engine.unwrap();
    let asking = Asking {
        context,
        engine: &engine,
    };
    let mut found = Vec::new();
    for pair in case["expected"]["pairs"].as_array().unwrap() {
        let [src, dst] = ["src", "dst"].map(|end| pair[end].as_str().unwrap());
        let (Some(from), Some(to)) = (spelt(src), spelt(dst)) else {
            continue;
        };
        let resolve = |text: &str| -> Vec<Resolved> {
            peer::resolve(context.cluster, &PeerSpec::parse(text).unwrap()).unwrap_or_default()
        };
        for (list, word) in [("allowed", Word::Allow), ("denied", Word::Deny)] {
            for entry in pair[list].as_array().unwrap() {
                let wanted = policies(&entry["reasons"]);
                for port in ports(entry["conns"].as_str().unwrap()) {
                    let spec = PortSpec::parse(&port).unwrap();
                    let (from_ends, to_ends) = (resolve(&from), resolve(&to));
                    let question = ends::question(context, &from_ends, &to_ends, &spec);
                    let answer = question.ok().and_then(|one| answer(asking, &one).ok());
                    let Some(Answered { explanation, .. }) = answer else {
                        found.push(format!("{from} -> {to} {port}: no answer"));
                        continue;
                    };
                    *compared += 1;
                    let missing: Vec<String> =
                        wanted.difference(&named(&explanation)).cloned().collect();
                    if explanation.verdict != word || !missing.is_empty() {
                        found.push(format!(
                            "{from} -> {to} {port}: {} and not {word}, without {missing:?}",
                            explanation.verdict
                        ));
                    }
                }
            }
        }
    }
    found
}

#[test]
fn what_netpol_analyzer_explains_is_explained() {
    let Some(folder) = vectors() else {
        println!("skipped: there is no folder ../shared/vectors, and VERDICT_VECTORS names none");
        return;
    };
    let known: BTreeMap<&str, &str> = KNOWN.iter().copied().collect();
    let (mut wrong, mut passed, mut total, mut compared) = (Vec::new(), 0, 0, 0);
    for case in cases(&folder, "npa").unwrap() {
        let features = case["features"].as_array().unwrap();
        let out_of_scope = features.iter().any(|one| one == "multi-network");
        if case["kind"] != "explain" || out_of_scope {
            continue;
        }
        total += 1;
        let settings = Settings {
            cidr_matches_pods: Some(false),
            ..Settings::default()
        };
        let input = folder.join(case["input"].as_str().unwrap());
        let asked = Asked::read(&[input], &settings).unwrap();
        let differences = differences(&asked, &case, &mut compared);
        passed += usize::from(differences.is_empty());
        let id = case["id"].as_str().unwrap();
        if differences.is_empty() == known.contains_key(id) {
            wrong.push(format!(
                "{id}: {:#?}",
                differences.iter().take(5).collect::<Vec<_>>()
            ));
        }
    }
    println!("npa explain {passed} {total}, {compared} flows");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 300, "{compared}");
}
