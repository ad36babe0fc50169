//! The leaves of a cluster: everything that may stand at the other end of a flow, as far as rules can tell.
//!
//! Input: a cluster and its resolved program. Output: [`Leaves`]: the list of leaves, the sets of leaves that each
//! list of peers matches, and the leaf of each address. Made once for all nodes. Guarantee: two ends with one leaf
//! match the same peers.

mod kept;

use super::{LeafId, Match, number};
use crate::cluster::{Cluster, NO_LABELS, NodeId, Owner, PodId, Protocol};
use crate::hir::flow::{Address, Endpoint, EndpointKind};
use crate::hir::{Tier, spec::Truth};
use crate::ir::{self, IdentityId, Peers};
use crate::query::{Families, Family, Who, endpoint, families_of};
use crate::ranges::{Ordinal, Ranges};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::sync::OnceLock;

/// One leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf {
    /// Who it is.
    pub who: Remote,
    /// Its address.
    pub address: LeafAddress,
}

/// Who a leaf is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remote {
    /// Pods of one identity.
    Identity(IdentityId),
    /// A node.
    Node(NodeId),
    /// A node of which only an address is known.
    UnknownNode,
    /// Anything that the cluster does not own.
    Outside,
}

/// The address of a leaf, as far as rules can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeafAddress {
    /// One of a class of its program.
    Class(ir::ClassId),
    /// One of this family that is not known.
    Unknown(Family),
}

/// An end of flows that a leaf stands for.
#[derive(Clone, Copy, Debug)]
enum Example {
    /// In a flow of this family.
    Of(Who<'static>, Family),
    /// Outside, at this address.
    Outside(IpAddr),
}

/// The leaves. See the module.
#[derive(Debug)]
pub struct Leaves {
    /// Sorted, each once.
    list: Vec<Leaf>,
    /// An end of each.
    examples: Vec<Example>,
    /// By identity of the program: where its leaves begin; and behind them where those of the last end.
    of_identity: Vec<u32>,
    /// Classes of addresses with their leaves, sorted.
    by_address: Vec<(u32, u32)>,
    /// The leaves whose address is not known.
    unknown: Vec<u32>,
    /// By list of peers of the program, once it is asked for: where most tables were kept, most lists are not. Where rules ask for
    /// identities none is ([`super::seen`]).
    matches: Vec<OnceLock<Match<Ranges<u32>>>>,
    /// The leaf of each run of addresses: the first address of each, sorted.
    v4: Vec<(u32, LeafId)>,
    v6: Vec<(u128, LeafId)>,
}

impl Leaves {
    /// Finds the leaves of a cluster.
    #[must_use]
    pub fn new(cluster: &Cluster, program: &ir::Program) -> Self {
        let mut found: Vec<(Leaf, Example)> = all(cluster, program).into_iter().collect();
        found.sort_unstable_by_key(|(leaf, _)| *leaf);
        let (list, examples): (Vec<Leaf>, Vec<Example>) = found.into_iter().unzip();
        let leaves = Self::listed(program, list, examples);
        let (v4, v6) = rayon::join(
            || leaves.runs(cluster, program, Family::V4),
            || leaves.runs(cluster, program, Family::V6),
        );
        Self { v4, v6, ..leaves }
    }

    /// Leaves of a sorted list with an end of each; without addresses.
    fn listed(program: &ir::Program, list: Vec<Leaf>, examples: Vec<Example>) -> Self {
        let numbered = || (0_u32..).zip(&list);
        let mut by_address: Vec<(u32, u32)> = numbered()
            .filter_map(|(leaf, of)| match of.address {
                LeafAddress::Class(class) => Some((class.0, leaf)),
                LeafAddress::Unknown(_) => None,
            })
            .collect();
        by_address.sort_unstable();
        let unknown = numbered()
            .filter(|(_, leaf)| matches!(leaf.address, LeafAddress::Unknown(_)))
            .map(|(leaf, _)| leaf)
            .collect();
        let of_identity = begins(&list, program.identities.len());
        Self {
            list,
            examples,
            of_identity,
            by_address,
            unknown,
            matches: program.peers.iter().map(|_| OnceLock::new()).collect(),
            v4: Vec::new(),
            v6: Vec::new(),
        }
    }

