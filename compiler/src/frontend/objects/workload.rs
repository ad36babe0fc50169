//! Controllers that make pods.

use super::Decoder;
use super::metadata::Metadata;
use super::pod;
use crate::cluster::object;
use crate::frontend::manifest::{NodeRef, Value};

/// The labels with its name that a Job gives its pods.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#batch-kubernetes-io-job-name>
const JOB_NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

pub(super) fn decode(
    root: NodeRef<'_>,
    kind: &'static str,
    decoder: &mut Decoder<'_>,
) -> object::Workload {
    let metadata = Metadata::of(root);
    let spec = Spec::of(root.get("spec"));
    let template = spec.template;
    let labels = template.map(|node| Metadata::of(node).labels());
    let is_named_job = kind == "Job" && !metadata.name.is_empty();
    let own = JOB_NAME_LABELS.map(|key| (key, metadata.name));
    let own = own.into_iter().filter(|_| is_named_job);
    let labels = labels.into_iter().flatten().chain(own);
    object::Workload {
        namespace: decoder.interner.string(metadata.namespace),
        kind,
        name: metadata.name.into(),
        template: pod::template(labels, template.and_then(|node| node.get("spec")), decoder),
        active: spec.active,
        several: spec.several,
        owner: metadata.owner(decoder.interner),
        span: metadata.span,
    }
}

struct Spec<'a> {
    template: Option<NodeRef<'a>>,
    active: bool,
    several: bool,
}

impl<'a> Spec<'a> {
    fn of(node: Option<NodeRef<'a>>) -> Self {
        let mut spec = Self {
            template: None,
            active: true,
            several: false,
        };
        for entry in node.into_iter().flat_map(NodeRef::entries) {
            match entry.key {
                "template" => spec.template = Some(entry.value),
                "jobTemplate" => {
                    spec.template = entry.value.at(&["spec", "template"]);
                    spec.several |= entry
                        .value
                        .at(&["spec", "parallelism"])
                        .is_some_and(is_several);
                }
                "replicas" => {
                    spec.active &= !matches!(entry.value.value(), Value::Int(0));
                    spec.several |= is_several(entry.value);
                }
                "parallelism" => spec.several |= is_several(entry.value),
                "suspend" => spec.active &= entry.value.as_bool() != Some(true),
                _ => {}
            }
        }
        spec
    }
}

fn is_several(count: NodeRef<'_>) -> bool {
    count.as_int().is_some_and(|count| count > 1)
}
