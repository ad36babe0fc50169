//! The command line of a node: the only place with standard streams.
//!
//! Input: the arguments of the process. Output: its exit code, the answer on standard output, and everything else on
//! standard error. The entry is [`main()`].

pub mod args;
pub mod report;
mod text;

use crate::node::{Changed, Hands, How, Loading, Node, Problems, Release, Status, Takes};
use args::{Args, Attach, Command, Format, Global, Load};
use clap::CommandFactory as _;
use report::{ChangeReport, StatusReport};
use std::ffi::OsString;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use verdict_abi::datapath::{PASS_FOREIGN, PICK_UP};
use verdict_compiler::bundle::Digest;
use verdict_compiler::cli::args::Terms;
use verdict_compiler::cli::{
    ANSWERED_NO, DONE, NOT_DONE, NotTaken, documents, is_bundle, reason, reporting_bugs, take,
    tell as tell_all,
};
use verdict_compiler::diagnostic::{Diagnostic, Severity};

/// Runs the command that the arguments ask for.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    ExitCode::from(reporting_bugs(move || run(&arguments)))
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
    match command(&args) {
        Ok(true) => DONE,
        Ok(false) if args.global.common.exit_zero => DONE,
        Ok(false) => ANSWERED_NO,
        Err(Failure::Problems(Problems(diagnostics))) => {
            tell(&args.global, &diagnostics);
            NOT_DONE
        }
        Err(Failure::Words(words)) => {
            remark(&format!("error: {words}\n"));
            NOT_DONE
        }
    }
}

