//! `verdict image`: what is in an image, what it says of a flow, and what a node holds.

mod audit;
mod bundle;
pub(super) mod changes;
pub(super) mod explain;
mod extract;
pub(super) mod gc;
pub(super) mod verify;

use super::args::{Global, Image as Command, ImageFormat};
use super::bundle::{images_in, is_bundle, is_folder_of_one, say};
use super::input::{MAX_FILE_BYTES, whole_file};
use super::output::Answer;
use super::render::clean;
use super::{Answered, Failure};
use crate::diagnostic::{Diagnostic, codes};
use crate::image::{DecodeError, Image, digest_text, hex, section_name};
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use verdict_abi::{Config, Section};

/// What is in some images.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct InspectReport {
    /// The version of this format.
    version: u32,
    /// The images.
    images: Vec<Inspected>,
    /// The bundles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bundles: Vec<bundle::BundleReport>,
}

/// One image.
#[derive(Debug, Serialize, JsonSchema)]
struct Inspected {
    /// The file.
    file: String,
    /// Its size in bytes.
    bytes: usize,
    /// Its SHA-256 digest.
    sha256: String,
    /// The node; missing for the pods whose node is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// The endpoints: `namespace/name`.
    endpoints: Vec<String>,
    /// What was left out of the policies that it was made from, so that it may decide otherwise than they do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incomplete: Vec<String>,
    /// Classes of peers.
    classes: u32,
    /// Classes of ports.
    port_classes: u32,
    /// Leaves: peers as the cluster's rules tell them apart.
    leaves: u32,
    /// Tables, shared between endpoints.
    tables: u32,
    /// Rows, shared between tables.
    rows: u32,
    /// Verdict codes.
    codes: u32,
    /// The sections that become maps.
    sections: Vec<SectionReport>,
    /// What the image carries of the open world.
    world: WorldReport,
    /// The sections that are no maps.
    other_sections: Vec<SectionReport>,
}

/// What an image carries to place what it has not seen.
#[derive(Debug, Serialize, JsonSchema)]
struct WorldReport {
    /// Policies, those of other nodes among them.
    policies: usize,
    /// Their rules.
    rules: usize,
    /// Distinct selectors of pods.
    pod_selectors: usize,
    /// Pods as policies can tell them apart.
    identities: usize,
    /// Names with DNS answers that were seen.
    names: usize,
}

/// A section.
#[derive(Debug, Serialize, JsonSchema)]
struct SectionReport {
    /// Its name.
    name: String,
    /// Its size in bytes.
    bytes: usize,
    /// Its SHA-256 digest: what a kernel tells of the map.
    sha256: String,
}

pub(super) fn run(global: &Global, image: &Command) -> Result<Answered, Failure> {
    match image {
        Command::Inspect { images, format } => inspect(global, images, *format),
        Command::Explain(asked) => explain::run(global, asked),
        Command::Audit(asked) => audit::run(global, asked),
        Command::Verify(asked) => verify::run(global, asked),
        Command::Diff(asked) => changes::run(global, asked),
        Command::Extract(asked) => extract::run(global, asked),
        Command::Gc(asked) => gc::run(global, asked),
    }
}

fn inspect(global: &Global, paths: &[PathBuf], format: ImageFormat) -> Result<Answered, Failure> {
    let mut images = Vec::new();
    let mut problems = Vec::new();
    let mut bundles = Vec::new();
    for path in paths {
        let inside = if is_folder_of_one(path) {
            Vec::new()
        } else {
            images_in(path)
        };
        if inside.is_empty() && is_bundle(path) {
            bundles.push(bundle::inspected(global, path)?);
            continue;
        }
        let path = std::slice::from_ref(path);
        for path in if inside.is_empty() { path } else { &inside } {
            let bytes = whole_file(path, MAX_FILE_BYTES)?;
            match Image::decode(&bytes) {
                Ok(image) => images.push(inspected(path, &bytes, &image)),
                Err(error) => problems.push(no_image(path, &error)),
            }
        }
    }
    if !problems.is_empty() {
        return Err(refuse(global, &problems));
    }
    let report = InspectReport {
        version: 1,
        images,
        bundles,
    };
    match format {
        ImageFormat::Json => {
            Answer::new(global).write(|out| super::render::json::line(&report, out))?
        }
        ImageFormat::Human => Answer::new(global).write(|out| print(&report, out))?,
    }
    Ok(Answered::Yes)
}

/// Reads an image.
fn decoded<'b>(global: &Global, path: &Path, bytes: &'b [u8]) -> Result<Image<'b>, Failure> {
    Image::decode(bytes).map_err(|error| refuse(global, &[no_image(path, &error)]))
}

fn no_image(path: &Path, error: &DecodeError) -> Diagnostic {
    let name = path.display().to_string();
    let message = format!("`{name}` is no image that can be read: {error}");
    Diagnostic::new(&codes::NO_IMAGE, message)
        .file(name)
        .help("compile it again, or fetch it again from where it came")
}

fn refuse(global: &Global, problems: &[Diagnostic]) -> Failure {
    say(global, problems);
    Failure::Input
}

