//! `verdict replay`: recorded traffic, record by record, put together, or in sum.
//!
//! Standard output has one JSON object a record or group (`jsonl`), one object of counts (`json`, or `jsonl` with
//! `--summary`), or the same as text. Lines without an answer and defects of captures are named on standard error and make
//! the exit code 2 unless `--keep-going` is given; everything else is answered.

mod problems;

use super::args::{Decapsulate, Global, Inputs, Replay, ReplayFormat};
use super::compile::no_image;
use super::diff::{lacking, of_side};
use super::input;
use super::output::{self, Answer};
use super::progress::Progress;
use super::render::{clean, json};
use super::session::Session;
use super::traces;
use super::{Answered, Failure};
use crate::cluster::Cluster;
use crate::compile::NodeError;
use crate::engine::{Engine, EngineKind};
use crate::explain::Context;
use crate::ir::Program;
use crate::trace::summary::Summary;
use crate::trace::{self, Asked, Denied, Options, Outcome, Tunnels};
use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, BufReader, Read, Write};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How much of a trace is read at once, in bytes.
const BUFFER_BYTES: usize = 1 << 20;

pub(super) fn run(global: &Global, replay: &Replay) -> Result<Answered, Failure> {
    check_stdin(replay)?;
    let files = traces::files(&replay.trace)?;
    if let Some(denied) = &replay.write_denied {
        if denied == Path::new("-") {
            let message = "`--write-denied` takes a file: standard output is for the answer";
            return Err(Failure::Usage(message.into()));
        }
        let inputs = replay.inputs.paths.iter().chain(&replay.against);
        let read = files.iter().chain(inputs).chain(&global.settings);
        let written = global.output.as_ref();
        if input::is_read(read, denied)
            || written.is_some_and(|path| path == denied || output::is_same(path, denied))
        {
            let denied = denied.display();
            let message = format!(
                "`{denied}` is read or written already, and `--write-denied` would overwrite it"
            );
            return Err(Failure::Usage(message));
        }
    }
    // A pipe is opened once: whoever writes it sees it end when it is closed.
    for file in files.iter().filter(|file| !is_pipe(file)) {
        traces::open(file).map_err(|error| Failure::Read(file.clone(), error))?;
    }
    let session = Session::open(global, &replay.inputs);
    let kind = session.engine(global, replay.engine, EngineKind::Image)?;
    let old = match &replay.against {
        Some(path) => Some(Old::open(global, replay, path, &session)?),
        None => None,
    };
    let outcome = match &old {
        Some(old) => {
            let clusters = clusters(global, replay, &session, &old.session);
            let (new, old) = (
                Side::of(&session, &clusters.0, kind),
                Side::of(&old.session, &clusters.1, old.kind),
            );
            let rooms = (OnceLock::new(), OnceLock::new());
            let engine = new.engine(global, &rooms.0)?;
            let before = old.engine(global, &rooms.1)?;
            let sides = (new.asked(&engine), Some(old.asked(&before)));
            let outcome = answer(global, replay, &files, &session, sides)?;
            old.check(global, &before)?;
            new.check(global, &engine)?;
            outcome
        }
        None => {
            let new = Side::of(&session, &session.loaded.cluster, kind);
            let room = OnceLock::new();
            let engine = new.engine(global, &room)?;
            let sides = (new.asked(&engine), None);
            let outcome = answer(global, replay, &files, &session, sides)?;
            new.check(global, &engine)?;
            outcome
        }
    };
    problems::report(&files, &outcome);
    if outcome.errors > 0 && !global.keep_going {
        return Err(Failure::Input);
    }
    let certain = session.incomplete().is_empty() && outcome.assumed == 0;
    Ok((outcome.disagreeing == 0 && certain).into())
}

