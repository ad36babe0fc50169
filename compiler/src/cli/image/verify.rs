//! `verdict image verify`: is a bundle whole, signed, and what the manifests say?

use super::super::args::{Global, ImageFormat, ImageVerify, Inputs};
use super::super::bundle::{Bundle, expired, key_file, other_fleet, refused, say};
use super::super::compile::{How, Image as Compiled, Made, each, ready};
use super::super::output::Answer;
use super::super::progress::Progress;
use super::super::render::json;
use super::super::session::Session;
use super::super::{Answered, Failure};
use super::changes::{ChangeReport, packet, said, told};
use crate::bundle::{BundleError, Changes, Examples, UNASSIGNED, Verifier, compare};
use crate::diagnostic::{Diagnostic, counted};
use crate::image::Image;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};

/// What was found out about a bundle.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct VerifyReport {
    /// The version of this format.
    version: u32,
    /// The bundle.
    bundle: String,
    /// The fleet that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<String>,
    /// Its generation.
    generation: u64,
    /// The SHA-256 digest of the manifest.
    manifest: String,
    /// How many nodes it has.
    nodes: usize,
    /// Whether everything that was looked at holds.
    holds: bool,
    /// `checked`, `wrong`, `not checked` (no `--verify-key`), or `none`.
    signature: &'static str,
    /// What was left out of the policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incomplete: Vec<String>,
    /// What is wrong with the bundle by itself.
    problems: Vec<ProblemReport>,
    /// How it stands to the manifests, where these were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<AgainstReport>,
}

/// Something that is wrong.
#[derive(Debug, Serialize, JsonSchema)]
struct ProblemReport {
    /// The code of the diagnostic.
    code: String,
    /// What is wrong, in words.
    message: String,
}

/// How a bundle stands to manifests.
#[derive(Debug, Serialize, JsonSchema)]
struct AgainstReport {
    /// Whether all images are those that the manifests compile to.
    same: bool,
    /// The nodes of which they are not.
    nodes: Vec<String>,
    /// What differs first.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<FirstReport>,
}

/// The first difference.
#[derive(Debug, Serialize, JsonSchema)]
struct FirstReport {
    /// The node.
    node: String,
    /// What kind of difference: `verdict`, `rule` (another decides, or it stands elsewhere), `endpoint`, `node`, or `other`
    /// (nothing that a packet of the endpoints shows).
    kind: &'static str,
    /// The packet: `before` is what the bundle says, `after` what the manifests say.
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<ChangeReport>,
    /// The difference in words, where it is none of a packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<String>,
}

pub(super) fn run(global: &Global, verify: &ImageVerify) -> Result<Answered, Failure> {
    let key = verify.terms.verify_key.as_deref();
    let key = key
        .map(|path| key_file(global, path, Verifier::read))
        .transpose()?;
    let session = (!verify.against.is_empty()).then(|| {
        let paths = verify.against.clone();
        Session::open(global, &Inputs { paths })
    });
    if let Some(session) = &session {
        ready(global, session, Session::imageable)?;
    }
    let bundle = Bundle::open(global, &verify.bundle)?;
    let mut problems = Vec::new();
    let signature = signature(&bundle, key.as_ref(), &mut problems);
    if let Some(fleet) = &verify.terms.fleet {
        problems.extend(other_fleet(&bundle, fleet));
    }
    if let Some(least) = verify.terms.at_least {
        problems.extend(expired(&bundle, least));
    }
    // What a key does not vouch for is not unpacked.
    if key.is_none() || signature == "checked" {
        problems.extend(images(global, &bundle));
    }
    let against = match (&session, problems.is_empty()) {
        (Some(session), true) => Some(against(global, session, &bundle)?),
        (Some(_) | None, _) => None,
    };
    say(global, &problems);
    let complete = session.is_none_or(|session| session.incomplete().is_empty());
    let holds = problems.is_empty() && against.as_ref().is_none_or(|against| against.same);
    let report = VerifyReport {
        version: 1,
        bundle: verify.bundle.display().to_string(),
        fleet: bundle.manifest.fleet.as_deref().map(str::to_owned),
        generation: bundle.manifest.generation,
        manifest: bundle.digest().to_string(),
        nodes: bundle.manifest.nodes.len(),
        holds,
        signature,
        incomplete: bundle
            .manifest
            .incomplete
            .iter()
            .map(|text| text.to_string())
            .collect(),
        problems: problems
            .iter()
            .map(|problem| ProblemReport {
                code: problem.code.id.to_owned(),
                message: problem.message.to_string(),
            })
            .collect(),
        against,
    };
    let answer = Answer::new(global);
    match verify.format {
        ImageFormat::Json => answer.write(|out| json::line(&report, out))?,
        ImageFormat::Human => answer.write(|out| print(&report, out))?,
    }
    Ok((holds && complete).into())
}

