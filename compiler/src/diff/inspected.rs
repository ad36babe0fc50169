//! What proxies look at: contents of L7 rules that change, which no connection shows.
//!
//! A rule that leads flows to a proxy is the same before and behind a change where one with the same subject, peers, ports and
//! contents is on the other side, whatever its policy is called. Guarantee: what is left over on either side is told, each rule
//! once: with the rule at its place where there is one, even if its contents are the same, since they may be for others; of
//! rules that govern nobody nothing is.

use super::Diff;
use super::rules::When;
use crate::hir::{Policy, PolicyId, Rule, RuleId, RuleOrigin};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// An L7 rule with other contents than before, or for others; where it is on one side alone, one that comes or goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// The rule before the change.
    pub before: Option<RuleId>,
    /// The rule behind it.
    pub after: Option<RuleId>,
}

/// An L7 rule of one side.
struct Inspecting<'a> {
    policy: &'a Policy,
    rule: &'a Rule,
    origin: &'a RuleOrigin,
    contents: &'a str,
    /// Whether its policy governs someone.
    governs: bool,
}

impl Inspecting<'_> {
    /// Where it is written.
    fn place(&self) -> String {
        format!("{} {}", self.policy.object, self.origin.path)
    }

    /// What it leads to its proxy, whatever the order in which that is written.
    fn reach(&self) -> String {
        let peers = self.rule.peers.as_deref().map(sorted);
        let ports = self.rule.ports.as_deref().map(sorted);
        let (subject, direction) = (&self.policy.subject, self.origin.direction);
        format!("{direction} {subject:?} {peers:?} {ports:?}")
    }
}

fn sorted<T: Debug>(list: &[T]) -> BTreeSet<String> {
    list.iter().map(|one| format!("{one:?}")).collect()
}

impl Diff<'_> {
    /// The L7 rules that change, by the names of their policies.
    #[must_use]
    pub fn inspected(&self) -> Vec<Inspected> {
        let [mut before, mut after] = When::ALL.map(|when| self.inspecting(when));
        let key = |rule: &Inspecting<'_>| format!("{} {}", rule.reach(), rule.contents);
        let was: BTreeSet<String> = before.iter().map(key).collect();
        let is: BTreeSet<String> = after.iter().map(key).collect();
        before.retain(|rule| !is.contains(&key(rule)));
        after.retain(|rule| !was.contains(&key(rule)));
        let mut changed: BTreeMap<String, (Inspected, bool)> = BTreeMap::new();
        for (rule, when) in before
            .iter()
            .map(|rule| (rule, When::Before))
            .chain(after.iter().map(|rule| (rule, When::After)))
        {
            let (inspected, governs) = changed.entry(rule.place()).or_default();
            *governs |= rule.governs;
            let side = match when {
                When::Before => &mut inspected.before,
                When::After => &mut inspected.after,
            };
            *side = Some(rule.rule.id);
        }
        let changed = changed.into_values().filter(|(_, governs)| *governs);
        changed.map(|(inspected, _)| inspected).collect()
    }

    /// The L7 rules of one side.
    fn inspecting(&self, when: When) -> Vec<Inspecting<'_>> {
        let context = self.context(when);
        let origins = context.policies.origins.iter().zip(0..);
        let inspecting: Vec<(RuleId, &RuleOrigin, &str)> = origins
            .filter_map(|(origin, id)| Some((RuleId(id), origin, origin.contents.as_deref()?)))
            .collect();
        if inspecting.is_empty() {
            return Vec::new();
        }
        let program = self.program(when);
        let governing: BTreeSet<PolicyId> = program.governing_anyone(context.cluster);
        let inspecting = inspecting.into_iter().filter_map(|(id, origin, contents)| {
            let (policy, rule) = context.policies.rule(id)?;
            Some(Inspecting {
                policy,
                rule,
                origin,
                contents,
                governs: governing.contains(&policy.id),
            })
        });
        inspecting.collect()
    }
}
