//! The shape of what `status` prints.

use super::{Attestation, BundleReport, WarningReport, bundle, warnings};
use crate::node::{
    Attached, AttachedState, GenerationStatus, Hook, Kind, ReasonStatus, RuleStatus, Status,
    StoredStatus,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;
use verdict_abi::Action;
use verdict_abi::datapath::Reason;
use verdict_compiler::image::hex;

/// What a node does.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusReport {
    /// The version of this format.
    version: u32,
    /// The folder of pins.
    pub(in crate::cli) root: String,
    /// Whether a generation enforces at everything that is attached.
    pub(in crate::cli) enforcing: bool,
    /// The generation that enforces; missing where nothing is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) generation: Option<GenerationReport>,
    /// The one to which `rollback` goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) previous: Option<StoredReport>,
    /// What is attached.
    pub(in crate::cli) attachments: Vec<AttachmentReport>,
    /// What of the pins cannot be read, or is none of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::cli) damaged: Vec<WarningReport>,
    /// What was decided by rule since the generation was loaded; rules that decided nothing are left out.
    pub(in crate::cli) rules: Vec<RuleReport>,
    /// What was decided by reason, over all generations; reasons that were never given are left out.
    pub(in crate::cli) reasons: Vec<ReasonReport>,
}

/// A generation that is kept.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StoredReport {
    /// Its number.
    pub(in crate::cli) number: u64,
    /// The digest of its image.
    pub(in crate::cli) sha256: String,
}

/// The generation that enforces.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GenerationReport {
    /// Its number.
    pub(in crate::cli) number: u64,
    /// The digest of its image.
    pub(in crate::cli) sha256: String,
    /// The node that the image was made for; missing for the pods whose node is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) node: Option<String>,
    /// The generation of the bundle that the image is from; missing where it was loaded from a file of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) bundle: Option<BundleReport>,
    /// The endpoints of the image.
    pub(in crate::cli) endpoints: Vec<String>,
    /// What was left out of the policies that the image was made from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::cli) incomplete: Vec<String>,
    /// Who says that the kernel holds the image.
    pub(in crate::cli) attested: Attestation,
}

/// What is attached.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AttachmentReport {
    /// To what.
    pub(in crate::cli) kind: KindWord,
    /// The index of the interface, or the number of the cgroup.
    pub(in crate::cli) number: u64,
    /// The name of the interface, or its index where it has none in this network namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) interface: Option<String>,
    /// Whether the interface is in another network namespace.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::cli) elsewhere: bool,
    /// The endpoint behind an interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) endpoint: Option<String>,
    /// The path of a cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) cgroup: Option<String>,
    /// By what programs are held at an interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) hook: Option<HookReport>,
    /// Whether it is protected.
    pub(in crate::cli) state: StateWord,
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
    /// A command was killed, or a filter of somebody else comes before ours; the next command mends it.
    Unfinished,
    /// What it was attached to is no more.
    Gone,
    /// It is in another network namespace, where alone it can be looked at.
    Elsewhere,
    /// A pin is lost: who is behind it is not known.
    Damaged,
}

impl StateWord {
    pub(in crate::cli) const fn text(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Closed => "closed",
            Self::Unfinished => "unfinished",
            Self::Gone => "gone",
            Self::Elsewhere => "elsewhere",
            Self::Damaged => "damaged",
        }
    }
}

/// What a rule decided.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RuleReport {
    /// The policy; missing where no policy has a say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) policy: Option<String>,
    /// The path of the rule in it; missing where the policy isolates and no rule allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) rule: Option<String>,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) file: Option<String>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) line: Option<u32>,
    /// What it does: `allow`, `deny`, `audit` or `redirect`.
    pub(in crate::cli) action: String,
    /// Packets.
    pub(in crate::cli) packets: u64,
    /// Their bytes.
    pub(in crate::cli) bytes: u64,
}

/// What was decided for a reason.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReasonReport {
    /// The reason.
    pub(in crate::cli) reason: String,
    /// Whether packets pass for it.
    pub(in crate::cli) passes: bool,
    /// Packets.
    pub(in crate::cli) packets: u64,
    /// Their bytes.
    pub(in crate::cli) bytes: u64,
}

impl StatusReport {
    pub(in crate::cli) fn of(root: &Path, status: &Status) -> Self {
        let rules = status.generation.iter().flat_map(|own| &own.rules);
        let reasons = status.reasons.iter();
        Self {
            version: 1,
            root: root.display().to_string(),
            enforcing: status.is_enforcing(),
            generation: status.generation.as_ref().map(generation),
            previous: status.previous.as_ref().map(stored),
            attachments: status.attached.iter().map(attachment).collect(),
            damaged: warnings(&status.damaged),
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
        elsewhere: own.elsewhere,
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
            AttachedState::Damaged => StateWord::Damaged,
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
