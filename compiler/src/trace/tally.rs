//! What is counted of the answers.

use super::changes::Changes;
use super::memory::SideAnswer;
use super::record::Word;
use super::shown::Shown;
use super::{Options, Outcome, Problem, RuleCount, Span};
use crate::diagnostic::Severity;
use crate::explain::Context;
use crate::hir::{PolicyId, RuleId};

/// What one thread counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) span: Span,
    /// By [`Word`].
    by_verdict: Vec<u64>,
    /// By [`PolicyId`].
    by_policy: Vec<u64>,
    /// By [`RuleId`].
    by_rule: Vec<u64>,
    pub(super) agreeing: u64,
    pub(super) disagreeing: u64,
    pub(super) assumed: u64,
}

/// Adds to the count with this index.
fn count(counts: &mut Vec<u64>, index: usize, more: u64) {
    if index >= counts.len() {
        counts.resize(index + 1, 0);
    }
    if let Some(count) = counts.get_mut(index) {
        *count += more;
    }
}

impl Counts {
    /// Takes in the answer to a record that stands for some.
    pub(super) fn add(&mut self, shown: &Shown<'_>, records: u64) {
        match shown.agrees {
            Some(true) => self.agreeing += records,
            Some(false) => self.disagreeing += records,
            None => {}
        }
        if !shown.incomplete.is_empty() {
            self.assumed += records;
        }
        self.add_answer(shown.verdict, [shown.egress, shown.ingress], records);
    }

    /// Takes in an answer that some records have.
    pub(super) fn add_answer<'s>(
        &mut self,
        verdict: Word,
        [egress, ingress]: [Option<&'s SideAnswer>; 2],
        records: u64,
    ) {
        count(&mut self.by_verdict, verdict as usize, records);
        let policies = |side: Option<&'s SideAnswer>| side.map_or(&[][..], |side| &side.policies);
        let (one, other) = (policies(egress), policies(ingress));
        let is_new = |policy: &&PolicyId| !one.contains(policy);
        for policy in one.iter().chain(other.iter().filter(is_new)) {
            count(&mut self.by_policy, policy.index(), records);
        }
        for rule in [egress, ingress]
            .into_iter()
            .flatten()
            .flat_map(SideAnswer::rule_ids)
        {
            count(&mut self.by_rule, rule.index(), records);
        }
    }

    fn append(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.span.join(other.span);
        self.agreeing += other.agreeing;
        self.disagreeing += other.disagreeing;
        self.assumed += other.assumed;
        let lists = [
            (&mut self.by_verdict, other.by_verdict),
            (&mut self.by_policy, other.by_policy),
            (&mut self.by_rule, other.by_rule),
        ];
        for (own, more) in lists {
            for (index, more) in more.into_iter().enumerate() {
                count(own, index, more);
            }
        }
    }
}

/// What all threads found, in the order of the records.
#[derive(Default)]
pub(super) struct Tally {
    counts: Counts,
    pub(super) outcome: Outcome,
    pub(super) changes: Changes,
    max_problems: usize,
}

impl Tally {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            changes: Changes::new(options.max_changes),
            max_problems: options.max_problems,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, counts: Counts) {
        self.counts.append(counts);
    }

    /// The latest time of a record, where any tells; else 0.
    pub(super) fn latest(&self) -> u64 {
        self.counts.span.0.map_or(0, |(_, last)| last)
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.outcome.errors += u64::from(problem.diagnostic.severity == Severity::Error);
        if self.outcome.problems.len() < self.max_problems {
            self.outcome.problems.push(problem);
        } else {
            self.outcome.more_problems += 1;
        }
    }

    pub(super) fn finish(self, context: Context<'_>) -> Outcome {
        let Counts {
            records,
            bytes,
            span,
            by_verdict,
            by_policy,
            by_rule,
            agreeing,
            disagreeing,
            assumed,
        } = self.counts;
        let by_policy = by_policy.into_iter().zip(&context.policies.policies);
        let by_verdict = Word::ALL.into_iter().zip(by_verdict);
        let by_rule = (0..).map(RuleId).zip(by_rule);
        let (changes, more_changes) = self.changes.finish();
        Outcome {
            changes,
            more_changes,
            records,
            bytes,
            span,
            by_verdict: by_verdict.filter(|(_, count)| *count > 0).collect(),
            by_policy: by_policy
                .filter(|(count, _)| *count > 0)
                .map(|(count, policy)| (policy.object.clone(), count))
                .collect(),
            by_rule: by_rule
                .filter(|(_, count)| *count > 0)
                .filter_map(|(rule, records)| {
                    let rule = super::ReplyRule::of(context, rule)?;
                    Some(RuleCount { rule, records })
                })
                .collect(),
            agreeing,
            disagreeing,
            assumed,
            ..self.outcome
        }
    }
}
