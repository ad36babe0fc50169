//! Whose connections are wanted.
//!
//! Input: peers as people write them, and a [`Listing`]. Output: [`Focus`], with what there is to say about the
//! question. Refused: peers that a list does not have, such as nodes and pods that do not exist.

use super::{Directory, Listing, Party, PeerId};
use crate::cluster::peer::{self, PeerSpec, PortSpec, Resolved};
use crate::cluster::{Cluster, NodeId, Owner, PodId, ServiceId, WorkloadId};
use crate::diagnostic::{Diagnostic, codes};
use crate::hir::Direction;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whose connections are wanted, and which way they go as seen from them.
#[derive(Clone, Debug)]
pub struct Focus {
    /// `None`: everyone's.
    on: Option<On>,
    ingress: bool,
    egress: bool,
}

/// Those that are looked at.
#[derive(Clone, Debug, Default)]
struct On {
    peers: BTreeSet<PeerId>,
    /// Runs of addresses outside, both bounds included.
    addresses: Vec<(IpAddr, IpAddr)>,
}

/// Every address of the world.
const WORLD: [(IpAddr, IpAddr); 2] = [
    (
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V4(Ipv4Addr::BROADCAST),
    ),
    (
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)),
    ),
];

impl Focus {
    /// All connections.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            on: None,
            ingress: true,
            egress: true,
        }
    }

    /// The connections of some peers, given as text; with a direction, only those that come to them or only
    /// those that leave them. Beside them notes on how the text was understood.
    ///
    /// # Errors
    /// What is wrong with each of the texts that name nobody.
    pub fn of(
        listing: &Listing<'_>,
        texts: &[String],
        direction: Option<Direction>,
    ) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let cluster = listing.cluster();
        let (mut on, mut notes, mut problems) = (On::default(), Vec::new(), Vec::new());
        for text in texts {
            let resolved = PeerSpec::parse(text).and_then(|spec| peer::resolve(cluster, &spec));
            let found = resolved.and_then(|resolved| {
                notes.extend(resolved.iter().filter_map(|one| peer::note(cluster, one)));
                on.add(listing, text, &resolved)
            });
            problems.extend(found.err().map(|problem| *problem));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let focus = Self {
            on: Some(on),
            ..Self::nobody(direction)
        };
        Ok((focus, notes))
    }

    /// No connection, until someone is [added](Self::add).
    pub(crate) fn nobody(direction: Option<Direction>) -> Self {
        Self {
            on: Some(On::default()),
            ingress: direction != Some(Direction::Egress),
            egress: direction != Some(Direction::Ingress),
        }
    }

    /// Looks also at those of another focus.
    pub(crate) fn add(&mut self, other: &Self) {
        match (&mut self.on, &other.on) {
            (Some(on), Some(more)) => {
                on.peers.extend(&more.peers);
                on.addresses.extend(&more.addresses);
            }
            (on, None) => *on = None,
            (None, Some(_)) => {}
        }
    }

    /// The same where peers have other ids.
    pub(crate) fn renamed(&self, id: impl Fn(PeerId) -> Option<PeerId>) -> Self {
        let on = self.on.as_ref().map(|on| On {
            peers: on.peers.iter().filter_map(|peer| id(*peer)).collect(),
            addresses: on.addresses.clone(),
        });
        Self {
            on,
            ingress: self.ingress,
            egress: self.egress,
        }
    }

    /// Whether connections to those that are looked at are wanted.
    #[must_use]
    pub fn ingress(&self) -> bool {
        self.ingress
    }

    /// Whether connections from those that are looked at are wanted.
    #[must_use]
    pub fn egress(&self) -> bool {
        self.egress
    }

    /// Whether a workload or a pod is looked at.
    #[must_use]
    pub fn has_peer(&self, peer: PeerId) -> bool {
        let on = self.on.as_ref();
        on.is_none_or(|on| on.peers.contains(&peer))
    }

    /// Whether the connections of a peer are wanted, as it sees their direction.
    #[must_use]
    pub fn wants_side(&self, peer: PeerId, direction: Direction) -> bool {
        let way = match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        };
        way && self.has_peer(peer)
    }

    /// Whether one of some addresses outside is looked at.
    #[must_use]
    pub fn has_addresses(&self, addresses: &[(IpAddr, IpAddr)]) -> bool {
        let Some(on) = &self.on else {
            return true;
        };
        let mut pairs = on
            .addresses
            .iter()
            .flat_map(|own| addresses.iter().map(move |run| (own, run)));
        pairs.any(|(own, run)| {
            own.0.is_ipv4() == run.0.is_ipv4() && own.0 <= run.1 && run.0 <= own.1
        })
    }

    /// Whether a connection is wanted.
    #[must_use]
    pub fn wants(&self, directory: &Directory, src: Party, dst: Party) -> bool {
        let has = |party| match party {
            Party::Peer(peer) => self.has_peer(peer),
            Party::Outside(ranges) => self.has_addresses(directory.addresses(ranges)),
        };
        self.ingress && has(dst) || self.egress && has(src)
    }
}

