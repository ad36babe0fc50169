//! `verdict image diff`, and how a flow is told that two images decide otherwise.

use super::super::args::{Global, ImageDiff, ImageFormat};
use super::super::bundle::{Bundle, refused, say};
use super::super::output::Answer;
use super::super::render::json;
use super::super::{Answered, Failure};
use super::explain::{SideReport, side};
use crate::bundle::{BundleError, Change, Changes, Decided, Examples, Node, UNASSIGNED, compare};
use crate::diagnostic::counted;
use crate::hir::Direction;
use crate::image::Image;
use crate::lir::transport::NOT_KNOWN;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};

/// How many changes of a node are told one by one.
const TOLD: Examples = Examples(20);

/// What differs between two bundles.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct ImageDiffReport {
    /// The version of this format.
    version: u32,
    /// The generations of both.
    generations: [u64; 2],
    /// Whether they are for one fleet.
    same_fleet: bool,
    /// How many nodes have the same image in both.
    same: usize,
    /// The nodes that have not.
    nodes: Vec<NodeDiff>,
}

/// What differs on a node.
#[derive(Debug, Serialize, JsonSchema)]
struct NodeDiff {
    /// The node; missing for the pods whose node is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// `changed`, `new` or `gone`.
    status: &'static str,
    /// How many bytes the node fetches that has the old image; none of one that is gone.
    fetch_bytes: u64,
    /// How many bytes its new image has.
    image_bytes: u64,
    /// How many kinds of flows get another verdict.
    verdicts: u64,
    /// Some of them.
    changes: Vec<ChangeReport>,
    /// How many kinds of flows are decided by another rule, or one that stands elsewhere, to the same effect.
    rules: u64,
    /// Endpoints that the old image did not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    new_endpoints: Vec<String>,
    /// Endpoints that the new image has not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone_endpoints: Vec<String>,
    /// Whether there are more runs of addresses than are compared, so that more may differ; missing where all were.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

/// A kind of flows that two images decide otherwise.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChangeReport {
    /// The endpoint that is asked: `namespace/name`.
    endpoint: String,
    /// `ingress` or `egress`.
    direction: &'static str,
    /// The address at the other end; missing for a peer whose address is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    /// Whether the endpoint sends to itself by way of a service.
    by_service: bool,
    /// The protocol.
    protocol: String,
    /// The first and the last port (of ICMP type times 256 and code); missing where ports are not known, or there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<[u32; 2]>,
    /// What the old image says; missing where it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<SideReport>,
    /// What the new one says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<SideReport>,
}

pub(super) fn told(change: &Change) -> ChangeReport {
    let said = |decided: &Decided| match decided {
        Decided::Said(said) => Some(side(said)),
        Decided::Nothing => None,
    };
    let (first, last) = change.values;
    let has_values = change.protocol.has_ports() || first != 0 || last != 0;
    ChangeReport {
        endpoint: change.endpoint.to_string(),
        direction: match change.direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        },
        peer: change.other.map(|other| other.to_string()),
        by_service: change.by_service,
        protocol: change.protocol.to_string(),
        values: (has_values && first != NOT_KNOWN).then_some([first, last.min(NOT_KNOWN - 1)]),
        before: said(&change.before),
        after: said(&change.after),
    }
}

/// A change as a packet: `192.0.2.7 to shop/api (ingress), 80-90/TCP`.
pub(super) fn packet(change: &ChangeReport) -> String {
    let own = &change.endpoint;
    let peer = change
        .peer
        .as_deref()
        .unwrap_or("a peer whose address is not known");
    let ends = match (change.by_service, change.direction) {
        (true, direction) => format!("{own} to itself by way of a service ({direction})"),
        (false, "ingress") => format!("{peer} to {own} (ingress)"),
        (false, direction) => format!("{own} to {peer} ({direction})"),
    };
    let protocol = &change.protocol;
    match change.values {
        None => format!("{ends}, {protocol}"),
        Some([first, last]) if first == last => format!("{ends}, {first}/{protocol}"),
        Some([first, last]) => format!("{ends}, {first}-{last}/{protocol}"),
    }
}

/// What one side says, in a line.
pub(super) fn said(side: Option<&SideReport>) -> String {
    match side {
        Some(side) => side.line(),
        None => "nothing".to_owned(),
    }
}

pub(super) fn run(global: &Global, diff: &ImageDiff) -> Result<Answered, Failure> {
    let [old, new] = [&diff.old, &diff.new].map(|path| Bundle::open(global, path));
    let (old, new) = (old?, new?);
    let compared: Vec<Result<Option<NodeDiff>, Failure>> = new
        .manifest
        .nodes
        .par_iter()
        .map(|node| node_diff(global, &old, &new, node))
        .collect();
    let mut report = ImageDiffReport {
        version: 1,
        generations: [old.manifest.generation, new.manifest.generation],
        same_fleet: old.manifest.fleet == new.manifest.fleet,
        same: 0,
        nodes: Vec::new(),
    };
    for node in compared {
        match node? {
            Some(node) => report.nodes.push(node),
            None => report.same += 1,
        }
    }
    let is_gone = |node: &&Node| new.manifest.node(node.text()).is_none();
    let gone = old.manifest.nodes.iter().filter(is_gone);
    report.nodes.extend(gone.map(|node| NodeDiff {
        status: "gone",
        ..NodeDiff::of(node, &Changes::default())
    }));
    let answer = Answer::new(global);
    match diff.format {
        ImageFormat::Json => answer.write(|out| json::line(&report, out))?,
        ImageFormat::Human => answer.write(|out| print(&report, out))?,
    }
    Ok(report.nodes.is_empty().into())
}

