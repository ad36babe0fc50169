//! Peers as records write them, each resolved once.

use super::told;
use crate::cluster::peer::{self, PeerSpec, PortSpec, Resolved};
use crate::cluster::{Cluster, Owner, PodId};
use crate::diagnostic::Diagnostic;
use crate::engine::{Engine, Known};
use crate::hir::flow::Endpoint;
use crate::ir::PodClass;
use crate::query::meant::{pod_of, sources};
use crate::query::{Families, Family, Who, endpoint, families_of};
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// How many peers are remembered: beyond, everything is forgotten and found again.
const MAX_PEERS: usize = 1 << 17;

/// What is known so far.
pub(super) struct Peers<'c> {
    cluster: &'c Cluster,
    engine: &'c Engine<'c>,
    families: Families,
    known: FxHashMap<Box<str>, PeerId>,
    by_v4: FxHashMap<u32, PeerId>,
    by_v6: FxHashMap<u128, PeerId>,
    peers: Vec<Result<Peer, Diagnostic>>,
    /// Those of each peer; `None` where it is none.
    facts: Vec<Option<Facts>>,
}

/// A peer among those that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PeerId(u32);

/// A peer.
#[derive(Debug)]
pub(super) struct Peer {
    /// Who is meant: one, or several of which each is asked.
    pub(super) ends: Vec<Resolved>,
    /// As `ends`, of the pods that differ in their node only two; nothing where these are all.
    alike: Option<Vec<Resolved>>,
    /// Whether one of them is a node, so that it matters on which node a pod is.
    pub(super) has_node: bool,
    /// How the record writes it.
    written: Written,
    name: OnceCell<Box<str>>,
    workload: OnceCell<Box<str>>,
    /// What an answer about it takes for granted that the snapshot does not tell.
    pub(super) assumed: Vec<String>,
}

/// What is asked of a peer for each flow: apart from all else, so that those of many peers are near each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// What the program knows of it, where it is one.
    pub(super) one: Option<One>,
    /// Whether one of them may be outside, so that it matters by which names it is known.
    pub(super) may_be_outside: bool,
    /// Whether it is an address that nobody in the snapshot has.
    pub(super) is_unknown: bool,
    /// Whether an answer about it takes anything for granted.
    pub(super) is_assumed: bool,
}

/// How a record writes a peer.
#[derive(Clone, Debug)]
enum Written {
    Text(Box<str>),
    Address(IpAddr),
}

impl Written {
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Address(address) => Cow::Owned(address.to_string()),
        }
    }
}

/// A peer that is one end of the snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct One {
    who: Who<'static>,
    /// The families that it may have.
    pub(super) families: Families,
    v4: Known,
    v6: Known,
    /// The workload's pod for which it stands.
    pub(super) stand_in: Option<PodId>,
}

impl One {
    /// What is known of it in flows over a family.
    pub(super) fn known(&self, family: Family) -> &Known {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// The end in flows over a family.
    pub(super) fn endpoint<'c>(&self, cluster: &'c Cluster, family: Family) -> Endpoint<'c> {
        endpoint(cluster, self.who, family)
    }

    fn of(
        cluster: &Cluster,
        engine: &Engine<'_>,
        families: Families,
        ends: &[Resolved],
    ) -> Option<Self> {
        engine.program()?;
        let who = only(cluster, ends)?;
        let known = |family| engine.know(&endpoint(cluster, who, family));
        let pod = pod_of(cluster, who);
        Some(Self {
            who,
            families: families_of(cluster, families, who),
            v4: known(Family::V4)?,
            v6: known(Family::V6)?,
            stand_in: pod.filter(|id| cluster.pod(*id).is_some_and(|pod| pod.stand_in)),
        })
    }
}

impl Peer {
    /// Those that are asked, where pods that differ in their node only are the same or not.
    pub(super) fn ends(&self, by_node: bool) -> &[Resolved] {
        match &self.alike {
            Some(alike) if !by_node => alike,
            Some(_) | None => &self.ends,
        }
    }

    /// How it is named to people: an address by its owner.
    pub(super) fn name(&self, cluster: &Cluster) -> &str {
        let name = || told::name(cluster, &self.ends, &self.written.text()).into();
        self.name.get_or_init(name)
    }

    /// The workload that it is or belongs to; `outside` for what the snapshot does not know.
    pub(super) fn workload(&self, cluster: &Cluster) -> &str {
        let workload = || told::workload(cluster, &self.ends, &self.written.text()).into();
        self.workload.get_or_init(workload)
    }
}