    /// All leaves, by [`LeafId`].
    #[must_use]
    pub fn list(&self) -> &[Leaf] {
        &self.list
    }

    /// An end that a leaf stands for. A pod among them is nobody in particular: no endpoint is the same pod.
    #[must_use]
    pub fn example<'c>(&self, cluster: &'c Cluster, id: LeafId) -> Option<Endpoint<'c>> {
        let mut end = match *self.examples.get(id.index())? {
            Example::Of(who, family) => endpoint(cluster, who, family),
            Example::Outside(address) => Endpoint {
                kind: EndpointKind::Outside,
                address: Address::Known(address),
                by_service: false,
            },
        };
        if let EndpointKind::Pod(pod) = &mut end.kind {
            pod.id = None;
        }
        Some(end)
    }

    /// The leaf of each run of IPv4 addresses: the first address of each, ascending from 0.
    #[must_use]
    pub fn v4(&self) -> &[(u32, LeafId)] {
        &self.v4
    }

    /// The leaf of each run of IPv6 addresses.
    #[must_use]
    pub fn v6(&self) -> &[(u128, LeafId)] {
        &self.v6
    }

    /// The leaf of an end of a flow; `None` where the cluster has no such end.
    #[must_use]
    pub fn of(&self, program: &ir::Program, end: &Endpoint<'_>) -> Option<LeafId> {
        self.find(leaf(program, end)?)
    }

    /// The leaf that owns an address, or that of the outside.
    #[must_use]
    pub fn of_address(&self, address: IpAddr) -> LeafId {
        match address.to_canonical() {
            IpAddr::V4(address) => run(&self.v4, address.to_bits()),
            IpAddr::V6(address) => run(&self.v6, address.to_bits()),
        }
    }

    /// Who a leaf is, in words: `pod shop [app=web] of 10.0.0.0-10.255.255.255`.
    #[must_use]
    pub fn describe(&self, cluster: &Cluster, program: &ir::Program, id: LeafId) -> String {
        let Some(leaf) = self.list.get(id.index()) else {
            return String::new();
        };
        let who = match leaf.who {
            Remote::Identity(identity) => describe_identity(cluster, program, identity),
            Remote::Node(node) => {
                let node = cluster.nodes().get(node.index());
                format!("node {}", node.map_or("", |node| &node.name))
            }
            Remote::UnknownNode => "a node that is not known".into(),
            Remote::Outside => "outside".into(),
        };
        match leaf.address {
            LeafAddress::Class(class) => format!("{who} at {}", program.addresses.describe(class)),
            LeafAddress::Unknown(Family::V4) => format!("{who} at some IPv4 address"),
            LeafAddress::Unknown(Family::V6) => format!("{who} at some IPv6 address"),
        }
    }

    /// What a list of peers matches; everything where there is none.
    pub(super) fn matched(
        &self,
        program: &ir::Program,
        peers: Option<ir::PeersId>,
    ) -> Match<Ranges<u32>> {
        let Some(id) = peers else {
            return Match {
                yes: Ranges::new(vec![(0, number(self.list.len()).saturating_sub(1))]),
                maybe: Ranges::default(),
            };
        };
        let known = self.matches.get(id.index());
        let known = known.zip(program.peers.get(id.index()));
        let matched = known.map(|(slot, peers)| slot.get_or_init(|| self.matching(program, peers)));
        matched.cloned().unwrap_or_else(|| Match {
            yes: Ranges::default(),
            maybe: Ranges::default(),
        })
    }

    /// The leaves of some identities, or of all of a node.
    pub(crate) fn of_who(&self, who: Remote) -> (u32, u32) {
        if let Remote::Identity(identity) = who {
            let at = |index: usize| self.of_identity.get(index).copied();
            let index = identity.index();
            return at(index).zip(at(index + 1)).unwrap_or_default();
        }
        let first = self.list.partition_point(|leaf| leaf.who < who);
        let end = self.list.partition_point(|leaf| leaf.who <= who);
        (number(first), number(end))
    }

    fn find(&self, leaf: Leaf) -> Option<LeafId> {
        let index = self.list.binary_search(&leaf).ok()?;
        Some(LeafId(number(index)))
    }

    fn matching(&self, program: &ir::Program, peers: &Peers) -> Match<Ranges<u32>> {
        let mut yes = Vec::new();
        let mut maybe = Vec::new();
        let mut add = |who| {
            let (first, end) = self.of_who(who);
            match (yes.last_mut(), end.checked_sub(1)) {
                // The leaves of identities in a row stand together.
                (Some((_, before)), Some(last)) if *before + 1 == first => *before = last,
                (_, last) => yes.extend(last.map(|last| (first, last))),
            }
        };
        for identity in program.pods(peers).to_vec() {
            add(Remote::Identity(IdentityId(identity)));
        }
        for node in peers.nodes.to_vec() {
            add(Remote::Node(NodeId(node)));
        }
        let mut selectors = peers.node_selectors.iter();
        if selectors.any(|selector| selector.matches(&NO_LABELS)) {
            add(Remote::UnknownNode);
        }
        for range in peers.blocks.iter() {
            let seen = self
                .in_classes(range)
                .filter(|leaf| self.sees_blocks(program, peers, *leaf));
            yes.extend(seen.map(|leaf| (leaf, leaf)));
        }
        for range in peers.answers.iter() {
            yes.extend(self.in_classes(range).map(|leaf| (leaf, leaf)));
        }
        if peers.unseen {
            let (first, end) = self.of_who(Remote::Outside);
            maybe.extend(end.checked_sub(1).map(|last| (first, last)));
        }
        if peers.domains || peers.block_families != ir::BlockFamilies::default() {
            for leaf in &self.unknown {
                match self.unknown_address(program, peers, *leaf) {
                    Truth::Yes => yes.push((*leaf, *leaf)),
                    Truth::Unknown => maybe.push((*leaf, *leaf)),
                    Truth::No => {}
                }
            }
        }
        let yes = Ranges::new(yes);
        let maybe = without(&Ranges::new(maybe), &yes);
        Match { yes, maybe }
    }

    /// The leaves whose addresses are in some classes.
    fn in_classes(&self, (first, last): (u32, u32)) -> impl Iterator<Item = u32> {
        let from = self.by_address.partition_point(|(class, _)| *class < first);
        let found = self.by_address.get(from..).unwrap_or_default().iter();
        found
            .take_while(move |(class, _)| *class <= last)
            .map(|(_, leaf)| *leaf)
    }

    /// Whether blocks are compared with the address of a leaf at all.
    fn sees_blocks(&self, program: &ir::Program, peers: &Peers, leaf: u32) -> bool {
        let is_pod = match self.list.get(leaf as usize).map(|leaf| leaf.who) {
            Some(Remote::Identity(identity)) => {
                let identity = program.identities.get(identity.index());
                peers.hosts_are_pods || identity.is_none_or(|identity| identity.host.is_none())
            }
            Some(Remote::Node(_) | Remote::UnknownNode | Remote::Outside) | None => false,
        };
        program.cidr_matches_pods || !is_pod
    }

    fn unknown_address(&self, program: &ir::Program, peers: &Peers, leaf: u32) -> Truth {
        let Some(Leaf {
            who,
            address: LeafAddress::Unknown(family),
        }) = self.list.get(leaf as usize)
        else {
            return Truth::No;
        };
        let (v4, v6) = (*family == Family::V4, *family == Family::V6);
        let blocks = if self.sees_blocks(program, peers, leaf) {
            peers.block_families.matches(v4, v6)
        } else {
            Truth::No
        };
        let domains = if *who == Remote::Outside && peers.domains {
            Truth::Unknown
        } else {
            Truth::No
        };
        blocks.max(domains)
    }

    /// The runs of a family: those of the outside, with the addresses that have owners cut out.
    fn runs<T: Bits + Send + Sync>(
        &self,
        cluster: &Cluster,
        program: &ir::Program,
        family: Family,
    ) -> Vec<(T, LeafId)> {
        let outside = |class| {
            self.find(Leaf {
                who: Remote::Outside,
                address: LeafAddress::Class(class),
            })
        };
        let owned = cluster
            .owned()
            .filter(|(address, _)| Family::of(*address) == family);
        let owned: Vec<(IpAddr, Owner)> = owned.collect();
        let owned = owned.into_par_iter().filter_map(|(address, owner)| {
            let end = endpoint(cluster, Who::Owned(address, owner), family);
            Some((T::of(address)?, self.of(program, &end)?))
        });
        let mut owned: Vec<(T, LeafId)> = owned.collect();
        owned.par_sort_unstable();
        let starts = T::starts(program);
        let class = |value: T| {
            let after = starts.partition_point(|start| *start <= value);
            outside(ir::ClassId(
                T::first_class(program) + number(after).saturating_sub(1),
            ))
        };
        let mut cuts: Vec<T> = starts.to_vec();
        for (address, _) in &owned {
            cuts.push(*address);
            cuts.extend(address.next());
        }
        cuts.sort_unstable();
        cuts.dedup();
        let mut runs: Vec<(T, LeafId)> = Vec::with_capacity(cuts.len());
        let mut rest = owned.iter().peekable();
        for start in cuts {
            // Both ascend, and each owned address is a cut.
            while rest.next_if(|(address, _)| *address < start).is_some() {}
            let own = rest.peek().filter(|(address, _)| *address == start);
            let own = own.map(|(_, leaf)| *leaf);
            let Some(leaf) = own.or_else(|| class(start)) else {
                continue;
            };
            if runs.last().is_none_or(|(_, last)| *last != leaf) {
                runs.push((start, leaf));
            }
        }
        runs
    }
}

