//! Public reachability tables and probes, on every engine, and what Cilium's own engine answers, on the definition.
//!
//! The vectors are read from beside the workspace (`VERDICT_VECTORS` names another folder); without any the
//! test says so and passes.

use serde_json::{Value, json};
use std::path::Path;
use verdict_compiler::engine::EngineKind;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::source::{SourceFile, Sources};
use verdict_tests::asking::{Asked, cases, vectors};

/// Manifests with flows and their expected verdicts.
struct Step {
    input: String,
    /// Whether what the API server refuses is left out: the tool that gave the answers takes some of it.
    keep_going: bool,
    cidr_matches_pods: bool,
    records: Vec<Value>,
}

/// The steps of a case; `None` where it is of another kind or cannot be converted.
fn steps(case: &Value) -> Option<Vec<Step>> {
    let expected = &case["expected"];
    if list(&case["features"]).any(|feature| feature == "multi-network") {
        return None;
    }
    match case["kind"].as_str()? {
        "truth-table" if case["options"]["convertible"] == json!(false) => None,
        "truth-table" => {
            let mut steps: Vec<Step> = list(&expected["steps"]).map(table_step).collect();
            if let Some(input) = case["input_as_clusternetworkpolicy"].as_str() {
                let same = list(&expected["steps"]).map(table_step);
                steps.extend(same.map(|step| Step {
                    input: input.into(),
                    ..step
                }));
            }
            Some(steps)
        }
        "probes" => Some(list(&expected["steps"]).map(probe_step).collect()),
        "eval" => {
            let query = &expected["query"];
            let end =
                |end: &Value| Some(format!("{}/{}", end["ns"].as_str()?, end["name"].as_str()?));
            let port = query["port"]
                .as_u64()
                .or_else(|| query["port"].as_str()?.parse().ok());
            Some(vec![Step {
                input: case["input"].as_str()?.into(),
                keep_going: true,
                cidr_matches_pods: false,
                records: vec![json!({
                    "src": end(&query["src"])?, "dst": end(&query["dst"])?,
                    "protocol": query["protocol"], "dport": port, "expect": word(&expected["allowed"]),
                })],
            }])
        }
        _ => None,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(allowed: &Value) -> &'static str {
    if allowed.as_bool().unwrap() {
        "allow"
    } else {
        "deny"
    }
}

fn table_step(step: &Value) -> Step {
    let pods: Vec<&str> = list(&step["pods"]).filter_map(Value::as_str).collect();
    let mut records = Vec::new();
    let mut table = |key: &str, tables: &Value| {
        let (protocol, port) = key.split_once('/').unwrap();
        let port = port
            .parse::<u16>()
            .map_or_else(|_| json!(port), |port| json!(port));
        for (name, direction) in [
            ("combined", None),
            ("egress", Some("egress")),
            ("ingress", Some("ingress")),
        ] {
            for (row, src) in list(&tables[name]).zip(&pods) {
                for (cell, dst) in row.as_str().unwrap().chars().zip(&pods) {
                    if src == dst || !".X".contains(cell) {
                        continue;
                    }
                    let expect = word(&json!(cell == '.'));
                    let mut record = json!({"src": src, "dst": dst, "protocol": protocol, "dport": port, "expect": expect});
                    if let Some(direction) = direction {
                        record["direction"] = json!(direction);
                    }
                    records.push(record);
                }
            }
        }
    };
    match step["tables"].as_object() {
        Some(tables) => tables.iter().for_each(|(key, tables)| table(key, tables)),
        None => {
            let key = format!("{}/{}", step["protocol"].as_str().unwrap(), step["port"]);
            table(&key, &json!({"combined": step["combined"]}));
        }
    }
    Step {
        input: step["input"].as_str().unwrap().into(),
        keep_going: false,
        cidr_matches_pods: true,
        records,
    }
}

fn probe_step(step: &Value) -> Step {
    let records = list(&step["probes"]).map(|probe| {
        let dst = probe["dst"].as_str().or(probe["dst_ip"].as_str()).unwrap();
        json!({
            "src": probe["src"], "dst": dst, "protocol": probe["protocol"], "dport": probe["port"],
            "expect": word(&probe["allowed"]),
        })
    });
    Step {
        input: step["input"].as_str().unwrap().into(),
        keep_going: false,
        cidr_matches_pods: true,
        records: records.collect(),
    }
}

/// What is wrong with a step, if anything.
fn fault(vectors: &Path, step: &Step) -> Option<String> {
    let settings = Settings {
        cidr_matches_pods: Some(step.cidr_matches_pods),
        ..Settings::default()
    };
    let asked = Asked::read(&[vectors.join(&step.input)], &settings).unwrap();
    if let [first, ..] = asked.errors().as_slice()
        && !step.keep_going
    {
        return Some(format!("{}: {first}", step.input));
    }
    let trace: String = step
        .records
        .iter()
        .map(|record| format!("{record}\n"))
        .collect();
    let mut answers = Vec::new();
    for kind in EngineKind::ALL {
        let (replies, outcome) = asked.replay(kind, &trace).unwrap();
        if let Some(problem) = outcome.problems.first() {
            return Some(format!(
                "{}: {}",
                problem.excerpt, problem.diagnostic.message
            ));
        }
        if let Some((change, _)) = outcome.changes.first() {
            return Some(format!("{kind} on {}: {change}", step.input));
        }
        assert_eq!(outcome.records as usize, step.records.len());
        answers.push(replies);
    }
    answers.dedup();
    (answers.len() != 1).then(|| format!("{}: the engines answer differently", step.input))
}

#[test]
fn public_vectors() {
    let Some(vectors) = vectors() else { return };
    let mut faults = Vec::new();
    println!(
        "{:<20} {:>6} {:>6} {:>8}",
        "source", "passed", "total", "flows"
    );
    for source in [
        "k8s-e2e",
        "cyclonus",
        "policy-assistant",
        "cnp-conformance",
        "npa",
    ] {
        let (mut passed, mut total, mut flows) = (0, 0, 0);
        for case in cases(&vectors, source).unwrap() {
            let Some(steps) = steps(&case) else {
                continue;
            };
            total += 1;
            flows += steps.iter().map(|step| step.records.len()).sum::<usize>();
            match steps.iter().find_map(|step| fault(&vectors, step)) {
                None => passed += 1,
                Some(fault) => faults.push(format!("{}: {fault}", case["id"])),
            }
        }
        println!("{source:<20} {passed:>6} {total:>6} {flows:>8}");
        assert!(flows > 0, "no case of {source} asks anything");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The settings of a case of Cilium's.
fn cilium_settings(folder: &Path) -> Settings {
    let text = std::fs::read(folder.join("verdict.toml")).unwrap();
    let file = SourceFile::new("verdict.toml", text).unwrap();
    let mut settings = Settings::default();
    let text = file.text().to_owned();
    let problems = settings.read(Sources::default().add(file), &text);
    assert!(problems.is_empty(), "{}: {problems:?}", folder.display());
    settings
}

/// What is wrong with the answers to the flows of a case of Cilium's, if anything.
fn cilium_fault(vectors: &Path, case: &Value) -> Option<String> {
    let folder = vectors.join(case["input"].as_str()?);
    let asked = Asked::read(std::slice::from_ref(&folder), &cilium_settings(&folder)).unwrap();
    if let [first, ..] = asked.errors().as_slice() {
        return Some(first.clone());
    }
    let flows: Vec<&Value> = list(&case["expected"]["flows"]).collect();
    let mut trace = String::new();
    for flow in &flows {
        let keys = ["src", "dst", "protocol", "dport", "type"];
        let given = keys.into_iter().filter(|key| !flow[key].is_null());
        let record: serde_json::Map<String, Value> = given
            .map(|key| (key.to_owned(), flow[key].clone()))
            .collect();
        trace.push_str(&format!("{}\n", Value::Object(record)));
    }
    let engines = CILIUM_ENGINES.into_iter();
    engines
        .filter_map(|engine| {
            let fault = flows_fault(&asked, engine, &flows, &trace)?;
            Some(format!("{engine}: {fault}"))
        })
        .next()
}

/// The engines that answer in the dialect `cilium`.
const CILIUM_ENGINES: [EngineKind; 3] = EngineKind::ALL;

fn flows_fault(asked: &Asked, engine: EngineKind, flows: &[&Value], trace: &str) -> Option<String> {
    let (replies, _) = asked.replay(engine, trace).unwrap();
    let replies: Vec<Value> = replies
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(replies.len(), flows.len());
    flows.iter().zip(&replies).find_map(|(flow, reply)| {
        let asked = ["verdict", "egress", "ingress"];
        let mut wrong = asked
            .into_iter()
            .filter(|key| !flow[key].is_null() && flow[key] != reply[key]);
        let key = wrong.next()?;
        Some(format!("{flow}: {key} is {}", reply[key]))
    })
}

/// What is wrong with the answers to the flows that Hubble recorded, if anything.
fn hubble_fault(vectors: &Path, case: &Value) -> Option<String> {
    let trace = std::fs::read_to_string(vectors.join(case["trace"].as_str()?)).unwrap();
    let asked = [("input", "recorded"), ("without", "without")];
    let asked = asked.into_iter().flat_map(|(input, key)| {
        let engines = CILIUM_ENGINES.into_iter();
        engines.map(move |engine| (input, key, engine))
    });
    for (input, key, engine) in asked {
        let folder = vectors.join(case[input].as_str()?);
        let asked = Asked::read(std::slice::from_ref(&folder), &cilium_settings(&folder)).unwrap();
        let (replies, _) = asked.replay(engine, &trace).unwrap();
        let replies: Vec<Value> = replies
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let expected: Vec<&Value> = list(&case["expected"]).collect();
        assert_eq!(replies.len(), expected.len());
        for (number, (reply, expected)) in replies.iter().zip(expected).enumerate() {
            let direction = expected["direction"].as_str()?;
            let agrees = json!(expected[key] == expected["recorded"]);
            let given = [&reply[direction], &reply["recorded"], &reply["agrees"]];
            if given != [&expected[key], &expected["recorded"], &agrees] {
                return Some(format!("{engine}: {key} {number}: {reply}, not {expected}"));
            }
        }
    }
    None
}

#[test]
fn cilium_vectors() {
    let Some(vectors) = vectors() else { return };
    let mut faults = Vec::new();
    println!("{:<20} {:>6} {:>6}", "source", "passed", "total");
    for source in ["cilium-concepts", "cilium-random"] {
        let cases = cases(&vectors, source).unwrap();
        let flows: Vec<&Value> = cases
            .iter()
            .filter(|case| case["kind"] == "flows")
            .collect();
        let found: Vec<String> = flows
            .iter()
            .filter_map(|case| Some(format!("{}: {}", case["id"], cilium_fault(&vectors, case)?)))
            .collect();
        println!(
            "{source:<20} {:>6} {:>6}",
            flows.len() - found.len(),
            flows.len()
        );
        faults.extend(found);
    }
    let hubble = cases(&vectors, "cilium-hubble").unwrap();
    let found: Vec<String> = hubble
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case["id"], hubble_fault(&vectors, case)?)))
        .collect();
    println!(
        "{:<20} {:>6} {:>6}",
        "cilium-hubble",
        hubble.len() - found.len(),
        hubble.len()
    );
    faults.extend(found);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
