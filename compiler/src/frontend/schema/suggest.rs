//! What an unknown field may have been meant to be.
//!
//! Input: the object that holds the field, its path, the field's name and value. Output: a remedy: a field of
//! nearly the same name, the place where a field of this name belongs, or what another dialect's field is here.

use super::{Form, Object, Schema, ShapeId};
use crate::frontend::kinds::Kind;
use crate::frontend::manifest::{NodeRef, Value};
use rustc_hash::FxHashMap;

/// Below this depth no field is looked for elsewhere: policies end there, and pods would be endless.
const DEEPEST: usize = 9;

/// So many objects are looked through for a field elsewhere; a policy has a few hundred.
const MOST_OBJECTS: usize = 3000;

/// So many places are kept for a name.
const MOST_PLACES: usize = 64;

/// Where each field name stands, as paths of the objects that have it: `spec.ingress[]`.
pub(super) type FieldIndex = FxHashMap<Box<str>, Vec<Box<str>>>;

/// Fields of other dialects, or with a common misunderstanding, in policies: name, remedy.
const FOREIGN: &[(&str, &str)] = &[
    (
        "targetPort",
        "a policy names the pod's own port: write it as `port`",
    ),
    (
        "nodePort",
        "a policy names the pod's own port: write it as `port`",
    ),
    ("containerPort", "write it as `port`"),
    (
        "serviceSelector",
        "policies select pods, not services: use the service's own `podSelector`",
    ),
    (
        "serviceAccountSelector",
        "policies select pods by label: use `podSelector`",
    ),
    (
        "endpointSelector",
        "that is CiliumNetworkPolicy's; here it is `podSelector`",
    ),
    (
        "fromEndpoints",
        "that is CiliumNetworkPolicy's; here it is `from`",
    ),
    (
        "toEndpoints",
        "that is CiliumNetworkPolicy's; here it is `to`",
    ),
    (
        "fromCIDR",
        "that is CiliumNetworkPolicy's; here addresses stand under `from`",
    ),
    (
        "toCIDR",
        "that is CiliumNetworkPolicy's; here addresses stand under `to`",
    ),
    (
        "toPorts",
        "that is CiliumNetworkPolicy's; here it is `ports`",
    ),
    (
        "toFQDNs",
        "that is CiliumNetworkPolicy's; ClusterNetworkPolicy has `domainNames`",
    ),
    ("order", "that is Calico's; remove it"),
    ("tier", "that is ClusterNetworkPolicy's; remove it"),
    (
        "priority",
        "this kind of policy has no priority; ClusterNetworkPolicy has",
    ),
    (
        "action",
        "rules of this kind only allow; those of ClusterNetworkPolicy have an action",
    ),
    (
        "policyTypes",
        "that is NetworkPolicy's; here only what a rule matches is decided",
    ),
    (
        "ports",
        "here it is `protocols`: write `protocols: [{tcp: {destinationPort: {number: 443}}}]`",
    ),
    ("protocols", "here it is `ports`"),
    ("ipBlock", "here it is `networks`, a list of CIDRs"),
];

/// Fields of Kubernetes' own policies, and former ones of Cilium, in policies of Cilium: name, remedy.
const FOREIGN_TO_CILIUM: &[(&str, &str)] = &[
    (
        "podSelector",
        "that is NetworkPolicy's; here it is `endpointSelector`",
    ),
    (
        "namespaceSelector",
        "write a label of the namespace into the selector: `k8s:io.kubernetes.pod.namespace`",
    ),
    (
        "from",
        "that is NetworkPolicy's; here it is `fromEndpoints`, `fromEntities` or `fromCIDR`",
    ),
    (
        "to",
        "that is NetworkPolicy's; here it is `toEndpoints`, `toEntities` or `toCIDR`",
    ),
    (
        "ipBlock",
        "that is NetworkPolicy's; here it is `fromCIDRSet` or `toCIDRSet`",
    ),
    (
        "policyTypes",
        "that is NetworkPolicy's; here it is `enableDefaultDeny`",
    ),
    (
        "action",
        "rules under `ingressDeny` and `egressDeny` deny, the others allow",
    ),
    (
        "kafka",
        "Cilium 1.20 has no rules on Kafka: without the field the rule allows everything on its ports",
    ),
    (
        "l7",
        "Cilium 1.20 has no such rules: without the field the rule allows everything on its ports",
    ),
    (
        "l7proto",
        "Cilium 1.20 has no such rules: without the field the rule allows everything on its ports",
    ),
];

impl Schema {
    /// The remedy for the unknown field `key` with this `value` in `object`, which stands at `holder`.
    pub(super) fn suggest(
        &self,
        object: &Object,
        holder: &str,
        key: &str,
        value: NodeRef<'_>,
    ) -> String {
        if matches!(
            self.kind,
            Kind::CiliumNetworkPolicy | Kind::CiliumClusterwideNetworkPolicy
        ) && let Some((_, help)) = FOREIGN_TO_CILIUM.iter().find(|(name, _)| *name == key)
        {
            return (*help).to_owned();
        }
        let near = nearest(key, object.fields.keys().map(|name| &**name));
        if let Some((distance, name)) = near
            && (distance <= 1 || self.elsewhere(holder, key).is_none())
        {
            return format!("did you mean `{name}`?");
        }
        if let Some(help) = as_label(object, key, value) {
            return help;
        }
        if let Some(place) = self.elsewhere(holder, key) {
            return if place.is_empty() {
                format!("`{key}` belongs at the top of the object")
            } else {
                format!("`{key}` belongs under `{place}`")
            };
        }
        let foreign = FOREIGN.iter().find(|(name, _)| *name == key);
        if let Some((_, help)) = foreign.filter(|_| self.kind.is_policy()) {
            return (*help).to_owned();
        }
        known_fields(object)
    }

