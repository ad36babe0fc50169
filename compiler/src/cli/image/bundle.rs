//! `verdict image inspect` of a bundle.

use super::super::Failure;
use super::super::args::Global;
use super::super::bundle::{Bundle, refused, say};
use crate::bundle::{BundleError, Node, UNASSIGNED, stored_bytes};
use crate::diagnostic::counted;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

/// A bundle.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BundleReport {
    /// Where it is.
    bundle: String,
    /// `dir`, `tar` or `oci`.
    form: &'static str,
    /// The fleet that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<String>,
    /// Its generation.
    generation: u64,
    /// The SHA-256 digest of the manifest.
    manifest: String,
    /// The digest of the manifest that it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    /// Generations that are there, the newest first; of an archive none is told.
    generations: Vec<u64>,
    /// What compiled it.
    compiler: String,
    /// The digest of what was compiled, free of any node.
    program: String,
    /// Whether it is signed; the signature is checked by `image verify` alone.
    signed: bool,
    /// What was left out of the policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incomplete: Vec<String>,
    /// The texts that it was compiled from.
    inputs: Vec<InputReport>,
    /// How much of what images have room for the largest takes.
    limits: Vec<LimitReport>,
    /// How many chunks the nodes have together.
    chunks: usize,
    /// How many bytes these take.
    bytes: u64,
    /// How many bytes the images have.
    images_bytes: u64,
    /// The nodes.
    nodes: Vec<NodeReport>,
}

/// A text that a bundle was compiled from.
#[derive(Debug, Serialize, JsonSchema)]
struct InputReport {
    /// Its file.
    file: String,
    /// Its SHA-256 digest.
    sha256: String,
    /// Its bytes.
    bytes: u64,
}

/// A limit of images.
#[derive(Debug, Serialize, JsonSchema)]
struct LimitReport {
    /// Of what.
    of: String,
    /// How much is used.
    used: u64,
    /// How much may be.
    most: u64,
}

/// A node of a bundle.
#[derive(Debug, Serialize, JsonSchema)]
struct NodeReport {
    /// Its name; missing for the pods whose node is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// The digest of the header of its image.
    image: String,
    /// The bytes of its image.
    bytes: u64,
    /// How many endpoints it has.
    endpoints: u32,
    /// How many chunks its image is made of.
    chunks: usize,
    /// How many bytes these take.
    stored_bytes: u64,
}

pub(super) fn inspected(global: &Global, path: &Path) -> Result<BundleReport, Failure> {
    let bundle = Bundle::open(global, path)?;
    report(&bundle).map_err(|error| {
        say(global, &[refused(path, &error)]);
        Failure::Input
    })
}

fn report(bundle: &Bundle) -> Result<BundleReport, BundleError> {
    let manifest = &bundle.manifest;
    let fetch = |blob: &crate::bundle::Blob| bundle.fetch(blob);
    let nodes: Result<Vec<NodeReport>, BundleError> = manifest
        .nodes
        .par_iter()
        .map(|of| node(bundle, of))
        .collect();
    let nodes = nodes?;
    let all = bundle.blobs(None)?;
    let inputs = crate::bundle::inputs(&fetch, manifest)?.inputs.into_iter();
    let generations = bundle.generations()?;
    Ok(BundleReport {
        bundle: bundle.path.display().to_string(),
        form: bundle.form.text(),
        fleet: manifest.fleet.as_deref().map(str::to_owned),
        generation: manifest.generation,
        manifest: bundle.digest().to_string(),
        parent: manifest.parent.map(|parent| parent.to_string()),
        generations: generations
            .iter()
            .map(|one| one.manifest.generation)
            .collect(),
        compiler: manifest.compiler.to_string(),
        program: manifest.program.to_string(),
        signed: bundle.signature.is_some(),
        incomplete: manifest
            .incomplete
            .iter()
            .map(ToString::to_string)
            .collect(),
        inputs: inputs
            .map(|input| InputReport {
                file: input.file.into(),
                sha256: input.sha256.to_string(),
                bytes: input.bytes,
            })
            .collect(),
        limits: manifest
            .limits
            .iter()
            .map(|limit| LimitReport {
                of: limit.of.to_string(),
                used: limit.used,
                most: limit.most,
            })
            .collect(),
        chunks: all.len(),
        bytes: stored_bytes(&all),
        images_bytes: nodes.iter().map(|node| node.bytes).sum(),
        nodes,
    })
}

fn node(bundle: &Bundle, node: &Node) -> Result<NodeReport, BundleError> {
    let record = bundle.record(node)?;
    let blobs = bundle.blobs(Some(node))?;
    Ok(NodeReport {
        node: node.name.as_deref().map(str::to_owned),
        image: node.image.to_string(),
        bytes: record.bytes(&bundle.manifest.shared),
        endpoints: record.endpoints,
        chunks: blobs.len(),
        stored_bytes: stored_bytes(&blobs),
    })
}

/// How many inputs and nodes are named to people.
const NAMED: usize = 20;

pub(super) fn print(bundle: &BundleReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{}: bundle ({}), manifest sha256 {}",
        bundle.bundle, bundle.form, bundle.manifest
    )?;
    let signed = if bundle.signed {
        "signed"
    } else {
        "not signed"
    };
    let fleet = bundle.fleet.as_deref().unwrap_or("not named");
    writeln!(out, "  fleet         {fleet}")?;
    writeln!(out, "  generation    {}, {signed}", bundle.generation)?;
    if let Some(parent) = &bundle.parent {
        writeln!(out, "  parent        {parent}")?;
    }
    writeln!(out, "  compiler      {}", bundle.compiler)?;
    writeln!(out, "  program       {}", bundle.program)?;
    for left_out in &bundle.incomplete {
        writeln!(out, "  incomplete    {}", super::clean(left_out))?;
    }
    writeln!(
        out,
        "  {}, {} bytes, {:.1} % of the images' {}",
        counted(bundle.chunks, "chunk"),
        bundle.bytes,
        bundle.bytes as f64 * 100.0 / bundle.images_bytes.max(1) as f64,
        bundle.images_bytes
    )?;
    writeln!(out, "  most of any image")?;
    for limit in &bundle.limits {
        writeln!(
            out,
            "    {:<26}{:>10} of {}",
            limit.of, limit.used, limit.most
        )?;
    }
    writeln!(out, "  inputs")?;
    for input in bundle.inputs.iter().take(NAMED) {
        let digest = input.sha256.get(..16).unwrap_or_default();
        let file = super::clean(&input.file);
        writeln!(out, "    {file}: {} bytes, sha256 {digest}", input.bytes)?;
    }
    if let Some(more @ 1..) = bundle.inputs.len().checked_sub(NAMED) {
        writeln!(out, "    and {more} more")?;
    }
    writeln!(out, "  nodes")?;
    for node in bundle.nodes.iter().take(NAMED) {
        writeln!(
            out,
            "    {}: {}, {} bytes in {}, which take {}",
            node.node.as_deref().unwrap_or(UNASSIGNED),
            counted(node.endpoints, "endpoint"),
            node.bytes,
            counted(node.chunks, "chunk"),
            node.stored_bytes
        )?;
    }
    if let Some(more @ 1..) = bundle.nodes.len().checked_sub(NAMED) {
        writeln!(out, "    and {more} more")?;
    }
    Ok(())
}
