//! From the paths of traces to the files.
//!
//! Guarantee: a folder stands for the files below it, sorted by name, so that the parts of one capture follow each other;
//! hidden ones, and what is no file, are left out.

use super::{Failure, input};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// The traces behind some paths, in order.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path == Path::new("-") || !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let walk = WalkDir::new(path)
            .follow_links(true)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || !input::is_hidden(entry));
        for entry in walk {
            let entry = entry.map_err(|error| {
                let at = error.path().unwrap_or(path).to_owned();
                Failure::Read(at, error.into())
            })?;
            if entry.file_type().is_file() {
                files.push(entry.into_path());
            }
        }
    }
    Ok(files)
}

/// Opens a trace.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(path)?))
}

/// A trace as it is named to people.
pub(super) fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        input::STDIN.into()
    } else {
        path.display().to_string()
    }
}
