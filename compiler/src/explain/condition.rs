//! What an answer hangs on, in sentences.

use super::view::View;
use super::words::{list, once};
use crate::hir::flow::{Address, EndpointKind};
use crate::hir::spec::{Side, Truth, Verdict};
use crate::hir::{Direction, IpBlock, Peer, Policy, PortMatch, Rule};

/// The conditions of a judgement that is `depends`; none for any other.
pub(super) fn conditions(verdict: Verdict, sides: [(View<'_>, &Side); 2]) -> Vec<String> {
    if verdict != Verdict::Depends {
        return Vec::new();
    }
    let open = sides
        .into_iter()
        .filter(|(_, side)| side.verdict == Verdict::Depends);
    once(open.flat_map(|(view, side)| of_side(view, side)))
}

fn of_side(view: View<'_>, side: &Side) -> Vec<String> {
    let rules: Vec<(&Policy, &Rule)> = view.rules(&side.rules).collect();
    let mut found = equal_priorities(&rules, view.direction);
    let asked = view.governing().filter(|policy| {
        let isolates = side.isolated_by.contains(&policy.id);
        isolates || rules.iter().any(|(own, _)| own.id == policy.id)
    });
    let open = asked.filter(|policy| view.may_govern(policy));
    found.extend(open.map(|policy| {
        format!(
            "whether `{}` governs the {}, whose address the snapshot does not have",
            policy.object,
            view.governed_word()
        )
    }));
    for (_, rule) in &rules {
        if view.peers_match(rule) == Truth::Unknown {
            let peers = rule.peers.iter().flatten();
            let unknown =
                peers.filter(|peer| view.peer_matches(view.tier(rule), peer) == Truth::Unknown);
            found.extend(unknown.map(|peer| peer_condition(view, peer)));
        }
        if view.ports_match(rule) == Truth::Unknown {
            let ports = rule.ports.iter().flatten();
            let unknown =
                ports.filter(|port| view.port_matches(view.tier(rule), port) == Truth::Unknown);
            found.extend(unknown.map(|port| port_condition(view, port)));
        }
    }
    found
}

/// What the API does not say, whatever the snapshot has.
const LEFT_OPEN: &str = "the API leaves open which is asked first";

/// Whether a condition is one that no snapshot could settle.
pub(crate) fn is_left_open(condition: &str) -> bool {
    condition.ends_with(LEFT_OPEN)
}

/// Policies of one tier and priority that act differently on the flow.
fn equal_priorities(rules: &[(&Policy, &Rule)], direction: Direction) -> Vec<String> {
    let mut found = Vec::new();
    for (index, (policy, rule)) in rules.iter().enumerate() {
        let (tier, priority) = (policy.tier, policy.priority);
        let disagrees = |other: &Policy, by: &Rule| {
            (other.tier, other.priority) == (tier, priority)
                && other.id != policy.id
                && by.action != rule.action
        };
        let others = rules.iter().skip(index + 1);
        found.extend(others.filter(|(other, by)| disagrees(other, by)).map(
            |(other, by)| {
                format!(
                    "{direction}: `{}` ({}) and `{}` ({}) both match at priority {priority} of tier {tier}, and {LEFT_OPEN}",
                    policy.object, rule.action, other.object, by.action
                )
            },
        ));
    }
    found
}

fn peer_condition(view: View<'_>, peer: &Peer) -> String {
    let end = view.other_word();
    let is_known = match view.other().address {
        Address::Known(_) => true,
        Address::Unknown { .. } => false,
    };
    match peer {
        Peer::Addresses(block) => format!(
            "whether the {end}, whose address the snapshot does not have, is in {}",
            block_text(block)
        ),
        Peer::Domain(pattern) if is_known => {
            let mut names = view.context.cluster.names().keys();
            let known = if names.any(|name| pattern.matches(name)) {
                "the DNS answers that the snapshot has for such names do not have the address, and it may lack \
                 others"
            } else {
                "the snapshot has no DNS answer for it"
            };
            format!("whether `{pattern}` resolves to the {end}: {known}")
        }
        Peer::Domain(pattern) => format!(
            "whether `{pattern}` resolves to the {end}, whose address the snapshot does not have"
        ),
        Peer::Identities(_) if matches!(view.other().kind, EndpointKind::Node(_)) => {
            format!(
                "whether the {end} is the node on which the pod runs: the snapshot does not say where it runs"
            )
        }
        Peer::Identities(_) if !is_known && matches!(view.other().kind, EndpointKind::Pod(_)) => {
            format!(
                "whether the {end}, whose address the snapshot does not have, is in a block that a selector asks for"
            )
        }
        Peer::Pods(_) | Peer::Nodes(_) | Peer::Identities(_) => {
            format!("whether a selector matches the {end}")
        }
    }
}

/// `10.0.0.0/8 except 10.1.0.0/16`.
fn block_text(block: &IpBlock) -> String {
    let except: Vec<String> = block.except.iter().map(ToString::to_string).collect();
    if except.is_empty() {
        return block.cidr.to_string();
    }
    format!("{} except {}", block.cidr, list(&except, "and"))
}

fn port_condition(view: View<'_>, port: &PortMatch) -> String {
    match (port, view.flow.transport.port) {
        (PortMatch::Named { name, .. }, Some(port)) => {
            format!("whether the destination pod names port {port} `{name}`")
        }
        (PortMatch::Named { .. } | PortMatch::Range { .. }, _) => {
            "which port the flow goes to".into()
        }
    }
}
