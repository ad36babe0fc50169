//! `compile --bundle` and `compile --check`.

use super::super::args::{CompileBundle, Global, ImageFormat};
use super::super::bundle::{Bundle, Committed, Writer, key_file, other_fleet, refused, say};
use super::super::output::Answer;
use super::super::session::Session;
use super::super::{Answered, Failure, render};
use super::{How, Image, ImageReport, Made, each};
use crate::bundle::{Blob, Digest, Manifest, Packed, Record, Shared, Signer, UNASSIGNED};
use crate::diagnostic::counted;
use crate::image::Limits;
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A bundle that was written.
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
    /// Whether there is a new generation; false where the one that was there says the same.
    new_generation: bool,
    /// The SHA-256 digest of the manifest.
    manifest: String,
    /// Whether the manifest is signed.
    signed: bool,
    /// Whether the generation that was there has a signature that it did not have.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    newly_signed: bool,
    /// Chunks of the generation that was there, which were missing or damaged and are whole now.
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired_chunks: Option<usize>,
    /// How many chunks it has.
    chunks: usize,
    /// How many bytes they and the manifest take.
    bytes: u64,
    /// How many bytes the images of all nodes have.
    images_bytes: u64,
    /// Chunks that the generation before did not have.
    new_chunks: usize,
    /// Their bytes.
    new_bytes: u64,
}

/// A bundle that is to be written.
pub(super) struct Fleet {
    path: PathBuf,
    writer: Writer,
    parent: Option<Bundle>,
    fleet: Option<Box<str>>,
    signer: Option<Signer>,
}

/// What a bundle is made of.
pub(super) struct Contents {
    pub(super) packed: Vec<Packed>,
    pub(super) program: Digest,
    pub(super) inputs: Blob,
    pub(super) shared: Shared,
    pub(super) limits: Limits,
    pub(super) incomplete: Vec<String>,
    pub(super) images_bytes: u64,
}

impl Fleet {
    /// Reads the key and what is there, before anything is compiled.
    pub(super) fn begin(
        global: &Global,
        path: &Path,
        options: &CompileBundle,
    ) -> Result<Self, Failure> {
        let signer = options.sign.as_deref();
        let signer = signer
            .map(|key| key_file(global, key, Signer::read))
            .transpose()?;
        let parent = options.parent.as_deref();
        let parent = parent
            .map(|parent| Bundle::open(global, parent))
            .transpose()?;
        let writer = Writer::begin(global, path, options.bundle_format)?;
        let before = parent.as_ref().or(writer.previous());
        let known = before.and_then(|bundle| bundle.manifest.fleet.clone());
        let asked: Option<Box<str>> = options.fleet.as_deref().map(Into::into);
        if let (Some(asked), Some(before)) = (&asked, before)
            && let Some(problem) = other_fleet(before, asked)
        {
            say(global, &[problem]);
            return Err(Failure::Input);
        }
        Ok(Self {
            path: path.to_owned(),
            writer,
            fleet: asked.or(known),
            parent,
            signer,
        })
    }

    /// Whether a blob is there, and whole.
    pub(super) fn has(&self, blob: &Blob) -> bool {
        self.writer.has(blob)
    }

    /// Takes a blob.
    pub(super) fn put(&self, blob: &Blob, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.put(blob, bytes)
    }

    /// Puts everything in its place.
    pub(super) fn commit(self, contents: Contents) -> Result<BundleReport, Failure> {
        let mut manifest = Manifest::new(contents.program, contents.inputs, contents.shared);
        manifest.fleet.clone_from(&self.fleet);
        manifest.incomplete = contents.incomplete.into_iter().map(Into::into).collect();
        let records = contents.packed.iter();
        let records = records.map(|one| (one.node.record.sha256, one.record.clone()));
        let records: FxHashMap<Digest, Record> = records.collect();
        Packed::list(contents.packed, contents.limits, &mut manifest);
        let Committed {
            form,
            generation,
            digest,
            is_new,
            is_signed,
            repaired,
            newly_signed,
            chunks,
            bytes,
            new_chunks,
            new_bytes,
        } = self.writer.commit(
            manifest,
            &records,
            self.parent.as_ref(),
            self.signer.as_ref(),
        )?;
        Ok(BundleReport {
            bundle: self.path.display().to_string(),
            form: form.text(),
            fleet: self.fleet.map(Into::into),
            generation,
            new_generation: is_new,
            manifest: digest.to_string(),
            signed: is_signed,
            newly_signed,
            repaired_chunks: (repaired > 0).then_some(repaired),
            chunks,
            bytes,
            images_bytes: contents.images_bytes,
            new_chunks,
            new_bytes,
        })
    }
}