impl<'c> Peers<'c> {
    pub(super) fn new(cluster: &'c Cluster, engine: &'c Engine<'c>, families: Families) -> Self {
        Self {
            cluster,
            engine,
            families,
            known: FxHashMap::default(),
            by_v4: FxHashMap::default(),
            by_v6: FxHashMap::default(),
            peers: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// Whether it is time to forget.
    pub(super) fn is_full(&self) -> bool {
        self.peers.len() >= MAX_PEERS
    }

    /// Forgets everything; to be called while no id is held.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.by_v4.clear();
        self.by_v6.clear();
        self.peers.clear();
        self.facts.clear();
    }

    /// Finds a peer.
    pub(super) fn find(&mut self, text: &str) -> PeerId {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let resolved = PeerSpec::parse(text).and_then(|spec| peer::resolve(self.cluster, &spec));
        let id = self.put(resolved, Written::Text(text.into()));
        self.known.insert(text.into(), id);
        id
    }

    /// Finds the peer that an address is.
    pub(super) fn at(&mut self, address: IpAddr) -> PeerId {
        let address = address.to_canonical();
        let known = match address {
            IpAddr::V4(address) => self.by_v4.get(&address.to_bits()),
            IpAddr::V6(address) => self.by_v6.get(&address.to_bits()),
        };
        if let Some(known) = known {
            return *known;
        }
        let resolved = peer::resolve(self.cluster, &PeerSpec::Address(address));
        let id = self.put(resolved, Written::Address(address));
        match address {
            IpAddr::V4(address) => self.by_v4.insert(address.to_bits(), id),
            IpAddr::V6(address) => self.by_v6.insert(address.to_bits(), id),
        };
        id
    }

    fn put(
        &mut self,
        resolved: Result<Vec<Resolved>, Box<Diagnostic>>,
        written: Written,
    ) -> PeerId {
        let id = PeerId(crate::source::to_u32(self.peers.len()));
        let (peer, facts) = match resolved {
            Ok(ends) => {
                let (peer, facts) = peer(self.cluster, self.engine, self.families, ends, written);
                (Ok(peer), Some(facts))
            }
            Err(problem) => (Err(*problem), None),
        };
        self.peers.push(peer);
        self.facts.push(facts);
        id
    }

    /// What is known of a peer that was found; `None` where it is none.
    pub(super) fn facts(&self, id: PeerId) -> Option<&Facts> {
        self.facts.get(id.0 as usize)?.as_ref()
    }

    /// A peer that was found.
    pub(super) fn get(&self, id: PeerId) -> Option<&Result<Peer, Diagnostic>> {
        self.peers.get(id.0 as usize)
    }
}

fn peer(
    cluster: &Cluster,
    engine: &Engine<'_>,
    families: Families,
    ends: Vec<Resolved>,
    written: Written,
) -> (Peer, Facts) {
    let what = Owned::of(cluster, &ends);
    let assumed = match what {
        Owned::By(_) => Vec::new(),
        Owned::ByNobody | Owned::NoAddress => assumed(cluster, &ends),
    };
    let facts = Facts {
        one: One::of(cluster, engine, families, &ends),
        is_unknown: matches!(what, Owned::ByNobody),
        may_be_outside: match what {
            Owned::By(_) => false,
            Owned::ByNobody => true,
            Owned::NoAddress => ends.iter().any(|end| may_be_outside(cluster, end)),
        },
        is_assumed: !assumed.is_empty(),
    };
    let peer = Peer {
        alike: (ends.len() > 2).then(|| alike(cluster, engine, &ends)),
        written,
        name: OnceCell::new(),
        workload: OnceCell::new(),
        has_node: match what {
            Owned::By(Owner::Node(_)) => true,
            Owned::By(Owner::Pod(_)) | Owned::ByNobody => false,
            Owned::NoAddress => ends.iter().any(|end| is_node(cluster, end)),
        },
        assumed,
        ends,
    };
    (peer, facts)
}

/// Whose address a peer is that is one address alone: looked up once, since captures have many.
#[derive(Clone, Copy)]
enum Owned {
    By(Owner),
    ByNobody,
    NoAddress,
}

impl Owned {
    fn of(cluster: &Cluster, ends: &[Resolved]) -> Self {
        let [Resolved::Address(address)] = ends else {
            return Self::NoAddress;
        };
        cluster.owner(*address).map_or(Self::ByNobody, Self::By)
    }
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

/// The end of the snapshot that a peer stands for, if it is one alone.
fn only(cluster: &Cluster, ends: &[Resolved]) -> Option<Who<'static>> {
    let [end] = ends else {
        return None;
    };
    match sources(cluster, end).ok()?.as_slice() {
        [Who::Pod(id)] => Some(Who::Pod(*id)),
        [Who::Node(id)] => Some(Who::Node(*id)),
        [Who::Address(address)] => Some(match cluster.owner(*address) {
            Some(owner) => Who::Owned(*address, owner),
            None => Who::Address(*address),
        }),
        [Who::Owned(address, owner)] => Some(Who::Owned(*address, *owner)),
        [Who::World] => Some(Who::World),
        [] | [Who::Hypothetical(_)] | [_, _, ..] => None,
    }
}
