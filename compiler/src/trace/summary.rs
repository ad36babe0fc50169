//! A replay in sum: for people, and as one JSON object.

use super::{Change, Outcome, RuleCount};
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
    /// How many bytes the packets among them had on the wire.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// When the first record was taken, where they tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// When the last record was taken, where they tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// What was left out of the input, so that verdicts may be others: policies of kinds that are not read,
    /// objects that have errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
    /// How many lines have no answer, and how many defects captures have.
    pub unanswered: u64,
    /// What captures show, where any were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture: Option<CaptureReport>,
    /// How many addresses DNS answers in the traces told that policies ask for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub names_learnt: u64,
    /// How many they told beyond those that are learnt at a time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub names_not_learnt: u64,
    /// How many of those that were learnt stand behind packets that are later, which were judged without them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub names_late: u64,
    /// How many were forgotten for want of room after they were over: packets of that time that come later do not know them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub names_forgotten: u64,
    /// Whether it is a comparison with other policies (`--against`): what was recorded is then their verdict.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub against: bool,
    /// How many records have which verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// How many records each policy decides, alone or with others.
    pub policies: Vec<PolicyCount>,
    /// How many records each rule decides, alone or with others.
    pub rules: Vec<RuleCount>,
    /// How many records have the verdict that was recorded and expected.
    pub agreeing: u64,
    /// How many have another.
    pub disagreeing: u64,
    /// The flows that disagree.
    pub changes: Vec<ChangeReport>,
    /// How many records disagree that are none of these.
    pub more_changes: u64,
}

/// What captures show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CaptureReport {
    /// How many connections there are.
    pub connections: u64,
    /// How many of them began before the capture, so that it is not sure which end opened them.
    pub older: u64,
    /// How many were forgotten while they lived, since there were more than are followed at a time: what came of them later
    /// counts as another connection.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forgotten: u64,
    /// How many packets have a time more than a day from that of their neighbours: they count as of the time of the packet
    /// before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub doubted: u64,
    /// How many addresses the snapshot does not know: they are taken as outside.
    pub outside: u64,
    /// How many packets are passed over, by the reason.
    pub passed_over: BTreeMap<String, u64>,
    /// How many connections are seen twice, before and behind a service of the snapshot.
    pub translated: u64,
    /// How many are seen twice that nothing explains.
    pub unexplained: u64,
    /// Some of these.
    pub translations: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn addresses(count: u64) -> String {
    match count {
        1 => "1 address".into(),
        count => format!("{count} addresses"),
    }
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
    pub fn of(outcome: &Outcome, mut incomplete: Vec<String>, against: bool) -> Self {
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
            bytes: outcome.bytes,
            first: outcome.span.first(),
            last: outcome.span.last(),
            incomplete,
            unanswered: outcome.errors,
            capture: capture(outcome),
            names_learnt: outcome.learnt,
            names_not_learnt: outcome.not_learnt,
            names_late: outcome.late,
            names_forgotten: outcome.names_forgotten,
            against,
            rules: outcome.by_rule.clone(),
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

fn capture(outcome: &Outcome) -> Option<CaptureReport> {
    if outcome.connections == 0 && outcome.passed.is_empty() {
        return None;
    }
    Some(CaptureReport {
        connections: outcome.connections,
        older: outcome.older,
        forgotten: outcome.forgotten,
        doubted: outcome.doubted,
        outside: outcome.outside,
        passed_over: outcome.passed.clone(),
        translated: outcome.translated,
        unexplained: outcome.unexplained,
        translations: outcome.translations.clone(),
    })
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
        let what = if self.capture.is_some() {
            "packet"
        } else {
            "record"
        };
        writeln!(f, "{}: {verdicts}", counted(self.records, what))?;
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            let bytes = match self.bytes {
                0 => String::new(),
                bytes => format!("{bytes} bytes, "),
            };
            writeln!(f, "{bytes}{first} to {last}")?;
        }
        if let Some(capture) = &self.capture {
            write!(f, "{capture}")?;
        }
        if self.names_learnt > 0 {
            let addresses = addresses(self.names_learnt);
            writeln!(
                f,
                "{addresses} of names that policies ask for, from DNS answers in the trace"
            )?;
        }
        if self.names_not_learnt > 0 {
            let addresses = addresses(self.names_not_learnt);
            writeln!(f, "{addresses} more, for which there was no room")?;
        }
        if self.names_late > 0 {
            let addresses = addresses(self.names_late);
            writeln!(
                f,
                "{addresses} of these behind packets that are later, which were judged without: sort the capture by time"
            )?;
        }
        if self.names_forgotten > 0 {
            let addresses = addresses(self.names_forgotten);
            writeln!(
                f,
                "{addresses} forgotten after they were over, for want of room: earlier packets that come later do not know them"
            )?;
        }
        for left_out in &self.incomplete {
            writeln!(f, "incomplete: {left_out}")?;
        }
        if self.agreeing + self.disagreeing > 0 {
            let (same, other) = (self.agreeing, self.disagreeing);
            if self.against {
                writeln!(f, "{same} as before, {other} not")?;
            } else {
                writeln!(f, "{same} as recorded or expected, {other} not")?;
            }
        }
        if self.unanswered > 0 {
            let lines = counted(self.unanswered, "line");
            writeln!(f, "{lines} without an answer")?;
        }
        if !self.policies.is_empty() {
            writeln!(f, "\ndecided by")?;
            for PolicyCount { policy, records } in &self.policies {
                writeln!(f, "{records:>9}  {policy}")?;
                let rules = self.rules.iter();
                for count in rules.filter(|count| count.rule.policy == *policy) {
                    let RuleCount { rule, records } = count;
                    let (path, file, line) = (&rule.rule, &rule.file, rule.line);
                    writeln!(f, "{records:>9}    {path} {}  {file}:{line}", rule.action)?;
                }
            }
        }
        if !self.changes.is_empty() {
            let title = if self.against {
                "changes"
            } else {
                "not as recorded or expected"
            };
            writeln!(f, "\n{title}")?;
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

impl fmt::Display for CaptureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = counted(self.connections, "connection");
        write!(f, "{connections}")?;
        if self.older > 0 {
            write!(f, ", {} of them older than the capture", self.older)?;
        }
        writeln!(f)?;
        if self.forgotten > 0 {
            let connections = counted(self.forgotten, "connection");
            writeln!(
                f,
                "{connections} forgotten for want of room while they lived: what came later counts as another"
            )?;
        }
        if self.doubted > 0 {
            writeln!(
                f,
                "{} more than a day from the one before and the one behind: judged as of the one before",
                counted(self.doubted, "packet")
            )?;
        }
        if self.outside > 0 {
            let addresses = addresses(self.outside);
            writeln!(
                f,
                "{addresses} that the inputs do not know, taken as outside"
            )?;
        }
        if self.translated > 0 {
            let connections = counted(self.translated, "connection");
            writeln!(f, "{connections} seen before and behind a service")?;
        }
        if self.unexplained > 0 {
            let connections = counted(self.unexplained, "connection");
            writeln!(
                f,
                "{connections} translated by something that the inputs do not know (V0610)"
            )?;
        }
        for (why, count) in &self.passed_over {
            writeln!(f, "{} passed over: {why}", counted(*count, "packet"))?;
        }
        Ok(())
    }
}
