//! What `explain` says, question by question: `testdata/explain` holds manifests and questions, `snapshots`
//! the answers. Every engine gives them.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at what is not as it should be"
)]

use serde::Deserialize;
use std::path::{Path, PathBuf};
use verdict_compiler::cluster::peer::{self, PeerSpec, PortSpec, Resolved};
use verdict_compiler::diagnostic::Diagnostic;
use verdict_compiler::engine::{Engine, EngineKind};
use verdict_compiler::explain::{Asking, Context};
use verdict_compiler::frontend::load::{self, Loaded};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::source::{FileId, SourceFile, Sources};
use verdict_compiler::suggest;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Questions {
    question: Vec<Question>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    name: String,
    from: String,
    to: String,
    port: String,
    #[serde(default)]
    settings: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| ending.is_empty() || path.extension().is_some_and(|own| own == ending))
        .collect();
    files.sort();
    files
}

fn load(folder: &Path, settings: &[String]) -> (Sources, Loaded) {
    let mut sources = Sources::default();
    for path in files(folder, "yaml") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        sources.add(SourceFile::new(name, bytes).unwrap());
    }
    let mut set = Settings::default();
    for setting in settings {
        assert!(set.set(FileId(0), setting).is_empty(), "{setting}");
    }
    let loaded = load::load(&sources, &set);
    let errors: Vec<_> = loaded.diagnostics.iter().map(|one| &one.message).collect();
    assert!(!loaded.has_errors(), "{}: {errors:?}", folder.display());
    (sources, loaded)
}

fn answer(folder: &Path, question: &Question, engine: EngineKind) -> String {
    let (sources, loaded) = load(folder, &question.settings);
    let context = Context {
        sources: &sources,
        cluster: &loaded.cluster,
        policies: &loaded.policies,
    };
    let engine = Engine::new(engine, context.sources, context.cluster, context.policies).unwrap();
    let asking = Asking {
        context,
        engine: &engine,
    };
    let resolve = |text: &str| -> Result<Vec<Resolved>, Vec<Diagnostic>> {
        let spec = PeerSpec::parse(text).map_err(|problem| vec![*problem])?;
        peer::resolve(&loaded.cluster, &spec).map_err(|problem| vec![*problem])
    };
    let asked = || {
        let (from, to) = (resolve(&question.from)?, resolve(&question.to)?);
        let port = PortSpec::parse(&question.port).map_err(|problem| vec![*problem])?;
        suggest::ask(asking, &from, &to, &port)
    };
    match asked() {
        Ok(explanation) => serde_json::to_string_pretty(&explanation).unwrap(),
        Err(problems) => problems
            .iter()
            .map(|problem| {
                let help = problem.help.as_deref().unwrap_or("-");
                format!("{} {}\nhelp: {help}", problem.code.id, problem.message)
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[test]
fn questions_are_answered() {
    let mut asked = 0;
    for folder in files(&root().join("testdata/explain"), "") {
        let world = folder.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(folder.join("questions.toml")).unwrap();
        let questions: Questions = toml::from_str(&text).unwrap();
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(root().join("snapshots/explain").join(world));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        for question in &questions.question {
            asked += 1;
            let mut shown = format!(
                "{world}: --from {} --to {} --port {}",
                question.from, question.to, question.port
            );
            for setting in &question.settings {
                shown.push_str(&format!(" --set {setting}"));
            }
            shown.push_str("\n====\n");
            let [spec, ir, image] = EngineKind::ALL.map(|engine| answer(&folder, question, engine));
            assert_eq!(spec, ir, "{world}: {}", question.name);
            assert_eq!(spec, image, "{world}: {}", question.name);
            shown.push_str(&spec);
            let name = question.name.replace(' ', "-");
            settings.bind(|| insta::assert_snapshot!(name, shown));
        }
    }
    assert!(asked >= 30, "only {asked} questions");
}
