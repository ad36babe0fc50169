//! Classes of ends: pods that no rule tells apart, whichever side of a flow they stand on.
//!
//! Guarantee: two pods of one class have the same answer towards every other pod, node and address, but for
//! the rule that a pod and its own node are never kept apart, for which the node is asked beside the class.

use super::side::NamedPorts;
use crate::cluster::{Cluster, NodeId, Owner, Pod, PodId, PortsId};
use crate::hir::flow::{Address, Endpoint, EndpointKind};
use crate::hir::{Direction, PerDirection};
use crate::ir::{BlockFamilies, Chain, KindId, Program, RuleRange, Step, TableId};
use crate::query::{self, Families, Family, Who};
use crate::source::to_u32;
use rustc_hash::{FxHashMap, FxHashSet};

/// The index of a class of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndId(pub(super) u32);

/// The index of a list of chains among those that differ: of one, but where it is open which of several governs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ChainId(u32);

/// A class of ends.
#[derive(Debug)]
pub(super) struct End {
    /// One of its pods, or the node.
    pub(super) sample: Who<'static>,
    /// The families of its addresses.
    pub(super) families: Families,
    pub(super) kind: EndKind,
}

/// What governs an end, in IPv4 and in IPv6: what it is to rules may depend on its address.
pub(super) type Chained = [PerDirection<ChainId>; 2];

/// What the pods of a class have in common.
#[derive(Clone, Copy, Debug)]
pub(super) enum EndKind {
    /// A network of their own.
    Pod {
        /// What governs them.
        chains: Chained,
        /// Whether they use the network of a node, and are taken for pods nevertheless.
        host: bool,
        /// Their named ports; those of the sample, where no rule asks for a port by name.
        ports: PortsId,
        /// Whether it is known on which node they are, or nobody asks.
        placed: bool,
    },
    /// They are this node, or are taken for it.
    Node {
        node: Option<NodeId>,
        /// What governs it, where policies govern nodes.
        chains: Option<Chained>,
    },
}

/// All classes, and the class of each pod.
#[derive(Debug)]
pub(super) struct Ends<'a> {
    pub(super) list: Vec<End>,
    /// By [`PodId`].
    pub(super) of_pod: Vec<EndId>,
    /// By [`NodeId`], where nodes are listed.
    pub(super) of_node: Vec<EndId>,
    /// The classes of each group of identities.
    of_group: Vec<Vec<EndId>>,
    /// By [`IdentityId`].
    group_of: Vec<u32>,
    chains: Vec<Box<[&'a Chain]>>,
}

/// What tells classes apart.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Pod {
        /// In the families that it has.
        groups: [Option<u32>; 2],
        /// Where rules ask for ports by name, and the group does not tell.
        ports: Option<PortsId>,
        seen: PerFamily,
        placed: bool,
    },
    Node {
        node: Option<NodeId>,
        seen: PerFamily,
        /// The classes of all of its addresses, where the node itself is meant.
        all: Vec<u32>,
    },
}

/// The address in each family as rules see it; `None` where there is none.
type PerFamily = [Option<Seen>; 2];

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Seen {
    /// No rule looks at addresses.
    Unseen,
    Unknown,
    Class(u32),
}

/// What classes are made by.
struct Making<'a> {
    cluster: &'a Cluster,
    program: &'a Program,
    families: Families,
    /// Whether rules look at the addresses of pods.
    sees: bool,
    /// Whether rules ask for ports by name.
    names: bool,
    chains: Chains<'a>,
    /// By table of the program.
    of_table: Vec<PerDirection<ChainId>>,
    /// By identity of the program or, where rules ask for identities, by kind.
    groups: Groups,
}

