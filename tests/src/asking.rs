//! Manifests from disk, and what an engine answers about them.

use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use verdict_compiler::engine::{Engine, EngineKind};
use verdict_compiler::explain::Context;
use verdict_compiler::frontend::load::{Loaded, load};
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::source::{SourceFile, Sources};
use verdict_compiler::trace::{self, Options, Outcome};

/// Texts with what they say.
#[derive(Debug)]
pub struct Asked {
    /// The texts.
    pub sources: Sources,
    /// What they say.
    pub loaded: Loaded,
}

impl Asked {
    /// Reads manifests: files, and folders with all below them.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn read(paths: &[PathBuf], settings: &Settings) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            walk(path, &mut files)?;
        }
        let mut texts = Vec::new();
        for file in files {
            texts.push((file.display().to_string(), std::fs::read(&file)?));
        }
        Ok(Self::of(texts, settings))
    }

    /// Reads manifests from memory: names with texts.
    #[must_use]
    pub fn of(texts: Vec<(String, Vec<u8>)>, settings: &Settings) -> Self {
        let mut sources = Sources::default();
        for (name, bytes) in texts {
            if let Ok(file) = SourceFile::new(name, bytes) {
                sources.add(file);
            }
        }
        let loaded = load(&sources, settings);
        Self { sources, loaded }
    }

    /// What replaying draws on.
    #[must_use]
    pub fn context(&self) -> Context<'_> {
        Context {
            sources: &self.sources,
            cluster: &self.loaded.cluster,
            policies: &self.loaded.policies,
        }
    }

    /// By what traces are judged.
    #[must_use]
    pub fn asked<'a>(&'a self, engine: &'a Engine<'a>) -> trace::Asked<'a> {
        trace::Asked {
            context: self.context(),
            engine,
            settings: &self.loaded.settings,
        }
    }

    /// Replays a trace: the replies as text, and the outcome.
    ///
    /// # Errors
    /// Where an image has no room for something.
    pub fn replay(&self, kind: EngineKind, trace: &str) -> io::Result<(String, Outcome)> {
        self.replay_as(kind, Options::default(), trace.as_bytes())
    }

    /// Replays a trace, of whatever kind, as the options say.
    ///
    /// # Errors
    /// Where an image has no room for something.
    pub fn replay_as(
        &self,
        kind: EngineKind,
        options: Options,
        trace: &[u8],
    ) -> io::Result<(String, Outcome)> {
        let context = self.context();
        let engine = Engine::new(kind, context.sources, context.cluster, context.policies);
        let engine = engine.map_err(|error| io::Error::other(error.error.to_string()))?;
        let mut replies = Vec::new();
        let outcome = trace::replay(self.asked(&engine), options, trace, &mut replies)?;
        Ok((String::from_utf8_lossy(&replies).into_owned(), outcome))
    }

    /// The errors of the texts, one a line.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        use verdict_compiler::diagnostic::Severity;
        let errors = self.loaded.diagnostics.iter();
        errors
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .map(|diagnostic| format!("{} {}", diagnostic.code.id, diagnostic.message))
            .collect()
    }
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in path.read_dir()? {
        entries.push(entry?.path());
    }
    entries.sort();
    for entry in entries {
        let manifest = ["yaml", "yml", "json"];
        let extension = entry.extension().and_then(|extension| extension.to_str());
        if entry.is_dir() || extension.is_some_and(|extension| manifest.contains(&extension)) {
            walk(&entry, files)?;
        }
    }
    Ok(())
}

/// The folder of the conformance vectors: where `VERDICT_VECTORS` says, or beside the workspace. `None`, and a message,
/// where there is none beside it.
///
/// # Panics
/// Where the variable names no folder: a test that was asked for is not passed over.
#[must_use]
pub fn vectors() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("VERDICT_VECTORS") {
        let folder = PathBuf::from(folder);
        assert!(
            folder.is_dir(),
            "VERDICT_VECTORS: no folder {}",
            folder.display()
        );
        return Some(folder);
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    if !beside.is_dir() {
        println!("skipped: there is no folder ../shared/vectors, and VERDICT_VECTORS names none");
        return None;
    }
    Some(beside)
}

/// The cases of a source among the vectors.
///
/// # Errors
/// Where they cannot be read or are not JSON.
pub fn cases(vectors: &Path, source: &str) -> io::Result<Vec<Value>> {
    let text = std::fs::read_to_string(vectors.join(source).join("cases.jsonl"))?;
    text.lines()
        .map(|line| serde_json::from_str(line).map_err(io::Error::other))
        .collect()
}
