//! What Cilium's agent refuses of a policy that the API server takes.
//!
//! Input: a CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy, and the agent's options. Guarantee: as
//! `Rule.Validate` of `pkg/policy/api` in Cilium 1.20.2, with what 1.19 does otherwise where that is the release that
//! is asked for. An error, although the API server stores the object: the agent enforces none of it, its other
//! rules included. What the published definition says is not said again: see the schema.

mod l7;
mod peers;
mod ports;

use super::{metadata, selector};
use crate::diagnostic::{Diagnostic, codes};
use crate::frontend::kinds::Kind;
use crate::frontend::manifest::Value;
use crate::frontend::report::{Place, Report, Spot};
use crate::frontend::settings::cilium::{Options, Version};

/// What the checks of one rule need to know besides the rule.
#[derive(Clone, Copy)]
struct Context<'o> {
    options: &'o Options,
    way: Way,
    /// Whether the policy is for nodes.
    is_host: bool,
    /// Whether the rule denies.
    denies: bool,
}

/// Which way the traffic goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Ingress,
    Egress,
}

/// Checks the policy at `root`.
pub(super) fn check(root: &Place<'_>, options: &Options, report: &mut Report<'_, '_>) {
    metadata::check(root, report);
    if let Some(spec) = root.get("spec") {
        check_spec(&spec, options, report);
    }
    if let Some(specs) = root.get("specs") {
        for spec in specs.items() {
            check_spec(&spec, options, report);
        }
    }
}

fn check_spec(spec: &Place<'_>, options: &Options, report: &mut Report<'_, '_>) {
    has_direction(spec, report);
    for key in ["endpointSelector", "nodeSelector"] {
        if let Some(place) = spec.get(key) {
            selector::check(&place, selector::Refuser::Agent, report);
        }
    }
    let nodes = spec.get("nodeSelector");
    if let Some(place) = &nodes
        && report.kind == Kind::CiliumNetworkPolicy
    {
        report.add(
            place
                .spot()
                .at_head(
                    &codes::MISPLACED_NODE_SELECTOR,
                    "a policy of a namespace cannot select nodes",
                    "no node is in a namespace",
                )
                .help("write a CiliumClusterwideNetworkPolicy, or select pods with `endpointSelector`"),
        );
    }
    for (key, way, denies) in [
        ("ingress", Way::Ingress, false),
        ("ingressDeny", Way::Ingress, true),
        ("egress", Way::Egress, false),
        ("egressDeny", Way::Egress, true),
    ] {
        let context = Context {
            options,
            way,
            is_host: nodes.is_some(),
            denies,
        };
        let Some(rules) = spec.get(key) else { continue };
        for rule in rules.items() {
            check_rule(&rule, context, report);
        }
    }
}

/// R1: at least one rule in one of the lists. That one of the lists is there is for the schema to ask.
fn has_direction(spec: &Place<'_>, report: &mut Report<'_, '_>) {
    const LISTS: [&str; 4] = ["ingress", "ingressDeny", "egress", "egressDeny"];
    let mut lists = LISTS.into_iter().filter_map(|key| spec.get(key)).peekable();
    let Some(first) = lists.peek().copied() else {
        return;
    };
    let is_empty = |place: Place<'_>| {
        matches!(place.node.value(), Value::Sequence(_)) && place.node.items().next().is_none()
    };
    if lists.all(is_empty) {
        report.add(
            first
                .spot()
                .at_head(
                    &codes::NO_DIRECTION,
                    "Cilium refuses a policy without a single rule",
                    "an empty list",
                )
                .help("write `ingress: [{}]` to deny everything by default, or remove the policy"),
        );
    }
}

fn check_rule(rule: &Place<'_>, context: Context<'_>, report: &mut Report<'_, '_>) {
    peers::check(rule, context, report);
    if let Some(icmps) = filled(rule, "icmps") {
        ports::check_icmps(rule, &icmps, context, report);
    }
    if let Some(ports) = filled(rule, "toPorts") {
        for item in ports.items() {
            ports::check(&item, context, report);
            l7::check(&item, context, report);
        }
    }
}

/// The value of a list that has items.
fn filled<'a>(place: &'a Place<'a>, key: &str) -> Option<Place<'a>> {
    place
        .get(key)
        .filter(|list| list.node.items().next().is_some())
}

/// That a rule asks for what an option turns off.
pub(super) fn option_off(spot: &Spot<'_>, what: &str, option: &str) -> Diagnostic {
    spot.at_head(
        &codes::OPTION_OFF,
        format!("Cilium refuses {what} while `{option}` is off"),
        "refused",
    )
    .help(format!(
        "set `{option}` for the agent, and `cilium.{option} = true` in the settings"
    ))
}

/// That a release does not know a value yet.
fn not_yet(spot: &Spot<'_>, name: &str) -> Diagnostic {
    spot.at_value(
        &codes::UNSUPPORTED_VALUE,
        format!("Cilium 1.19 does not know `{name}`"),
        "from 1.20 on",
    )
    .help("write what 1.19 knows, or set the version to 1.20")
}

impl Context<'_> {
    fn is_old(self) -> bool {
        self.options.version == Version::V1_19
    }
}