/// Tells of a bundle that was written.
pub(super) fn print(
    bundle: &BundleReport,
    images: &[ImageReport],
    out: &mut dyn Write,
) -> io::Result<()> {
    let fleet = bundle.fleet.as_deref();
    let fleet = fleet.map_or(String::new(), |fleet| format!(" of fleet {fleet}"));
    let signed = if bundle.signed { ", signed" } else { "" };
    let compared: u64 = images.iter().map(|image| image.compared).sum();
    writeln!(
        out,
        "{}: generation {}{fleet}{signed}, {}, {} proved, manifest sha256 {}",
        bundle.bundle,
        bundle.generation,
        counted(images.len(), "node"),
        counted(compared, "decision"),
        bundle.manifest.get(..16).unwrap_or_default(),
    )?;
    writeln!(
        out,
        "  {}, {} bytes, {:.1} % of the images' {}",
        counted(bundle.chunks, "chunk"),
        bundle.bytes,
        bundle.bytes as f64 * 100.0 / bundle.images_bytes.max(1) as f64,
        bundle.images_bytes,
    )?;
    match (bundle.new_generation, bundle.generation) {
        (true, 1) => Ok(()),
        (true, _) => writeln!(
            out,
            "  {} that the generation before did not have, {} bytes",
            counted(bundle.new_chunks, "chunk"),
            bundle.new_bytes
        ),
        (false, _) => {
            let mended = bundle.repaired_chunks.map(|repaired| {
                let chunks = counted(repaired, "chunk");
                format!("{chunks} of it missing or damaged before and whole now")
            });
            let signed = bundle.newly_signed.then(|| "signed now".to_owned());
            let mut told = vec!["it says the same as what was there".to_owned()];
            told.extend(mended.into_iter().chain(signed));
            writeln!(out, "  {}", told.join("; "))
        }
    }
}

/// Whether a bundle is what manifests say.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct CheckBundleReport {
    /// The version of this format.
    version: u32,
    /// The bundle.
    bundle: String,
    /// Its generation.
    generation: u64,
    /// Whether all its images are those that the manifests compile to.
    same: bool,
    /// Nodes whose image is another.
    changed: Vec<String>,
    /// Nodes that the bundle lacks.
    missing: Vec<String>,
    /// Nodes that the manifests lack.
    gone: Vec<String>,
}

/// `compile --check`.
pub(super) fn check(
    global: &Global,
    session: &Session,
    (path, fleet): (&Path, Option<&str>),
    how: How<'_>,
    format: ImageFormat,
) -> Result<Answered, Failure> {
    let bundle = Bundle::open(global, path)?;
    if let Some(problem) = fleet.and_then(|asked| other_fleet(&bundle, asked)) {
        say(global, &[problem]);
        return Err(Failure::Input);
    }
    let take = |image: Image<'_>| Ok((image.node.map(str::to_owned), image.digest()));
    let Made { nodes, .. } = each(global, session, &[], how, &take)?;
    let mut report = CheckBundleReport {
        version: 1,
        bundle: path.display().to_string(),
        generation: bundle.manifest.generation,
        same: true,
        changed: Vec::new(),
        missing: Vec::new(),
        gone: Vec::new(),
    };
    for node in &bundle.manifest.nodes {
        let compiled = nodes
            .iter()
            .find(|(name, _)| name.as_deref() == node.name.as_deref());
        let Some((_, compiled)) = compiled else {
            report.gone.push(node.text().to_owned());
            continue;
        };
        // What the manifest names is what is there, as far as that is looked at.
        bundle.record(node).map_err(|error| {
            say(global, &[refused(path, &error)]);
            Failure::Input
        })?;
        if node.image != *compiled {
            report.changed.push(node.text().to_owned());
        }
    }
    let known = |name: &Option<String>| {
        let mut nodes = bundle.manifest.nodes.iter();
        nodes.any(|node| node.name.as_deref() == name.as_deref())
    };
    let missing = nodes.iter().filter(|(name, _)| !known(name));
    let missing = missing.map(|(name, _)| name.clone().unwrap_or_else(|| UNASSIGNED.to_owned()));
    report.missing = missing.collect();
    report.same = report.changed.is_empty() && report.missing.is_empty() && report.gone.is_empty();
    let answer = Answer::new(global);
    match format {
        ImageFormat::Json => answer.write(|out| render::json::line(&report, out))?,
        ImageFormat::Human => answer.write(|out| print_check(&report, nodes.len(), out))?,
    }
    Ok((report.same && session.incomplete().is_empty()).into())
}

fn print_check(report: &CheckBundleReport, nodes: usize, out: &mut dyn Write) -> io::Result<()> {
    let (bundle, generation) = (&report.bundle, report.generation);
    if report.same {
        let nodes = counted(nodes, "node");
        return writeln!(
            out,
            "{bundle}: generation {generation} is what the manifests say, on {nodes}"
        );
    }
    let told = [
        ("another image for", &report.changed),
        ("none for", &report.missing),
        ("one too many for", &report.gone),
    ];
    let told = told
        .iter()
        .filter(|(_, nodes)| !nodes.is_empty())
        .map(|(what, nodes)| {
            let first = nodes.first().map_or("", String::as_str);
            match nodes.len() {
                1 => format!("{what} `{first}`"),
                many => format!("{what} `{first}` and {} more", many - 1),
            }
        });
    let told: Vec<String> = told.collect();
    writeln!(
        out,
        "{bundle}: generation {generation} is not what the manifests say: it has {} (`verdict image verify {bundle} \
         --against PATH...` shows a packet)",
        told.join(", ")
    )
}
