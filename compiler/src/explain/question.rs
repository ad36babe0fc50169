//! From a question with several ends, families or ports to one answer.
//!
//! Input: the ends with their names, and ranges of ports. Output: one [`Explanation`]; where the flows that
//! the question stands for have different answers, it is `depends` and holds a case for each answer. Ports are
//! never enumerated: a range is cut where a rule or a named port begins or ends, and one port of each piece is
//! asked.

use super::report::{Explanation, Party, RuleReport, SideReport, Word};
use super::words::once;
use super::{Asked, Context, explain};
use crate::cluster::Protocol;
use crate::hir::flow::{EndpointKind, Flow, Transport};
use crate::hir::spec::{self, Judgement, Verdict};
use crate::hir::{PortMatch, PortRange, Rule};
use crate::query::{Families, Target, Who};
use std::collections::BTreeSet;

/// How many different answers are explained; the question is too wide beyond.
pub const MAX_CASES: usize = 32;

/// What a question asks about: every source with every destination.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Where the flow may come from.
    pub src: Vec<(Party, Who<'a>)>,
    /// Where it may go.
    pub dst: Vec<Destination<'a>>,
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

/// A flow with its answer.
struct Piece<'a> {
    asked: Asked<'a>,
    judgement: Judgement,
}

/// Answers a question; `None` where it has no end.
#[must_use]
pub fn answer(context: Context<'_>, question: &Question<'_>) -> Option<Explanation> {
    let families = Families::of(context.cluster);
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    for ((src, from), to) in pairs(question) {
        for range in &to.transports {
            let dst = (&to.party, to.target);
            for piece in pieces_between(context, families, (src, *from), dst, *range) {
                add(&mut pieces, piece);
            }
        }
    }
    let mut explanations = pieces
        .iter()
        .take(MAX_CASES)
        .map(|piece| explain(context, &piece.asked));
    let first = explanations.next()?;
    let rest: Vec<Explanation> = explanations.collect();
    Some(if rest.is_empty() {
        first
    } else {
        together(first, rest, &pieces)
    })
}

type Pair<'q, 'a> = (&'q (Party, Who<'a>), &'q Destination<'a>);

/// Every source with every destination. Where a set of pods talks to itself, a pod to itself is left out,
/// unless there is no other pair.
fn pairs<'q, 'a>(question: &'q Question<'a>) -> Vec<Pair<'q, 'a>> {
    let all = question
        .src
        .iter()
        .flat_map(|src| question.dst.iter().map(move |dst| (src, dst)));
    let (to_itself, others): (Vec<_>, Vec<_>) =
        all.partition(|((_, src), dst)| dst.target.is_own_address_of(*src));
    if others.is_empty() { to_itself } else { others }
}

/// Puts a piece to those before it: as one more flow with the same answer where there is one.
fn add<'a>(pieces: &mut Vec<Piece<'a>>, piece: Piece<'a>) {
    match pieces
        .iter_mut()
        .find(|known| known.judgement == piece.judgement)
    {
        Some(known) => known.asked.alike.push(piece.asked.flow),
        None => pieces.push(piece),
    }
}

