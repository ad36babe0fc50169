//! The shapes of what is printed as JSON.

use crate::attest::Witness;
use crate::node::{
    Attached, AttachedState, Changed, GenerationStatus, Hook, Kind, ReasonStatus, Release,
    RuleStatus, Status, StoredStatus,
};
use clap::ValueEnum;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use std::path::Path;
use verdict_abi::Action;
use verdict_abi::datapath::Reason;
use verdict_compiler::cli::Signed;
use verdict_compiler::image::hex;

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
        let warnings = changed.warnings.iter().map(|warning| WarningReport {
            code: warning.code.id.to_owned(),
            message: warning.message.clone(),
        });
        Self {
            version: 1,
            generation: changed.generation,
            attested: changed.witness.map(Attestation::from),
            bundle: changed.release.as_ref().map(bundle),
            swapped: swapped.collect(),
            warnings: warnings.collect(),
        }
    }
}

/// What a node does.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusReport {
    /// The version of this format.
    version: u32,
    /// The folder of pins.
    pub(super) root: String,
    /// Whether a generation enforces at everything that is attached.
    pub(super) enforcing: bool,
    /// The generation that enforces; missing where nothing is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) generation: Option<GenerationReport>,
    /// The one to which `rollback` goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<StoredReport>,
    /// What is attached.
    pub(super) attachments: Vec<AttachmentReport>,
    /// What was decided by rule since the generation was loaded; rules that decided nothing are left out.
    pub(super) rules: Vec<RuleReport>,
    /// What was decided by reason, over all generations; reasons that were never given are left out.
    pub(super) reasons: Vec<ReasonReport>,
}

/// A generation that is kept.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StoredReport {
    /// Its number.
    pub(super) number: u64,
    /// The digest of its image.
    pub(super) sha256: String,
}

/// The generation that enforces.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GenerationReport {
    /// Its number.
    pub(super) number: u64,
    /// The digest of its image.
    pub(super) sha256: String,
    /// The node that the image was made for; missing for the pods whose node is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<String>,
    /// The generation of the bundle that the image is from; missing where it was loaded from a file of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bundle: Option<BundleReport>,
    /// The endpoints of the image.
    pub(super) endpoints: Vec<String>,
    /// What was left out of the policies that the image was made from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) incomplete: Vec<String>,
    /// Who says that the kernel holds the image.
    pub(super) attested: Attestation,
}

/// What is attached.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AttachmentReport {
    /// To what.
    pub(super) kind: KindWord,
    /// The index of the interface, or the number of the cgroup.
    pub(super) number: u64,
    /// The name of the interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interface: Option<String>,
    /// The endpoint behind an interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<String>,
    /// The path of a cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cgroup: Option<String>,
    /// By what programs are held at an interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hook: Option<HookReport>,
    /// Whether it is protected.
    pub(super) state: StateWord,
}

/// To what something is attached.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KindWord {
    /// The host's side of an interface.
    Interface,
    /// A cgroup.
    Cgroup,
}

/// By what programs are held at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HookReport {
    /// By links of tcx.
    Tcx,
    /// By filters of traffic control.
    Clsact,
}

/// Whether something that was asked to be protected is.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StateWord {
    /// By the policies of the generation.
    Enforced,
    /// Nothing passes.
    Closed,
    /// A command was killed; the next one finishes what it did.
    Unfinished,
    /// What it was attached to is no more.
    Gone,
    /// It is in another network namespace, where alone it can be looked at.
    Elsewhere,
}

