//! From a policy object that validation accepted to the HIR.
//!
//! Input: the root node of one object. Output: a [`Draft`], a policy that has no ids yet; [`assemble`] puts
//! drafts in order and numbers them. Lowering decides no verdict. Guarantee: a draft holds every item of its
//! object. Refused: an object with an item that validation should have refused ([`Unread`]); nothing is lowered
//! in part.

mod admin_network_policy;
pub mod cilium;
mod cluster_network_policy;
mod network_policy;
pub(in crate::frontend) mod selector;

use super::kinds::PolicyKind;
use super::manifest::NodeRef;
use super::settings::{Dialect, Settings};
use crate::diagnostic::{Diagnostic, ObjectRef, codes};
use crate::hir::{
    Action, Direction, ItemOrigin, Peer, PerDirection, Policy, PolicyId, PolicySet, PortMatch,
    Precedence, Resolution, Rule, RuleId, RuleOrigin, Semantics, Subject, Tier,
};
use crate::source::{Span, to_u32};
use cilium::Translation;

/// A policy without ids: those of its rules are given by [`assemble`].
#[derive(Debug)]
pub struct Draft {
    object: ObjectRef,
    span: Span,
    tier: Tier,
    priority: u32,
    subject: Subject,
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

    /// Whether there are services among its peers, which are looked up in the cluster before [`assemble`].
    pub(super) fn has_services(&self) -> bool {
        let mut rules = self.rules.ingress.iter().chain(&self.rules.egress);
        rules.any(|rule| !rule.services.is_empty())
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
    precedence: Precedence,
    /// What a proxy is told to look at.
    contents: Option<Box<str>>,
    /// Services among the peers that are not looked up yet.
    services: Vec<(cilium::services::ServicePeer, ItemOrigin)>,
}

/// A value that lowering cannot read, and validation should have refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread(Span);

impl Unread {
    /// Why the object is left out.
    #[must_use]
    pub fn diagnostic(self, object: ObjectRef) -> Diagnostic {
        Diagnostic::new(
            &codes::INTERNAL,
            format!("`{object}` was accepted and cannot be read; it is left out"),
        )
        .at(self.0, "not understood")
        .help("please report this: it is a bug in verdict")
        .object(object)
    }
}

/// A value, unless it is not there or another than it must be.
fn read<T>(node: NodeRef<'_>, value: Option<T>) -> Result<T, Unread> {
    value.ok_or_else(|| Unread(node.span()))
}

/// Lowers an object as a dialect means it: to no policy where the dialect has none of the kind.
///
/// # Errors
/// The first item that cannot be read.
pub fn lower(
    kind: PolicyKind,
    object: ObjectRef,
    root: NodeRef<'_>,
    settings: &Settings,
) -> Result<Vec<Draft>, Unread> {
    match settings.dialect {
        Dialect::Kubernetes => as_kubernetes(kind, object, root),
        Dialect::Cilium => cilium::lower(kind, object, root, &Translation::of(&settings.cilium)),
    }
}

fn as_kubernetes(
    kind: PolicyKind,
    object: ObjectRef,
    root: NodeRef<'_>,
) -> Result<Vec<Draft>, Unread> {
    let draft = match kind {
        PolicyKind::NetworkPolicy => network_policy::lower(object, root)?,
        PolicyKind::AdminNetworkPolicy => admin_network_policy::lower(object, root, Tier::Admin)?,
        PolicyKind::BaselineAdminNetworkPolicy => {
            admin_network_policy::lower(object, root, Tier::Baseline)?
        }
        PolicyKind::ClusterNetworkPolicy => cluster_network_policy::lower(object, root)?,
        // Those of Cilium are lowered where its dialect is.
        PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy => {
            return Ok(Vec::new());
        }
    };
    Ok(vec![draft])
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
        resolution: Resolution::default(),
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
            precedence: draft.precedence,
        });
        origins.push(RuleOrigin {
            policy,
            direction,
            path: draft.path,
            name: draft.name,
            span: draft.span,
            peers: peer_origins,
            ports: port_origins,
            contents: draft.contents,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::manifest;
    use crate::source::{FileId, SourceFile};

    /// Lowers an object that nothing validated: the text that cannot be read.
    fn unread(kind: PolicyKind, spec: &str) -> Option<String> {
        let text = format!("metadata: {{name: a}}\nspec: {spec}\n");
        let source = SourceFile::new("case", text.clone().into_bytes()).unwrap();
        let chunk = manifest::split(FileId(0), &source).remove(0);
        let (document, _) = manifest::parse(&source, &chunk);
        let document = document.unwrap();
        let object = ObjectRef {
            kind: "Policy".into(),
            namespace: None,
            name: "a".into(),
        };
        let settings = Settings::default();
        let Unread(span) = lower(kind, object, document.root(), &settings).err()?;
        Some(text[span.range()].to_owned())
    }

    #[test]
    fn nothing_is_lowered_in_part() {
        let cases = [
            (PolicyKind::NetworkPolicy, "{ingress: [{from: [{}]}]}", "{}"),
            (PolicyKind::NetworkPolicy, "{policyTypes: [1]}", "1"),
            (PolicyKind::NetworkPolicy, "{policyTypes: [Both]}", "Both"),
            (
                PolicyKind::NetworkPolicy,
                "{ingress: [{ports: [{port: 80000}]}]}",
                "{port: 80000}",
            ),
            (
                PolicyKind::NetworkPolicy,
                "{ingress: [{ports: [{port: 1, endPort: x}]}]}",
                "{port: 1, endPort: x}",
            ),
            (
                PolicyKind::NetworkPolicy,
                "{ingress: [{ports: [{protocol: TPC}]}]}",
                "TPC",
            ),
            (
                PolicyKind::NetworkPolicy,
                "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [x]}}]}]}",
                "x",
            ),
            (
                PolicyKind::NetworkPolicy,
                "{podSelector: {matchExpressions: [{key: a, operator: Is}]}}",
                "{key: a, operator: Is}",
            ),
            (
                PolicyKind::NetworkPolicy,
                "{podSelector: {matchLabels: {a: 1}}}",
                "1",
            ),
            (
                PolicyKind::AdminNetworkPolicy,
                "{ingress: [{action: Accept}]}",
                "{action: Accept}",
            ),
            (
                PolicyKind::ClusterNetworkPolicy,
                "{egress: [{action: Deny, to: [{networks: [x]}]}]}",
                "x",
            ),
            (
                PolicyKind::ClusterNetworkPolicy,
                "{egress: [{action: Deny, to: [{}]}]}",
                "{}",
            ),
            (
                PolicyKind::ClusterNetworkPolicy,
                "{egress: [{action: Deny, protocols: [{icmp: {}}]}]}",
                "{icmp: {}}",
            ),
            (PolicyKind::ClusterNetworkPolicy, "{priority: -1}", "-1"),
        ];
        for (kind, spec, expected) in cases {
            assert_eq!(unread(kind, spec).as_deref(), Some(expected), "{spec}");
        }
        assert_eq!(
            unread(
                PolicyKind::NetworkPolicy,
                "{ingress: [{ports: [null]}, null]}"
            ),
            None
        );
    }
}
