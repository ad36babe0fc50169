//! ClusterNetworkPolicy as Cilium translates it (`pkg/k8s/cluster_network_policy.go`, 1.20).
//!
//! Its rules deny nothing by default. Rule `n` of a policy comes at priority + n/100 of its tier: rule 100 meets the
//! first rule of the next priority.

use super::Translation;
use super::peers::node;
use super::ports::WITH_PORTS;
use super::selector::{Defaults, pods};
use crate::diagnostic::ObjectRef;
use crate::frontend::lower::cluster_network_policy::{action, priority, protocol};
use crate::frontend::lower::selector::{cidr, text};
use crate::frontend::lower::{Draft, DraftRule, Unread, filled_list, list, read};
use crate::frontend::manifest::NodeRef;
use crate::hir::{
    Action, Direction, DomainPattern, Glob, IdentitySelector, ItemOrigin, Peer, PerDirection,
    PortMatch, Precedence, Redirect, SourcedRequirement, Subject, Tier,
};
use crate::identity::{key, source};
use crate::source::to_u32;

/// The share of one priority that rules have.
const RULES_A_PRIORITY: u32 = 100;

/// The priority of the DNS proxy.
const DNS_PROXY: Redirect = Redirect { priority: 121 };

pub(super) fn lower(
    object: ObjectRef,
    root: NodeRef<'_>,
    translation: &Translation,
) -> Result<Draft, Unread> {
    let defaults = Defaults {
        namespace: None,
        has_init: false,
        translation,
    };
    let spec = read(root, root.get("spec"))?;
    let is_baseline = text(spec, "tier") == Some("Baseline");
    let priority = priority(Some(spec))?;
    let rules = |direction| rules(spec, direction, priority, defaults);
    Ok(Draft {
        span: root.span(),
        tier: if is_baseline {
            Tier::Baseline
        } else {
            Tier::Admin
        },
        priority,
        subject: Subject::Endpoints(subject(spec)?),
        isolates: PerDirection::default(),
        rules: PerDirection {
            ingress: rules(Direction::Ingress)?,
            egress: rules(Direction::Egress)?,
        },
        object,
    })
}

fn subject(spec: NodeRef<'_>) -> Result<IdentitySelector, Unread> {
    let subject = read(spec, spec.get("subject"))?;
    match subject.get("pods") {
        Some(own) => pods(own.get("namespaceSelector"), own.get("podSelector")),
        None => pods(subject.get("namespaces"), None),
    }
}

fn rules(
    spec: NodeRef<'_>,
    direction: Direction,
    priority: u32,
    defaults: Defaults<'_>,
) -> Result<Vec<DraftRule>, Unread> {
    let (section, key) = match direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let mut rules = Vec::new();
    for (index, (path, node)) in filled_list(spec, section).into_iter().flatten().enumerate() {
        let rank = priority * RULES_A_PRIORITY + to_u32(index);
        let rule = DraftRule {
            action: read(node, text(node, "action").and_then(action))?,
            path: format!("spec.{path}").into(),
            name: text(node, "name").map(Into::into),
            span: node.span(),
            peers: Some(peers(node, key, defaults)?),
            ports: filled_list(node, "protocols")
                .map(|items| items.map(protocol).collect())
                .transpose()?,
            precedence: Precedence {
                rank,
                ..Precedence::default()
            },
            contents: None,
            services: Vec::new(),
        };
        let names = rule
            .peers
            .iter()
            .flatten()
            .find(|(peer, _)| matches!(peer, Peer::Domain(_)));
        let lookups = names.map(|(_, origin)| lookups(&rule, origin));
        rules.push(rule);
        rules.extend(lookups);
    }
    Ok(rules)
}

/// Whoever may reach a name may look it up: at the DNS servers of the cluster, under the eyes of the proxy.
fn lookups(rule: &DraftRule, origin: &ItemOrigin) -> DraftRule {
    let servers = SourcedRequirement::equal(source::ANY, "k8s-app", "kube-dns");
    let servers = Peer::Identities(vec![[servers].into_iter().collect()]);
    let ports = ["dns", "dns-tcp"].iter().flat_map(|name| {
        WITH_PORTS.map(|protocol| PortMatch::Named {
            protocol: Some(protocol),
            name: (*name).into(),
        })
    });
    DraftRule {
        action: Action::Allow,
        path: rule.path.clone(),
        name: rule.name.clone(),
        span: rule.span,
        peers: Some(vec![(servers, origin.clone())]),
        ports: Some(ports.map(|port| (port, origin.clone())).collect()),
        precedence: Precedence {
            redirect: Some(DNS_PROXY),
            ..rule.precedence
        },
        contents: None,
        services: Vec::new(),
    }
}

fn peers(
    rule: NodeRef<'_>,
    key: &'static str,
    defaults: Defaults<'_>,
) -> Result<Vec<(Peer, ItemOrigin)>, Unread> {
    let mut found = Vec::new();
    for (path, item) in list(rule, key).into_iter().flatten() {
        let mut push = |peer: Peer, path: Box<str>, node: NodeRef<'_>| {
            let span = node.span();
            found.push((peer, ItemOrigin { path, span }));
        };
        if let Some(namespaces) = item.get("namespaces") {
            push(
                Peer::Identities(vec![pods(Some(namespaces), None)?]),
                path,
                item,
            );
        } else if let Some(own) = item.get("pods") {
            let selector = pods(own.get("namespaceSelector"), own.get("podSelector"))?;
            push(
                Peer::Identities(vec![defaults.in_cluster(selector)]),
                path,
                item,
            );
        } else if let Some(nodes) = item.get("nodes") {
            push(
                Peer::Identities(node_selectors(nodes, defaults)?),
                path,
                item,
            );
        } else {
            for (below, network) in list(item, "networks").into_iter().flatten() {
                let path = format!("{path}.{below}").into();
                push(Peer::Addresses(cidr(network)?), path, network);
            }
            for (below, name) in list(item, "domainNames").into_iter().flatten() {
                let path = format!("{path}.{below}").into();
                push(Peer::Domain(domain(name)?), path, name);
            }
        }
    }
    Ok(found)
}

/// The own node of an endpoint, or others.
fn node_selectors(
    nodes: NodeRef<'_>,
    defaults: Defaults<'_>,
) -> Result<Vec<IdentitySelector>, Unread> {
    let remote = node(nodes, defaults)?;
    let mut host = remote.clone();
    for requirement in &mut host.requirements {
        if (&*requirement.source, &*requirement.key) == (source::RESERVED, key::REMOTE_NODE) {
            requirement.key = key::HOST.into();
        }
    }
    Ok(vec![host, remote])
}

/// A star in front stands for whole labels here.
fn domain(node: NodeRef<'_>) -> Result<DomainPattern, Unread> {
    let name = read(node, node.as_str())?;
    let pattern = match name.strip_prefix('*') {
        Some(rest) => format!("**{rest}"),
        None => name.to_owned(),
    };
    Ok(DomainPattern::Glob(Glob::new(&pattern)))
}
