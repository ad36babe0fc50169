//! The answer for one record, looked up where the same was asked before.
//!
//! What an answer prints is made once: most records cost the lookups of their peers and of their class.

use super::ReplyRule;
use super::ends::{self, Question};
use super::peers::{Peer, PeerId, Peers, who};
use super::record::{Port, Record, Word};
use crate::diagnostic::{Diagnostic, codes};
use crate::engine::Engine;
use crate::explain::Context;
use crate::hir::flow::{Flow, Transport};
use crate::hir::spec::{self, Judgement, Verdict};
use crate::hir::{PolicyId, RuleId};
use crate::ir::FlowClass;
use crate::query::{Families, combine, flows_between};
use rustc_hash::{FxHashMap, FxHashSet};

/// How many answers are remembered: beyond, everything is forgotten and found again.
const MAX_ANSWERS: usize = 1 << 18;

/// One answer, ready to be printed.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) verdict: Word,
    pub(super) egress: SideAnswer,
    pub(super) ingress: SideAnswer,
}

/// One side of an answer.
#[derive(Debug)]
pub(super) struct SideAnswer {
    pub(super) verdict: Word,
    /// Its rules as items of a JSON list.
    pub(super) rules: String,
    /// The policies that decide.
    pub(super) policies: Vec<PolicyId>,
}

/// What is judged by.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) context: Context<'a>,
    pub(super) engine: &'a Engine<'a>,
    pub(super) families: Families,
}

/// Answers records: one thread's share.
pub(super) struct Answers<'a> {
    judge: Judge<'a>,
    peers: Peers<'a>,
    memory: Memory,
}

/// The answers that were given.
#[derive(Default)]
struct Memory {
    answers: Vec<Answer>,
    by_classes: FxHashMap<Vec<FlowClass>, usize>,
    by_question: FxHashMap<Question, usize>,
    /// The classes of the flows at hand.
    classes: Vec<FlowClass>,
}

impl<'a> Answers<'a> {
    pub(super) fn new(judge: Judge<'a>) -> Self {
        Self {
            judge,
            peers: Peers::new(judge.context.cluster, judge.engine),
            memory: Memory::default(),
        }
    }

    /// Answers a record.
    pub(super) fn answer(&mut self, record: &Record<'_>) -> Result<&Answer, Diagnostic> {
        self.trim();
        let index = self.find(record)?;
        self.memory
            .answers
            .get(index)
            .ok_or_else(|| forgotten("an answer"))
    }

    /// Forgets everything where there is much of it.
    fn trim(&mut self) {
        let full = self.memory.answers.len().max(self.memory.by_question.len()) >= MAX_ANSWERS;
        if self.peers.trim() || full {
            self.memory = Memory::default();
        }
    }

    fn find(&mut self, record: &Record<'_>) -> Result<usize, Diagnostic> {
        let protocol = record.protocol().map_err(in_field("protocol"))?;
        let port = record.port(protocol).map_err(in_field("dport"))?;
        let icmp = record.icmp(protocol).map_err(in_field("type"))?;
        let (src, dst) = (self.peers.find(&record.src), self.peers.find(&record.dst));
        let from = known(&self.peers, src).map_err(in_field("src"))?;
        let to = known(&self.peers, dst).map_err(in_field("dst"))?;
        let (port, port_name) = match port {
            Port::None => (None, None),
            Port::Number(number) => (Some(number), None),
            Port::Name(name) => (None, Some(name)),
        };
        let transport = Transport {
            protocol,
            port,
            icmp,
        };
        if port_name.is_none()
            && let Some(index) = self.memory.between_two(self.judge, from, to, transport)
        {
            return Ok(index);
        }
        let question = Question {
            src,
            dst,
            transport,
            port_name: port_name.map(Into::into),
        };
        self.memory.between_several(self.judge, from, to, question)
    }
}

fn known<'p>(peers: &'p Peers<'_>, id: PeerId) -> Result<&'p Peer, Diagnostic> {
    match peers.get(id) {
        Some(Ok(peer)) => Ok(peer),
        Some(Err(diagnostic)) => Err(diagnostic.clone()),
        None => Err(forgotten("a peer")),
    }
}

