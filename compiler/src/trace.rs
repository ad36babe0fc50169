//! Recorded traffic: what the policies say of each record.
//!
//! Input: streams of captured packets (pcap, pcapng), of [`Record`]s, one JSON object a line, of flows as Hubble prints them,
//! or of GKE's policy-action logs, told apart by their content and unpacked if need be; and an
//! [`Engine`](crate::engine::Engine). Output: a [`Reply`] for each record, in order, or for what is put together ([`By`]),
//! and an [`Outcome`]. Guarantee: memory does not grow with the trace; the bytes written do not depend on the number of
//! threads; what cannot be read is a [`Problem`], and what is behind it is read all the same where the format allows it. The
//! entries are [`Replay`] and [`replay`].

pub mod record;
mod source;
mod zstd;
mod capture;
mod fault;
mod hubble;
mod gke;
mod dns;
mod names;
mod time;
mod told;
mod peers;
mod ends;
mod batch;
mod memory;
mod answer;
mod shown;
mod seen;
mod changes;
mod tally;
pub mod group;
mod connections;
mod translated;
mod pcap;
mod packets;
mod worker;
pub mod inspect;
mod replay;
pub mod summary;

pub use capture::{Passed, Tunnels};
pub use names::Dns;
pub use pcap::Denied;
pub use record::{Record, Side, Word};
pub use replay::{Asked, By, Options, Replay, replay};
pub use time::Span;

use crate::diagnostic::{Diagnostic, ObjectRef};
use crate::explain::Context;
use crate::explain::report::PolicyName;
use crate::hir::RuleId;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The longest line that is read, in bytes: a record of the native form has a few hundred.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Where in a trace something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line.
    Line {
        /// The line, counted from one.
        line: u64,
        /// The column at which reading stopped, counted in bytes from one, where that is known.
        column: Option<usize>,
    },
    /// A byte of a capture, counted from zero, when it is unpacked.
    Byte(u64),
    /// The whole.
    Trace,
}

/// Something in a trace that cannot be read or has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In which trace, counted from zero.
    pub trace: usize,
    /// Where in it.
    pub place: Place,
    /// The beginning of the line.
    pub excerpt: String,
    /// What is wrong, and the remedy.
    pub diagnostic: Diagnostic,
}

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many records there were, those without an answer among them.
    pub records: u64,
    /// How many bytes the packets among them had on the wire.
    pub bytes: u64,
    /// From when to when they were taken, where they tell.
    pub span: Span,
    /// How many records have which verdict.
    pub by_verdict: BTreeMap<Word, u64>,
    /// How many records a policy decides, alone or with others, by the policy.
    pub by_policy: BTreeMap<ObjectRef, u64>,
    /// How many records a rule decides, alone or with others, in the order of the rules.
    pub by_rule: Vec<RuleCount>,
    /// How many records have the verdict that was recorded and expected; with other policies to compare with, theirs.
    pub agreeing: u64,
    /// How many have another.
    pub disagreeing: u64,
    /// How many records have an answer that takes something for granted that the snapshot does not tell.
    pub assumed: u64,
    /// The flows that disagree, in the order in which they first occur, with how often they do.
    pub changes: Vec<(Change, u64)>,
    /// How many records disagree that are none of these.
    pub more_changes: u64,
    /// The lines without an answer, and the defects of captures.
    pub problems: Vec<Problem>,
    /// How many there are beyond these.
    pub more_problems: u64,
    /// How many of all are errors, and not only worth knowing.
    pub errors: u64,
    /// How many packets of captures were passed over, by the reason.
    pub passed: BTreeMap<String, u64>,
    /// How many connections captures have.
    pub connections: u64,
    /// How many of them began before the capture.
    pub older: u64,
    /// How many of them were forgotten while they lived, since there were more than are followed at a time.
    pub forgotten: u64,
    /// How many addresses of captures the snapshot does not know: they are outside.
    pub outside: u64,
    /// How many connections are seen twice, before and behind a service that the snapshot has.
    pub translated: u64,
    /// How many are seen twice that nothing explains.
    pub unexplained: u64,
    /// Some of these in words.
    pub translations: Vec<String>,
    /// How many addresses DNS answers in the traces told that policies ask for.
    pub learnt: u64,
    /// How many they told beyond those that are learnt at a time.
    pub not_learnt: u64,
    /// How many of those that were learnt stand behind packets that are later, which were judged without them.
    pub late: u64,
    /// How many were forgotten for want of room after they were over: packets of that time that come later do not know them.
    pub names_forgotten: u64,
    /// How many packets have a time that is far from that of their neighbours: they count as of the time of the one before.
    pub doubted: u64,
    /// How many records are of no group that is told apart.
    pub more_groups: u64,
}

/// How many records a rule decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RuleCount {
    /// The rule.
    pub rule: ReplyRule,
    /// In how many records.
    pub records: u64,
}

/// A flow whose verdict is not what was recorded or expected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// The source as the record names it.
    pub src: String,
    /// The destination as the record names it.
    pub dst: String,
    /// Protocol and port: `443/TCP`.
    pub port: String,
    /// The side that was asked, if only one was.
    pub side: Option<&'static str>,
    /// What was recorded or expected.
    pub before: Word,
    /// What the policies say.
    pub after: Word,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            src,
            dst,
            port,
            before,
            after,
            ..
        } = self;
        write!(f, "{src} -> {dst} {port}: {before} -> {after}")
    }
}

/// What is answered for a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reply {
    /// The number of the record, counted from zero; empty lines have none.
    pub record: u64,
    /// When a packet was captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The end that opened the connection of a packet: a pod, a node, or an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
    /// The other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst: Option<String>,
    /// What the connection of a packet carries: `443/TCP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// What a packet is to its connection: `new`, `established`, `reply`, or `related`. The verdict is that of the
    /// connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Whether the connection of a packet began before the capture, so that it is not sure which end opened it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub older: bool,
    /// Why a packet is passed over; then there is nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<String>,
    /// The answer of the sides that were asked, together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Word>,
    /// The answer of the source's side, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Word>,
    /// The answer of the destination's side, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Word>,
    /// What became of the flow when it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Word>,
    /// What the record's author expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Word>,
    /// The verdict of the policies that are compared with (`--against`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Word>,
    /// Whether the verdict is what was recorded and expected, or that of the policies that are compared with; absent where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agrees: Option<bool>,
    /// What the answer takes for granted that the snapshot does not tell, so that it may be another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
    /// What the ends must prove first, where a rule of a side that passes says so: `spire`, `test-always-fail`, or
    /// `disabled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auth: Vec<String>,
    /// The rules that decide, those of the source's side first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<ReplyRule>>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A rule that decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReplyRule {
    /// Its policy.
    pub policy: PolicyName,
    /// The rule: `spec.ingress[0]`.
    pub rule: String,
    /// What it does: `allow`, `redirect`, `deny` or `pass`.
    pub action: String,
    /// The file.
    pub file: String,
    /// The line.
    pub line: u32,
}

impl ReplyRule {
    /// A rule of the policies, with its place.
    #[must_use]
    pub fn of(context: Context<'_>, id: RuleId) -> Option<Self> {
        let (policy, rule) = context.policies.rule(id)?;
        let origin = context.policies.origin(id)?;
        let (file, location) = context.sources.location(origin.span);
        Some(Self {
            policy: (&policy.object).into(),
            rule: origin.path.to_string(),
            action: rule.word().into(),
            file: file.to_owned(),
            line: location.line,
        })
    }
}
