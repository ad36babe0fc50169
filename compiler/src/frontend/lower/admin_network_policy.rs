//! AdminNetworkPolicy and BaselineAdminNetworkPolicy, `policy.networking.k8s.io/v1alpha1`.
//! <https://network-policy-api.sigs.k8s.io/reference/spec/>

use super::selector::{number, protocol, range, subject, text};
use super::{Draft, DraftRule, cluster_network_policy, filled_list};
use crate::diagnostic::ObjectRef;
use crate::frontend::manifest::NodeRef;
use crate::hir::{Action, Direction, ItemOrigin, PerDirection, PortMatch, Tier};

pub(super) fn lower(object: ObjectRef, root: NodeRef<'_>, tier: Tier) -> Draft {
    let spec = root.get("spec");
    let rules = |direction| spec.map(|spec| rules(spec, direction)).unwrap_or_default();
    Draft {
        span: root.span(),
        tier,
        priority: cluster_network_policy::priority(spec),
        subject: subject(spec),
        isolates: PerDirection::default(),
        rules: PerDirection {
            ingress: rules(Direction::Ingress),
            egress: rules(Direction::Egress),
        },
        object,
    }
}

fn rules(spec: NodeRef<'_>, direction: Direction) -> Vec<DraftRule> {
    let (section, peers) = match direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let Some(items) = filled_list(spec, section) else {
        return Vec::new();
    };
    items
        .filter_map(|(path, node)| {
            Some(DraftRule {
                action: action(text(node, "action")?)?,
                path: format!("spec.{path}").into(),
                name: text(node, "name").map(Into::into),
                span: node.span(),
                peers: Some(cluster_network_policy::peers(node, peers)),
                ports: ports(node),
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
fn ports(rule: NodeRef<'_>) -> Option<Vec<(PortMatch, ItemOrigin)>> {
    let items = filled_list(rule, "ports")?;
    Some(
        items
            .filter_map(|(path, node)| {
                Some((
                    port(node)?,
                    ItemOrigin {
                        path,
                        span: node.span(),
                    },
                ))
            })
            .collect(),
    )
}

/// A number and a range have a protocol, TCP where it is absent; a named port has the pod's own.
fn port(node: NodeRef<'_>) -> Option<PortMatch> {
    if let Some(name) = text(node, "namedPort") {
        return Some(PortMatch::Named {
            protocol: None,
            name: name.into(),
        });
    }
    if let Some(one) = node.get("portNumber") {
        let port = number(one, "port")?;
        return Some(range(protocol(one.get("protocol")), port, port));
    }
    let ports = node.get("portRange")?;
    Some(range(
        protocol(ports.get("protocol")),
        number(ports, "start")?,
        number(ports, "end")?,
    ))
}
