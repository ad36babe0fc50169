//! The smallest change that allows a denied flow.
//!
//! Candidates for a side that denies, from small to large: a port more in an allowing rule that misses by its
//! ports; a peer more in one that misses by its peers; a rule more in a policy that isolates; a rule more in
//! front of the rules that deny, in each policy of their priority. What a candidate opens beyond the flow
//! counts as size. One that opens to everyone, or every port, comes after all that do not; one in a tier
//! before the one that denies comes last, since it would overrule policies that nobody asked about. What is
//! given has been applied to the policies, and the spec engine allows the flow then.
//!
//! Nothing is suggested where
//! - the other side is open (`depends`): no change of this side alone allows the flow;
//! - the other end has no address, is no pod, and is not asked about as the outside as a whole;
//! - the port of the question is not known, and only a rule for ports could be added;
//! - a custom resource has no room for one more item ([`spell::limit`]).

use super::Asked;
use super::edit;
use super::report::Suggestion;
use super::view::{Stop, View};
use crate::cluster::{Labels, NAMESPACE_NAME_LABEL};
use crate::diagnostic::counted;
use crate::frontend::spell;
use crate::hir::flow::{Address, EndpointKind, Flow};
use crate::hir::spec::{self, Side, Truth, Verdict, World};
use crate::hir::{
    Action, Direction, IpBlock, NamespaceSelector, Peer, PodSelector, Policy, PolicyId, PolicySet,
    PortMatch, PortRange, Requirement, Rule, RuleId, RuleOrigin, Selector, Tier,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::BTreeMap;

/// Labels that controllers put on pods, or that differ between versions of one workload.
const VOLATILE_LABELS: [&str; 9] = [
    "app.kubernetes.io/version",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "controller-revision-hash",
    "controller-uid",
    "helm.sh/chart",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetesiohostname>
const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";

/// An edit of one policy.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Port {
        rule: RuleId,
        port: PortMatch,
    },
    Peer {
        rule: RuleId,
        peer: Peer,
    },
    Rule {
        policy: PolicyId,
        index: usize,
        rule: Rule,
    },
}

/// What a candidate costs: first whom it overrules, then whether it opens without bound, then for how many
/// pods, then its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
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

struct Candidate {
    cost: Cost,
    changes: Vec<Change>,
}

