//! `verdict schema`: the JSON Schemas of the formats, made from the types that write and read them.

use super::args::Global;
use super::compile::cilium::CiliumReport;
use super::compile::{CheckBundleReport, CompileReport};
use super::image::InspectReport;
use super::image::changes::ImageDiffReport;
use super::image::explain::ImageExplanation;
use super::image::gc::GcReport;
use super::image::verify::VerifyReport;
use super::output::Answer;
use super::render::json::CheckReport;
use super::{Answered, Failure};
use crate::audit::AuditReport;
use crate::diff::report::DiffReport;
use crate::explain::report::Explanation;
use crate::frontend::settings::cilium;
use crate::list::report::{GroupReport, ListReport};
use crate::trace::group::{ConnectionReport, PolicyReport, WorkloadReport};
use crate::trace::summary::Summary;
use crate::trace::{Record, Reply};
use clap::ValueEnum;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, schema_for};

/// A format with a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// What `check --format json` prints.
    Check,
    /// What `explain --format json` prints.
    Explain,
    /// What `list --format json` prints.
    List,
    /// What `list --format json --group` prints.
    ListGroups,
    /// What `diff --format json` prints.
    Diff,
    /// What `compile --format json` prints.
    Compile,
    /// What `compile --target cilium --format json` prints.
    CompileCilium,
    /// What `compile --check BUNDLE --format json` prints.
    CompileCheck,
    /// What `image audit --format json` prints.
    ImageAudit,
    /// What `image diff --format json` prints.
    ImageDiff,
    /// What `image explain --format json` prints.
    ImageExplain,
    /// What `image gc --format json` prints.
    ImageGc,
    /// What `image inspect --format json` prints.
    ImageInspect,
    /// What `image verify --format json` prints.
    ImageVerify,
    /// A line of the native trace, which `replay --trace` reads.
    Trace,
    /// A line of what `replay --format jsonl` prints.
    Replay,
    /// What `replay --format json` prints.
    ReplaySummary,
    /// A line of what `replay --by connection --format jsonl` prints.
    ReplayConnection,
    /// A line of what `replay --by workload --format jsonl` prints.
    ReplayWorkload,
    /// A line of what `replay --by policy --format jsonl` prints.
    ReplayPolicy,
    /// The settings file, `verdict.toml`.
    Settings,
    /// The document `DnsSnapshot`.
    DnsSnapshot,
}

/// The formats of all schemas.
pub const NAMES: &[Name] = &[
    Name::Check,
    Name::Explain,
    Name::List,
    Name::ListGroups,
    Name::Diff,
    Name::Compile,
    Name::CompileCilium,
    Name::CompileCheck,
    Name::ImageAudit,
    Name::ImageDiff,
    Name::ImageExplain,
    Name::ImageGc,
    Name::ImageInspect,
    Name::ImageVerify,
    Name::Trace,
    Name::Replay,
    Name::ReplaySummary,
    Name::ReplayConnection,
    Name::ReplayWorkload,
    Name::ReplayPolicy,
    Name::Settings,
    Name::DnsSnapshot,
];

