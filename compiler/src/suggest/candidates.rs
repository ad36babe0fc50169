//! The edits that may allow one side of a flow, and how they rank among edits that open as much.

use super::change::Change;
use super::items::{peer_of, port_of};
use super::{edit, labels, policies};
use crate::explain::view::{Stop, View};
use crate::frontend::spell;
use crate::hir::spec::{Side, Truth};
use crate::hir::{
    Action, IdentitySelector, NamespaceSelector, Peer, Policy, PortMatch, PortRange, Precedence,
    Rule, RuleId, RuleOrigin, Tier,
};
use std::collections::BTreeMap;

/// What is edited, in the order in which edits are preferred: the smaller text first, and labels last, since they
/// change what all policies say of their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    PortMore,
    PortWider,
    PeerMore,
    RuleMore,
    /// A rule in front of those that deny or pass.
    RuleInFront,
    Policy,
    Label,
}

/// The order of edits that are as many and change as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// It is made in a tier before the one that denies: policies are overruled that nobody asked about.
    pub(super) overrules: bool,
    /// It is for everyone, or for every port: it opens more than what the snapshot has.
    pub(super) opens_widely: bool,
    pub(super) kind: Kind,
    /// How many pods the edited policies govern: the edit is for all of them.
    pub(super) governed: usize,
    /// How many peers or ports it is for, or labels it gives.
    pub(super) size: usize,
}

/// Edits that belong together.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) rank: Rank,
    pub(super) changes: Vec<Change>,
}

/// All that may allow a side.
pub(super) fn candidates(view: View<'_>, side: &Side) -> Vec<Candidate> {
    let mut all = widened_rules(view, side);
    all.extend(added_rules(view, side));
    all.extend(policies::new_policies(view, side));
    all.extend(labels::relabellings(view, side));
    all
}

/// Allowing rules made wider.
fn widened_rules(view: View<'_>, side: &Side) -> Vec<Candidate> {
    let Some(stop) = view.stop(side) else {
        return Vec::new();
    };
    let rules = view.governing().flat_map(|policy| {
        let rules = policy.rules.get(view.direction);
        rules.iter().map(move |rule| (policy, rule))
    });
    rules
        .filter(|(policy, rule)| rule.action == Action::Allow && stop.is_behind(policy, rule))
        .flat_map(|(policy, rule)| widened(view, stop, policy, rule))
        .collect()
}

/// A port or a peer more in an allowing rule.
fn widened(view: View<'_>, stop: Stop<'_>, policy: &Policy, rule: &Rule) -> Vec<Candidate> {
    let Some(origin) = view.context.policies.origin(rule.id) else {
        return Vec::new();
    };
    let mut found = match (view.peers_match(rule), view.ports_match(rule)) {
        (Truth::Yes, Truth::No) => {
            let more = port_more(view, policy, rule, origin);
            more.into_iter().chain(port_wider(view, rule)).collect()
        }
        (Truth::No, Truth::Yes) => Vec::from_iter(peer_more(view, policy, rule, origin)),
        (Truth::Yes | Truth::No | Truth::Unknown, _) => Vec::new(),
    };
    for candidate in &mut found {
        candidate.rank.overrules = policy.tier != stop.tier();
    }
    found
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
        rank: Rank {
            overrules: false,
            opens_widely: opens_to_everyone(rule),
            kind: Kind::PortMore,
            governed: 0,
            size: rule.peers.as_ref().map_or(0, Vec::len),
        },
        changes: vec![change],
    })
}

/// A range of ports that begins or ends where the flow's do.
fn port_wider(view: View<'_>, rule: &Rule) -> Vec<Candidate> {
    let Some(PortMatch::Range { protocol, ports }) = port_of(view) else {
        return Vec::new();
    };
    let wider = |(index, port): (usize, &PortMatch)| match port {
        PortMatch::Range {
            protocol: own,
            ports: range,
        } if *own == protocol => {
            let port = PortMatch::Range {
                protocol,
                ports: PortRange {
                    first: range.first.min(ports.first),
                    last: range.last.max(ports.last),
                },
            };
            Some(Candidate {
                rank: Rank {
                    overrules: false,
                    opens_widely: opens_to_everyone(rule),
                    kind: Kind::PortWider,
                    governed: 0,
                    size: rule.peers.as_ref().map_or(0, Vec::len),
                },
                changes: vec![Change::Wider {
                    rule: rule.id,
                    index,
                    port,
                }],
            })
        }
        PortMatch::Range { .. } | PortMatch::Named { .. } => None,
    };
    let ports = rule.ports.iter().flatten().enumerate();
    ports.filter_map(wider).collect()
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
        rank: Rank {
            overrules: false,
            opens_widely: opens_every_port(rule),
            kind: Kind::PeerMore,
            governed: 0,
            size: rule.ports.as_ref().map_or(0, Vec::len),
        },
        changes: vec![Change::Peer {
            rule: rule.id,
            peer,
        }],
    })
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
fn added_rules(view: View<'_>, side: &Side) -> Vec<Candidate> {
    let isolating = side.isolated_by.iter();
    let mut found: Vec<Candidate> = isolating
        .filter_map(|id| view.context.policies.policy(*id))
        .filter_map(|policy| {
            let end = policy.rules.get(view.direction).len();
            rules_at(view, Kind::RuleMore, &[(policy, end)])
        })
        .collect();
    let denied_in = view.stop(side).map(Stop::tier);
    for ((tier, _), places) in overruled(view, side) {
        let mut candidate = rules_at(view, Kind::RuleInFront, &places);
        if let Some(candidate) = &mut candidate {
            candidate.rank.overrules = Some(tier) != denied_in;
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
fn rules_at(view: View<'_>, kind: Kind, places: &[Place<'_>]) -> Option<Candidate> {
    let mut opens_widely = false;
    let mut changes = Vec::new();
    for (policy, index) in places {
        if !has_room(policy, policy.rules.get(view.direction).len()) {
            return None;
        }
        let rule = rule_for(view, policy)?;
        opens_widely |= rule.ports.is_none();
        changes.push(Change::Rule {
            policy: policy.id,
            direction: view.direction,
            index: *index,
            rule,
        });
    }
    let rank = Rank {
        overrules: false,
        opens_widely,
        kind,
        governed: 0,
        size: places.len(),
    };
    Some(Candidate { rank, changes })
}

/// A rule for the flow alone, or as little else as a policy can say.
pub(super) fn rule_for(view: View<'_>, policy: &Policy) -> Option<Rule> {
    let ports = match port_of(view) {
        Some(port) => Some(vec![port]),
        None if view.flow.transport.protocol.has_ports() => return None,
        None => None,
    };
    Some(Rule {
        // Of no meaning to the engine, and of no other use here.
        id: RuleId(u32::MAX),
        action: Action::Allow,
        peers: Some(vec![peer_of(view, policy)?]),
        ports,
        precedence: Precedence::default(),
    })
}
