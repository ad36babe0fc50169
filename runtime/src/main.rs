//! The command `verdict-node`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    verdict_runtime::cli::main(std::env::args_os().collect())
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    use std::io::Write as _;
    // Where standard error cannot be written to, there is nobody to tell.
    let _ = writeln!(
        std::io::stderr(),
        "error: verdict-node enforces on Linux alone"
    );
    ExitCode::from(2)
}
