//! What the commands print is what their published schemas say.

use super::run;
use serde_json::Value;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The schema of each answer, and questions that between them have all of its optional parts.
const ANSWERS: [(&str, &[&str]); 16] = [
    ("check", &["check", "testdata/invalid", "--format", "json"]),
    ("check", &["check", "testdata/shop", "--format", "json"]),
    (
        "explain",
        &[
            "explain",
            "testdata/shop",
            "--from",
            "shop/web",
            "--to",
            "shop/api",
            "--port",
            "8080",
            "--format",
            "json",
        ],
    ),
    (
        "explain",
        &[
            "explain",
            "testdata/shop",
            "--from",
            "entity:world",
            "--to",
            "shop/cart",
            "--port",
            "ANY",
            "--format",
            "json",
        ],
    ),
    ("list", &["list", "testdata/shop", "--format", "json"]),
    (
        "list",
        &["list", "testdata/shop", "--exposure", "--format", "json"],
    ),
    (
        "list-groups",
        &["list", "testdata/shop", "--group", "--format", "json"],
    ),
    (
        "list-groups",
        &[
            "list",
            "testdata/shop",
            "--group",
            "--exposure",
            "--format",
            "json",
        ],
    ),
    (
        "diff",
        &[
            "diff",
            "testdata/diff/main",
            "testdata/diff/change",
            "--format",
            "json",
        ],
    ),
    (
        "diff",
        &[
            "diff",
            "testdata/diff/change",
            "testdata/diff/main",
            "--format",
            "json",
        ],
    ),
    (
        "replay-summary",
        &[
            "replay",
            "testdata/shop",
            "--keep-going",
            "--trace",
            "TRACE",
            "--format",
            "json",
        ],
    ),
    (
        "compile",
        &[
            "compile",
            "testdata/shop",
            "--out",
            "OUT",
            "--explain-passes",
            "--format",
            "json",
        ],
    ),
    (
        "image-inspect",
        &["image", "inspect", "OUT/worker-1.image", "--format", "json"],
    ),
    (
        "image-explain",
        &[
            "image",
            "explain",
            "OUT/worker-1.image",
            "--from",
            "192.0.2.1",
            "--to",
            "shop/web",
            "--port",
            "80",
            "--format",
            "json",
        ],
    ),
    (
        "image-audit",
        &[
            "image",
            "audit",
            "--cilium",
            "testdata/cli/audit.in/damaged",
            "--node",
            "worker-1",
            "testdata/cli/audit.in/cluster.yaml",
            "--format",
            "json",
        ],
    ),
    (
        "image-audit",
        &[
            "image",
            "audit",
            "--cilium",
            "testdata/cli/audit.in/gone",
            "--node",
            "worker-1",
            "testdata/cli/audit.in/cluster.yaml",
            "--format",
            "json",
        ],
    ),
];

const TRACE: &str = r#"{"src":"shop/web","dst":"shop/api","protocol":"TCP","dport":8080,"expect":"deny"}
{"src":"shop/web","dst":"shop/nobody","protocol":"TCP","dport":8080}
"#;

#[test]
fn answers_are_what_their_schemas_say() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.jsonl");
    std::fs::write(&trace, TRACE).unwrap();
    let out = folder.path().join("out");
    for (name, command) in ANSWERS {
        let arguments = command.iter().map(|argument| {
            let argument = argument.replace("TRACE", trace.to_str().unwrap());
            let argument = argument.replace("OUT", out.to_str().unwrap());
            argument.replace("testdata/", &format!("{ROOT}/testdata/"))
        });
        let ran = run(arguments);
        assert!(
            matches!(ran.code, Some(0 | 1)),
            "{command:?}: {}",
            ran.stderr
        );
        hold(name, &ran.stdout, command);
    }
    let lines = run([
        "replay",
        &format!("{ROOT}/testdata/shop"),
        "--keep-going",
        "--trace",
        trace.to_str().unwrap(),
        "--format",
        "jsonl",
    ]);
    assert_eq!(lines.stdout.lines().count(), 2);
    for line in lines.stdout.lines() {
        hold("replay", line, &["replay"]);
    }
    captures();
}

/// What is printed of a capture, one by one and in sum.
fn captures() {
    let shop = format!("{ROOT}/testdata/shop");
    let capture = format!("{ROOT}/testdata/trace/every-kind.pcap");
    for (name, more) in [
        ("replay", &["--by", "packet"][..]),
        ("replay-connection", &["--by", "connection"]),
        ("replay-workload", &["--by", "workload"]),
        ("replay-policy", &["--by", "policy"]),
        ("replay-summary", &["--summary"]),
    ] {
        let mut command = vec![
            "replay",
            shop.as_str(),
            "--trace",
            capture.as_str(),
            "--format",
            "jsonl",
        ];
        command.extend(more);
        let ran = run(&command);
        assert!(ran.stdout.lines().count() > 0, "{command:?}");
        for line in ran.stdout.lines() {
            hold(name, line, &command);
        }
    }
}

fn hold(name: &str, answer: &str, command: &[&str]) {
    let path = Path::new(ROOT).join(format!("schemas/{name}.schema.json"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let answer: Value = serde_json::from_str(answer).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&answer)
        .map(|error| format!("{} at {}", error, error.instance_path))
        .collect();
    assert!(errors.is_empty(), "{command:?}: {errors:#?}");
}
