//! NetworkPolicy, `networking.k8s.io/v1`.
//! <https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/>

use super::selector::{ip_block, number, protocol, range, selector, text};
use super::{Draft, DraftRule, Unread, filled_list, read};
use crate::diagnostic::ObjectRef;
use crate::frontend::manifest::{NodeRef, Value};
use crate::hir::{
    Action, Direction, ItemOrigin, NamespaceSelector, Peer, PerDirection, PodSelector, PortMatch,
    PortRange, Precedence, Subject, Tier,
};

pub(super) fn lower(object: ObjectRef, root: NodeRef<'_>) -> Result<Draft, Unread> {
    let namespace: Box<str> = object.namespace.clone().unwrap_or_else(|| "default".into());
    let spec = root.get("spec");
    let own = NamespaceSelector::Named(namespace);
    let isolates = isolation(spec)?;
    let rules = |direction| {
        let applies = *isolates.get(direction);
        spec.filter(|_| applies)
            .map_or(Ok(Vec::new()), |spec| rules(spec, direction, &own))
    };
    Ok(Draft {
        span: root.span(),
        tier: Tier::Namespace,
        priority: 0,
        subject: Subject::Pods(PodSelector {
            namespaces: own.clone(),
            pods: selector(spec.and_then(|spec| spec.get("podSelector")))?,
        }),
        rules: PerDirection {
            ingress: rules(Direction::Ingress)?,
            egress: rules(Direction::Egress)?,
        },
        isolates,
        object,
    })
}

/// Field `policyTypes`: where it is not given, "policies that contain an egress section are assumed to affect
/// egress, and all policies (whether or not they contain an ingress section) are assumed to affect ingress".
/// The API server writes this default, and an empty egress list has no section there. Rules of a direction
/// that is not among the types mean nothing.
fn isolation(spec: Option<NodeRef<'_>>) -> Result<PerDirection<bool>, Unread> {
    let Some(spec) = spec else {
        return Ok(PerDirection {
            ingress: true,
            egress: false,
        });
    };
    let types = spec
        .get("policyTypes")
        .into_iter()
        .flat_map(NodeRef::items)
        .map(|item| match item.as_str() {
            Some("Ingress") => Ok(Direction::Ingress),
            Some("Egress") => Ok(Direction::Egress),
            _ => read(item, None),
        })
        .collect::<Result<Vec<_>, Unread>>()?;
    if types.is_empty() {
        let egress = spec
            .get("egress")
            .is_some_and(|egress| egress.items().next().is_some());
        return Ok(PerDirection {
            ingress: true,
            egress,
        });
    }
    Ok(PerDirection {
        ingress: types.contains(&Direction::Ingress),
        egress: types.contains(&Direction::Egress),
    })
}

fn rules(
    spec: NodeRef<'_>,
    direction: Direction,
    own: &NamespaceSelector,
) -> Result<Vec<DraftRule>, Unread> {
    let (section, peers) = match direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let Some(items) = filled_list(spec, section) else {
        return Ok(Vec::new());
    };
    items
        .map(|(path, node)| {
            Ok(DraftRule {
                action: Action::Allow,
                path: format!("spec.{path}").into(),
                name: None,
                span: node.span(),
                peers: filled_list(node, peers)
                    .map(|items| items.map(|item| peer(item, own)).collect())
                    .transpose()?,
                ports: filled_list(node, "ports")
                    .map(|items| items.map(port).collect())
                    .transpose()?,
                precedence: Precedence::default(),
                contents: None,
                services: Vec::new(),
            })
        })
        .collect()
}

/// One item of `from` or `to`: an address block; or pods by namespace, by label in the policy's own
/// namespace, or by both.
fn peer(
    (path, node): (Box<str>, NodeRef<'_>),
    own: &NamespaceSelector,
) -> Result<(Peer, ItemOrigin), Unread> {
    let origin = ItemOrigin {
        path,
        span: node.span(),
    };
    if let Some(block) = node.get("ipBlock") {
        return Ok((Peer::Addresses(ip_block(block)?), origin));
    }
    let (namespaces, pods) = (node.get("namespaceSelector"), node.get("podSelector"));
    if namespaces.is_none() && pods.is_none() {
        return read(node, None);
    }
    let namespaces = match namespaces {
        Some(_) => NamespaceSelector::Labels(selector(namespaces)?),
        None => own.clone(),
    };
    Ok((
        Peer::Pods(PodSelector {
            namespaces,
            pods: selector(pods)?,
        }),
        origin,
    ))
}

/// One item of `ports`: without `port`, every port of the protocol; with `endPort`, a range.
pub(super) fn port(
    (path, node): (Box<str>, NodeRef<'_>),
) -> Result<(PortMatch, ItemOrigin), Unread> {
    let origin = ItemOrigin {
        path,
        span: node.span(),
    };
    let protocol = protocol(node.get("protocol"))?;
    let ports = match node.get("port").map(NodeRef::value) {
        None => PortMatch::Range {
            protocol,
            ports: PortRange::ALL,
        },
        Some(Value::String(_)) => PortMatch::Named {
            protocol: Some(protocol),
            name: read(node, text(node, "port"))?.into(),
        },
        Some(_) => {
            let first = number(node, "port")?;
            let last = match node.get("endPort") {
                Some(_) => number(node, "endPort")?,
                None => first,
            };
            range(protocol, first, last)
        }
    };
    Ok((ports, origin))
}
