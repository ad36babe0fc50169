//! The kinds that are read, told by API group and kind: a kind of another group is never taken for ours.
//!
//! Input: the texts of `apiVersion` and `kind`. Output: [`Recognised`]. Guarantee: [`Recognised::Known`] only
//! where group, version and kind are those of the table below.

/// A kind that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `networking.k8s.io/v1`
    NetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1`
    AdminNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1`
    BaselineAdminNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2`
    ClusterNetworkPolicy,
    /// `cilium.io/v2`
    CiliumNetworkPolicy,
    /// `cilium.io/v2`
    CiliumClusterwideNetworkPolicy,
    /// `cilium.io/v2`
    CiliumCidrGroup,
    /// `v1`
    Namespace,
    /// `v1`
    Node,
    /// `v1`
    Pod,
    /// `v1`
    Service,
    /// `v1`
    ServiceAccount,
    /// `v1`
    Endpoints,
    /// `discovery.k8s.io/v1`
    EndpointSlice,
    /// `apps/v1`
    Deployment,
    /// `apps/v1`
    StatefulSet,
    /// `apps/v1`
    DaemonSet,
    /// `apps/v1`
    ReplicaSet,
    /// `v1`
    ReplicationController,
    /// `batch/v1`
    Job,
    /// `batch/v1`
    CronJob,
    /// `verdict.dev/v1`
    DnsSnapshot,
}

/// A kind of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// `networking.k8s.io/v1`
    NetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1`
    AdminNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1`
    BaselineAdminNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2`
    ClusterNetworkPolicy,
    /// `cilium.io/v2`
    CiliumNetworkPolicy,
    /// `cilium.io/v2`
    CiliumClusterwideNetworkPolicy,
}

/// What objects of a kind are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// They say what is allowed.
    Policy(PolicyKind),
    /// They are pods or stand for pods.
    Pods,
    /// Policies and pods refer to them.
    Surroundings,
}

/// Where objects of a kind live.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Namespace,
    Cluster,
}

/// The name of the ConfigMap that holds the options of Cilium's agent.
pub(super) const CILIUM_CONFIG: &str = "cilium-config";

