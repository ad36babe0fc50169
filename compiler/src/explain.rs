//! Why a flow passes or not: the rules that decide, and the rules that almost would.
//!
//! Input: a flow with the names of its ends, and what the spec engine says of it. Output: [`Explanation`], in
//! the shape that `explain --format json` prints. Guarantee: every rule comes with the place of the field
//! that decides about it. The smallest change that allows a denied flow is added by [`crate::suggest`].

mod because;
pub(crate) mod condition;
pub mod ends;
pub(crate) mod miss;
mod party;
pub mod question;
pub mod report;
pub(crate) mod view;
pub(crate) mod words;

use crate::cluster::Cluster;
use crate::engine::Engine;
use crate::hir::flow::Flow;
use crate::hir::spec::{Side, Truth, Verdict, World};
use crate::hir::{Direction, Policy, PolicyId, PolicySet, Resolution, Rule, RuleId};
use crate::source::{Sources, Span};
use report::{Explanation, FlowReport, IsolationReport, Party, RuleReport, SideReport, Word};
use view::View;

/// How many rules that almost matched are named for one side.
pub const MAX_NEAR_MISSES: usize = 8;

/// What an explanation draws on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The texts, for places.
    pub sources: &'a Sources,
    /// The snapshot.
    pub cluster: &'a Cluster,
    /// The policies.
    pub policies: &'a PolicySet,
}

impl<'a> Context<'a> {
    /// What the spec engine judges by.
    #[must_use]
    pub fn world(self) -> World<'a> {
        World {
            policies: self.policies,
            names: self.cluster.names(),
        }
    }
}

/// What is asked: by whom, about what.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// What an explanation draws on.
    pub context: Context<'a>,
    /// Who judges. The words of an explanation are those of the definition, whoever judges.
    pub engine: &'a Engine<'a>,
}

/// A flow with the names of its ends.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The source as it is shown.
    pub src: Party,
    /// The destination as it is shown.
    pub dst: Party,
    /// The flow.
    pub flow: Flow<'a>,
    /// The last port that has the same answer, where the flow stands for a range of ports.
    pub last: Option<u16>,
    /// The same flow at those ports of the range at which a rule or a named port begins or behind which one ends.
    pub within: Vec<Flow<'a>>,
    /// Further flows that are judged alike and stand behind this one, each with those within its range.
    pub alike: Vec<Alike<'a>>,
    /// The same flow in another address family, where it is judged alike.
    pub in_other_family: Option<Flow<'a>>,
}

/// A flow that is judged like another one.
#[derive(Clone, Debug)]
pub struct Alike<'a> {
    /// It, and the same flow within its range.
    pub flows: Vec<Flow<'a>>,
    /// The last port of the range.
    pub last: Option<u16>,
}

impl<'a> Asked<'a> {
    /// One flow for each piece of the range that rules tell apart.
    pub(crate) fn flows(&self) -> impl Iterator<Item = &Flow<'a>> {
        std::iter::once(&self.flow).chain(&self.within)
    }
}

/// Explains one flow.
#[must_use]
pub fn explain(asking: Asking<'_>, asked: &Asked<'_>) -> Explanation {
    let judgement = asking.engine.judge(&asked.flow);
    let egress = View::of(asking.context, asked, Direction::Egress);
    let ingress = View::of(asking.context, asked, Direction::Ingress);
    let sides = [(egress, &judgement.egress), (ingress, &judgement.ingress)];
    Explanation {
        version: report::VERSION,
        question: None,
        flow: FlowReport::new(asked),
        verdict: judgement.verdict.into(),
        incomplete: Vec::new(),
        conditions: condition::conditions(judgement.verdict, sides),
        egress: side(egress, &judgement.egress),
        ingress: side(ingress, &judgement.ingress),
        suggestion: None,
        no_suggestion: None,
        alike: asked.alike.len(),
        cases: Vec::new(),
    }
}

/// What decides about one side of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deciding {
    /// The rules, with whether they surely match.
    pub(crate) rules: Vec<(RuleId, Truth)>,
    /// Whether it is denied, or may be, since a policy isolates the end.
    pub(crate) isolated: bool,
}

/// What decides about one side of a flow, as it was judged.
pub(crate) fn deciding(
    context: Context<'_>,
    flow: &Flow<'_>,
    direction: Direction,
    side: &Side,
) -> Deciding {
    let nobody = party::outside();
    let view = View {
        context,
        flow,
        direction,
        last: None,
        own: &nobody,
        party: &nobody,
    };
    let rules = view.rules(&side.rules);
    Deciding {
        rules: rules
            .map(|(_, rule)| (rule.id, view.matches(rule)))
            .collect(),
        isolated: side.verdict != Verdict::Allow && view.is_isolated(side),
    }
}