/// Whether something is there that is neither a file nor a folder.
fn is_pipe(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn check_stdin(replay: &Replay) -> Result<(), Failure> {
    let stdin = Path::new("-");
    let paths = replay.inputs.paths.iter().chain(&replay.against);
    let inputs = paths.filter(|path| *path == stdin).count();
    let traces = replay.trace.iter().filter(|path| *path == stdin).count();
    let message = match (inputs, traces) {
        (0, _) | (_, 0) if inputs + traces < 2 => return Ok(()),
        (_, 2..) => "`-` is standard input, which can be read once only",
        (_, 1) => "manifests and trace cannot both come from standard input",
        (_, 0) => "`-` is standard input, and only one side of a comparison can be read from it",
    };
    Err(Failure::Usage(message.into()))
}

/// The clusters of the two sides, the new one first: a side that has none is judged on that of the other, and says so.
fn clusters<'s>(
    global: &Global,
    replay: &Replay,
    new: &'s Session,
    old: &'s Session,
) -> (Cow<'s, Cluster>, Cow<'s, Cluster>) {
    let [ours, theirs] = [new, old].map(|side| &side.loaded.cluster);
    let name = |paths: &[PathBuf]| {
        let names = paths
            .iter()
            .map(|path| format!("`{}`", traces::shown(path)));
        names.collect::<Vec<_>>().join(" ")
    };
    if !ours.pods().is_empty() || !theirs.pods().is_empty() {
        let against: Vec<PathBuf> = replay.against.iter().cloned().collect();
        for (cluster, name) in [(ours, name(&replay.inputs.paths)), (theirs, name(&against))] {
            super::explain::say(global, new, lacking(cluster, &name).as_slice());
        }
    }
    (of_side(ours, theirs), of_side(theirs, ours))
}

/// One set of policies with who judges by them.
struct Side<'a> {
    session: &'a Session,
    cluster: &'a Cluster,
    kind: EngineKind,
}

impl<'a> Side<'a> {
    fn of(session: &'a Session, cluster: &'a Cluster, kind: EngineKind) -> Self {
        Self {
            session,
            cluster,
            kind,
        }
    }

    fn context(&self) -> Context<'a> {
        Context {
            sources: &self.session.sources,
            cluster: self.cluster,
            policies: &self.session.loaded.policies,
        }
    }

    fn engine(&self, global: &Global, room: &'a OnceLock<Program>) -> Result<Engine<'a>, Failure> {
        let Context {
            sources,
            cluster,
            policies,
        } = self.context();
        let engine = Engine::lazy(self.kind, sources, cluster, policies, room);
        engine.map_err(|error| self.no_image(global, &error))
    }

    fn no_image(&self, global: &Global, error: &NodeError) -> Failure {
        let problem = no_image(self.cluster, &self.session.loaded.policies, error);
        super::explain::say(global, self.session, &[problem]);
        Failure::Input
    }

    /// That every image could be made that was asked for.
    fn check(&self, global: &Global, engine: &Engine<'_>) -> Result<(), Failure> {
        match engine.failure() {
            Some(error) => Err(self.no_image(global, error)),
            None => Ok(()),
        }
    }

    fn asked<'e>(&self, engine: &'e Engine<'e>) -> Asked<'e>
    where
        'a: 'e,
    {
        Asked {
            context: self.context(),
            engine,
            settings: &self.session.loaded.settings,
        }
    }
}

/// What is compared with.
struct Old {
    session: ManuallyDrop<Session>,
    kind: EngineKind,
}

impl Old {
    fn open(global: &Global, replay: &Replay, path: &Path, new: &Session) -> Result<Self, Failure> {
        let paths = vec![path.to_owned()];
        let session = Session::open(global, &Inputs { paths });
        let kind = session.engine(global, replay.engine, EngineKind::Image)?;
        if session.loaded.settings.dialect != new.loaded.settings.dialect {
            let message = "the two sides of `--against` have different dialects";
            output::remark(&format!("note: {message}\n"));
        }
        Ok(Self { session, kind })
    }
}

fn options(replay: &Replay) -> Options {
    let has = |tunnel| replay.decapsulate.contains(&tunnel);
    let lines = match replay.format {
        ReplayFormat::Jsonl => true,
        ReplayFormat::Human => replay.by.is_some(),
        ReplayFormat::Json => false,
    };
    Options {
        replies: lines && !replay.summary,
        by: replay.by.map(Into::into).unwrap_or_default(),
        human: replay.format == ReplayFormat::Human,
        tunnels: Tunnels {
            vxlan: has(Decapsulate::Vxlan),
            geneve: has(Decapsulate::Geneve),
        },
        dns: replay.dns.into(),
        ..Options::default()
    }
}

