//! What the API server says of an object, held against what verdict says of it.
//!
//! Two corpora: the conformance vectors beside the workspace (`VERDICT_VECTORS` names another folder; without
//! any the test says so and passes), and `testdata/invalid`, whose diagnostics are pinned in `snapshots`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: what goes wrong here is a failure of the test"
)]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use verdict_compiler::diagnostic::{Diagnostic, Severity, codes};
use verdict_compiler::frontend::kinds::{Kind, Recognised};
use verdict_compiler::frontend::manifest::{self, NodeRef};
use verdict_compiler::frontend::settings::{Dialect, Settings};
use verdict_compiler::frontend::{identify, load, validate};
use verdict_compiler::source::{FileId, SourceFile, Sources};
use verdict_tests::asking::vectors;

/// Every diagnostic of one file, in the order of the text. Whatever validation accepts is lowered whole.
fn check(name: &str, bytes: Vec<u8>, settings: &Settings) -> (Sources, Vec<Diagnostic>) {
    let mut sources = Sources::default();
    let Ok(file) = SourceFile::new(name, bytes) else {
        panic!("{name} is not text");
    };
    let id = sources.add(file);
    let file = sources.get(id).unwrap();
    let mut all = Vec::new();
    for chunk in manifest::split(id, file) {
        let (document, mut diagnostics) = manifest::parse(file, &chunk);
        if let Some(document) = &document {
            check_node(document.root(), None, settings, &mut diagnostics);
            validate::settle(&mut diagnostics);
        }
        all.append(&mut diagnostics);
    }
    all.sort_by(|left, right| left.order().cmp(&right.order()));
    let loaded = load::load(&sources, settings);
    let mut loaded = loaded.diagnostics.iter();
    let bug = loaded.find(|diagnostic| diagnostic.code == &codes::INTERNAL);
    assert!(bug.is_none(), "accepted and not read: {bug:?}");
    (sources, all)
}

fn check_node(
    root: NodeRef<'_>,
    inherited: Option<Kind>,
    settings: &Settings,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match identify::identify(root, inherited, diagnostics) {
        Recognised::Known(kind) => {
            validate::check_object(kind, root, settings, diagnostics);
        }
        Recognised::List(kind) => {
            for item in root.get("items").into_iter().flat_map(NodeRef::items) {
                check_node(item, kind, settings, diagnostics);
            }
        }
        Recognised::OtherVersion(..)
        | Recognised::Misspelt(_)
        | Recognised::CiliumConfig
        | Recognised::UnsupportedPolicy(_)
        | Recognised::Unknown => {}
    }
}

fn errors(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .collect()
}

/// Cases that are not about one object, or where another vector is right, with the reason.
const NOT_OURS: &[(&str, &str)] = &[
    (
        "nca/validation/network-policy-checks-bad-path/spec_podselector_null",
        "the API server accepts it: k8s-validation/ok/null-selector",
    ),
    (
        "nca/validation/network-policy-checks-bad-path/spec_policytypes_missing_ingress",
        "the API server accepts it; the rules have no effect, which is a lint",
    ),
    (
        "npa/error/semanticDiff-same-topologies-illegal-podlist",
        "a limit of that tool",
    ),
    (
        "npa/error/example_w_err_pods_w_same_owner_and_labels_gap_anp",
        "a limit of that tool",
    ),
    ("npa/error/np_bad_path_test_1", "two objects of one name"),
    (
        "npa/error/anp_bad_path_test_1",
        "two policies of one priority",
    ),
    ("npa/error/anp_bad_path_test_3", "two objects of one name"),
    ("npa/error/udn_bad_path_test_1", "user-defined networks"),
    ("npa/error/udn_bad_path_test_5", "user-defined networks"),
    ("npa/error/cudn_bad_test_1", "user-defined networks"),
];

/// Whether a case with this id and kind is about one object.
type IsOurs = fn(&str, &str) -> bool;

#[test]
fn the_vectors_are_accepted_and_refused_as_the_api_server_does() {
    let Some(folder) = vectors() else { return };
    let mut table: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut failures = String::new();
    let sources: [(&str, IsOurs); 5] = [
        ("k8s-validation", |_, kind| kind == "accept"),
        ("crd-validation", |_, kind| kind == "accept"),
        ("cilium-concepts", |_, kind| kind == "refused"),
        ("nca", |_, kind| kind == "validation"),
        ("npa", |_, kind| kind == "error"),
    ];
    for (source, is_ours) in sources {
        let cases = std::fs::read_to_string(folder.join(source).join("cases.jsonl")).unwrap();
        for line in cases.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let (id, kind) = (case["id"].as_str().unwrap(), case["kind"].as_str().unwrap());
            if !is_ours(id, kind) || NOT_OURS.iter().any(|(own, _)| *own == id) {
                continue;
            }
            let row = table.entry(source).or_default();
            row.1 += 1;
            match judge(&case, kind, &folder) {
                Ok(()) => row.0 += 1,
                Err(why) => writeln!(failures, "{id}: {why}").unwrap(),
            }
        }
    }
    for (source, (passed, total)) in &table {
        println!("{source:16} {passed:4}/{total}");
    }
    assert!(failures.is_empty(), "\n{failures}");
}

