//! `toServices`: what stands behind services, looked up once the snapshot is known (`pkg/policy/k8s/service.go`).
//!
//! A service with a selector stands for the pods that it selects, any other for the addresses of its endpoints. A rule
//! whose services are none of the snapshot's, or lead nowhere, has no peers, and so is for anyone on its ports: Cilium
//! reads it so too. What its author is likely to have meant otherwise is said ([`doubts`]).

mod doubts;

use crate::cluster::{Cluster, Service};
use crate::diagnostic::{Diagnostic, ObjectRef};
use crate::frontend::lower::selector::{selector, text};
use crate::frontend::lower::{Draft, DraftRule, Unread, list, read};
use crate::frontend::manifest::NodeRef;
use crate::hir::{IdentitySelector, IpBlock, ItemOrigin, Peer, Selector, SourcedRequirement};
use crate::identity::source;
use ipnet::IpNet;
use std::collections::BTreeSet;

/// An item of `toServices`.
#[derive(Clone, Debug)]
pub(in crate::frontend::lower) struct ServicePeer {
    /// The namespace; `None` is any.
    namespace: Option<Box<str>>,
    which: Which,
}

#[derive(Clone, Debug)]
enum Which {
    Named(Box<str>),
    Labelled(Selector),
}

/// The services of a rule.
pub(super) fn services(rule: NodeRef<'_>) -> Result<Vec<(ServicePeer, ItemOrigin)>, Unread> {
    let items = list(rule, "toServices").into_iter().flatten();
    let service = |(path, item): (Box<str>, NodeRef<'_>)| {
        let span = item.span();
        Ok((service(item)?, ItemOrigin { path, span }))
    };
    items.map(service).collect()
}

fn service(item: NodeRef<'_>) -> Result<ServicePeer, Unread> {
    let of = |node: NodeRef<'_>, which| ServicePeer {
        namespace: text(node, "namespace")
            .filter(|name| !name.is_empty())
            .map(Into::into),
        which,
    };
    if let Some(node) = item.get("k8sService") {
        let name = text(node, "serviceName").unwrap_or_default();
        return Ok(of(node, Which::Named(name.into())));
    }
    let node = read(item, item.get("k8sServiceSelector"))?;
    let labels = selector(node.get("selector"))?;
    // Keys may name a source, and only one of services' labels can be meant.
    let labels = labels.requirements.iter().cloned().map(|mut requirement| {
        if let Some((source::K8S | source::ANY, key)) = requirement.key.split_once(':') {
            requirement.key = key.into();
        }
        requirement
    });
    Ok(of(node, Which::Labelled(labels.collect())))
}

impl ServicePeer {
    fn is(&self, cluster: &Cluster, service: &Service) -> bool {
        let namespace = cluster.namespace_name(service.namespace);
        let is_there = self.namespace.as_deref().is_none_or(|own| own == namespace);
        is_there
            && match &self.which {
                Which::Named(name) => *name == service.name,
                Which::Labelled(labels) => labels.matches(&service.labels),
            }
    }
}

/// How services are read.
#[derive(Clone, Copy, Debug)]
pub(in crate::frontend) struct Reading<'a> {
    /// Whether the keys of their selectors have no source: 1.19 takes what is in front of the first dot for one.
    pub(in crate::frontend) splits_keys_at_dots: bool,
    /// Objects that were refused, services perhaps among them.
    pub(in crate::frontend) refused: &'a [ObjectRef],
}

/// Gives the rules of policies the peers that their services stand for; returns what there is to say of them.
pub(in crate::frontend) fn resolve(
    cluster: &Cluster,
    drafts: &mut [Draft],
    reading: Reading<'_>,
) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for draft in drafts {
        let object = &draft.object;
        let rules = &mut draft.rules;
        for rule in rules.ingress.iter_mut().chain(&mut rules.egress) {
            if rule.services.is_empty() {
                continue;
            }
            for doubt in resolve_rule(cluster, rule, reading) {
                let doubt = doubt.object(object.clone());
                // A rule that is read as several says it once.
                if !diagnostics.contains(&doubt) {
                    diagnostics.push(doubt);
                }
            }
        }
    }
    diagnostics
}

fn resolve_rule(cluster: &Cluster, rule: &mut DraftRule, reading: Reading<'_>) -> Vec<Diagnostic> {
    let mut doubts = Vec::new();
    let mut found = Vec::new();
    let mut lost = Vec::new();
    for (wanted, origin) in std::mem::take(&mut rule.services) {
        let services = cluster.services().iter();
        let services: Vec<&Service> = services
            .filter(|service| wanted.is(cluster, service))
            .collect();
        let before = found.len();
        for service in &services {
            let peers = behind(cluster, service, reading);
            found.extend(peers.into_iter().map(|peer| (peer, origin.clone())));
            doubts.extend(doubts::dotted(service, rule, &origin, reading));
        }
        doubts.extend(doubts::ports(&services, rule));
        if found.len() == before {
            lost.push(origin);
        }
    }
    let is_for_all = found.is_empty() && rule.peers.is_none() && rule.ports.is_some();
    let lost = lost.iter();
    doubts.extend(lost.filter_map(|origin| doubts::nowhere(rule, origin, is_for_all, reading)));
    if !found.is_empty() {
        rule.peers.get_or_insert_default().extend(found);
    } else if rule.peers.is_none() && rule.ports.is_none() {
        rule.peers = Some(Vec::new());
    }
    doubts
}

fn behind(cluster: &Cluster, service: &Service, reading: Reading<'_>) -> Vec<Peer> {
    let Some(labels) = &service.selector else {
        let ports = service.ports.iter().flat_map(|port| &port.backends);
        let addresses: BTreeSet<IpNet> = ports.map(|(address, _)| IpNet::from(*address)).collect();
        let block = |cidr| {
            Peer::Addresses(IpBlock {
                cidr,
                except: Vec::new(),
            })
        };
        return addresses.into_iter().map(block).collect();
    };
    let namespace = cluster.namespace_name(service.namespace);
    let pods = labels.iter().map(|(key, value)| {
        let (source, key) = match key.split_once('.') {
            Some(split) if reading.splits_keys_at_dots => split,
            Some(_) | None => (source::K8S, key),
        };
        SourcedRequirement::equal(source, key, value)
    });
    let pods: IdentitySelector = pods
        .chain([SourcedRequirement::in_namespace(namespace)])
        .collect();
    vec![Peer::Identities(vec![pods])]
}
