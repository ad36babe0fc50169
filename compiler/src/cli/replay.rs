//! `verdict replay`: what the policies say of recorded traffic.
//!
//! Records are answered as they are read, so that a trace may be longer than memory. A record that cannot be
//! read or understood has an error for an answer; the exit code is then 2, unless `--keep-going` is given.

use super::args::{EngineName, Global, Replay, ReplayFormat};
use super::output::{self, Answer, Style};
use super::progress::Progress;
use super::render::{json, replay as render};
use super::session::Session;
use super::{Answered, Failure};
use crate::engine::{Engine, EngineKind};
use crate::explain::Context;
use crate::trace::{self, Options, Outcome};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

/// How much of a trace is read at once, in bytes.
const BUFFER: usize = 1 << 18;

pub(super) fn run(global: &Global, replay: &Replay) -> Result<Answered, Failure> {
    let stdin = Path::new("-");
    if replay.trace == stdin && replay.inputs.paths.iter().any(|path| path == stdin) {
        return Err(Failure::Usage(
            "standard input is either a manifest or the trace, not both".into(),
        ));
    }
    let session = Session::open(global, &replay.inputs);
    session.answerable(global)?;
    let outcome = match replay.format {
        ReplayFormat::Jsonl => with_replies(global, replay, &session)?,
        ReplayFormat::Human | ReplayFormat::Json => counted(global, replay, &session)?,
    };
    let Some(outcome) = outcome else {
        return Ok(Answered::Yes);
    };
    let name = replay.trace.display().to_string();
    output::remark(&render::problems(&outcome, &name, global.verbose));
    if !outcome.problems.is_empty() && !global.keep_going {
        return Err(Failure::Input);
    }
    Ok((outcome.disagreeing == 0).into())
}

/// A reply for each record, and the counts beside them where they are wanted. `None` where the reader of the
/// replies has gone away.
fn with_replies(
    global: &Global,
    replay: &Replay,
    session: &Session,
) -> Result<Option<Outcome>, Failure> {
    let mut done = None;
    let failed = Cell::new(false);
    let trace = open(&replay.trace)?;
    let written = Answer::new(global).write(|out| {
        let outcome = ask(replay, session, marked(trace, &failed), &mut &mut *out)?;
        done = Some(outcome);
        Ok(())
    });
    told(written, &failed, &replay.trace)?;
    if let (Some(outcome), true) = (&done, replay.summary) {
        let style = Style::of_stderr(global.color);
        output::remark(&render::summary(outcome, style, true, global.verbose));
    }
    Ok(done)
}

/// The counts alone.
fn counted(
    global: &Global,
    replay: &Replay,
    session: &Session,
) -> Result<Option<Outcome>, Failure> {
    let outcome = {
        let _progress = Progress::start(global, "replaying");
        let failed = Cell::new(false);
        let trace = open(&replay.trace)?;
        ask(replay, session, marked(trace, &failed), &mut io::sink())
            .map_err(|error| Failure::Read(replay.trace.clone(), error))?
    };
    let answer = Answer::new(global);
    if replay.format == ReplayFormat::Json {
        let report = render::ReplaySummary::new(&outcome, session.incomplete());
        answer.write(|out| json::line(&report, out))?;
    } else {
        let style = Style::of_answer(global);
        let text = render::summary(&outcome, style, replay.summary, global.verbose);
        answer.write(|out| out.write_all(text.as_bytes()))?;
    }
    Ok(Some(outcome))
}

fn ask(
    replay: &Replay,
    session: &Session,
    trace: impl BufRead,
    out: &mut impl Write,
) -> io::Result<Outcome> {
    let loaded = &session.loaded;
    let context = Context {
        sources: &session.sources,
        cluster: &loaded.cluster,
        policies: &loaded.policies,
    };
    let kind = match replay.engine {
        EngineName::Spec => EngineKind::Spec,
        EngineName::Ir => EngineKind::Ir,
    };
    let engine = Engine::new(kind, &loaded.cluster, &loaded.policies);
    let options = Options {
        replies: replay.format == ReplayFormat::Jsonl,
        ..Options::default()
    };
    trace::replay(context, &engine, options, trace, out)
}

fn open(path: &Path) -> Result<Box<dyn Read>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    match File::open(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(Failure::Read(path.into(), error)),
    }
}

/// A reader that remembers whether it failed: an error of the writer is another thing.
struct Marked<'a> {
    inner: Box<dyn Read>,
    failed: &'a Cell<bool>,
}

impl Read for Marked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner
            .read(buffer)
            .inspect_err(|error| self.failed.set(error.kind() != io::ErrorKind::Interrupted))
    }
}

fn marked(inner: Box<dyn Read>, failed: &Cell<bool>) -> BufReader<Marked<'_>> {
    BufReader::with_capacity(BUFFER, Marked { inner, failed })
}

/// Blames the trace where it was the trace that failed.
fn told(written: Result<(), Failure>, failed: &Cell<bool>, trace: &Path) -> Result<(), Failure> {
    match written {
        Err(Failure::Write(_, error)) if failed.get() => {
            Err(Failure::Read(trace.to_owned(), error))
        }
        written => written,
    }
}
