//! `verdict image explain`: a flow asked of an image alone.

use super::super::args::{Global, ImageExplain, ImageFormat};
use super::super::bundle::{Bundle, is_bundle, refused};
use super::super::input::{MAX_FILE_BYTES, whole_file};
use super::super::output::Answer;
use super::super::render::{clean, json};
use super::super::{Answered, Failure};
use super::{decoded, incomplete, refuse};
use crate::cluster::Protocol;
use crate::cluster::peer::{NamespaceSpec, PeerSpec, PortSpec};
use crate::diagnostic::counted;
use crate::image::{Asked, End, Image, NotAsked, Said, demand};
use crate::lir::transport::key;
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};
use std::net::IpAddr;
use verdict_abi::Action;

/// What an image says of a flow.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct ImageExplanation {
    /// The version of this format.
    version: u32,
    /// `allow`, `deny`, `depends` or `redirect`.
    verdict: &'static str,
    /// The address that the flow comes from; of a pod that does not exist, the pod as it was asked.
    src: String,
    /// The address that it goes to.
    dst: String,
    /// What was left out of the policies that the image was made from, so that the answer may be another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incomplete: Vec<String>,
    /// What it carries, as it was asked.
    port: String,
    /// Whether an end is a pod for which the tables of the image have no class: a node denies it until the image is
    /// compiled again.
    needs_recompile: bool,
    /// What the source's side says, if the source is an endpoint of the image or a pod that does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    egress: Option<SideReport>,
    /// What the destination's side says, if the destination is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<SideReport>,
}

/// What one side says.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SideReport {
    /// `allow`, `audit`, `deny`, `depends` or `redirect`.
    verdict: &'static str,
    /// The listener of a redirect.
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<u16>,
    /// What the ends must prove for it: `spire` or `test-always-fail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<String>,
    /// The policy that decides; missing where none has a say.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    /// Its rule; missing where the policy isolates and no rule allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// The file of the rule or the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Its line.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

pub(super) fn run(global: &Global, explain: &ImageExplain) -> Result<Answered, Failure> {
    let bytes = asked_image(global, explain)?;
    let image = decoded(global, &explain.image, &bytes)?;
    let src = end(&image, "--from", &explain.from)?;
    let dst = end(&image, "--to", &explain.to)?;
    let asked = image
        .ask(&src, &dst, packet(&explain.port)?)
        .map_err(|why| {
            Failure::Usage(match why {
                NotAsked::NoEndpoint => {
                    "neither end is an endpoint of this image; `verdict image inspect` shows them"
                        .into()
                }
                NotAsked::Apart => {
                    "the two ends have no address of one family that carries the protocol".into()
                }
            })
        })?;
    let report = ImageExplanation {
        version: 1,
        verdict: asked.verdict(),
        src: address(asked.addresses.0, &explain.from),
        dst: address(asked.addresses.1, &explain.to),
        incomplete: incomplete(&image),
        port: explain.port.clone(),
        needs_recompile: asked.needs_recompile,
        egress: asked.egress.as_ref().map(side),
        ingress: asked.ingress.as_ref().map(side),
    };
    match explain.format {
        ImageFormat::Json => Answer::new(global).write(|out| json::line(&report, out))?,
        ImageFormat::Human => {
            Answer::new(global).write(|out| print(explain, &asked, &report, out))?
        }
    }
    let passes = matches!(asked.verdict(), "allow" | "redirect");
    Ok((passes && report.incomplete.is_empty()).into())
}

/// The bytes of the image that is asked: those of a file, or of a node of a bundle.
fn asked_image(global: &Global, explain: &ImageExplain) -> Result<Vec<u8>, Failure> {
    let path = &explain.image;
    if !is_bundle(path) {
        return match &explain.node {
            None => whole_file(path, MAX_FILE_BYTES),
            Some(_) => Err(Failure::Usage(format!(
                "`{}` is one image: `--node` is for bundles",
                path.display()
            ))),
        };
    }
    let bundle = Bundle::open(global, path)?;
    let node = match (&explain.node, &*bundle.manifest.nodes) {
        (Some(name), _) => bundle.manifest.wanted(name),
        (None, [node]) => Ok(node),
        (None, nodes) => {
            return Err(Failure::Usage(format!(
                "bundle `{}` has {}: name the one whose image is asked, `--node NAME`; `verdict image inspect` lists all",
                path.display(),
                counted(nodes.len(), "node")
            )));
        }
    };
    node.and_then(|node| bundle.image(node))
        .map_err(|error| refuse(global, &[refused(path, &error)]))
}

fn address(address: Option<IpAddr>, asked: &str) -> String {
    address.map_or_else(|| asked.to_owned(), |address| address.to_string())
}

