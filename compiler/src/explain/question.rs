//! From a question with several ends, families or ports to one answer.
//!
//! Input: the ends with their names, and ranges of ports. Output: one [`Explanation`]; where the flows that
//! the question stands for have different answers, it is `depends` and holds a case for each answer. Pairs of
//! ends without a common address family are left out; a question that has no others is refused. Ports are
//! never enumerated: a range is cut where a rule or a named port begins or ends, and one port of each piece is
//! asked.

mod cut;
mod together;

use super::report::{Explanation, Party};
use super::words::once;
use super::{Alike, Asked, Asking, Context, explain};
use crate::cluster::Protocol;
use crate::hir::PortRange;
use crate::hir::flow::{Flow, Transport};
use crate::hir::spec::{Judgement, Verdict};
use crate::query::meant::{assumption, sent_on};
use crate::query::{Apart, Families, Target, Who, families_of};
use cut::cut;
use together::together;

/// How many different answers are explained; the question is too wide beyond.
pub const MAX_CASES: usize = 32;

/// What a question asks about: every source with every destination.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The address families of the cluster.
    pub families: Families,
    /// Where the flow may come from.
    pub src: Vec<(Party, Who<'a>)>,
    /// Where it may go.
    pub dst: Vec<Destination<'a>>,
    /// Why some of the ends that were named are not among these.
    pub left_out: Vec<String>,
}

/// A destination with what a flow to it may carry.
#[derive(Clone, Debug)]
pub struct Destination<'a> {
    /// As it is shown.
    pub party: Party,
    /// Who it is.
    pub target: Target<'a>,
    /// What the flow may carry.
    pub transports: Vec<TransportRange>,
}

/// A protocol with ports or an ICMP type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportRange {
    /// The protocol.
    pub protocol: Protocol,
    /// The ports, for a protocol that has ports.
    pub ports: Option<PortRange>,
    /// Type and code, for ICMP.
    pub icmp: Option<(u8, u8)>,
}

/// An answer with what it is about.
#[derive(Clone, Debug)]
pub struct Answered<'a> {
    /// The answer, without what would change it.
    pub explanation: Explanation,
    /// What each of its cases asks, or what it asks itself where it has none.
    pub asked: Vec<Asked<'a>>,
}

/// A flow with its answer.
struct Piece<'a> {
    asked: Asked<'a>,
    judgement: Judgement,
}

/// Answers a question.
///
/// # Errors
/// Where no pair of its ends has an address family in common.
pub fn answer<'a>(asking: Asking<'a>, question: &Question<'a>) -> Result<Answered<'a>, Apart> {
    let pieces = pieces(asking, question);
    let mut explained: Vec<&Piece<'_>> = pieces.iter().collect();
    if explained.len() > MAX_CASES {
        // Those that do not pass are what is looked for.
        explained.sort_by_key(|piece| piece.judgement.verdict == Verdict::Allow);
        explained.truncate(MAX_CASES);
    }
    let mut explanations = explained.iter().map(|piece| explain(asking, &piece.asked));
    let apart = || apart(asking.context, question);
    let first = explanations.next().ok_or_else(apart)?;
    let rest: Vec<Explanation> = explanations.collect();
    let mut explanation = if rest.is_empty() {
        first
    } else {
        together(first, rest, &pieces)
    };
    explanation.incomplete = assumptions(asking.context, question);
    let asked = explained.iter().map(|piece| piece.asked.clone());
    Ok(Answered {
        explanation,
        asked: asked.collect(),
    })
}

/// The different answers, each with the flows that have it.
fn pieces<'a>(asking: Asking<'a>, question: &Question<'a>) -> Vec<Piece<'a>> {
    let mut found = Vec::new();
    let (to_itself, others) = pairs(asking.context, question);
    for pairs in [others, to_itself] {
        for (src, to) in pairs {
            for range in &to.transports {
                for piece in pieces_between(asking, question.families, (src, to), *range) {
                    add(&mut found, piece);
                }
            }
        }
        if !found.is_empty() {
            break;
        }
    }
    found
}

