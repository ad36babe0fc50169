//! What every command does first: settings, texts, and all that the library makes of them.
//!
//! Input: the options and the paths. Output: [`Session`], with every problem of settings, paths and texts in
//! one list. [`Session::answerable`] decides whether a question may be answered, and says what stands in its
//! way.

use super::args::{EngineName, Global, Inputs};
use super::output::{self, Style};
use super::progress::Progress;
use super::render::{Report, human};
use super::{Failure, dialect, input};
use crate::diagnostic::{Code, Diagnostic, ObjectRef, Severity, codes};
use crate::engine::EngineKind;
use crate::frontend::load::{self, Loaded};
use crate::frontend::settings::Settings;
use crate::ir::Program;
use crate::source::{FileId, SourceFile, Sources, to_u32};
use std::collections::HashSet;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The name of a settings file.
const SETTINGS_FILE: &str = "verdict.toml";

/// The texts of one run and what they say.
#[derive(Debug)]
pub(super) struct Session {
    /// The manifests, then the texts with settings.
    pub(super) sources: Sources,
    /// What the manifests say; its diagnostics have been moved out.
    pub(super) loaded: Loaded,
    /// Everything there is to say, in the order in which it is shown.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// How many files were read.
    pub(super) files: usize,
    /// The policies resolved over the cluster, once something asked for them.
    program: OnceLock<Program>,
}

impl Session {
    /// Reads settings and manifests. A session lasts until the command ends: a million small boxes are given back by the end of the
    /// process sooner than one by one, and nothing of a session has anything to do when it goes.
    pub(super) fn open(global: &Global, inputs: &Inputs) -> ManuallyDrop<Self> {
        Self::open_by(
            global,
            inputs,
            || (),
            |(), sources, settings| load::load(sources, settings),
        )
    }

    /// The same, by another way from texts to what they say, of which one part needs no texts.
    pub(super) fn open_by<T: Send>(
        global: &Global,
        inputs: &Inputs,
        prepare: impl FnOnce() -> T + Send,
        load: impl FnOnce(T, &Sources, &Settings) -> Loaded,
    ) -> ManuallyDrop<Self> {
        let (texts, prepared) = rayon::join(|| Texts::read(global, inputs), prepare);
        let load = |sources: &Sources, settings: &Settings| load(prepared, sources, settings);
        let loaded = texts.loaded(global, load);
        ManuallyDrop::new(texts.say(global, loaded))
    }

    /// The policies resolved over the cluster: made once.
    pub(super) fn program(&self) -> &Program {
        let Loaded {
            cluster, policies, ..
        } = &self.loaded;
        self.program
            .get_or_init(|| Program::resolve(cluster, policies))
    }

