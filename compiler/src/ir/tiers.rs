//! The order in which rules are asked, for rules of whatever kind: that of [`crate::hir::spec`] and of
//! [`crate::hir::spec::precedence`], which have the citations.
//!
//! First come tiers in which order decides, one after another: a tier that decides ends the question, unless a rule
//! passes. Then, where the subject is isolated, the union of the rules of its namespace; else a last tier. What
//! nothing decides is denied where the subject is isolated, and allowed where not. By isolation the Admin tier comes
//! first, and the Baseline tier last; by precedence all tiers come first, and no rule is left to the union.

use crate::hir::Action;
use crate::hir::spec::{Truth, Verdict};

/// One side of a flow, as its rules are asked about it.
pub(crate) trait Question {
    /// A rule.
    type Rule: Copy;
    /// What a rule that matches is remembered by.
    type Name;

    /// The lists of rules of the tiers that come first, each with what it is the last of.
    fn first(&self) -> impl Iterator<Item = (impl Iterator<Item = Self::Rule>, LastOf)>;
    /// Whether what nothing decides is denied.
    fn is_isolated(&self) -> bool;
    /// The rules of the policies of the namespace.
    fn namespace(&self) -> impl Iterator<Item = Self::Rule>;
    /// The lists of rules of the last tier.
    fn baseline(&self) -> impl Iterator<Item = (impl Iterator<Item = Self::Rule>, LastOf)>;
    /// Whether a rule matches; `in_order` in the tiers in which order decides.
    fn truth(&self, rule: Self::Rule, in_order: bool) -> Truth;
    /// What a rule does.
    fn effect(rule: Self::Rule) -> Effect;
    /// What a rule is remembered by.
    fn name(rule: Self::Rule) -> Self::Name;
}

/// What a list of rules is the last of. Lists of one level have the same priority: each gives its first rule that
/// matches, and none is before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LastOf {
    /// Another list of its level follows.
    Nothing,
    /// Another level of its tier follows.
    Level,
    /// It is the last of its tier.
    Tier,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Redirect,
    Deny,
    Pass,
}

impl Effect {
    pub(crate) fn of(action: Action, redirects: bool) -> Self {
        match action {
            Action::Allow if redirects => Self::Redirect,
            Action::Allow => Self::Allow,
            Action::Deny => Self::Deny,
            Action::Pass => Self::Pass,
        }
    }
}

/// What the rules that were asked may lead to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) allow: bool,
    pub(crate) redirect: bool,
    pub(crate) deny: bool,
}

impl Outcomes {
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            allow: self.allow || other.allow,
            redirect: self.redirect || other.redirect,
            deny: self.deny || other.deny,
        }
    }

    pub(crate) fn verdict(self) -> Verdict {
        match (self.allow, self.redirect, self.deny) {
            (true, false, false) => Verdict::Allow,
            (false, true, false) => Verdict::Redirect,
            (false, false, true) => Verdict::Deny,
            (true, true, _) | (true, _, true) | (_, true, true) | (false, false, false) => {
                Verdict::Depends
            }
        }
    }
}

/// Asks all rules. Those that decide are added to `names`.
pub(crate) fn ask<Q: Question>(
    question: &Q,
    never_kept_apart: bool,
    names: &mut Vec<Q::Name>,
) -> Outcomes {
    let (mut outcomes, goes_on) = ordered(question, question.first(), names);
    if !goes_on {
        return outcomes;
    }
    if !question.is_isolated() {
        let (baseline, goes_on) = ordered(question, question.baseline(), names);
        outcomes = outcomes.or(baseline);
        outcomes.allow |= goes_on;
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

/// What some tiers may decide, and whether they may leave it open.
fn ordered<Q: Question, R: Iterator<Item = Q::Rule>>(
    question: &Q,
    lists: impl Iterator<Item = (R, LastOf)>,
    names: &mut Vec<Q::Name>,
) -> (Outcomes, bool) {
    let mut outcomes = Outcomes::default();
    let mut tier = Tier::default();
    for (rules, last_of) in lists {
        if !tier.is_decided {
            tier.ask(question, rules, &mut outcomes, names);
        }
        tier.is_decided |= last_of >= LastOf::Level && tier.is_matched;
        if last_of == LastOf::Tier {
            let Tier {
                is_decided,
                may_pass,
                ..
            } = std::mem::take(&mut tier);
            if is_decided && !may_pass {
                return (outcomes, false);
            }
        }
    }
    (outcomes, true)
}

/// A tier while it is asked.
#[derive(Default)]
struct Tier {
    /// A list of the level, or of one before, surely has a rule that matches.
    is_matched: bool,
    is_decided: bool,
    may_pass: bool,
}

impl Tier {
    /// Asks the rules of one list.
    fn ask<Q: Question>(
        &mut self,
        question: &Q,
        rules: impl Iterator<Item = Q::Rule>,
        outcomes: &mut Outcomes,
        names: &mut Vec<Q::Name>,
    ) {
        for rule in rules {
            let truth = question.truth(rule, true);
            if truth != Truth::No {
                match Q::effect(rule) {
                    Effect::Allow => outcomes.allow = true,
                    Effect::Redirect => outcomes.redirect = true,
                    Effect::Deny => outcomes.deny = true,
                    Effect::Pass => self.may_pass = true,
                }
                names.push(Q::name(rule));
            }
            if truth == Truth::Yes {
                self.is_matched = true;
                return;
            }
        }
    }
}