/// Replays the traces and prints what is wanted of them.
fn answer(
    global: &Global,
    replay: &Replay,
    files: &[PathBuf],
    session: &Session,
    sides: (Asked<'_>, Option<Asked<'_>>),
) -> Result<Outcome, Failure> {
    let run = |denied: Option<&mut Denied<'_>>| {
        let options = options(replay);
        let mut outcome = Outcome::default();
        let failed = RefCell::new(None);
        let mut is_empty = false;
        let written = Answer::new(global).write(|mut out| {
            let _progress = Progress::start(global, "replaying");
            let traces = Traces {
                files,
                failed: &failed,
            };
            outcome = traces.replay(sides, options, &mut out, denied)?;
            if outcome.records == 0 {
                is_empty = true;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            print(replay, session, &outcome, options.replies, out)
        });
        if let Some((path, error)) = failed.take() {
            return Err(Failure::Read(path, error));
        }
        if is_empty {
            problems::report(files, &outcome);
            output::remark(&clean(&problems::no_records(files, &replay.trace)));
            return Err(Failure::Input);
        }
        written.map(|()| outcome)
    };
    match &replay.write_denied {
        Some(path) => with_denied(path, run),
        None => run(None),
    }
}

/// Lets `run` write denied packets to a file, which is there whole or not at all.
fn with_denied(
    path: &Path,
    run: impl FnOnce(Option<&mut Denied<'_>>) -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let failure = |error| Failure::Write(path.to_owned(), error);
    let mut result = Err(Failure::Input);
    let staged = output::stage(path, |writer| {
        let mut denied = Denied::new(writer)?;
        result = run(Some(&mut denied));
        denied.finish()
    });
    let staged = staged.map_err(failure)?;
    let outcome = result?;
    staged.keep().map_err(failure)?;
    Ok(outcome)
}

/// Prints what stands behind the replies.
fn print(
    replay: &Replay,
    session: &Session,
    outcome: &Outcome,
    has_replies: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let summary = || Summary::of(outcome, session.incomplete(), replay.against.is_some());
    match replay.format {
        ReplayFormat::Human => {
            let gap = if has_replies { "\n" } else { "" };
            out.write_all(clean(&format!("{gap}{}", summary())).as_bytes())
        }
        ReplayFormat::Jsonl if !replay.summary => {
            session.remark_incomplete();
            Ok(())
        }
        ReplayFormat::Json | ReplayFormat::Jsonl => json::line(&summary(), out),
    }
}

/// The traces, and the one that could not be read to its end.
struct Traces<'a> {
    files: &'a [PathBuf],
    failed: &'a RefCell<Option<(PathBuf, io::Error)>>,
}

impl Traces<'_> {
    fn replay(
        &self,
        (asked, against): (Asked<'_>, Option<Asked<'_>>),
        options: Options,
        out: &mut dyn Write,
        mut denied: Option<&mut Denied<'_>>,
    ) -> io::Result<Outcome> {
        let mut replay = trace::Replay::new(asked, against, options);
        for path in self.files {
            let fail = |error: io::Error| {
                let kind = error.kind();
                self.failed.replace(Some((path.clone(), error)));
                io::Error::from(kind)
            };
            let inner = traces::open(path).map_err(fail)?;
            let trace = Trace { inner, fail: &fail };
            let trace = BufReader::with_capacity(BUFFER_BYTES, trace);
            replay.trace(trace, out, denied.as_deref_mut())?;
        }
        replay.finish(out)
    }
}

/// A reader that tells of its failure: where the writer fails, that is another error.
struct Trace<'a> {
    inner: Box<dyn Read>,
    fail: &'a dyn Fn(io::Error) -> io::Error,
}

impl Read for Trace<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err((self.fail)(error)),
            read => read,
        }
    }
}
