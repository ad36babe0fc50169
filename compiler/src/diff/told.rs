//! From pairs that change to the report of them: peers, answers and rules are made once and shared.

use super::report::{
    Because, Changed, DiffReport, InspectedRule, Isolation, OneSided, Rules, VERSION, Witness,
};
use super::rules::When;
use super::{DeltaId, Diff, Inspected, Reason, Way};
use crate::explain::report::{IsolationReport, RuleReport};
use crate::explain::{deciding_rule, isolating_policy};
use crate::hir::spec::Truth;
use crate::hir::{Direction, PolicyId, RuleId};
use crate::list::report::Shown;
use crate::list::{Pair, Party};
use rustc_hash::FxHashMap;

/// A rule of one side.
type RuleKey = (When, RuleId, Truth);

/// What decides about a connection, by ids.
#[derive(Clone, Debug, Default)]
struct Decided {
    witness: Option<Witness>,
    rules: Vec<RuleKey>,
    isolating: Vec<(When, PolicyId)>,
}

/// All that connections need to be shown, each made once.
#[derive(Debug, Default)]
pub struct Told {
    shown: Shown,
    rules: FxHashMap<RuleKey, RuleReport>,
    policies: FxHashMap<(When, PolicyId), IsolationReport>,
    /// In the order of the pairs.
    decided: Vec<Decided>,
}

impl Told {
    /// All that some pairs need.
    #[must_use]
    pub fn of(diff: &mut Diff<'_>, pairs: &[Pair<DeltaId>]) -> Self {
        let mut told = Self::default();
        for pair in pairs {
            let delta = diff.delta(pair.answer);
            for answer in [delta.before, delta.after] {
                told.shown.add_answer(answer, diff.answer(answer));
            }
            for end in [pair.src, pair.dst] {
                told.shown.add(diff.directory(), end);
            }
            let decided = told.decide(diff, pair);
            told.decided.push(decided);
        }
        told
    }

    fn decide(&mut self, diff: &mut Diff<'_>, pair: &Pair<DeltaId>) -> Decided {
        let mut decided = Decided::default();
        let mut isolated = Vec::new();
        if let Some(decision) = diff.decision(pair) {
            decided.witness = Some(decision.into());
            for when in When::ALL {
                let rules = decision.rules(when).into_iter();
                decided
                    .rules
                    .extend(rules.map(|(id, truth)| (when, id, truth)));
                isolated.extend(decision.isolated(when).map(|direction| (when, direction)));
            }
        }
        for key in &decided.rules {
            let (when, id, truth) = *key;
            if !self.rules.contains_key(key)
                && let Some(report) = deciding_rule(diff.context(when), id, truth)
            {
                self.rules.insert(*key, report);
            }
        }
        for (when, direction) in isolated {
            for policy in isolating(diff, pair, when, direction) {
                if !self.policies.contains_key(&(when, policy))
                    && let Some(report) = isolating_policy(diff.context(when), policy)
                {
                    self.policies.insert((when, policy), report);
                }
                decided.isolating.push((when, policy));
            }
        }
        decided
    }

    /// The L7 rules that change, each on both sides.
    #[must_use]
    pub fn inspected(diff: &Diff<'_>) -> Vec<InspectedRule> {
        let told =
            |when, rule: Option<RuleId>| deciding_rule(diff.context(when), rule?, Truth::Yes);
        let changed = diff.inspected().into_iter();
        changed
            .map(|Inspected { before, after }| InspectedRule {
                before: told(When::Before, before),
                after: told(When::After, after),
            })
            .collect()
    }

    /// The report of the pairs for which this was made.
    #[must_use]
    pub fn report(&self, diff: &Diff<'_>, pairs: &[Pair<DeltaId>]) -> DiffReport<'_> {
        let mut report = DiffReport {
            version: VERSION,
            ..DiffReport::default()
        };
        report.inspected = Self::inspected(diff);
        for (pair, decided) in pairs.iter().zip(&self.decided) {
            self.add(diff, pair, decided, &mut report);
        }
        report
    }

    fn add<'s>(
        &'s self,
        diff: &Diff<'_>,
        pair: &Pair<DeltaId>,
        decided: &Decided,
        report: &mut DiffReport<'s>,
    ) -> Option<()> {
        let delta = diff.delta(pair.answer);
        let (src, dst) = (self.shown.party(pair.src)?, self.shown.party(pair.dst)?);
        let before = self.shown.answer(delta.before)?;
        let after = self.shown.answer(delta.after)?;
        let witness = decided.witness.clone();
        let rules = self.rules_of(decided);
        let isolated_by = self.isolation_of(decided);
        let one_sided = |[ports, depends, proxied, authenticated]: [_; 4]| OneSided {
            src,
            dst,
            ports,
            depends,
            proxied,
            authenticated,
            because: (delta.reason == Reason::Workload).then_some(Because::Workload),
            cause: delta.reason.into(),
            witness: witness.clone(),
            rules: rules.clone(),
            isolated_by: isolated_by.clone(),
        };
        match delta.way() {
            Way::Added => report.added.push(one_sided(after)),
            Way::Removed => report.removed.push(one_sided(before)),
            Way::Changed => {
                let [before, depends_before, proxied_before, authenticated_before] = before;
                let [after, depends_after, proxied_after, authenticated_after] = after;
                report.changed.push(Changed {
                    src,
                    dst,
                    before,
                    after,
                    depends_before,
                    depends_after,
                    proxied_before,
                    proxied_after,
                    authenticated_before,
                    authenticated_after,
                    cause: delta.reason.into(),
                    witness,
                    rules,
                    isolated_by,
                });
            }
        }
        Some(())
    }

    fn rules_of(&self, decided: &Decided) -> Rules<'_> {
        let of = |when| {
            let keys = decided.rules.iter().filter(move |(own, ..)| *own == when);
            keys.filter_map(|key| self.rules.get(key)).collect()
        };
        Rules {
            before: of(When::Before),
            after: of(When::After),
        }
    }

    fn isolation_of(&self, decided: &Decided) -> Isolation<'_> {
        let of = |when| {
            let keys = decided
                .isolating
                .iter()
                .filter(move |(own, _)| *own == when);
            keys.filter_map(|key| self.policies.get(key)).collect()
        };
        Isolation {
            before: of(When::Before),
            after: of(When::After),
        }
    }
}

/// The policies that isolate the end of a connection that is governed in a direction.
fn isolating(
    diff: &Diff<'_>,
    pair: &Pair<DeltaId>,
    when: When,
    direction: Direction,
) -> Vec<PolicyId> {
    let governed = match direction {
        Direction::Ingress => pair.dst,
        Direction::Egress => pair.src,
    };
    match governed {
        Party::Peer(peer) => diff.isolating(when, peer, direction),
        Party::Outside(_) => Vec::new(),
    }
}
