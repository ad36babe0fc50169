//! The answers that were given, to be looked up where the same is asked again.
//!
//! The rules that an answer prints are made text once: most records cost the lookups of their peers and of their class. A class
//! leads to an answer, an answer to two sides, and equal sides and answers are stored once.

use super::ReplyRule;
use super::answer::{Judge, forgotten};
use super::capture::Tuple;
use super::ends::{self, Question};
use super::names::Names;
use super::peers::{Facts, One, Peer};
use super::record::Word;
use crate::diagnostic::Diagnostic;
use crate::engine::Known;
use crate::explain::Context;
use crate::hir::flow::{Flow, Transport};
use crate::hir::spec::{self, Judgement, Verdict};
use crate::hir::{Auth, PolicyId, RuleId};
use crate::ir::FlowClass;
use crate::query::{Family, combine};
use crate::source::to_u32;
use rustc_hash::{FxHashMap, FxHashSet};
use std::net::IpAddr;
use std::num::NonZero;

/// How many classes and questions are remembered: beyond, everything is forgotten and found again. About
/// 50 bytes each.
const MAX_REMEMBERED: usize = 1 << 19;

/// How many different sides are remembered, each with the text of its rules.
const MAX_SIDES: usize = 1 << 15;

/// One answer, ready to be printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'m> {
    pub(super) verdict: Word,
    pub(super) egress: &'m SideAnswer,
    pub(super) ingress: &'m SideAnswer,
}

/// One side of an answer.
#[derive(Debug)]
pub(super) struct SideAnswer {
    pub(super) verdict: Word,
    /// Its rules as JSON, one behind the other.
    pub(super) rules: Box<str>,
    /// The policies that decide.
    pub(super) policies: Vec<PolicyId>,
    judged: spec::Side,
}

/// An answer among those that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AnswerId(NonZero<u32>);

impl AnswerId {
    fn of(index: usize) -> Self {
        Self(NonZero::<u32>::MIN.saturating_add(to_u32(index)))
    }

    /// Counted from zero.
    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// An answer: its verdict and its sides, egress first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Given(Verdict, u32, u32);

/// The answers that were given.
#[derive(Default)]
pub(super) struct Memory {
    sides: Vec<SideAnswer>,
    by_side: FxHashMap<spec::Side, u32>,
    answers: Vec<Given>,
    by_given: FxHashMap<Given, AnswerId>,
    by_class: FxHashMap<FlowClass, AnswerId>,
    /// The answer that two answers make together.
    by_pair: FxHashMap<(AnswerId, AnswerId), AnswerId>,
    by_question: FxHashMap<Question, AnswerId>,
    /// Room for what is said of a flow.
    said: Judgement,
}

impl Memory {
    /// An answer by its number.
    pub(super) fn get_number(&self, number: usize) -> Option<Answer<'_>> {
        self.get(AnswerId::of(number))
    }

    /// An answer that was given.
    pub(super) fn get(&self, id: AnswerId) -> Option<Answer<'_>> {
        let Given(verdict, egress, ingress) = *self.answers.get(id.index())?;
        Some(Answer {
            verdict: verdict.into(),
            egress: self.sides.get(egress as usize)?,
            ingress: self.sides.get(ingress as usize)?,
        })
    }

    /// The verdict of an answer that was given.
    pub(super) fn verdict(&self, id: AnswerId) -> Option<Word> {
        let Given(verdict, _, _) = self.answers.get(id.index())?;
        Some((*verdict).into())
    }

    /// Whether it is time to forget.
    pub(super) fn is_full(&self) -> bool {
        self.by_class.len().max(self.by_question.len()) >= MAX_REMEMBERED
            || self.sides.len() >= MAX_SIDES
    }

    /// The answer between one end and another, both of the snapshot; `None` for any others.
    pub(super) fn between_two(
        &mut self,
        judge: Judge<'_>,
        from: &Facts,
        to: &Facts,
        transport: Transport,
    ) -> Option<AnswerId> {
        let (src, dst) = (from.one.as_ref()?, to.one.as_ref()?);
        let program = judge.engine.program()?;
        if src.stand_in.is_some() && src.stand_in == dst.stand_in {
            return None;
        }
        let common = src.families.common(dst.families, transport.protocol);
        let mut answer = None;
        for family in common.iter() {
            let class = |end: &One| end.known(family).class;
            let class = program.flow_class(&class(src), &class(dst), transport);
            let one = match self.by_class.get(&class) {
                Some(known) => *known,
                None => {
                    let answer = self.judge_one(judge, [src, dst], transport, family);
                    self.by_class.insert(class, answer);
                    answer
                }
            };
            answer = Some(match answer {
                Some(before) if before != one => self.together(judge.context, before, one)?,
                Some(_) | None => one,
            });
        }
        answer
    }

    /// Reads what [`Self::between_two`] will read, and leaves those flows that it has to judge. What comes out has no meaning.
    pub(super) fn warm(&self, flows: &mut Vec<Ahead>) -> u64 {
        let mut seen = 0;
        flows.retain(|flow| match self.by_class.get(&flow.class) {
            Some(known) => {
                seen ^= known.index() as u64;
                false
            }
            None => true,
        });
        seen
    }

    /// Makes one answer of two.
    fn together(
        &mut self,
        context: Context<'_>,
        one: AnswerId,
        other: AnswerId,
    ) -> Option<AnswerId> {
        if let Some(known) = self.by_pair.get(&(one, other)) {
            return Some(*known);
        }
        let both = combine([self.judgement(one)?, self.judgement(other)?])?;
        let answer = self.give(context, &both);
        self.by_pair.insert((one, other), answer);
        Some(answer)
    }

    fn judgement(&self, id: AnswerId) -> Option<Judgement> {
        let Given(verdict, egress, ingress) = *self.answers.get(id.index())?;
        Some(Judgement {
            verdict,
            egress: self.sides.get(egress as usize)?.judged.clone(),
            ingress: self.sides.get(ingress as usize)?.judged.clone(),
        })
    }

    /// The answer to a question with several ends, with an end that is not of the snapshot, or with names that the engine
    /// does not have. The names may change only where all is forgotten.
    pub(super) fn between_several(
        &mut self,
        judge: Judge<'_>,
        (from, to): (&Peer, &Peer),
        question: Question,
        names: Option<&Names>,
    ) -> Result<AnswerId, Diagnostic> {
        if let Some(known) = self.by_question.get(&question) {
            return Ok(*known);
        }
        let flows = ends::flows(judge, from, to, &question)?;
        let judgement = match names {
            Some(names) => combine(flows.iter().map(|flow| names.judge(flow))),
            None => {
                let flows = distinct(judge, flows);
                combine(flows.iter().map(|flow| judge.engine.look_up(flow)))
            }
        };
        let judgement = judgement.ok_or_else(|| forgotten("a flow"))?;
        let answer = self.give(judge.context, &judgement);
        self.by_question.insert(question, answer);
        Ok(answer)
    }

    /// The judgement about one end of the snapshot and another.
    fn judge_one(
        &mut self,
        judge: Judge<'_>,
        [src, dst]: [&One; 2],
        transport: Transport,
        family: Family,
    ) -> AnswerId {
        let cluster = judge.context.cluster;
        let mut said = std::mem::take(&mut self.said);
        let ends = [src, dst].map(|end| end.known(family));
        if !judge
            .engine
            .look_up_between(cluster, ends, transport, &mut said)
        {
            said = judge.engine.look_up(&Flow {
                src: src.endpoint(cluster, family),
                dst: dst.endpoint(cluster, family),
                transport,
            });
        }
        let answer = self.give(judge.context, &said);
        self.said = said;
        answer
    }

    fn give(&mut self, context: Context<'_>, judgement: &Judgement) -> AnswerId {
        let egress = self.side(context, &judgement.egress);
        let ingress = self.side(context, &judgement.ingress);
        let given = Given(judgement.verdict, egress, ingress);
        *self.by_given.entry(given).or_insert_with(|| {
            self.answers.push(given);
            AnswerId::of(self.answers.len() - 1)
        })
    }

    fn side(&mut self, context: Context<'_>, side: &spec::Side) -> u32 {
        if let Some(known) = self.by_side.get(side) {
            return *known;
        }
        let index = to_u32(self.sides.len());
        self.sides.push(SideAnswer::new(context, side));
        self.by_side.insert(side.clone(), index);
        index
    }
}

