//! Rules on `metadata`.
//!
//! Input: an object. Guarantee: name, namespace, labels, annotations and finalizers are as
//! `ValidateObjectMeta` of `k8s.io/apimachinery/pkg/api/validation` wants them; for policies also the
//! references to owners. The namespace of an object that lives in none is dropped by the API server: a warning.

use super::{selector, text};
use crate::diagnostic::{Diagnostic, codes};
use crate::frontend::kinds::{Kind, Role};
use crate::frontend::report::{Place, Report, Spot};

/// All annotations of an object together, in bytes.
const MOST_ANNOTATION_BYTES: usize = 256 * 1024;

/// Finalizers of Kubernetes itself, which need no domain in front.
const FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

/// Checks the metadata of the object at `root`.
pub(super) fn check(root: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(metadata) = root.get("metadata") else {
        let spot = root.spot().below("metadata").below("name");
        report.add(nameless(&spot));
        return;
    };
    if metadata.node.entries().next().is_none() && !is_mapping(&metadata) {
        return;
    }
    let [own, generated, of, with] =
        metadata.fields(["name", "generateName", "namespace", "labels"]);
    name(&metadata, own, generated, report);
    if let Some(of) = of {
        namespace(&of, report);
    }
    if let Some(with) = with {
        selector::check_labels(&with, selector::Refuser::Server, report);
    }
    let [notes, holding, owning] =
        metadata.fields(["annotations", "finalizers", "ownerReferences"]);
    if let Some(notes) = notes {
        annotations(&notes, report);
    }
    if let Some(holding) = holding {
        finalizers(&holding, report);
    }
    if let Some(owning) = owning.filter(|_| report.kind.is_policy()) {
        owners(&owning, report);
    }
}

/// Checks the labels that a workload gives its pods.
pub(super) fn check_template(root: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(spec) = root.get("spec") else { return };
    if let Some(job) = spec.get("jobTemplate") {
        if let Some(spec) = job.get("spec") {
            template_labels(&spec, report);
        }
    } else {
        template_labels(&spec, report);
    }
}

fn template_labels(spec: &Place<'_>, report: &mut Report<'_, '_>) {
    if let Some(template) = spec.get("template")
        && let Some(metadata) = template.get("metadata")
        && let Some(labels) = metadata.get("labels")
    {
        selector::check_labels(&labels, selector::Refuser::Server, report);
    }
}

fn is_mapping(place: &Place<'_>) -> bool {
    matches!(
        place.node.value(),
        crate::frontend::manifest::Value::Mapping(_)
    )
}

fn name(
    metadata: &Place<'_>,
    name: Option<Place<'_>>,
    generated: Option<Place<'_>>,
    report: &mut Report<'_, '_>,
) {
    let prefix = generated
        .and_then(|place| place.node.as_str())
        .unwrap_or("");
    if let Some(place) = generated
        && !prefix.is_empty()
        // The server appends characters that may follow a hyphen.
        && let Err(breach) = rule(report.kind)(&format!("{}a", prefix.trim_end_matches('-')))
    {
        report.add(bad_name(report.kind, &place.spot(), prefix, breach));
    }
    match name {
        Some(place) => match place.node.as_str() {
            Some("") if prefix.is_empty() => report.add(nameless(&place.spot())),
            Some("") | None => {}
            Some(name) => {
                if let Err(breach) = rule(report.kind)(name) {
                    let diagnostic = bad_name(report.kind, &place.spot(), name, breach);
                    if is_only_a_name(report.kind, name) {
                        report.add_mendable(diagnostic);
                    } else {
                        report.add(diagnostic);
                    }
                }
            }
        },
        None if prefix.is_empty() => report.add(nameless(&metadata.spot().below("name"))),
        None => {}
    }
}

/// The rule for names of a kind.
fn rule(kind: Kind) -> fn(&str) -> Result<(), text::Breach> {
    if matches!(kind, Kind::Namespace | Kind::Service) {
        text::dns_label
    } else {
        text::dns_subdomain
    }
}

/// Whether a name that is refused is one that nothing else hangs on, and that could be a name but for its capitals,
/// underscores or dots: what the object says is the same under a better one.
fn is_only_a_name(kind: Kind, name: &str) -> bool {
    const MOST_BYTES: usize = 253;
    let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let may_be_named_elsewhere = kind.role() == Role::Surroundings;
    !may_be_named_elsewhere && name.len() <= MOST_BYTES && name.bytes().all(is_harmless)
}

fn nameless(spot: &Spot<'_>) -> Diagnostic {
    spot.at_head(
        &codes::REQUIRED_VALUE,
        "the object has no name",
        "no `name` here",
    )
    .help("set `metadata.name`")
}

fn bad_name(kind: Kind, spot: &Spot<'_>, name: &str, breach: text::Breach) -> Diagnostic {
    let message = format!("the name `{name}` {breach}");
    let diagnostic = spot.at_value(&codes::INVALID_NAME, message, "not a valid name");
    let better = [name.to_owned(), name.replace('.', "-")]
        .iter()
        .filter_map(|name| text::as_dns_name(name))
        .find(|better| better != name && rule(kind)(better).is_ok());
    match better {
        Some(better) => diagnostic.help(format!("write `{better}`")),
        None => diagnostic.help("choose a shorter name"),
    }
}

