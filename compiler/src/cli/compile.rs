//! `verdict compile`: the images of nodes.
//!
//! Each image is made, proved and written beside its place; once all are there, all are put in place.

mod cache;
pub(super) mod cilium;
mod fleet;
mod make;

pub(super) use fleet::CheckBundleReport;
pub(super) use make::{How, Image, Made, each, ready};

use self::cache::Cache;
use super::args::{Compile, Global, ImageFormat, Target};
use super::dump::asked_nodes;
use super::output::{self, Answer, Staged};
use super::session::Session;
use super::{Answered, Failure};
use crate::bundle::{Blob, UNASSIGNED};
use crate::cluster::Cluster;
use crate::compile::{Artifact, CompileError, Contribution, NodeError};
use crate::diagnostic::{Diagnostic, Severity, codes, counted};
use crate::hir::PolicySet;
use crate::image::digest_text;
use crate::lir::Size;
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How the name of the file of an image ends.
pub(super) const IMAGE_EXTENSION: &str = "image";

/// What was compiled.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CompileReport {
    /// The version of this format.
    version: u32,
    /// The images, by node.
    images: Vec<ImageReport>,
    /// The bundle, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle: Option<fleet::BundleReport>,
    /// What was taken from the cache, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<CacheReport>,
}

/// What was taken from a cache.
#[derive(Debug, Serialize, JsonSchema)]
struct CacheReport {
    /// How many images were taken as they were kept.
    images: usize,
    /// How many images there are.
    of: usize,
    /// For how many kinds of endpoints, each direction by itself, tables were taken to make the others of.
    tables: usize,
}

/// One image.
#[derive(Debug, Serialize, JsonSchema)]
struct ImageReport {
    /// The node; missing for the pods whose node is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// The file in the folder; missing where images are written into a bundle alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The size of the image in bytes.
    bytes: usize,
    /// The SHA-256 digest of the file; missing where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// The SHA-256 digest of the header, which covers every byte of the image.
    image: String,
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
    let is_packed = compile.bundle.bundle.is_some() || compile.bundle.check.is_some();
    if compile.target == Target::Cilium && is_packed {
        let message = "`--target cilium` makes a folder of maps for each node, and no bundle";
        return Err(Failure::Usage(message.into()));
    }
    if let Some((cache, bundle)) = compile
        .cache
        .as_deref()
        .zip(compile.bundle.bundle.as_deref())
        && output::is_within(cache, bundle)
    {
        let message =
            "the cache cannot be in the bundle, where nothing is but the bundle's own files";
        return Err(Failure::Usage(message.into()));
    }
    let cache = compile.cache.as_deref().map(Cache::open).transpose()?;
    let answer = compiled(global, compile, cache.as_ref());
    // Of what is not used something is to be said however the command ends: it is written anew as soon as texts are read.
    cache::tell(global, cache.as_ref());
    answer
}