/// By identity: where its leaves begin in a sorted list; and behind them where those of the last end.
fn begins(list: &[Leaf], identities: usize) -> Vec<u32> {
    let mut begins = Vec::with_capacity(identities + 1);
    let mut end = 0;
    for (leaf, index) in list.iter().zip(0..) {
        let Remote::Identity(identity) = leaf.who else {
            break;
        };
        begins.resize(begins.len().max(identity.index() + 1), index);
        end = index + 1;
    }
    begins.resize(identities + 1, end);
    begins
}

fn describe_identity(cluster: &Cluster, program: &ir::Program, id: IdentityId) -> String {
    let Some(identity) = program.identities.get(id.index()) else {
        return String::new();
    };
    let namespace = cluster.namespaces().get(identity.namespace.index());
    let namespace = namespace.map_or("", |namespace| &namespace.name);
    let mut text = format!("pod {namespace} [{}]", cluster.labels(identity.labels));
    for port in cluster.ports(identity.ports) {
        text.push_str(&format!(" {}={}/{}", port.name, port.number, port.protocol));
    }
    if identity.host.is_some() {
        text.push_str(" on the network of its node");
    }
    text
}

/// The members of one set that are not in another.
pub(crate) fn without(set: &Ranges<u32>, other: &Ranges<u32>) -> Ranges<u32> {
    if set.is_empty() || other.is_empty() {
        return set.clone();
    }
    set.intersection(&other.gaps_in((0, u32::MAX)))
}

