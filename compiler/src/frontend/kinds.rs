//! The kinds that are read, told by API group and kind: a kind of another group is never taken for ours.

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

/// What an object's `apiVersion` and `kind` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// A kind that is read.
    Known(Kind),
    /// `List`, or a list of a known kind, whose items may leave out `apiVersion` and `kind`.
    List(Option<Kind>),
    /// A known kind in a version that is not read; what is read instead.
    OtherVersion(Kind, &'static str),
    /// A policy kind that changes verdicts and is not read; whose it is.
    UnsupportedPolicy(&'static str),
    /// Anything else.
    Unknown,
}
