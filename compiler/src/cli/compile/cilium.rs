//! `verdict compile --target cilium`: the maps of Cilium's nodes.
//!
//! For each node a folder with what Cilium's command line prints there, and a file for `bpftool`. As with images, all
//! files are written beside their places, and put in place once all are there.

mod files;

pub(in crate::cli) use files::is_of;

use super::super::args::{Compile, Global, ImageFormat};
use super::super::output::Answer;
use super::super::progress::Progress;
use super::super::render::{clean, json};
use super::super::session::Session;
use super::super::{Answered, Failure, explain};
use super::{Folder, UNASSIGNED};
use crate::audit::{Dump, print, verify};
use crate::cluster::NodeId;
use crate::diagnostic::{Diagnostic, codes, counted};
use crate::explain::Context;
use crate::frontend::settings::cilium::Version;
use crate::hir::{Enforcement, Resolution};
use crate::policymap::{Endpoint, NodeMaps};
use files::{Made, stage};
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

/// How much is compared with the definition, in packets times rules.
const BUDGET: u64 = 200_000_000;

/// What was made.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct CiliumReport {
    /// The version of this format.
    version: u32,
    /// The release of Cilium whose maps these are.
    release: &'static str,
    /// The nodes.
    nodes: Vec<NodeReport>,
}

/// The maps of a node.
#[derive(Debug, Serialize, JsonSchema)]
struct NodeReport {
    /// The node; missing for the pods whose node is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// The files.
    files: Vec<FileReport>,
    /// How many endpoints it has.
    endpoints: usize,
    /// How many identities it knows.
    identities: usize,
    /// How many entries its ipcache has.
    ipcache: usize,
    /// How many entries all its policy maps have.
    entries: usize,
    /// The same as bytes of keys and values.
    bytes: usize,
    /// The endpoint with most entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<MostReport>,
    /// How many packets were compared with the definition of the semantics.
    compared: u64,
}

/// A file.
#[derive(Debug, Serialize, JsonSchema)]
struct FileReport {
    /// Its place in the folder.
    file: String,
    /// Its size in bytes.
    bytes: usize,
    /// Its SHA-256 digest.
    sha256: String,
}

/// The endpoint with most entries.
#[derive(Debug, Serialize, JsonSchema)]
struct MostReport {
    /// The pod, `namespace/name`; `host` for the node itself.
    endpoint: String,
    /// How many entries its policy map has.
    entries: usize,
}

/// Writes the maps of the nodes that are asked for, or of all that have pods.
pub(super) fn write(
    global: &Global,
    session: &Session,
    compile: &Compile,
    out: &Path,
    asked: &[Option<NodeId>],
) -> Result<Answered, Failure> {
    let loaded = &session.loaded;
    let Resolution::Precedence(enforcement) = &loaded.policies.resolution else {
        let dialect = loaded.settings.dialect;
        return Err(Failure::Usage(format!(
            "`--target cilium` makes maps of Cilium's in the dialect `cilium`, and this is `{dialect}`: set it in \
             `verdict.toml` or by `--set dialect=cilium`"
        )));
    };
    let nodes = nodes(session, asked);
    let progress = Progress::of(global, "compiling", nodes.len());
    let folder = Folder::make(out)?;
    let mut made = Vec::new();
    let mut problems = Vec::new();
    for node in nodes {
        match maps(session, enforcement, node) {
            Ok((maps, compared, warnings)) => {
                problems.extend(warnings);
                let name = name(session, node);
                let path = out.join(name.as_deref().unwrap_or(UNASSIGNED));
                made.push(stage(path, name, &maps, compared)?);
            }
            Err(problem) => problems.push(problem),
        }
        progress.count();
    }
    drop(progress);
    let is_error = problems.iter().any(super::super::session::is_error);
    explain::say(global, session, &problems);
    if is_error {
        return Err(Failure::Input);
    }
    let mut reports = Vec::new();
    for Made {
        report,
        folder,
        files,
    } in made
    {
        for (path, staged) in files {
            staged.keep().map_err(|error| Failure::Write(path, error))?;
        }
        folder.keep();
        reports.push(report);
    }
    folder.keep();
    let report = CiliumReport {
        version: 1,
        release: match loaded.settings.cilium.version {
            Version::V1_19 => "1.19",
            Version::V1_20 => "1.20",
        },
        nodes: reports,
    };
    match compile.format {
        ImageFormat::Json => Answer::new(global).write(|out| json::line(&report, out))?,
        ImageFormat::Human => Answer::new(global).write(|out| human(&report, out))?,
    }
    Ok(Answered::Yes)
}