impl Name {
    /// The name on the command line and of the file in `schemas/`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Explain => "explain",
            Self::List => "list",
            Self::ListGroups => "list-groups",
            Self::Diff => "diff",
            Self::Compile => "compile",
            Self::CompileCilium => "compile-cilium",
            Self::CompileCheck => "compile-check",
            Self::ImageAudit => "image-audit",
            Self::ImageDiff => "image-diff",
            Self::ImageExplain => "image-explain",
            Self::ImageGc => "image-gc",
            Self::ImageInspect => "image-inspect",
            Self::ImageVerify => "image-verify",
            Self::Trace => "trace",
            Self::Replay => "replay",
            Self::ReplaySummary => "replay-summary",
            Self::ReplayConnection => "replay-connection",
            Self::ReplayWorkload => "replay-workload",
            Self::ReplayPolicy => "replay-policy",
            Self::Settings => "settings",
            Self::DnsSnapshot => "dns-snapshot",
        }
    }

    /// The schema as it stands in `schemas/`.
    #[must_use]
    pub fn schema(self) -> String {
        let mut schema = match self {
            Self::Check => written::<CheckReport<'static>>(),
            Self::Explain => written::<Explanation>(),
            Self::List => written::<ListReport<'static>>(),
            Self::ListGroups => written::<GroupReport<'static>>(),
            Self::Diff => written::<DiffReport<'static>>(),
            Self::Compile => written::<CompileReport>(),
            Self::CompileCilium => written::<CiliumReport>(),
            Self::CompileCheck => written::<CheckBundleReport>(),
            Self::ImageAudit => written::<AuditReport>(),
            Self::ImageDiff => written::<ImageDiffReport>(),
            Self::ImageGc => written::<GcReport>(),
            Self::ImageVerify => written::<VerifyReport>(),
            Self::ImageExplain => written::<ImageExplanation>(),
            Self::ImageInspect => written::<InspectReport>(),
            Self::Trace => schema_for!(Record<'static>),
            Self::Replay => written::<Reply>(),
            Self::ReplaySummary => written::<Summary>(),
            Self::ReplayConnection => written::<ConnectionReport>(),
            Self::ReplayWorkload => written::<WorkloadReport>(),
            Self::ReplayPolicy => written::<PolicyReport>(),
            Self::Settings => schema_for!(SettingsFile),
            Self::DnsSnapshot => schema_for!(DnsSnapshot),
        };
        title(&mut schema, self);
        let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// The schema of what is written: a field that may be left out is not required.
fn written<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::default().for_serialize();
    settings.into_generator().into_root_schema_for::<T>()
}

fn title(schema: &mut Schema, name: Name) {
    let text = format!("verdict {}", name.text());
    schema.insert("title".into(), text.into());
}

/// Prints one schema, or the names of all.
pub(super) fn run(global: &Global, name: Option<Name>) -> Result<Answered, Failure> {
    let text = match name {
        Some(name) => name.schema(),
        None => NAMES
            .iter()
            .map(|name| format!("{}\n", name.text()))
            .collect(),
    };
    Answer::new(global).write(|out| out.write_all(text.as_bytes()))?;
    Ok(Answered::Yes)
}

/// The settings that change verdicts.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "stands for a shape that is read from its text")]
struct SettingsFile {
    /// Whose implementation answers; `kubernetes` where it is not set.
    dialect: Option<DialectName>,
    /// Whether a block of addresses in a rule matches the addresses of pods; the dialect's default (true for
    /// `kubernetes`) where it is not set.
    cidr_matches_pods: Option<bool>,
    /// What NetworkPolicy takes pods on their nodes' networks for; the dialect's default (`pod` for `kubernetes`)
    /// where it is not set.
    host_network: Option<HostNetworkName>,
    /// Cilium's own options; they have no effect in the dialect `kubernetes`.
    #[schemars(schema_with = "cilium_options")]
    cilium: Option<()>,
}

/// What NetworkPolicy takes pods on their nodes' networks for.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "stands for a shape that is read from its text")]
enum HostNetworkName {
    Pod,
    Node,
}

/// Whose implementation answers.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "stands for a shape that is read from its text")]
enum DialectName {
    Kubernetes,
    Cilium,
}

/// The options of Cilium that change verdicts, each in the types in which its values may be written.
fn cilium_options(_: &mut schemars::SchemaGenerator) -> Schema {
    let options = cilium::ALL.iter().map(|option| {
        let mut schema = serde_json::json!({
            "description": option.about.trim(),
            "type": option.types,
        });
        if let (Some(fields), false) = (schema.as_object_mut(), option.words.is_empty()) {
            fields.insert("enum".into(), option.words.into());
        }
        (option.name.to_owned(), schema)
    });
    schemars::json_schema!({
        "type": ["object", "null"],
        "properties": options.collect::<serde_json::Map<_, _>>(),
        "additionalProperties": false,
    })
}

/// DNS answers that were seen.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "stands for a shape that is read from its text")]
struct DnsSnapshot {
    /// The version of this shape.
    api_version: ApiVersion,
    /// The kind of document.
    kind: SnapshotKind,
    /// The name of the document.
    metadata: Option<serde_json::Map<String, serde_json::Value>>,
    /// The addresses that were seen, by domain name.
    names: std::collections::BTreeMap<String, Vec<std::net::IpAddr>>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for a shape that is read from its text")]
enum ApiVersion {
    #[schemars(rename = "verdict.dev/v1")]
    V1,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for a shape that is read from its text")]
enum SnapshotKind {
    DnsSnapshot,
}
