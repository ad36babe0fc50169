//! The command `verdict-node`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    verdict_runtime::cli::main(std::env::args_os().collect())
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::print_stderr, reason = "all that there is to say")]
fn main() -> ExitCode {
    eprintln!("verdict-node: only Linux runs BPF programs");
    ExitCode::from(2)
}
