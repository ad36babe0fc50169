//! Why a flow passes or not: the rules that decide, the rules that almost would, and the smallest change.
//!
//! Input: a flow with the names of its ends, and what the spec engine says of it. Output: [`Explanation`], in
//! the shape that `explain --format json` prints. Guarantee: every rule comes with the place of the field
//! that decides about it, and a suggestion has been applied and judged again before it is given.

pub mod condition;
pub mod ends;
pub mod miss;
pub mod question;
pub mod report;
pub mod suggest;

use crate::cluster::Cluster;
use crate::cluster::peer::{PortSpec, Resolved};
use crate::diagnostic::{Diagnostic, ObjectRef};
use crate::hir::flow::Flow;
use crate::hir::spec::{self, Exemption, Judgement, Side, Verdict, World};
use crate::hir::{Action, Direction, Policy, PolicySet, Rule, RuleId, Tier};
use crate::source::{Sources, Span};
use report::{Explanation, FlowReport, IsolationReport, Party, RuleReport, SideReport, Word};

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

/// A flow with the names of its ends.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The source as it is shown.
    pub src: Party,
    /// The destination as it is shown.
    pub dst: Party,
    /// The flow.
    pub flow: Flow<'a>,
}

/// Answers a question between resolved peers: what `verdict explain` prints.
///
/// # Errors
/// Diagnostics where the question makes no sense for any of the ends.
pub fn ask(
    context: Context<'_>,
    from: &[Resolved],
    to: &[Resolved],
    port: &PortSpec,
) -> Result<Explanation, Vec<Diagnostic>> {
    let question = ends::question(context, from, to, port)?;
    question::answer(context, &question).ok_or_else(Vec::new)
}

/// Explains one flow.
#[must_use]
pub fn explain(context: Context<'_>, asked: &Asked<'_>) -> Explanation {
    let judgement = spec::judge(context.world(), &asked.flow);
    let conditions = condition::conditions(context, &asked.flow, &judgement);
    let suggestion = (judgement.verdict == Verdict::Deny)
        .then(|| suggest::suggest(context, &asked.flow, &judgement))
        .flatten();
    Explanation {
        version: report::VERSION,
        flow: FlowReport::new(asked),
        verdict: judgement.verdict.into(),
        conditions,
        incomplete: Vec::new(),
        egress: side(context, &asked.flow, Direction::Egress, &judgement),
        ingress: side(context, &asked.flow, Direction::Ingress, &judgement),
        suggestion,
        alike: 0,
        cases: Vec::new(),
    }
}

fn side(
    context: Context<'_>,
    flow: &Flow<'_>,
    direction: Direction,
    judgement: &Judgement,
) -> SideReport {
    let side = match direction {
        Direction::Ingress => &judgement.ingress,
        Direction::Egress => &judgement.egress,
    };
    let determining = side
        .rules
        .iter()
        .filter_map(|id| determining_rule(context, flow, *id));
    let misses = near_misses(context, flow, direction, side);
    SideReport {
        verdict: side.verdict.into(),
        isolated: !side.isolated_by.is_empty(),
        isolated_by: isolation(context, side),
        because: because(context, side),
        rules: determining.chain(misses).collect(),
    }
}

fn isolation(context: Context<'_>, side: &Side) -> Vec<IsolationReport> {
    let policies = side
        .isolated_by
        .iter()
        .filter_map(|id| context.policies.policy(*id));
    policies
        .map(|policy| {
            let (file, location) = context.sources.location(policy.span);
            IsolationReport {
                policy: (&policy.object).into(),
                file: file.into(),
                line: location.line,
            }
        })
        .collect()
}

