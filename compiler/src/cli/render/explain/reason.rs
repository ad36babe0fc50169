//! The reason in the first line.

use crate::explain::condition;
use crate::explain::report::{Exempt, Explanation, FlowReport, SideReport, Word};

/// Why, in the words of the side that settles it, with what the ends must prove to either side.
pub(super) fn reason(explanation: &Explanation) -> String {
    let mut text = settled(explanation);
    let passes = matches!(explanation.verdict, Word::Allow | Word::Redirect);
    let sides = [&explanation.egress, &explanation.ingress].into_iter();
    let demands = sides.filter_map(|side| side.auth.as_deref());
    for auth in demands.filter(|auth| passes && *auth != NO_PROOF) {
        if !text.contains(&format!("`{auth}`")) {
            text.push_str(&format!(
                ", once the ends have proved who they are (`{auth}`)"
            ));
        }
    }
    text
}

/// What a rule demands that lifts what a wider one does.
const NO_PROOF: &str = "disabled";

fn settled(explanation: &Explanation) -> String {
    let egress = &explanation.egress;
    let ingress = &explanation.ingress;
    let at_egress = || format!("egress of {}: {}", explanation.flow.src, egress.because);
    let at_ingress = || format!("ingress of {}: {}", explanation.flow.dst, ingress.because);
    match (explanation.verdict, egress.verdict, ingress.verdict) {
        (word, ..) if !explanation.cases.is_empty() => match word {
            Word::Depends => "not every flow has the same answer".into(),
            Word::Deny => "no flow is allowed, each for reasons of its own".into(),
            Word::Redirect => "every flow goes by a proxy, each for reasons of its own".into(),
            Word::Allow => "every flow is allowed, each for reasons of its own".into(),
        },
        (Word::Depends, ..) => open(&explanation.conditions).into(),
        (Word::Deny, Word::Deny, Word::Deny) => format!("both ends deny it; {}", at_egress()),
        (Word::Deny, Word::Deny, _) => at_egress(),
        (Word::Deny, ..) => at_ingress(),
        (Word::Redirect, Word::Redirect, _) => at_egress(),
        (Word::Redirect, ..) => at_ingress(),
        (Word::Allow, ..) if egress.audited => at_egress(),
        (Word::Allow, ..) if ingress.audited => at_ingress(),
        (Word::Allow, ..) => match (is_governed(egress), is_governed(ingress)) {
            (true, true) => "both ends allow it".into(),
            (true, false) => at_egress(),
            (false, true) => at_ingress(),
            (false, false) => ungoverned(explanation),
        },
    }
}

/// Who leaves the answer open.
fn open(conditions: &[String]) -> &'static str {
    let by_api = conditions
        .iter()
        .filter(|one| condition::is_left_open(one))
        .count();
    match conditions.len() - by_api {
        0 if by_api > 0 => "the API leaves it open",
        _ if by_api > 0 => {
            "it hangs on what the snapshot does not tell, and on what the API leaves open"
        }
        _ => "it hangs on what the snapshot does not tell",
    }
}

/// Whether a policy has a say.
fn is_governed(side: &SideReport) -> bool {
    side.isolated || side.rules.iter().any(|rule| rule.matched)
}

/// Why a flow passes about which no policy says anything.
fn ungoverned(explanation: &Explanation) -> String {
    let FlowReport { src, dst, .. } = &explanation.flow;
    let not_asked = |exempt, party| match exempt {
        Exempt::HostNetwork => {
            format!(
                "policies for {party}, a pod on its node's network, are left to the implementation"
            )
        }
        Exempt::Itself
        | Exempt::Outside
        | Exempt::Node
        | Exempt::NotEnforced
        | Exempt::FragmentationNeeded => format!("none governs {party}"),
    };
    match (explanation.egress.exempt, explanation.ingress.exempt) {
        (Some(Exempt::Itself), _) | (_, Some(Exempt::Itself)) => "a pod always reaches itself".into(),
        (Some(Exempt::NotEnforced), _) | (_, Some(Exempt::NotEnforced)) => {
            "the settings say that no policy is enforced".into()
        }
        (None, None) => "no policy isolates either end".into(),
        (Some(exempt), None) => format!("no policy isolates {dst}, and {}", not_asked(exempt, src)),
        (None, Some(exempt)) => format!("no policy isolates {src}, and {}", not_asked(exempt, dst)),
        (Some(Exempt::HostNetwork), Some(_)) | (Some(_), Some(Exempt::HostNetwork)) => {
            "no policy governs either end, and policies for pods on their node's network are left to the \
             implementation"
                .into()
        }
        (Some(_), Some(_)) => "no policy governs either end".into(),
    }
}
