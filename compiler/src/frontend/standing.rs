//! What a policy of a kind counts for in the dialect that is set.
//!
//! Input: a kind and the settings. Output: [`Standing`], and what is to be said where it is not simply enforced.
//! Guarantee: a policy that does not count is never dropped in silence.

use super::kinds::{Kind, PolicyKind};
use super::manifest::NodeRef;
use super::report::object_ref;
use super::settings::cilium::Version;
use super::settings::{Dialect, Settings};
use crate::diagnostic::{Diagnostic, codes};

/// What a policy counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is enforced as it says.
    Enforced,
    /// It is another dialect's: what the dialect that is set makes of it is not known, so answers are incomplete.
    Foreign(Dialect),
    /// The dialect is known not to enforce it: it is left out, and answers are whole.
    Ignored(Ignored),
}

/// Why a policy is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ignored {
    /// The implementation does not know the kind.
    Kind,
    /// That release of Cilium does not know the kind.
    Version,
    /// An option of Cilium turns the kind off.
    Option(&'static str),
}

/// What a policy of the kind counts for.
pub(super) fn of(kind: PolicyKind, settings: &Settings) -> Standing {
    match (settings.dialect, kind) {
        (
            Dialect::Kubernetes,
            PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy,
        ) => Standing::Foreign(Dialect::Cilium),
        (
            Dialect::Cilium,
            PolicyKind::AdminNetworkPolicy | PolicyKind::BaselineAdminNetworkPolicy,
        ) => Standing::Ignored(Ignored::Kind),
        (Dialect::Cilium, PolicyKind::ClusterNetworkPolicy)
            if settings.cilium.version == Version::V1_19 =>
        {
            Standing::Ignored(Ignored::Version)
        }
        (Dialect::Cilium, kind) => match switch(kind, settings) {
            Some((name, false)) => Standing::Ignored(Ignored::Option(name)),
            Some((_, true)) | None => Standing::Enforced,
        },
        (Dialect::Kubernetes, _) => Standing::Enforced,
    }
}

/// The option of Cilium that turns the kind on and off, and what it is set to.
fn switch(kind: PolicyKind, settings: &Settings) -> Option<(&'static str, bool)> {
    let options = &settings.cilium;
    match kind {
        PolicyKind::NetworkPolicy => {
            Some(("enable-k8s-networkpolicy", options.enable_k8s_networkpolicy))
        }
        PolicyKind::ClusterNetworkPolicy => Some((
            "enable-k8s-cluster-network-policy",
            options.enable_k8s_cluster_network_policy,
        )),
        PolicyKind::CiliumNetworkPolicy => Some((
            "enable-cilium-network-policy",
            options.enable_cilium_network_policy,
        )),
        PolicyKind::CiliumClusterwideNetworkPolicy => Some((
            "enable-cilium-clusterwide-network-policy",
            options.enable_cilium_clusterwide_network_policy,
        )),
        PolicyKind::AdminNetworkPolicy | PolicyKind::BaselineAdminNetworkPolicy => None,
    }
}

/// What is to be said of a policy that is not simply enforced.
pub(super) fn remark(
    standing: Standing,
    kind: Kind,
    root: NodeRef<'_>,
    settings: &Settings,
) -> Option<Diagnostic> {
    let (name, dialect) = (kind.name(), settings.dialect);
    let diagnostic = match standing {
        Standing::Enforced => return None,
        Standing::Foreign(own) => Diagnostic::new(
            &codes::FOREIGN_POLICY,
            format!("the dialect `{dialect}` has no {name}: answers are incomplete"),
        )
        .help(format!("set `dialect = \"{own}\"` if the cluster runs it")),
        Standing::Ignored(Ignored::Kind) => Diagnostic::new(
            &codes::IGNORED_POLICY,
            format!("the dialect `{dialect}` enforces no {name}: it is left out"),
        )
        .help("write it as a kind that is enforced, or remove it"),
        Standing::Ignored(Ignored::Version) => Diagnostic::new(
            &codes::IGNORED_POLICY,
            format!("Cilium 1.19 enforces no {name}: it is left out"),
        )
        .help("remove it, or set `cilium.version` to the release that the cluster runs"),
        Standing::Ignored(Ignored::Option(option)) => Diagnostic::new(
            &codes::IGNORED_POLICY,
            format!("`{option}` is off, so that no {name} is enforced: it is left out"),
        )
        .help(format!("set `{option}`, or remove the policy")),
    };
    let span = root.get("kind").map_or(root.span(), NodeRef::span);
    Some(
        diagnostic
            .at(span, "not enforced")
            .field("kind")
            .object(object_ref(kind, root)),
    )
}
