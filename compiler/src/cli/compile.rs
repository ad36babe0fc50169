//! `verdict compile`: the images of nodes.
//!
//! All images are made and proved before the first is written.

use super::args::{Compile, Global, ImageFormat};
use super::dump::asked_nodes;
use super::output::{self, Answer};
use super::progress::Progress;
use super::session::Session;
use super::{Answered, Failure};
use crate::cluster::NodeId;
use crate::compile::{Artifact, CompileError, Compiler};
use crate::diagnostic::{Diagnostic, codes, counted};
use crate::image::digest_text;
use crate::ir::Program;
use crate::lir::Size;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

/// The file of the pods whose node is not known. No node has this name.
const UNASSIGNED: &str = "_unassigned";

/// What was compiled.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CompileReport {
    /// The version of this format.
    version: u32,
    /// The images, by node.
    images: Vec<ImageReport>,
}

/// One image.
#[derive(Debug, Serialize, JsonSchema)]
struct ImageReport {
    /// The node; missing for the pods whose node is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// The file in the folder.
    file: String,
    /// Its size in bytes.
    bytes: usize,
    /// Its SHA-256 digest.
    sha256: String,
    /// How many endpoints it has.
    endpoints: usize,
    /// How many decisions were compared with the definition of the semantics.
    compared: u64,
    /// The size of the program after lowering and after each pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passes: Vec<PassReport>,
}

/// The size of a program at one point.
#[derive(Debug, Serialize, JsonSchema)]
struct PassReport {
    /// The pass; `lowered` before the first.
    pass: String,
    /// Classes of peers.
    classes: usize,
    /// Classes of ports.
    port_classes: usize,
    /// Sets of both.
    sets: usize,
    /// Chains, as rules or as tables.
    chains: usize,
    /// Rules of all chains.
    rules: usize,
    /// Rows of the tables.
    rows: usize,
    /// Verdict codes.
    codes: usize,
}

pub(super) fn run(global: &Global, compile: &Compile) -> Result<Answered, Failure> {
    let session = Session::open(global, &compile.inputs);
    session.programmable(global)?;
    let incomplete = session.incomplete();
    if !incomplete.is_empty() && !global.keep_going {
        output::remark(&format!(
            "no image: it would lack {} (`--keep-going` compiles without, and the image says so)\n",
            incomplete.join("; ")
        ));
        return Err(Failure::Input);
    }
    session.remark_incomplete();
    let loaded = &session.loaded;
    let asked = asked_nodes(global, &session, &compile.node)?;
    let progress = Progress::start(global, "compiling");
    let program = Program::resolve(&loaded.cluster, &loaded.policies);
    let compiler = Compiler::new(
        &loaded.cluster,
        &loaded.policies,
        &session.sources,
        &program,
    )
    .incomplete(incomplete.iter().map(|text| text.as_str().into()).collect());
    let nodes = compiler.lowering().nodes().par_iter();
    let wanted = nodes.filter(|(node, _)| asked.is_empty() || asked.contains(node));
    let made: Vec<Result<Artifact, (Option<NodeId>, CompileError)>> = wanted
        .map(|(node, pods)| {
            progress.count();
            compiler.node(*node, pods).map_err(|error| (*node, error))
        })
        .collect();
    drop(progress);
    let name = |node: Option<NodeId>| {
        let node = node.and_then(|node| loaded.cluster.nodes().get(node.index()));
        node.map(|node| node.name.to_string())
    };
    let mut images = Vec::new();
    let mut problems = Vec::new();
    for result in made {
        match result {
            Ok(artifact) => images.push((name(artifact.node), artifact)),
            Err((node, error)) => problems.push(problem(name(node), &error)),
        }
    }
    if !problems.is_empty() {
        super::explain::say(global, &session, &problems);
        return Err(Failure::Input);
    }
    write(&compile.out, &images)?;
    let report = report(&images, compile.explain_passes);
    match compile.format {
        ImageFormat::Json => {
            Answer::new(global).write(|out| super::render::json::line(&report, out))?
        }
        ImageFormat::Human => Answer::new(global).write(|out| human(&report, out))?,
    }
    Ok(incomplete.is_empty().into())
}

fn problem(node: Option<String>, error: &CompileError) -> Diagnostic {
    let node = node.map_or("pods whose node is not known".to_owned(), |node| {
        format!("node `{node}`")
    });
    let (code, help) = match error {
        CompileError::Limit(_) => (
            &codes::IMAGE_LIMIT,
            "`--explain-passes` on fewer nodes (`--node`) shows what grows",
        ),
        CompileError::Mismatch(_) | CompileError::Decode(_) => (
            &codes::IMAGE_DISAGREES,
            "this is a bug in verdict; please report it with this message",
        ),
    };
    Diagnostic::new(code, format!("the image of {node}: {error}")).help(help)
}

fn file_name(node: Option<&str>) -> String {
    format!("{}.image", node.unwrap_or(UNASSIGNED))
}

fn write(folder: &Path, images: &[(Option<String>, Artifact)]) -> Result<(), Failure> {
    let failed = |error| Failure::Write(folder.to_owned(), error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    for (node, artifact) in images {
        let path = folder.join(file_name(node.as_deref()));
        output::replace(&path, |out| out.write_all(&artifact.bytes))
            .map_err(|error| Failure::Write(path.clone(), error))?;
    }
    Ok(())
}

fn report(images: &[(Option<String>, Artifact)], passes: bool) -> CompileReport {
    let images = images.iter().map(|(node, artifact)| ImageReport {
        node: node.clone(),
        file: file_name(node.as_deref()),
        bytes: artifact.bytes.len(),
        sha256: digest_text(&artifact.bytes),
        endpoints: artifact.endpoints,
        compared: artifact.compared,
        passes: if passes {
            let name = |pass: Option<crate::opt::Pass>| pass.map_or("lowered", |pass| pass.name);
            artifact
                .sizes
                .iter()
                .map(|(pass, size)| pass_report(name(*pass), *size))
                .collect()
        } else {
            Vec::new()
        },
    });
    CompileReport {
        version: 1,
        images: images.collect(),
    }
}

fn pass_report(name: &str, size: Size) -> PassReport {
    PassReport {
        pass: name.to_owned(),
        classes: size.classes,
        port_classes: size.port_classes,
        sets: size.sets,
        chains: size.chains,
        rules: size.rules,
        rows: size.rows,
        codes: size.codes,
    }
}

fn human(report: &CompileReport, out: &mut dyn Write) -> io::Result<()> {
    for image in &report.images {
        writeln!(
            out,
            "{}: {}, {} bytes, {} proved, sha256 {}",
            image.file,
            counted(image.endpoints, "endpoint"),
            image.bytes,
            counted(image.compared, "decision"),
            image.sha256.get(..16).unwrap_or_default()
        )?;
        if image.passes.is_empty() {
            continue;
        }
        writeln!(
            out,
            "  {:<18}{:>9}{:>14}{:>7}{:>8}{:>7}{:>7}{:>7}",
            "pass", "classes", "port classes", "sets", "chains", "rules", "rows", "codes"
        )?;
        for pass in &image.passes {
            writeln!(
                out,
                "  {:<18}{:>9}{:>14}{:>7}{:>8}{:>7}{:>7}{:>7}",
                pass.pass,
                pass.classes,
                pass.port_classes,
                pass.sets,
                pass.chains,
                pass.rules,
                pass.rows,
                pass.codes
            )?;
        }
    }
    Ok(())
}
