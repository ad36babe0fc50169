//! Classes of ends: pods that no rule tells apart, whichever side of a flow they stand on.
//!
//! Guarantee: two pods of one class have the same answer towards every other pod, node and address, but for
//! the rule that a pod and its own node are never kept apart, for which the node is asked beside the class.

use super::side::NamedPorts;
use crate::cluster::{Cluster, NodeId, PodId, PortsId};
use crate::hir::PerDirection;
use crate::hir::flow::{Address, Endpoint, EndpointKind};
use crate::ir::{BlockFamilies, Chain, IdentityId, Program, RuleRange, Step};
use crate::query::{self, Families, Family, Who};
use crate::source::to_u32;
use rustc_hash::FxHashMap;

/// The index of a class of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndId(pub(super) u32);

/// The index of a chain among those that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ChainId(u32);

/// A class of ends.
#[derive(Debug)]
pub(super) struct End {
    /// One of its pods.
    pub(super) sample: PodId,
    /// The families of its addresses.
    pub(super) families: Families,
    pub(super) kind: EndKind,
}

/// What the pods of a class have in common.
#[derive(Clone, Copy, Debug)]
pub(super) enum EndKind {
    /// A network of their own.
    Pod {
        /// What governs them.
        chains: PerDirection<ChainId>,
        /// Whether they use the network of a node, and are taken for pods nevertheless.
        host: bool,
        /// Their named ports; those of the sample, where no rule asks for a port by name.
        ports: PortsId,
        /// Whether it is known on which node they are, or nobody asks.
        placed: bool,
    },
    /// They are taken for this node.
    Node(Option<NodeId>),
}

/// All classes, and the class of each pod.
#[derive(Debug)]
pub(super) struct Ends<'a> {
    pub(super) list: Vec<End>,
    /// By [`PodId`].
    pub(super) of_pod: Vec<EndId>,
    /// The classes of each group of identities.
    of_group: Vec<Vec<EndId>>,
    /// By [`IdentityId`].
    group_of: Vec<u32>,
    pub(super) chains: Vec<&'a Chain>,
}

/// What tells classes apart.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Pod(u32, PerFamily, bool),
    Node(Option<NodeId>, PerFamily),
}

/// The address in each family as rules see it; `None` where there is none.
type PerFamily = [Option<Seen>; 2];

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Seen {
    /// No rule looks at addresses.
    Unseen,
    Unknown,
    Class(u32),
}

impl<'a> Ends<'a> {
    pub(super) fn new(cluster: &Cluster, program: &'a Program, families: Families) -> Self {
        let mut chains = Chains::default();
        let of_table: Vec<PerDirection<ChainId>> = program
            .tables
            .iter()
            .map(|table| PerDirection {
                ingress: chains.id(&table.chains.ingress),
                egress: chains.id(&table.chains.egress),
            })
            .collect();
        let chains_of = |identity: IdentityId| {
            let table = program.table_of.get(identity.index())?;
            of_table.get(table.index()).copied()
        };
        let groups = groups(program, chains_of);
        let mut ends = Self {
            list: Vec::new(),
            of_pod: Vec::with_capacity(cluster.pods().len()),
            of_group: vec![Vec::new(); groups.count],
            group_of: groups.of,
            chains: chains.list,
        };
        // Rules that govern no pod yet count as well: a pod that does not exist may be governed by them.
        let sees = match &program.kinds {
            Some(kinds) => kinds.sees_addresses_of_pods(),
            None => program
                .peers
                .iter()
                .any(|peers| peers.domains || peers.block_families != BlockFamilies::default()),
        };
        let mut known: FxHashMap<Key, EndId> = FxHashMap::default();
        for (pod, id) in cluster.pods().iter().zip((0..).map(PodId)) {
            let own = query::families_of(cluster, families, Who::Pod(id));
            let identity = program.identity_of(id);
            let seen = [Family::V4, Family::V6]
                .map(|family| seen(program, cluster, id, family, own, sees));
            let placed = program.kinds.is_none() || pod.node.is_some();
            let group = identity.and_then(|identity| ends.group_of.get(identity.index()).copied());
            let key = match group {
                Some(group) => Key::Pod(group, seen, placed),
                None => Key::Node(pod.node, seen),
            };
            let next = EndId(to_u32(ends.list.len()));
            let end = *known.entry(key).or_insert(next);
            if end == next {
                let kind = match identity.and_then(chains_of) {
                    Some(chains) => EndKind::Pod {
                        chains,
                        host: pod.host_network,
                        ports: pod.ports,
                        placed,
                    },
                    None => EndKind::Node(pod.node),
                };
                ends.list.push(End {
                    sample: id,
                    families: own,
                    kind,
                });
                if let Some(list) = group.and_then(|group| ends.of_group.get_mut(group as usize)) {
                    list.push(end);
                }
            }
            ends.of_pod.push(end);
        }
        ends
    }

    pub(super) fn get(&self, id: EndId) -> Option<&End> {
        self.list.get(id.0 as usize)
    }

    pub(super) fn chain(&self, id: ChainId) -> Option<&'a Chain> {
        self.chains.get(id.0 as usize).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (EndId, &End)> {
        (0..).map(EndId).zip(&self.list)
    }

    /// The classes of some identities, of which either all or none of a group are among them.
    pub(super) fn of_identities(&self, identities: &[u32]) -> Vec<EndId> {
        let mut groups: Vec<u32> = identities
            .iter()
            .filter_map(|identity| self.group_of.get(*identity as usize).copied())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let ends = groups
            .iter()
            .filter_map(|group| self.of_group.get(*group as usize));
        ends.flatten().copied().collect()
    }
}

