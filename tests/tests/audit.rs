//! What Cilium's nodes hold, as its command line prints it, against manifests: clean nodes, and damaged ones in which
//! the damage is found and nothing else.
//!
//! The vectors are read from beside the workspace (`VERDICT_VECTORS` names another folder); without any the test says so
//! and passes.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use verdict_compiler::audit::{AuditReport, Dump, audit};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::hir::Resolution;
use verdict_compiler::source::{SourceFile, Sources};
use verdict_tests::asking::{Asked, cases, vectors};

fn settings(folder: &Path) -> Settings {
    let text = std::fs::read(folder.join("verdict.toml")).unwrap();
    let file = SourceFile::new("verdict.toml", text).unwrap();
    let mut settings = Settings::default();
    let text = file.text().to_owned();
    let problems = settings.read(Sources::default().add(file), &text);
    assert!(problems.is_empty(), "{}: {problems:?}", folder.display());
    settings
}

fn audited(vectors: &Path, case: &Value) -> AuditReport {
    let text = |key: &str| case[key].as_str().unwrap();
    let input = vectors.join(text("input"));
    let asked = Asked::read(std::slice::from_ref(&input), &settings(&input)).unwrap();
    assert_eq!(asked.errors(), Vec::<String>::new());
    let folder = vectors.join(text("dump"));
    let dump = Dump::read(|file| std::fs::read(folder.join(file.name())).unwrap()).unwrap();
    let Resolution::Precedence(enforcement) = &asked.loaded.policies.resolution else {
        panic!("{}: not in the dialect `cilium`", case["id"]);
    };
    let node = asked.loaded.cluster.find_node(text("node")).unwrap();
    audit(asked.context(), enforcement, node, &dump)
}

/// What is wrong with what was found in a case, if anything.
fn fault(case: &Value, report: &AuditReport) -> Option<String> {
    let list = |key: &str| {
        case["expected"][key]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let expected: BTreeSet<(String, String)> = list("differences")
        .iter()
        .map(|one| (text(&one["pod"]), text(&one["direction"])))
        .collect();
    let found = report.differences.iter();
    let found: BTreeSet<(String, String)> = found
        .map(|one| (one.pod.clone(), one.direction.clone()))
        .collect();
    let prefixes: BTreeSet<String> = list("ipcache").iter().map(text).collect();
    let addresses = report.ipcache.iter();
    let addresses: BTreeSet<String> = addresses.map(|one| one.prefix.clone()).collect();
    if report.compared == 0 || !report.endpoints.is_empty() {
        return Some(format!(
            "{} endpoints, {:?}",
            report.compared, report.endpoints
        ));
    }
    if found != expected {
        return Some(format!("{found:?}, expected {expected:?}"));
    }
    if addresses != prefixes {
        return Some(format!("{addresses:?}, expected {prefixes:?}"));
    }
    list("differences").iter().find_map(|damage| {
        let is_found = report
            .differences
            .iter()
            .any(|one| is_by(damage, one.number));
        (!is_found).then(|| format!("nothing of the identity of {damage}"))
    })
}

/// Whether a damaged entry can decide about packets of an identity: it is its own, or one that stands for several.
fn is_by(damage: &Value, number: u32) -> bool {
    let entry = damage["identity"].as_u64().unwrap();
    entry == u64::from(number) || entry == 0 || (11..=14).contains(&entry)
}

#[test]
fn cilium_nodes() {
    let Some(vectors) = vectors() else { return };
    let mut table: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let mut faults = Vec::new();
    for case in cases(&vectors, "cilium-node").unwrap() {
        let what = case["expected"]["what"].as_str().unwrap().to_owned();
        let [passed, total] = table.entry(what).or_default();
        *total += 1;
        match fault(&case, &audited(&vectors, &case)) {
            None => *passed += 1,
            Some(fault) => faults.push(format!("{}: {fault}", case["id"])),
        }
    }
    println!("{:<20} {:>6} {:>6}", "cilium-node", "passed", "total");
    for (what, [passed, total]) in &table {
        println!("{what:<20} {passed:>6} {total:>6}");
    }
    let kinds: Vec<&str> = table.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["clean", "flip", "ipcache", "remove"]);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
