//! The changes that may allow one side of a flow, and what each costs.

use super::Change;
use super::items::{peer_of, port_of};
use crate::explain::edit;
use crate::explain::view::{Stop, View};
use crate::frontend::spell;
use crate::hir::spec::{Side, Truth};
use crate::hir::{
    Action, IdentitySelector, NamespaceSelector, Peer, Policy, PortMatch, PortRange, Precedence,
    Rule, RuleId, RuleOrigin, Tier,
};
use std::collections::BTreeMap;

/// What a candidate costs: first whom it overrules, then whether it opens without bound, then for how many
/// pods, then its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    /// It is made in a tier before the one that denies.
    overrules: bool,
    /// It is for everyone, or for every port.
    opens_widely: bool,
    /// How many pods the changed policies govern: the flow is allowed for all of these.
    governed: usize,
    /// One of the sizes below, and one more for each peer or port beyond those of the flow.
    size: usize,
}

const PORT_MORE: usize = 0;
const PEER_MORE: usize = 1;
const RULE_MORE: usize = 3;
/// A rule in front of those that deny or pass.
const RULE_IN_FRONT: usize = 4;

/// A change of a side, and what it costs.
pub(super) struct Candidate {
    pub(super) cost: Cost,
    pub(super) changes: Vec<Change>,
}

/// Allowing rules made wider.
pub(super) fn widened_rules(view: View<'_>, side: &Side) -> Vec<Candidate> {
    let Some(stop) = view.stop(side) else {
        return Vec::new();
    };
    let rules = view.governing().flat_map(|policy| {
        let rules = policy.rules.get(view.direction);
        rules.iter().map(move |rule| (policy, rule))
    });
    rules
        .filter(|(policy, rule)| rule.action == Action::Allow && stop.is_behind(policy, rule))
        .filter_map(|(policy, rule)| widened(view, stop, policy, rule))
        .collect()
}

/// A port or a peer more in an allowing rule.
fn widened(view: View<'_>, stop: Stop<'_>, policy: &Policy, rule: &Rule) -> Option<Candidate> {
    let origin = view.context.policies.origin(rule.id)?;
    let mut candidate = match (view.peers_match(rule), view.ports_match(rule)) {
        (Truth::Yes, Truth::No) => port_more(view, policy, rule, origin),
        (Truth::No, Truth::Yes) => peer_more(view, policy, rule, origin),
        (Truth::Yes | Truth::No | Truth::Unknown, _) => None,
    }?;
    candidate.cost.overrules = policy.tier != stop.tier();
    Some(candidate)
}

fn port_more(
    view: View<'_>,
    policy: &Policy,
    rule: &Rule,
    origin: &RuleOrigin,
) -> Option<Candidate> {
    let change = Change::Port {
        rule: rule.id,
        port: port_of(view)?,
    };
    has_room(policy, origin.ports.len()).then(|| Candidate {
        cost: Cost {
            overrules: false,
            opens_widely: opens_to_everyone(rule),
            governed: edit::governed(view, policy),
            size: PORT_MORE + beyond(rule.peers.as_ref()),
        },
        changes: vec![change],
    })
}

fn peer_more(
    view: View<'_>,
    policy: &Policy,
    rule: &Rule,
    origin: &RuleOrigin,
) -> Option<Candidate> {
    let peer = peer_of(view, policy)?;
    let is_refused = policy.tier != Tier::Namespace && is_no_pod(&peer) && names_ports(rule);
    let fits = has_room(policy, edit::written_items(&origin.peers)) && !is_refused;
    fits.then(|| Candidate {
        cost: Cost {
            overrules: false,
            opens_widely: opens_every_port(rule),
            governed: edit::governed(view, policy),
            size: PEER_MORE + beyond(rule.ports.as_ref()),
        },
        changes: vec![Change::Peer {
            rule: rule.id,
            peer,
        }],
    })
}

fn beyond<T>(items: Option<&Vec<T>>) -> usize {
    items.map_or(0, |items| items.len().saturating_sub(1))
}

fn has_room(policy: &Policy, items: usize) -> bool {
    spell::limit(&policy.object).is_none_or(|limit| items < limit)
}

/// The definitions refuse names of ports beside peers that name none.
fn names_ports(rule: &Rule) -> bool {
    let mut ports = rule.ports.iter().flatten();
    ports.any(|port| match port {
        PortMatch::Named { .. } => true,
        PortMatch::Range { .. } => false,
    })
}

