//! Traces: what is read, what is answered, and that neither threads nor engines change it.

use serde_json::Value;
use verdict_compiler::cluster::peer::{PeerSpec, resolve};
use verdict_compiler::engine::EngineKind;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::trace::{Outcome, Place, Problem, Word};
use verdict_tests::asking::Asked;
use verdict_tests::generate::large::{self, Size};
use verdict_tests::generate::random::Random;
use verdict_tests::generate::small;

const SHOP: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: main, image: main}]}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
spec: {containers: [{name: main, image: main, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.0.0.2}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: http}]
";

fn shop() -> Asked {
    Asked::of(
        vec![("shop.yaml".into(), SHOP.into())],
        &Settings::default(),
    )
}

fn replay(asked: &Asked, trace: &str) -> (String, Outcome) {
    let (replies, outcome) = asked.replay(EngineKind::Ir, trace).unwrap_or_default();
    for other in [EngineKind::Spec, EngineKind::Image] {
        let other = asked.replay(other, trace).unwrap_or_default();
        assert_eq!(
            (&replies, &outcome),
            (&other.0, &other.1),
            "all engines answer the same"
        );
    }
    (replies, outcome)
}

#[track_caller]
fn check(record: &str, expected: &str) {
    let (replies, outcome) = replay(&shop(), record);
    assert_eq!(replies.trim_end(), expected);
    assert!(outcome.problems.is_empty());
}

/// The line of the shop's policy as replies name it.
const RULE: &str = r#"{"policy":{"kind":"NetworkPolicy","namespace":"shop","name":"api"},"rule":"spec.ingress[0]","action":"allow","file":"shop.yaml","line":20}"#;

#[test]
fn replies_have_the_documented_shape() {
    check(
        r#"{"src":"shop/web","dst":"shop/api","protocol":"tcp","dport":8080}"#,
        &format!(
            r#"{{"record":0,"verdict":"allow","egress":"allow","ingress":"allow","rules":[{RULE}]}}"#
        ),
    );
    check(
        r#"{"src":"shop/web","dst":"shop/api","protocol":"TCP","dport":80,"recorded":"allow"}"#,
        r#"{"record":0,"verdict":"deny","egress":"allow","ingress":"deny","recorded":"allow","agrees":false,"rules":[]}"#,
    );
    check(
        r#"{"src":"shop/web","dst":"shop/api","protocol":"TCP","dport":"http","direction":"egress","expect":"allow","sport":1,"time":"now"}"#,
        r#"{"record":0,"verdict":"allow","egress":"allow","expect":"allow","agrees":true,"rules":[]}"#,
    );
    check(
        r#"{"src":"203.0.113.9","dst":"10.0.0.2","protocol":"ICMP","type":8,"code":0,"direction":"ingress"}"#,
        r#"{"record":0,"verdict":"deny","ingress":"deny","rules":[]}"#,
    );
    check(
        r#"{"src":"shop/web","dst":"shop/api","protocol":6}"#,
        &format!(
            r#"{{"record":0,"verdict":"depends","egress":"allow","ingress":"depends","rules":[{RULE}]}}"#
        ),
    );
}

fn line(problem: &Problem) -> u64 {
    match problem.place {
        Place::Line { line, .. } => line,
        Place::Byte(_) | Place::Trace => 0,
    }
}

