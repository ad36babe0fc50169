//! The order in which the tiers are asked, for rules of whatever kind: that of [`crate::hir::spec`], which has the citations.

use crate::hir::Action;
use crate::hir::spec::{Truth, Verdict};

/// One side of a flow, as its rules are asked about it.
pub(crate) trait Question {
    /// A rule.
    type Rule: Copy;
    /// What a rule that matches is remembered by.
    type Name;

    /// The policies of the Admin tier in their order, each with whether the next has another priority or there is none.
    fn admin(&self) -> impl Iterator<Item = (impl Iterator<Item = Self::Rule>, bool)>;
    /// Whether a policy of the namespace isolates.
    fn is_isolated(&self) -> bool;
    /// The rules of the policies of the namespace.
    fn namespace(&self) -> impl Iterator<Item = Self::Rule>;
    /// The policies of the Baseline tier.
    fn baseline(&self) -> impl Iterator<Item = (impl Iterator<Item = Self::Rule>, bool)>;
    /// Whether a rule matches; `in_order` in the tiers in which order decides.
    fn truth(&self, rule: Self::Rule, in_order: bool) -> Truth;
    /// What a rule does.
    fn action(rule: Self::Rule) -> Action;
    /// What a rule is remembered by.
    fn name(rule: Self::Rule) -> Self::Name;
}

/// What the rules that were asked may lead to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outcomes {
    pub(crate) allow: bool,
    pub(crate) deny: bool,
    pass: bool,
}

impl Outcomes {
    fn add(&mut self, action: Action) {
        match action {
            Action::Allow => self.allow = true,
            Action::Deny => self.deny = true,
            Action::Pass => self.pass = true,
        }
    }

    pub(crate) fn verdict(self) -> Verdict {
        match (self.allow, self.deny) {
            (true, true) => Verdict::Depends,
            (_, false) => Verdict::Allow,
            (false, true) => Verdict::Deny,
        }
    }
}

/// Asks all tiers. The rules that decide are added to `names`.
pub(crate) fn ask<Q: Question>(
    question: &Q,
    never_kept_apart: bool,
    names: &mut Vec<Q::Name>,
) -> Outcomes {
    let (admin, open) = ordered(question, question.admin(), names);
    let mut outcomes = Outcomes {
        pass: false,
        ..admin
    };
    if !admin.pass && !open {
        return outcomes;
    }
    if !question.is_isolated() {
        let (baseline, open) = ordered(question, question.baseline(), names);
        outcomes.allow |= baseline.allow || baseline.pass || open;
        outcomes.deny |= baseline.deny;
    } else if never_kept_apart {
        outcomes.allow = true;
    } else {
        let best = union(question, names);
        outcomes.allow |= best != Truth::No;
        outcomes.deny |= best != Truth::Yes;
    }
    outcomes
}

/// The greatest truth among all rules; those that have it decide.
fn union<Q: Question>(question: &Q, names: &mut Vec<Q::Name>) -> Truth {
    let first = names.len();
    let mut best = Truth::No;
    for rule in question.namespace() {
        let truth = question.truth(rule, false);
        if truth > best {
            names.truncate(first);
            best = truth;
        }
        if truth == best && truth != Truth::No {
            names.push(Q::name(rule));
        }
    }
    best
}

/// What a tier may decide, and whether it may decide nothing.
fn ordered<Q: Question, R: Iterator<Item = Q::Rule>>(
    question: &Q,
    policies: impl Iterator<Item = (R, bool)>,
    names: &mut Vec<Q::Name>,
) -> (Outcomes, bool) {
    let mut outcomes = Outcomes::default();
    let mut level_may_miss = true;
    for (rules, ends_level) in policies {
        level_may_miss &= first_match(question, rules, &mut outcomes, names);
        if ends_level && !level_may_miss {
            return (outcomes, false);
        }
    }
    (outcomes, true)
}

/// Asks the rules of one policy; returns whether none of them surely matches.
fn first_match<Q: Question>(
    question: &Q,
    rules: impl Iterator<Item = Q::Rule>,
    outcomes: &mut Outcomes,
    names: &mut Vec<Q::Name>,
) -> bool {
    for rule in rules {
        let truth = question.truth(rule, true);
        if truth != Truth::No {
            outcomes.add(Q::action(rule));
            names.push(Q::name(rule));
        }
        if truth == Truth::Yes {
            return false;
        }
    }
    true
}
