//! The smallest edit that allows a denied flow, and what else it would open and close.
//!
//! Input: a question. Output: its answer ([`Explanation`]), in which every case that denies has a [`Suggestion`] or says
//! why there is none. Guarantee: a suggestion has been applied, and the spec engine allows the flow then; what it opens
//! and closes beside is exact, as `diff` would have it; no other candidate that
//! is tried costs less.
//!
//! Candidates for a side that denies: a port more in an allowing rule that misses by its ports, or one of its ranges made
//! wider; a peer more in one that misses by its peers; a rule more in a policy that isolates, or in front of the rules that
//! deny or pass, in each policy of their priority; a policy more; labels with which a rule that is there matches. Where
//! both sides deny, each candidate of one with each of the other, and those that allow the flow alone.
//!
//! Cost, in this order:
//! 1. how many edits it takes: each is something for someone to write and for someone to review;
//! 2. how many connections change beside what is asked, opened or closed: what nobody asked for;
//! 3. how many packets these are;
//! 4. a fixed order (`candidates::Rank`): no policy of an earlier tier is overruled, nothing is opened to everyone or
//!    on every port; the smaller text first, labels last.
//!
//! Nothing is suggested where no candidate allows the flow; `why` has the sentences.

mod asked;
mod candidates;
mod change;
mod edit;
mod items;
mod labels;
mod policies;
mod weigh;
mod why;

use crate::cluster::peer::{PortSpec, Resolved};
use crate::diagnostic::{Diagnostic, counted};
use crate::explain::question::Answered;
use crate::explain::report::{Explanation, Suggestion, Word};
use crate::explain::view::View;
use crate::explain::{Asked, Asking, Context, ends, question};
use crate::hir::flow::{EndpointKind, Flow};
use crate::hir::spec::{self, Judgement, Side, Verdict, World};
use crate::hir::{Direction, Policy, PolicySet, Resolution};
use candidates::{Candidate, Rank, candidates};
use change::{Change, EndLabels};
use weigh::{Scales, Weight};

/// How many candidates of a side are weighed.
const MOST_OF_SIDE: usize = 48;

/// How many pairs of candidates for both sides are weighed.
const MOST_OF_BOTH: usize = 128;

/// How many plans that give labels are weighed: each takes as long as a whole `diff`.
const MOST_RELABELLING: usize = 8;

/// Answers a question between resolved peers: what `verdict explain` prints.
///
/// # Errors
/// Diagnostics where the question makes no sense for any of the ends.
pub fn ask(
    asking: Asking<'_>,
    from: &[Resolved],
    to: &[Resolved],
    port: &PortSpec,
) -> Result<Explanation, Vec<Diagnostic>> {
    let question = ends::question(asking.context, from, to, port)?;
    let answered = question::answer(asking, &question);
    let Answered {
        mut explanation,
        asked,
    } = answered.map_err(|apart| vec![apart.diagnostic()])?;
    // What was tried on an end that is not who it seems is no advice.
    if explanation.incomplete.is_empty() {
        let cases = match explanation.cases.as_mut_slice() {
            [] => std::slice::from_mut(&mut explanation),
            cases => cases,
        };
        for (case, asked) in cases.iter_mut().zip(&asked) {
            advise(asking.context, asked, case);
        }
    } else {
        let cases = explanation.cases.iter_mut();
        cases.for_each(|case| case.no_suggestion = unsure(case.verdict));
        explanation.no_suggestion = unsure(explanation.verdict);
    }
    Ok(explanation)
}

fn unsure(verdict: Word) -> Option<String> {
    let denied = verdict == Word::Deny;
    denied.then(|| "what the answer lacks may be what decides".to_owned())
}

/// Adds the smallest edit to an answer that denies, or why there is none.
fn advise(context: Context<'_>, asked: &Asked<'_>, answer: &mut Explanation) {
    if answer.verdict != Word::Deny {
        return;
    }
    if let Resolution::Precedence(_) = context.policies.resolution {
        answer.no_suggestion = Some("edits of policies are not tried for this dialect".into());
        return;
    }
    let judgement = spec::judge(context.world(), &asked.flow);
    let denied = Denied::new(context, asked, &judgement);
    match denied.smallest() {
        Some((plan, weight)) => answer.suggestion = denied.told(&plan, weight),
        None => answer.no_suggestion = Some(why::why(&denied.sides, &judgement)),
    }
}

/// A flow that is denied.
struct Denied<'a> {
    context: Context<'a>,
    asked: &'a Asked<'a>,
    /// Those that deny.
    sides: Vec<(View<'a>, &'a Side)>,
    /// The policies that govern one of the ends: others need not be copied for each candidate.
    governing: PolicySet,
}

