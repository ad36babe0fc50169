//! The command `verdict`.

use std::process::ExitCode;

fn main() -> ExitCode {
    verdict_compiler::cli::main(std::env::args_os().collect())
}
