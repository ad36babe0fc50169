//! Policies that are valid and yet mean something else than they seem to.
//!
//! Input: the cluster, the policy set and the objects that were refused. Output: warnings and notes. A lint never
//! changes a verdict. Guarantee: nothing is said to be missing where it may be an object that was refused. What a
//! policy says of itself alone is for [`super::validate`] to doubt, and for [`lint_object`] where it is one of Cilium's.

mod blocks;
mod cilium;
mod selected;

pub(super) use cilium::lint as lint_object;

use crate::cluster::peer::{did_you_mean, nearest};
use crate::cluster::{Cluster, PortsId, Protocol};
use crate::diagnostic::{Diagnostic, ObjectRef, codes};
use crate::frontend::kinds::Kind;
use crate::hir::{Action, Direction, Policy, PolicySet, PortMatch, Rule, RuleOrigin, Tier};
use crate::source::Span;
use rayon::prelude::*;
use selected::{Lacks, Selected};
use std::collections::{BTreeMap, BTreeSet};

/// Where policies name their subjects, by where they stand.
pub(super) type Subjects = BTreeMap<Span, Span>;

/// How many policies are looked at by one thread: what their peers select is known of all of them.
const SHARE: usize = 1_000;

/// All lints.
#[must_use]
pub(super) fn lint(
    cluster: &Cluster,
    policies: &PolicySet,
    subjects: &Subjects,
    refused: &[ObjectRef],
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    if !cluster.pods().is_empty() {
        let selected = Selected::of(cluster, refused);
        let all = policies.policies.par_iter();
        let of_subjects = all.filter_map(|policy| selected.subject(policy, subjects));
        diagnostics.par_extend(of_subjects);
        let shares = policies.policies.par_chunks(SHARE);
        diagnostics.par_extend(shares.flat_map_iter(|share| {
            let mut known = Lacks::default();
            let rules = share.iter().flat_map(|policy| rules_of(policies, policy));
            let found = rules.flat_map(|rule| selected.peers(&mut known, rule));
            found.collect::<Vec<_>>()
        }));
        if selected.knows_all_pods() {
            diagnostics.extend(port_names(cluster, policies));
        }
    }
    if !refused
        .iter()
        .any(|object| &*object.kind == Kind::Node.name())
    {
        let of_nodes = policies.policies.iter();
        diagnostics.extend(
            of_nodes.filter_map(|policy| selected::no_node(cluster, policies, policy, subjects)),
        );
    }
    diagnostics.extend(blocks::blocks(cluster, policies));
    diagnostics.extend(equal_priorities(policies));
    diagnostics
}

/// Port names in rules that no pod of the snapshot gives to a port of that protocol: such an item matches
/// nothing, never everything.
fn port_names(cluster: &Cluster, policies: &PolicySet) -> Vec<Diagnostic> {
    let sets: BTreeSet<PortsId> = cluster.pods().iter().map(|pod| pod.ports).collect();
    let known: BTreeSet<(&str, u8)> = sets
        .into_iter()
        .flat_map(|id| cluster.ports(id))
        .map(|port| (&*port.name, port.protocol.0))
        .collect();
    let all = policies.policies.par_iter();
    let found = all.flat_map_iter(|policy| {
        let rules = rules_of(policies, policy);
        let found = rules.flat_map(|rule| unknown_names(&known, rule));
        found.collect::<Vec<_>>()
    });
    found.collect()
}

