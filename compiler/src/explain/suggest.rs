//! The smallest change that allows a denied flow.
//!
//! Candidates for a side that denies: a port more in a rule that misses by its ports, a peer more in one that
//! misses by its peers, a rule more in a policy that isolates or in front of the rule that denies. The smallest
//! is tried first; what is given has been applied to the policies, and the spec engine allows the flow then.

use super::report::{Edit, Suggestion};
use super::{Context, governing, miss};
use crate::cluster::{Labels, NAMESPACE_NAME_LABEL};
use crate::frontend::spell;
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow, Transport};
use crate::hir::spec::{self, Judgement, Side, Truth, Verdict, World};
use crate::hir::{
    Action, Direction, IpBlock, NamespaceSelector, Peer, PodSelector, Policy, PolicyId, PolicySet,
    PortMatch, PortRange, Requirement, Rule, RuleId, Selector, Tier,
};
use crate::source::Span;
use ipnet::IpNet;

/// Labels that controllers put on pods and that differ between versions of one workload.
const VOLATILE_LABELS: [&str; 6] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
];

/// An edit of one policy.
#[derive(Clone, Debug)]
enum Change {
    AddPort {
        rule: RuleId,
        port: PortMatch,
    },
    AddPeer {
        rule: RuleId,
        peer: Peer,
    },
    AddRule {
        policy: PolicyId,
        direction: Direction,
        index: usize,
        rule: Rule,
    },
}

/// A change with what it costs: first by how much it opens, then by its size.
struct Candidate {
    cost: (bool, usize, usize),
    change: Change,
}

/// The smallest change that allows the flow, if one of the candidates does.
pub(super) fn suggest(
    context: Context<'_>,
    flow: &Flow<'_>,
    judgement: &Judgement,
) -> Option<Suggestion> {
    let mut policies = context.policies.clone();
    let mut edits = Vec::new();
    for (direction, side) in [
        (Direction::Egress, &judgement.egress),
        (Direction::Ingress, &judgement.ingress),
    ] {
        if side.verdict == Verdict::Deny {
            let (change, changed) = smallest(context, flow, direction, side, &policies)?;
            edits.push(edit(context, direction, &change)?);
            policies = changed;
        }
    }
    let world = World {
        policies: &policies,
        names: context.cluster.names(),
    };
    let allowed = spec::judge(world, flow).verdict == Verdict::Allow;
    let summary = edits
        .iter()
        .map(|edit| format!("add to `{}` of {}", edit.path, edit.policy))
        .collect::<Vec<_>>();
    allowed.then(|| Suggestion {
        summary: summary.join(", and "),
        edits,
    })
}

/// The cheapest change of one side after which that side allows, with the changed policies.
fn smallest(
    context: Context<'_>,
    flow: &Flow<'_>,
    direction: Direction,
    side: &Side,
    policies: &PolicySet,
) -> Option<(Change, PolicySet)> {
    let mut candidates = candidates(context, flow, direction, side);
    candidates.sort_by_key(|candidate| candidate.cost);
    candidates.into_iter().find_map(|candidate| {
        let mut changed = policies.clone();
        apply(&mut changed, &candidate.change)?;
        let world = World {
            policies: &changed,
            names: context.cluster.names(),
        };
        let allowed = spec::judge_side(world, flow, direction).verdict == Verdict::Allow;
        allowed.then_some((candidate.change, changed))
    })
}

fn candidates(
    context: Context<'_>,
    flow: &Flow<'_>,
    direction: Direction,
    side: &Side,
) -> Vec<Candidate> {
    let mut found = Vec::new();
    for policy in governing(context, flow, direction) {
        for rule in policy
            .rules
            .get(direction)
            .iter()
            .filter(|rule| rule.action == Action::Allow)
        {
            found.extend(widened(context, flow, direction, policy, rule));
        }
    }
    found.extend(added_rules(context, flow, direction, side));
    found
}