/// Why a command was not done.
enum Failure {
    Problems(Problems),
    Words(String),
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

type Answered = Result<bool, Failure>;

fn command(args: &Args) -> Answered {
    let global = &args.global;
    let hands = hands(global)?;
    match &args.command {
        Command::Load(asked) => load(global, &hands, asked),
        Command::Attach(asked) => attach(global, &hands, asked),
        Command::Detach { what, format } => {
            changed(global, Node::open(&hands)?.detach(what)?, *format)
        }
        Command::Status { format } => status(global, &hands, *format),
        Command::Rollback { format } => changed(global, Node::open(&hands)?.rollback()?, *format),
        Command::Unload { all: true, format } => changed(global, Node::remove(&hands)?, *format),
        Command::Unload { all: false, format } => {
            let unloaded = Node::open(&hands)?.unload()?;
            // That it is closed is what was asked for.
            changed(global, unloaded, *format).map(|_| true)
        }
        Command::Completions { shell } => {
            let script = documents::script(&mut Args::command(), *shell);
            print(|out| out.write_all(&script))
        }
        Command::Man { output: None } => print(|out| documents::pages(Args::command(), out)),
        Command::Man {
            output: Some(folder),
        } => match documents::pages_into(Args::command(), folder) {
            Ok(()) => Ok(true),
            Err(error) => Err(unusable(folder, "written", &error)),
        },
        Command::Schema { name } => print(|out| {
            let text = match name {
                Some(name) => name.schema(),
                None => report::NAMES.map(|name| name.text()).join("\n") + "\n",
            };
            out.write_all(text.as_bytes())
        }),
    }
}

fn hands(global: &Global) -> Result<Hands, Failure> {
    let connections = global.connections;
    if !connections.is_power_of_two() || connections < 8 {
        return Err(Failure::Words(format!(
            "`--connections` takes a power of two from 8 on, and {connections} is none"
        )));
    }
    Ok(Hands {
        root: global.root.clone(),
        patience: Duration::from_secs(global.wait),
        connections,
    })
}

fn load(global: &Global, hands: &Hands, asked: &Load) -> Answered {
    let expected = match asked.digest.as_deref().map(digest) {
        None => None,
        Some(Some(digest)) => Some(digest),
        Some(None) => {
            return Err(Failure::Words(
                "`--digest` takes the 64 hexadecimal digits of a SHA-256 digest, with or without `sha256:` before them"
                    .into(),
            ));
        }
    };
    let from = given(asked)?;
    let mut settings = 0;
    if asked.pass_non_ip {
        settings |= PASS_FOREIGN;
    }
    if asked.pick_up {
        settings |= PICK_UP;
    }
    let loading = Loading {
        file: Some(asked.image.as_path()).filter(|path| *path != Path::new("-")),
        force: asked.force,
        expected,
        node: asked.node.as_deref().filter(|_| from.release.is_none()),
        release: from.release.as_ref(),
        takes: Takes {
            older: asked.allow_older,
            other_fleet: asked.terms.fleet.is_some(),
        },
        settings,
    };
    let loaded = Node::open(hands)?.load(&from.image, loading)?;
    changed(global, loaded, asked.format)
}

/// What is to be loaded.
struct Given {
    image: Vec<u8>,
    /// The generation of the bundle that it is from.
    release: Option<Release>,
}

fn given(asked: &Load) -> Result<Given, Failure> {
    if !is_bundle(&asked.image) {
        let Terms {
            verify_key,
            fleet,
            at_least,
        } = &asked.terms;
        if verify_key.is_some() || fleet.is_some() || at_least.is_some() || asked.allow_older {
            return Err(Failure::Words(
                "`--verify-key`, `--fleet`, `--at-least` and `--allow-older` are about bundles: an image by itself is not \
                 signed, and of no generation; `--digest` says which one is meant"
                    .into(),
            ));
        }
        return Ok(Given {
            image: read(&asked.image)?,
            release: None,
        });
    }
    let host = || {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    };
    let node = asked.node.clone().unwrap_or_else(host);
    let taken = take(&asked.image, &node, &asked.terms).map_err(|error| match error {
        NotTaken::Read(path, error) => unusable(&path, "read", &error),
        NotTaken::Refused(problem) => Problems::from(*problem).into(),
    })?;
    Ok(Given {
        image: taken.image,
        release: Some(Release {
            fleet: taken.fleet,
            generation: taken.generation,
            manifest: taken.manifest,
            signed: taken.signed,
        }),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    bytes.map_err(|error| unusable(path, "read", &error))
}

fn unusable(path: &Path, what: &str, error: &io::Error) -> Failure {
    let (path, why) = (path.display(), reason(error));
    Failure::Words(format!("`{path}` cannot be {what}: {why}"))
}

/// A digest as people write it.
fn digest(text: &str) -> Option<[u8; 32]> {
    let text = text.strip_prefix("sha256:").unwrap_or(text);
    let digest: Digest = text.to_ascii_lowercase().parse().ok()?;
    Some(*digest.bytes())
}

fn attach(global: &Global, hands: &Hands, asked: &Attach) -> Answered {
    let pod = asked.pod.as_deref();
    let node = || Node::open(hands);
    let how = How {
        hook: asked.hook.asked(),
        replace: asked.replace,
    };
    let done = match (&asked.interface, asked.address, &asked.cgroup, pod) {
        (Some(interface), _, _, Some(pod)) => node()?.attach_interface(interface, pod, how)?,
        (None, Some(address), _, pod) => node()?.attach_address(address, pod, how)?,
        (None, None, Some(cgroup), _) => node()?.attach_cgroup(cgroup)?,
        (Some(_), _, _, None) | (None, None, None, _) => {
            return Err(Failure::Words(
                "it takes `--interface NAME --pod NAMESPACE/NAME`, `--address ADDRESS` or `--cgroup PATH`"
                    .into(),
            ));
        }
    };
    changed(global, done, asked.format)
}

/// Shows what was done; whether nothing is closed by it.
fn changed(global: &Global, changed: Changed, format: Format) -> Answered {
    tell(global, &changed.warnings);
    let report = ChangeReport::of(&changed);
    print(|out| match format {
        Format::Json => line(&report, out),
        Format::Human => text::change(&report, out),
    })?;
    Ok(changed.is_whole())
}

fn status(global: &Global, hands: &Hands, format: Format) -> Answered {
    let status = Status::read(hands)?;
    tell(global, &status.damaged);
    let report = StatusReport::of(&hands.root, &status);
    print(|out| match format {
        Format::Json => line(&report, out),
        Format::Human => text::status(&report, out),
    })?;
    Ok(status.is_enforcing())
}

fn line(value: &impl serde::Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

fn print(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Answered {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match print(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is still in the buffer is not wanted any more.
            let _ = out.into_parts();
            Ok(true)
        }
        Err(error) => {
            let why = reason(&error);
            Err(Failure::Words(format!(
                "standard output cannot be written: {why}"
            )))
        }
        Ok(()) => Ok(true),
    }
}

fn tell(global: &Global, diagnostics: &[Diagnostic]) {
    let wanted = |one: &&Diagnostic| !global.common.quiet || one.severity == Severity::Error;
    let wanted: Vec<Diagnostic> = diagnostics.iter().filter(wanted).cloned().collect();
    if !wanted.is_empty() {
        tell_all(&wanted, global.common.color);
    }
}

/// Where standard error cannot be written to, there is nobody to tell.
fn remark(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn digests_are_read_as_people_write_them() {
        let text = "0f".repeat(32);
        assert_eq!(digest(&text), Some([15; 32]));
        assert_eq!(digest(&format!("sha256:{text}")), Some([15; 32]));
        assert_eq!(digest("0f"), None);
        assert_eq!(digest(&"é".repeat(32)), None);
    }
}