fn forgotten(what: &str) -> Diagnostic {
    Diagnostic::new(
        &codes::INTERNAL,
        format!("{what} was forgotten while it was needed"),
    )
}

fn in_field(field: &'static str) -> impl Fn(Diagnostic) -> Diagnostic {
    move |diagnostic| match diagnostic.field {
        None => diagnostic.field(field),
        Some(_) => diagnostic,
    }
}

impl Memory {
    /// The answer between one end and another; `None` where there are several, or the engine knows no class.
    fn between_two(
        &mut self,
        judge: Judge<'_>,
        from: &Peer,
        to: &Peer,
        transport: Transport,
    ) -> Option<usize> {
        let ([from], [to]) = (from.ends.as_slice(), to.ends.as_slice()) else {
            return None;
        };
        let cluster = judge.context.cluster;
        let (from, to) = (who(cluster, from)?, who(cluster, to)?);
        let flows = flows_between(cluster, judge.families, from, to, transport);
        self.classes.clear();
        for flow in flows.clone() {
            self.classes.push(judge.engine.classify(&flow)?);
        }
        if let Some(known) = self.by_classes.get(&self.classes) {
            return Some(*known);
        }
        let index = self.push(judge, combine(flows.map(|flow| judge.engine.judge(&flow)))?);
        self.by_classes.insert(self.classes.clone(), index);
        Some(index)
    }

    fn between_several(
        &mut self,
        judge: Judge<'_>,
        from: &Peer,
        to: &Peer,
        question: Question,
    ) -> Result<usize, Diagnostic> {
        if let Some(known) = self.by_question.get(&question) {
            return Ok(*known);
        }
        let flows = ends::flows(judge, from, to, &question)?;
        let distinct = distinct(judge.engine, flows);
        let judgement = combine(distinct.iter().map(|flow| judge.engine.judge(flow)));
        let judgement = judgement.ok_or_else(|| forgotten("a flow"))?;
        let index = self.push(judge, judgement);
        self.by_question.insert(question, index);
        Ok(index)
    }

    fn push(&mut self, judge: Judge<'_>, judgement: Judgement) -> usize {
        self.answers.push(Answer {
            verdict: judgement.verdict.into(),
            egress: side(judge.context, &judgement.egress),
            ingress: side(judge.context, &judgement.ingress),
        });
        self.answers.len() - 1
    }
}

/// One flow of each class.
fn distinct<'a>(engine: &Engine<'_>, mut flows: Vec<Flow<'a>>) -> Vec<Flow<'a>> {
    let mut seen = FxHashSet::default();
    flows.retain(|flow| engine.classify(flow).is_none_or(|class| seen.insert(class)));
    flows
}

fn side(context: Context<'_>, side: &spec::Side) -> SideAnswer {
    let rules: Vec<String> = side
        .rules
        .iter()
        .filter_map(|id| rule(context, *id))
        .collect();
    SideAnswer {
        verdict: side.verdict.into(),
        rules: rules.join(","),
        policies: deciding(context, side),
    }
}

fn rule(context: Context<'_>, id: RuleId) -> Option<String> {
    let (policy, rule) = context.policies.rule(id)?;
    let origin = context.policies.origin(id)?;
    let (file, location) = context.sources.location(origin.span);
    let reply = ReplyRule {
        policy: (&policy.object).into(),
        rule: origin.path.to_string(),
        action: rule.action.to_string(),
        file: file.to_owned(),
        line: location.line,
    };
    serde_json::to_string(&reply).ok()
}

/// The policies of the rules that decide, or those that isolate where no rule allows.
fn deciding(context: Context<'_>, side: &spec::Side) -> Vec<PolicyId> {
    let origins = side
        .rules
        .iter()
        .filter_map(|id| context.policies.origin(*id));
    let mut policies: Vec<PolicyId> = origins.map(|origin| origin.policy).collect();
    if policies.is_empty() && side.verdict != Verdict::Allow {
        policies.clone_from(&side.isolated_by);
    }
    policies.sort_unstable();
    policies.dedup();
    policies
}