/// Several answers as one: what they agree on, or `depends`. No one change allows them all.
fn together(first: Explanation, rest: Vec<Explanation>, pieces: &[Piece<'_>]) -> Explanation {
    let mut cases = vec![first.clone()];
    cases.extend(rest);
    let verdict = agreed(pieces, |judgement| judgement.verdict);
    let mut conditions: Vec<String> = match verdict {
        Word::Depends => cases.iter().map(case_condition).collect(),
        Word::Allow | Word::Deny => Vec::new(),
    };
    let more = pieces.len().saturating_sub(MAX_CASES);
    if more > 0 {
        conditions.push(format!(
            "{more} more answers are not shown: ask about fewer ports or ends"
        ));
    }
    Explanation {
        verdict,
        conditions,
        egress: side_together(
            agreed(pieces, |judgement| judgement.egress.verdict),
            &cases,
            |case| &case.egress,
        ),
        ingress: side_together(
            agreed(pieces, |judgement| judgement.ingress.verdict),
            &cases,
            |case| &case.ingress,
        ),
        suggestion: None,
        alike: 0,
        cases,
        ..first
    }
}

/// What all answers agree on, those that are not explained among them.
fn agreed(pieces: &[Piece<'_>], verdict: impl Fn(&Judgement) -> Verdict) -> Word {
    let words = pieces.iter().map(|piece| verdict(&piece.judgement).into());
    let words: BTreeSet<Word> = words.collect();
    let mut words = words.into_iter();
    match (words.next(), words.next()) {
        (Some(word), None) => word,
        (Some(_) | None, _) => Word::Depends,
    }
}

/// One side of several answers: the rules that decide in any of them.
fn side_together(
    verdict: Word,
    cases: &[Explanation],
    side: impl Fn(&Explanation) -> &SideReport,
) -> SideReport {
    let sides = || cases.iter().map(&side);
    let mut reasons = once(sides().map(|side| &*side.because));
    let because = match (reasons.pop(), reasons.is_empty()) {
        (Some(only), true) => only.to_owned(),
        (Some(_) | None, _) => "the flows of the question differ here: each case says why".into(),
    };
    let deciding = sides().flat_map(|side| side.rules.iter().filter(|rule| rule.matched));
    let mut rules: Vec<RuleReport> = Vec::new();
    for rule in deciding {
        let is_same =
            |known: &RuleReport| (&known.policy, &known.rule) == (&rule.policy, &rule.rule);
        if !rules.iter().any(is_same) {
            rules.push(rule.clone());
        }
    }
    SideReport {
        verdict,
        isolated: sides().any(|side| side.isolated),
        isolated_by: once(sides().flat_map(|side| side.isolated_by.iter().cloned())),
        because,
        rules,
    }
}

fn case_condition(case: &Explanation) -> String {
    let flow = &case.flow;
    let address = match (&flow.dst.ip, &flow.src.ip) {
        (Some(ip), _) => format!(" (to {ip})"),
        (None, Some(ip)) => format!(" (from {ip})"),
        (None, None) => String::new(),
    };
    let more = if case.alike == 0 {
        String::new()
    } else {
        format!(", and {} more alike", case.alike)
    };
    format!(
        "{} for {} -> {} {}{address}{more}",
        case.verdict,
        flow.src,
        flow.dst,
        flow.port_text()
    )
}

/// The flows between two ends, one for each family and each piece of the range, equal neighbours joined.
fn pieces_between<'a>(
    context: Context<'a>,
    families: Families,
    (src, from): (&Party, Who<'a>),
    (dst, to): (&Party, Target<'a>),
    range: TransportRange,
) -> Vec<Piece<'a>> {
    let ports = match (to.port, range.ports) {
        (Some(port), Some(_)) => Some(PortRange {
            first: port,
            last: port,
        }),
        (_, ports) => ports,
    };
    let transport = Transport {
        protocol: range.protocol,
        port: ports.map(|ports| ports.first),
        icmp: range.icmp,
    };
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    for flow in to.flows_from(context.cluster, families, from, transport) {
        let mut of_family: Vec<Piece<'a>> = Vec::new();
        for (first, last) in cut(context, &flow, ports) {
            let flow = Flow {
                transport: Transport {
                    port: first,
                    ..transport
                },
                ..flow
            };
            let judgement = spec::judge(context.world(), &flow);
            match of_family.last_mut() {
                Some(before) if before.judgement == judgement => before.asked.last = last,
                _ => {
                    let asked = Asked {
                        src: src.clone(),
                        dst: dst.clone(),
                        flow,
                        last,
                        alike: Vec::new(),
                        in_other_family: None,
                    };
                    of_family.push(Piece { asked, judgement });
                }
            }
        }
        for piece in of_family {
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

/// Cuts a range at every port where a rule or a named port of the destination begins or ends.
fn cut(
    context: Context<'_>,
    flow: &Flow<'_>,
    ports: Option<PortRange>,
) -> Vec<(Option<u16>, Option<u16>)> {
    let Some(PortRange { first, last }) = ports else {
        return vec![(None, None)];
    };
    let mut starts = BTreeSet::from([first]);
    let mut between = |range: PortRange| {
        starts.insert(range.first);
        starts.extend(range.last.checked_add(1));
    };
    for rule in context
        .policies
        .policies
        .iter()
        .flat_map(|policy| policy.rules.ingress.iter().chain(&policy.rules.egress))
    {
        ranges(rule, flow).for_each(&mut between);
    }
    if let EndpointKind::Pod(pod) = &flow.dst.kind {
        for port in pod.ports.unwrap_or_default() {
            between(PortRange {
                first: port.number,
                last: port.number,
            });
        }
    }
    let starts: Vec<u16> = starts.range(first..=last).copied().collect();
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([last]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| (Some(*start), Some(end)))
        .collect()
}

fn ranges(rule: &Rule, flow: &Flow<'_>) -> impl Iterator<Item = PortRange> {
    let own = flow.transport.protocol;
    rule.ports
        .iter()
        .flatten()
        .filter_map(move |port| match port {
            PortMatch::Range { protocol, ports } if *protocol == own => Some(*ports),
            PortMatch::Range { .. } | PortMatch::Named { .. } => None,
        })
}
