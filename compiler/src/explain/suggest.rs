//! The smallest change that allows a denied flow.
//!
//! Candidates for a side that denies, from small to large: a port more in an allowing rule that misses by its
//! ports; a peer more in one that misses by its peers; a rule more in a policy that isolates; a rule more in
//! front of the rules that deny, in each policy of their priority. What a candidate opens beyond the flow
//! counts as size. One that opens to everyone, or every port, comes after all that do not; one in a tier
//! before the one that denies comes last, since it would overrule policies that nobody asked about. What is
//! given has been applied to the policies, and the spec engine allows the flow then.
//!
//! Nothing is suggested where
//! - the other side is open (`depends`): no change of this side alone allows the flow;
//! - the other end has no address, is no pod, and is not asked about as the outside as a whole;
//! - the port of the question is not known, and only a rule for ports could be added;
//! - a custom resource has no room for one more item ([`crate::frontend::spell::limit`]).

mod candidates;
mod items;

use super::Asked;
use super::edit;
use super::report::Suggestion;
use super::view::View;
use crate::diagnostic::counted;
use crate::hir::flow::Flow;
use crate::hir::spec::{self, Side, Verdict, World};
use crate::hir::{Direction, Peer, Policy, PolicyId, PolicySet, PortMatch, Rule, RuleId};
use candidates::{added_rules, widened_rules};

/// An edit of one policy.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Port {
        rule: RuleId,
        port: PortMatch,
    },
    Peer {
        rule: RuleId,
        peer: Peer,
    },
    Rule {
        policy: PolicyId,
        index: usize,
        rule: Rule,
    },
}

/// The smallest change that allows the flow, if one of the candidates does. Whether it allows the flows that
/// are alike is said with it.
pub(super) fn suggest(sides: [(View<'_>, &Side); 2], asked: &Asked<'_>) -> Option<Suggestion> {
    let [(view, _), _] = sides;
    let mut policies = governing(sides);
    let mut edits = Vec::new();
    let mut summaries = Vec::new();
    for (view, side) in sides {
        if side.verdict != Verdict::Deny {
            continue;
        }
        let (changes, changed) = smallest(view, side, asked, &policies)?;
        policies = changed;
        for change in &changes {
            edits.push(edit::edit(view, change)?);
            summaries.push(edit::summary(view, change)?);
        }
    }
    let is_allowed =
        |flow: &Flow<'_>| spec::judge(world(view, &policies), flow).verdict == Verdict::Allow;
    let alike = asked.alike.iter();
    let remaining = alike.filter(|flows| !flows.iter().all(is_allowed)).count();
    let mut rest = match remaining {
        0 => String::new(),
        _ => format!(
            "; {} of the question would still not be allowed",
            counted(remaining, "other flow")
        ),
    };
    if asked
        .in_other_family
        .as_ref()
        .is_some_and(|flow| !is_allowed(flow))
    {
        rest.push_str("; in the other address family it would still not be allowed");
    }
    asked.flows().all(is_allowed).then(|| Suggestion {
        summary: format!("{}{rest}", summaries.join("; and ")),
        edits,
        remaining,
    })
}

/// The policies that are asked about either end: others need not be copied for each candidate.
fn governing(sides: [(View<'_>, &Side); 2]) -> PolicySet {
    let [(egress, _), (ingress, _)] = sides;
    let mut policies: Vec<Policy> = egress.governing().cloned().collect();
    policies.extend(ingress.governing().cloned());
    policies.sort_by_key(|policy| policy.id);
    policies.dedup_by_key(|policy| policy.id);
    PolicySet {
        policies,
        origins: Vec::new(),
        semantics: egress.context.policies.semantics,
        resolution: egress.context.policies.resolution.clone(),
    }
}

fn world<'a>(view: View<'a>, policies: &'a PolicySet) -> World<'a> {
    World {
        policies,
        names: view.context.cluster.names(),
    }
}

/// The cheapest change of one side after which that side allows, with the changed policies.
fn smallest(
    view: View<'_>,
    side: &Side,
    asked: &Asked<'_>,
    policies: &PolicySet,
) -> Option<(Vec<Change>, PolicySet)> {
    let mut candidates = widened_rules(view, side);
    candidates.extend(added_rules(view, side));
    candidates.sort_by_key(|candidate| candidate.cost);
    candidates.into_iter().find_map(|candidate| {
        let mut changed = policies.clone();
        for change in &candidate.changes {
            apply(&mut changed, view, change)?;
        }
        let is_allowed = |flow: &Flow<'_>| {
            let judged = spec::judge_side(world(view, &changed), flow, view.direction);
            judged.verdict == Verdict::Allow
        };
        let all = asked.flows().all(is_allowed);
        all.then_some((candidate.changes, changed))
    })
}

fn apply(policies: &mut PolicySet, view: View<'_>, change: &Change) -> Option<()> {
    match change {
        Change::Port { rule, port } => {
            let rule = rule_mut(policies, view, *rule)?;
            rule.ports.as_mut()?.push(port.clone());
        }
        Change::Peer { rule, peer } => {
            let rule = rule_mut(policies, view, *rule)?;
            rule.peers.as_mut()?.push(peer.clone());
        }
        Change::Rule {
            policy,
            index,
            rule,
        } => {
            let rules = rules_mut(policies, view.direction, *policy)?;
            rules.insert((*index).min(rules.len()), rule.clone());
        }
    }
    Some(())
}

fn rules_mut(
    policies: &mut PolicySet,
    direction: Direction,
    id: PolicyId,
) -> Option<&mut Vec<Rule>> {
    let mut policies = policies.policies.iter_mut();
    let policy = policies.find(|policy| policy.id == id)?;
    Some(policy.rules.get_mut(direction))
}

fn rule_mut<'p>(policies: &'p mut PolicySet, view: View<'_>, id: RuleId) -> Option<&'p mut Rule> {
    let origin = view.context.policies.origin(id)?;
    let mut rules = rules_mut(policies, origin.direction, origin.policy)?.iter_mut();
    rules.find(|rule| rule.id == id)
}