impl<'a> Ends<'a> {
    /// The classes of the pods of a cluster and, where they are `listed`, of its nodes.
    pub(super) fn new(
        cluster: &'a Cluster,
        program: &'a Program,
        families: Families,
        listed: bool,
    ) -> Self {
        let mut chains = Chains::default();
        let of_table: Vec<PerDirection<ChainId>> = program
            .tables()
            .list
            .iter()
            .map(|table| PerDirection {
                ingress: chains.id(vec![&table.chains.ingress]),
                egress: chains.id(vec![&table.chains.egress]),
            })
            .collect();
        let groups = groups(program, &of_table);
        // Rules that govern no pod yet count as well: a pod that does not exist may be governed by them.
        let sees = match &program.kinds {
            Some(kinds) => kinds.sees_addresses_of_pods(),
            None => program
                .peers
                .iter()
                .any(|peers| peers.domains || peers.block_families != BlockFamilies::default()),
        };
        let mut making = Making {
            cluster,
            program,
            families,
            sees,
            names: asks_for_names(program),
            chains,
            of_table,
            groups,
        };
        let mut ends = Self {
            list: Vec::new(),
            of_pod: Vec::with_capacity(cluster.pods().len()),
            of_node: Vec::new(),
            of_group: Vec::new(),
            group_of: Vec::new(),
            chains: Vec::new(),
        };
        if program.kinds.is_none() {
            ends.of_group = vec![Vec::new(); making.groups.count];
            ends.group_of.clone_from(&making.groups.of);
        }
        let mut known: FxHashMap<Key, EndId> = FxHashMap::default();
        let mut end = |ends: &mut Self, (key, end): (Key, End)| {
            let next = EndId(to_u32(ends.list.len()));
            let id = *known.entry(key).or_insert(next);
            if id == next {
                ends.list.push(end);
            }
            (id, id == next)
        };
        for (pod, id) in cluster.pods().iter().zip((0..).map(PodId)) {
            let (id, is_new) = end(&mut ends, making.pod(id, pod));
            let identity = program.identity_of(PodId(to_u32(ends.of_pod.len())));
            let group = identity.and_then(|identity| ends.group_of.get(identity.index()).copied());
            let list = group.and_then(|group| ends.of_group.get_mut(group as usize));
            if let Some(list) = list.filter(|_| is_new) {
                list.push(id);
            }
            ends.of_pod.push(id);
        }
        if listed {
            for node in (0..to_u32(cluster.nodes().len())).map(NodeId) {
                let seen = FAMILIES.map(|family| making.seen(Who::Node(node), family));
                let made = making.node(Who::Node(node), Some(node), seen);
                let (id, _) = end(&mut ends, made);
                ends.of_node.push(id);
            }
        }
        ends.chains = making.chains.list;
        ends
    }

    pub(super) fn get(&self, id: EndId) -> Option<&End> {
        self.list.get(id.0 as usize)
    }

    /// The chains of a list: one, but where it is open which governs.
    pub(super) fn chains(&self, id: ChainId) -> &[&'a Chain] {
        self.chains.get(id.0 as usize).map_or(&[], |chains| chains)
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
    /// Endpoints that stand for the class, in a family: a node at each of its addresses.
    pub(super) fn endpoints<'c>(&self, cluster: &'c Cluster, family: Family) -> Vec<Endpoint<'c>> {
        endpoints(cluster, self.sample, family)
    }

    /// What governs it; `None` where nothing can.
    pub(super) fn chains(&self) -> Option<Chained> {
        match self.kind {
            EndKind::Pod { chains, .. } => Some(chains),
            EndKind::Node { chains, .. } => chains,
        }
    }

    /// What governs it in a direction, in each family.
    pub(super) fn chains_of(&self, direction: Direction) -> Option<[ChainId; 2]> {
        let chains = self.chains()?;
        Some(chains.map(|of_family| *of_family.get(direction)))
    }

    /// Its named ports, as the destination of a flow.
    pub(super) fn named<'c>(&self, cluster: &'c Cluster, program: &Program) -> NamedPorts<'c> {
        match self.kind {
            EndKind::Pod {
                ports, host: true, ..
            } => NamedPorts::Host(cluster.ports(ports)),
            EndKind::Pod { ports, .. } => NamedPorts::of(program, cluster.ports(ports)),
            EndKind::Node { .. } => NamedPorts::None,
        }
    }
}

/// An end of flows in a family, a node at each of its addresses.
fn endpoints<'c>(cluster: &'c Cluster, who: Who<'static>, family: Family) -> Vec<Endpoint<'c>> {
    let node = match who {
        Who::Node(id) => cluster.node(id).map(|node| (id, node)),
        Who::Pod(_) | Who::Address(_) | Who::Owned(..) | Who::Hypothetical(_) | Who::World => None,
    };
    let addresses = node.into_iter().flat_map(|(id, node)| {
        let own = node.addresses.iter();
        own.filter(move |address| Family::of(**address) == family)
            .map(move |address| Who::Owned(*address, Owner::Node(id)))
    });
    let at = addresses.map(|who| query::endpoint(cluster, who, family));
    let mut all: Vec<Endpoint<'_>> = at.collect();
    if all.is_empty() {
        all.push(query::endpoint(cluster, who, family));
    }
    all
}

