//! The shapes of what is printed as JSON.

mod status;

pub use status::{
    AttachmentReport, GenerationReport, HookReport, KindWord, ReasonReport, RuleReport, StateWord,
    StatusReport, StoredReport,
};

use crate::attest::Witness;
use crate::node::{Changed, Kind, Named, Release};
use clap::ValueEnum;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use verdict_compiler::cli::Signed;
use verdict_compiler::diagnostic::Diagnostic;

/// A format with a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// What `load`, `attach`, `detach`, `rollback` and `unload` print.
    Change,
    /// What `status` prints.
    Status,
}

/// The formats of all schemas.
pub const NAMES: [Name; 2] = [Name::Change, Name::Status];

impl Name {
    /// The name on the command line; the file in `schemas/` has `node-` before it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Status => "status",
        }
    }

    /// The schema as it stands in `schemas/`.
    #[must_use]
    pub fn schema(self) -> String {
        let mut schema = match self {
            Self::Change => written::<ChangeReport>(),
            Self::Status => written::<StatusReport>(),
        };
        let title = format!("verdict-node {}", self.text());
        schema.insert("title".into(), title.into());
        let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
        text.push('\n');
        text
    }
}

fn written<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::default().for_serialize();
    settings.into_generator().into_root_schema_for::<T>()
}

/// What a command changed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChangeReport {
    /// The version of this format.
    version: u32,
    /// The generation that enforces; missing where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) generation: Option<u64>,
    /// Who says that the kernel holds the image, where one was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attested: Option<Attestation>,
    /// The generation of the bundle that the image is from, where one was loaded from a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bundle: Option<BundleReport>,
    /// Whether the image enforced already: nothing was loaded.
    pub(super) unchanged: bool,
    /// What is protected by it.
    pub(super) attached: Vec<PlaceReport>,
    /// What is protected no longer.
    pub(super) detached: Vec<PlaceReport>,
    /// What was swapped.
    pub(super) swapped: Vec<SwapReport>,
    /// What is worth knowing.
    pub(super) warnings: Vec<WarningReport>,
}

/// The generation of a bundle.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BundleReport {
    /// The fleet of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fleet: Option<String>,
    /// Its generation.
    pub(super) generation: u64,
    /// The SHA-256 digest of its manifest.
    pub(super) manifest: String,
    /// `checked`, `not checked` (no `--verify-key`), or `none`.
    pub(super) signature: &'static str,
}

fn bundle(release: &Release) -> BundleReport {
    BundleReport {
        fleet: release.fleet.as_deref().map(str::to_owned),
        generation: release.generation,
        manifest: release.manifest.to_string(),
        signature: match release.signed {
            Signed::Checked => "checked",
            Signed::NotChecked => "not checked",
            Signed::No => "none",
        },
    }
}

/// An interface with the endpoint behind it, or a cgroup.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlaceReport {
    /// What it is.
    pub(super) kind: KindWord,
    /// The index of the interface, or the number of the cgroup.
    pub(super) number: u64,
    /// The name of the interface, or its index where it has none in this network namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interface: Option<String>,
    /// The endpoint behind an interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<String>,
    /// The path of a cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cgroup: Option<String>,
}

fn place(named: &Named) -> PlaceReport {
    let number = named.number;
    match named.kind {
        Kind::Interface => PlaceReport {
            kind: KindWord::Interface,
            number,
            interface: Some(named.name.clone()),
            endpoint: Some(named.of.clone()),
            cgroup: None,
        },
        Kind::Cgroup => PlaceReport {
            kind: KindWord::Cgroup,
            number,
            interface: None,
            endpoint: None,
            cgroup: Some(named.of.clone()),
        },
    }
}

/// An interface or a cgroup that got other programs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SwapReport {
    /// Which.
    pub(super) name: String,
    /// How long it took, in microseconds.
    pub(super) microseconds: f64,
}

/// Something worth knowing.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WarningReport {
    /// The code, which has a page in the book.
    pub(super) code: String,
    /// What.
    pub(super) message: String,
}

fn warnings(diagnostics: &[Diagnostic]) -> Vec<WarningReport> {
    let warnings = diagnostics.iter().map(|warning| WarningReport {
        code: warning.code.id.to_owned(),
        message: warning.message.clone(),
    });
    warnings.collect()
}

/// Who says that the kernel holds the image.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Attestation {
    /// The kernel, by digests that it computed itself.
    Kernel,
    /// The maps were read back: this kernel computes no digests.
    ReadBack,
}

impl From<Witness> for Attestation {
    fn from(witness: Witness) -> Self {
        match witness {
            Witness::Kernel => Self::Kernel,
            Witness::ReadBack => Self::ReadBack,
        }
    }
}

impl ChangeReport {
    pub(super) fn of(changed: &Changed) -> Self {
        let swapped = changed.swapped.iter().map(|(name, taken)| SwapReport {
            name: name.clone(),
            microseconds: taken.as_secs_f64() * 1e6,
        });
        Self {
            version: 1,
            generation: changed.generation,
            attested: changed.witness.map(Attestation::from),
            bundle: changed.release.as_ref().map(bundle),
            unchanged: changed.unchanged,
            attached: changed.attached.iter().map(place).collect(),
            detached: changed.detached.iter().map(place).collect(),
            swapped: swapped.collect(),
            warnings: warnings(&changed.warnings),
        }
    }
}