/// The port names of a rule that are not known, with their protocol.
fn unknown_names(
    known: &BTreeSet<(&str, u8)>,
    (policy, rule, origin): (&Policy, &Rule, &RuleOrigin),
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let is_known = |protocol: Option<Protocol>, name: &str| match protocol {
        Some(protocol) => known.contains(&(name, protocol.0)),
        None => known.range((name, 0)..=(name, u8::MAX)).next().is_some(),
    };
    // An item without a protocol may stand for one of each: it matches where any of them does, and is told once.
    let items = || rule.ports.iter().flatten().zip(&origin.ports);
    let is_matching = |port: &PortMatch| match port {
        PortMatch::Named { protocol, name } => is_known(*protocol, name),
        PortMatch::Range { .. } => true,
    };
    if items().all(|(port, _)| is_matching(port)) {
        return diagnostics;
    }
    let matching = items().filter(|(port, _)| is_matching(port));
    let mut done: BTreeSet<Span> = matching.map(|(_, item)| item.span).collect();
    for (port, item) in items() {
        let PortMatch::Named { protocol, name } = port else {
            continue;
        };
        if done.insert(item.span) {
            let over = protocol
                .map(|protocol| format!(" over {protocol}"))
                .unwrap_or_default();
            let same = |other: u8| protocol.is_none_or(|protocol| protocol.0 == other);
            let names = known.iter().filter(|(_, other)| same(*other));
            let help = meant(name, names.map(|(name, _)| *name))
                .unwrap_or_else(|| "name the container port so, or write the number".to_owned());
            diagnostics.push(
                Diagnostic::new(
                    &codes::UNKNOWN_PORT_NAME,
                    format!("no pod has a port named `{name}`{over}"),
                )
                .at(item.span, "this item matches nothing")
                .field(format!("{}.{}", origin.path, item.path))
                .object(policy.object.clone())
                .help(help),
            );
        }
    }
    diagnostics
}

/// `did you mean `web`?`, if any name is near.
fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near: Vec<String> = nearest(name, known)
        .into_iter()
        .map(ToOwned::to_owned)
        .collect();
    did_you_mean(&near)
}

fn rules(policies: &PolicySet) -> impl Iterator<Item = (&Policy, &Rule, &RuleOrigin)> {
    let all = policies.policies.iter();
    all.flat_map(|policy| rules_of(policies, policy))
}

fn rules_of<'p>(
    policies: &'p PolicySet,
    policy: &'p Policy,
) -> impl Iterator<Item = (&'p Policy, &'p Rule, &'p RuleOrigin)> {
    let both = policy.rules.ingress.iter().chain(&policy.rules.egress);
    both.filter_map(move |rule| Some((policy, rule, policies.origin(rule.id)?)))
}

/// Policies of one tier and priority whose rules act differently: where both match a flow, the API leaves
/// open which of them decides.
fn equal_priorities(policies: &PolicySet) -> Vec<Diagnostic> {
    let mut levels: BTreeMap<(Tier, u32), Vec<&Policy>> = BTreeMap::new();
    for policy in policies
        .policies
        .iter()
        .filter(|policy| policy.tier != Tier::Namespace)
    {
        levels
            .entry((policy.tier, policy.priority))
            .or_default()
            .push(policy);
    }
    let mut diagnostics = Vec::new();
    for ((tier, priority), level) in levels {
        for direction in [Direction::Ingress, Direction::Egress] {
            diagnostics.extend(contradiction(&level, tier, priority, direction));
        }
    }
    diagnostics
}

fn contradiction(
    level: &[&Policy],
    tier: Tier,
    priority: u32,
    direction: Direction,
) -> Option<Diagnostic> {
    let actions = |policy: &Policy| -> BTreeSet<Action> {
        policy
            .rules
            .get(direction)
            .iter()
            .map(|rule| rule.action)
            .collect()
    };
    let mut acting = level.iter().filter(|policy| !actions(policy).is_empty());
    let first = acting.next()?;
    let own = actions(first);
    let other = acting.find(|policy| own.len() > 1 || actions(policy) != own)?;
    Some(
        Diagnostic::new(
            &codes::EQUAL_PRIORITY,
            format!(
                "`{}` and `{}` have the same priority {priority} in tier {tier} and act differently on {direction}",
                first.object, other.object
            ),
        )
        .at(other.span, "where both match a flow, it is open which is asked first")
        .related(first.span, "the other policy")
        .field("spec.priority")
        .object(other.object.clone())
        .help("give the policies different priorities"),
    )
}