impl<'a> Making<'a> {
    fn pod(&mut self, id: PodId, pod: &Pod) -> (Key, End) {
        let who = Who::Pod(id);
        let seen = FAMILIES.map(|family| self.seen(who, family));
        let Some(identity) = self.program.identity_of(id) else {
            return self.node(who, pod.node, seen);
        };
        let kind = self.program.identities.get(identity.index());
        let kind = kind.map_or(KindId(0), |identity| identity.kind);
        let program = self.program;
        let (groups, chains): ([Option<u32>; 2], Chained) = match &program.kinds {
            None => {
                let table = program.table_of(identity);
                let group = self.groups.of.get(identity.index()).copied();
                ([group; 2], [self.chains_at(table); 2])
            }
            Some(_) if !self.sees => {
                let group = self.groups.of.get(kind.index()).copied();
                let table = program.table_id_of_kind(kind);
                ([group; 2], [self.chains_at(table); 2])
            }
            Some(_) => {
                let kinds = FAMILIES.map(|family| {
                    program.subject_kinds(&query::endpoint(self.cluster, who, family))
                });
                let groups = kinds.each_ref().map(|kinds| self.groups.together(kinds));
                (groups, kinds.map(|kinds| self.chains_of_kinds(&kinds)))
            }
        };
        let [v4, v6] = seen;
        let placed = self.program.kinds.is_none() || pod.node.is_some();
        let named = self.names && self.program.kinds.is_some();
        let key = Key::Pod {
            groups: [
                groups[0].filter(|_| v4.is_some()),
                groups[1].filter(|_| v6.is_some()),
            ],
            ports: named.then_some(pod.ports),
            seen,
            placed,
        };
        let kind = EndKind::Pod {
            chains,
            host: pod.host_network,
            ports: pod.ports,
            placed,
        };
        (key, self.end(who, kind))
    }

    /// A node, or a pod that is taken for it.
    fn node(&mut self, who: Who<'static>, node: Option<NodeId>, seen: PerFamily) -> (Key, End) {
        let program = self.program;
        let ends = FAMILIES.map(|family| endpoints(self.cluster, who, family));
        let class = |end: &Endpoint<'_>| match end.address {
            Address::Known(address) => Some(program.addresses.class(address).0),
            Address::Unknown { .. } => None,
        };
        let is_itself = matches!(who, Who::Node(_));
        let all = ends.iter().flatten().filter(|_| is_itself);
        let all = all.filter_map(class).collect();
        let chains = program.governs_nodes().then(|| {
            ends.map(|ends| {
                let kinds = ends.iter().flat_map(|end| program.subject_kinds(end));
                self.chains_of_kinds(&kinds.collect::<Vec<_>>())
            })
        });
        let kind = EndKind::Node { node, chains };
        (Key::Node { node, seen, all }, self.end(who, kind))
    }

    fn end(&self, sample: Who<'static>, kind: EndKind) -> End {
        End {
            sample,
            families: query::families_of(self.cluster, self.families, sample),
            kind,
        }
    }

    /// Every end is governed by a table of its program, be it empty.
    fn chains_at(&self, table: Option<TableId>) -> PerDirection<ChainId> {
        let chains = table.and_then(|table| self.of_table.get(table.index()).copied());
        chains.unwrap_or(PerDirection {
            ingress: ChainId(0),
            egress: ChainId(0),
        })
    }

    /// What governs an end that is one of some kinds.
    fn chains_of_kinds(&mut self, kinds: &[KindId]) -> PerDirection<ChainId> {
        let program = self.program;
        let tables = kinds
            .iter()
            .filter_map(|kind| program.table_id_of_kind(*kind));
        let mut tables: Vec<TableId> = tables.collect();
        tables.sort_unstable();
        tables.dedup();
        if let [] | [_] = tables[..] {
            return self.chains_at(tables.first().copied());
        }
        let tables = tables.iter().filter_map(|id| program.table_at(*id));
        let mut of = |direction| {
            let chains = tables.clone().map(|table| table.chains.get(direction));
            self.chains.id(chains.collect())
        };
        PerDirection {
            ingress: of(Direction::Ingress),
            egress: of(Direction::Egress),
        }
    }

    /// The address of a pod or a node as the rules of a program see it.
    fn seen(&self, who: Who<'static>, family: Family) -> Option<Seen> {
        let end = query::endpoint(self.cluster, who, family);
        let mut own = query::families_of(self.cluster, self.families, who).iter();
        if !own.any(|one| one == family) {
            return None;
        }
        let is_node = matches!(end.kind, EndpointKind::Node(_));
        Some(match end.address {
            _ if !self.sees && !is_node => Seen::Unseen,
            Address::Known(address) => Seen::Class(self.program.addresses.class(address).0),
            Address::Unknown { .. } => Seen::Unknown,
        })
    }
}