fn judge(case: &Value, kind: &str, folder: &Path) -> Result<(), String> {
    let expected = &case["expected"];
    if kind == "accept" {
        let text = case["text"].as_str().unwrap();
        let settings = Settings {
            dialect: match case["dialect"].as_str() {
                Some("cilium") => Dialect::Cilium,
                Some(_) | None => Dialect::Kubernetes,
            },
            ..Settings::default()
        };
        let (sources, diagnostics) = check("p.yaml", text.into(), &settings);
        return judge_accept(expected, &sources, &diagnostics);
    }
    let input = &case["input"];
    let inputs = input
        .as_array()
        .map_or(std::slice::from_ref(input), Vec::as_slice);
    let inputs = inputs.iter().map(|path| path.as_str().unwrap().to_owned());
    let context = ["namespaces", "pods", "resources"]
        .into_iter()
        .flat_map(|key| case["context"][key].as_array().into_iter().flatten())
        .map(|path| path.as_str().unwrap().to_owned());
    let mut found = Vec::new();
    let settings = settings(&folder.join(case["input"].as_str().unwrap_or("")));
    for path in inputs.chain(context) {
        for file in manifests(&folder.join(path)) {
            let (_, diagnostics) = check("x", std::fs::read(file).unwrap(), &settings);
            found.extend(
                errors(&diagnostics)
                    .into_iter()
                    .map(|error| error.message.clone()),
            );
        }
    }
    let is_refused = ["error", "refused"].contains(&kind) || expected["error"].as_bool().unwrap();
    if is_refused == found.is_empty() {
        return Err(format!("want refused={is_refused}, got {found:?}"));
    }
    Ok(())
}

fn judge_accept(expected: &Value, sources: &Sources, all: &[Diagnostic]) -> Result<(), String> {
    let found = errors(all);
    let messages: Vec<_> = found.iter().map(|error| &error.message).collect();
    let has = |name: &str| expected[name].as_bool() == Some(true);
    if has("older_accept") {
        let is_warned = all.iter().any(|found| found.code.id == "V0208");
        return if is_warned && found.is_empty() {
            Ok(())
        } else {
            Err(format!("want a warning only, got {messages:?}"))
        };
    }
    if has("valid") != found.is_empty() {
        return Err(format!("want {expected}, got {messages:?}"));
    }
    let fields: Vec<&str> = found
        .iter()
        .map(|error| error.field.as_deref().unwrap_or(""))
        .collect();
    for error in expected["errors"].as_array().into_iter().flatten() {
        let want = error["field"].as_str().unwrap();
        let is_near =
            |got: &&str| got.starts_with(want) || (!got.is_empty() && want.starts_with(*got));
        if !want.is_empty() && want != "<nil>" && !fields.iter().any(is_near) {
            return Err(format!("no error at {want}, only at {fields:?}"));
        }
    }
    for error in &found {
        let Some(label) = &error.label else {
            return Err(format!("an error without a place: {}", error.message));
        };
        let (_, location) = sources.location(label.span);
        if location.line == 0 || error.help.is_none() {
            return Err(format!("an error without help: {}", error.message));
        }
    }
    Ok(())
}

/// Those of the case, if it has any of its own.
fn settings(folder: &Path) -> Settings {
    let mut settings = Settings::default();
    if let Ok(text) = std::fs::read_to_string(folder.join("verdict.toml")) {
        let found = settings.read(FileId(0), &text);
        assert!(found.is_empty(), "{found:?}");
    }
    settings
}

fn manifests(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let is_manifest = path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        if path.is_dir() || is_manifest {
            files.extend(manifests(&path));
        }
    }
    files.sort();
    files
}

#[test]
fn invalid_manifests_are_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut snapshots = insta::Settings::clone_current();
    snapshots.set_snapshot_path(root.join("snapshots/invalid"));
    snapshots.set_prepend_module_to_snapshot(false);
    snapshots.set_omit_expression(true);
    let files = manifests(&root.join("testdata/invalid"));
    assert!(files.len() >= 40, "only {} cases", files.len());
    for path in files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let settings = Settings {
            dialect: if name.starts_with("cilium-") {
                Dialect::Cilium
            } else {
                Dialect::Kubernetes
            },
            ..Settings::default()
        };
        let bytes = text.clone().into_bytes();
        let (sources, diagnostics) = check(&format!("{name}.yaml"), bytes, &settings);
        assert!(!diagnostics.is_empty(), "{name} has no problem");
        let shown = format!("{text}\n====\n{}", plain(&sources, &diagnostics));
        snapshots.bind(|| insta::assert_snapshot!(name, shown));
    }
}

fn plain(sources: &Sources, diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let Diagnostic {
            code,
            severity,
            message,
            label,
            help,
            field,
            object,
            ..
        } = diagnostic;
        let place = label.as_ref().map_or(String::new(), |label| {
            let (file, location) = sources.location(label.span);
            let shown = sources.slice(label.span).escape_debug();
            format!("{file}:{location} `{shown}` ({})", label.text)
        });
        writeln!(out, "{} {severity} {place}", code.id).unwrap();
        if let Some(object) = object {
            write!(out, "  {object}").unwrap();
        }
        writeln!(out, "  {}", field.as_deref().unwrap_or("-")).unwrap();
        writeln!(out, "  {message}").unwrap();
        if let Some(help) = help {
            writeln!(out, "  help: {help}").unwrap();
        }
    }
    out
}

/// Every case with each of its values replaced by another, and cut off at every line.
#[test]
fn damaged_manifests_are_read_without_a_panic() {
    const VALUES: [&str; 10] = [
        "", "[]", "{}", "-1", "1e400", "\"é\"", "[[]]", "true", "[-]", "{a: {}}",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/invalid");
    let settings = Settings::default();
    for path in manifests(&folder) {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            check(
                "cut.yaml",
                lines[..index].join("\n").into_bytes(),
                &settings,
            );
            let Some((key, _)) = line.split_once(':') else {
                continue;
            };
            for value in VALUES {
                let mut damaged = lines.clone();
                let line = format!("{key}: {value}");
                damaged[index] = &line;
                check("damaged.yaml", damaged.join("\n").into_bytes(), &settings);
            }
        }
    }
}
