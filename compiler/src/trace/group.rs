//! Records put together: by connection, by workload, by policy.
//!
//! Guarantee: memory is bounded by [`MAX_GROUPS`]; what is beyond is counted.

use super::record::Word;
use super::{ReplyRule, Side, Span, time};
use crate::explain::report::PolicyName;
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// How many groups are told apart.
pub const MAX_GROUPS: usize = 1 << 18;

/// What `replay --by connection --format jsonl` prints for each connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConnectionReport {
    /// Its number, counted from zero. Those of a capture are numbered as they begin and printed as they end; those of
    /// other traces are printed in the order in which they first occur.
    pub connection: u64,
    /// The end that opened it: a pod, a node, or an address.
    pub src: String,
    /// The other end.
    pub dst: String,
    /// Protocol and port: `443/TCP`.
    pub port: String,
    /// The port of the end that opened it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sport: Option<u16>,
    /// The side that was asked, if only one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    /// The answer; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Word>,
    /// What became of it when it was recorded: a connection of a capture that was answered had passed. With `--against`,
    /// the verdict of the other policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Word>,
    /// Whether the verdict is what was recorded; absent where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agrees: Option<bool>,
    /// Whether it began before the capture, so that it is not sure which end opened it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub older: bool,
    /// How many packets, or records, are of the end that opened it.
    pub packets: u64,
    /// How many packets of a capture are of the other end.
    pub replies: u64,
    /// How many bytes they have together.
    pub bytes: u64,
    /// When it was seen first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// When it was seen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// The rules that decide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<ReplyRule>,
}

/// What `replay --by workload` prints for each pair of workloads and port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkloadReport {
    /// The workload, or the pod without one; a node; `outside`.
    pub src: String,
    /// The other.
    pub dst: String,
    /// Protocol and port: `443/TCP`.
    pub port: String,
    /// The side that was asked, if only one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    /// The answer.
    pub verdict: Word,
    /// How many records there are.
    pub records: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many of them have the verdict that was recorded.
    pub agreeing: u64,
    /// How many have another.
    pub disagreeing: u64,
    /// When the first was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// When the last was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// What `replay --by policy` prints for each rule that decides, and each policy that denies what no rule allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyReport {
    /// The policy.
    pub policy: PolicyName,
    /// The rule; absent for all records that the policy decides, by a rule or by isolating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What the rule does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// How many records it decides, alone or with others.
    pub records: u64,
}

/// What records of one group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) src: Box<str>,
    pub(super) dst: Box<str>,
    pub(super) port: Box<str>,
    /// Only for connections.
    pub(super) sport: Option<u16>,
    pub(super) side: Option<Side>,
    pub(super) verdict: Word,
}

/// What is counted of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) agreeing: u64,
    pub(super) disagreeing: u64,
    pub(super) recorded: Option<Word>,
    pub(super) span: Span,
    pub(super) rules: Vec<ReplyRule>,
}

impl Counted {
    fn join(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.agreeing += other.agreeing;
        self.disagreeing += other.disagreeing;
        self.recorded = self.recorded.or(other.recorded);
        self.span.join(other.span);
        if self.rules.is_empty() {
            self.rules = other.rules;
        }
    }
}

/// Groups in the order in which they first occur.
#[derive(Debug, Default)]
pub(super) struct Groups {
    list: Vec<(Key, Counted)>,
    known: FxHashMap<Key, usize>,
    /// How many records are of none of them.
    more: u64,
}

impl Groups {
    /// Takes in what is counted of a group.
    pub(super) fn add(&mut self, key: Key, counted: Counted) {
        if let Some((_, known)) = self.known.get(&key).and_then(|at| self.list.get_mut(*at)) {
            known.join(counted);
        } else if self.list.len() < MAX_GROUPS {
            self.known.insert(key.clone(), self.list.len());
            self.list.push((key, counted));
        } else {
            self.more += counted.records;
        }
    }

