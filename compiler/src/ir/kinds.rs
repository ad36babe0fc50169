//! What ends are to rules that ask for identities: the sets of labels that the ends of one snapshot may have, as
//! numbers.
//!
//! Input: a snapshot and the [identities](crate::identity) that it has under a policy set. Output: [`Kinds`], which
//! leads from an end, as an endpoint on some node sees it, to its kinds: one, or several where the snapshot leaves
//! open what the end is. Guarantee: these are the identities that [`crate::hir::spec::precedence`] asks about.

use super::{AddressClasses, ClassId, KindId, TableId, id};
use crate::cluster::{Cluster, NodeId, Pod, PodId};
use crate::hir::Enforcement;
use crate::hir::flow::{Address, EndpointKind, PodView};
use crate::hir::spec::precedence::matches::pods;
use crate::identity::{Entry, Identities, Identity, key};
use crate::query::pod_view;
use rustc_hash::{FxHashMap, FxHashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The kinds. See the module.
#[derive(Debug)]
pub(crate) struct Kinds {
    pub(crate) enforcement: Arc<Enforcement>,
    list: Vec<Identity>,
    ids: FxHashMap<Identity, KindId>,
    /// By [`ClassId`].
    classes: Vec<At>,
    /// By [`NodeId`], where no address is known: as its own endpoints see it, and as others do.
    nodes: Vec<[KindId; 2]>,
    unknown_node: [KindId; 2],
    /// What anything outside may be: in no family, in IPv4, in IPv6, and in either.
    anywhere: [Vec<KindId>; 4],
    /// By kind: whether it is the node of whoever asks.
    is_host: Vec<bool>,
    /// By kind: what governs it as a subject.
    pub(crate) table_of: Vec<TableId>,
    /// By [`PodId`]: what it is at each of its addresses or, where it has none, what it may be.
    pods: Vec<Vec<KindId>>,
}

/// What is known of a class of addresses.
#[derive(Clone, Copy, Debug)]
enum At {
    Outside(KindId),
    /// A node, as its own endpoints see it and as all others do.
    Node(NodeId, [KindId; 2]),
}

/// Where the endpoint runs that sees the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    /// On this node.
    Node(NodeId),
    /// On a node that is none of those that the other end may be.
    Elsewhere,
    /// That is not known.
    Unknown,
}

/// An address of which nothing is known.
const UNKNOWN: Address = Address::Unknown {
    v4: false,
    v6: false,
};

impl From {
    pub(crate) fn of(node: Option<NodeId>) -> Self {
        node.map_or(Self::Unknown, Self::Node)
    }

    /// What a node is: one of the two, or both where that is not known.
    fn sees(self, node: NodeId, [host, remote]: [KindId; 2]) -> Vec<KindId> {
        match self {
            Self::Node(own) if own == node => vec![host],
            Self::Node(_) | Self::Elsewhere => vec![remote],
            Self::Unknown => vec![host, remote],
        }
    }
}

impl Kinds {
    /// The kinds of all ends but pods, which [`Self::add_pod`] adds.
    pub(super) fn new(
        cluster: &Cluster,
        enforcement: &Arc<Enforcement>,
        addresses: &AddressClasses,
    ) -> Self {
        let mut kinds = Self {
            enforcement: Arc::clone(enforcement),
            list: Vec::new(),
            ids: FxHashMap::default(),
            classes: Vec::new(),
            nodes: Vec::new(),
            unknown_node: [KindId(0); 2],
            anywhere: [const { Vec::new() }; 4],
            is_host: Vec::new(),
            table_of: Vec::new(),
            pods: vec![Vec::new(); cluster.pods().len()],
        };
        let identities = &enforcement.identities;
        kinds.unknown_node = kinds.ends(identities.node(None, None, None));
        for node in (0..id(cluster.nodes().len())).map(NodeId) {
            let ends = kinds.ends(identities.node(Some(node), None, None));
            kinds.nodes.push(ends);
        }
        for first in addresses.firsts() {
            let at = match identities.entry(first) {
                Some(Entry::Node { id, host, remote }) => {
                    At::Node(*id, kinds.ends(vec![host, remote]))
                }
                Some(Entry::Outside(_)) | None => At::Outside(kinds.add(identities.outside(first))),
            };
            kinds.classes.push(at);
        }
        kinds.anywhere = [0, 1, 2, 3].map(|families| {
            let mut all: Vec<KindId> = Vec::new();
            let mut seen = FxHashSet::default();
            for identity in identities.anywhere(families & 1 != 0, families & 2 != 0) {
                let kind = kinds.add(identity);
                all.extend(seen.insert(kind).then_some(kind));
            }
            all
        });
        kinds
    }

    pub(super) fn add(&mut self, identity: &Identity) -> KindId {
        if let Some(known) = self.ids.get(identity) {
            return *known;
        }
        let new = KindId(id(self.list.len()));
        self.list.push(identity.clone());
        self.is_host.push(identity.labels.has_reserved(key::HOST));
        self.ids.insert(identity.clone(), new);
        new
    }