fn inspected(path: &Path, bytes: &[u8], image: &Image<'_>) -> Inspected {
    let (source, world) = (image.source(), image.world());
    Inspected {
        file: path.display().to_string(),
        bytes: bytes.len(),
        sha256: digest_text(bytes),
        node: source.node.as_deref().map(str::to_owned),
        endpoints: source.endpoints.iter().map(ToString::to_string).collect(),
        incomplete: incomplete(image),
        classes: image.count(Config::Classes),
        port_classes: image.count(Config::PortClasses),
        leaves: image.count(Config::Leaves),
        tables: image.count(Config::Tables),
        rows: image.count(Config::Rows),
        codes: image.count(Config::Codes),
        sections: image.sections().map(section).collect(),
        world: WorldReport {
            policies: world.policies.len(),
            rules: world
                .policies
                .iter()
                .flat_map(|policy| &policy.rules)
                .map(Vec::len)
                .sum(),
            pod_selectors: world.pod_selectors.len(),
            identities: world.identities.len(),
            names: world.answers.len(),
        },
        other_sections: image.other_sections().map(section).collect(),
    }
}

fn section((name, bytes, digest): (&str, usize, [u8; 32])) -> SectionReport {
    SectionReport {
        name: name.to_owned(),
        bytes,
        sha256: hex(&digest),
    }
}

/// What an image says was left out of it.
fn incomplete(image: &Image<'_>) -> Vec<String> {
    let left_out = &image.source().incomplete;
    left_out.iter().map(ToString::to_string).collect()
}

/// The largest section, and with what it grows.
fn dominating(sections: &[SectionReport]) -> Option<(&SectionReport, &'static str)> {
    let largest = sections.iter().rev().max_by_key(|section| section.bytes)?;
    let section = Section::ALL
        .into_iter()
        .find(|section| section_name(*section) == largest.name)?;
    let grows = match section {
        Section::Config => "nothing",
        Section::V4
        | Section::V6Starts
        | Section::V6Leaves
        | Section::V6Groups
        | Section::V6Hosts => "the addresses of the cluster and the blocks of its policies",
        Section::Leaves => "the kinds of peers in the cluster",
        Section::Protocols | Section::Directories | Section::Pages => "the ports that rules cut",
        Section::Rows => "tables and classes",
        Section::Cells => "rows and port classes",
        Section::Codes => "the rules that decide",
        Section::Endpoints | Section::Addresses => "the endpoints of the node",
    };
    Some((largest, grows))
}

/// How many endpoints are named to people.
const NAMED: usize = 20;

fn print(report: &InspectReport, out: &mut dyn Write) -> io::Result<()> {
    for (image, index) in report.images.iter().zip(0..) {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(
            out,
            "{}: {} bytes, sha256 {}",
            image.file, image.bytes, image.sha256
        )?;
        writeln!(
            out,
            "  node          {}",
            image.node.as_deref().unwrap_or("not known")
        )?;
        for left_out in &image.incomplete {
            writeln!(out, "  incomplete    {}", clean(left_out))?;
        }
        let counts = [
            ("classes", image.classes, "of leaves".to_owned()),
            ("port classes", image.port_classes, String::new()),
            ("leaves", image.leaves, String::new()),
            (
                "tables",
                image.tables,
                format!("for {} uses of endpoints", image.endpoints.len() * 4),
            ),
            (
                "rows",
                image.rows,
                format!(
                    "for {} places in tables",
                    u64::from(image.tables) * u64::from(image.classes)
                ),
            ),
            (
                "codes",
                image.codes,
                format!(
                    "for {} places in rows",
                    u64::from(image.rows) * u64::from(image.port_classes)
                ),
            ),
        ];
        for (name, count, shared) in counts {
            let line = format!("  {name:<12}{count:>10}  {shared}");
            writeln!(out, "{}", line.trim_end())?;
        }
        let WorldReport {
            policies,
            rules,
            pod_selectors,
            identities,
            names,
        } = &image.world;
        let counts = [
            ("policies", policies),
            ("rules", rules),
            ("selectors", pod_selectors),
            ("identities", identities),
            ("DNS names", names),
        ];
        for (name, count) in counts {
            writeln!(out, "  {name:<12}{count:>10}")?;
        }
        print_sections("sections", image.bytes, &image.sections, out)?;
        if let Some((section, grows)) = dominating(&image.sections) {
            writeln!(
                out,
                "  largest is {}, which grows with {grows}",
                section.name
            )?;
        }
        let others = &image.other_sections;
        print_sections("sections that are no maps", image.bytes, others, out)?;
        writeln!(out, "  endpoints")?;
        for endpoint in image.endpoints.iter().take(NAMED) {
            writeln!(out, "    {endpoint}")?;
        }
        if let Some(more @ 1..) = image.endpoints.len().checked_sub(NAMED) {
            writeln!(out, "    and {more} more")?;
        }
    }
    for bundle in &report.bundles {
        bundle::print(bundle, out)?;
    }
    Ok(())
}

fn print_sections(
    title: &str,
    whole: usize,
    sections: &[SectionReport],
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "  {title}")?;
    for section in sections {
        let digest = section.sha256.get(..16).unwrap_or_default();
        writeln!(
            out,
            "    {:<12}{:>10} bytes {:>3} %  sha256 {digest}",
            section.name,
            section.bytes,
            section.bytes * 100 / whole.max(1),
        )?;
    }
    Ok(())
}
