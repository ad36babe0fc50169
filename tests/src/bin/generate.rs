//! Writes a random world as manifests: `generate [--pods N] [--namespaces N] [--policies N]
//! [--cluster-policies N] [--label-sets N] [--nodes N] [--trace N] [--seed N] [--dual-stack] DIR`; or the captures of
//! `testdata/trace`: `generate captures DIR`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use verdict_tests::generate::captures::files;
use verdict_tests::generate::large::{self, Size};

struct Wanted {
    size: Size,
    seed: u64,
    trace: usize,
    folder: PathBuf,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).peekable();
    let result = match args.next_if(|arg| arg == "captures") {
        Some(_) => args
            .next()
            .ok_or("say into which folder".into())
            .and_then(|folder| captures(Path::new(&folder))),
        None => wanted(args).and_then(|wanted| write(&wanted)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("generate: {message}");
            ExitCode::from(2)
        }
    }
}

fn captures(folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    for (name, bytes) in files() {
        std::fs::write(folder.join(name), bytes).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn wanted(mut args: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut wanted = Wanted {
        size: Size::default(),
        seed: 1,
        trace: 0,
        folder: PathBuf::new(),
    };
    while let Some(arg) = args.next() {
        if arg == "--dual-stack" {
            wanted.size.dual_stack = true;
            continue;
        }
        if !arg.starts_with("--") {
            wanted.folder = arg.into();
            continue;
        }
        let number = args.next().and_then(|value| value.parse().ok());
        let number: usize = number.ok_or_else(|| format!("{arg} needs a number"))?;
        let size = &mut wanted.size;
        match arg.as_str() {
            "--pods" => size.pods = number,
            "--namespaces" => size.namespaces = number,
            "--policies" => size.policies = number,
            "--cluster-policies" => size.cluster_policies = number,
            "--label-sets" => size.label_sets = number,
            "--nodes" => size.nodes = number,
            "--trace" => wanted.trace = number,
            "--seed" => wanted.seed = number as u64,
            _ => return Err(format!("{arg} is not an option")),
        }
    }
    if wanted.folder.as_os_str().is_empty() {
        return Err("say into which folder".into());
    }
    Ok(wanted)
}

fn write(wanted: &Wanted) -> Result<(), String> {
    std::fs::create_dir_all(&wanted.folder).map_err(|error| error.to_string())?;
    let mut files = large::world(wanted.size, wanted.seed).files;
    if wanted.trace > 0 {
        files.push((
            "trace.jsonl".into(),
            large::trace(wanted.size, wanted.seed, wanted.trace),
        ));
    }
    for (name, text) in files {
        std::fs::write(wanted.folder.join(name), text).map_err(|error| error.to_string())?;
    }
    Ok(())
}
