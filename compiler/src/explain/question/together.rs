//! Several answers as one.

use super::{MAX_CASES, Piece};
use crate::explain::report::{Explanation, RuleReport, SideReport, Word};
use crate::explain::words::once;
use crate::hir::spec::{Judgement, Verdict};
use std::collections::BTreeSet;

/// Several answers as one: what they agree on, or `depends`. No one change allows them all.
pub(super) fn together(
    first: Explanation,
    rest: Vec<Explanation>,
    pieces: &[Piece<'_>],
) -> Explanation {
    let mut cases = vec![first.clone()];
    cases.extend(rest);
    let verdict = agreed(pieces, |judgement| judgement.verdict);
    let mut conditions: Vec<String> = match verdict {
        Word::Depends => cases.iter().map(case_condition).collect(),
        Word::Allow | Word::Redirect | Word::Deny => Vec::new(),
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
        no_suggestion: None,
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
    let exempt = sides().next().and_then(|side| side.exempt);
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
        auth: sides().next().and_then(|side| side.auth.clone()),
        audited: sides().any(|side| side.audited),
        exempt: exempt.filter(|_| sides().all(|side| side.exempt == exempt)),
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
