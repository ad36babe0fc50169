//! NetworkPolicy as Cilium translates it (`pkg/k8s/network_policy.go`).
//!
//! Rules of a direction that is not among the `policyTypes` count, other than Kubernetes says.

use super::Translation;
use super::selector::{Defaults, of_source, pods, subject_in};
use crate::diagnostic::ObjectRef;
use crate::frontend::lower::network_policy::port;
use crate::frontend::lower::selector::ip_block;
use crate::frontend::lower::{Draft, DraftRule, Unread, filled_list, read};
use crate::frontend::manifest::NodeRef;
use crate::hir::{
    Action, Direction, ItemOrigin, Peer, PerDirection, Precedence, SourcedRequirement, Subject,
    Tier,
};
use crate::identity::source;

pub(super) fn lower(
    object: ObjectRef,
    root: NodeRef<'_>,
    translation: &Translation,
) -> Result<Draft, Unread> {
    let namespace: Box<str> = object.namespace.clone().unwrap_or_else(|| "default".into());
    let defaults = Defaults {
        namespace: Some(&namespace),
        has_init: false,
        translation,
    };
    let spec = root.get("spec");
    let subject = of_source(
        spec.and_then(|spec| spec.get("podSelector")),
        source::K8S,
        "",
    )?;
    let rules = |direction| spec.map_or(Ok(Vec::new()), |spec| rules(spec, direction, defaults));
    let rules = PerDirection {
        ingress: rules(Direction::Ingress)?,
        egress: rules(Direction::Egress)?,
    };
    Ok(Draft {
        span: root.span(),
        tier: Tier::Namespace,
        priority: 0,
        subject: Subject::Endpoints(subject_in(subject, &namespace)),
        isolates: isolation(spec, &rules),
        rules,
        object,
    })
}

fn isolation(
    spec: Option<NodeRef<'_>>,
    rules: &PerDirection<Vec<DraftRule>>,
) -> PerDirection<bool> {
    let types = spec.and_then(|spec| spec.get("policyTypes"));
    let has = |name| {
        let mut types = types.into_iter().flat_map(NodeRef::items);
        types.any(|kind| kind.as_str() == Some(name))
    };
    PerDirection {
        ingress: !rules.ingress.is_empty() || has("Ingress") || !has("Egress"),
        egress: !rules.egress.is_empty() || has("Egress"),
    }
}

fn rules(
    spec: NodeRef<'_>,
    direction: Direction,
    defaults: Defaults<'_>,
) -> Result<Vec<DraftRule>, Unread> {
    let (section, peers) = match direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let items = filled_list(spec, section).into_iter().flatten();
    let rule = |(path, node): (Box<str>, NodeRef<'_>)| {
        Ok(DraftRule {
            action: Action::Allow,
            path: format!("spec.{path}").into(),
            name: None,
            span: node.span(),
            peers: filled_list(node, peers)
                .map(|items| items.map(|item| peer(item, defaults)).collect())
                .transpose()?,
            ports: filled_list(node, "ports")
                .map(|items| items.map(port).collect())
                .transpose()?,
            precedence: Precedence::default(),
            contents: None,
            services: Vec::new(),
        })
    };
    items.map(rule).collect()
}

fn peer(
    (path, node): (Box<str>, NodeRef<'_>),
    defaults: Defaults<'_>,
) -> Result<(Peer, ItemOrigin), Unread> {
    let span = node.span();
    let origin = ItemOrigin { path, span };
    if let Some(block) = node.get("ipBlock") {
        return Ok((Peer::Addresses(ip_block(block)?), origin));
    }
    let (namespaces, own) = (node.get("namespaceSelector"), node.get("podSelector"));
    let selector = match (namespaces, own, defaults.namespace) {
        (None, None, _) => return read(node, None),
        (Some(_), own, _) => pods(namespaces, own)?,
        (None, own, namespace) => {
            let mut selector = of_source(own, source::K8S, "")?;
            let namespace = namespace.map(SourcedRequirement::in_namespace);
            selector.requirements.extend(namespace);
            selector
        }
    };
    Ok((
        Peer::Identities(vec![defaults.in_cluster(selector)]),
        origin,
    ))
}