impl On {
    /// Adds what a text stands for.
    fn add(
        &mut self,
        listing: &Listing<'_>,
        text: &str,
        resolved: &[Resolved],
    ) -> Result<(), Box<Diagnostic>> {
        let cluster = listing.cluster();
        let mut pods: Vec<PodId> = Vec::new();
        let mut nodes: Vec<NodeId> = Vec::new();
        for one in resolved {
            match one {
                Resolved::Pod(pod) => pods.push(*pod),
                Resolved::Address(address) => match cluster.owner(*address) {
                    Some(Owner::Pod(pod)) => pods.push(pod),
                    Some(Owner::Node(node)) => nodes.push(node),
                    None => self.addresses.push((*address, *address)),
                },
                Resolved::World => self.addresses.extend(WORLD),
                Resolved::Fqdn { name, addresses } => {
                    if addresses.is_empty() {
                        return Err(Box::new(unseen(name)));
                    }
                    for address in addresses {
                        match cluster.owner(*address) {
                            Some(Owner::Pod(pod)) => pods.push(pod),
                            Some(Owner::Node(node)) => nodes.push(node),
                            None => self.addresses.push((*address, *address)),
                        }
                    }
                }
                Resolved::Service { service, .. } => {
                    pods.extend(backends(cluster, *service));
                    if pods.is_empty() {
                        return Err(Box::new(no_backend(text)));
                    }
                }
                Resolved::Node(node) => nodes.push(*node),
                Resolved::Hypothetical { .. } => return Err(Box::new(hypothetical(text))),
            }
        }
        let peers = listing.peers_of(&pods);
        if !pods.is_empty() && peers.is_empty() {
            return Err(Box::new(finished(text)));
        }
        self.peers.extend(peers);
        for id in nodes {
            let peer = listing.peer_of_node(id);
            self.peers.insert(peer.ok_or_else(|| Box::new(node(text)))?);
        }
        Ok(())
    }
}

/// The pods behind a service.
fn backends(cluster: &Cluster, service: ServiceId) -> Vec<PodId> {
    let backends = peer::backends(cluster, service, &PortSpec::Any);
    let pods = backends.into_iter().filter_map(|backend| match backend.to {
        Resolved::Pod(pod) => Some(pod),
        Resolved::Address(address) => match cluster.owner(address) {
            Some(Owner::Pod(pod)) => Some(pod),
            Some(Owner::Node(_)) | None => None,
        },
        Resolved::Node(_)
        | Resolved::Hypothetical { .. }
        | Resolved::Fqdn { .. }
        | Resolved::Service { .. }
        | Resolved::World => None,
    });
    pods.collect()
}

impl Listing<'_> {
    /// The peers to which some pods belong: for a finished pod of a workload, the workload; nobody for one that
    /// has finished and has no owner.
    #[must_use]
    pub fn peers_of(&self, pods: &[PodId]) -> BTreeSet<PeerId> {
        let cluster = self.cluster();
        let owner = |pod: &PodId| cluster.pod(*pod).and_then(|pod| pod.workload);
        let owners: BTreeSet<WorkloadId> = pods.iter().filter_map(owner).collect();
        let pods: BTreeSet<PodId> = pods.iter().copied().collect();
        let is_meant = |id: &PeerId| {
            let Some(peer) = self.peer(*id) else {
                return false;
            };
            let of_workload = peer.workload.as_ref().and(peer.pods.first());
            peer.pods.iter().any(|pod| pods.contains(pod))
                || of_workload
                    .and_then(owner)
                    .is_some_and(|owner| owners.contains(&owner))
        };
        self.peer_ids().filter(is_meant).collect()
    }
}

impl Listing<'_> {
    /// The peer that is a node; none where policies do not govern nodes.
    fn peer_of_node(&self, node: NodeId) -> Option<PeerId> {
        let is_meant = |id: &PeerId| {
            let peer = self.peer(*id);
            peer.is_some_and(|peer| peer.node == Some(node))
        };
        self.peer_ids().find(is_meant)
    }
}

fn not_listed(message: String, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new(&codes::NOT_LISTED, message).help(help)
}

fn node(text: &str) -> Diagnostic {
    not_listed(
        format!(
            "`{text}` is a node, and a list has workloads, pods and the outside where no policy governs nodes"
        ),
        "name a pod on its network, or ask with `verdict explain`",
    )
}

fn hypothetical(text: &str) -> Diagnostic {
    not_listed(
        format!("`{text}` is a pod that does not exist, and a list has those that do"),
        "name a workload or a pod, or ask with `verdict explain`",
    )
}

fn unseen(name: &str) -> Diagnostic {
    not_listed(
        format!("no address of `{name}` is known"),
        "add a DnsSnapshot with the name, or give an address",
    )
}

fn no_backend(text: &str) -> Diagnostic {
    not_listed(
        format!("`{text}` leads to no pod of the inputs"),
        "name a workload or a pod, or add the pods and EndpointSlices of the cluster",
    )
}

fn finished(text: &str) -> Diagnostic {
    not_listed(
        format!("`{text}` has finished, and no connection begins or ends there"),
        "name a pod that is running",
    )
}
