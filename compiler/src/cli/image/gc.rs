//! `verdict image gc`: chunks that no manifest names are removed.

use super::super::args::{Global, ImageFormat, ImageGc};
use super::super::bundle::{NotRemoved, Removed, gc, refused, say};
use super::super::output::Answer;
use super::super::render::json;
use super::super::{Answered, Failure};
use crate::diagnostic::counted;
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};

/// What was removed from a bundle.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct GcReport {
    /// The version of this format.
    version: u32,
    /// The bundle.
    bundle: String,
    /// Generations that were removed.
    generations: usize,
    /// Generations that are left.
    kept_generations: usize,
    /// Chunks that were removed.
    chunks: usize,
    /// Chunks that are left.
    kept_chunks: usize,
    /// The bytes of what was removed.
    bytes: u64,
}

pub(super) fn run(global: &Global, asked: &ImageGc) -> Result<Answered, Failure> {
    let removed = gc(global, &asked.bundle, asked.keep.map(|keep| keep as usize));
    let removed = removed.map_err(|error| match error {
        NotRemoved::Failure(failure) => failure,
        NotRemoved::Bundle(error) => {
            say(global, &[refused(&asked.bundle, &error)]);
            Failure::Input
        }
    })?;
    let Removed {
        generations,
        kept_generations,
        chunks,
        bytes,
        kept_chunks,
    } = removed;
    let report = GcReport {
        version: 1,
        bundle: asked.bundle.display().to_string(),
        generations,
        kept_generations,
        chunks,
        kept_chunks,
        bytes,
    };
    let answer = Answer::new(global);
    match asked.format {
        ImageFormat::Json => answer.write(|out| json::line(&report, out))?,
        ImageFormat::Human => answer.write(|out| print(&report, out))?,
    }
    Ok(Answered::Yes)
}

fn print(report: &GcReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{}: removed {} and {}, {} bytes; {} and {} are left",
        report.bundle,
        counted(report.generations, "generation"),
        counted(report.chunks, "chunk"),
        report.bytes,
        counted(report.kept_generations, "generation"),
        counted(report.kept_chunks, "chunk"),
    )
}
