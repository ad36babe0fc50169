//! Peers as records write them, each resolved once.

use super::told;
use crate::cluster::peer::{self, PeerSpec, PortSpec, Resolved};
use crate::cluster::{Cluster, Owner, PodId};
use crate::diagnostic::Diagnostic;
use crate::engine::Engine;
use crate::ir::{EndClass, PodClass};
use crate::query::meant::{pod_of, sources};
use crate::query::{Families, Family, Who, endpoint, families_of};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// How many peers are remembered: beyond, everything is forgotten and found again.
const MAX_PEERS: usize = 1 << 18;

/// What is known so far.
pub(super) struct Peers<'c> {
    cluster: &'c Cluster,
    engine: &'c Engine<'c>,
    families: Families,
    known: FxHashMap<Box<str>, PeerId>,
    by_address: FxHashMap<IpAddr, PeerId>,
    peers: Vec<Result<Peer, Diagnostic>>,
}

/// A peer among those that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PeerId(u32);

/// A peer.
#[derive(Debug)]
pub(super) struct Peer {
    /// Who is meant: one, or several of which each is asked.
    pub(super) ends: Vec<Resolved>,
    /// As `ends`, of the pods that differ in their node only two.
    alike: Vec<Resolved>,
    /// Whether one of them is a node, so that it matters on which node a pod is.
    pub(super) has_node: bool,
    /// What the program knows of it, where it is one.
    pub(super) one: Option<One>,
    /// Whether one of them may be outside, so that it matters by which names it is known.
    pub(super) may_be_outside: bool,
    /// How it is named to people: an address by its owner.
    pub(super) name: Box<str>,
    /// The workload that it is or belongs to; `outside` for what the snapshot does not know.
    pub(super) workload: Box<str>,
    /// Whether it is an address that nobody in the snapshot has.
    pub(super) is_unknown: bool,
    /// What an answer about it takes for granted that the snapshot does not tell.
    pub(super) assumed: Vec<String>,
}

/// A peer that is one end of the snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct One {
    /// The families that it may have.
    pub(super) families: Families,
    /// Its class in a flow over IPv4.
    pub(super) v4: EndClass,
    /// Its class in a flow over IPv6.
    pub(super) v6: EndClass,
    /// The workload's pod for which it stands.
    pub(super) stand_in: Option<PodId>,
}

impl One {
    /// Its class in a flow over this family.
    pub(super) fn class(&self, family: Family) -> &EndClass {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn of(
        cluster: &Cluster,
        engine: &Engine<'_>,
        families: Families,
        ends: &[Resolved],
    ) -> Option<Self> {
        let program = engine.program()?;
        let who = only(cluster, ends)?;
        let class = |family| program.end_class(&endpoint(cluster, who, family));
        let pod = pod_of(cluster, who);
        Some(Self {
            families: families_of(cluster, families, who),
            v4: class(Family::V4)?,
            v6: class(Family::V6)?,
            stand_in: pod.filter(|id| cluster.pod(*id).is_some_and(|pod| pod.stand_in)),
        })
    }
}

impl Peer {
    /// Those that are asked, where pods that differ in their node only are the same or not.
    pub(super) fn ends(&self, by_node: bool) -> &[Resolved] {
        if by_node { &self.ends } else { &self.alike }
    }
}

impl<'c> Peers<'c> {
    pub(super) fn new(cluster: &'c Cluster, engine: &'c Engine<'c>, families: Families) -> Self {
        Self {
            cluster,
            engine,
            families,
            known: FxHashMap::default(),
            by_address: FxHashMap::default(),
            peers: Vec::new(),
        }
    }

    /// Whether it is time to forget.
    pub(super) fn is_full(&self) -> bool {
        self.peers.len() >= MAX_PEERS
    }

    /// Forgets everything; to be called while no id is held.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.by_address.clear();
        self.peers.clear();
    }

    /// Finds a peer.
    pub(super) fn find(&mut self, text: &str) -> PeerId {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let id = PeerId(crate::source::to_u32(self.peers.len()));
        self.peers
            .push(resolve(self.cluster, self.engine, self.families, text));
        self.known.insert(text.into(), id);
        id
    }

    /// Finds the peer that an address is.
    pub(super) fn at(&mut self, address: IpAddr) -> PeerId {
        if let Some(known) = self.by_address.get(&address) {
            return *known;
        }
        let id = self.find(&address.to_canonical().to_string());
        self.by_address.insert(address, id);
        id
    }

