//! What `list --format json` prints.

use super::exposure::report::NewPodsPart;
use super::{Block, Directory, Listing, Pair, Party, Peer};
use crate::cluster::Protocol;
use crate::flows::{Answer, AnswerId, Packets};
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;

/// The version of the shape.
pub const VERSION: u32 = 1;

/// All connections of a cluster.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ListReport<'a> {
    /// The version of this shape.
    pub version: u32,
    /// Every pair between which something passes, or may pass.
    pub connections: Vec<Connection<'a>>,
    /// What `--exposure` adds.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub new_pods: Option<NewPodsPart>,
    /// What was left out of the input, so that the answer may be another: policies of kinds that are not read,
    /// objects that have errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

/// All connections of a cluster, with what is equal put together.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct GroupReport<'a> {
    /// The version of this shape.
    pub version: u32,
    /// Every source in a group reaches every destination in it. Pairs stand in one group only.
    pub groups: Vec<Group<'a>>,
    /// What `--exposure` adds.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub new_pods: Option<NewPodsPart>,
    /// What was left out of the input, so that the answer may be another: policies of kinds that are not read,
    /// objects that have errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

/// What may pass from each of some peers to each of some others.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Group<'a> {
    /// The sources. One that is also a destination reaches the others, and itself only where it has several pods.
    pub src: Vec<&'a PeerReport>,
    /// The destinations.
    pub dst: Vec<&'a PeerReport>,
    /// What is allowed.
    pub ports: &'a [Ports],
    /// What is neither surely allowed nor surely denied.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub depends: &'a [Ports],
    /// Of both: what goes by way of a proxy (L7), which may refuse what it carries, or may go so.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub proxied: &'a [Ports],
    /// Of both: what passes only where the ends have authenticated, or may be such.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub authenticated: &'a [Ports],
}

/// What may pass from one peer to another.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Connection<'a> {
    /// The source.
    pub src: &'a PeerReport,
    /// The destination.
    pub dst: &'a PeerReport,
    /// What is allowed.
    pub ports: &'a [Ports],
    /// What is neither surely allowed nor surely denied: it hangs on something that the input leaves open, or the
    /// pods of a workload have different answers.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub depends: &'a [Ports],
    /// Of both: what goes by way of a proxy (L7), which may refuse what it carries, or may go so.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub proxied: &'a [Ports],
    /// Of both: what passes only where the ends have authenticated, or may be such.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub authenticated: &'a [Ports],
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum PeerReport {
    /// A workload, or a pod without an owner.
    Workload {
        /// The namespace.
        namespace: Box<str>,
        /// The name.
        name: Box<str>,
        /// Its kind: `Deployment`, or `Pod` for a pod without an owner.
        workload: Box<str>,
    },
    /// A pod.
    Pod {
        /// The namespace.
        namespace: Box<str>,
        /// The name.
        name: Box<str>,
        /// Of a pod that is not among the inputs: the workload that would make it, `Deployment/web`.
        #[serde(skip_serializing_if = "Option::is_none")]
        stands_for: Option<Box<str>>,
    },
    /// A node, where policies govern nodes.
    Node {
        /// The name.
        name: Box<str>,
    },
    /// Addresses outside the cluster. Those of pods and nodes in between are not meant.
    Ip {
        /// First and last addresses.
        ranges: Vec<(IpAddr, IpAddr)>,
    },
}

/// The ports of a protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ports {
    /// `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6`, or `other` for all protocols that are not named.
    pub protocol: Box<str>,
    /// The first and last destination port, or type of ICMP; absent for `other`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<(u16, u16)>,
}

/// All protocols that are not named.
pub(super) const OTHER: &str = "other";

/// The protocols that are always named.
const NAMED: [Protocol; 5] = [
    Protocol::TCP,
    Protocol::UDP,
    Protocol::SCTP,
    Protocol::ICMP,
    Protocol::ICMPV6,
];

/// The ports of packets, protocol by protocol.
#[must_use]
pub fn ports(packets: &Packets) -> Vec<Ports> {
    let of_protocols = protocols(packets).into_iter().map(|protocol| Ports {
        protocol: protocol.to_string().into(),
        ranges: packets.of_this(protocol).iter().collect(),
    });
    let others = packets.has_others().then(|| Ports {
        protocol: OTHER.into(),
        ranges: Vec::new(),
    });
    of_protocols.chain(others).collect()
}

