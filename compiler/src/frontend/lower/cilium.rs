//! What Cilium makes of policies: its own kinds, and NetworkPolicy and ClusterNetworkPolicy as it translates them.
//!
//! Input: one object that validation accepted, and the [`Translation`]. Output: drafts whose subjects and peers are
//! identities, one for each rule object (`spec`, and each item of `specs`). Guarantee: absent, null and empty lists
//! mean what they mean to Cilium (`pkg/policy/utils.go`, `pkg/k8s/network_policy.go`), which is not always what they
//! mean to Kubernetes.

mod cluster_network_policy;
mod network_policy;
mod peers;
mod ports;
mod rule;
mod selector;
pub(super) mod services;

pub(in crate::frontend) use services::{Reading, resolve as resolve_services};

use super::{Draft, Unread, list};
use crate::diagnostic::ObjectRef;
use crate::frontend::kinds::PolicyKind;
use crate::frontend::manifest::NodeRef;
use crate::frontend::settings::cilium::{Options, Version};

/// The switches that change what policies are translated to.
#[derive(Clone, Debug)]
pub struct Translation {
    /// The name of the cluster.
    pub cluster: Box<str>,
    /// Whether peers are those of this cluster unless they name another.
    pub local_peers: bool,
    /// Whether `enableDefaultDeny` counts.
    pub default_deny_is_optional: bool,
    /// Whether selectors of groups of addresses have what blocks may match, and nothing else.
    pub blocks_are_outside: bool,
    /// Whether blocks match nodes.
    pub blocks_match_nodes: bool,
    /// Whether blocks match pods.
    pub blocks_match_pods: bool,
}

impl Translation {
    /// What the agent's options say.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        Self {
            cluster: options.cluster_name.as_str().into(),
            local_peers: options.policy_default_local_cluster,
            default_deny_is_optional: options.enable_non_default_deny_policies,
            blocks_are_outside: options.version == Version::V1_20,
            blocks_match_nodes: options.policy_cidr_match_mode.nodes,
            blocks_match_pods: options.policy_cidr_match_mode.pods,
        }
    }
}

/// Lowers an object: to no policy where Cilium does not know the kind.
///
/// # Errors
/// The first item that cannot be read.
pub fn lower(
    kind: PolicyKind,
    object: ObjectRef,
    root: NodeRef<'_>,
    translation: &Translation,
) -> Result<Vec<Draft>, Unread> {
    let drafts = match kind {
        PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy => {
            own_kind(&object, root, translation)?
        }
        PolicyKind::NetworkPolicy => vec![network_policy::lower(object, root, translation)?],
        PolicyKind::ClusterNetworkPolicy => {
            vec![cluster_network_policy::lower(object, root, translation)?]
        }
        PolicyKind::AdminNetworkPolicy | PolicyKind::BaselineAdminNetworkPolicy => Vec::new(),
    };
    Ok(drafts)
}

/// CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy, `cilium.io/v2`.
fn own_kind(
    object: &ObjectRef,
    root: NodeRef<'_>,
    translation: &Translation,
) -> Result<Vec<Draft>, Unread> {
    let of = |path: &str, spec| {
        let whole = rule::Object {
            object,
            root,
            path,
            translation,
        };
        whole.draft(spec)
    };
    let single = root.get("spec").into_iter().map(|spec| of("spec", spec));
    let several = list(root, "specs").into_iter().flatten();
    single
        .chain(several.map(|(path, spec)| of(&path, spec)))
        .collect()
}