/// Edits that allow the flow, each with the side for which it is made.
#[derive(Clone, Debug)]
struct Plan {
    changes: Vec<(Direction, Change)>,
    ranks: Vec<Rank>,
    /// What it changes beside what is asked, at least.
    bound: (usize, u64),
}

/// What a plan costs: edits, connections and packets beside what is asked, the fixed order.
type Cost<'p> = (usize, (usize, u64), &'p [Rank]);

impl Plan {
    fn of(direction: Direction, candidate: &Candidate) -> Self {
        let changes = candidate.changes.iter().cloned();
        Self {
            changes: changes.map(|change| (direction, change)).collect(),
            ranks: vec![candidate.rank],
            bound: (0, 0),
        }
    }

    /// Two plans together, which change at least what either changes.
    fn with(&self, other: &Self) -> Self {
        Self {
            changes: [self.changes.clone(), other.changes.clone()].concat(),
            ranks: [self.ranks.clone(), other.ranks.clone()].concat(),
            bound: self.bound.max(other.bound),
        }
    }

    fn changes(&self) -> Vec<&Change> {
        self.changes.iter().map(|(_, change)| change).collect()
    }

    fn edits(&self) -> usize {
        change::edits(self.changes.iter().map(|(_, change)| change))
    }

    /// Whether it gives labels: everyone is concerned then.
    fn relabels(&self) -> bool {
        !change::labels(&self.changes()).is_empty()
    }

    /// What it costs at least.
    fn least(&self) -> Cost<'_> {
        (self.edits(), self.bound, &self.ranks)
    }

    fn cost(&self, weight: &Weight) -> Cost<'_> {
        (self.edits(), weight.key(), &self.ranks)
    }
}

impl<'a> Denied<'a> {
    fn new(context: Context<'a>, asked: &'a Asked<'a>, judgement: &'a Judgement) -> Self {
        let both = [
            (Direction::Egress, &judgement.egress),
            (Direction::Ingress, &judgement.ingress),
        ];
        let denying = both
            .into_iter()
            .filter(|(_, side)| side.verdict == Verdict::Deny);
        let sides = denying.map(|(direction, side)| (View::of(context, asked, direction), side));
        let governs = |policy: &&Policy| {
            [&asked.flow.src, &asked.flow.dst]
                .into_iter()
                .any(|end| match &end.kind {
                    EndpointKind::Pod(pod) => spec::governs(policy, pod),
                    EndpointKind::Node(_) | EndpointKind::Outside => false,
                })
        };
        let policies = context.policies.policies.iter();
        Self {
            context,
            asked,
            sides: sides.collect(),
            governing: PolicySet {
                policies: policies.filter(governs).cloned().collect(),
                origins: Vec::new(),
                semantics: context.policies.semantics,
                resolution: context.policies.resolution.clone(),
            },
        }
    }