    /// What a pod is, whatever its address; what it is at its addresses is added too, where that differs.
    pub(super) fn add_pod(&mut self, cluster: &Cluster, pod: PodId, of: &Pod) -> KindId {
        let view = pod_view(cluster, pod, of);
        let enforcement = Arc::clone(&self.enforcement);
        let anywhere = self.add(&enforcement.identities.pod(view.into(), None));
        let mut own = vec![anywhere];
        if self.sees_addresses_of_pods() {
            let addresses = of.addresses.iter().map(IpAddr::to_canonical);
            let mut places: Vec<Address> = addresses.map(Address::Known).collect();
            if places.is_empty() {
                places.push(Address::Unknown { v4: true, v6: true });
            }
            let at = places.into_iter();
            let at = at.flat_map(|place| pods(&enforcement, &view, place));
            own = at.map(|identity| self.add(&identity)).collect();
        }
        if let Some(slot) = self.pods.get_mut(pod.index()) {
            *slot = own;
        }
        anywhere
    }

    /// What governs a pod at each of its addresses, in their order, or what may; once each.
    pub(super) fn tables_of_pod(&self, pod: PodId) -> Vec<TableId> {
        let own = self.pods.get(pod.index());
        self.tables(own.into_iter().flatten().copied())
    }

    /// What governs a node at each of its addresses, in their order; once each.
    pub(super) fn tables_of_host(&self, cluster: &Cluster, node: NodeId) -> Vec<TableId> {
        let of = cluster.nodes().get(node.index());
        let addresses = of.map_or(&[][..], |node| &node.addresses).iter();
        let known = addresses.map(|address| Address::Known(address.to_canonical()));
        let mut places: Vec<Address> = known.collect();
        if places.is_empty() {
            places.push(UNKNOWN);
        }
        let hosts = places.into_iter();
        let hosts = hosts.map(|address| self.host(Some(node), address));
        self.tables(hosts.filter_map(|host| self.of(&host)))
    }

    fn tables(&self, kinds: impl Iterator<Item = KindId>) -> Vec<TableId> {
        let mut tables: Vec<TableId> = Vec::new();
        for table in kinds.filter_map(|kind| self.table_of.get(kind.index())) {
            if !tables.contains(table) {
                tables.push(*table);
            }
        }
        tables
    }

    /// Both ways of seeing a node, as [`Identities::node`] gives them.
    fn ends(&mut self, ends: Vec<&Identity>) -> [KindId; 2] {
        let ids: Vec<KindId> = ends
            .into_iter()
            .map(|identity| self.add(identity))
            .collect();
        let first = ids.first().copied().unwrap_or(KindId(0));
        [first, ids.get(1).copied().unwrap_or(first)]
    }

    /// The kinds, by [`KindId`].
    pub(crate) fn list(&self) -> &[Identity] {
        &self.list
    }

    /// What an identity is known as.
    pub(crate) fn of(&self, identity: &Identity) -> Option<KindId> {
        self.ids.get(identity).copied()
    }

    /// Whether it is the node of whoever asks.
    pub(crate) fn is_host(&self, kind: KindId) -> bool {
        self.is_host.get(kind.index()).copied().unwrap_or_default()
    }

    /// Whether what a pod is depends on its address.
    pub(crate) fn sees_addresses_of_pods(&self) -> bool {
        self.identities().options().blocks_match_pods
    }

    fn identities(&self) -> &Identities {
        &self.enforcement.identities
    }

    /// Everything that a pod may be, by what is known of its address.
    pub(crate) fn pods(&self, pod: &PodView<'_>, address: Address) -> Vec<Identity> {
        pods(&self.enforcement, pod, address)
    }

    /// What a pod is whatever its address, without labels of blocks.
    pub(super) fn without_address(&self, pod: &PodView<'_>) -> Identity {
        self.identities().pod((*pod).into(), None)
    }

    /// What a node is to itself, at an address.
    pub(crate) fn host(&self, node: Option<NodeId>, address: Address) -> Identity {
        let address = match address {
            Address::Known(address) => Some(address),
            Address::Unknown { .. } => None,
        };
        let host = self.identities().node(node, address, node);
        host.first().copied().cloned().unwrap_or_default()
    }

    /// Which node one is by its address, if that is known.
    pub(crate) fn node_at(&self, node: Option<NodeId>, class: Option<ClassId>) -> Option<NodeId> {
        match class.and_then(|class| self.classes.get(class.index())) {
            Some(At::Node(at, _)) => Some(*at),
            Some(At::Outside(_)) | None => node,
        }
    }

    /// What an end is that is no pod, at an address of a class.
    pub(crate) fn others(
        &self,
        end: &EndpointKind<'_>,
        address: Address,
        class: Option<ClassId>,
        from: From,
    ) -> Vec<KindId> {
        let at = class.and_then(|class| self.classes.get(class.index()));
        match (end, at) {
            (EndpointKind::Node(_), Some(At::Node(node, ends))) => from.sees(*node, *ends),
            (EndpointKind::Node(view), Some(At::Outside(_)) | None) => {
                let known = view
                    .id
                    .and_then(|id| Some((id, self.nodes.get(id.index())?)));
                match known {
                    Some((id, ends)) => from.sees(id, *ends),
                    None => self.unknown_node.into(),
                }
            }
            (_, Some(At::Outside(kind) | At::Node(_, [_, kind]))) => vec![*kind],
            (_, None) => {
                let (v4, v6) = match address {
                    Address::Known(address) => (address.is_ipv4(), address.is_ipv6()),
                    Address::Unknown { v4, v6 } => (v4, v6),
                };
                let all = self.anywhere.get(usize::from(v4) + 2 * usize::from(v6));
                all.cloned().unwrap_or_default()
            }
        }
    }
}
