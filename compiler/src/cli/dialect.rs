//! What is not answered yet where rules are resolved by precedence, each with the reason.

use crate::cluster::HostNetwork;
use crate::engine::EngineKind;
use crate::hir::{PolicySet, Resolution};

/// Why there are no sets of flows; `None` where there are.
pub(super) fn not_in_sets(policies: &PolicySet) -> Option<String> {
    let Resolution::Precedence(enforcement) = &policies.resolution else {
        return None;
    };
    let options = enforcement.identities.options();
    if options.blocks_match_pods {
        return Some("with blocks that match pods (`policy-cidr-match-mode`)".into());
    }
    if enforcement.governs_nodes {
        return Some("with policies that govern nodes (`enable-host-firewall`)".into());
    }
    let is_pod = policies.semantics.host_network == HostNetwork::Pod;
    is_pod.then(|| "with pods on the network of their node (`host-network`)".into())
}

/// Why an engine cannot answer; `None` where it can.
pub(super) fn not_by(kind: EngineKind, policies: &PolicySet) -> Option<String> {
    match kind {
        EngineKind::Spec | EngineKind::Ir => None,
        EngineKind::Image => not_in_sets(policies),
    }
}

/// Why nothing is told of pods that do not exist.
pub(super) fn not_in_exposure(policies: &PolicySet) -> Option<String> {
    match &policies.resolution {
        Resolution::Isolation => None,
        Resolution::Precedence(_) => Some("about pods that do not exist".into()),
    }
}