fn compiled(
    global: &Global,
    compile: &Compile,
    cache: Option<&Cache>,
) -> Result<Answered, Failure> {
    let session = match cache {
        Some(cache) => Session::open_by(
            global,
            &compile.inputs,
            || cache.readings(),
            |kept, sources, settings| cache.load(&kept, sources, settings),
        ),
        None => Session::open(global, &compile.inputs),
    };
    let session = &*session;
    match compile.target {
        Target::Image => ready(global, session, Session::imageable)?,
        Target::Cilium => ready(global, session, Session::answerable)?,
    }
    let how = How {
        by_node: compile.explain_passes,
        cache,
        whole: compile.out.is_some(),
        ..How::default()
    };
    if let Some(bundle) = &compile.bundle.check {
        let of = (bundle.as_path(), compile.bundle.fleet.as_deref());
        return fleet::check(global, session, of, how, compile.format);
    }
    let asked = asked_nodes(global, session, &compile.node)?;
    if let (Target::Cilium, Some(out)) = (compile.target, &compile.out) {
        cilium::write(global, session, compile, out, &asked)?;
        return Ok(session.incomplete().is_empty().into());
    }
    let fleet = compile.bundle.bundle.as_deref();
    let fleet = fleet
        .map(|path| fleet::Fleet::begin(global, path, &compile.bundle))
        .transpose()?;
    let folder = compile.out.as_deref().map(Folder::make).transpose()?;
    let put = fleet
        .as_ref()
        .map(|fleet| |blob: &Blob, bytes: &[u8]| fleet.put(blob, bytes));
    let has = fleet.as_ref().map(|fleet| |blob: &Blob| fleet.has(blob));
    let how = How {
        sink: put.as_ref().map(|put| put as &make::Sink<'_>),
        has: has.as_ref().map(|has| has as &make::Has<'_>),
        ..how
    };
    let take = |image: Image<'_>| {
        let report = report(image, compile);
        let staged = compile.out.as_deref().zip(image.artifact);
        let staged = staged
            .map(|(out, artifact)| stage(out, &report, artifact))
            .transpose()?;
        let packed = fleet.as_ref().and(image.packed);
        Ok((report, staged, packed.cloned()))
    };
    let Made {
        nodes,
        inputs,
        shared,
        program,
        limits,
        taken,
    } = each(global, session, &asked, how, &take)?;
    let mut images = Vec::with_capacity(nodes.len());
    let mut staged = Vec::new();
    let mut packed = Vec::new();
    for (report, file, node) in nodes {
        staged.extend(file.map(|file| (report.file.clone().unwrap_or_default(), file)));
        packed.extend(node);
        images.push(report);
    }
    let images_bytes = images.iter().map(|image| image.bytes as u64).sum();
    let bundle = match fleet.zip(inputs) {
        Some((fleet, inputs)) => Some(fleet.commit(fleet::Contents {
            packed,
            program,
            inputs,
            shared,
            limits,
            incomplete: session.incomplete(),
            images_bytes,
        })?),
        None => None,
    };
    for (name, file) in staged {
        let path = compile.out.as_deref().unwrap_or(Path::new("")).join(name);
        file.keep().map_err(|error| Failure::Write(path, error))?;
    }
    if let Some(folder) = folder {
        folder.keep();
    }
    let report = CompileReport {
        version: 1,
        cache: cache.as_ref().map(|_| CacheReport {
            images: taken.images,
            of: images.len(),
            tables: taken.tables,
        }),
        images,
        bundle,
    };
    match compile.format {
        ImageFormat::Json => {
            Answer::new(global).write(|out| super::render::json::line(&report, out))?
        }
        ImageFormat::Human => Answer::new(global).write(|out| human(&report, out))?,
    }
    Ok(session.incomplete().is_empty().into())
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

/// Images are of nodes: where nobody is there, an empty set of them would pass for one that protects.
fn refuse_nobody(global: &Global, session: &Session) -> Result<(), Failure> {
    let cluster = &session.loaded.cluster;
    if !cluster.nodes().is_empty() || !cluster.pods().is_empty() {
        return Ok(());
    }
    let problem = Diagnostic::new(
        &codes::NOTHING_TO_COMPILE,
        "the inputs have no nodes and no pods, so there is no image to make",
    )
    .help(
        "add a snapshot of the cluster: \
         `kubectl get namespaces,nodes,pods,services -A -o json | verdict compile - PATH... --out DIR`",
    );
    super::explain::say(global, session, &[problem]);
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
    format!("{}.{IMAGE_EXTENSION}", node.unwrap_or(UNASSIGNED))
}

/// The folder of the images. If it was not there, it is gone again where it is not kept and empty.
struct Folder {
    new: Option<PathBuf>,
}

impl Folder {
    fn make(path: &Path) -> Result<Self, Failure> {
        let new = !path.exists();
        let failed = |error| Failure::Write(path.to_owned(), error);
        std::fs::create_dir_all(path).map_err(failed)?;
        Ok(Self {
            new: new.then(|| path.to_owned()),
        })
    }

    fn keep(mut self) {
        self.new = None;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(path) = &self.new {
            // What another has put there meanwhile stays, and so does the folder.
            let _ = std::fs::remove_dir(path);
        }
    }
}

fn stage(folder: &Path, report: &ImageReport, artifact: &Artifact) -> Result<Staged, Failure> {
    let path = folder.join(report.file.as_deref().unwrap_or_default());
    let staged = output::stage(&path, |out| artifact.image.write_to(out));
    staged.map_err(|error| Failure::Write(path, error))
}

fn report(image: Image<'_>, compile: &Compile) -> ImageReport {
    let name = |pass: Option<crate::opt::Pass>| pass.map_or("lowered", |pass| pass.name);
    let artifact = image.artifact;
    let sizes = artifact.into_iter().flat_map(|artifact| &artifact.sizes);
    let sizes = sizes.filter(|_| compile.explain_passes);
    let file = artifact.filter(|_| compile.out.is_some());
    ImageReport {
        file: file.map(|_| file_name(image.node)),
        node: image.node.map(str::to_owned),
        bytes: usize::try_from(image.size()).unwrap_or(usize::MAX),
        sha256: file.map(|artifact| digest_text(&artifact.image.write())),
        image: image.digest().to_string(),
        endpoints: image.endpoints(),
        compared: image.compared,
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
        // A bundle may have thousands.
        let (Some(file), Some(sha256)) = (&image.file, &image.sha256) else {
            continue;
        };
        writeln!(
            out,
            "{file}: {}, {} bytes, {} proved, sha256 {}",
            counted(image.endpoints, "endpoint"),
            image.bytes,
            counted(image.compared, "decision"),
            sha256.get(..16).unwrap_or_default()
        )?;
        if image.passes.is_empty() {
            continue;
        }
        passes(&image.passes, out)?;
    }
    if let Some(bundle) = &report.bundle {
        fleet::print(bundle, &report.images, out)?;
    }
    if let Some(cache) = &report.cache {
        let images = counted(cache.of, "image");
        writeln!(out, "cache: {} of {images} taken", cache.images)?;
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
