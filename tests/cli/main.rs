//! The command line from outside: exit codes, streams and every way in which input can be bad.
//!
//! Most cases are transcripts, `testdata/cli/NAME.trycmd`, run in the folder `NAME.in`: a command behind `$`,
//! its exit code behind `?`, and what it prints. `TRYCMD=overwrite cargo test --test cli` blesses them. What a
//! transcript cannot say (bytes that are no text, large files, closed pipes) is in `bad_input` and `streams`.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside of test functions"
)]

mod bad_input;
mod bundles;
mod endings;
mod hostile;
mod images;
mod readings;
mod schemas;
mod streams;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

#[test]
fn transcripts() {
    trycmd::TestCases::new()
        .register_bin("verdict", Path::new(env!("CARGO_BIN_EXE_verdict")))
        .env("NO_COLOR", "1")
        .case("../testdata/cli/*.trycmd");
}

/// The command, with nothing of the surroundings that changes what it prints.
fn verdict() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verdict"));
    command
        .env("NO_COLOR", "1")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null());
    command
}

/// What a run gave: exit code, standard output, standard error.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    ran(verdict().args(arguments).output().unwrap())
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