/// What an object's `apiVersion` and `kind` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// A kind that is read.
    Known(Kind),
    /// `List`, or a list of a known kind, whose items may leave out `apiVersion` and `kind`.
    List(Option<Kind>),
    /// A known kind in a version that is not read; what is read instead.
    OtherVersion(Kind, &'static str),
    /// Nearly the name of a kind of this group.
    Misspelt(Kind),
    /// The ConfigMap that holds the options of Cilium's agent; `frontend::cilium_config` reads it.
    CiliumConfig,
    /// A policy kind that changes verdicts and is not read; whose it is.
    UnsupportedPolicy(&'static str),
    /// Anything else.
    Unknown,
}

impl Kind {
    /// Every kind that is read.
    pub const ALL: [Self; 22] = [
        Self::NetworkPolicy,
        Self::AdminNetworkPolicy,
        Self::BaselineAdminNetworkPolicy,
        Self::ClusterNetworkPolicy,
        Self::CiliumNetworkPolicy,
        Self::CiliumClusterwideNetworkPolicy,
        Self::CiliumCidrGroup,
        Self::Namespace,
        Self::Node,
        Self::Pod,
        Self::Service,
        Self::ServiceAccount,
        Self::Endpoints,
        Self::EndpointSlice,
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::ReplicaSet,
        Self::ReplicationController,
        Self::Job,
        Self::CronJob,
        Self::DnsSnapshot,
    ];

    /// The kind that has a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind's name, as in `kind:`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The group and version in which the kind is read, as in `apiVersion:`.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        self.row().0
    }

    /// Whether objects of the kind live in a namespace.
    #[must_use]
    pub fn is_namespaced(self) -> bool {
        self.row().2 == Scope::Namespace
    }

    /// What objects of the kind are for.
    #[must_use]
    pub fn role(self) -> Role {
        self.row().3
    }

    /// The kind as one of policies; `None` if it is a part of the cluster.
    #[must_use]
    pub fn policy(self) -> Option<PolicyKind> {
        match self.role() {
            Role::Policy(kind) => Some(kind),
            Role::Pods | Role::Surroundings => None,
        }
    }

    /// Whether objects of the kind are policies, not parts of the cluster.
    #[must_use]
    pub fn is_policy(self) -> bool {
        self.policy().is_some()
    }

    fn row(self) -> (&'static str, &'static str, Scope, Role) {
        use Role::{Pods, Policy, Surroundings};
        use Scope::{Cluster, Namespace};
        match self {
            Self::NetworkPolicy => (
                "networking.k8s.io/v1",
                "NetworkPolicy",
                Namespace,
                Policy(PolicyKind::NetworkPolicy),
            ),
            Self::AdminNetworkPolicy => (
                "policy.networking.k8s.io/v1alpha1",
                "AdminNetworkPolicy",
                Cluster,
                Policy(PolicyKind::AdminNetworkPolicy),
            ),
            Self::BaselineAdminNetworkPolicy => (
                "policy.networking.k8s.io/v1alpha1",
                "BaselineAdminNetworkPolicy",
                Cluster,
                Policy(PolicyKind::BaselineAdminNetworkPolicy),
            ),
            Self::ClusterNetworkPolicy => (
                "policy.networking.k8s.io/v1alpha2",
                "ClusterNetworkPolicy",
                Cluster,
                Policy(PolicyKind::ClusterNetworkPolicy),
            ),
            Self::CiliumNetworkPolicy => (
                "cilium.io/v2",
                "CiliumNetworkPolicy",
                Namespace,
                Policy(PolicyKind::CiliumNetworkPolicy),
            ),
            Self::CiliumClusterwideNetworkPolicy => (
                "cilium.io/v2",
                "CiliumClusterwideNetworkPolicy",
                Cluster,
                Policy(PolicyKind::CiliumClusterwideNetworkPolicy),
            ),
            Self::CiliumCidrGroup => ("cilium.io/v2", "CiliumCIDRGroup", Cluster, Surroundings),
            Self::Namespace => ("v1", "Namespace", Cluster, Surroundings),
            Self::Node => ("v1", "Node", Cluster, Surroundings),
            Self::Pod => ("v1", "Pod", Namespace, Pods),
            Self::Service => ("v1", "Service", Namespace, Surroundings),
            Self::ServiceAccount => ("v1", "ServiceAccount", Namespace, Surroundings),
            Self::Endpoints => ("v1", "Endpoints", Namespace, Surroundings),
            Self::EndpointSlice => (
                "discovery.k8s.io/v1",
                "EndpointSlice",
                Namespace,
                Surroundings,
            ),
            Self::Deployment => ("apps/v1", "Deployment", Namespace, Pods),
            Self::StatefulSet => ("apps/v1", "StatefulSet", Namespace, Pods),
            Self::DaemonSet => ("apps/v1", "DaemonSet", Namespace, Pods),
            Self::ReplicaSet => ("apps/v1", "ReplicaSet", Namespace, Pods),
            Self::ReplicationController => ("v1", "ReplicationController", Namespace, Pods),
            Self::Job => ("batch/v1", "Job", Namespace, Pods),
            Self::CronJob => ("batch/v1", "CronJob", Namespace, Pods),
            Self::DnsSnapshot => ("verdict.dev/v1", "DnsSnapshot", Cluster, Surroundings),
        }
    }

    /// Who refuses this former version of the kind, as the start of a sentence; elsewhere it means what the
    /// kind means now.
    #[must_use]
    pub fn refused_by(self, api_version: &str) -> Option<&'static str> {
        FORMER_VERSIONS
            .iter()
            .find(|(own, kinds, _)| *own == api_version && kinds.contains(&self))
            .map(|(_, _, removed)| *removed)
    }
}

/// Versions that older clusters served: their name, kinds in them, and who refuses them.
/// <https://kubernetes.io/docs/reference/using-api/deprecation-guide/>; Cilium 1.20 still serves `v2alpha1`, and
/// its definition calls it deprecated.
const FORMER_VERSIONS: &[(&str, &[Kind], &str)] = &[
    (
        "extensions/v1beta1",
        &[
            Kind::NetworkPolicy,
            Kind::Deployment,
            Kind::DaemonSet,
            Kind::ReplicaSet,
        ],
        "Kubernetes 1.16 and newer refuse",
    ),
    (
        "apps/v1beta1",
        &[Kind::Deployment, Kind::StatefulSet],
        "Kubernetes 1.16 and newer refuse",
    ),
    (
        "apps/v1beta2",
        &[
            Kind::Deployment,
            Kind::StatefulSet,
            Kind::DaemonSet,
            Kind::ReplicaSet,
        ],
        "Kubernetes 1.16 and newer refuse",
    ),
    (
        "batch/v1beta1",
        &[Kind::CronJob],
        "Kubernetes 1.25 and newer refuse",
    ),
    (
        "cilium.io/v2alpha1",
        &[Kind::CiliumCidrGroup],
        "later releases of Cilium are to refuse",
    ),
];