fn asks_for_names(program: &Program) -> bool {
    program.ports.iter().any(|ports| !ports.named.is_empty())
}

/// The distinct chains.
#[derive(Default)]
struct Chains<'a> {
    list: Vec<Box<[&'a Chain]>>,
    ids: FxHashMap<Vec<ChainKey<'a>>, ChainId>,
}

/// What a chain says: the tiers that come first, whether it isolates and whether from the own node, the rules of the
/// namespace, the last tier.
type ChainKey<'a> = (&'a [Step], [bool; 2], &'a [RuleRange], &'a [Step]);

impl<'a> Chains<'a> {
    fn id(&mut self, mut chains: Vec<&'a Chain>) -> ChainId {
        let key = |chain: &&'a Chain| -> ChainKey<'a> {
            let isolated = [chain.is_isolated, chain.allows_own_node];
            (&chain.first, isolated, &chain.namespace, &chain.baseline)
        };
        let mut seen = FxHashSet::default();
        chains.retain(|chain| seen.insert(key(chain)));
        let list = &mut self.list;
        let keys = chains.iter().map(key).collect();
        *self.ids.entry(keys).or_insert_with(|| {
            list.push(chains.into());
            ChainId(to_u32(list.len() - 1))
        })
    }
}

/// A partition of the identities, or of the kinds.
struct Groups {
    /// By [`IdentityId`](crate::ir::IdentityId), or by [`KindId`] where rules ask for identities.
    of: Vec<u32>,
    /// Those of ends that may be of several.
    several: FxHashMap<Vec<u32>, u32>,
    count: usize,
}

impl Groups {
    /// The group of an end that is one of some kinds; `None` where there are none.
    fn together(&mut self, kinds: &[KindId]) -> Option<u32> {
        let groups = kinds.iter().filter_map(|kind| self.of.get(kind.index()));
        let mut groups: Vec<u32> = groups.copied().collect();
        groups.sort_unstable();
        groups.dedup();
        if let [] | [_] = groups[..] {
            return groups.first().copied();
        }
        let next = to_u32(self.count + self.several.len());
        Some(*self.several.entry(groups).or_insert(next))
    }
}

/// The coarsest partition in which identities of one group have the same chains, are selected by the same
/// lists of peers and, where a rule asks for ports by name, name the same ports. Kinds, but for the ports, in the same way.
fn groups(program: &Program, of_table: &[PerDirection<ChainId>]) -> Groups {
    let names = asks_for_names(program);
    let chains_of = |table: Option<&TableId>| {
        let chains = table.and_then(|table| of_table.get(table.index()))?;
        Some((chains.ingress, chains.egress))
    };
    let mut known = FxHashMap::default();
    let mut sizes: Vec<u32> = Vec::new();
    let mut add = |key| {
        let group = *known.entry(key).or_insert(to_u32(sizes.len()));
        match sizes.get_mut(group as usize) {
            Some(size) => *size += 1,
            None => sizes.push(1),
        }
        group
    };
    let mut of: Vec<u32> = match &program.kinds {
        None => {
            let identities = program.identities.iter();
            identities
                .zip(&program.tables().of_identity)
                .map(|(identity, table)| {
                    let chains = chains_of(Some(table));
                    add((chains, names.then_some(identity.ports)))
                })
                .collect()
        }
        Some(kinds) => {
            let all = 0..kinds.list().len();
            all.map(|kind| add((chains_of(kinds.table_of.get(kind)), None)))
                .collect()
        }
    };
    for peers in &program.peers {
        let members = match &program.kinds {
            None => program.pods(peers),
            Some(_) => &peers.kinds,
        };
        split(&mut of, &mut sizes, &members.to_vec());
    }
    let count = sizes.len();
    Groups {
        of,
        several: FxHashMap::default(),
        count,
    }
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