fn end(image: &Image<'_>, option: &str, text: &str) -> Result<End, Failure> {
    if let Some(endpoint) = image.end_of_endpoint(text) {
        return Ok(endpoint);
    }
    let unknown = |why: &str| Failure::Usage(format!("`{option} {text}` {why}"));
    let spec = PeerSpec::parse(text).map_err(|problem| Failure::Usage(problem.message.clone()))?;
    match &spec {
        PeerSpec::Address(address) => Ok(image.end_of_address(*address)),
        PeerSpec::Hypothetical {
            namespace: NamespaceSpec::Named(namespace),
            labels,
        } => image.new_pod_in(namespace, labels).ok_or_else(|| {
            unknown(
                "is in a namespace that this image does not know; one that does not exist is written by its labels, \
                 `[KEY=VALUE,...]/[KEY=VALUE,...]`",
            )
        }),
        PeerSpec::Hypothetical {
            namespace: NamespaceSpec::Labels(namespace),
            labels,
        } => Ok(image.new_pod(namespace, labels)),
        PeerSpec::Named { .. }
        | PeerSpec::Node(_)
        | PeerSpec::Entity(_)
        | PeerSpec::Fqdn(_)
        | PeerSpec::Service { .. } => Err(unknown(
            "is neither an endpoint of this image (`NAMESPACE/POD`, `node/NAME`) nor an address nor a pod that does not exist \
             (`NAMESPACE[KEY=VALUE,...]`); an image knows other pods by their addresses only, and a pod on the network of its \
             node by the node's",
        )),
    }
}

/// The transport key of one packet.
fn packet(text: &str) -> Result<u32, Failure> {
    let port = PortSpec::parse(text).map_err(|problem| Failure::Usage(problem.message.clone()))?;
    match port {
        PortSpec::Range {
            protocol,
            first,
            last,
        } if first == last => Ok(key(protocol, first.into())),
        PortSpec::Icmp { protocol, kind } => Ok(key(protocol, u32::from(kind) << 8)),
        PortSpec::Protocol(protocol)
            if !protocol.has_ports() && !matches!(protocol, Protocol::ICMP | Protocol::ICMPV6) =>
        {
            Ok(key(protocol, 0))
        }
        PortSpec::Any | PortSpec::Protocol(_) | PortSpec::Range { .. } | PortSpec::Named { .. } => {
            Err(Failure::Usage(format!(
                "`{text}` is more than one packet, or a name: an image is asked about one, such as `80/TCP`, \
                 `8/ICMP` or `/47`"
            )))
        }
    }
}

pub(super) fn side(said: &Said) -> SideReport {
    let code = said.code;
    let verdict = match code.action {
        Action::Deny if code.depends => "depends",
        Action::Deny => "deny",
        Action::Audit => "audit",
        Action::Allow => "allow",
        Action::Redirect if demand::proxy(code).is_none() => "allow",
        Action::Redirect => "redirect",
    };
    let origin = said.origin.as_ref();
    SideReport {
        verdict,
        listener: demand::proxy(code),
        auth: demand::auth(code).map(|auth| auth.to_string()),
        policy: origin.map(|origin| origin.policy.to_string()),
        rule: origin.and_then(|origin| origin.rule.as_deref().map(str::to_owned)),
        file: origin.map(|origin| origin.file.to_string()),
        line: origin.map(|origin| origin.line),
    }
}

impl SideReport {
    /// In a line: the verdict, and who decides.
    pub(super) fn line(&self) -> String {
        let asks = self.auth.as_ref();
        let asks = asks.map_or(String::new(), |auth| format!(" if authenticated ({auth})"));
        let verdict = format!("{}{asks}", self.verdict);
        match (&self.policy, &self.file, self.line) {
            (Some(policy), Some(file), Some(line)) => {
                let rule = self.rule.as_deref();
                let rule = rule.unwrap_or("isolates, and no rule allows it");
                format!("{verdict} by {policy} {rule}  {file}:{line}")
            }
            (_, _, _) => format!("{verdict}: no policy keeps it"),
        }
    }
}

fn print(
    explain: &ImageExplain,
    asked: &Asked,
    report: &ImageExplanation,
    out: &mut dyn Write,
) -> io::Result<()> {
    let named = |text: &str, address: &str| {
        if text == address {
            text.to_owned()
        } else {
            format!("{text} ({address})")
        }
    };
    writeln!(
        out,
        "{}: {} to {}, {}",
        asked.verdict(),
        named(&explain.from, &report.src),
        named(&explain.to, &report.dst),
        explain.port
    )?;
    for left_out in &report.incomplete {
        writeln!(out, "  incomplete: {}", clean(left_out))?;
    }
    for (direction, side) in [("egress", &report.egress), ("ingress", &report.ingress)] {
        let Some(side) = side else {
            writeln!(
                out,
                "  {direction:<8} not asked: that end is no endpoint of this image"
            )?;
            continue;
        };
        writeln!(out, "  {direction:<8} {}", side.line())?;
    }
    if report.needs_recompile {
        writeln!(
            out,
            "  the tables have no class for it: a node denies it until the image is compiled again"
        )?;
    }
    Ok(())
}