/// A port or a peer more in an allowing rule.
fn widened(
    context: Context<'_>,
    flow: &Flow<'_>,
    direction: Direction,
    policy: &Policy,
    rule: &Rule,
) -> Option<Candidate> {
    let other = miss::other_end(flow, direction);
    let peers = spec::peers_match(context.world(), rule, other);
    let ports = spec::ports_match(rule, flow);
    match (peers, ports) {
        (Truth::Yes, Truth::No) => {
            let port = port_of(flow.transport)?;
            let width = rule.peers.as_ref().map_or(0, Vec::len);
            let change = Change::AddPort {
                rule: rule.id,
                port,
            };
            Some(Candidate {
                cost: (rule.peers.is_none(), 1, width),
                change,
            })
        }
        (Truth::No, Truth::Yes) => {
            let peer = peer_of(other, policy, direction)?;
            let width = rule.ports.as_ref().map_or(0, Vec::len);
            let change = Change::AddPeer {
                rule: rule.id,
                peer,
            };
            Some(Candidate {
                cost: (rule.ports.is_none(), 2, width),
                change,
            })
        }
        _ => None,
    }
}

/// A rule more: in a policy that isolates, or in front of the rule that denies.
fn added_rules(
    context: Context<'_>,
    flow: &Flow<'_>,
    direction: Direction,
    side: &Side,
) -> Vec<Candidate> {
    let other = miss::other_end(flow, direction);
    let denying = side
        .rules
        .iter()
        .filter_map(|id| context.policies.rule(*id))
        .find(|(_, rule)| rule.action == Action::Deny);
    let places: Vec<(&Policy, usize)> = match denying {
        Some((policy, rule)) => {
            let index = policy
                .rules
                .get(direction)
                .iter()
                .position(|own| own.id == rule.id)
                .unwrap_or(0);
            vec![(policy, index)]
        }
        None => side
            .isolated_by
            .iter()
            .filter_map(|id| context.policies.policy(*id))
            .map(|policy| (policy, policy.rules.get(direction).len()))
            .collect(),
    };
    places
        .into_iter()
        .filter_map(|(policy, index)| {
            let ports = match port_of(flow.transport) {
                Some(port) => Some(vec![port]),
                None if policy.tier == Tier::Namespace || !flow.transport.protocol.has_ports() => {
                    None
                }
                None => return None,
            };
            let unbounded = ports.is_none();
            let rule = Rule {
                id: RuleId(u32::MAX),
                action: Action::Allow,
                peers: Some(vec![peer_of(other, policy, direction)?]),
                ports,
            };
            let change = Change::AddRule {
                policy: policy.id,
                direction,
                index,
                rule,
            };
            Some(Candidate {
                cost: (unbounded, 3, policy.id.index()),
                change,
            })
        })
        .collect()
}

fn apply(policies: &mut PolicySet, change: &Change) -> Option<()> {
    match change {
        Change::AddPort { rule, port } => rule_mut(policies, *rule)?
            .ports
            .as_mut()?
            .push(port.clone()),
        Change::AddPeer { rule, peer } => rule_mut(policies, *rule)?
            .peers
            .as_mut()?
            .push(peer.clone()),
        Change::AddRule {
            policy,
            direction,
            index,
            rule,
        } => {
            let rules = policies
                .policies
                .get_mut(policy.index())?
                .rules
                .get_mut(*direction);
            rules.insert((*index).min(rules.len()), rule.clone());
        }
    }
    Some(())
}

fn rule_mut(policies: &mut PolicySet, id: RuleId) -> Option<&mut Rule> {
    let origin = policies.origins.get(id.index())?;
    let policy = policies.policies.get_mut(origin.policy.index())?;
    policy
        .rules
        .get_mut(origin.direction)
        .iter_mut()
        .find(|rule| rule.id == id)
}

/// The port that a flow goes to; `None` where it has none.
fn port_of(transport: Transport) -> Option<PortMatch> {
    let port = transport.port.filter(|_| transport.protocol.has_ports())?;
    Some(PortMatch::Range {
        protocol: transport.protocol,
        ports: PortRange {
            first: port,
            last: port,
        },
    })
}