fn run<T: Ord + Copy>(runs: &[(T, LeafId)], value: T) -> LeafId {
    let after = runs.partition_point(|(start, _)| *start <= value);
    let found = after.checked_sub(1).and_then(|index| runs.get(index));
    found.map_or(LeafId(0), |(_, leaf)| *leaf)
}

/// An address as a number.
trait Bits: Ordinal {
    fn of(address: IpAddr) -> Option<Self>;
    fn starts(program: &ir::Program) -> &[Self];
    fn first_class(program: &ir::Program) -> u32;
}

impl Bits for u32 {
    fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(address) => Some(address.to_bits()),
            IpAddr::V6(_) => None,
        }
    }

    fn starts(program: &ir::Program) -> &[Self] {
        program.addresses.v4.starts()
    }

    fn first_class(_: &ir::Program) -> u32 {
        0
    }
}

impl Bits for u128 {
    fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address.to_bits()),
        }
    }

    fn starts(program: &ir::Program) -> &[Self] {
        program.addresses.v6.starts()
    }

    fn first_class(program: &ir::Program) -> u32 {
        number(program.addresses.v4.len())
    }
}

fn leaf(program: &ir::Program, end: &Endpoint<'_>) -> Option<Leaf> {
    let end = &match program.kinds {
        None => *end,
        Some(_) => end.seen_in(Tier::Admin),
    };
    let who = match &end.kind {
        EndpointKind::Pod(pod) => Remote::Identity(program.identity_of(pod.id?)?),
        EndpointKind::Node(node) => node.id.map_or(Remote::UnknownNode, Remote::Node),
        EndpointKind::Outside => Remote::Outside,
    };
    let address = match end.address {
        Address::Known(address) => LeafAddress::Class(program.addresses.class(address)),
        Address::Unknown {
            v4: true,
            v6: false,
        } => LeafAddress::Unknown(Family::V4),
        Address::Unknown {
            v4: false,
            v6: true,
        } => LeafAddress::Unknown(Family::V6),
        Address::Unknown { .. } => return None,
    };
    Some(Leaf { who, address })
}