/// Policy kinds that change verdicts and are not read: group, kinds, whose they are.
const UNSUPPORTED_POLICIES: &[(&str, &[&str], &str)] = &[
    ("projectcalico.org", CALICO, "Calico"),
    ("crd.projectcalico.org", CALICO, "Calico"),
    ("crd.antrea.io", ANTREA, "Antrea"),
    ("security.antrea.tanzu.vmware.com", ANTREA, "Antrea"),
    (
        "k8s.ovn.org",
        &[
            "EgressFirewall",
            "UserDefinedNetwork",
            "ClusterUserDefinedNetwork",
        ],
        "OVN-Kubernetes",
    ),
    (
        "network.openshift.io",
        &["EgressNetworkPolicy", "NetNamespace"],
        "OpenShift SDN",
    ),
    ("security.istio.io", &["AuthorizationPolicy"], "Istio"),
    (
        "policy.linkerd.io",
        &["AuthorizationPolicy", "ServerAuthorization", "Server"],
        "Linkerd",
    ),
    (
        "kuma.io",
        &["MeshTrafficPermission", "TrafficPermission"],
        "Kuma",
    ),
    ("cilium.io", &["CiliumLocalRedirectPolicy"], "Cilium"),
    ("networking.gke.io", &["FQDNNetworkPolicy"], "GKE"),
    (
        "networking.k8s.aws",
        &["ApplicationNetworkPolicy", "ClusterNetworkPolicy"],
        "Amazon EKS",
    ),
    ("k8s.cni.cncf.io", &["MultiNetworkPolicy"], "Multus"),
];

const CALICO: &[&str] = &[
    "NetworkPolicy",
    "GlobalNetworkPolicy",
    "HostEndpoint",
    "Profile",
];

const ANTREA: &[&str] = &["NetworkPolicy", "ClusterNetworkPolicy"];

/// What `apiVersion` and `kind` say. The group decides: `projectcalico.org/v3 NetworkPolicy` is not ours.
#[must_use]
pub fn recognise(api_version: &str, kind: &str) -> Recognised {
    let (group, _) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    if let Some(owner) = unsupported_policy(group, kind) {
        return Recognised::UnsupportedPolicy(owner);
    }
    if kind == "List" && group.is_empty() {
        return Recognised::List(None);
    }
    if let Some(found) = known(api_version, group, kind) {
        return found;
    }
    if let Some(item) = kind.strip_suffix("List") {
        if let Some(owner) = unsupported_policy(group, item) {
            return Recognised::UnsupportedPolicy(owner);
        }
        return match known(api_version, group, item) {
            Some(Recognised::Known(kind)) => Recognised::List(Some(kind)),
            Some(other) => other,
            None => Recognised::Unknown,
        };
    }
    misspelt(group, kind).map_or(Recognised::Unknown, Recognised::Misspelt)
}

fn unsupported_policy(group: &str, kind: &str) -> Option<&'static str> {
    UNSUPPORTED_POLICIES
        .iter()
        .find(|(own, kinds, _)| *own == group && kinds.contains(&kind))
        .map(|(_, _, owner)| *owner)
}

fn known(api_version: &str, group: &str, name: &str) -> Option<Recognised> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
    if kind.api_version() == api_version {
        return Some(Recognised::Known(kind));
    }
    is_group_of(group, api_version, kind)
        .then(|| Recognised::OtherVersion(kind, kind.api_version()))
}

/// Whether the group is the kind's, or can only have been meant to be: a former one, a forgotten or
/// misspelt one, another one of Kubernetes itself.
fn is_group_of(group: &str, api_version: &str, kind: Kind) -> bool {
    let own = group_of(kind);
    let written = if group.is_empty() { api_version } else { group };
    group == own
        || kind.refused_by(api_version).is_some()
        // The core group is closed: what it does not have was meant to be of another group.
        || (group.is_empty() && (written == own || kind.is_policy() || api_version == "v1"))
        || (kind.is_policy() && (group == "k8s.io" || group.ends_with(".k8s.io")))
        || (!own.is_empty() && strsim::osa_distance(group, own) <= 2)
}

fn group_of(kind: Kind) -> &'static str {
    kind.api_version()
        .split_once('/')
        .map_or("", |(group, _)| group)
}