fn signature(
    bundle: &Bundle,
    key: Option<&Verifier>,
    problems: &mut Vec<Diagnostic>,
) -> &'static str {
    let Some(key) = key else {
        return match bundle.signature {
            Some(_) => "not checked",
            None => "none",
        };
    };
    match key.check(&bundle.text, bundle.signature.as_deref()) {
        Ok(()) => "checked",
        Err(error) => {
            problems.push(refused(&bundle.path, &error));
            match bundle.signature {
                Some(_) => "wrong",
                None => "none",
            }
        }
    }
}

/// Reads every image of a bundle, and returns what is wrong: each thing once.
fn images(global: &Global, bundle: &Bundle) -> Vec<Diagnostic> {
    let progress = Progress::of(global, "verifying", bundle.manifest.nodes.len());
    let nodes = bundle.manifest.nodes.par_iter();
    let found: Vec<BundleError> = nodes
        .filter_map(|node| {
            let error = bundle.image(node).err();
            progress.count();
            error
        })
        .collect();
    let inputs = crate::bundle::inputs(&|blob| bundle.fetch(blob), &bundle.manifest).err();
    let mut problems: Vec<Diagnostic> = Vec::new();
    for error in found.iter().chain(&inputs) {
        let problem = refused(&bundle.path, error);
        if !problems
            .iter()
            .any(|known| known.message == problem.message)
        {
            problems.push(problem);
        }
    }
    problems
}

/// Holds a bundle to what the manifests compile to.
fn against(global: &Global, session: &Session, bundle: &Bundle) -> Result<AgainstReport, Failure> {
    let of = |error: &BundleError| {
        say(global, &[refused(&bundle.path, error)]);
        Failure::Input
    };
    // By node what differs, if anything does.
    let take = |image: Compiled<'_>| {
        let name = image.node;
        let mut nodes = bundle.manifest.nodes.iter();
        let node = nodes.find(|node| node.name.as_deref() == name);
        let Some(node) = node else {
            let node = name.unwrap_or(UNASSIGNED).to_owned();
            let told = "the bundle has no image of it".to_owned();
            return Ok((node.clone(), Some(FirstReport::general(node, "node", told))));
        };
        if node.image == image.digest() {
            return Ok((node.text().to_owned(), None));
        }
        let bytes = bundle.image(node).map_err(|error| of(&error))?;
        // Without a cache all are made.
        let compiled = image.artifact.map(|made| made.image.write());
        let compiled = compiled.unwrap_or_default();
        let found = [&bytes, &compiled].map(|bytes| {
            let none = |error| of(&BundleError::NoImage(node.text().into(), error));
            Image::decode(bytes).map_err(none)
        });
        let [one, other] = found;
        let changes = compare(&one?, &other?, Examples(1));
        let first = FirstReport::of(node.text(), &changes);
        Ok((node.text().to_owned(), Some(first)))
    };
    let Made { nodes, .. } = each(global, session, &[], How::default(), &take)?;
    let known = |name: &str| nodes.iter().any(|(node, _)| node == name);
    let own = bundle.manifest.nodes.iter().map(crate::bundle::Node::text);
    let gone = own.filter(|name| !known(name)).map(|name| {
        let told = "the manifests have no such node with pods".to_owned();
        let first = FirstReport::general(name.to_owned(), "node", told);
        (name.to_owned(), first)
    });
    let differ = nodes.iter().map(|(name, first)| (name, first.is_some()));
    let differ = differ
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| name.clone());
    let gone: Vec<(String, FirstReport)> = gone.collect();
    let names: Vec<String> = differ
        .chain(gone.iter().map(|(name, _)| name.clone()))
        .collect();
    let firsts = nodes.into_iter().filter_map(|(_, first)| first);
    let firsts = firsts.chain(gone.into_iter().map(|(_, first)| first));
    Ok(AgainstReport {
        same: names.is_empty(),
        nodes: names,
        // A packet that gets another verdict says more than anything else.
        first: firsts.min_by_key(|first| first.kind != "verdict"),
    })
}

