//! Controllers that make pods.

use super::Decoder;
use super::metadata::Metadata;
use super::pod;
use crate::cluster::Labels;
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
    let mut labels = template
        .map(|node| Metadata::of(node).labels())
        .unwrap_or_default();
    if kind == "Job" && !metadata.name.is_empty() {
        labels = with_job_name(&labels, metadata.name);
    }
    object::Workload {
        namespace: decoder.interner.string(metadata.namespace),
        kind,
        name: metadata.name.into(),
        template: pod::template(&labels, template.and_then(|node| node.get("spec")), decoder),
        active: spec.active,
        several: spec.several,
        owner: metadata.owner(decoder.interner),
        span: metadata.span,
    }
}

fn with_job_name(labels: &Labels, name: &str) -> Labels {
    let own = JOB_NAME_LABELS.map(|key| (key, name));
    labels.iter().chain(own).collect()
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