    /// Whether a group is known.
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.known.contains_key(key)
    }

    /// Takes in other groups, and empties them.
    pub(super) fn append(&mut self, other: &mut Self) {
        other.known.clear();
        for (key, counted) in other.list.drain(..) {
            self.add(key, counted);
        }
        self.more += std::mem::take(&mut other.more);
    }

    /// How many records are of no group that is told apart.
    pub(super) fn more(&self) -> u64 {
        self.more
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = ConnectionReport> + '_ {
        (0..)
            .zip(&self.list)
            .map(|(number, (key, counted))| ConnectionReport {
                connection: number,
                src: key.src.to_string(),
                dst: key.dst.to_string(),
                port: key.port.to_string(),
                sport: key.sport,
                side: key.side.map(Side::as_str),
                verdict: Some(key.verdict),
                recorded: counted.recorded,
                agrees: (counted.agreeing + counted.disagreeing > 0)
                    .then_some(counted.disagreeing == 0),
                older: false,
                packets: counted.records,
                replies: 0,
                bytes: counted.bytes,
                first: counted.span.first(),
                last: counted.span.last(),
                rules: counted.rules.clone(),
            })
    }

    pub(super) fn workloads(&self) -> Vec<WorkloadReport> {
        let groups = self.list.iter();
        let mut reports: Vec<WorkloadReport> = groups
            .map(|(key, counted)| WorkloadReport {
                src: key.src.to_string(),
                dst: key.dst.to_string(),
                port: key.port.to_string(),
                side: key.side.map(Side::as_str),
                verdict: key.verdict,
                records: counted.records,
                bytes: counted.bytes,
                agreeing: counted.agreeing,
                disagreeing: counted.disagreeing,
                first: counted.span.first(),
                last: counted.span.last(),
            })
            .collect();
        let order = |one: &WorkloadReport| (one.src.clone(), one.dst.clone(), one.port.clone());
        reports.sort_by_cached_key(|one| (order(one), one.side, one.verdict));
        reports
    }
}

/// What a verdict is compared with, in words.
fn beside(recorded: Option<Word>, agrees: Option<bool>) -> String {
    match (recorded, agrees) {
        (Some(recorded), Some(false)) => format!("  (was {recorded})"),
        (Some(_) | None, _) => String::new(),
    }
}

fn side_text(side: Option<&str>) -> String {
    side.map(|side| format!(" ({side})")).unwrap_or_default()
}

impl fmt::Display for ConnectionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict.map_or("-", Word::as_str);
        let Self { src, dst, port, .. } = self;
        let sport = self
            .sport
            .map(|sport| format!(" from port {sport}"))
            .unwrap_or_default();
        let older = if self.older {
            "  (began before the capture)"
        } else {
            ""
        };
        let counts = match (self.replies, self.bytes) {
            (0, 0) => format!("{} records", self.packets),
            (replies, bytes) => format!("{}+{replies} packets, {bytes} bytes", self.packets),
        };
        write!(
            f,
            "{verdict:<8}  {src} -> {dst}  {port}{}{sport}  {counts}{}{older}",
            side_text(self.side),
            beside(self.recorded, self.agrees)
        )
    }
}

impl fmt::Display for WorkloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { src, dst, port, .. } = self;
        let other = match self.disagreeing {
            0 => String::new(),
            count => format!("  ({count} not as recorded)"),
        };
        write!(
            f,
            "{:>9}  {:<8}  {src} -> {dst}  {port}{}{other}",
            self.records,
            self.verdict.as_str(),
            side_text(self.side)
        )
    }
}

impl fmt::Display for PolicyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.rule, &self.action, &self.file, self.line) {
            (Some(rule), Some(action), Some(file), Some(line)) => {
                write!(f, "{:>9}    {rule}  {action}  {file}:{line}", self.records)
            }
            _ => write!(f, "{:>9}  {}", self.records, self.policy),
        }
    }
}

/// The time of the first and the last record of a connection of a capture.
pub(super) fn times(first: u64, last: u64) -> (Option<String>, Option<String>) {
    (Some(time::text(first)), Some(time::text(last)))
}