impl FirstReport {
    fn general(node: String, kind: &'static str, told: String) -> Self {
        Self {
            node,
            kind,
            flow: None,
            told: Some(told),
        }
    }

    fn of(node: &str, changes: &Changes) -> Self {
        let flow = |kind, change| Self {
            node: node.to_owned(),
            kind,
            flow: Some(told(change)),
            told: None,
        };
        let general = |kind, told| Self::general(node.to_owned(), kind, told);
        if let Some(change) = changes.examples.first() {
            return flow("verdict", change);
        }
        if let Some(endpoint) = changes.new.first() {
            return general("endpoint", format!("the bundle lacks endpoint {endpoint}"));
        }
        if let Some(endpoint) = changes.gone.first() {
            return general(
                "endpoint",
                format!("the manifests have no endpoint {endpoint}"),
            );
        }
        if let Some(change) = &changes.rule {
            return flow("rule", change);
        }
        if changes.cut {
            let told = "no packet among those that were compared shows it: the bundle has more runs of addresses";
            return general("other", told.to_owned());
        }
        let told =
            "no packet of its endpoints shows it: policies of other nodes, or how files are named"
                .to_owned();
        general("other", told)
    }
}

fn print(report: &VerifyReport, out: &mut dyn Write) -> io::Result<()> {
    let holds = if report.holds {
        "holds"
    } else {
        "does not hold"
    };
    let fleet = report.fleet.as_deref();
    let fleet = fleet.map_or(String::new(), |fleet| format!(" of fleet {fleet}"));
    writeln!(
        out,
        "{}: generation {}{fleet} {holds}: {}, manifest sha256 {}",
        report.bundle,
        report.generation,
        counted(report.nodes, "node"),
        report.manifest.get(..16).unwrap_or_default()
    )?;
    writeln!(out, "  signature: {}", report.signature)?;
    for left_out in &report.incomplete {
        writeln!(out, "  incomplete: {}", super::clean(left_out))?;
    }
    for problem in &report.problems {
        writeln!(out, "  {}: {}", problem.code, problem.message)?;
    }
    let Some(against) = &report.against else {
        return Ok(());
    };
    if against.same {
        return writeln!(out, "  it is what the manifests say");
    }
    writeln!(
        out,
        "  it is not what the manifests say: {} differ",
        counted(against.nodes.len(), "node")
    )?;
    let Some(first) = &against.first else {
        return Ok(());
    };
    match (&first.flow, &first.told) {
        (Some(flow), _) => {
            writeln!(out, "  node {}: {}", first.node, packet(flow))?;
            writeln!(
                out,
                "    the bundle says     {}",
                said(flow.before.as_ref())
            )?;
            writeln!(out, "    the manifests say   {}", said(flow.after.as_ref()))
        }
        (None, told) => {
            let told = told.as_deref().unwrap_or_default();
            writeln!(out, "  node {}: {told}", first.node)
        }
    }
}
