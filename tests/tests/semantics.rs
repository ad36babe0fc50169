//! Our own tables: each pair of files in `testdata/semantics` is a case, manifests and flows with the verdict
//! that is expected. Every engine must give it, and the same rules.
//!
//! A comment `#! cidr-matches-pods=false` in the manifests makes a setting.

use std::fs;
use std::path::{Path, PathBuf};
use verdict_compiler::engine::EngineKind;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::source::{SourceFile, Sources};
use verdict_tests::asking::Asked;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/semantics")
}

fn settings(text: &str) -> Settings {
    let mut settings = Settings::default();
    for setting in text.lines().filter_map(|line| line.strip_prefix("#! ")) {
        let mut sources = Sources::default();
        let file = sources.add(SourceFile::new("--set", setting.as_bytes().to_vec()).unwrap());
        let problems = settings.set(file, setting);
        assert!(problems.is_empty(), "{setting}: {problems:?}");
    }
    settings
}

fn faults(manifests: &Path) -> Vec<String> {
    let name = manifests
        .file_stem()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    let text = fs::read(manifests).unwrap();
    let flows = fs::read_to_string(manifests.with_extension("jsonl")).unwrap();
    let settings = settings(&String::from_utf8_lossy(&text));
    let asked = Asked::of(vec![(format!("{name}.yaml"), text)], &settings);
    let mut faults = asked.errors();
    let mut answers = Vec::new();
    for kind in EngineKind::ALL {
        let (replies, outcome) = asked.replay(kind, &flows).unwrap();
        let problems = outcome.problems.iter();
        faults.extend(
            problems.map(|problem| format!("{:?}: {}", problem.place, problem.diagnostic.message)),
        );
        faults.extend(
            outcome
                .changes
                .iter()
                .map(|(change, _)| format!("{kind}: {change}")),
        );
        if outcome.agreeing != flows.lines().count() as u64 {
            faults.push("not every line has an `expect` that holds".into());
        }
        answers.push(replies);
    }
    answers.dedup();
    if answers.len() > 1 {
        faults.push("the engines give different rules".into());
    }
    faults
        .iter()
        .map(|fault| format!("{name}: {fault}"))
        .collect()
}

#[test]
fn every_table_holds_on_every_engine() {
    let entries = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (manifests, mut others): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    others.retain(|path| !manifests.contains(&path.with_extension("yaml")));
    assert!(others.is_empty(), "flows without manifests: {others:?}");
    assert!(
        manifests.len() >= 40,
        "only {} cases were found",
        manifests.len()
    );
    let faults: Vec<String> = manifests.iter().flat_map(|path| faults(path)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