/// The smallest change that allows the flow, if one of the candidates does. Whether it allows the flows that
/// are alike is said with it.
pub(super) fn suggest(sides: [(View<'_>, &Side); 2], asked: &Asked<'_>) -> Option<Suggestion> {
    let [(view, _), _] = sides;
    let mut policies = governing(sides);
    let mut edits = Vec::new();
    let mut summaries = Vec::new();
    for (view, side) in sides {
        if side.verdict != Verdict::Deny {
            continue;
        }
        let (changes, changed) = smallest(view, side, &policies)?;
        policies = changed;
        for change in &changes {
            edits.push(edit::edit(view, change)?);
            summaries.push(edit::summary(view, change)?);
        }
    }
    let is_allowed =
        |flow: &Flow<'_>| spec::judge(world(view, &policies), flow).verdict == Verdict::Allow;
    let mut rest = match asked.alike.iter().filter(|flow| !is_allowed(flow)).count() {
        0 => String::new(),
        rest => format!(
            "; {} of the question would still not be allowed",
            counted(rest, "other flow")
        ),
    };
    if asked
        .in_other_family
        .as_ref()
        .is_some_and(|flow| !is_allowed(flow))
    {
        rest.push_str("; in the other address family it would still not be allowed");
    }
    is_allowed(view.flow).then(|| Suggestion {
        summary: format!("{}{rest}", summaries.join("; and ")),
        edits,
    })
}

/// The policies that are asked about either end: others need not be copied for each candidate.
fn governing(sides: [(View<'_>, &Side); 2]) -> PolicySet {
    let [(egress, _), (ingress, _)] = sides;
    let mut policies: Vec<Policy> = egress.governing().cloned().collect();
    policies.extend(ingress.governing().cloned());
    policies.sort_by_key(|policy| policy.id);
    policies.dedup_by_key(|policy| policy.id);
    PolicySet {
        policies,
        origins: Vec::new(),
        semantics: egress.context.policies.semantics,
    }
}

fn world<'a>(view: View<'a>, policies: &'a PolicySet) -> World<'a> {
    World {
        policies,
        names: view.context.cluster.names(),
    }
}

/// The cheapest change of one side after which that side allows, with the changed policies.
fn smallest(view: View<'_>, side: &Side, policies: &PolicySet) -> Option<(Vec<Change>, PolicySet)> {
    let mut candidates = widened_rules(view, side);
    candidates.extend(added_rules(view, side));
    candidates.sort_by_key(|candidate| candidate.cost);
    candidates.into_iter().find_map(|candidate| {
        let mut changed = policies.clone();
        for change in &candidate.changes {
            apply(&mut changed, view, change)?;
        }
        let judged = spec::judge_side(world(view, &changed), view.flow, view.direction);
        (judged.verdict == Verdict::Allow).then_some((candidate.changes, changed))
    })
}

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
        Peer::Nodes(_) | Peer::Addresses(_) | Peer::Domain(_) => true,
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

fn apply(policies: &mut PolicySet, view: View<'_>, change: &Change) -> Option<()> {
    match change {
        Change::Port { rule, port } => {
            let rule = rule_mut(policies, view, *rule)?;
            rule.ports.as_mut()?.push(port.clone());
        }
        Change::Peer { rule, peer } => {
            let rule = rule_mut(policies, view, *rule)?;
            rule.peers.as_mut()?.push(peer.clone());
        }
        Change::Rule {
            policy,
            index,
            rule,
        } => {
            let rules = rules_mut(policies, view.direction, *policy)?;
            rules.insert((*index).min(rules.len()), rule.clone());
        }
    }
    Some(())
}

fn rules_mut(
    policies: &mut PolicySet,
    direction: Direction,
    id: PolicyId,
) -> Option<&mut Vec<Rule>> {
    let mut policies = policies.policies.iter_mut();
    let policy = policies.find(|policy| policy.id == id)?;
    Some(policy.rules.get_mut(direction))
}

fn rule_mut<'p>(policies: &'p mut PolicySet, view: View<'_>, id: RuleId) -> Option<&'p mut Rule> {
    let origin = view.context.policies.origin(id)?;
    let mut rules = rules_mut(policies, origin.direction, origin.policy)?.iter_mut();
    rules.find(|rule| rule.id == id)
}

/// The ports that the flow stands for; `None` where it has none or they are not known.
fn port_of(view: View<'_>) -> Option<PortMatch> {
    let transport = view.flow.transport;
    let first = transport.port.filter(|_| transport.protocol.has_ports())?;
    let last = view.last.unwrap_or(first);
    let is_all = (first, last) == (1, u16::MAX);
    Some(PortMatch::Range {
        protocol: transport.protocol,
        ports: if is_all {
            PortRange::ALL
        } else {
            PortRange { first, last }
        },
    })
}

/// A peer that names the other end and as little else as its kind allows.
fn peer_of(view: View<'_>, policy: &Policy) -> Option<Peer> {
    let end = view.other();
    match &end.kind {
        EndpointKind::Pod(pod) => {
            let own = match &policy.subject.namespaces {
                NamespaceSelector::Named(name) => **name == *pod.namespace,
                NamespaceSelector::Labels(_) => false,
            };
            let namespaces = if own {
                NamespaceSelector::Named(pod.namespace.into())
            } else {
                NamespaceSelector::Labels(namespace_selector(pod.namespace, pod.namespace_labels))
            };
            Some(Peer::Pods(PodSelector {
                namespaces,
                pods: stable_labels(pod.labels),
            }))
        }
        EndpointKind::Node(_) | EndpointKind::Outside => {
            // The cluster-wide kinds cannot name an address as the source of a flow.
            let can_name = policy.tier == Tier::Namespace || view.direction == Direction::Egress;
            can_name.then(|| address_peer(view, policy.tier)).flatten()
        }
    }
}

/// An end that is no pod: by its address; a node without one by its name, where the kind allows that; the
/// outside as a whole by all addresses of its family.
fn address_peer(view: View<'_>, tier: Tier) -> Option<Peer> {
    let end = view.other();
    let is_whole_outside = view.party.name.is_none() && view.party.ip.is_none();
    let block = |cidr| {
        Peer::Addresses(IpBlock {
            cidr,
            except: Vec::new(),
        })
    };
    match (end.address, &end.kind) {
        (Address::Known(address), _) => Some(block(IpNet::from(address))),
        (Address::Unknown { v4, v6 }, EndpointKind::Outside) if is_whole_outside => {
            match (v4, v6) {
                (true, false) => Some(block(Ipv4Net::default().into())),
                (false, true) => Some(block(Ipv6Net::default().into())),
                (true, true) | (false, false) => None,
            }
        }
        (Address::Unknown { .. }, EndpointKind::Node(node)) if tier != Tier::Namespace => {
            let hostname = node.labels.get(HOSTNAME_LABEL)?;
            let hostname = Requirement::equal(HOSTNAME_LABEL, hostname);
            Some(Peer::Nodes([hostname].into_iter().collect()))
        }
        (Address::Unknown { .. }, _) => None,
    }
}

fn namespace_selector(name: &str, labels: &Labels) -> Selector {
    if name.is_empty() {
        return stable_labels(labels);
    }
    let name = Requirement::equal(NAMESPACE_NAME_LABEL, name);
    [name].into_iter().collect()
}

/// What selects a pod and those like it, but not what differs between versions of its workload.
fn stable_labels(labels: &Labels) -> Selector {
    labels
        .iter()
        .filter(|(key, _)| !VOLATILE_LABELS.contains(key))
        .map(|(key, value)| Requirement::equal(key, value))
        .collect()
}