impl End {
    /// An endpoint that stands for the class, in a family.
    pub(super) fn endpoint<'c>(&self, cluster: &'c Cluster, family: Family) -> Endpoint<'c> {
        query::endpoint(cluster, Who::Pod(self.sample), family)
    }

    /// Its named ports, as the destination of a flow.
    pub(super) fn named<'c>(&self, cluster: &'c Cluster, program: &Program) -> NamedPorts<'c> {
        match self.kind {
            EndKind::Pod {
                ports, host: true, ..
            } => NamedPorts::Host(cluster.ports(ports)),
            EndKind::Pod { ports, .. } => NamedPorts::of(program, cluster.ports(ports)),
            EndKind::Node(_) => NamedPorts::None,
        }
    }
}

/// The address of a pod as the rules of a program see it.
fn seen(
    program: &Program,
    cluster: &Cluster,
    pod: PodId,
    family: Family,
    own: Families,
    sees: bool,
) -> Option<Seen> {
    let end = query::endpoint(cluster, Who::Pod(pod), family);
    if !own.iter().any(|one| one == family) {
        return None;
    }
    let is_node = matches!(end.kind, EndpointKind::Node(_));
    Some(match end.address {
        _ if !sees && !is_node => Seen::Unseen,
        Address::Known(address) => Seen::Class(program.addresses.class(address).0),
        Address::Unknown { .. } => Seen::Unknown,
    })
}

/// The distinct chains.
#[derive(Default)]
struct Chains<'a> {
    list: Vec<&'a Chain>,
    ids: FxHashMap<ChainKey<'a>, ChainId>,
}

/// What a chain says: the tiers that come first, whether it isolates and whether from the own node, the rules of the
/// namespace, the last tier.
type ChainKey<'a> = (&'a [Step], [bool; 2], &'a [RuleRange], &'a [Step]);

impl<'a> Chains<'a> {
    fn id(&mut self, chain: &'a Chain) -> ChainId {
        let isolated = [chain.is_isolated, chain.allows_own_node];
        let key = (&*chain.first, isolated, &*chain.namespace, &*chain.baseline);
        let list = &mut self.list;
        *self.ids.entry(key).or_insert_with(|| {
            list.push(chain);
            ChainId(to_u32(list.len() - 1))
        })
    }
}

/// A partition of the identities.
struct Groups {
    /// By [`IdentityId`].
    of: Vec<u32>,
    count: usize,
}

/// The coarsest partition in which identities of one group have the same chains, are selected by the same
/// lists of peers and, where a rule asks for ports by name, name the same ports.
fn groups(
    program: &Program,
    chains_of: impl Fn(IdentityId) -> Option<PerDirection<ChainId>>,
) -> Groups {
    let names = program.ports.iter().any(|ports| !ports.named.is_empty());
    let mut known = FxHashMap::default();
    let mut of = Vec::with_capacity(program.identities.len());
    let mut sizes: Vec<u32> = Vec::new();
    for (identity, id) in program.identities.iter().zip((0..).map(IdentityId)) {
        let chains = chains_of(id).map(|chains| (chains.ingress, chains.egress));
        let key = (chains, names.then_some(identity.ports));
        let group = *known.entry(key).or_insert(to_u32(sizes.len()));
        match sizes.get_mut(group as usize) {
            Some(size) => *size += 1,
            None => sizes.push(1),
        }
        of.push(group);
    }
    let mut of_kind: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
    for (identity, index) in program.identities.iter().zip(0..) {
        of_kind.entry(identity.kind.0).or_default().push(index);
    }
    for peers in &program.peers {
        split(&mut of, &mut sizes, &peers.pods.to_vec());
        let kinds = peers.kinds.to_vec().into_iter();
        let of_kinds = kinds.filter_map(|kind| of_kind.get(&kind));
        let members: Vec<u32> = of_kinds.flatten().copied().collect();
        split(&mut of, &mut sizes, &members);
    }
    let count = sizes.len();
    Groups { of, count }
}

/// Takes the members of a set out of every group of which it has only some.
fn split(of: &mut [u32], sizes: &mut Vec<u32>, members: &[u32]) {
    let mut here: FxHashMap<u32, u32> = FxHashMap::default();
    for group in members.iter().filter_map(|member| of.get(*member as usize)) {
        *here.entry(*group).or_default() += 1;
    }
    here.retain(|group, count| {
        sizes
            .get(*group as usize)
            .is_some_and(|size| *count < *size)
    });
    let mut fresh: FxHashMap<u32, u32> = FxHashMap::default();
    for member in members {
        let Some(group) = of.get_mut(*member as usize) else {
            continue;
        };
        let Some(count) = here.get(group) else {
            continue;
        };
        let new = *fresh.entry(*group).or_insert_with(|| {
            if let Some(size) = sizes.get_mut(*group as usize) {
                *size -= count;
            }
            sizes.push(*count);
            to_u32(sizes.len() - 1)
        });
        *group = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_split_where_a_set_has_a_part_of_it() {
        let (mut of, mut sizes) = (vec![0, 0, 0, 1, 1], vec![3, 2]);
        split(&mut of, &mut sizes, &[0, 1, 2]);
        assert_eq!(of, [0, 0, 0, 1, 1]);
        split(&mut of, &mut sizes, &[1, 2, 3, 4]);
        assert_eq!((of, sizes), (vec![0, 2, 2, 1, 1], vec![1, 2, 2]));
    }
}