fn is_no_pod(peer: &Peer) -> bool {
    match peer {
        Peer::Pods(_) => false,
        Peer::Nodes(_) | Peer::Addresses(_) | Peer::Domain(_) | Peer::Identities(_) => true,
    }
}

/// Whether a rule is for anyone, for all pods, or for all addresses.
fn opens_to_everyone(rule: &Rule) -> bool {
    let is_everyone = |peer: &Peer| match peer {
        Peer::Pods(selector) => match &selector.namespaces {
            NamespaceSelector::Labels(namespaces) => {
                namespaces.requirements.is_empty() && selector.pods.requirements.is_empty()
            }
            NamespaceSelector::Named(_) => false,
        },
        Peer::Nodes(selector) => selector.requirements.is_empty(),
        Peer::Addresses(block) => block.cidr.prefix_len() == 0,
        Peer::Domain(_) => false,
        Peer::Identities(selectors) => selectors.iter().any(IdentitySelector::is_everything),
    };
    let peers = rule.peers.as_ref();
    peers.is_none_or(|peers| peers.iter().any(is_everyone))
}

/// Whether a rule is for every port, of one protocol at least.
fn opens_every_port(rule: &Rule) -> bool {
    let is_all = |port: &PortMatch| match port {
        PortMatch::Range { ports, .. } => *ports == PortRange::ALL,
        PortMatch::Named { .. } => false,
    };
    let ports = rule.ports.as_ref();
    ports.is_none_or(|ports| ports.iter().any(is_all))
}

/// A rule more: in a policy that isolates, or in front of the rules that deny or pass.
pub(super) fn added_rules(view: View<'_>, side: &Side) -> Vec<Candidate> {
    let isolating = side.isolated_by.iter();
    let mut found: Vec<Candidate> = isolating
        .filter_map(|id| view.context.policies.policy(*id))
        .filter_map(|policy| {
            let end = policy.rules.get(view.direction).len();
            rules_at(view, RULE_MORE, &[(policy, end)])
        })
        .collect();
    let denied_in = view.stop(side).map(Stop::tier);
    for ((tier, _), places) in overruled(view, side) {
        let mut candidate = rules_at(view, RULE_IN_FRONT, &places);
        if let Some(candidate) = &mut candidate {
            candidate.cost.overrules = Some(tier) != denied_in;
        }
        found.extend(candidate);
    }
    found
}

/// A policy and the index of a rule in it.
type Place<'a> = (&'a Policy, usize);

/// The first rule of each policy that denies or passes the flow, by tier and priority.
fn overruled<'a>(view: View<'a>, side: &'a Side) -> BTreeMap<(Tier, u32), Vec<Place<'a>>> {
    let mut levels: BTreeMap<_, Vec<Place<'a>>> = BTreeMap::new();
    let rules = view.rules(&side.rules);
    for (policy, rule) in rules.filter(|(_, rule)| rule.action != Action::Allow) {
        let level = levels.entry((policy.tier, policy.priority)).or_default();
        let rules = policy.rules.get(view.direction);
        let index = rules.iter().position(|own| own.id == rule.id);
        if let Some(index) = index
            && !level.iter().any(|(known, _)| known.id == policy.id)
        {
            level.push((policy, index));
        }
    }
    levels
}

/// A rule for the flow alone at each of these places.
fn rules_at(view: View<'_>, size: usize, places: &[(&Policy, usize)]) -> Option<Candidate> {
    let ports = match port_of(view) {
        Some(port) => Some(vec![port]),
        None if view.flow.transport.protocol.has_ports() => return None,
        None => None,
    };
    let opens_widely = ports.is_none();
    let mut changes = Vec::new();
    for (policy, index) in places {
        if !has_room(policy, policy.rules.get(view.direction).len()) {
            return None;
        }
        let rule = Rule {
            // Of no meaning to the engine, and of no other use here.
            id: RuleId(u32::MAX),
            action: Action::Allow,
            peers: Some(vec![peer_of(view, policy)?]),
            ports: ports.clone(),
            precedence: Precedence::default(),
        };
        changes.push(Change::Rule {
            policy: policy.id,
            index: *index,
            rule,
        });
    }
    let cost = Cost {
        overrules: false,
        opens_widely,
        governed: places
            .iter()
            .map(|(policy, _)| edit::governed(view, policy))
            .sum(),
        size: size + beyond(Some(&changes)),
    };
    Some(Candidate { cost, changes })
}
