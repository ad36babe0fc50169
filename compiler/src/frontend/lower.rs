//! From a policy object that validation accepted to the HIR.
//!
//! Input: the root node of one object. Output: a [`Draft`], a policy that has no ids yet; [`assemble`] puts
//! drafts in order and numbers them. Lowering decides no verdict. It is total: what validation would have
//! refused is left out, and no caller lowers a refused object.

mod admin_network_policy;
mod cluster_network_policy;
mod network_policy;
mod selector;

use super::kinds::Kind;
use super::manifest::NodeRef;
use crate::diagnostic::ObjectRef;
use crate::hir::{
    Action, Direction, ItemOrigin, Peer, PerDirection, PodSelector, Policy, PolicyId, PolicySet,
    PortMatch, Rule, RuleId, RuleOrigin, Semantics, Tier,
};
use crate::source::{Span, to_u32};

/// A policy without ids: those of its rules are given by [`assemble`].
#[derive(Debug)]
pub struct Draft {
    object: ObjectRef,
    span: Span,
    tier: Tier,
    priority: u32,
    subject: PodSelector,
    isolates: PerDirection<bool>,
    rules: PerDirection<Vec<DraftRule>>,
}

impl Draft {
    /// The object that was lowered.
    #[must_use]
    pub fn object(&self) -> &ObjectRef {
        &self.object
    }

    /// Where the object stands.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }
}

#[derive(Debug)]
struct DraftRule {
    action: Action,
    path: Box<str>,
    name: Option<Box<str>>,
    span: Span,
    peers: Option<Vec<(Peer, ItemOrigin)>>,
    ports: Option<Vec<(PortMatch, ItemOrigin)>>,
}

/// Lowers an object; `None` where the kind is no policy.
#[must_use]
pub fn lower(kind: Kind, object: ObjectRef, root: NodeRef<'_>) -> Option<Draft> {
    match kind {
        Kind::NetworkPolicy => Some(network_policy::lower(object, root)),
        Kind::AdminNetworkPolicy => Some(admin_network_policy::lower(object, root, Tier::Admin)),
        Kind::BaselineAdminNetworkPolicy => {
            Some(admin_network_policy::lower(object, root, Tier::Baseline))
        }
        Kind::ClusterNetworkPolicy => Some(cluster_network_policy::lower(object, root)),
        Kind::Namespace
        | Kind::Node
        | Kind::Pod
        | Kind::Service
        | Kind::ServiceAccount
        | Kind::Endpoints
        | Kind::EndpointSlice
        | Kind::Deployment
        | Kind::StatefulSet
        | Kind::DaemonSet
        | Kind::ReplicaSet
        | Kind::ReplicationController
        | Kind::Job
        | Kind::CronJob
        | Kind::DnsSnapshot => None,
    }
}

/// Puts policies in order, by tier, priority, object and place, and numbers them and their rules: the result
/// does not depend on the order in which files were given.
#[must_use]
pub fn assemble(mut drafts: Vec<Draft>, semantics: Semantics) -> PolicySet {
    drafts.sort_by(|a, b| {
        (a.tier, a.priority, &a.object, a.span).cmp(&(b.tier, b.priority, &b.object, b.span))
    });
    let mut set = PolicySet {
        policies: Vec::with_capacity(drafts.len()),
        origins: Vec::new(),
        semantics,
    };
    for draft in drafts {
        let id = PolicyId(to_u32(set.policies.len()));
        let Draft {
            object,
            span,
            tier,
            priority,
            subject,
            isolates,
            rules,
        } = draft;
        let rules = PerDirection {
            ingress: number(rules.ingress, id, Direction::Ingress, &mut set.origins),
            egress: number(rules.egress, id, Direction::Egress, &mut set.origins),
        };
        set.policies.push(Policy {
            id,
            object,
            span,
            tier,
            priority,
            subject,
            isolates,
            rules,
        });
    }
    set
}

fn number(
    drafts: Vec<DraftRule>,
    policy: PolicyId,
    direction: Direction,
    origins: &mut Vec<RuleOrigin>,
) -> Vec<Rule> {
    let mut rules = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let id = RuleId(to_u32(origins.len()));
        let (peers, peer_origins) = unzip(draft.peers);
        let (ports, port_origins) = unzip(draft.ports);
        rules.push(Rule {
            id,
            action: draft.action,
            peers,
            ports,
        });
        origins.push(RuleOrigin {
            policy,
            direction,
            path: draft.path,
            name: draft.name,
            span: draft.span,
            peers: peer_origins,
            ports: port_origins,
        });
    }
    rules
}

fn unzip<T>(items: Option<Vec<(T, ItemOrigin)>>) -> (Option<Vec<T>>, Vec<ItemOrigin>) {
    match items {
        Some(items) => {
            let (items, origins) = items.into_iter().unzip();
            (Some(items), origins)
        }
        None => (None, Vec::new()),
    }
}

/// The items of a list with their paths: `from[0]`, ...
fn list<'a>(
    parent: NodeRef<'a>,
    key: &'static str,
) -> Option<impl Iterator<Item = (Box<str>, NodeRef<'a>)>> {
    let items = parent.get(key)?.items();
    Some(
        items
            .enumerate()
            .map(move |(index, item)| (format!("{key}[{index}]").into(), item)),
    )
}

/// As [`list`], where an empty list means the same as none.
fn filled_list<'a>(
    parent: NodeRef<'a>,
    key: &'static str,
) -> Option<impl Iterator<Item = (Box<str>, NodeRef<'a>)>> {
    let mut items = list(parent, key)?.peekable();
    items.peek().is_some().then_some(items)
}
