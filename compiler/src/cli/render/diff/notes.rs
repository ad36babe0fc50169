//! Which rules make a difference, in words.

use crate::diff::rules::When;
use crate::diff::{DeltaId, Diff};
use crate::explain::{deciding_rule, isolating_policy};
use crate::hir::Direction;
use crate::hir::flow::Transport;
use crate::list::{Pair, Party};

/// How much is told of the rules of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    /// How many rules of one side are told.
    rules: usize,
    /// How many sources, and how many destinations, are asked for theirs.
    ends: usize,
}

impl Most {
    pub(super) fn of(verbose: bool) -> Self {
        if verbose {
            Self {
                rules: usize::MAX,
                ends: 64,
            }
        } else {
            Self { rules: 3, ends: 8 }
        }
    }
}

/// The rules by which a difference comes between some sources and some destinations, before and behind it.
pub(super) fn notes(
    diff: &mut Diff<'_>,
    delta: DeltaId,
    [src, dst]: [&[Party]; 2],
    most: Most,
) -> Vec<String> {
    let mut found: [Vec<String>; 2] = Default::default();
    let mut judged = [false; 2];
    let mut packet = None;
    for src in src.iter().take(most.ends) {
        for dst in dst.iter().take(most.ends) {
            let pair = Pair {
                src: *src,
                dst: *dst,
                answer: delta,
            };
            for (index, when) in When::ALL.into_iter().enumerate() {
                let Some((transport, rules)) = rules(diff, &pair, when) else {
                    continue;
                };
                packet = Some(transport);
                if let (Some(found), Some(judged)) = (found.get_mut(index), judged.get_mut(index)) {
                    *judged = true;
                    for rule in rules {
                        if !found.contains(&rule) {
                            found.push(rule);
                        }
                    }
                }
            }
        }
    }
    let Some(packet) = packet.map(text) else {
        return Vec::new();
    };
    let sides = ["before", "now"].iter().zip(found).zip(judged);
    let told = sides.filter(|(_, judged)| *judged);
    told.map(|((when, rules), _)| format!("{packet} {when}: {}", together(&rules, most.rules)))
        .collect()
}

fn together(rules: &[String], most: usize) -> String {
    if rules.is_empty() {
        return "no policy decides".into();
    }
    let told = rules.iter().take(most).cloned();
    let mut told: Vec<String> = told.collect();
    match rules.len().saturating_sub(most) {
        0 => {}
        more => told.push(format!("… {more} more")),
    }
    told.join("; ")
}

/// The packet of a connection that changes, and what decides about it on one side; `None` where nobody is there.
fn rules(
    diff: &mut Diff<'_>,
    pair: &Pair<DeltaId>,
    when: When,
) -> Option<(Transport, Vec<String>)> {
    let decision = diff.decision(pair)?;
    decision.ends(when)?;
    let transport = decision.transport;
    let rules = decision.rules(when);
    let isolated: Vec<Direction> = decision.isolated(when).collect();
    let context = diff.context(when);
    let rules = rules.iter().filter_map(|(id, truth)| {
        let rule = deciding_rule(context, *id, *truth)?;
        let (policy, path) = (&rule.policy, &rule.rule);
        Some(format!(
            "{} by {policy} {path} ({}:{})",
            rule.action, rule.file, rule.line
        ))
    });
    let mut told: Vec<String> = rules.collect();
    for direction in isolated {
        let governed = match direction {
            Direction::Ingress => pair.dst,
            Direction::Egress => pair.src,
        };
        let Party::Peer(peer) = governed else {
            continue;
        };
        let policies = diff.isolating(when, peer, direction);
        if policies.is_empty() {
            told.push(format!("{direction} isolated by the settings"));
        }
        told.extend(policies.into_iter().filter_map(|id| {
            let isolation = isolating_policy(context, id)?;
            Some(format!(
                "{direction} isolated by {} ({}:{})",
                isolation.policy, isolation.file, isolation.line
            ))
        }));
    }
    Some((transport, told))
}

/// `TCP 80`
fn text(transport: Transport) -> String {
    let kind = transport.icmp.map(|(kind, _)| u16::from(kind));
    match transport.port.or(kind) {
        Some(number) => format!("{} {number}", transport.protocol),
        None => transport.protocol.to_string(),
    }
}