fn apart(context: Context<'_>, question: &Question<'_>) -> Apart {
    let cluster = context.cluster;
    let families = |who| families_of(cluster, question.families, who);
    let mut apart = Apart::default();
    for ((_, src), dst) in question
        .src
        .iter()
        .flat_map(|src| question.dst.iter().map(move |dst| (src, dst)))
    {
        for range in &dst.transports {
            apart.add(families(*src), families(dst.target.who), range.protocol);
        }
    }
    apart
}

fn assumptions(context: Context<'_>, question: &Question<'_>) -> Vec<String> {
    let src = question.src.iter().map(|(_, who)| *who);
    let ends = src.chain(question.dst.iter().map(|to| to.target.who));
    let assumed = ends.filter_map(|who| assumption(context.cluster, who));
    let sent_on = question.dst.iter().flat_map(|to| {
        let ranges = to.transports.iter();
        ranges.filter_map(|range| {
            sent_on(context.cluster, to.target.who, range.protocol, range.ports?)
        })
    });
    let left_out = question.left_out.iter().cloned();
    once(assumed.chain(sent_on).chain(left_out))
}

type Pair<'q, 'a> = (&'q (Party, Who<'a>), &'q Destination<'a>);

/// Every source with every destination: first a pod with itself, which is left out where a set of pods talks to
/// itself, unless there is no other pair; then all others.
fn pairs<'q, 'a>(
    context: Context<'_>,
    question: &'q Question<'a>,
) -> (Vec<Pair<'q, 'a>>, Vec<Pair<'q, 'a>>) {
    let all = question
        .src
        .iter()
        .flat_map(|src| question.dst.iter().map(move |dst| (src, dst)));
    all.partition(|((_, src), dst)| dst.target.is_own_address_of(context.cluster, *src))
}

/// Puts a piece to those before it: as one more flow with the same answer where there is one.
fn add<'a>(pieces: &mut Vec<Piece<'a>>, piece: Piece<'a>) {
    match pieces
        .iter_mut()
        .find(|known| known.judgement == piece.judgement)
    {
        Some(known) => {
            known.asked.alike.push(Alike {
                flows: piece.asked.flows().copied().collect(),
                last: piece.asked.last,
            });
        }
        None => pieces.push(piece),
    }
}

/// The flows between two ends, one for each family and each piece of the range, equal neighbours joined.
fn pieces_between<'a>(
    asking: Asking<'a>,
    families: Families,
    ((src, from), to): Pair<'_, 'a>,
    range: TransportRange,
) -> Vec<Piece<'a>> {
    let context = asking.context;
    let transport = Transport {
        protocol: range.protocol,
        port: range.ports.map(|ports| ports.first),
        icmp: range.icmp,
    };
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    for flow in to
        .target
        .flows_from(context.cluster, families, *from, transport)
    {
        let asked = |flow, last| Asked {
            src: src.clone(),
            dst: to.party.clone(),
            flow,
            last,
            within: Vec::new(),
            alike: Vec::new(),
            in_other_family: None,
        };
        for piece in pieces_of(asking, flow, range.ports, asked) {
            let twin = pieces.iter_mut().find(|known| {
                known.judgement == piece.judgement
                    && known.asked.flow.transport == piece.asked.flow.transport
                    && known.asked.last == piece.asked.last
            });
            match twin {
                Some(twin) => twin.asked.in_other_family = Some(piece.asked.flow),
                None => pieces.push(piece),
            }
        }
    }
    pieces
}

/// The flows of one family.
fn pieces_of<'a>(
    asking: Asking<'a>,
    flow: Flow<'a>,
    ports: Option<PortRange>,
    asked: impl Fn(Flow<'a>, Option<u16>) -> Asked<'a>,
) -> Vec<Piece<'a>> {
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    for (first, last) in cut(asking.context, &flow, ports) {
        let mut flow = flow;
        flow.transport.port = first;
        let judgement = asking.engine.judge(&flow);
        match pieces.last_mut() {
            Some(before) if before.judgement == judgement => {
                before.asked.last = last;
                before.asked.within.push(flow);
            }
            _ => pieces.push(Piece {
                asked: asked(flow, last),
                judgement,
            }),
        }
    }
    pieces
}