    /// A peer that was found.
    pub(super) fn get(&self, id: PeerId) -> Option<&Result<Peer, Diagnostic>> {
        self.peers.get(id.0 as usize)
    }
}

fn resolve(
    cluster: &Cluster,
    engine: &Engine<'_>,
    families: Families,
    text: &str,
) -> Result<Peer, Diagnostic> {
    let resolved = PeerSpec::parse(text)
        .and_then(|spec| peer::resolve(cluster, &spec))
        .map_err(|problem| *problem)?;
    Ok(Peer {
        alike: alike(cluster, engine, &resolved),
        name: told::name(cluster, &resolved, text).into(),
        workload: told::workload(cluster, &resolved, text).into(),
        has_node: resolved.iter().any(|end| is_node(cluster, end)),
        one: One::of(cluster, engine, families, &resolved),
        is_unknown: is_unknown(cluster, &resolved),
        may_be_outside: resolved.iter().any(|end| may_be_outside(cluster, end)),
        assumed: assumed(cluster, &resolved),
        ends: resolved,
    })
}

/// Leaves out pods that differ from two others in their node only, as far as the engine can tell.
fn alike(cluster: &Cluster, engine: &Engine<'_>, ends: &[Resolved]) -> Vec<Resolved> {
    let mut seen: FxHashMap<PodClass, usize> = FxHashMap::default();
    let mut keep = |end: &&Resolved| {
        let Resolved::Pod(id) = end else {
            return true;
        };
        let class = cluster.pod(*id).zip(engine.program());
        let Some(class) = class.and_then(|(pod, program)| program.pod_class(*id, pod)) else {
            return true;
        };
        let count = seen.entry(class).or_default();
        *count += 1;
        *count <= 2
    };
    ends.iter().filter(|end| keep(end)).cloned().collect()
}

fn is_node(cluster: &Cluster, end: &Resolved) -> bool {
    match end {
        Resolved::Node(_) => true,
        Resolved::Pod(id) => cluster.pod(*id).is_some_and(|pod| pod.host_network),
        Resolved::Address(address) => is_node_address(cluster, *address),
        Resolved::Fqdn { addresses, .. } => addresses
            .iter()
            .any(|address| is_node_address(cluster, *address)),
        Resolved::Service { .. } => true,
        Resolved::Hypothetical { .. } | Resolved::World => false,
    }
}

fn is_unknown(cluster: &Cluster, ends: &[Resolved]) -> bool {
    matches!(ends, [Resolved::Address(address)] if cluster.owner(*address).is_none())
}

fn may_be_outside(cluster: &Cluster, end: &Resolved) -> bool {
    match end {
        Resolved::Pod(_) | Resolved::Node(_) | Resolved::Hypothetical { .. } => false,
        Resolved::Address(address) => cluster.owner(*address).is_none(),
        Resolved::Fqdn { .. } | Resolved::Service { .. } | Resolved::World => true,
    }
}

fn is_node_address(cluster: &Cluster, address: IpAddr) -> bool {
    matches!(cluster.owner(address), Some(Owner::Node(_)))
}

fn assumed(cluster: &Cluster, ends: &[Resolved]) -> Vec<String> {
    let mut addresses = BTreeSet::new();
    for end in ends {
        match end {
            Resolved::Address(address) => addresses.extend([*address]),
            Resolved::Fqdn {
                addresses: seen, ..
            } => addresses.extend(seen),
            Resolved::Service { service, .. } => {
                let backends = peer::backends(cluster, *service, &PortSpec::Any);
                addresses.extend(backends.iter().filter_map(|backend| match backend.to {
                    Resolved::Address(address) => Some(address),
                    Resolved::Pod(_)
                    | Resolved::Node(_)
                    | Resolved::Hypothetical { .. }
                    | Resolved::Fqdn { .. }
                    | Resolved::Service { .. }
                    | Resolved::World => None,
                }));
            }
            Resolved::Pod(_)
            | Resolved::Node(_)
            | Resolved::Hypothetical { .. }
            | Resolved::World => {}
        }
    }
    let assumed = addresses.into_iter();
    assumed
        .filter_map(|address| peer::assumption(cluster, address))
        .collect()
}

/// The end that a peer stands for, if it is one alone.
pub(super) fn only<'a>(cluster: &'a Cluster, ends: &'a [Resolved]) -> Option<Who<'a>> {
    let [end] = ends else {
        return None;
    };
    match sources(cluster, end).ok()?.as_slice() {
        [who] => Some(*who),
        [] | [_, _, ..] => None,
    }
}