/// The nodes that are asked for; else all, and the pods whose node is not known if there are any.
fn nodes(session: &Session, asked: &[Option<NodeId>]) -> Vec<Option<NodeId>> {
    if !asked.is_empty() {
        return asked.to_vec();
    }
    let cluster = &session.loaded.cluster;
    let has_lost = cluster
        .pods()
        .iter()
        .any(|pod| pod.node.is_none() && !pod.host_network && !pod.finished);
    let known = (0..crate::source::to_u32(cluster.nodes().len())).map(|index| Some(NodeId(index)));
    known.chain(has_lost.then_some(None)).collect()
}

fn name(session: &Session, node: Option<NodeId>) -> Option<String> {
    let node = node.and_then(|node| session.loaded.cluster.node(node));
    node.map(|node| node.name.to_string())
}

/// The maps of a node, how many packets were compared with the definition, and what there is to say of them.
fn maps(
    session: &Session,
    enforcement: &Enforcement,
    node: Option<NodeId>,
) -> Result<(NodeMaps, u64, Vec<Diagnostic>), Diagnostic> {
    let loaded = &session.loaded;
    let called = name(session, node).map_or("pods whose node is not known".to_owned(), |name| {
        format!("node `{name}`")
    });
    let maps = NodeMaps::new(&loaded.cluster, &loaded.policies, enforcement, node);
    let maps = maps.map_err(|error| {
        Diagnostic::new(
            &codes::IMAGE_LIMIT,
            format!("the maps of {called}: {error}"),
        )
    })?;
    let wrong = |what: String| {
        let message = format!("the maps of {called}: {what}");
        Diagnostic::new(&codes::IMAGE_DISAGREES, message)
            .help("this is a bug in verdict; please report it with this message")
    };
    let printed = Dump::read(|file| {
        let mut text = Vec::new();
        // Writing to memory does not fail.
        let _ = print(&maps, file, &mut text);
        text
    });
    let printed = printed.map_err(|errors| {
        let first = errors.first().map(ToString::to_string);
        wrong(first.unwrap_or_default())
    })?;
    let context = Context {
        sources: &session.sources,
        cluster: &loaded.cluster,
        policies: &loaded.policies,
    };
    let verified = verify(context, enforcement, node, printed, BUDGET);
    if let Some(first) = verified.differences.first() {
        return Err(wrong(format!(
            "{} {} {}: {}, and the manifests say {}",
            first.pod, first.direction, first.protocol, first.node, first.manifests
        )));
    }
    let room = loaded.settings.cilium.bpf_policy_map_max;
    let full = maps
        .endpoints
        .iter()
        .filter(|endpoint| u32::try_from(endpoint.entries.len()).unwrap_or(u32::MAX) > room);
    let warnings = full.map(|endpoint| overflow(endpoint, room)).collect();
    Ok((maps, verified.compared, warnings))
}

/// Of what does not fit, an agent leaves out what happens to come last.
fn overflow(endpoint: &Endpoint, room: u32) -> Diagnostic {
    let count = endpoint.entries.len();
    Diagnostic::new(
        &codes::MAP_OVERFLOW,
        format!(
            "the policy map of `{}` has {count} entries, and `bpf-policy-map-max` is {room}",
            endpoint_name(endpoint)
        ),
    )
    .help(
        "raise `bpf-policy-map-max` (at most 65536) or write fewer and wider rules: of the rest Cilium leaves out some, and \
         where one denies, what it denies may pass",
    )
}

fn endpoint_name(endpoint: &Endpoint) -> String {
    endpoint
        .pod
        .as_ref()
        .map_or("host".to_owned(), |(namespace, name)| {
            format!("{namespace}/{name}")
        })
}

fn human(report: &CiliumReport, out: &mut dyn Write) -> io::Result<()> {
    for node in &report.nodes {
        let NodeReport {
            endpoints,
            entries,
            bytes,
            identities,
            ipcache,
            compared,
            ..
        } = node;
        let name = node.node.as_deref().unwrap_or(UNASSIGNED);
        write!(
            out,
            "{}/: {} with {entries} entries ({bytes} bytes)",
            clean(name),
            counted(*endpoints, "endpoint"),
        )?;
        if let Some(most) = node.most.as_ref().filter(|_| *endpoints > 1) {
            write!(
                out,
                ", most of them in {} ({})",
                clean(&most.endpoint),
                most.entries
            )?;
        }
        writeln!(
            out,
            "; {identities} identities, {ipcache} addresses; {} compared with the definition",
            counted(*compared, "packet"),
        )?;
    }
    Ok(())
}