    /// The object nearest to `holder` that has a field of this name.
    fn elsewhere(&self, holder: &str, key: &str) -> Option<&str> {
        let index = self.fields.get_or_init(|| self.index());
        let holder = without_numbers(holder);
        let is_deep = holder.contains('.');
        index
            .get(key)?
            .iter()
            .map(|place| &**place)
            .filter(|place| !(is_deep && place.starts_with("metadata")))
            .filter(|place| self.kind.is_policy() || is_near(place, &holder))
            .max_by_key(|place| (common(place, &holder), usize::MAX - place.len()))
    }

    fn index(&self) -> FieldIndex {
        let mut index = FieldIndex::default();
        let mut queue = std::collections::VecDeque::from([(self.root, String::new(), 0)]);
        let mut seen = 0;
        while let Some((id, path, depth)) = queue.pop_front() {
            let Some((object, path)) = self.object_at(id, path) else {
                continue;
            };
            seen += 1;
            if seen > MOST_OBJECTS || depth > DEEPEST {
                continue;
            }
            let mut fields: Vec<_> = object.fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| &**name);
            for (name, id) in fields {
                let places = index.entry(name.clone()).or_default();
                if places.len() < MOST_PLACES {
                    places.push(path.as_str().into());
                }
                let separator = if path.is_empty() { "" } else { "." };
                queue.push_back((*id, format!("{path}{separator}{name}"), depth + 1));
            }
        }
        index
    }

    /// The object behind a shape, through the lists that hold it.
    fn object_at(&self, mut id: ShapeId, mut path: String) -> Option<(&Object, String)> {
        // Lists of lists do not nest deeper in any schema.
        for _ in 0..DEEPEST {
            match &self.shapes.get(id).form {
                Form::Object(object) => return Some((object, path)),
                Form::List { items, .. } => {
                    id = *items;
                    path.push_str("[]");
                }
                Form::Any
                | Form::Boolean
                | Form::Integer { .. }
                | Form::Number
                | Form::Text(_)
                | Form::IntOrString(_)
                | Form::Quantity
                | Form::Time
                | Form::Map { .. } => return None,
            }
        }
        None
    }
}

/// A label that stands in a selector itself.
fn as_label(object: &Object, key: &str, value: NodeRef<'_>) -> Option<String> {
    let is_scalar = !matches!(
        value.value(),
        Value::Null | Value::Sequence(_) | Value::Mapping(_)
    );
    (is_scalar && object.fields.contains_key("matchLabels")).then(|| {
        let raw = value.raw();
        format!("labels stand under `matchLabels`: write `matchLabels: {{{key}: {raw}}}`")
    })
}

fn known_fields(object: &Object) -> String {
    let mut names: Vec<&str> = object.fields.keys().map(|name| &**name).collect();
    names.sort_unstable();
    if names.is_empty() || names.len() > 12 {
        return "remove it".to_owned();
    }
    format!("remove it; the fields here are `{}`", names.join("`, `"))
}

/// The name that is nearest to `written`, with the number of edits, if any is near.
pub(in crate::frontend) fn nearest<'n>(
    written: &str,
    names: impl Iterator<Item = &'n str>,
) -> Option<(usize, &'n str)> {
    let lower = written.to_lowercase();
    names
        .map(|name| (strsim::osa_distance(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= written.len().max(name.len()) / 3)
        .min()
}

/// Whether one of the paths holds the other, or is the other's parent: pods have many fields of one name.
fn is_near(place: &str, holder: &str) -> bool {
    let parent = place.rsplit_once('.').map_or("", |(parent, _)| parent);
    holder.starts_with(place) || parent == holder
}

/// How many leading fields two paths share.
fn common(left: &str, right: &str) -> usize {
    left.split('.')
        .zip(right.split('.'))
        .take_while(|(left, right)| left == right)
        .count()
}

/// `spec.ingress[0].from` -> `spec.ingress[].from`.
fn without_numbers(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        out.push_str("[]");
        rest = after.split_once(']').map_or("", |(_, rest)| rest);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_dropped() {
        assert_eq!(
            without_numbers("spec.ingress[0].from[12].podSelector"),
            "spec.ingress[].from[].podSelector"
        );
    }

    #[test]
    fn near_names_are_found_whatever_their_case() {
        let names = ["from", "ports"];
        let near = |name| nearest(name, names.into_iter()).map(|(_, name)| name);
        assert_eq!(near("form"), Some("from"));
        assert_eq!(near("Ports"), Some("ports"));
        assert_eq!(near("port"), Some("ports"));
        assert_eq!(near("to"), None);
    }
}