/// Those protocols of which there are packets and that are named one by one, in the order in which they are shown.
#[must_use]
pub fn protocols(packets: &Packets) -> Vec<Protocol> {
    let told = packets.told().map(|(protocol, _)| protocol);
    let mut protocols = Vec::new();
    for protocol in NAMED.into_iter().chain(told) {
        if !protocols.contains(&protocol) && !packets.of_this(protocol).is_empty() {
            protocols.push(protocol);
        }
    }
    protocols
}

/// Ends and answers as they are shown, each made once.
#[derive(Debug, Default)]
pub struct Shown {
    parties: FxHashMap<Party, PeerReport>,
    answers: FxHashMap<AnswerId, [Vec<Ports>; 4]>,
}

impl Shown {
    /// All that some pairs need.
    #[must_use]
    pub fn of(listing: &Listing<'_>, pairs: &[Pair]) -> Self {
        let mut shown = Self::default();
        for pair in pairs {
            shown.add_answer(pair.answer, listing.answer(pair.answer));
            shown.add(listing.directory(), pair.src);
            shown.add(listing.directory(), pair.dst);
        }
        shown
    }

    /// All that some blocks need.
    #[must_use]
    pub fn of_blocks(listing: &Listing<'_>, blocks: &[Block]) -> Self {
        let mut shown = Self::default();
        for block in blocks {
            let sources = block.src.iter().flat_map(|(_, src)| src);
            for end in block.dst.iter().chain(sources) {
                shown.add(listing.directory(), *end);
            }
            for (answer, _) in &block.src {
                shown.add_answer(*answer, listing.answer(*answer));
            }
        }
        shown
    }

    /// Makes an end.
    pub(crate) fn add(&mut self, directory: &Directory, end: Party) {
        let known = self.parties.entry(end);
        known.or_insert_with(|| party(directory, end));
    }

    /// Makes an answer.
    pub(crate) fn add_answer(&mut self, id: AnswerId, answer: &Answer) {
        let Answer {
            allow,
            depends,
            proxied,
            proving,
        } = answer;
        let known = self.answers.entry(id);
        known.or_insert_with(|| [allow, depends, proxied, proving].map(ports));
    }

    /// An end that was made.
    pub(crate) fn party(&self, end: Party) -> Option<&PeerReport> {
        self.parties.get(&end)
    }

    /// What is allowed and what depends, by an answer that was made, and which of that goes by a proxy and is authenticated.
    pub(crate) fn answer(&self, id: AnswerId) -> Option<[&[Ports]; 4]> {
        Some(self.answers.get(&id)?.each_ref().map(Vec::as_slice))
    }

    /// The groups of a block as they are shown.
    pub fn groups(&self, block: &Block) -> impl Iterator<Item = Group<'_>> {
        let ends = |parties: &[Party]| {
            let known = parties.iter().filter_map(|end| self.parties.get(end));
            known.collect::<Vec<_>>()
        };
        let of_answers = block.src.iter().filter_map(move |(answer, src)| {
            let [ports, depends, proxied, authenticated] = self.answers.get(answer)?;
            Some(Group {
                src: ends(src),
                dst: ends(&block.dst),
                ports,
                depends,
                proxied,
                authenticated,
            })
        });
        of_answers.collect::<Vec<_>>().into_iter()
    }

    /// A pair as it is shown; `None` for one of other pairs.
    #[must_use]
    pub fn connection(&self, pair: &Pair) -> Option<Connection<'_>> {
        let [ports, depends, proxied, authenticated] = self.answers.get(&pair.answer)?;
        Some(Connection {
            src: self.parties.get(&pair.src)?,
            dst: self.parties.get(&pair.dst)?,
            ports,
            depends,
            proxied,
            authenticated,
        })
    }
}

impl From<&Peer> for PeerReport {
    fn from(peer: &Peer) -> Self {
        let (namespace, name) = (peer.namespace.clone(), peer.name.clone());
        if peer.node.is_some() {
            return Self::Node { name };
        }
        match &peer.workload {
            Some(workload) => Self::Workload {
                namespace,
                name,
                workload: workload.clone(),
            },
            None => Self::Pod {
                namespace,
                name,
                stands_for: peer.stands_for.clone(),
            },
        }
    }
}

/// An end as it is shown.
#[must_use]
pub fn party(directory: &Directory, party: Party) -> PeerReport {
    let peer = match party {
        Party::Peer(id) => directory.peer(id).map(PeerReport::from),
        Party::Outside(id) => Some(PeerReport::Ip {
            ranges: directory.addresses(id).to_vec(),
        }),
    };
    peer.unwrap_or(PeerReport::Ip { ranges: Vec::new() })
}