impl NodeDiff {
    fn of(node: &Node, changes: &Changes) -> Self {
        let names = |names: &[Box<str>]| names.iter().map(ToString::to_string).collect();
        Self {
            node: node.name.as_deref().map(str::to_owned),
            status: "changed",
            fetch_bytes: 0,
            image_bytes: 0,
            verdicts: changes.verdicts,
            changes: changes.examples.iter().map(told).collect(),
            rules: changes.rules,
            new_endpoints: names(&changes.new),
            gone_endpoints: names(&changes.gone),
            cut: changes.cut,
        }
    }
}

/// What differs on a node of the new bundle; none where nothing does.
fn node_diff(
    global: &Global,
    old: &Bundle,
    new: &Bundle,
    node: &Node,
) -> Result<Option<NodeDiff>, Failure> {
    let of = |bundle: &Bundle, error: &BundleError| {
        say(global, &[refused(&bundle.path, error)]);
        Failure::Input
    };
    let before = old.manifest.node(node.text());
    if before.is_some_and(|before| before.image == node.image) {
        return Ok(None);
    }
    let mut blobs = new.blobs(Some(node)).map_err(|error| of(new, &error))?;
    let record = new.record(node).map_err(|error| of(new, &error))?;
    let mut told = match before {
        None => NodeDiff {
            status: "new",
            ..NodeDiff::of(node, &Changes::default())
        },
        Some(before) => {
            let known = old.blobs(Some(before)).map_err(|error| of(old, &error))?;
            blobs.retain(|digest, _| !known.contains_key(digest));
            let one = old.image(before).map_err(|error| of(old, &error))?;
            let other = new.image(node).map_err(|error| of(new, &error))?;
            let none = |bundle: &Bundle, error| {
                of(bundle, &BundleError::NoImage(node.text().into(), error))
            };
            let one = Image::decode(&one).map_err(|error| none(old, error))?;
            let other = Image::decode(&other).map_err(|error| none(new, error))?;
            NodeDiff::of(node, &compare(&one, &other, TOLD))
        }
    };
    told.fetch_bytes = crate::bundle::stored_bytes(&blobs);
    told.image_bytes = record.bytes(&new.manifest.shared);
    Ok(Some(told))
}

/// How many nodes, and how many changes of each, are told to people.
const SHOWN: usize = 10;

fn print(report: &ImageDiffReport, out: &mut dyn Write) -> io::Result<()> {
    let [before, after] = report.generations;
    writeln!(
        out,
        "generation {before} to {after}: {} with another image, {} with the same",
        counted(report.nodes.len(), "node"),
        report.same
    )?;
    if !report.same_fleet {
        writeln!(out, "the bundles are for different fleets")?;
    }
    for node in report.nodes.iter().take(SHOWN) {
        let name = node.node.as_deref().unwrap_or(UNASSIGNED);
        match node.status {
            "gone" => writeln!(out, "{name}: gone")?,
            status => writeln!(
                out,
                "{name}: {status}, fetches {} bytes, {:.1} % of its image",
                node.fetch_bytes,
                node.fetch_bytes as f64 * 100.0 / node.image_bytes.max(1) as f64
            )?,
        }
        for (sign, endpoints) in [("+", &node.new_endpoints), ("-", &node.gone_endpoints)] {
            for endpoint in endpoints.iter().take(SHOWN) {
                writeln!(out, "  {sign} endpoint {endpoint}")?;
            }
        }
        for change in node.changes.iter().take(SHOWN) {
            writeln!(out, "  {}", packet(change))?;
            writeln!(out, "    before  {}", said(change.before.as_ref()))?;
            writeln!(out, "    after   {}", said(change.after.as_ref()))?;
        }
        if node.cut {
            writeln!(
                out,
                "  more runs of addresses than are compared: more may differ"
            )?;
        }
        let shown = node.changes.len().min(SHOWN) as u64;
        if let Some(more @ 1..) = node.verdicts.checked_sub(shown) {
            writeln!(
                out,
                "  and {} more that get another verdict",
                counted(more, "kind of flow")
            )?;
        }
        if node.status == "changed" && node.verdicts == 0 {
            let rules = match node.rules {
                0 => String::new(),
                rules => format!("; {} are decided by another rule or line", rules),
            };
            writeln!(
                out,
                "  no packet of its endpoints gets another verdict{rules}"
            )?;
        }
    }
    if let Some(more @ 1..) = report.nodes.len().checked_sub(SHOWN) {
        writeln!(
            out,
            "and {} (`--format json` has all)",
            counted(more, "more node")
        )?;
    }
    Ok(())
}