#[test]
fn a_bad_line_is_named_and_the_others_are_answered() {
    let good = r#"{"src":"shop/web","dst":"shop/api","protocol":"TCP","dport":8080}"#;
    let bad = [
        (r#"{"src":"shop/web""#, "V0601"),
        (r#"["shop/web"]"#, "V0602"),
        (r#"{"src":"shop/web","dst":"shop/api"}"#, "V0602"),
        (
            r#"{"src":"shop/web","dst":"shop/api","protocol":"TCP","port":1}"#,
            "V0602",
        ),
        (
            r#"{"src":"shop/web","dst":"shop/api","protocol":"TCP","expect":"maybe"}"#,
            "V0602",
        ),
        (
            r#"{"src":"shop/web","dst":"shop/api","protocol":"TPC"}"#,
            "V0603",
        ),
        (
            r#"{"src":"shop/web","dst":"shop/api","protocol":256}"#,
            "V0603",
        ),
        (
            r#"{"src":"shop/web","dst":"shop/api","protocol":"TCP","dport":65536}"#,
            "V0603",
        ),
        (
            r#"{"src":"shop/web","dst":"shop/api","protocol":"ICMP","dport":8}"#,
            "V0603",
        ),
        (
            r#"{"src":"shop/web","dst":"shop/api","protocol":"TCP","type":8}"#,
            "V0603",
        ),
        (
            r#"{"src":"shop/web","dst":"shop/api","protocol":"ICMP","code":0}"#,
            "V0603",
        ),
        (
            r#"{"src":"shop/wbe","dst":"shop/api","protocol":"TCP"}"#,
            "V0502",
        ),
        (
            r#"{"src":"shpo/web","dst":"shop/api","protocol":"TCP"}"#,
            "V0504",
        ),
        (r#"{"src":"shop/web","dst":"[","protocol":"TCP"}"#, "V0501"),
        (
            r#"{"src":"shop/web","dst":"shop/api","protocol":"TCP","dport":"htpp"}"#,
            "V0509",
        ),
        (
            r#"{"src":"shop/web","dst":"shop/api","protocol":"UDP","dport":"http"}"#,
            "V0509",
        ),
    ];
    let lines: Vec<&str> = bad.iter().flat_map(|(line, _)| [good, *line]).collect();
    let (replies, outcome) = replay(&shop(), &lines.join("\n"));
    assert_eq!(outcome.records as usize, lines.len());
    assert_eq!(outcome.by_verdict, [(Word::Allow, bad.len() as u64)].into());
    let found: Vec<(u64, &str)> = outcome
        .problems
        .iter()
        .map(|problem| (line(problem), problem.diagnostic.code.id))
        .collect();
    let expected: Vec<(u64, &str)> = (1..)
        .map(|n| n * 2)
        .zip(bad.map(|(_, code)| code))
        .collect();
    assert_eq!(found, expected);
    assert!(
        outcome
            .problems
            .iter()
            .all(|problem| problem.diagnostic.help.is_some())
    );
    for (index, reply) in replies.lines().enumerate() {
        let reply: Value = serde_json::from_str(reply).unwrap_or_default();
        assert_eq!(reply.get("record"), Some(&index.into()));
        assert_eq!(reply.get("error").is_some(), index % 2 == 1, "{reply}");
    }
}

#[test]
fn a_line_that_is_no_text_or_too_long_is_a_problem_only() {
    let asked = shop();
    let long = format!(r#"{{"src":"{}"}}"#, "x".repeat(1 << 20));
    let (_, outcome) = replay(&asked, &format!("{long}\n\n{{\"src\":\"\u{fffd}\"}}"));
    let codes: Vec<&str> = outcome
        .problems
        .iter()
        .map(|problem| problem.diagnostic.code.id)
        .collect();
    assert_eq!(codes, ["V0604", "V0602"]);
    assert_eq!(
        outcome.problems.iter().map(line).collect::<Vec<_>>(),
        [1, 3]
    );
}

#[test]
fn changes_are_counted_once_each() {
    let line = |port| {
        format!(
            r#"{{"src":"shop/web","dst":"shop/api","protocol":"TCP","dport":{port},"recorded":"allow"}}"#
        )
    };
    let lines = [line(80), line(8080), line(81), line(80), line(80)].join("\n");
    let (_, outcome) = replay(&shop(), &lines);
    let changes: Vec<(String, u64)> = outcome
        .changes
        .iter()
        .map(|(change, count)| (change.to_string(), *count))
        .collect();
    let shown = |port, count| {
        (
            format!("shop/web -> shop/api {port}/TCP: allow -> deny"),
            count,
        )
    };
    assert_eq!(changes, [shown(80, 3), shown(81, 1)]);
    assert_eq!((outcome.agreeing, outcome.disagreeing), (1, 4));
    // The policy decides all: by its rule, or by isolating where no rule allows.
    assert_eq!(outcome.by_policy.values().collect::<Vec<_>>(), [&5]);
}

/// Peers of every kind that a small world has.
fn peers(asked: &Asked) -> Vec<String> {
    let cluster = &asked.loaded.cluster;
    let mut peers: Vec<String> = [
        "10.0.0.1",
        "192.0.2.7",
        "2001:db8::1",
        "entity:world",
        "fqdn:api.example.com",
        "fqdn:none.test",
    ]
    .map(str::to_owned)
    .into();
    for pod in cluster.pods() {
        let namespace = cluster.namespace_name(pod.namespace);
        peers.push(format!("{namespace}/{}", pod.name));
        peers.push(format!("{namespace}[a=0]"));
        peers.push("[a=1]/[b=0]".into());
    }
    peers.extend(
        cluster
            .nodes()
            .iter()
            .map(|node| format!("node/{}", node.name)),
    );
    peers.retain(|peer| PeerSpec::parse(peer).is_ok_and(|peer| resolve(cluster, &peer).is_ok()));
    peers
}

#[test]
fn both_engines_reply_the_same_on_random_worlds() {
    for seed in 0..60 {
        let world = small::world(seed);
        let files = world
            .files
            .into_iter()
            .map(|(name, text)| (name, text.into_bytes()));
        let asked = Asked::of(files.collect(), &Settings::default());
        let mut random = Random::new(seed);
        let peers = peers(&asked);
        let lines: Vec<String> = (0..200)
            .map(|_| {
                let (src, dst) = (random.one(&peers), random.one(&peers));
                let port = random.one(&["80", "81", "8080", "\"http\"", "\"dns\""]);
                let protocol = random.one(&["TCP", "UDP"]);
                format!(r#"{{"src":"{src}","dst":"{dst}","protocol":"{protocol}","dport":{port}}}"#)
            })
            .collect();
        let (replies, _) = replay(&asked, &lines.join("\n"));
        assert_eq!(replies.lines().count(), lines.len(), "seed {seed}");
    }
}

#[test]
fn threads_change_nothing() {
    let size = Size {
        pods: 300,
        namespaces: 10,
        policies: 60,
        label_sets: 30,
        nodes: 5,
        dual_stack: true,
        ..Size::default()
    };
    let files = large::world(size, 7)
        .files
        .into_iter()
        .map(|(name, text)| (name, text.into_bytes()));
    let asked = Asked::of(files.collect(), &Settings::default());
    assert_eq!(asked.errors(), Vec::<String>::new());
    let mut trace = large::trace(size, 7, 20_000);
    trace.push_str("{\n");
    trace.push_str(&large::trace(size, 8, 20_000));
    let answers = [1, 2, 7].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.ok()
            .and_then(|pool| pool.install(|| asked.replay(EngineKind::Ir, &trace).ok()))
    });
    assert!(
        answers
            .iter()
            .all(|answer| answer.is_some() && *answer == answers[0])
    );
}