    /// All that was found, for a renderer.
    pub(super) fn report(&self) -> Report<'_> {
        Report {
            sources: &self.sources,
            diagnostics: &self.diagnostics,
            files: self.files,
            objects: self.loaded.objects,
        }
    }

    /// Drops the errors that another session has as well, such as those of a settings file that both found: that one
    /// tells them.
    pub(super) fn leave_out_errors_of(&mut self, other: &Self) {
        let told = |session: &Self, one: &Diagnostic| {
            let span = one.label.as_ref().map(|label| label.span);
            let file = span.and_then(|span| session.sources.get(span.file));
            let place = file
                .zip(span)
                .map(|(file, span)| (file.name().to_owned(), span.start));
            (one.code.id, one.message.clone(), one.file.clone(), place)
        };
        let errors = other.diagnostics.iter().filter(|one| is_error(one));
        let known: HashSet<_> = errors.map(|one| told(other, one)).collect();
        let all = std::mem::take(&mut self.diagnostics);
        self.diagnostics = all
            .into_iter()
            .filter(|one| !(is_error(one) && known.contains(&told(self, one))))
            .collect();
    }

    /// Whether something could not be looked at at all, so that even `check` did not do its work.
    pub(super) fn could_not_look(&self) -> bool {
        let mut errors = self.diagnostics.iter().filter(|one| is_error(one));
        errors.any(|one| prevents_looking(one.code))
    }

    /// Lets a question be answered, after what must be said about the input.
    ///
    /// # Errors
    /// Where the input has errors that `--keep-going` does not pass over.
    pub(super) fn answerable(&self, global: &Global) -> Result<(), Failure> {
        let style = Style::of_stderr(global.common.color);
        let errors = self.diagnostics.iter().any(is_error);
        output::remark(&human::before_answer(&self.report(), style, global));
        if errors && (self.could_not_look() || !global.keep_going) {
            output::remark(&refusal(self.could_not_look()));
            return Err(Failure::Input);
        }
        Ok(())
    }

    /// As [`Session::answerable`], for what is told of images.
    ///
    /// # Errors
    /// Also where there is something in the dialect that images do not have.
    pub(super) fn imageable(&self, global: &Global) -> Result<(), Failure> {
        self.answerable(global)?;
        self.unless(global, dialect::not_in_images(self))
    }

    fn unless(&self, global: &Global, why: Option<String>) -> Result<(), Failure> {
        let Some(why) = why else { return Ok(()) };
        let dialect = self.loaded.settings.dialect;
        let message = format!("this is not answered in the dialect `{dialect}` {why}");
        let diagnostics = [Diagnostic::new(&codes::DIALECT_NOT_JUDGED, message)
            .help("`explain` and `replay` answer, where no engine is asked for")];
        let report = Report {
            diagnostics: &diagnostics,
            ..self.report()
        };
        output::remark(&human::question(
            &report,
            Style::of_stderr(global.common.color),
            global,
        ));
        Err(Failure::Input)
    }

    /// Lets a question be answered by an engine: the one that is asked for, else one that can.
    ///
    /// # Errors
    /// As [`Session::answerable`]; and where the engine that is asked for cannot answer.
    pub(super) fn engine(
        &self,
        global: &Global,
        asked: Option<EngineName>,
        default: EngineKind,
    ) -> Result<EngineKind, Failure> {
        self.answerable(global)?;
        let Some(asked) = asked.map(EngineKind::from) else {
            let is_able = dialect::not_by(default, self).is_none();
            return Ok(if is_able { default } else { EngineKind::Ir });
        };
        self.unless(global, dialect::not_by(asked, self))?;
        Ok(asked)
    }

    /// Says what is missing from the input, beside answers that have no room for it.
    pub(super) fn remark_incomplete(&self) {
        for left_out in self.incomplete() {
            output::remark(&format!("incomplete answer: {left_out}\n"));
        }
    }

    /// What is missing from the input, so that answers may be others.
    pub(super) fn incomplete(&self) -> Vec<String> {
        let loaded = &self.loaded;
        let is_broken = |one: &Diagnostic| is_error(one) && !is_incomplete(one.code);
        let errors = self.diagnostics.iter().any(is_broken);
        let mut missing = Vec::new();
        if !loaded.unsupported.is_empty() {
            let names = names(&loaded.unsupported);
            missing.push(format!("policies of kinds that are not read: {names}"));
        }
        if !loaded.unusable.is_empty() {
            let names = names(&loaded.unusable);
            missing.push(format!("policies without a defined meaning: {names}"));
        }
        if !loaded.foreign.is_empty() {
            let (dialect, names) = (loaded.settings.dialect, names(&loaded.foreign));
            missing.push(format!(
                "policies that the dialect `{dialect}` does not have: {names}"
            ));
        }
        if !loaded.refused.is_empty() {
            let names = names(&loaded.refused);
            missing.push(format!("objects that have errors: {names}"));
        }
        if !loaded.mendable.is_empty() {
            let names = names(&loaded.mendable);
            missing.push(format!(
                "objects that count here, though no cluster takes them as they are: {names}"
            ));
        }
        if errors && loaded.refused.is_empty() && loaded.mendable.is_empty() {
            missing.push("documents that have errors".into());
        }
        missing
    }
}

/// The texts of one run, before it is known what they say.
struct Texts {
    sources: Sources,
    settings: SettingsTexts,
    diagnostics: Vec<Diagnostic>,
}

impl Texts {
    fn read(global: &Global, inputs: &Inputs) -> Self {
        let (sources, diagnostics) = read(global, inputs);
        let settings = SettingsTexts::read(global, &inputs.paths, sources.iter().len());
        Self {
            sources,
            settings,
            diagnostics,
        }
    }

    fn loaded(&self, global: &Global, load: impl FnOnce(&Sources, &Settings) -> Loaded) -> Loaded {
        let _progress = Progress::start(global, "checking");
        load(&self.sources, &self.settings.settings)
    }

    /// Puts together what there is to say.
    fn say(self, global: &Global, mut loaded: Loaded) -> Session {
        let Self {
            mut sources,
            settings,
            mut diagnostics,
        } = self;
        let files = sources.iter().len();
        diagnostics.extend(settings.diagnostics);
        diagnostics.extend(settings.settings.without_effect());
        diagnostics.append(&mut loaded.diagnostics);
        sources.hide(&loaded.secrets);
        if loaded.documents == 0 && !diagnostics.iter().any(is_error) {
            diagnostics.push(input::nothing_in_files(&sources));
        }
        for text in settings.texts {
            sources.add(text);
        }
        if global.strict {
            diagnostics.iter_mut().for_each(make_strict);
        }
        diagnostics.sort_by(|one, other| one.order().cmp(&other.order()));
        Session {
            sources,
            loaded,
            diagnostics,
            files,
            program: OnceLock::new(),
        }
    }
}