fn misspelt(group: &str, name: &str) -> Option<Kind> {
    Kind::ALL
        .into_iter()
        .filter(|kind| group_of(*kind) == group)
        .map(|kind| {
            (
                distance(name, kind.name()).min(distance(&singular(name), kind.name())),
                kind,
            )
        })
        .filter(|(distance, kind)| *distance <= kind.name().len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, kind)| kind)
}

/// What a resource is called in the singular: `networkpolicies`, as kubectl lists it, is `networkpolicy`.
fn singular(name: &str) -> String {
    match name.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => name.strip_suffix('s').unwrap_or(name).to_owned(),
    }
}

/// The edits between two names; case does not count.
fn distance(left: &str, right: &str) -> usize {
    strsim::osa_distance(&left.to_lowercase(), &right.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_and_version_decide() {
        let known = Recognised::Known;
        let other = |kind: Kind| Recognised::OtherVersion(kind, kind.api_version());
        for (api_version, kind, expected) in [
            (
                "networking.k8s.io/v1",
                "NetworkPolicy",
                known(Kind::NetworkPolicy),
            ),
            ("v1", "Pod", known(Kind::Pod)),
            (
                "extensions/v1beta1",
                "NetworkPolicy",
                other(Kind::NetworkPolicy),
            ),
            (
                "networking.k8s.io/v1beta1",
                "NetworkPolicy",
                other(Kind::NetworkPolicy),
            ),
            (
                "networking.k8s.io",
                "NetworkPolicy",
                other(Kind::NetworkPolicy),
            ),
            (
                "network.k8s.io/v1",
                "NetworkPolicy",
                other(Kind::NetworkPolicy),
            ),
            ("v1", "NetworkPolicy", other(Kind::NetworkPolicy)),
            ("k8sV1", "NetworkPolicy", other(Kind::NetworkPolicy)),
            ("extensions/v1beta1", "Deployment", other(Kind::Deployment)),
            ("batch/v1beta1", "CronJob", other(Kind::CronJob)),
            (
                "policy.networking.k8s.io/v1alpha1",
                "ClusterNetworkPolicy",
                other(Kind::ClusterNetworkPolicy),
            ),
            (
                "policy.networking.k8s.io/v1alpha2",
                "AdminNetworkPolicy",
                other(Kind::AdminNetworkPolicy),
            ),
            (
                "projectcalico.org/v3",
                "NetworkPolicy",
                Recognised::UnsupportedPolicy("Calico"),
            ),
            (
                "crd.antrea.io/v1beta1",
                "ClusterNetworkPolicy",
                Recognised::UnsupportedPolicy("Antrea"),
            ),
            ("serving.knative.dev/v1", "Service", Recognised::Unknown),
            ("example.com/v1", "NetworkPolicy", Recognised::Unknown),
            ("v1", "ConfigMap", Recognised::Unknown),
            ("v1", "List", Recognised::List(None)),
            (
                "networking.k8s.io/v1",
                "NetworkPolicyList",
                Recognised::List(Some(Kind::NetworkPolicy)),
            ),
            (
                "networking.k8s.io/v1",
                "NetworkPolice",
                Recognised::Misspelt(Kind::NetworkPolicy),
            ),
            (
                "networking.k8s.io/v1",
                "Networkpolicy",
                Recognised::Misspelt(Kind::NetworkPolicy),
            ),
            (
                "networking.k8s.io/v1",
                "networkpolicies",
                Recognised::Misspelt(Kind::NetworkPolicy),
            ),
            ("v1", "Pods", Recognised::Misspelt(Kind::Pod)),
            ("v1", "Deployment", other(Kind::Deployment)),
            ("networking.k8s.io/v1", "Ingress", Recognised::Unknown),
            ("networking.k8s.io/v1", "IngressClass", Recognised::Unknown),
            ("v1", "Event", Recognised::Unknown),
            ("v1", "PodTemplate", Recognised::Unknown),
            ("v1", "Secret", Recognised::Unknown),
            ("", "", Recognised::Unknown),
        ] {
            assert_eq!(
                recognise(api_version, kind),
                expected,
                "{api_version} {kind}"
            );
        }
    }

    #[test]
    fn every_kind_recognises_itself() {
        for kind in Kind::ALL {
            assert_eq!(
                recognise(kind.api_version(), kind.name()),
                Recognised::Known(kind)
            );
        }
    }
}
