//! What is not answered where rules are resolved by precedence, with the reason.

use super::session::Session;
use crate::cluster::Owner;
use crate::engine::EngineKind;
use crate::hir::Resolution;

/// Why there are no images; `None` where there are. An endpoint of an image has one table for each direction, by whichever of its
/// addresses it is asked.
pub(super) fn not_in_images(session: &Session) -> Option<String> {
    let loaded = &session.loaded;
    let Resolution::Precedence(enforcement) = &loaded.policies.resolution else {
        return None;
    };
    let options = enforcement.identities.options();
    let nodes = options.blocks_match_nodes && enforcement.governs_nodes;
    if !options.blocks_match_pods && !nodes {
        return None;
    }
    let cluster = &loaded.cluster;
    let (name, addresses) = match session.program().is_governed_by_address(cluster)? {
        Owner::Pod(pod) => {
            let pod = cluster.pod(pod)?;
            let namespace = cluster.namespace_name(pod.namespace);
            (
                format!("pod `{namespace}/{}`", pod.name),
                pod.addresses.len(),
            )
        }
        Owner::Node(node) => {
            let node = cluster.node(node)?;
            (format!("node `{}`", node.name), node.addresses.len())
        }
    };
    let why = match addresses {
        0 => "which is not known",
        _ => "of which it has several",
    };
    Some(format!(
        "by images: which policies govern the {name} hangs on its address, {why}"
    ))
}

/// Why an engine cannot answer; `None` where it can.
pub(super) fn not_by(kind: EngineKind, session: &Session) -> Option<String> {
    match kind {
        EngineKind::Spec | EngineKind::Ir => None,
        EngineKind::Image => not_in_images(session),
    }
}