impl StateWord {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Closed => "closed",
            Self::Unfinished => "unfinished",
            Self::Gone => "gone",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// What a rule decided.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RuleReport {
    /// The policy; missing where no policy has a say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<String>,
    /// The path of the rule in it; missing where the policy isolates and no rule allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<String>,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u32>,
    /// What it does: `allow`, `deny`, `audit` or `redirect`.
    pub(super) action: String,
    /// Packets.
    pub(super) packets: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

/// What was decided for a reason.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReasonReport {
    /// The reason.
    pub(super) reason: String,
    /// Whether packets pass for it.
    pub(super) passes: bool,
    /// Packets.
    pub(super) packets: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

impl StatusReport {
    pub(super) fn of(root: &Path, status: &Status) -> Self {
        let rules = status.generation.iter().flat_map(|own| &own.rules);
        let reasons = status.reasons.iter();
        Self {
            version: 1,
            root: root.display().to_string(),
            enforcing: status.is_enforcing(),
            generation: status.generation.as_ref().map(generation),
            previous: status.previous.as_ref().map(stored),
            attachments: status.attached.iter().map(attachment).collect(),
            rules: rules.map(rule).collect(),
            reasons: reasons
                .filter(|one| one.counter.packets > 0)
                .map(counted)
                .collect(),
        }
    }
}

fn stored(stored: &StoredStatus) -> StoredReport {
    StoredReport {
        number: stored.number,
        sha256: hex(&stored.digest),
    }
}

fn generation(own: &GenerationStatus) -> GenerationReport {
    GenerationReport {
        number: own.stored.number,
        sha256: hex(&own.stored.digest),
        node: own.node.clone(),
        bundle: own.release.as_ref().map(bundle),
        endpoints: own.endpoints.clone(),
        incomplete: own.incomplete.clone(),
        attested: own.witness.into(),
    }
}

fn attachment(own: &Attached) -> AttachmentReport {
    let (kind, interface, endpoint, cgroup) = match own.kind {
        Kind::Interface => (
            KindWord::Interface,
            Some(own.name.clone()),
            Some(own.of.clone()),
            None,
        ),
        Kind::Cgroup => (KindWord::Cgroup, None, None, Some(own.of.clone())),
    };
    AttachmentReport {
        kind,
        number: own.number,
        interface,
        endpoint,
        cgroup,
        hook: own.hook.map(|hook| match hook {
            Hook::Tcx => HookReport::Tcx,
            Hook::Clsact => HookReport::Clsact,
        }),
        state: match own.state {
            AttachedState::Enforced => StateWord::Enforced,
            AttachedState::Closed => StateWord::Closed,
            AttachedState::Unfinished => StateWord::Unfinished,
            AttachedState::Gone => StateWord::Gone,
            AttachedState::Elsewhere => StateWord::Elsewhere,
        },
    }
}

fn rule(own: &RuleStatus) -> RuleReport {
    let origin = own.origin.as_ref();
    let text = |text: &str| text.to_owned();
    RuleReport {
        policy: origin.map(|origin| text(&origin.policy)),
        rule: origin.and_then(|origin| origin.rule.as_deref().map(text)),
        file: origin.map(|origin| text(&origin.file)),
        line: origin.map(|origin| origin.line),
        action: match own.action {
            Action::Deny => "deny",
            Action::Audit => "audit",
            Action::Allow => "allow",
            Action::Redirect => "redirect",
        }
        .to_owned(),
        packets: own.counter.packets,
        bytes: own.counter.bytes,
    }
}

fn counted(own: &ReasonStatus) -> ReasonReport {
    ReasonReport {
        reason: word(own.reason).to_owned(),
        passes: own.reason.passes(),
        packets: own.counter.packets,
        bytes: own.counter.bytes,
    }
}

const fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Allowed => "allowed",
        Reason::Reply => "reply",
        Reason::Related => "related",
        Reason::Arp => "arp",
        Reason::Neighbour => "neighbour",
        Reason::Foreign => "non-ip",
        Reason::Denied => "denied",
        Reason::NotIp => "not-ip",
        Reason::Truncated => "truncated",
        Reason::Malformed => "malformed",
        Reason::Extensions => "extensions",
        Reason::Routed => "routed",
        Reason::Fragment => "fragment",
        Reason::Spoofed => "spoofed",
        Reason::NotOurs => "not-ours",
        Reason::NoEndpoint => "no-endpoint",
        Reason::Closed => "closed",
        Reason::Full => "full",
        Reason::Proxy => "proxy",
    }
}
