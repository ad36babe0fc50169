//! What an answer hangs on, in sentences.

use super::Context;
use super::miss::other_end;
use crate::hir::flow::Flow;
use crate::hir::spec::{self, Judgement, Side, Truth, Verdict};
use crate::hir::{Action, Direction, Peer, Policy, PortMatch, Rule, RuleId};
use std::collections::BTreeMap;

/// The conditions of a judgement that is `depends`; none for any other.
pub(super) fn conditions(
    context: Context<'_>,
    flow: &Flow<'_>,
    judgement: &Judgement,
) -> Vec<String> {
    let mut found = Vec::new();
    for (direction, side) in [
        (Direction::Egress, &judgement.egress),
        (Direction::Ingress, &judgement.ingress),
    ] {
        if judgement.verdict == Verdict::Depends && side.verdict == Verdict::Depends {
            for condition in of_side(context, flow, direction, side) {
                if !found.contains(&condition) {
                    found.push(condition);
                }
            }
        }
    }
    found
}

fn of_side(
    context: Context<'_>,
    flow: &Flow<'_>,
    direction: Direction,
    side: &Side,
) -> Vec<String> {
    let rules: Vec<(&Policy, &Rule)> = side
        .rules
        .iter()
        .filter_map(|id| context.policies.rule(*id))
        .collect();
    let mut found = equal_priorities(&rules, direction);
    for (_, rule) in &rules {
        let other = other_end(flow, direction);
        if spec::peers_match(context.world(), rule, other) == Truth::Unknown {
            let unknown =
                rule.peers.iter().flatten().filter(|peer| {
                    spec::peer_matches(context.world(), peer, other) == Truth::Unknown
                });
            found.extend(unknown.map(|peer| peer_condition(peer, direction)));
        }
        if spec::ports_match(rule, flow) == Truth::Unknown {
            let unknown = rule
                .ports
                .iter()
                .flatten()
                .filter(|port| spec::port_matches(port, flow) == Truth::Unknown);
            found.extend(unknown.map(|port| port_condition(port, flow)));
        }
    }
    found
}

/// Policies of one tier and priority that act differently on the flow.
fn equal_priorities(rules: &[(&Policy, &Rule)], direction: Direction) -> Vec<String> {
    let mut levels: BTreeMap<_, BTreeMap<RuleId, (&Policy, Action)>> = BTreeMap::new();
    for (policy, rule) in rules {
        levels
            .entry((policy.tier, policy.priority))
            .or_default()
            .insert(rule.id, (policy, rule.action));
    }
    let mut found = Vec::new();
    for ((tier, priority), level) in levels {
        let mut level = level.into_values();
        let Some((first, action)) = level.next() else {
            continue;
        };
        if let Some((second, other)) =
            level.find(|(policy, other)| policy.id != first.id && *other != action)
        {
            found.push(format!(
                "{direction}: `{}` ({action}) and `{}` ({other}) both match at priority {priority} of tier {tier}, and \
                 the API leaves open which is asked first",
                first.object, second.object
            ));
        }
    }
    found
}

fn peer_condition(peer: &Peer, direction: Direction) -> String {
    let end = match direction {
        Direction::Ingress => "source",
        Direction::Egress => "destination",
    };
    match peer {
        Peer::Addresses(block) => {
            format!(
                "whether the {end}, whose address the snapshot does not have, is in {}",
                block.cidr
            )
        }
        Peer::Domain(pattern) => {
            format!(
                "whether `{}` resolves to the {end}: the snapshot has no DNS answer for it",
                pattern
            )
        }
        Peer::Pods(_) | Peer::Nodes(_) => format!("whether a selector matches the {end}"),
    }
}

fn port_condition(port: &PortMatch, flow: &Flow<'_>) -> String {
    match (port, flow.transport.port) {
        (PortMatch::Named { name, .. }, Some(port)) => {
            format!("whether the destination pod names port {port} `{name}`")
        }
        (PortMatch::Named { .. } | PortMatch::Range { .. }, _) => {
            "which port the flow goes to".into()
        }
    }
}