/// A rule that decides about many flows at once.
pub(crate) fn deciding_rule(context: Context<'_>, id: RuleId, truth: Truth) -> Option<RuleReport> {
    let (policy, rule) = context.policies.rule(id)?;
    let origin = context.policies.origin(id)?;
    let why = match truth {
        Truth::Yes => "matches",
        Truth::Unknown | Truth::No => "may match",
    };
    let about = (true, &*origin.path, origin.span);
    Some(rule_report(context, policy, rule, about, why.into()))
}

fn side(view: View<'_>, side: &Side) -> SideReport {
    let determining = view.rules(&side.rules);
    let determining = determining.filter_map(|(policy, rule)| determining_rule(view, policy, rule));
    SideReport {
        verdict: side.verdict.into(),
        isolated: !side.isolated_by.is_empty(),
        isolated_by: isolation(view.context, side),
        exempt: side.exempt.map(|exemption| view.exempt(exemption)),
        auth: side.auth.map(|auth| auth.to_string()),
        audited: side.audited != Truth::No,
        because: because::because(view, side),
        rules: determining.chain(near_misses(view, side)).collect(),
    }
}

fn isolation(context: Context<'_>, side: &Side) -> Vec<IsolationReport> {
    let policies = side.isolated_by.iter();
    policies
        .filter_map(|id| isolating_policy(context, *id))
        .collect()
}

/// A policy that isolates, as it is shown.
pub(crate) fn isolating_policy(context: Context<'_>, id: PolicyId) -> Option<IsolationReport> {
    let policy = context.policies.policy(id)?;
    let (file, location) = context.sources.location(policy.span);
    Some(IsolationReport {
        policy: (&policy.object).into(),
        file: file.into(),
        line: location.line,
    })
}

fn determining_rule(view: View<'_>, policy: &Policy, rule: &Rule) -> Option<RuleReport> {
    let origin = view.context.policies.origin(rule.id)?;
    let why = miss::matching_items(view, origin, rule);
    let about = (true, &*origin.path, origin.span);
    Some(rule_report(view.context, policy, rule, about, why))
}

/// A rule with whether it matches, the field that says so, and why.
fn rule_report(
    context: Context<'_>,
    policy: &Policy,
    rule: &Rule,
    (matched, field, span): (bool, &str, Span),
    why: String,
) -> RuleReport {
    let (file, location) = context.sources.location(span);
    let origin = context.policies.origin(rule.id);
    RuleReport {
        policy: (&policy.object).into(),
        tier: policy.tier.to_string(),
        rule: origin.map_or("", |origin| &origin.path).into(),
        name: origin
            .and_then(|origin| origin.name.as_deref())
            .map(Into::into),
        action: rule.word().into(),
        matched,
        field: field.into(),
        why,
        file: file.into(),
        line: location.line,
        column: location.column,
    }
}

/// Rules that would have turned a denied or open side, nearest first.
fn near_misses(view: View<'_>, side: &Side) -> Vec<RuleReport> {
    let Some(stop) = view.stop(side) else {
        return Vec::new();
    };
    let mut found: Vec<(usize, RuleReport)> = view
        .governing()
        .flat_map(|policy| {
            let rules = policy.rules.get(view.direction);
            rules.iter().map(move |rule| (policy, rule))
        })
        .filter(|(policy, rule)| match view.context.policies.resolution {
            Resolution::Isolation => stop.is_behind(policy, rule),
            Resolution::Precedence(_) => stop.is_outranked_by(policy, rule),
        })
        .filter_map(|(policy, rule)| near_miss(view, policy, rule))
        .collect();
    found.sort_by_key(|(distance, _)| *distance);
    found
        .into_iter()
        .take(MAX_NEAR_MISSES)
        .map(|(_, report)| report)
        .collect()
}

fn near_miss(view: View<'_>, policy: &Policy, rule: &Rule) -> Option<(usize, RuleReport)> {
    let origin = view.context.policies.origin(rule.id)?;
    let miss = miss::miss(view, origin, rule)?;
    let about = (false, &*miss.field, miss.span);
    let report = rule_report(view.context, policy, rule, about, miss.why);
    Some((miss.distance, report))
}

impl From<Verdict> for Word {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Redirect => Self::Redirect,
            Verdict::Deny => Self::Deny,
            Verdict::Depends => Self::Depends,
        }
    }
}