/// Every leaf that a question about the cluster can have, with the first end that has it.
fn all(cluster: &Cluster, program: &ir::Program) -> FxHashMap<Leaf, Example> {
    let families = Families::of(cluster).or_any();
    let pods = (0..number(cluster.pods().len())).map(|index| Who::Pod(PodId(index)));
    let nodes = (0..number(cluster.nodes().len())).map(|index| Who::Node(NodeId(index)));
    let mut found = FxHashMap::default();
    let mut add = |who: Who<'static>, family| {
        if let Some(leaf) = leaf(program, &endpoint(cluster, who, family)) {
            found.entry(leaf).or_insert(Example::Of(who, family));
        }
    };
    for who in pods.chain(nodes) {
        for family in families_of(cluster, families, who).iter() {
            add(who, family);
        }
        let (addresses, owner): (&[IpAddr], _) = match who {
            Who::Pod(id) => match cluster.pods().get(id.index()) {
                Some(pod) => (&pod.addresses, Owner::Pod(id)),
                None => continue,
            },
            Who::Node(id) => match cluster.nodes().get(id.index()) {
                Some(node) => (&node.addresses, Owner::Node(id)),
                None => continue,
            },
            Who::Address(_) | Who::Owned(..) | Who::Hypothetical(_) | Who::World => continue,
        };
        for address in addresses {
            add(Who::Owned(*address, owner), Family::of(*address));
        }
    }
    for family in Families::ALL.iter() {
        add(Who::World, family);
    }
    let firsts = program.addresses.firsts();
    for (class, first) in (0..).zip(firsts) {
        let leaf = Leaf {
            who: Remote::Outside,
            address: LeafAddress::Class(ir::ClassId(class)),
        };
        found.entry(leaf).or_insert(Example::Outside(first));
    }
    found
}

/// The keys that a name stands for at some ports: what surely is a port of that name, and what may be. `strict`: as rules
/// see it that are resolved by precedence.
pub(super) fn named(
    own: &[crate::cluster::NamedPort],
    protocol: Option<Protocol>,
    name: &str,
    strict: bool,
) -> Match<Ranges<u32>> {
    use super::transport::{NOT_KNOWN, key};
    let meant = own.iter().filter(|own| {
        *own.name == *name
            && own.protocol.has_ports()
            && protocol.is_none_or(|protocol| protocol == own.protocol)
    });
    // A name that stands for two ports of a protocol stands for none.
    let all = meant.clone();
    let meant = meant.filter(|own| {
        let same = all.clone().filter(|other| other.protocol == own.protocol);
        !strict || same.count() == 1
    });
    let at = |key: u32| (key, key);
    let yes = meant
        .clone()
        .map(|own| at(key(own.protocol, own.number.into())));
    let maybe = meant.map(|own| at(key(own.protocol, NOT_KNOWN)));
    Match {
        yes: Ranges::new(yes.collect()),
        maybe: Ranges::new(maybe.collect()),
    }
}
