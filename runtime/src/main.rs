//! The command `verdict-node`.

use std::process::ExitCode;

fn main() -> ExitCode {
    verdict_runtime::cli::main(std::env::args_os().collect())
}
