//! The command line: the only place with I/O.
//!
//! Input: the arguments of the process. Output: its exit code, the answer on standard output or in a file, and
//! everything else on standard error. A panic of ours is shown as what it is, a bug. The entry is [`main`];
//! each command is a module of its own name.

pub mod args;
mod bundle;
mod check;
mod compile;
mod dialect;
mod diff;
pub mod documents;
mod dump;
mod explain;
mod image;
mod input;
mod list;
mod output;
mod progress;
pub mod render;
mod replay;
mod traces;
pub mod schema;
mod session;

pub use bundle::{NotTaken, Signed, Taken, is_bundle, take};
pub use output::reason;

use crate::diagnostic::{Diagnostic, codes};
use crate::source::Sources;
use args::{Args, Color, Command, Common, Global};
use output::Style;
use std::ffi::OsString;
use std::panic::{self, PanicHookInfo, UnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

/// How a command ends that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Yes,
    No,
}

impl From<bool> for Answered {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The question makes no sense; what to say about it.
    Usage(String),
    /// This cannot be read.
    Read(PathBuf, std::io::Error),
    /// The answer cannot be written there.
    Write(PathBuf, std::io::Error),
    /// The input; everything has been said about it.
    Input,
}

/// Runs the command that the arguments ask for.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let code = reporting_bugs(move || run(&arguments));
    ExitCode::from(code)
}

/// Exit code: done, and the answer is yes.
pub const DONE: u8 = 0;
/// Exit code: done, and the answer is no.
pub const ANSWERED_NO: u8 = 1;
/// Exit code: not done.
pub const NOT_DONE: u8 = 2;

/// Shows diagnostics on standard error as every command does: for the programs of verdict that are others than
/// `verdict`.
pub fn tell(diagnostics: &[Diagnostic], color: Color) {
    let global = Global {
        settings: Vec::new(),
        set: Vec::new(),
        output: None,
        verbose: true,
        keep_going: false,
        strict: false,
        common: Common {
            quiet: false,
            exit_zero: false,
            color,
        },
    };
    let report = render::Report {
        sources: &Sources::default(),
        diagnostics,
        files: 0,
        objects: 0,
    };
    let style = Style::of_stderr(color);
    output::remark(&render::human::question(&report, style, &global));
}

fn run(arguments: &[OsString]) -> u8 {
    let args = match args::parse(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Where help cannot be printed, nobody reads it.
            let _ = error.print();
            return if error.use_stderr() { NOT_DONE } else { DONE };
        }
    };
    let exit_zero = args.global.common.exit_zero;
    match command(args) {
        Ok(Answered::Yes) => DONE,
        Ok(Answered::No) if exit_zero => DONE,
        Ok(Answered::No) => ANSWERED_NO,
        Err(failure) => {
            report(&failure);
            NOT_DONE
        }
    }
}

fn command(args: Args) -> Result<Answered, Failure> {
    let Args { command, global } = args;
    refuse_overwriting(&global, &command)?;
    let takes = usize::from(matches!(command, Command::Diff(_))) + 1;
    if global.settings.len() > takes {
        let message = if takes == 1 {
            "`--settings` is given once; `diff` alone takes it twice"
        } else {
            "`--settings` is given twice at most: for the side before the change and for the one behind it"
        };
        return Err(Failure::Usage(message.into()));
    }
    match command {
        Command::Check(check) => check::run(&global, &check),
        Command::Explain(explain) => explain::run(&global, &explain),
        Command::List(list) => list::run(&global, &list),
        Command::Diff(diff) => diff::run(&global, &diff),
        Command::Replay(replay) => replay::run(&global, &replay),
        Command::Compile(compile) => compile::run(&global, &compile),
        Command::Image(image) => image::run(&global, &image),
        Command::Dump(dump) => dump::run(&global, &dump),
        Command::Completions { shell } => documents::completions(&global, shell),
        Command::Man => documents::man(&global),
        Command::Schema { name } => schema::run(&global, name),
    }
}

