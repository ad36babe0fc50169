//! What always holds of a program, and the check that it does.
//!
//! 1. Identities are sorted, each once. A pod has the identity of its namespace, labels, named ports and, on the
//!    network of a node, that node; one that is taken for its node has none.
//! 2. Policies and rules are those of the policy set, in its order; the rules of one policy and direction
//!    stand together.
//! 3. A selector's set has the identities that the selector, as written, selects, and no other; those on the
//!    network of a node only where they are pods to it.
//! 4. Each identity has a table, whose governing policies are those that select it, in ascending order; no two
//!    tables have the same.
//! 5. In a chain, steps are sorted by priority, and each says whether the next has another, or there is none.
//! 6. A partition starts at zero and ascends.
//! 7. Every id leads to an entry; ranges of address classes lie below the number of classes.
//! 8. Where rules are resolved by precedence, a pod's identity has the kind that the pod has without its address; the table
//!    of a kind has the policies whose subject it is; and peers have the kinds that they match as written, and no other.
//!    Selectors have no identities then (3), and tables may be alike (4).
//!
//! Not checked here: that address classes and port classes are cut where a rule cuts, which the differential
//! tests against the spec engine show.

use super::kinds::Kinds;
use super::tiers::LastOf;
use super::{Identity, IdentityId, KindId, Peers, Program, RuleRange, Step, Table, Tables};
use crate::cluster::{Cluster, HostNetwork, PodId};
use crate::hir::flow::PodView;
use crate::hir::spec::precedence::matches::peer_matches;
use crate::hir::{Direction, PolicySet, Tier, spec};
use crate::invariant::{Violation, ensure};
use crate::query::pod_view;

/// Checks every invariant of a program that was resolved from these. Slow: for tests.
///
/// # Errors
/// The first invariant that does not hold.
pub fn verify(program: &Program, cluster: &Cluster, set: &PolicySet) -> Result<(), Violation> {
    identities(program, cluster)?;
    policies(program, set)?;
    match &program.kinds {
        None => by_isolation(program, cluster)?,
        Some(kinds) => by_precedence(program, kinds, cluster)?,
    }
    ensure(ascends(program.addresses.v4.starts()), 6, "IPv4 addresses")?;
    ensure(ascends(program.addresses.v6.starts()), 6, "IPv6 addresses")?;
    ensure(ascends(program.port_classes.starts()), 6, "ports")?;
    lists(program)
}

fn by_isolation(program: &Program, cluster: &Cluster) -> Result<(), Violation> {
    selectors(program, cluster)?;
    tables(program)?;
    for table in &program.tables().list {
        for direction in [Direction::Ingress, Direction::Egress] {
            chain(program, table, direction)?;
        }
    }
    Ok(())
}

fn by_precedence(program: &Program, kinds: &Kinds, cluster: &Cluster) -> Result<(), Violation> {
    for (identity, pod) in members(program, cluster) {
        let found = program.identities.get(identity.index());
        let kind = kinds.of(&kinds.without_address(&pod));
        ensure(found.map(|found| found.kind) == kind, 8, identity)?;
    }
    for (kind, identity) in (0..).map(KindId).zip(kinds.list()) {
        let governing = program.table_of_kind(kind).map(|table| &*table.governing);
        let expected = program.governing_kind(identity);
        ensure(governing == Some(&expected), 8, kind)?;
        for peers in &program.peers {
            let mut written = peers.written.iter();
            let is_one = written.any(|peer| peer_matches(&kinds.enforcement, peer, identity));
            ensure(peers.kinds.contains(kind.0) == is_one, 8, kind)?;
        }
    }
    Ok(())
}

fn identities(program: &Program, cluster: &Cluster) -> Result<(), Violation> {
    ensure(
        program.identities.is_sorted_by(|a, b| a < b),
        1,
        "identities",
    )?;
    ensure(program.of_pod.len() == cluster.pods().len(), 1, "pods")?;
    let are_nodes = cluster.host_network() == HostNetwork::Node || program.kinds.is_some();
    for (pod, found) in cluster.pods().iter().zip(&program.of_pod) {
        let found = found.and_then(|id| program.identities.get(id.index()));
        let taken_for_node = pod.host_network && are_nodes;
        let expected = (!taken_for_node).then_some(Identity {
            namespace: pod.namespace,
            labels: pod.labels,
            ports: pod.ports,
            host: pod.host_network.then_some(pod.node),
            kind: found.map_or(KindId(0), |found| found.kind),
        });
        ensure(found == expected.as_ref(), 1, &pod.name)?;
    }
    Ok(())
}

