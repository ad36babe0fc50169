//! Everything that a node has.

use super::entry::Entry;
use super::numbers::{Known, Numbers, addresses};
use super::order::LevelsError;
use super::rows::{Owner, Rows};
use crate::cluster::{Cluster, NamedPort, NodeId, PodId};
use crate::hir::{Direction, Enforcement, PolicySet};
use crate::identity::{Identity, View};
use crate::query::pod_view;
use crate::source::to_u32;
use ipnet::IpNet;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The maps of a node.
#[derive(Clone, Debug)]
pub struct NodeMaps {
    /// The endpoints, by their number.
    pub endpoints: Vec<Endpoint>,
    /// Everything that an address can be.
    pub identities: Known,
    /// What every block of addresses is.
    pub ipcache: BTreeMap<IpNet, Address>,
    /// Whether the datapath looks for aggregates: that of 1.19 does not.
    pub has_aggregates: bool,
}

/// An endpoint with its policy map.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its number, which is ours.
    pub id: u16,
    /// The namespace and the name of its pod; `None` for the node itself.
    pub pod: Option<(String, String)>,
    /// Its identity.
    pub identity: u32,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its entries, by direction, identity and block.
    pub entries: Arc<Vec<Entry>>,
}

/// What a block of addresses is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its identity.
    pub identity: u32,
    /// The node to which packets go in a tunnel; `None` for what is on this node or no pod.
    pub tunnel: Option<IpAddr>,
}

/// Why a node has no maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapsError {
    /// The rules of an endpoint.
    Levels {
        /// Its pod.
        pod: String,
        /// What is wrong.
        error: LevelsError,
    },
    /// There are more endpoints than numbers for them.
    Endpoints(usize),
}

impl std::fmt::Display for MapsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Levels { pod, error } => write!(f, "`{pod}`: {error}"),
            Self::Endpoints(count) => write!(
                f,
                "{count} endpoints are more than the {} that Cilium has numbers for",
                u16::MAX
            ),
        }
    }
}

/// An endpoint before it has entries.
struct Draft<'c> {
    id: u16,
    pod: Option<(String, String)>,
    identity: Identity,
    ports: &'c [NamedPort],
    addresses: Vec<IpAddr>,
}

impl NodeMaps {
    /// The maps of a node; where it is `None`, of the pods whose node is not known.
    ///
    /// # Errors
    /// Where Cilium could not have them.
    pub fn new(
        cluster: &Cluster,
        policies: &PolicySet,
        enforcement: &Enforcement,
        node: Option<NodeId>,
    ) -> Result<Self, MapsError> {
        let addresses = addresses(cluster, enforcement, node);
        let numbers = Numbers::new(cluster, enforcement, &addresses);
        let rows = Rows::new(policies, enforcement, &numbers.known);
        let drafts = drafts(cluster, enforcement, node)?;
        // Endpoints to which all rules are alike have one map.
        let mut groups = BTreeMap::new();
        for draft in &drafts {
            groups.entry(rows.alike(draft.owner())).or_insert(draft);
        }
        let groups: Vec<_> = groups.into_iter().collect();
        let made = groups.into_par_iter().map(|(alike, draft)| {
            let both = [Direction::Ingress, Direction::Egress];
            let entries = both.map(|direction| rows.of(draft.owner(), direction));
            let [ingress, egress] = entries;
            let entries = ingress.and_then(|ingress| Ok((ingress, egress?)));
            let entries = entries.map_err(|error| MapsError::Levels {
                pod: draft.name(),
                error,
            })?;
            let (mut all, egress) = entries;
            all.extend(egress);
            Ok((alike, Arc::new(all)))
        });
        let made: BTreeMap<_, Arc<Vec<Entry>>> = made.collect::<Result<_, MapsError>>()?;
        let endpoints = drafts.into_iter().map(|draft| Endpoint {
            entries: made
                .get(&rows.alike(draft.owner()))
                .cloned()
                .unwrap_or_default(),
            identity: numbers.of(&draft.identity),
            id: draft.id,
            pod: draft.pod,
            addresses: draft.addresses,
        });
        let endpoints = endpoints.collect();
        let tunnels = tunnels(cluster, node);
        let ipcache = addresses.iter().map(|(block, identity)| {
            let address = Address {
                identity: numbers.of(identity),
                tunnel: tunnels.get(block).copied(),
            };
            (*block, address)
        });
        Ok(Self {
            endpoints,
            ipcache: ipcache.collect(),
            has_aggregates: enforcement.identities.options().aggregates,
            identities: numbers.known,
        })
    }

    /// How many entries all its policy maps have.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.endpoints
            .iter()
            .map(|endpoint| endpoint.entries.len())
            .sum()
    }
}

impl Draft<'_> {
    fn owner(&self) -> Owner<'_> {
        Owner {
            identity: &self.identity,
            ports: self.ports,
        }
    }

    fn name(&self) -> String {
        self.pod.as_ref().map_or_else(
            || "the node itself".to_owned(),
            |(namespace, name)| format!("{namespace}/{name}"),
        )
    }
}

/// The pods that the node has, and the node itself where policies govern it.
fn drafts<'c>(
    cluster: &'c Cluster,
    enforcement: &Enforcement,
    node: Option<NodeId>,
) -> Result<Vec<Draft<'c>>, MapsError> {
    let identities = &enforcement.identities;
    let pods = cluster.pods().iter().enumerate();
    let pods = pods.filter(|(_, pod)| pod.node == node && !pod.host_network && !pod.finished);
    let mut drafts: Vec<Draft<'_>> = pods
        .map(|(index, pod)| {
            let view: View<'_> = pod_view(cluster, PodId(to_u32(index)), pod).into();
            let addresses: Vec<IpAddr> =
                pod.addresses.iter().map(|one| one.to_canonical()).collect();
            Draft {
                id: 0,
                pod: Some((
                    cluster.namespace_name(pod.namespace).to_owned(),
                    pod.name.to_string(),
                )),
                identity: identities.pod(view, addresses.first().copied()),
                ports: cluster.ports(pod.ports),
                addresses,
            }
        })
        .collect();
    drafts.sort_by(|one, other| one.pod.cmp(&other.pod));
    if let Some(id) = node.filter(|_| enforcement.governs_nodes) {
        let hosts = identities.node(Some(id), None, Some(id));
        drafts.extend(hosts.first().map(|host| {
            Draft {
                id: 0,
                pod: None,
                identity: (*host).clone(),
                ports: &[],
                addresses: cluster
                    .node(id)
                    .map_or(Vec::new(), |node| node.addresses.clone()),
            }
        }));
    }
    let count = drafts.len();
    for (draft, id) in drafts.iter_mut().zip(1..=u16::MAX) {
        draft.id = id;
    }
    if count > u16::MAX.into() {
        return Err(MapsError::Endpoints(count));
    }
    Ok(drafts)
}

/// Where packets to the pods of other nodes go.
fn tunnels(cluster: &Cluster, from: Option<NodeId>) -> BTreeMap<IpNet, IpAddr> {
    let mut tunnels = BTreeMap::new();
    for pod in cluster.pods() {
        let Some(id) = pod.node.filter(|id| Some(*id) != from) else {
            continue;
        };
        let node = cluster.node(id).map_or(&[][..], |node| &node.addresses);
        let v4 = node.iter().find(|address| address.is_ipv4());
        let Some(end) = v4.or(node.first()) else {
            continue;
        };
        for address in &pod.addresses {
            tunnels.insert(IpNet::from(address.to_canonical()), *end);
        }
    }
    tunnels
}
