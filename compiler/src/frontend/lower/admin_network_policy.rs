//! AdminNetworkPolicy and BaselineAdminNetworkPolicy, `policy.networking.k8s.io/v1alpha1`.
//! <https://network-policy-api.sigs.k8s.io/reference/spec/>

use super::selector::{number, protocol, range, subject, text};
use super::{Draft, DraftRule, Unread, cluster_network_policy, filled_list, read};
use crate::diagnostic::ObjectRef;
use crate::frontend::manifest::NodeRef;
use crate::hir::{
    Action, Direction, ItemOrigin, PerDirection, PortMatch, Precedence, Subject, Tier,
};

pub(super) fn lower(object: ObjectRef, root: NodeRef<'_>, tier: Tier) -> Result<Draft, Unread> {
    let spec = root.get("spec");
    let rules = |direction| spec.map_or(Ok(Vec::new()), |spec| rules(spec, direction));
    Ok(Draft {
        span: root.span(),
        tier,
        priority: cluster_network_policy::priority(spec)?,
        subject: Subject::Pods(subject(spec)?),
        isolates: PerDirection::default(),
        rules: PerDirection {
            ingress: rules(Direction::Ingress)?,
            egress: rules(Direction::Egress)?,
        },
        object,
    })
}

fn rules(spec: NodeRef<'_>, direction: Direction) -> Result<Vec<DraftRule>, Unread> {
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
                action: read(node, text(node, "action").and_then(action))?,
                path: format!("spec.{path}").into(),
                name: text(node, "name").map(Into::into),
                span: node.span(),
                peers: Some(cluster_network_policy::peers(node, peers)?),
                ports: ports(node)?,
                precedence: Precedence::default(),
                contents: None,
                services: Vec::new(),
            })
        })
        .collect()
}

fn action(name: &str) -> Option<Action> {
    match name {
        "Allow" => Some(Action::Allow),
        "Deny" => Some(Action::Deny),
        "Pass" => Some(Action::Pass),
        _ => None,
    }
}

/// Field `ports`: "if Ports is not set then the rule does not filter traffic via port". An empty list is the
/// same as none, as the API conventions ask.
fn ports(rule: NodeRef<'_>) -> Result<Option<Vec<(PortMatch, ItemOrigin)>>, Unread> {
    filled_list(rule, "ports")
        .map(|items| {
            items
                .map(|(path, node)| {
                    Ok((
                        port(node)?,
                        ItemOrigin {
                            path,
                            span: node.span(),
                        },
                    ))
                })
                .collect()
        })
        .transpose()
}

/// A number and a range have a protocol, TCP where it is absent; a named port has the pod's own.
fn port(node: NodeRef<'_>) -> Result<PortMatch, Unread> {
    if let Some(name) = text(node, "namedPort") {
        return Ok(PortMatch::Named {
            protocol: None,
            name: name.into(),
        });
    }
    if let Some(one) = node.get("portNumber") {
        let port = number(one, "port")?;
        return Ok(range(protocol(one.get("protocol"))?, port, port));
    }
    let ports = read(node, node.get("portRange"))?;
    Ok(range(
        protocol(ports.get("protocol"))?,
        number(ports, "start")?,
        number(ports, "end")?,
    ))
}