fn policies(program: &Program, set: &PolicySet) -> Result<(), Violation> {
    ensure(program.policies.len() == set.policies.len(), 2, "policies")?;
    for (policy, written) in program.policies.iter().zip(&set.policies) {
        let as_written = policy.id == written.id
            && policy.tier == written.tier
            && policy.priority == written.priority
            && policy.isolates == written.isolates;
        ensure(as_written, 2, policy.id)?;
        for direction in [Direction::Ingress, Direction::Egress] {
            let rules = program.rules_in(*policy.rules.get(direction)).iter();
            let written = written.rules.get(direction).iter();
            let same = rules
                .map(|rule| (rule.id, rule.action))
                .eq(written.map(|rule| (rule.id, rule.action)));
            ensure(same, 2, policy.id)?;
        }
    }
    Ok(())
}

/// A pod of each identity.
fn members<'c>(
    program: &Program,
    cluster: &'c Cluster,
) -> impl Iterator<Item = (IdentityId, PodView<'c>)> {
    let mut shown = vec![false; program.identities.len()];
    cluster
        .pods()
        .iter()
        .zip(0_u32..)
        .zip(&program.of_pod)
        .filter_map(move |((pod, index), identity)| {
            let identity = (*identity)?;
            let seen = shown.get_mut(identity.index())?;
            (!std::mem::replace(seen, true))
                .then(|| (identity, pod_view(cluster, PodId(index), pod)))
        })
}

fn selectors(program: &Program, cluster: &Cluster) -> Result<(), Violation> {
    for (identity, pod) in members(program, cluster) {
        for selector in &program.selectors {
            let selected = program.selected(selector).contains(identity.0);
            let sees = selector.hosts_are_pods || pod.host.is_none();
            let written = selector.written.pods();
            let expected = sees && written.is_some_and(|written| spec::selects(written, &pod));
            ensure(selected == expected, 3, identity)?;
        }
    }
    Ok(())
}

fn tables(program: &Program) -> Result<(), Violation> {
    let count = program.identities.len();
    let Tables { list, of_identity } = program.tables();
    ensure(of_identity.len() == count, 4, "identities")?;
    for (identity, table) in (0_u32..).map(IdentityId).zip(of_identity) {
        let table = list.get(table.index());
        let selecting = (0_u32..).zip(&program.policies).filter(|(_, policy)| {
            let subject = program.selectors.get(policy.subject.index());
            subject.is_some_and(|subject| program.selected(subject).contains(identity.0))
        });
        let same = table.is_some_and(|table| {
            let governing = table.governing.iter().copied();
            governing.eq(selecting.map(|(index, _)| index))
        });
        ensure(same, 4, identity)?;
    }
    let mut lists: Vec<&[u32]> = list.iter().map(|table| &*table.governing).collect();
    lists.sort_unstable();
    ensure(lists.is_sorted_by(|a, b| a < b), 4, "tables")
}

fn chain(program: &Program, table: &Table, direction: Direction) -> Result<(), Violation> {
    let chain = table.chains.get(direction);
    for (tier, steps) in [
        (Tier::Admin, &chain.first),
        (Tier::Baseline, &chain.baseline),
    ] {
        let priority = |step: &Step| {
            program
                .policies
                .iter()
                .find(|policy| policy.tier == tier && *policy.rules.get(direction) == step.rules)
                .map(|policy| policy.priority)
        };
        let found: Vec<Option<u32>> = steps.iter().map(priority).collect();
        ensure(found.iter().all(Option::is_some), 5, tier)?;
        ensure(found.is_sorted(), 5, tier)?;
        let ends = found.iter().skip(1).map(Some).chain([None]);
        for ((own, next), step) in found.iter().zip(ends).zip(steps.iter()) {
            let last_of = match next {
                None => LastOf::Tier,
                Some(next) if next == own => LastOf::Nothing,
                Some(_) => LastOf::Level,
            };
            ensure(step.last_of == last_of, 5, tier)?;
        }
    }
    Ok(())
}

fn ascends<T: Ord + Default>(starts: &[T]) -> bool {
    starts.first() == Some(&T::default()) && starts.is_sorted_by(|a, b| a < b)
}

fn lists(program: &Program) -> Result<(), Violation> {
    let in_program = |range: RuleRange| range.end as usize <= program.rules.len();
    for policy in &program.policies {
        let rules = in_program(policy.rules.ingress) && in_program(policy.rules.egress);
        let subject = policy.subject.index() < program.selectors.len();
        ensure(rules && subject, 7, policy.id)?;
    }
    for rule in &program.rules {
        let peers = rule.peers.is_none_or(|id| id.index() < program.peers.len());
        let ports = rule.ports.is_none_or(|id| id.index() < program.ports.len());
        ensure(peers && ports, 7, rule.id)?;
    }
    let classes = program.size().address_classes;
    let below = |peers: &Peers| {
        let mut ranges = peers.blocks.iter().chain(peers.answers.iter());
        ranges.all(|(_, last)| (last as usize) < classes)
    };
    ensure(program.peers.iter().all(below), 7, "address classes")
}