/// Reads the manifests alone.
pub(super) fn read(global: &Global, inputs: &Inputs) -> (Sources, Vec<Diagnostic>) {
    let progress = Progress::start(global, "reading files");
    let texts = input::read(&inputs.paths, global.output.as_deref(), &progress);
    (texts.sources, texts.diagnostics)
}

pub(super) fn is_error(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity == Severity::Error
}

/// Problems that leave something unseen, or unclear by what rules to see it.
fn prevents_looking(code: &Code) -> bool {
    [
        &codes::UNREADABLE,
        &codes::TOO_LARGE,
        &codes::NOTHING_TO_READ,
        &codes::SETTINGS_SYNTAX,
        &codes::UNKNOWN_SETTING,
        &codes::SETTING_VALUE,
        &codes::DIALECT_NOT_READ,
    ]
    .contains(&code)
}

/// What makes every answer incomplete: it is said even to those who want it quiet.
pub(super) fn is_incomplete(code: &Code) -> bool {
    [
        &codes::UNSUPPORTED_POLICY,
        &codes::UNUSABLE_VALUE,
        &codes::FOREIGN_POLICY,
    ]
    .contains(&code)
}

/// Whatever is left out is an error.
fn make_strict(diagnostic: &mut Diagnostic) {
    if is_incomplete(diagnostic.code) || *diagnostic.code == codes::UNKNOWN_KIND {
        diagnostic.severity = Severity::Error;
    }
}

fn refusal(could_not_look: bool) -> String {
    if could_not_look {
        "no answer: part of the input could not be read\n".into()
    } else {
        "no answer: the input has errors (`--keep-going` leaves out the objects that have them)\n"
            .into()
    }
}

/// Some objects in one line of a bounded length.
fn names(objects: &[ObjectRef]) -> String {
    const NAMED: usize = 8;
    let named = objects.iter().take(NAMED).map(ToString::to_string);
    let text = named.collect::<Vec<_>>().join(", ");
    match objects.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// The settings with the texts that they come from.
struct SettingsTexts {
    settings: Settings,
    /// The texts in the order of their file ids, which follow those of the manifests.
    texts: Vec<SourceFile>,
    diagnostics: Vec<Diagnostic>,
    next: usize,
}

impl SettingsTexts {
    fn read(global: &Global, paths: &[PathBuf], files: usize) -> Self {
        let mut all = Self {
            settings: Settings::default(),
            texts: Vec::new(),
            diagnostics: Vec::new(),
            next: files,
        };
        if let Some(path) = global.settings.first().cloned().or_else(|| find(paths)) {
            let taken = path == Path::new("-") && paths.contains(&path);
            let text = if taken {
                Err(Box::new(input::stdin_twice()))
            } else {
                input::file(&path)
            };
            match text {
                Ok(text) => all.add(text, Settings::read),
                Err(diagnostic) => all.diagnostics.push(*diagnostic),
            }
        }
        for setting in &global.set {
            // The text of an argument is UTF-8 and short.
            if let Ok(text) = SourceFile::new("--set", setting.clone().into_bytes()) {
                all.add(text, Settings::set);
            }
        }
        all
    }

    fn add(&mut self, text: SourceFile, take: fn(&mut Settings, FileId, &str) -> Vec<Diagnostic>) {
        let found = take(&mut self.settings, FileId(to_u32(self.next)), text.text());
        self.diagnostics.extend(found);
        self.texts.push(text);
        self.next += 1;
    }
}

/// The settings file that is nearest above the first path.
fn find(paths: &[PathBuf]) -> Option<PathBuf> {
    let first = paths.first()?;
    let start = if first == Path::new("-") {
        Path::new(".")
    } else {
        first
    };
    let real = std::fs::canonicalize(start).ok()?;
    let found = real
        .ancestors()
        .map(|folder| folder.join(SETTINGS_FILE))
        .find(|path| path.symlink_metadata().is_ok() && !path.is_dir())?;
    let here = std::env::current_dir().ok();
    let short = here.and_then(|here| Some(found.strip_prefix(here).ok()?.to_owned()));
    Some(short.unwrap_or(found))
}
