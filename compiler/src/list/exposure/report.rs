//! What `list --exposure --format json` adds.

use super::labels::Values;
use super::{Exposed, Exposure, NewPods, Scope};
use crate::cluster::{Cluster, NAMESPACE_NAME_LABEL};
use crate::hir::Direction;
use crate::list::report::{PeerReport, Ports, ports};
use crate::list::{Focus, Listing, PeerId};
use schemars::JsonSchema;
use serde::Serialize;

/// What `--exposure` adds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct NewPodsPart {
    /// With `--exposure`: what pods that do not exist yet may send to each peer, and be sent.
    pub exposure: Vec<ExposureReport>,
    /// With `--exposure`: the peers that no policy governs.
    pub unprotected: Unprotected,
}

/// What pods that do not exist yet may send to a peer, or be sent by it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ExposureReport {
    /// The workload or pod.
    pub peer: PeerReport,
    /// Whether this is what comes to it, or what leaves it.
    pub direction: DirectionReport,
    /// The pods. Where more than one entry means a pod, they say the same; where none does, nothing passes.
    pub pods: Vec<NewPodsReport>,
    /// Present and true where there are more kinds of pods than are told apart: of some of them everything is left
    /// open, in `depends`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub coarse: bool,
}

/// A way of packets, as seen from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DirectionReport {
    /// To the peer.
    Ingress,
    /// From the peer.
    Egress,
}

/// Pods that do not exist yet.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct NewPodsReport {
    /// What the labels of a new namespace must meet; absent where pods in new namespaces are not meant.
    #[serde(rename = "newNamespaces", skip_serializing_if = "Option::is_none")]
    pub new_namespaces: Option<Vec<RequirementReport>>,
    /// The namespaces of the cluster that are meant as well.
    pub namespaces: Vec<Box<str>>,
    /// What the labels of the pod must meet.
    pub labels: Vec<RequirementReport>,
    /// What is allowed.
    pub ports: Vec<Ports>,
    /// What is neither surely allowed nor surely denied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<Ports>,
}

/// A requirement on a label; all requirements of a list must be met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RequirementReport {
    /// The key.
    pub key: Box<str>,
    /// What must be true of it.
    pub operator: OperatorReport,
    /// The values of the operators that have some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Box<str>>,
}

/// What must be true of a label: the operators of Kubernetes, and one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum OperatorReport {
    /// It is there, with one of the values.
    In,
    /// It is not there, or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
    /// It is not there, or has one of the values.
    InOrDoesNotExist,
}

/// The peers that no policy governs, by direction.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Unprotected {
    /// Those to which anything may come, for all that their own policies say.
    pub ingress: Vec<PeerReport>,
    /// Those from which anything may leave.
    pub egress: Vec<PeerReport>,
}

impl NewPodsPart {
    /// The exposure of the peers that are looked at, in their order; those with which nothing passes are left out.
    #[must_use]
    pub fn of(listing: &Listing<'_>, exposure: &Exposure, focus: &Focus) -> Self {
        let sides = listing.peer_ids().flat_map(|id| {
            let directions = [Direction::Ingress, Direction::Egress].into_iter();
            directions.map(move |direction| (id, direction))
        });
        let sides = sides.filter(|(id, direction)| focus.wants_side(*id, *direction));
        Self {
            exposure: sides
                .filter_map(|(id, direction)| side(listing, exposure, id, direction))
                .collect(),
            unprotected: Unprotected {
                ingress: unprotected(listing, Direction::Ingress, focus),
                egress: unprotected(listing, Direction::Egress, focus),
            },
        }
    }
}

fn side(
    listing: &Listing<'_>,
    exposure: &Exposure,
    id: PeerId,
    direction: Direction,
) -> Option<ExposureReport> {
    let Exposed { entries, coarse } = exposure.of(listing, id, direction)?;
    let pods = entries.iter().map(|pods| new_pods(listing, pods));
    let report = ExposureReport {
        peer: listing.peer(id)?.into(),
        direction: direction.into(),
        pods: pods.collect(),
        coarse: *coarse,
    };
    Some(report).filter(|report| !report.pods.is_empty())
}

fn unprotected(listing: &Listing<'_>, direction: Direction, focus: &Focus) -> Vec<PeerReport> {
    let peers = listing.ungoverned(direction).into_iter();
    let peers = peers.filter(|id| focus.wants_side(*id, direction));
    let peers = peers.filter_map(|id| listing.peer(id));
    peers.map(Into::into).collect()
}

fn new_pods(listing: &Listing<'_>, pods: &NewPods) -> NewPodsReport {
    let answer = listing.answer(pods.answer);
    let cluster: &Cluster = listing.connections.cluster();
    let names = pods.existing.iter().map(|id| cluster.namespace_name(*id));
    NewPodsReport {
        new_namespaces: pods.new.then(|| requirements(pods, Scope::Namespace)),
        namespaces: names.map(Into::into).collect(),
        labels: requirements(pods, Scope::Pod),
        ports: ports(&answer.allow),
        depends: ports(&answer.depends),
    }
}

fn requirements(pods: &NewPods, scope: Scope) -> Vec<RequirementReport> {
    let conditions = pods.cell.labels(scope);
    let lists = conditions.map(|(key, values)| {
        let mut list = requirement(key, values);
        // Every namespace has its name.
        if scope == Scope::Namespace && key == NAMESPACE_NAME_LABEL {
            list.retain(|one| one.operator != OperatorReport::Exists);
        }
        list
    });
    lists.flatten().collect()
}

fn requirement(key: &str, values: &Values) -> Vec<RequirementReport> {
    let of = |operator| RequirementReport {
        key: key.into(),
        operator,
        values: match operator {
            OperatorReport::In | OperatorReport::NotIn | OperatorReport::InOrDoesNotExist => {
                values.listed.iter().cloned().collect()
            }
            OperatorReport::Exists | OperatorReport::DoesNotExist => Vec::new(),
        },
    };
    let exists = (!values.absent).then(|| of(OperatorReport::Exists));
    match (values.others, values.absent) {
        (false, false) => vec![of(OperatorReport::In)],
        (false, true) if values.listed.is_empty() => vec![of(OperatorReport::DoesNotExist)],
        (false, true) => vec![of(OperatorReport::InOrDoesNotExist)],
        (true, _) if values.listed.is_empty() => exists.into_iter().collect(),
        (true, _) => exists
            .into_iter()
            .chain([of(OperatorReport::NotIn)])
            .collect(),
    }
}

impl From<Direction> for DirectionReport {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Ingress => Self::Ingress,
            Direction::Egress => Self::Egress,
        }
    }
}