/// A flow between two ends of the snapshot that will be asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    pub(super) ends: [Known; 2],
    pub(super) transport: Transport,
    class: FlowClass,
}

impl Ahead {
    /// The flow between two peers that a packet with these ends opens; `None` where one is no end of the snapshot.
    pub(super) fn of(judge: Judge<'_>, [from, to]: [&Facts; 2], ends: &Tuple) -> Option<Self> {
        let (src, dst) = (from.one.as_ref()?, to.one.as_ref()?);
        let program = judge.engine.program()?;
        let transport = Transport {
            protocol: ends.protocol,
            port: ends.protocol.has_ports().then_some(ends.ports.1),
            icmp: None,
        };
        let family = match ends.src {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        };
        let [from, to] = [src, dst].map(|end| end.known(family));
        Some(Self {
            ends: [*from, *to],
            transport,
            class: program.flow_class(&from.class, &to.class, transport),
        })
    }
}

/// One flow of each class.
fn distinct<'a>(judge: Judge<'_>, mut flows: Vec<Flow<'a>>) -> Vec<Flow<'a>> {
    let Some(program) = judge.engine.program() else {
        return flows;
    };
    let mut seen = FxHashSet::default();
    flows.retain(|flow| {
        program
            .classify(flow)
            .is_none_or(|class| seen.insert(class))
    });
    flows
}

impl SideAnswer {
    /// What the ends must prove first.
    pub(super) fn auth(&self) -> Option<Auth> {
        self.judged.auth
    }

    /// The rules that decide.
    pub(super) fn rule_ids(&self) -> impl Iterator<Item = RuleId> + '_ {
        self.judged.rules.iter().copied()
    }

    fn new(context: Context<'_>, side: &spec::Side) -> Self {
        let rules = side.rules.iter();
        Self {
            verdict: side.verdict.into(),
            rules: rules
                .filter_map(|id| rule(context, *id))
                .collect::<Vec<_>>()
                .join(",")
                .into(),
            policies: deciding(context, side),
            judged: side.clone(),
        }
    }
}

#[cfg(test)]
impl SideAnswer {
    pub(super) fn of_rules(verdict: Word, rules: &str, auth: Option<Auth>) -> Self {
        Self {
            verdict,
            rules: rules.into(),
            policies: Vec::new(),
            judged: spec::Side {
                auth,
                ..spec::Side::default()
            },
        }
    }
}

fn rule(context: Context<'_>, id: RuleId) -> Option<String> {
    serde_json::to_string(&ReplyRule::of(context, id)?).ok()
}

/// The policies of the rules that decide, or those that isolate where no rule allows.
fn deciding(context: Context<'_>, side: &spec::Side) -> Vec<PolicyId> {
    let rules = side.rules.iter();
    let origins = rules.filter_map(|id| context.policies.origin(*id));
    let mut policies: Vec<PolicyId> = origins.map(|origin| origin.policy).collect();
    if policies.is_empty() && side.verdict != Verdict::Allow {
        policies.clone_from(&side.isolated_by);
    }
    policies.sort_unstable();
    policies.dedup();
    policies
}