/// An answer does not replace what it was made from.
fn refuse_overwriting(global: &Global, command: &Command) -> Result<(), Failure> {
    if let Command::Compile(args::Compile {
        inputs,
        out: Some(out),
        ..
    }) = command
    {
        let is_image = |path: &&PathBuf| {
            let parent = path.parent().unwrap_or(Path::new(""));
            let parent = if parent == Path::new("") {
                Path::new(".")
            } else {
                parent
            };
            let is_of_node = compile::cilium::is_of(path)
                && parent
                    .parent()
                    .is_some_and(|folder| output::is_same(folder, out));
            is_of_node
                || path.extension().is_some_and(|end| end == "image")
                    && output::is_same(parent, out)
        };
        if let Some(path) = inputs.paths.iter().find(is_image) {
            let path = path.display();
            let message = format!(
                "`{path}` is read, and what is compiled might take its place: move it, or set another `--out`"
            );
            return Err(Failure::Usage(message));
        }
    }
    let Some(output) = &global.output else {
        return Ok(());
    };
    if output == Path::new("-") {
        let message = "`--output` takes a file; without it the answer goes to standard output";
        return Err(Failure::Usage(message.into()));
    }
    let (paths, more): (&[PathBuf], Vec<&PathBuf>) = match command {
        Command::Check(check) => (&check.inputs.paths, Vec::new()),
        Command::Explain(explain) => (&explain.inputs.paths, Vec::new()),
        Command::List(list) => (&list.inputs.paths, Vec::new()),
        Command::Diff(diff) => (std::slice::from_ref(&diff.old), diff.new.iter().collect()),
        Command::Replay(replay) => (
            &replay.inputs.paths,
            replay.trace.iter().chain(&replay.against).collect(),
        ),
        Command::Compile(compile) => (&compile.inputs.paths, compile.bundle.sign.iter().collect()),
        Command::Image(args::Image::Inspect { images, .. }) => (images, Vec::new()),
        Command::Image(args::Image::Verify(verify)) => {
            let key = verify.terms.verify_key.iter();
            (&verify.against, key.chain([&verify.bundle]).collect())
        }
        Command::Image(args::Image::Diff(diff)) => {
            (std::slice::from_ref(&diff.old), vec![&diff.new])
        }
        Command::Image(args::Image::Extract(extract)) => (
            std::slice::from_ref(&extract.bundle),
            extract.terms.verify_key.iter().collect(),
        ),
        Command::Image(args::Image::Gc(gc)) => (std::slice::from_ref(&gc.bundle), Vec::new()),
        Command::Image(args::Image::Explain(explain)) => {
            (std::slice::from_ref(&explain.image), Vec::new())
        }
        Command::Image(args::Image::Audit(audit)) => (&audit.inputs.paths, vec![&audit.cilium]),
        Command::Dump(dump) => (&dump.inputs.paths, Vec::new()),
        Command::Completions { .. } | Command::Man | Command::Schema { .. } => (&[], Vec::new()),
    };
    let read = paths.iter().chain(more).chain(&global.settings);
    if input::is_read(read, output) {
        let output = output.display();
        let message = format!("`{output}` is read, and `--output` would overwrite it");
        return Err(Failure::Usage(message));
    }
    if let Some(bundle) = bundles(command)
        .into_iter()
        .find(|bundle| output::is_within(output, bundle))
    {
        let (output, bundle) = (output.display(), bundle.display());
        let message =
            format!("`--output` takes a file outside of `{bundle}`: `{output}` would damage it");
        return Err(Failure::Usage(message));
    }
    if let Command::Compile(args::Compile { out: Some(out), .. }) = command
        && output
            .parent()
            .is_some_and(|parent| output::is_same(parent, out))
    {
        let out = out.display();
        let message =
            format!("`--output` takes a file outside of `{out}`, which holds images alone");
        return Err(Failure::Usage(message));
    }
    Ok(())
}

/// The bundles, and the folder of what is kept, that a command reads or writes.
fn bundles(command: &Command) -> Vec<&PathBuf> {
    match command {
        Command::Compile(compile) => {
            let of = &compile.bundle;
            let bundles = of.bundle.iter().chain(&of.parent).chain(&of.check);
            bundles.chain(&compile.cache).collect()
        }
        Command::Image(args::Image::Verify(verify)) => vec![&verify.bundle],
        Command::Image(args::Image::Diff(diff)) => vec![&diff.old, &diff.new],
        Command::Image(args::Image::Extract(extract)) => vec![&extract.bundle],
        Command::Image(args::Image::Gc(gc)) => vec![&gc.bundle],
        Command::Image(args::Image::Inspect { images, .. }) => images.iter().collect(),
        Command::Image(args::Image::Explain(explain)) => vec![&explain.image],
        Command::Image(args::Image::Audit(_))
        | Command::Check(_)
        | Command::Explain(_)
        | Command::List(_)
        | Command::Diff(_)
        | Command::Replay(_)
        | Command::Dump(_)
        | Command::Completions { .. }
        | Command::Man
        | Command::Schema { .. } => Vec::new(),
    }
}

fn report(failure: &Failure) {
    match failure {
        Failure::Usage(message) => output::remark(&format!("error: {message}\n")),
        Failure::Read(path, error) => {
            let (path, why) = (path.display(), reason(error));
            output::remark(&format!("error: `{path}` cannot be read: {why}\n"));
        }
        Failure::Write(path, error) => {
            let (path, why) = (path.display(), reason(error));
            output::remark(&format!("error: `{path}` cannot be written: {why}\n"));
        }
        Failure::Input => {}
    }
}

/// Where and with what words the last panic happened.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Runs some work; a panic in it becomes a report of a bug.
pub fn reporting_bugs(work: impl FnOnce() -> u8 + UnwindSafe) -> u8 {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(remember));
    let result = panic::catch_unwind(work);
    panic::set_hook(usual);
    result.unwrap_or_else(|_| {
        let what = PANIC.lock().ok().and_then(|mut text| text.take());
        output::remark(&bug_report(what.as_deref().unwrap_or("unknown")));
        NOT_DONE
    })
}

fn remember(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let words = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = panic.location().map(ToString::to_string);
    let text = format!(
        "{}\n  at {}",
        words.unwrap_or("no words"),
        place.as_deref().unwrap_or("an unknown place")
    );
    if let Ok(mut last) = PANIC.lock() {
        *last = Some(text);
    }
}

fn bug_report(what: &str) -> String {
    format!(
        "error[{code}]: {title}: {what}, verdict {version}\n  \
         help: this is not your fault, and no answer was given; please report the lines above, the command \
         and, if you can, the input at {repository}/issues\n",
        code = codes::INTERNAL.id,
        title = codes::INTERNAL.title,
        version = env!("CARGO_PKG_VERSION"),
        repository = env!("CARGO_PKG_REPOSITORY"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_bug_and_exits_with_2() {
        assert_eq!(reporting_bugs(|| panic!("of the test")), NOT_DONE);
        assert_eq!(reporting_bugs(|| ANSWERED_NO), ANSWERED_NO);
        let text = bug_report("index out of bounds\n  at x.rs:1:2");
        assert!(text.starts_with(
            "error[V0901]: a bug in verdict: index out of bounds\n  at x.rs:1:2, verdict "
        ));
    }
}
