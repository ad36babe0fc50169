//! The peers of a rule: `fromEndpoints`, `toCIDRSet`, `toFQDNs` and so on.

mod groups;

use super::selector::{Defaults, of_source, sourced};
use crate::frontend::address;
use crate::frontend::lower::selector::text;
use crate::frontend::lower::{Unread, list, read};
use crate::frontend::manifest::NodeRef;
use crate::hir::{
    DomainPattern, Glob, IdentitySelector, IpBlock, ItemOrigin, Operator, Peer, SourcedRequirement,
};
use crate::identity::{key, source};
use ipnet::IpNet;

type Found = Vec<(Peer, ItemOrigin)>;

/// The lists of a direction whose emptiness is heard: an empty one selects nobody.
const HEARD: [[&str; 5]; 2] = [
    [
        "fromEndpoints",
        "fromCIDR",
        "fromCIDRSet",
        "fromEntities",
        "fromNodes",
    ],
    [
        "toEndpoints",
        "toCIDR",
        "toCIDRSet",
        "toEntities",
        "toNodes",
    ],
];

/// The peers of a rule: `None` is anyone, an empty list nobody.
pub(super) fn peers(rule: NodeRef<'_>, defaults: Defaults<'_>) -> Result<Option<Found>, Unread> {
    let mut found = Vec::new();
    let mut is_heard = false;
    for [endpoints, cidrs, sets, entities, nodes] in HEARD {
        let lists = [endpoints, cidrs, sets, entities, nodes];
        is_heard |= lists.iter().any(|key| rule.get(key).is_some());
        add(&mut found, rule, endpoints, |item| {
            let selector = defaults.endpoints(sourced(Some(item))?);
            Ok(Peer::Identities(vec![selector]))
        })?;
        add(&mut found, rule, cidrs, |item| {
            let cidr = read(item, item.as_str().and_then(address::parse_block))?;
            Ok(Peer::Addresses(IpBlock {
                cidr,
                except: Vec::new(),
            }))
        })?;
        add(&mut found, rule, sets, |item| cidr_set(item, defaults))?;
        add(&mut found, rule, entities, |item| {
            let selectors = item.as_str().and_then(|name| entity(name, defaults));
            read(item, selectors.map(Peer::Identities))
        })?;
        add(&mut found, rule, nodes, |item| {
            Ok(Peer::Identities(vec![node(item, defaults)?]))
        })?;
    }
    add(&mut found, rule, "toFQDNs", |item| {
        let name = text(item, "matchName").filter(|name| !name.is_empty());
        let pattern = name.or(text(item, "matchPattern")).unwrap_or_default();
        Ok(Peer::Domain(DomainPattern::Glob(Glob::new(pattern))))
    })?;
    for key in ["fromGroups", "toGroups"] {
        add(&mut found, rule, key, groups::peer)?;
    }
    Ok(if found.is_empty() && !is_heard {
        None
    } else {
        Some(found)
    })
}

fn add(
    found: &mut Found,
    rule: NodeRef<'_>,
    key: &'static str,
    peer: impl Fn(NodeRef<'_>) -> Result<Peer, Unread>,
) -> Result<(), Unread> {
    for (path, item) in list(rule, key).into_iter().flatten() {
        let span = item.span();
        found.push((peer(item)?, ItemOrigin { path, span }));
    }
    Ok(())
}

/// An item of `toCIDRSet`: a block or groups of blocks, without some.
fn cidr_set(item: NodeRef<'_>, defaults: Defaults<'_>) -> Result<Peer, Unread> {
    let except = item.get("except").into_iter().flat_map(NodeRef::items);
    let except = except.map(|one| read(one, one.as_str().and_then(address::parse_block)));
    let except = except.collect::<Result<Vec<IpNet>, Unread>>()?;
    if let Some(name) = text(item, "cidrGroupRef").filter(|name| !name.is_empty()) {
        let key = format!("{}{name}", key::GROUP_NAME);
        let requirement = SourcedRequirement::new(source::CIDR_GROUP, &key, Operator::Exists);
        return Ok(Peer::Identities(vec![IdentitySelector {
            requirements: vec![requirement],
            except,
        }]));
    }
    if let Some(selector) = item.get("cidrGroupSelector") {
        let mut selector = of_source(Some(selector), source::CIDR_GROUP, "")?;
        selector.except = except;
        return Ok(Peer::Identities(groups::of_addresses(selector, defaults)));
    }
    let cidr = read(item, text(item, "cidr").and_then(address::parse_block))?;
    Ok(Peer::Addresses(IpBlock { cidr, except }))
}

/// An item of `fromNodes`: other nodes by their labels.
pub(super) fn node(item: NodeRef<'_>, defaults: Defaults<'_>) -> Result<IdentitySelector, Unread> {
    let mut selector = of_source(Some(item), source::NODE, "")?;
    let remote = IdentitySelector::reserved(key::REMOTE_NODE);
    selector.requirements.extend(remote.requirements);
    Ok(defaults.in_cluster(selector))
}

/// What an entity stands for (`pkg/policy/api/entity.go`).
fn entity(name: &str, defaults: Defaults<'_>) -> Option<Vec<IdentitySelector>> {
    const CLUSTER: [&str; 8] = [
        key::HOST,
        key::REMOTE_NODE,
        key::INIT,
        "ingress",
        "health",
        "unmanaged",
        key::API_SERVER,
        "aggregate-cluster",
    ];
    let reserved = |keys: &[&str]| -> Vec<IdentitySelector> {
        keys.iter()
            .map(|key| IdentitySelector::reserved(key))
            .collect()
    };
    let mut selectors = match name {
        "all" => vec![IdentitySelector::everything()],
        "world" => reserved(&[key::WORLD, key::WORLD_V4, key::WORLD_V6, "aggregate-world"]),
        "remote-node" => reserved(&[key::REMOTE_NODE, "aggregate-remote-node"]),
        "cluster" => reserved(&CLUSTER),
        "cluster-mesh" => reserved(&CLUSTER),
        "world-ipv4" | "world-ipv6" | "host" | "kube-apiserver" | "ingress" | "init" | "health"
        | "unmanaged" | "none" => reserved(&[name]),
        _ => return None,
    };
    match name {
        "cluster" => selectors.push([defaults.own_cluster()].into_iter().collect()),
        "cluster-mesh" => {
            let any = SourcedRequirement::new(source::K8S, key::CLUSTER, Operator::Exists);
            selectors.push(IdentitySelector::reserved("aggregate-cluster-mesh"));
            selectors.push([any].into_iter().collect());
        }
        _ => {}
    }
    Some(selectors)
}
