//! `verdict compile`: the images of nodes.
//!
//! Each image is made, proved and written beside its place; once all are there, all are put in place.

use super::args::{Compile, Global, ImageFormat};
use super::dump::asked_nodes;
use super::output::{self, Answer, Staged};
use super::progress::Progress;
use super::session::Session;
use super::{Answered, Failure};
use crate::cluster::{Cluster, NodeId};
use crate::compile::{Artifact, CompileError, Compiler, Contribution, NodeError};
use crate::diagnostic::{Diagnostic, Severity, codes, counted};
use crate::hir::PolicySet;
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
    session.compilable(global)?;
    let incomplete = session.incomplete();
    if !incomplete.is_empty() && !global.keep_going {
        output::remark(&format!(
            "no image: it would lack {} (`--keep-going` compiles without, and the image says so)\n",
            incomplete.join("; ")
        ));
        return Err(Failure::Input);
    }
    refuse_shared_addresses(global, &session)?;
    session.remark_incomplete();
    let asked = asked_nodes(global, &session, &compile.node)?;
    let images = {
        let images = made(global, &session, compile, &asked)?;
        let mut kept = Vec::with_capacity(images.len());
        for (report, staged) in images {
            let path = compile.out.join(&report.file);
            staged.keep().map_err(|error| Failure::Write(path, error))?;
            kept.push(report);
        }
        kept
    };
    let report = CompileReport { version: 1, images };
    match compile.format {
        ImageFormat::Json => {
            Answer::new(global).write(|out| super::render::json::line(&report, out))?
        }
        ImageFormat::Human => Answer::new(global).write(|out| human(&report, out))?,
    }
    Ok(incomplete.is_empty().into())
}

/// An image knows one owner of an address: where the snapshot has two, it would decide as if the other were not there.
fn refuse_shared_addresses(global: &Global, session: &Session) -> Result<(), Failure> {
    let shared = session.diagnostics.iter();
    let shared: Vec<Diagnostic> = shared
        .filter(|one| *one.code == codes::SHARED_ADDRESS)
        .map(|one| one.clone().severity(Severity::Error))
        .collect();
    if shared.is_empty() {
        return Ok(());
    }
    super::explain::say(global, session, &shared);
    output::remark("no image: it would know one owner of each address alone\n");
    Err(Failure::Input)
}

/// What there is to say where an engine has no image to ask.
pub(super) fn no_image(cluster: &Cluster, policies: &PolicySet, error: &NodeError) -> Diagnostic {
    let node = error.node.and_then(|node| cluster.node(node));
    let name = node.map(|node| node.name.to_string());
    problem(policies, name, &error.error)
}

fn problem(policies: &PolicySet, node: Option<String>, error: &CompileError) -> Diagnostic {
    let node = node.map_or("pods whose node is not known".to_owned(), |node| {
        format!("node `{node}`")
    });
    let message = format!("the image of {node}: {error}");
    match error {
        CompileError::Limit(_, most) => {
            let mut diagnostic = Diagnostic::new(&codes::IMAGE_LIMIT, message)
                .help("`--explain-passes` on other nodes (`--node`) shows what grows");
            for Contribution { policy, count, of } in most {
                let Some(policy) = policies.policy(*policy) else {
                    continue;
                };
                let text = format!("`{}` has {}", policy.object, counted(*count, of));
                diagnostic = if diagnostic.label.is_none() {
                    diagnostic.at(policy.span, format!("{text}, more than any other policy"))
                } else {
                    diagnostic.related(policy.span, text)
                };
            }
            diagnostic
        }
        CompileError::Mismatch(_) | CompileError::Decode(_) => {
            Diagnostic::new(&codes::IMAGE_DISAGREES, message)
                .help("this is a bug in verdict; please report it with this message")
        }
    }
}

fn file_name(node: Option<&str>) -> String {
    format!("{}.image", node.unwrap_or(UNASSIGNED))
}

