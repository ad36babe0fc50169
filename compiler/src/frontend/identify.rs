//! What kind of object a document is.
//!
//! Input: the root of a document or of a list item. Output: [`Recognised`], and what is to be said about a
//! kind that is not read. Guarantee: whatever is not read is said, so that no policy is skipped in silence.

use super::kinds::{CILIUM_CONFIG, Kind, Recognised, recognise};
use super::manifest::{NodeRef, Value};
use super::report::item_head;
use super::template;
use crate::diagnostic::{Diagnostic, ObjectRef, Severity, codes};
use crate::source::Span;

/// Says of which kind the object at `root` is.
///
/// `inherited` is the kind of the list that holds it: items of a `NetworkPolicyList` may leave out
/// `apiVersion` and `kind`.
pub fn identify(
    root: NodeRef<'_>,
    inherited: Option<Kind>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Recognised {
    if !matches!(root.value(), Value::Mapping(_)) {
        diagnostics.push(not_an_object(root));
        return Recognised::Unknown;
    }
    let (api_version, kind) = (root.get("apiVersion"), root.get("kind"));
    if let (Some(inherited), None, None) = (inherited, api_version, kind) {
        return Recognised::Known(inherited);
    }
    if api_version.is_none() && kind.is_none() {
        diagnostics.push(no_manifest(root));
        return Recognised::Unknown;
    }
    let api_version = text(root, "apiVersion", diagnostics);
    let kind = text(root, "kind", diagnostics);
    let (Some((api_version, version_span)), Some((kind, kind_span))) = (api_version, kind) else {
        return Recognised::Unknown;
    };
    for (text, span) in [(api_version, version_span), (kind, kind_span)] {
        if template::is_in(text) {
            diagnostics.push(
                Diagnostic::new(&codes::NOT_AN_OBJECT, "a template is no manifest")
                    .at(span, "filled in when the template is rendered")
                    .help(template::REMEDY),
            );
            return Recognised::Unknown;
        }
    }
    let found = with_former_versions(api_version, recognise(api_version, kind), |former| {
        diagnostics.push(former.at(version_span, "a former version"));
    });
    if found == Recognised::Unknown && is_cilium_config(root, api_version, kind) {
        return Recognised::CiliumConfig;
    }
    let diagnostic = match &found {
        Recognised::Known(_) | Recognised::List(_) | Recognised::CiliumConfig => None,
        Recognised::OtherVersion(known, right) => Some(
            Diagnostic::new(
                &codes::WRONG_VERSION,
                format!("{} is not read in `{api_version}`", known.name()),
            )
            .at(version_span, "another version")
            .field("apiVersion")
            .help(format!("write `apiVersion: {right}`")),
        ),
        Recognised::Misspelt(known) => Some(
            Diagnostic::new(
                &codes::MISSPELT_KIND,
                format!("`{api_version}` has no kind `{kind}`"),
            )
            .at(kind_span, "unknown kind")
            .field("kind")
            .help(format!("did you mean `{}`?", known.name())),
        ),
        Recognised::UnsupportedPolicy(owner) => Some(
            Diagnostic::new(
                &codes::UNSUPPORTED_POLICY,
                format!(
                    "{owner}'s {kind} changes verdicts and is not read: answers are incomplete"
                ),
            )
            .at(kind_span, "not read")
            .field("kind")
            .help("take answers about what it selects with care"),
        ),
        Recognised::Unknown => Some(
            Diagnostic::new(
                &codes::UNKNOWN_KIND,
                format!("`{kind}` of `{api_version}` is skipped"),
            )
            .at(kind_span, "not read")
            .field("kind"),
        ),
    };
    diagnostics.extend(diagnostic.map(|diagnostic| diagnostic.object(object(root, kind))));
    found
}

/// Takes a kind of the cluster in a version that older servers served: the cluster may be an old one, whereas
/// policies are for the one to come.
fn with_former_versions(
    api_version: &str,
    found: Recognised,
    report: impl FnOnce(Diagnostic),
) -> Recognised {
    if let Recognised::OtherVersion(kind, right) = found
        && !kind.is_policy()
        && let Some(refuser) = kind.refused_by(api_version)
    {
        report(former_version(kind, refuser, right));
        return Recognised::Known(kind);
    }
    found
}

fn former_version(kind: Kind, refuser: &str, right: &str) -> Diagnostic {
    let message = format!(
        "{refuser} {} in this version; it is read as `{right}`",
        kind.name()
    );
    Diagnostic::new(&codes::WRONG_VERSION, message)
        .severity(Severity::Warning)
        .field("apiVersion")
        .help(format!("write `apiVersion: {right}`"))
}

fn is_cilium_config(root: NodeRef<'_>, api_version: &str, kind: &str) -> bool {
    let name = root.at(&["metadata", "name"]).and_then(NodeRef::as_str);
    (api_version, kind, name) == ("v1", "ConfigMap", Some(CILIUM_CONFIG))
}

fn object(root: NodeRef<'_>, kind: &str) -> ObjectRef {
    let text = |key| root.at(&["metadata", key]).and_then(NodeRef::as_str);
    ObjectRef {
        kind: kind.into(),
        namespace: text("namespace").map(Into::into),
        name: text("name").unwrap_or("").into(),
    }
}

fn not_an_object(root: NodeRef<'_>) -> Diagnostic {
    let found = match root.value() {
        Value::Sequence(_) => "a list",
        Value::Null => "nothing",
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Float(_) => "a number or boolean",
        Value::String(_) => "a string",
        Value::Mapping(_) => "a mapping",
    };
    let help = match root.value() {
        Value::Sequence(_) => {
            "separate objects by a line `---`, or put them under `items:` of a `kind: List`"
        }
        Value::String(text) if text.contains('\u{a0}') => {
            "replace the no-break spaces in it by ordinary ones"
        }
        Value::String(text) if text.contains(':') => "put a blank behind each `:`",
        Value::String(_)
        | Value::Mapping(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Float(_) => "write a mapping with `apiVersion`, `kind` and `metadata`",
    };
    Diagnostic::new(
        &codes::NOT_AN_OBJECT,
        format!("a Kubernetes object must be a mapping, but the document is {found}"),
    )
    .at(item_head(root), "not a mapping")
    .help(help)
}

/// A mapping of something else: the values of a chart, a kustomization, the settings of a tool.
fn no_manifest(root: NodeRef<'_>) -> Diagnostic {
    Diagnostic::new(
        &codes::NOT_AN_OBJECT,
        "the document has neither `apiVersion` nor `kind`: it is no manifest",
    )
    .at(item_head(root), "not of a Kubernetes object")
    .help(
        "leave it out; what belongs to a chart or a kustomization is rendered first (`helm template`, \
         `kustomize build`), and an object needs both fields",
    )
}

/// The text of a field that every object has; reports what is missing or no string.
fn text<'a>(
    root: NodeRef<'a>,
    key: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(&'a str, Span)> {
    let value = root.get(key);
    if let Some((text, node)) = value.and_then(|node| node.as_str().map(|text| (text, node)))
        && !text.is_empty()
    {
        return Some((text, node.span()));
    }
    let (message, span) = match value {
        Some(node) => (format!("`{key}` must be a string"), node.span()),
        None => (format!("the document has no `{key}`"), item_head(root)),
    };
    let help = if key == "kind" {
        "write for example `kind: NetworkPolicy`"
    } else {
        "write for example `apiVersion: networking.k8s.io/v1`"
    };
    diagnostics.push(
        Diagnostic::new(&codes::NOT_AN_OBJECT, message)
            .at(span, format!("`{key}` is needed"))
            .field(key)
            .help(help),
    );
    None
}
