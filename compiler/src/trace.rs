//! Recorded traffic: what the policies say of each record.
//!
//! Input: a stream of [`Record`]s, one JSON object a line, or of flows as Hubble prints them, and an
//! [`Engine`](crate::engine::Engine). Output: a [`Reply`] for each record, in order, and an [`Outcome`]. Guarantee: memory does not grow with the trace; the
//! bytes written do not depend on the number of threads; a line that cannot be read is a [`Problem`] and is
//! answered with an error, and those behind it are read all the same. The entry is [`replay`].

pub mod record;
mod fault;
mod hubble;
mod peers;
mod ends;
mod batch;
mod memory;
mod answer;
mod shown;
mod replay;
pub mod summary;

pub use record::{Record, Side, Word};
pub use replay::{Change, Options, Outcome, replay};

use crate::diagnostic::Diagnostic;
use crate::explain::Context;
use crate::explain::report::PolicyName;
use crate::hir::RuleId;
use schemars::JsonSchema;
use serde::Serialize;

/// The longest line that is read, in bytes: a record of the native form has a few hundred.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// A line of a trace that has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from one.
    pub line: u64,
    /// The column at which reading stopped, counted in bytes from one, where that is known.
    pub column: Option<usize>,
    /// The beginning of the line.
    pub excerpt: String,
    /// What is wrong, and the remedy.
    pub diagnostic: Diagnostic,
}

/// What is answered for a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reply {
    /// The number of the record, counted from zero; empty lines have none.
    pub record: u64,
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
    /// Whether the verdict is what was recorded and expected; absent where nothing was.
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