/// The images, each proved and written beside its place. Where one cannot be made, none stays.
fn made(
    global: &Global,
    session: &Session,
    compile: &Compile,
    asked: &[Option<NodeId>],
) -> Result<Vec<(ImageReport, Staged)>, Failure> {
    let loaded = &session.loaded;
    let preparing = Progress::start(global, "preparing");
    let program = Program::resolve(&loaded.cluster, &loaded.policies);
    let compiler = Compiler::new(
        &loaded.cluster,
        &loaded.policies,
        &session.sources,
        &program,
    );
    let left_out = session.incomplete();
    let left_out = left_out.iter().map(|text| text.as_str().into());
    let compiler = compiler.incomplete(left_out.collect());
    drop(preparing);
    let nodes = compiler.lowering().nodes().iter();
    let wanted: Vec<_> = nodes
        .filter(|(node, _)| asked.is_empty() || asked.contains(node))
        .collect();
    let progress = Progress::of(global, "compiling", wanted.len());
    let folder = Folder::make(&compile.out)?;
    let name = |node: Option<NodeId>| {
        let node = node.and_then(|node| loaded.cluster.node(node));
        node.map(|node| node.name.to_string())
    };
    let results: Vec<Result<(ImageReport, Staged), NotMade>> = wanted
        .par_iter()
        .map(|(node, pods)| {
            let made = compiler.node(*node, pods).map_err(NotMade::Compile);
            let made = made.and_then(|artifact| {
                stage(&compile.out, name(*node), &artifact, compile.explain_passes)
            });
            progress.count();
            made
        })
        .collect();
    drop(progress);
    let mut images = Vec::new();
    let mut problems = Vec::new();
    for (result, (node, _)) in results.into_iter().zip(wanted) {
        match result {
            Ok(image) => images.push(image),
            Err(NotMade::Compile(error)) => {
                problems.push(problem(&loaded.policies, name(*node), &error))
            }
            Err(NotMade::Write(failure)) => return Err(failure),
        }
    }
    if problems.is_empty() {
        folder.keep();
        return Ok(images);
    }
    super::explain::say(global, session, &problems);
    Err(Failure::Input)
}

/// Why there is no image in the folder.
enum NotMade {
    Compile(CompileError),
    Write(Failure),
}

/// The folder of the images. If it was not there, it is gone again where it is not kept and empty.
struct Folder<'p> {
    new: Option<&'p Path>,
}

impl<'p> Folder<'p> {
    fn make(path: &'p Path) -> Result<Self, Failure> {
        let new = !path.exists();
        let failed = |error| Failure::Write(path.to_owned(), error);
        std::fs::create_dir_all(path).map_err(failed)?;
        Ok(Self {
            new: new.then_some(path),
        })
    }

    fn keep(mut self) {
        self.new = None;
    }
}

impl Drop for Folder<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.new {
            // What another has put there meanwhile stays, and so does the folder.
            let _ = std::fs::remove_dir(path);
        }
    }
}

fn stage(
    folder: &Path,
    node: Option<String>,
    artifact: &Artifact,
    passes: bool,
) -> Result<(ImageReport, Staged), NotMade> {
    let report = report(node, artifact, passes);
    let path = folder.join(&report.file);
    let staged = output::stage(&path, |out| out.write_all(&artifact.bytes));
    let staged = staged.map_err(|error| NotMade::Write(Failure::Write(path, error)))?;
    Ok((report, staged))
}

fn report(node: Option<String>, artifact: &Artifact, passes: bool) -> ImageReport {
    let name = |pass: Option<crate::opt::Pass>| pass.map_or("lowered", |pass| pass.name);
    let sizes = artifact.sizes.iter().filter(|_| passes);
    ImageReport {
        file: file_name(node.as_deref()),
        node,
        bytes: artifact.bytes.len(),
        sha256: digest_text(&artifact.bytes),
        endpoints: artifact.endpoints,
        compared: artifact.compared,
        passes: sizes
            .map(|(pass, size)| pass_report(name(*pass), *size))
            .collect(),
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
        passes(&image.passes, out)?;
    }
    Ok(())
}

/// A column of the table of passes: its title and what it shows.
type Column = (&'static str, fn(&PassReport) -> usize);

/// A line for each pass. What a pass leaves as it was is left out, so that what it does stands out.
fn passes(passes: &[PassReport], out: &mut dyn Write) -> io::Result<()> {
    let columns: [Column; 7] = [
        ("classes", |pass| pass.classes),
        ("port classes", |pass| pass.port_classes),
        ("sets", |pass| pass.sets),
        ("chains", |pass| pass.chains),
        ("rules", |pass| pass.rules),
        ("rows", |pass| pass.rows),
        ("codes", |pass| pass.codes),
    ];
    let mut line = format!("  {:<18}", "pass");
    for (name, _) in columns {
        line.push_str(&format!("{name:>14}"));
    }
    writeln!(out, "{line}")?;
    let mut before: Option<&PassReport> = None;
    for pass in passes {
        let mut line = format!("  {:<18}", pass.pass);
        for (_, of) in columns {
            let count = of(pass);
            let told = if before.map(of) == Some(count) {
                String::new()
            } else {
                count.to_string()
            };
            line.push_str(&format!("{told:>14}"));
        }
        writeln!(out, "{}", line.trim_end())?;
        before = Some(pass);
    }
    Ok(())
}
