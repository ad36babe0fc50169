//! `verdict replay`: recorded traffic, record by record or in sum.
//!
//! Standard output has one JSON object a record (`jsonl`), one object of counts (`jsonl` with `--summary`), or
//! the counts and the flows that disagree, for people. Lines without an answer are named on standard error and
//! make the exit code 2; all other lines are answered.

use super::args::{Global, Replay, ReplayFormat};
use super::output::{self, Answer};
use super::progress::Progress;
use super::session::Session;
use super::{Answered, Failure};
use crate::engine::Engine;
use crate::explain::Context;
use crate::trace::summary::Summary;
use crate::trace::{self, Options, Outcome, Problem};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
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
    let trace = open(&replay.trace)?;
    let session = Session::open(global, &replay.inputs);
    session.answerable(global)?;
    let outcome = answer(global, replay, &session, trace)?;
    report_problems(&replay.trace, &outcome);
    if !outcome.problems.is_empty() {
        return Err(Failure::Input);
    }
    Ok((outcome.disagreeing == 0).into())
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            io::stdin(),
        )));
    }
    let failure = |error: io::Error| {
        Failure::Usage(format!(
            "the trace `{}` cannot be read: {error}",
            path.display()
        ))
    };
    let file = File::open(path).map_err(failure)?;
    if file.metadata().map_err(failure)?.is_dir() {
        return Err(Failure::Usage(format!(
            "the trace `{}` is a folder",
            path.display()
        )));
    }
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
}

/// Replays the trace and prints what is wanted of it.
fn answer(
    global: &Global,
    replay: &Replay,
    session: &Session,
    trace: Box<dyn BufRead>,
) -> Result<Outcome, Failure> {
    let context = Context {
        sources: &session.sources,
        cluster: &session.loaded.cluster,
        policies: &session.loaded.policies,
    };
    let engine = Engine::new(replay.engine.into(), context.cluster, context.policies);
    let options = Options {
        replies: replay.format == ReplayFormat::Jsonl && !replay.summary,
        ..Options::default()
    };
    let mut outcome = Outcome::default();
    Answer::new(global).write(|mut out| {
        let _progress = Progress::start(global, "replaying");
        outcome = trace::replay(context, &engine, options, trace, &mut out)?;
        match replay.format {
            ReplayFormat::Human => out.write_all(Summary::of(&outcome).to_string().as_bytes()),
            ReplayFormat::Jsonl if replay.summary => {
                serde_json::to_writer(&mut *out, &Summary::of(&outcome))?;
                out.write_all(b"\n")
            }
            ReplayFormat::Jsonl => Ok(()),
        }
    })?;
    Ok(outcome)
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
        output::remark(&text);
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
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{}:{line}{column}: {}[{code}]: {}\n  | {excerpt}",
        trace.display(),
        diagnostic.severity,
        diagnostic.message
    );
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(text, "  = help: {help}");
    }
}
