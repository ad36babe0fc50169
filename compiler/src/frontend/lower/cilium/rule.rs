//! A rule object: `spec`, or one item of `specs`.

use super::Translation;
use super::peers::peers;
use super::ports::ports;
use super::selector::{Defaults, sourced, subject_in};
use super::services::services;
use crate::diagnostic::ObjectRef;
use crate::frontend::lower::selector::text;
use crate::frontend::lower::{Draft, DraftRule, Unread, list, read};
use crate::frontend::manifest::NodeRef;
use crate::hir::{Action, Auth, PerDirection, Precedence, Subject, Tier};
use crate::identity::{key, source};

/// The object around a rule object.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    pub(super) object: &'a ObjectRef,
    pub(super) root: NodeRef<'a>,
    /// The path of the rule object: `spec`, `specs[0]`.
    pub(super) path: &'a str,
    pub(super) translation: &'a Translation,
}

impl<'a> Object<'a> {
    pub(super) fn draft(self, spec: NodeRef<'_>) -> Result<Draft, Unread> {
        let namespace = self.namespace();
        let subject = subject(spec, namespace)?;
        let has_init = match &subject {
            Subject::Endpoints(selector) => selector
                .requirements
                .iter()
                .any(|one| (&*one.source, &*one.key) == (source::RESERVED, key::INIT)),
            Subject::Nodes(_) | Subject::Pods(_) => false,
        };
        let defaults = Defaults {
            namespace,
            has_init,
            translation: self.translation,
        };
        let rules = |sections| self.rules(spec, sections, defaults);
        Ok(Draft {
            object: self.object.clone(),
            span: self.root.span(),
            tier: Tier::Namespace,
            priority: 0,
            subject,
            isolates: self.isolates(spec),
            rules: PerDirection {
                ingress: rules(["ingress", "ingressDeny"])?,
                egress: rules(["egress", "egressDeny"])?,
            },
        })
    }

    /// The namespace of a namespaced policy.
    fn namespace(self) -> Option<&'a str> {
        let is_clusterwide = &*self.object.kind == "CiliumClusterwideNetworkPolicy";
        (!is_clusterwide).then(|| self.object.namespace.as_deref().unwrap_or("default"))
    }

    /// `enableDefaultDeny`; where it is silent, a direction that has rules denies the rest.
    fn isolates(self, spec: NodeRef<'_>) -> PerDirection<bool> {
        let filled = |key| list(spec, key).is_some_and(|mut items| items.next().is_some());
        let of = |key, sections: [&'static str; 2]| {
            let has_rules = sections.into_iter().any(filled);
            let written = spec
                .at(&["enableDefaultDeny", key])
                .and_then(NodeRef::as_bool);
            let written = written.filter(|_| self.translation.default_deny_is_optional);
            written.unwrap_or(true) && has_rules
        };
        PerDirection {
            ingress: of("ingress", ["ingress", "ingressDeny"]),
            egress: of("egress", ["egress", "egressDeny"]),
        }
    }

    fn rules(
        self,
        spec: NodeRef<'_>,
        sections: [&'static str; 2],
        defaults: Defaults<'_>,
    ) -> Result<Vec<DraftRule>, Unread> {
        let mut rules = Vec::new();
        for (section, action) in sections.into_iter().zip([Action::Allow, Action::Deny]) {
            for (path, node) in list(spec, section).into_iter().flatten() {
                let path = format!("{}.{path}", self.path);
                rules.extend(draft_rules(node, &path, action, defaults)?);
            }
        }
        Ok(rules)
    }
}

/// The endpoints or nodes that a rule object is for.
fn subject(spec: NodeRef<'_>, namespace: Option<&str>) -> Result<Subject, Unread> {
    if let Some(nodes) = spec.get("nodeSelector") {
        return Ok(Subject::Nodes(sourced(Some(nodes))?));
    }
    let selector = sourced(Some(read(spec, spec.get("endpointSelector"))?))?;
    Ok(Subject::Endpoints(match namespace {
        Some(namespace) => subject_in(selector, namespace),
        None => selector,
    }))
}

/// What one item of `ingress` and its like says: one rule, or one for each item of `toPorts` where these differ in
/// what they do.
fn draft_rules(
    node: NodeRef<'_>,
    path: &str,
    action: Action,
    defaults: Defaults<'_>,
) -> Result<Vec<DraftRule>, Unread> {
    let peers = peers(node, defaults)?;
    let auth = auth(node)?;
    let services = services(node)?;
    let each = ports(node)?.into_iter().map(|ports| DraftRule {
        action,
        path: match &ports.item {
            Some(item) => format!("{path}.{}", item.path).into(),
            None => path.into(),
        },
        name: None,
        span: ports.item.as_ref().map_or(node.span(), |item| item.span),
        // Without peers and ports it says that the direction is governed, and allows nobody.
        peers: match (&peers, &ports.ports) {
            (None, None) if services.is_empty() => Some(Vec::new()),
            (peers, _) => peers.clone(),
        },
        ports: ports.ports,
        precedence: Precedence {
            rank: 0,
            redirect: ports.redirect.filter(|_| action == Action::Allow),
            auth,
        },
        contents: ports.contents.filter(|_| action == Action::Allow),
        services: services.clone(),
    });
    Ok(each.collect())
}

fn auth(rule: NodeRef<'_>) -> Result<Option<Auth>, Unread> {
    let Some(authentication) = rule.get("authentication") else {
        return Ok(None);
    };
    let auth = match text(authentication, "mode") {
        Some("disabled") => Auth::Disabled,
        Some("required") => Auth::Required,
        Some("test-always-fail") => Auth::AlwaysFails,
        Some(_) | None => return read(authentication, None),
    };
    Ok(Some(auth))
}