fn namespace(place: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(name) = place.node.as_str().filter(|name| !name.is_empty()) else {
        return;
    };
    if !report.kind.is_namespaced() {
        let kind = report.kind.name();
        let message = format!("`{kind}` lives in no namespace: `{name}` is dropped");
        report.add(
            place
                .spot()
                .at_value(&codes::NAMESPACE_DROPPED, message, "dropped")
                .help("remove `namespace`; name the namespaces that are meant in the subject"),
        );
    } else if let Err(breach) = text::dns_label(name) {
        let message = format!("the namespace `{name}` {breach}");
        let help = match text::as_dns_name(&name.replace('.', "-")) {
            Some(better) if better.len() <= 63 => format!("write `{better}`"),
            Some(_) | None => "name an existing namespace".to_owned(),
        };
        report.add(
            place
                .spot()
                .at_value(&codes::INVALID_NAME, message, "not a valid namespace")
                .help(help),
        );
    }
}

fn annotations(annotations: &Place<'_>, report: &mut Report<'_, '_>) {
    let mut size = 0;
    for (key, place) in annotations.entries() {
        size += key.len() + place.node.as_str().map_or(0, str::len);
        if let Err(breach) = text::label_key(&key.to_lowercase()) {
            let message = format!("the annotation's key `{key}` {breach}");
            let spot = place.spot();
            report.add(
                Diagnostic::new(&codes::INVALID_LABEL, message)
                    .at(spot.head, "not a valid key")
                    .field(annotations.spot().field)
                    .help("write a name, with a domain and `/` in front where it is not your own"),
            );
        }
    }
    if size > MOST_ANNOTATION_BYTES {
        let message = format!(
            "the annotations have {size} bytes together, and at most {MOST_ANNOTATION_BYTES} are allowed"
        );
        report.add(
            annotations
                .spot()
                .at_value(&codes::TOO_MANY, message, "too large")
                .help("store large values in a ConfigMap"),
        );
    }
}

fn finalizers(finalizers: &Place<'_>, report: &mut Report<'_, '_>) {
    for place in finalizers.items() {
        let Some(name) = place.node.as_str() else {
            continue;
        };
        // Only Kubernetes' own kinds ask for a domain.
        let needs_domain = !matches!(
            report.kind,
            Kind::AdminNetworkPolicy
                | Kind::BaselineAdminNetworkPolicy
                | Kind::ClusterNetworkPolicy
                | Kind::CiliumNetworkPolicy
                | Kind::CiliumClusterwideNetworkPolicy
                | Kind::CiliumCidrGroup
                | Kind::DnsSnapshot
        );
        let lacks_domain = needs_domain && !name.contains('/') && !FINALIZERS.contains(&name);
        let breach = match text::label_key(name) {
            Err(breach) => breach,
            Ok(()) if lacks_domain => "needs a domain in front",
            Ok(()) => continue,
        };
        report.add(
            place
                .spot()
                .at_value(
                    &codes::INVALID_VALUE,
                    format!("the finalizer `{name}` {breach}"),
                    "not a valid finalizer",
                )
                .help(format!(
                    "write it as `example.com/{}`",
                    name.replace('/', "-")
                )),
        );
    }
}

/// `spec.nodeName` of a pod: the name of a node.
pub(super) fn check_node_name(root: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(spec) = root.get("spec") else { return };
    if let Some(place) = spec.get("nodeName")
        && let Some(name) = place.node.as_str()
        && !name.is_empty()
        && let Err(breach) = rule(Kind::Node)(name)
    {
        report.add(bad_name(Kind::Node, &place.spot(), name, breach));
    }
}

/// References to owners; those of pods and other parts of the cluster are the server's own.
fn owners(owners: &Place<'_>, report: &mut Report<'_, '_>) {
    let mut controllers = 0;
    for owner in owners.items() {
        for key in ["apiVersion", "kind", "name", "uid"] {
            let is_set = owner
                .get(key)
                .is_some_and(|place| place.node.as_str() != Some(""));
            if !is_set {
                let spot = owner.spot();
                let message = format!("`{}` lacks `{key}`, which is required", spot.field);
                report.add(
                    spot.below(key)
                        .at_head(&codes::REQUIRED_VALUE, message, format!("lacks `{key}`"))
                        .help("leave `ownerReferences` to the controller that creates the object"),
                );
            }
        }
        let is_controller = owner
            .get("controller")
            .and_then(|place| place.node.as_bool());
        controllers += usize::from(is_controller == Some(true));
    }
    if controllers > 1 {
        report.add(
            owners
                .spot()
                .at_value(
                    &codes::INVALID_VALUE,
                    format!("the object has {controllers} controllers, and at most one is allowed"),
                    "several controllers",
                )
                .help("set `controller: true` on one owner only"),
        );
    }
}
