//! `metadata`: who an object is, and who made it.

use super::labels;
use crate::cluster::interner::Interner;
use crate::cluster::object::Owner;
use crate::frontend::kinds::Kind;
use crate::frontend::manifest::NodeRef;
use crate::frontend::validate::text::dns_subdomain;
use crate::source::Span;

/// The namespace of objects that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// The metadata of an object, as written.
pub(super) struct Metadata<'a> {
    /// The name, or the start that the server completes (`generateName`); empty where there is neither.
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    labels: Option<NodeRef<'a>>,
    owners: Option<NodeRef<'a>>,
    /// The name; the whole object where it has none.
    pub(super) span: Span,
}

impl<'a> Metadata<'a> {
    pub(super) fn of(root: NodeRef<'a>) -> Self {
        let mut metadata = Self {
            name: "",
            namespace: DEFAULT_NAMESPACE,
            labels: None,
            owners: None,
            span: root.span(),
        };
        let mut prefix = None;
        for entry in root.get("metadata").into_iter().flat_map(NodeRef::entries) {
            let text = || entry.value.as_str().filter(|text| !text.is_empty());
            match entry.key {
                "name" => metadata.set_name(text(), entry.value),
                "generateName" => prefix = text().map(|text| (text, entry.value)),
                "namespace" => metadata.namespace = text().unwrap_or(DEFAULT_NAMESPACE),
                "labels" => metadata.labels = Some(entry.value),
                "ownerReferences" => metadata.owners = Some(entry.value),
                _ => {}
            }
        }
        if let (true, Some((text, node))) = (metadata.name.is_empty(), prefix) {
            metadata.set_name(Some(text), node);
        }
        metadata
    }

    fn set_name(&mut self, name: Option<&'a str>, node: NodeRef<'a>) {
        if let Some(name) = name {
            self.name = name;
            self.span = node.span();
        }
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.labels.into_iter().flat_map(labels)
    }

    /// The value of one label.
    pub(super) fn label(&self, key: &str) -> Option<&'a str> {
        self.labels?.get(key)?.as_str()
    }

    /// The owner that controls the object: there is at most one.
    pub(super) fn owner(&self, interner: &Interner) -> Option<Owner> {
        self.owners?
            .items()
            .find(|owner| owner.get("controller").and_then(NodeRef::as_bool) == Some(true))
            .and_then(|owner| read_owner(owner, interner))
    }
}

/// An owner without a kind, which no API server takes, still says which pods belong together; other tools' tests have
/// such, and take it for a pod. The API server does not look at the names of owners either: a node whose name no node can
/// have owns nothing.
fn read_owner(node: NodeRef<'_>, interner: &Interner) -> Option<Owner> {
    let text = |key| node.get(key).and_then(NodeRef::as_str);
    let (kind, name) = (text("kind").unwrap_or("Pod"), text("name")?);
    let is_possible = kind != Kind::Node.name() || dns_subdomain(name).is_ok();
    is_possible.then(|| Owner {
        kind: interner.string(kind),
        name: interner.string(name),
    })
}
