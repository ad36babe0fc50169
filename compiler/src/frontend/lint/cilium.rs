//! Policies of Cilium that its agent takes and reads otherwise than their authors are likely to have meant, as far as
//! the object alone shows it.
//!
//! Input: a policy that validation accepted, and the agent's options. Output: warnings and notes. Guarantee: what is
//! said follows from the object and the options; nothing here changes a verdict.

mod peers;
mod ports;
mod proxied;

use crate::diagnostic::{Diagnostic, codes};
use crate::frontend::kinds::Kind;
use crate::frontend::manifest::{NodeRef, Value};
use crate::frontend::report::{Place, Report, object_ref};
use crate::frontend::settings::cilium::{Options, Version};

/// Keys of the label that holds the namespace of a pod.
const NAMESPACE_KEYS: [&str; 3] = [
    "k8s:io.kubernetes.pod.namespace",
    "any:io.kubernetes.pod.namespace",
    "io.kubernetes.pod.namespace",
];

/// All lints of one object; none where the kind is not Cilium's.
pub(in crate::frontend) fn lint(
    kind: Kind,
    root: NodeRef<'_>,
    options: &Options,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if !matches!(
        kind,
        Kind::CiliumNetworkPolicy | Kind::CiliumClusterwideNetworkPolicy
    ) {
        return;
    }
    let mut report = Report::new(kind, root, diagnostics);
    let place = Place::root(root);
    let lists = place.get("specs");
    let specs = lists.iter().flat_map(Place::items);
    for spec in place.get("spec").into_iter().chain(specs) {
        check_spec(&spec, options, &mut report);
        if !sees_dns(root) {
            names_without_dns(&spec, &mut report);
        }
    }
}

fn check_spec(spec: &Place<'_>, options: &Options, report: &mut Report<'_, '_>) {
    if let Some(subject) = spec.get("endpointSelector") {
        check_subject(&subject, report);
        peers::negative(&subject, options, report);
    }
    for key in ["ingress", "ingressDeny", "egress", "egressDeny"] {
        let Some(rules) = spec.get(key) else { continue };
        for rule in rules.items() {
            peers::check(&rule, options, report);
            ports::check(&rule, report);
            if key == "ingress" && spec.get("endpointSelector").is_some() {
                peers::own_node(&rule, options, report);
            }
        }
    }
    for direction in ["ingress", "egress"] {
        peers::denied_blocks(spec, direction, report);
        proxied::check(spec, direction, report);
    }
}

fn check_subject(subject: &Place<'_>, report: &mut Report<'_, '_>) {
    if report.kind == Kind::CiliumClusterwideNetworkPolicy {
        if is_wildcard(subject) {
            let note = subject.spot().at_head(
                &codes::RESERVED_ENDPOINTS,
                "the policy governs Cilium's own endpoints too: those of health checks and of Ingress",
                "every endpoint",
            );
            let help = "select pods alone by `{key: \"k8s:io.kubernetes.pod.namespace\", operator: Exists}`";
            report.add(note.help(help));
        }
        return;
    }
    let own = object_ref(report.kind, report.root).namespace;
    let Some(labels) = subject.get("matchLabels") else {
        return;
    };
    for (key, value) in labels.entries() {
        let Some(named) = value.node.as_str() else {
            continue;
        };
        if NAMESPACE_KEYS.contains(&key) && own.as_deref().is_some_and(|own| own != named) {
            let message = format!(
                "Cilium takes the policy's own namespace `{}` in place of `{named}`",
                own.as_deref().unwrap_or_default()
            );
            report.add(
                value
                    .spot()
                    .at_value(&codes::SUBJECT_NAMESPACE, message, "replaced")
                    .help("write the policy in the namespace of the pods that it is for"),
            );
        }
    }
}

/// A policy that lets pods reach names, and none of whose rules lets Cilium see the answers of DNS.
fn names_without_dns(spec: &Place<'_>, report: &mut Report<'_, '_>) {
    let Some(rules) = spec.get("egress") else {
        return;
    };
    for rule in rules.items() {
        let Some(names) = rule.get("toFQDNs").filter(|names| is_filled(names.node)) else {
            continue;
        };
        let message = "Cilium learns the addresses of names from DNS that a rule sends through its proxy, and this policy \
                       has no such rule";
        report.add(
            names
                .spot()
                .at_head(
                    &codes::NAMES_WITHOUT_DNS,
                    message,
                    "nothing, unless another policy has one",
                )
                .help(
                    "allow port 53 of the DNS server with `rules: {dns: [{matchPattern: \"*\"}]}`",
                ),
        );
        return;
    }
}

/// Whether a rule of the object sends DNS through Cilium's proxy.
fn sees_dns(root: NodeRef<'_>) -> bool {
    let specs = root.get("spec").into_iter().chain(items(root, "specs"));
    specs
        .flat_map(|spec| items(spec, "egress"))
        .flat_map(|rule| items(rule, "toPorts"))
        .any(|item| item.at(&["rules", "dns"]).is_some_and(is_filled))
}

/// The items of a list below a value.
fn items<'a>(node: NodeRef<'a>, key: &str) -> impl Iterator<Item = NodeRef<'a>> + use<'a> {
    node.get(key).into_iter().flat_map(NodeRef::items)
}

fn is_filled(list: NodeRef<'_>) -> bool {
    list.items().next().is_some()
}

/// Whether a selector asks for nothing.
fn is_wildcard(selector: &Place<'_>) -> bool {
    let labels = selector
        .node
        .get("matchLabels")
        .map(|labels| labels.entries().count());
    let expressions = selector
        .node
        .get("matchExpressions")
        .map(|list| list.items().count());
    labels.unwrap_or(0) + expressions.unwrap_or(0) == 0
}

/// The value of a list that has no items.
fn empty_list<'a>(place: &'a Place<'a>, key: &str) -> Option<Place<'a>> {
    place
        .get(key)
        .filter(|list| matches!(list.node.value(), Value::Sequence(_)) && !is_filled(list.node))
}

fn is_new(options: &Options) -> bool {
    options.version == Version::V1_20
}