/// One sentence: what settles the side.
fn because(context: Context<'_>, side: &Side) -> String {
    let named = |object: &ObjectRef| format!("`{object}`");
    let deciding = side.rules.first().and_then(|id| context.policies.rule(*id));
    match (side.exempt, deciding, side.isolated_by.as_slice()) {
        (Some(Exemption::NotAPod), ..) => {
            "no policy governs this end: it is no pod with a network of its own".into()
        }
        (Some(Exemption::Itself), ..) => "a pod cannot be kept from itself".into(),
        (None, Some((policy, rule)), _) if side.rules.len() == 1 && rule.action != Action::Pass => {
            format!(
                "{} {}s it in {}",
                named(&policy.object),
                rule.action,
                policy.tier
            )
        }
        (None, Some(_), []) if side.verdict == Verdict::Allow => {
            "the rules below decide, and nothing denies it after them".into()
        }
        (None, Some(_), _) => format!("{} rules decide together", side.rules.len()),
        (None, None, []) => "no policy isolates this end, and no rule matches".into(),
        (None, None, policies) if side.verdict == Verdict::Allow => format!(
            "{} policies isolate this end, but traffic with its own node is always allowed",
            policies.len()
        ),
        (None, None, policies) => {
            let list: Vec<String> = policies
                .iter()
                .filter_map(|id| Some(named(&context.policies.policy(*id)?.object)))
                .collect();
            format!(
                "{} isolates this end, and no rule allows the flow",
                list.join(", ")
            )
        }
    }
}

fn determining_rule(context: Context<'_>, flow: &Flow<'_>, id: RuleId) -> Option<RuleReport> {
    let (policy, rule) = context.policies.rule(id)?;
    let origin = context.policies.origin(id)?;
    let matched = miss::matching_items(context, flow, origin, rule);
    Some(rule_report(
        context,
        policy,
        rule,
        &origin.path,
        origin.span,
        true,
        matched,
    ))
}

fn rule_report(
    context: Context<'_>,
    policy: &Policy,
    rule: &Rule,
    field: &str,
    span: Span,
    matched: bool,
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
        action: rule.action.to_string(),
        matched,
        field: field.into(),
        why,
        file: file.into(),
        line: location.line,
        column: location.column,
    }
}

/// Rules that would have turned a denied or open side, nearest first.
fn near_misses(
    context: Context<'_>,
    flow: &Flow<'_>,
    direction: Direction,
    side: &Side,
) -> Vec<RuleReport> {
    if side.verdict == Verdict::Allow || side.exempt.is_some() {
        return Vec::new();
    }
    let mut found: Vec<(usize, RuleReport)> = Vec::new();
    for policy in governing(context, flow, direction) {
        for rule in policy.rules.get(direction) {
            if rule.action == Action::Deny
                || side.rules.contains(&rule.id)
                || !reaches(context, policy, rule, side)
            {
                continue;
            }
            let Some(origin) = context.policies.origin(rule.id) else {
                continue;
            };
            let Some(miss) = miss::miss(context, flow, direction, origin, rule) else {
                continue;
            };
            let report = rule_report(
                context,
                policy,
                rule,
                &miss.field,
                miss.span,
                false,
                miss.why,
            );
            found.push((miss.distance, report));
        }
    }
    found.sort_by_key(|(distance, _)| *distance);
    found
        .into_iter()
        .take(MAX_NEAR_MISSES)
        .map(|(_, report)| report)
        .collect()
}

/// Whether a rule would be asked before the one that denies.
fn reaches(context: Context<'_>, policy: &Policy, rule: &Rule, side: &Side) -> bool {
    let Some((denying, first)) = side.rules.first().and_then(|id| context.policies.rule(*id))
    else {
        return policy.tier != Tier::Baseline || side.isolated_by.is_empty();
    };
    (policy.tier, policy.priority) < (denying.tier, denying.priority)
        || policy.id == denying.id && rule.id < first.id
        || policy.tier == denying.tier
            && policy.priority == denying.priority
            && policy.id != denying.id
}

/// The policies that govern the end that is asked.
pub(crate) fn governing<'a>(
    context: Context<'a>,
    flow: &Flow<'_>,
    direction: Direction,
) -> impl Iterator<Item = &'a Policy> {
    let subject = match direction {
        Direction::Ingress => flow.dst.kind,
        Direction::Egress => flow.src.kind,
    };
    context
        .policies
        .policies
        .iter()
        .filter(move |policy| match &subject {
            crate::hir::flow::EndpointKind::Pod(pod) => spec::selects(&policy.subject, pod),
            crate::hir::flow::EndpointKind::Node(_) | crate::hir::flow::EndpointKind::Outside => {
                false
            }
        })
}

impl From<Verdict> for Word {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Deny => Self::Deny,
            Verdict::Depends => Self::Depends,
        }
    }
}