/// A peer that names an end and as little else as labels allow.
fn peer_of(end: &Endpoint<'_>, policy: &Policy, direction: Direction) -> Option<Peer> {
    match (&end.kind, end.address) {
        (EndpointKind::Pod(pod), _) => {
            let own = matches!(&policy.subject.namespaces, NamespaceSelector::Named(name) if **name == *pod.namespace);
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
        // Only the namespace tier can name an address as the source of a flow.
        (EndpointKind::Node(_) | EndpointKind::Outside, _)
            if direction == Direction::Ingress && policy.tier != Tier::Namespace =>
        {
            None
        }
        (EndpointKind::Node(_) | EndpointKind::Outside, Address::Known(address)) => {
            Some(Peer::Addresses(IpBlock {
                cidr: IpNet::from(address),
                except: Vec::new(),
            }))
        }
        (EndpointKind::Node(_) | EndpointKind::Outside, Address::Unknown { .. }) => None,
    }
}

fn namespace_selector(name: &str, labels: &Labels) -> Selector {
    if name.is_empty() {
        stable_labels(labels)
    } else {
        [Requirement::equal(NAMESPACE_NAME_LABEL, name)]
            .into_iter()
            .collect()
    }
}

fn stable_labels(labels: &Labels) -> Selector {
    labels
        .iter()
        .filter(|(key, _)| !VOLATILE_LABELS.contains(key))
        .map(|(key, value)| Requirement::equal(key, value))
        .collect()
}

/// A change as an edit of the object that its author wrote.
fn edit(context: Context<'_>, direction: Direction, change: &Change) -> Option<Edit> {
    let (policy, list, index, value, span) = match change {
        Change::AddPort { rule, port } => {
            let (policy, body) = context.policies.rule(*rule)?;
            let origin = context.policies.origin(*rule)?;
            let list = format!("{}.{}", origin.path, spell::port_list(&policy.object));
            let span = origin.ports.last().map_or(origin.span, |item| item.span);
            (
                policy,
                list,
                body.ports.as_ref()?.len(),
                spell::port(&policy.object, port),
                span,
            )
        }
        Change::AddPeer { rule, peer } => {
            let (policy, _) = context.policies.rule(*rule)?;
            let origin = context.policies.origin(*rule)?;
            let list = format!("{}.{}", origin.path, spell::peer_list(direction));
            let span = origin.peers.last().map_or(origin.span, |item| item.span);
            (
                policy,
                list,
                written_items(&origin.peers),
                spell::peer(&policy.object, peer),
                span,
            )
        }
        Change::AddRule {
            policy,
            direction,
            index,
            rule,
        } => {
            let policy = context.policies.policy(*policy)?;
            let span = neighbour(context, policy, *direction, *index);
            (
                policy,
                format!("spec.{direction}"),
                *index,
                spell::rule(&policy.object, *direction, rule),
                span,
            )
        }
    };
    let (file, location) = context.sources.location(span);
    let yaml = serde_yaml::to_string(&[&value]).ok()?;
    Some(Edit {
        policy: (&policy.object).into(),
        path: list,
        index,
        value,
        yaml,
        file: file.into(),
        line: location.line,
    })
}

/// How many items of the list in the text stand behind the peers: one item of `networks` may give several.
fn written_items(peers: &[crate::hir::ItemOrigin]) -> usize {
    let last = peers
        .last()
        .and_then(|item| item.path.split(['[', ']']).nth(1))
        .and_then(|index| index.parse().ok());
    last.map_or(0, |index: usize| index + 1)
}

fn neighbour(context: Context<'_>, policy: &Policy, direction: Direction, index: usize) -> Span {
    let rules = policy.rules.get(direction);
    let rule = rules.get(index).or(rules.last());
    rule.and_then(|rule| context.policies.origin(rule.id))
        .map_or(policy.span, |origin| origin.span)
}
