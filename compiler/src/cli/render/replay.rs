//! What came of a replay: for people, and as one JSON object.

use super::{clean, counted};
use crate::cli::output::Style;
use crate::explain::report::PolicyName;
use crate::trace::{Outcome, Word};
use clap::builder::styling::{AnsiColor, Style as Ansi};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How many flows that disagree, and how many lines without an answer, are shown.
const SHOWN: usize = 20;

/// The version of the shape.
const VERSION: u32 = 1;

/// What `verdict replay --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReplaySummary {
    /// The version of this shape.
    version: u32,
    /// What was left out of the input, so that the answers may be others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incomplete: Vec<String>,
    /// How many records there are.
    records: u64,
    /// How many records have which verdict.
    by_verdict: BTreeMap<&'static str, u64>,
    /// How many records each policy decides, alone or with others.
    by_policy: Vec<PolicyCount>,
    /// How many records have the verdict that was recorded and expected.
    agreeing: u64,
    /// How many have another.
    disagreeing: u64,
    /// The flows that disagree.
    changes: Vec<ChangeReport>,
    /// How many records disagree that are none of `changes`.
    more_changes: u64,
    /// How many records have no answer.
    problems: u64,
}

/// How many records a policy decides.
#[derive(Debug, Serialize, JsonSchema)]
struct PolicyCount {
    /// The policy.
    policy: PolicyName,
    /// How many records.
    records: u64,
}

/// A flow whose verdict is not what was recorded or expected.
#[derive(Debug, Serialize, JsonSchema)]
struct ChangeReport {
    /// The source as the record names it.
    src: String,
    /// The destination as the record names it.
    dst: String,
    /// Port and protocol: `443/TCP`.
    port: String,
    /// The side that was asked, if only one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    /// What was recorded or expected.
    before: &'static str,
    /// What the policies say.
    after: &'static str,
    /// How many records.
    records: u64,
}

impl ReplaySummary {
    pub(in crate::cli) fn new(outcome: &Outcome, incomplete: Vec<String>) -> Self {
        let by_verdict = outcome.by_verdict.iter();
        let by_policy = outcome
            .by_policy
            .iter()
            .map(|(policy, records)| PolicyCount {
                policy: policy.into(),
                records: *records,
            });
        let changes = outcome
            .changes
            .iter()
            .map(|(change, records)| ChangeReport {
                src: change.src.clone(),
                dst: change.dst.clone(),
                port: change.port.clone(),
                direction: change.side,
                before: change.before.as_str(),
                after: change.after.as_str(),
                records: *records,
            });
        Self {
            version: VERSION,
            incomplete,
            records: outcome.records,
            by_verdict: by_verdict
                .map(|(word, count)| (word.as_str(), *count))
                .collect(),
            by_policy: by_policy.collect(),
            agreeing: outcome.agreeing,
            disagreeing: outcome.disagreeing,
            changes: changes.collect(),
            more_changes: outcome.more_changes,
            problems: problem_count(outcome),
        }
    }
}

fn problem_count(outcome: &Outcome) -> u64 {
    outcome.problems.len() as u64 + outcome.more_problems
}

/// The flows that disagree and a line of counts; with the counts by verdict and policy where they are wanted.
pub(in crate::cli) fn summary(outcome: &Outcome, style: Style, counts: bool, all: bool) -> String {
    let mut text = String::new();
    changes(&mut text, outcome, style, all);
    if counts {
        self::counts(&mut text, outcome);
    }
    let judged = outcome.agreeing + outcome.disagreeing;
    // Writing to a string does not fail.
    let _ = write!(text, "{} of {}", outcome.agreeing, judged);
    let _ = write!(text, " agree, {} disagree", outcome.disagreeing);
    let open = outcome
        .records
        .saturating_sub(judged + problem_count(outcome));
    if open > 0 {
        let _ = write!(text, ", {open} expect nothing");
    }
    let problems = problem_count(outcome);
    if problems > 0 {
        let _ = write!(text, ", {problems} without an answer");
    }
    text.push('\n');
    text
}

fn changes(text: &mut String, outcome: &Outcome, style: Style, all: bool) {
    let shown = if all { outcome.changes.len() } else { SHOWN };
    for (change, count) in outcome.changes.iter().take(shown) {
        let side = change.side.map(|side| format!(" ({side} alone)"));
        let _ = writeln!(
            text,
            "{}  {} -> {} {}{}: expected {}{}",
            painted(change.after, style),
            clean(&change.src),
            clean(&change.dst),
            clean(&change.port),
            side.unwrap_or_default(),
            change.before,
            times(*count),
        );
    }
    let hidden = outcome.changes.iter().skip(shown).map(|(_, count)| count);
    let hidden = hidden.sum::<u64>() + outcome.more_changes;
    if hidden > 0 {
        let _ = writeln!(text, "… and {hidden} more records that disagree");
    }
    if !text.is_empty() {
        text.push('\n');
    }
}

fn times(count: u64) -> String {
    if count > 1 {
        format!(" ({count} times)")
    } else {
        String::new()
    }
}

fn painted(word: Word, style: Style) -> String {
    let text = format!("{:<7}", word.as_str().to_uppercase());
    let color = match word {
        Word::Allow | Word::Redirect => AnsiColor::Green,
        Word::Deny => AnsiColor::Red,
        Word::Depends => AnsiColor::Yellow,
    };
    if style.color {
        let style: Ansi = color.on_default().bold();
        format!("{style}{text}{style:#}")
    } else {
        text
    }
}

fn counts(text: &mut String, outcome: &Outcome) {
    for (word, count) in &outcome.by_verdict {
        let _ = writeln!(text, "{count:>9}  {word}");
    }
    if !outcome.by_policy.is_empty() {
        let _ = writeln!(text, "\ndecided by");
    }
    for (policy, count) in &outcome.by_policy {
        let policy = policy.to_string();
        let _ = writeln!(text, "{count:>9}  {}", clean(&policy));
    }
    text.push('\n');
}

/// The lines without an answer, for standard error.
pub(in crate::cli) fn problems(outcome: &Outcome, name: &str, all: bool) -> String {
    let mut text = String::new();
    let shown = if all { outcome.problems.len() } else { SHOWN };
    for problem in outcome.problems.iter().take(shown) {
        let column = problem.column.map(|column| format!(":{column}"));
        let diagnostic = &problem.diagnostic;
        let _ = writeln!(
            text,
            "{}:{}{}: {}[{}]: {}",
            clean(name),
            problem.line,
            column.unwrap_or_default(),
            diagnostic.severity,
            diagnostic.code.id,
            clean(&diagnostic.message)
        );
        let _ = writeln!(text, "  {}", clean(&problem.excerpt));
        if let Some(help) = &diagnostic.help {
            let _ = writeln!(text, "  help: {}", clean(help));
        }
    }
    let hidden = problem_count(outcome).saturating_sub(shown as u64);
    if hidden > 0 {
        let hidden = usize::try_from(hidden).unwrap_or(usize::MAX);
        let _ = writeln!(text, "… and {} more", counted(hidden, "line"));
    }
    text
}
