//! The open world: what an image carries so that a pod, an address or a name that it has never seen gets the verdict
//! that the policies imply, without a compiler.
//!
//! Input: the bytes of two sections of an image. `world` is the same in the images of all nodes: the policies with
//! their selectors, the DNS answers that were seen, and who the leaves are. `subjects` tells who the endpoints of the
//! image are. Output: [`World`] and [`Subjects`], whose every number leads to an entry ([`World::read`],
//! [`Subjects::read`]). With them:
//!
//! - [`World::judge`] says what the policies say of any two ends, known or not: the outcome of the definition of the
//!   semantics, with the same rules;
//! - [`Places::leaf`] finds a leaf of the image whose class decides as the policies do about an end that the image
//!   has not seen, at every endpoint and for every packet, and [`Places::endpoint`] an endpoint that is asked the same
//!   as a new one. Where there is none, the image needs to be compiled again; until then a node uses
//!   [`NEEDS_RECOMPILE`], for which every lookup finds nothing, and so denies.
//!
//! [`Overlay`] keeps what was learnt after the image was made: the leaves of new addresses. It is looked at before the
//! tables.
//!
//! Everything here needs memory of its own and is for the host alone.

mod ends;
mod judge;
mod overlay;
mod place;
mod wire;

pub use ends::{Address, End, Node, Pod, Who};
pub use judge::{Packet, Side, Truth, Verdict};
pub use overlay::Overlay;
pub use place::{Decider, Places};
pub use wire::WireError;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

/// In place of a leaf or an endpoint: there is none yet, and whatever is asked of it is denied.
pub const NEEDS_RECOMPILE: u32 = u32::MAX;

/// In place of the number of a text: none of those that policies ask about.
pub const NOT_ASKED: u32 = u32::MAX;

/// Policies, DNS answers and leaves. Texts, selectors and lists are named by their index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// Texts: sorted, each once.
    pub strings: Vec<Box<str>>,
    /// Whether the policies cannot be asked about what the cluster does not have: they are resolved in a way that is not
    /// carried, so that they have no subjects, peers and ports here. New ends have no place in such an image.
    pub closed: bool,
    /// Whether blocks match the addresses of pods.
    pub cidr_matches_pods: bool,
    /// Label selectors: all requirements must hold.
    pub selectors: Vec<Vec<Requirement>>,
    /// Pod selectors.
    pub pod_selectors: Vec<PodSelector>,
    /// Lists of peers: one must match.
    pub peers: Vec<Vec<Peer>>,
    /// Lists of ports: one must match.
    pub ports: Vec<Vec<PortMatch>>,
    /// The policies, in the order in which they are listed.
    pub policies: Vec<Policy>,
    /// DNS answers by name: sorted, each once.
    pub answers: Vec<Answer>,
    /// Label sets, of the keys that policies ask about: sorted by key.
    pub label_sets: Vec<LabelSet>,
    /// Sets of named ports, of the names that policies ask about.
    pub port_sets: Vec<Vec<NamedPort>>,
    /// The namespaces.
    pub namespaces: Vec<Namespace>,
    /// The nodes: their label sets.
    pub nodes: Vec<u32>,
    /// Who pods are.
    pub identities: Vec<Identity>,
    /// By leaf: who it is.
    pub leaves: Vec<LeafWho>,
}

/// Keys with values.
pub type LabelSet = Vec<(u32, u32)>;

/// A name with its addresses.
pub type Answer = (Box<str>, Vec<IpAddr>);

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The key.
    pub key: u32,
    /// What must be true of it.
    pub operator: Operator,
}

/// What a requirement asks of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// It is there and has one of these values.
    In(Vec<u32>),
    /// It is not there, or has none of these values.
    NotIn(Vec<u32>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

/// Pods by their namespace and their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSelector {
    /// Which namespaces.
    pub namespaces: NamespaceSelector,
    /// The selector of the pods.
    pub pods: u32,
}

/// Namespaces by name or by labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceSelector {
    /// The one with this name.
    Named(u32),
    /// Those that the selector matches.
    Labels(u32),
}

/// A block of addresses: its first address and the length of the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    /// The first address.
    pub first: IpAddr,
    /// How many bits all its addresses have in common.
    pub bits: u8,
}

/// The other end of a flow as a rule names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Pods: a pod selector.
    Pods(u32),
    /// Nodes: a label selector.
    Nodes(u32),
    /// Addresses in a block, but not in these parts of it.
    Block(Net, Vec<Net>),
    /// The addresses of a name.
    Name(u32),
    /// The addresses of the names below a name.
    Subdomains(u32),
}

/// A port as a rule names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortMatch {
    /// Ports of a protocol; from 0 to 65,535 is the whole protocol.
    Range(u8, u16, u16),
    /// The port to which the destination gives a name, over this or any protocol.
    Named(Option<u8>, u32),
}

/// The order in which policies are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// First.
    Admin,
    /// The policies of namespaces.
    Namespace,
    /// Last.
    Baseline,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// It lets the packet pass.
    Allow,
    /// It does not.
    Deny,
    /// The tier is left without a decision.
    Pass,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name: `NetworkPolicy/shop/api`.
    pub name: Box<str>,
    /// The file in which it stands.
    pub file: u32,
    /// Its line.
    pub line: u32,
    /// Its tier.
    pub tier: Tier,
    /// Its rank in the tier.
    pub priority: u32,
    /// The pod selector of the pods that it governs; none where it governs no pod.
    pub subject: Option<u32>,
    /// Whether it isolates: ingress, egress.
    pub isolates: [bool; 2],
    /// Its rules: ingress, egress.
    pub rules: [Vec<Rule>; 2],
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its number among all rules.
    pub id: u32,
    /// What it does.
    pub action: RuleAction,
    /// The list of peers; none where it matches all.
    pub peers: Option<u32>,
    /// The list of ports; none where it matches all.
    pub ports: Option<u32>,
    /// Its path in the policy.
    pub path: u32,
    /// Its line.
    pub line: u32,
}

/// A port that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// The name.
    pub name: u32,
    /// The protocol.
    pub protocol: u8,
    /// The number.
    pub number: u16,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: Box<str>,
    /// Its label set.
    pub labels: u32,
}

/// Pods that are the same to every rule but for their address and their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The namespace.
    pub namespace: u32,
    /// The label set.
    pub labels: u32,
    /// The set of named ports.
    pub ports: u32,
    /// Whose network they use; none where it is their own.
    pub host: Option<Host>,
}

/// Whose network a pod uses that has none of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A node's.
    Node(u32),
    /// That of a node that is not known.
    Unknown,
}

/// Who a leaf is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafWho {
    /// Pods of an identity.
    Identity(u32),
    /// A node.
    Node(u32),
    /// A node that is not known.
    UnknownNode,
    /// Anyone outside.
    Outside,
}

/// Who the endpoints of an image are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subjects {
    /// The node on which they run, where that is known.
    pub node: Option<u32>,
    /// The identity of each.
    pub identities: Vec<u32>,
}
