//! `verdict replay`: recorded traffic, record by record or in sum.
//!
//! Standard output has one JSON object a record (`jsonl`), one object of counts (`json`, or `jsonl` with
//! `--summary`), or the counts and the flows that disagree, for people. Lines without an answer are named on
//! standard error and make the exit code 2 unless `--keep-going` is given; all other lines are answered.

use super::args::{Global, Replay, ReplayFormat};
use super::compile::no_image;
use super::output::{self, Answer};
use super::progress::Progress;
use super::render::{clean, json};
use super::session::Session;
use super::{Answered, Failure, input};
use crate::diagnostic::{Diagnostic, codes};
use crate::engine::{Engine, EngineKind};
use crate::explain::Context;
use crate::trace::summary::Summary;
use crate::trace::{self, Options, Outcome, Problem};
use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// How much of a trace is read at once, in bytes.
const BUFFER_BYTES: usize = 1 << 20;

/// How many lines without an answer are named.
const MAX_NAMED: usize = 20;

pub(super) fn run(global: &Global, replay: &Replay) -> Result<Answered, Failure> {
    let stdin = Path::new("-");
    if replay.trace == stdin && replay.inputs.paths.iter().any(|path| path == stdin) {
        let message = "manifests and trace cannot both come from standard input";
        return Err(Failure::Usage(message.into()));
    }
    let trace = open(&replay.trace).map_err(|error| Failure::Read(replay.trace.clone(), error))?;
    let session = Session::open(global, &replay.inputs);
    let engine = session.engine(global, replay.engine, EngineKind::Ir)?;
    let asked = Asked {
        replay,
        session: &session,
        engine,
    };
    let outcome = answer(global, asked, trace)?;
    report_problems(&replay.trace, &outcome);
    if !outcome.problems.is_empty() && !global.keep_going {
        return Err(Failure::Input);
    }
    let certain = session.incomplete().is_empty() && outcome.assumed == 0;
    Ok((outcome.disagreeing == 0 && certain).into())
}

fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(Box::new(file))
}

/// A reader that remembers whether it failed: where the writer fails, that is another error.
struct Trace<'a> {
    inner: Box<dyn Read>,
    failed: &'a Cell<bool>,
}

impl Read for Trace<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer);
        read.inspect_err(|error| self.failed.set(error.kind() != io::ErrorKind::Interrupted))
    }
}

/// What is asked, of what, and who answers.
#[derive(Clone, Copy)]
struct Asked<'a> {
    replay: &'a Replay,
    session: &'a Session,
    engine: EngineKind,
}

/// Replays the trace and prints what is wanted of it.
fn answer(global: &Global, asked: Asked<'_>, inner: Box<dyn Read>) -> Result<Outcome, Failure> {
    let Asked {
        replay, session, ..
    } = asked;
    let mut outcome = Outcome::default();
    let loaded = &session.loaded;
    let (cluster, policies) = (&loaded.cluster, &loaded.policies);
    let engine = Engine::new(asked.engine, &session.sources, cluster, policies);
    let engine = engine.map_err(|error| {
        super::explain::say(global, session, &[no_image(cluster, policies, &error)]);
        Failure::Input
    })?;
    let failed = Cell::new(false);
    let is_empty = Cell::new(false);
    let trace = Trace {
        inner,
        failed: &failed,
    };
    let trace = BufReader::with_capacity(BUFFER_BYTES, trace);
    let written = Answer::new(global).write(|mut out| {
        let _progress = Progress::start(global, "replaying");
        outcome = replayed(asked, &engine, trace, &mut out)?;
        if outcome.records == 0 {
            is_empty.set(true);
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let summary = || Summary::of(&outcome, session.incomplete());
        match replay.format {
            ReplayFormat::Human => out.write_all(clean(&summary().to_string()).as_bytes()),
            ReplayFormat::Jsonl if !replay.summary => {
                session.remark_incomplete();
                Ok(())
            }
            ReplayFormat::Json | ReplayFormat::Jsonl => json::line(&summary(), out),
        }
    });
    match written {
        Err(Failure::Write(_, error)) if failed.get() => {
            Err(Failure::Read(replay.trace.clone(), error))
        }
        Err(_) if is_empty.get() => {
            output::remark(&clean(&no_records(&replay.trace)));
            Err(Failure::Input)
        }
        written => written.map(|()| outcome),
    }
}

fn replayed(
    Asked {
        replay, session, ..
    }: Asked<'_>,
    engine: &Engine<'_>,
    trace: impl BufRead,
    out: &mut impl io::Write,
) -> io::Result<Outcome> {
    let context = Context {
        sources: &session.sources,
        cluster: &session.loaded.cluster,
        policies: &session.loaded.policies,
    };
    let options = Options {
        replies: replay.format == ReplayFormat::Jsonl && !replay.summary,
        ..Options::default()
    };
    trace::replay(context, engine, options, trace, out)
}

/// An empty trace agrees with everything: nothing was replayed, so that nothing is answered.
fn no_records(trace: &Path) -> String {
    let nothing = Diagnostic::new(&codes::NO_RECORDS, "the trace has no records")
        .help("is it the right file, and did the recorder write anything?");
    let mut text = String::new();
    let code = nothing.code.id;
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{}: {}[{code}]: {}",
        shown(trace),
        nothing.severity,
        nothing.message
    );
    if let Some(help) = &nothing.help {
        let _ = writeln!(text, "  = help: {help}");
    }
    text
}

/// A trace as it is named to people.
fn shown(trace: &Path) -> String {
    if trace == Path::new("-") {
        input::STDIN.into()
    } else {
        trace.display().to_string()
    }
}

/// Names the lines that have no answer.
fn report_problems(trace: &Path, outcome: &Outcome) {
    let mut text = String::new();
    for problem in outcome.problems.iter().take(MAX_NAMED) {
        describe(&mut text, trace, problem);
    }
    let named = outcome.problems.len().min(MAX_NAMED) as u64;
    let more = outcome.problems.len() as u64 + outcome.more_problems - named;
    if more > 0 {
        // Writing to a string does not fail.
        let _ = writeln!(text, "... and {more} more lines without an answer");
    }
    if !text.is_empty() {
        output::remark(&clean(&text));
    }
}

fn describe(text: &mut String, trace: &Path, problem: &Problem) {
    let Problem {
        line,
        column,
        excerpt,
        diagnostic,
    } = problem;
    let column = column
        .map(|column| format!(":{column}"))
        .unwrap_or_default();
    let code = diagnostic.code.id;
    let name = shown(trace);
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{name}:{line}{column}: {}[{code}]: {}\n  | {excerpt}",
        diagnostic.severity, diagnostic.message
    );
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(text, "  = help: {help}");
    }
}
