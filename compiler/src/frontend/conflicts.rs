//! Rules that Cilium cannot enforce together: for one peer and port they ask for different proxies, or for different
//! ways to authenticate. The agent then gives up on the endpoint, which keeps whatever policy it had
//! (`pkg/policy/l4.go`).
//!
//! Input: the snapshot and policies that are resolved by precedence. Output: one error for each pair of policies of
//! which rules meet at a pod, at the first such rules. Guarantee: rules of which one denies are not compared, since the proxy is not asked then.

use crate::cluster::{Cluster, PodId};
use crate::diagnostic::{Diagnostic, codes};
use crate::hir::{
    Action, Direction, Enforcement, Peer, Policy, PolicyId, PolicySet, PortMatch, Resolution, Rule,
    RuleId, Subject, Tier,
};
use crate::identity::View;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The first two rules of two policies that do not go together in one way.
type Pairs = BTreeMap<(PolicyId, PolicyId, Apart), (RuleId, RuleId)>;

/// What two rules cannot agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Apart {
    Proxies,
    Authentication,
}

/// What two rules have in common that meet in one entry of Cilium's.
type Key<'a> = (Tier, u32, Option<&'a Peer>, Option<&'a PortMatch>);

/// All conflicts.
pub(super) fn conflicts(cluster: &Cluster, policies: &PolicySet) -> Vec<Diagnostic> {
    let Resolution::Precedence(enforcement) = &policies.resolution else {
        return Vec::new();
    };
    if !policies.policies.iter().any(asks_for_more) {
        return Vec::new();
    }
    let mut seen: BTreeSet<Vec<PolicyId>> = BTreeSet::new();
    let mut alike = HashSet::new();
    let mut pairs = Pairs::new();
    for (pod, index) in cluster.pods().iter().zip(0..) {
        if !alike.insert((pod.namespace, pod.labels, pod.ports, &pod.service_account)) {
            continue;
        }
        let governing = governing(cluster, policies, enforcement, PodId(index));
        if governing.iter().any(|policy| asks_for_more(policy))
            && seen.insert(governing.iter().map(|policy| policy.id).collect())
        {
            for direction in [Direction::Ingress, Direction::Egress] {
                meet(&governing, direction, &mut pairs);
            }
        }
    }
    let pairs = pairs.into_iter();
    pairs
        .filter_map(|((_, _, apart), rules)| conflict(policies, rules, apart))
        .collect()
}

/// Whether a rule of a policy does more than allow or deny.
fn asks_for_more(policy: &Policy) -> bool {
    let rules = [Direction::Ingress, Direction::Egress].map(|way| policy.rules.get(way));
    let mut rules = rules.into_iter().flatten();
    rules.any(|rule| rule.precedence.redirect.is_some() || rule.precedence.auth.is_some())
}

fn governing<'p>(
    cluster: &Cluster,
    policies: &'p PolicySet,
    enforcement: &Enforcement,
    id: PodId,
) -> Vec<&'p Policy> {
    let Some(pod) = cluster.pod(id).filter(|pod| !pod.host_network) else {
        return Vec::new();
    };
    let view = View {
        id: Some(id),
        namespace: cluster.namespace_name(pod.namespace),
        namespace_labels: cluster.namespace_labels(pod.namespace),
        labels: cluster.labels(pod.labels),
        ports: Some(cluster.ports(pod.ports)),
        service_account: &pod.service_account,
    };
    let identity = enforcement.identities.pod(view, None);
    let selects = |policy: &&Policy| match &policy.subject {
        Subject::Endpoints(selector) => selector.matches(&identity),
        Subject::Nodes(_) | Subject::Pods(_) => false,
    };
    policies.policies.iter().filter(selects).collect()
}

/// Finds the pairs of rules that meet and do not go together.
fn meet<'p>(governing: &[&'p Policy], direction: Direction, pairs: &mut Pairs) {
    let mut known: HashMap<Key<'p>, Vec<(PolicyId, &'p Rule)>> = HashMap::new();
    for policy in governing {
        for rule in policy.rules.get(direction) {
            for key in keys(policy.tier, rule) {
                let others = known.entry(key).or_default();
                others.push((policy.id, rule));
            }
        }
    }
    for rules in known.values() {
        if rules.iter().any(|(_, rule)| rule.action == Action::Deny) {
            continue;
        }
        for (index, (policy, one)) in rules.iter().enumerate() {
            let others = rules.iter().skip(index + 1);
            for (second, other) in others {
                let Some(apart) = apart(one, other) else {
                    continue;
                };
                let found = (one.id.min(other.id), one.id.max(other.id));
                let of = (*policy.min(second), *policy.max(second), apart);
                let first = pairs.entry(of).or_insert(found);
                *first = found.min(*first);
            }
        }
    }
}

fn keys<'p>(tier: Tier, rule: &'p Rule) -> Vec<Key<'p>> {
    fn all<T>(items: &Option<Vec<T>>) -> Vec<Option<&T>> {
        match items {
            Some(items) => items.iter().map(Some).collect(),
            None => vec![None],
        }
    }
    let (peers, ports) = (all(&rule.peers), all(&rule.ports));
    let rank = rule.precedence.rank;
    let pairs = peers
        .iter()
        .flat_map(|peer| ports.iter().map(move |port| (*peer, *port)));
    pairs
        .map(|(peer, port)| (tier, rank, peer.filter(|peer| !is_anyone(peer)), port))
        .collect()
}

fn is_anyone(peer: &Peer) -> bool {
    match peer {
        Peer::Identities(selectors) => selectors.iter().any(|one| one.is_everything()),
        Peer::Pods(_) | Peer::Nodes(_) | Peer::Addresses(_) | Peer::Domain(_) => false,
    }
}

/// The priority of the proxies that look at what a flow carries, which go with TLS and with no other.
const LOOKING: [u8; 2] = [101, 121];

fn apart(one: &Rule, other: &Rule) -> Option<Apart> {
    let proxies = [one, other].map(|rule| rule.precedence.redirect.map(|to| to.priority));
    let looking = proxies.map(|proxy| proxy.filter(|priority| LOOKING.contains(priority)));
    let auth = [one.precedence.auth, other.precedence.auth];
    if matches!(auth, [Some(one), Some(other)] if one != other) {
        return Some(Apart::Authentication);
    }
    let by_proxy = matches!(looking, [Some(one), Some(other)] if one != other);
    by_proxy.then_some(Apart::Proxies)
}

fn conflict(
    policies: &PolicySet,
    (one, other): (RuleId, RuleId),
    apart: Apart,
) -> Option<Diagnostic> {
    let (policy, _) = policies.rule(one)?;
    let (second, _) = policies.rule(other)?;
    let (first, origin) = (policies.origin(one)?, policies.origin(other)?);
    let what = match apart {
        Apart::Authentication => "ways to authenticate",
        Apart::Proxies => "proxies",
    };
    let message = format!(
        "`{}` and `{}` ask for different {what} for the same traffic, and Cilium enforces neither",
        policy.object, second.object
    );
    Some(
        Diagnostic::new(&codes::CONFLICTING_RULES, message)
            .at(origin.span, "its endpoints keep the policy that they had")
            .related(first.span, "the other rule")
            .field(origin.path.to_string())
            .object(second.object.clone())
            .help("let the two say the same, or give them different peers or ports"),
    )
}