    /// Whether edits allow flows between the ends that are asked about.
    fn allows(&self, changes: &[&Change], flows: &[Flow<'_>], side: Option<Direction>) -> bool {
        // With other labels, other policies may govern.
        let relabels = !change::labels(changes).is_empty();
        let policies = if relabels {
            self.everywhere(changes)
        } else {
            applied(self.governing.clone(), self.context.policies, changes)
        };
        policies.is_some_and(|policies| self.allow(&policies, changes, flows, side))
    }

    /// All policies after some edits.
    fn everywhere(&self, changes: &[&Change]) -> Option<PolicySet> {
        let all = self.context.policies;
        applied(all.clone(), all, changes)
    }

    fn allow(
        &self,
        policies: &PolicySet,
        changes: &[&Change],
        flows: &[Flow<'_>],
        side: Option<Direction>,
    ) -> bool {
        let world = World {
            policies,
            names: self.context.cluster.names(),
        };
        let labels = change::labels(changes);
        flows.iter().all(|flow| {
            let ends = EndLabels::new(self.context.cluster, flow, &labels);
            let flow = ends.flow(flow);
            let verdict = match side {
                Some(direction) => spec::judge_side(world, &flow, direction).verdict,
                None => spec::judge(world, &flow).verdict,
            };
            verdict == Verdict::Allow
        })
    }

    /// The plan that costs least, with what it changes beside what is asked.
    fn smallest(&self) -> Option<(Plan, Weight)> {
        let flows: Vec<Flow<'_>> = self.asked.flows().copied().collect();
        let scales = Scales::new(self.context, self.asked);
        let of_sides: Vec<Vec<Plan>> = self
            .sides
            .iter()
            .map(|(view, side)| self.plans_of(*view, side, &scales, &flows))
            .collect();
        let allows = |plan: &Plan| self.allows(&plan.changes(), &flows, None);
        match of_sides.as_slice() {
            [one] => best(&scales, one.clone(), MOST_OF_SIDE, allows),
            [one, other] => {
                let alone = one.iter().chain(other).filter(|plan| allows(plan));
                let mut plans: Vec<Plan> = alone.cloned().collect();
                let [one, other] = [one, other].map(|plans| weighed(&scales, plans));
                let both = one
                    .iter()
                    .flat_map(|one| other.iter().map(move |other| one.with(other)));
                plans.extend(both);
                best(&scales, plans, MOST_OF_BOTH, allows)
            }
            _ => None,
        }
    }

    /// The plans after which one side allows.
    fn plans_of(
        &self,
        view: View<'_>,
        side: &Side,
        scales: &Scales<'_>,
        flows: &[Flow<'_>],
    ) -> Vec<Plan> {
        let mut all = candidates(view, side);
        for candidate in &mut all {
            candidate.rank.governed = scales.governed_by(&candidate.changes);
        }
        all.sort_by_key(|candidate| (change::edits(&candidate.changes), candidate.rank));
        let plans = all.iter().map(|one| Plan::of(view.direction, one));
        plans
            .filter(|plan| self.allows(&plan.changes(), flows, Some(view.direction)))
            .take(MOST_OF_SIDE)
            .collect()
    }

    fn told(&self, plan: &Plan, weight: Weight) -> Option<Suggestion> {
        let (mut edits, mut summaries) = (Vec::new(), Vec::new());
        for (direction, change) in &plan.changes {
            let view = View::of(self.context, self.asked, *direction);
            edits.push(edit::edit(view, change)?);
            summaries.push(edit::summary(view, change)?);
        }
        let all = self.everywhere(&plan.changes())?;
        let is_allowed = |flows: &[Flow<'_>]| self.allow(&all, &plan.changes(), flows, None);
        let alike = self.asked.alike.iter();
        let remaining = alike.filter(|alike| !is_allowed(&alike.flows)).count();
        let mut summary = summaries.join("; and ");
        if remaining > 0 {
            let others = counted(remaining, "other flow");
            summary.push_str(&format!(
                "; {others} of the question would still not be allowed"
            ));
        }
        let mut other_family = self.asked.in_other_family.iter();
        let one_family = !other_family.all(|flow| is_allowed(&[*flow]));
        if one_family {
            summary.push_str("; in the other address family it would still not be allowed");
        }
        Some(Suggestion {
            summary,
            edits,
            remaining,
            one_family,
            opens: weight.opens,
            closes: weight.closes,
        })
    }
}

fn applied(mut policies: PolicySet, all: &PolicySet, changes: &[&Change]) -> Option<PolicySet> {
    for change in changes {
        change::apply(&mut policies, all, change)?;
    }
    Some(policies)
}

/// Plans with what each changes by itself.
fn weighed(scales: &Scales<'_>, plans: &[Plan]) -> Vec<Plan> {
    let plans = plans.iter().cloned();
    plans
        .filter_map(|plan| {
            // Labels may close as well as open: what they change tells nothing of what they change with others.
            if plan.relabels() {
                return Some(plan);
            }
            let bound = scales.weigh(&plan.changes())?.key();
            Some(Plan { bound, ..plan })
        })
        .collect()
}

/// The plan that costs least, of so many that cost little by what is known before they are weighed.
fn best(
    scales: &Scales<'_>,
    mut plans: Vec<Plan>,
    most: usize,
    allows: impl Fn(&Plan) -> bool,
) -> Option<(Plan, Weight)> {
    plans.sort_by(|one, other| one.least().cmp(&other.least()));
    let mut best: Option<(Plan, Weight)> = None;
    let mut relabelling = 0;
    for plan in plans.into_iter().filter(allows).take(most) {
        let known = best.as_ref().map(|(plan, weight)| plan.cost(weight));
        if known.is_some_and(|known| known <= plan.least()) {
            break;
        }
        relabelling += usize::from(plan.relabels());
        if plan.relabels() && relabelling > MOST_RELABELLING {
            continue;
        }
        let Some(weight) = scales.weigh(&plan.changes()) else {
            continue;
        };
        if known.is_none_or(|known| plan.cost(&weight) < known) {
            best = Some((plan, weight));
        }
    }
    best
}
