//! A replay in sum: for people, and as one JSON object.

use super::replay::{Change, Outcome};
use crate::diagnostic::counted;
use crate::explain::report::PolicyName;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The version of the shape.
pub const VERSION: u32 = 1;

/// How many flows that disagree are shown to people.
const SHOWN: usize = 20;

/// What `replay --summary --format jsonl` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    /// The version of this shape.
    pub version: u32,
    /// How many records there were.
    pub records: u64,
    /// What was left out of the input, so that verdicts may be others: policies of kinds that are not read,
    /// objects that have errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
    /// How many lines have no answer.
    pub unanswered: u64,
    /// How many records have which verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// How many records each policy decides, alone or with others.
    pub policies: Vec<PolicyCount>,
    /// How many records have the verdict that was recorded and expected.
    pub agreeing: u64,
    /// How many have another.
    pub disagreeing: u64,
    /// The flows that disagree.
    pub changes: Vec<ChangeReport>,
    /// How many records disagree that are none of these.
    pub more_changes: u64,
}

/// How often a policy decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyCount {
    /// The policy.
    pub policy: PolicyName,
    /// In how many records.
    pub records: u64,
}

/// A flow whose verdict is not what was recorded or expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChangeReport {
    /// The source as the record names it.
    pub src: String,
    /// The destination as the record names it.
    pub dst: String,
    /// Protocol and port: `443/TCP`.
    pub port: String,
    /// The side that was asked, if only one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    /// What was recorded or expected.
    pub before: String,
    /// What the policies say.
    pub after: String,
    /// In how many records.
    pub records: u64,
}

impl Summary {
    /// The sum of a replay of policies from which `incomplete` was left out.
    #[must_use]
    pub fn of(outcome: &Outcome, mut incomplete: Vec<String>) -> Self {
        if outcome.assumed > 0 {
            let records = counted(outcome.assumed, "record");
            incomplete.push(format!(
                "{records} with an address of pods that no pod of the inputs has: it is judged as outside the cluster \
                 (V0510)"
            ));
        }
        let verdicts = outcome.by_verdict.iter();
        let policies = outcome.by_policy.iter();
        Self {
            version: VERSION,
            records: outcome.records,
            incomplete,
            unanswered: outcome.problems.len() as u64 + outcome.more_problems,
            verdicts: verdicts
                .map(|(word, count)| (word.as_str().to_owned(), *count))
                .collect(),
            policies: policies
                .map(|(object, records)| PolicyCount {
                    policy: object.into(),
                    records: *records,
                })
                .collect(),
            agreeing: outcome.agreeing,
            disagreeing: outcome.disagreeing,
            changes: outcome.changes.iter().map(change).collect(),
            more_changes: outcome.more_changes,
        }
    }
}

fn change((change, records): &(Change, u64)) -> ChangeReport {
    ChangeReport {
        src: change.src.clone(),
        dst: change.dst.clone(),
        port: change.port.clone(),
        side: change.side,
        before: change.before.as_str().into(),
        after: change.after.as_str().into(),
        records: *records,
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdicts: Vec<String> = self
            .verdicts
            .iter()
            .map(|(word, count)| format!("{count} {word}"))
            .collect();
        let verdicts = if verdicts.is_empty() {
            "none answered".into()
        } else {
            verdicts.join(", ")
        };
        writeln!(f, "{}: {verdicts}", counted(self.records, "record"))?;
        for left_out in &self.incomplete {
            writeln!(f, "incomplete: {left_out}")?;
        }
        if self.agreeing + self.disagreeing > 0 {
            writeln!(
                f,
                "{} as recorded or expected, {} not",
                self.agreeing, self.disagreeing
            )?;
        }
        if self.unanswered > 0 {
            let lines = counted(self.unanswered, "line");
            writeln!(f, "{lines} without an answer")?;
        }
        if !self.policies.is_empty() {
            writeln!(f, "\ndecided by")?;
            for PolicyCount { policy, records } in &self.policies {
                writeln!(f, "{records:>9}  {policy}")?;
            }
        }
        if !self.changes.is_empty() {
            writeln!(f, "\nnot as recorded or expected")?;
            for change in self.changes.iter().take(SHOWN) {
                let ChangeReport {
                    src,
                    dst,
                    port,
                    before,
                    after,
                    records,
                    ..
                } = change;
                let side = change
                    .side
                    .map(|side| format!(" ({side})"))
                    .unwrap_or_default();
                writeln!(
                    f,
                    "{records:>9}  {src} -> {dst}  {port}{side}: {before}, now {after}"
                )?;
            }
            let more = self.changes.len().saturating_sub(SHOWN) as u64 + self.more_changes;
            if more > 0 {
                writeln!(
                    f,
                    "           ... and {more} more (`--summary --format jsonl` has them)"
                )?;
            }
        }
        Ok(())
    }
}
