//! Why nothing is suggested for a flow that is denied.

use super::items::{peer_of, port_of};
use crate::explain::view::{Stop, View};
use crate::hir::Direction;
use crate::hir::flow::EndpointKind;
use crate::hir::spec::{Judgement, Side, Verdict};

/// In a sentence: what stands in the way of an edit of the policies.
pub(super) fn why(denying: &[(View<'_>, &Side)], judgement: &Judgement) -> String {
    let open = [
        (Direction::Egress, &judgement.egress),
        (Direction::Ingress, &judgement.ingress),
    ];
    let open = open
        .iter()
        .find(|(_, side)| side.verdict == Verdict::Depends);
    if let Some((direction, _)) = open {
        return format!(
            "what becomes of the flow at {direction} is open, so that no edit for the other side is sure to allow it"
        );
    }
    let mut reasons = denying
        .iter()
        .filter_map(|(view, side)| of_side(*view, side));
    reasons.next().unwrap_or_else(|| {
        "none of the edits that were tried allows it: a policy before them denies it, or has no room for a rule".into()
    })
}

fn of_side(view: View<'_>, side: &Side) -> Option<String> {
    let stop = view.stop(side)?;
    let end = view.other_word();
    if view.flow.transport.protocol.has_ports() && port_of(view).is_none() {
        return Some("the port is not known, and a rule would have to name it".into());
    }
    let is_pod = matches!(view.other().kind, EndpointKind::Pod(_));
    match stop {
        Stop::Rule(policy, _) if !is_pod && peer_of(view, policy).is_none() => Some(format!(
            "{} denies it, and policies of its kind cannot name the {end} of the flow, which is no pod",
            policy.object
        )),
        Stop::Isolation if !is_pod => Some(format!(
            "a rule would have to name the {end} of the flow by its address, which is not known"
        )),
        Stop::Rule(..) | Stop::Isolation => None,
    }
}
