//! A policy set applied to a cluster: a finite program that judges a flow by looking things up.
//!
//! Input: a [`Cluster`] and a [`PolicySet`](crate::hir::PolicySet). Output:
//! [`Program`], made by [`Program::resolve`]. Guarantee: [`Program::judge`] equals
//! [`judge`](crate::hir::spec::judge) in every field, for every flow whose ends are those of the
//! same cluster, pods that do not exist among them.
//!
//! What rules can tell apart is finite, and stands here as ids:
//! - an *identity* is a namespace, a label set, a set of named ports and, for pods on the network of a node, that
//!   node: all pods of one identity are the same to every rule but for their address and their node;
//! - an *address class* is a run of addresses that no block and no DNS answer cuts;
//! - a *port class* is a run of ports that no range and no named port cuts.
//!
//! A [`FlowClass`] is made of these, and two flows of one class get the same judgement. Selectors are
//! evaluated once per identity, by an inverted index; the list of policies that govern an identity is made
//! once for all identities that share it (`ir::resolve`). A pod that does not exist has no identity: its selectors
//! are evaluated when it is asked about.
//!
//! The invariants of a program stand in [`verify`].

mod classify;
mod judge;
pub(crate) mod kinds;
mod partition;
pub(crate) mod precedence;
mod resolve;
mod members;
mod set;
pub(crate) mod tiers;
pub mod verify;

pub use classify::{EndClass, FlowClass, PodClass};
pub(crate) use judge::Other;
pub(crate) use resolve::merge_ports;

use crate::cluster::{Cluster, LabelsId, NamespaceId, NodeId, Owner, PodId, Protocol};
use crate::hir::{self, PolicyId, RuleId, Tier};
use crate::ids::ids;
use crate::ranges::Ranges;
use partition::Partition;
use set::IdSet;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use tiers::LastOf;

ids! {
    IdentityId, "id": "an identity in its program";
    SelectorId, "sel": "a selector in its program";
    PeersId, "peers": "a list of peers in its program";
    PortsId, "ports": "a list of ports in its program";
    TableId, "table": "a table of governing policies in its program";
    ClassId, "cls": "a class of addresses in its program";
    KindId, "kind": "what an end may be to rules that ask for identities, in its program";
}

/// A list's index as an id. Lists are no longer than those of the cluster and the policy set, whose ids are
/// 32 bits wide.
fn id(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The program. See the module for what it is, and [`verify`] for what always holds.
#[derive(Debug)]
pub struct Program {
    pub(crate) identities: Vec<Identity>,
    /// By [`PodId`]; `None` for a pod that is taken for its node.
    pub(crate) of_pod: Vec<Option<IdentityId>>,
    /// In the order in which the policy set lists them.
    pub(crate) policies: Vec<Policy>,
    /// Those of one policy and direction stand together, in their order.
    pub(crate) rules: Vec<Rule>,
    pub(crate) selectors: Vec<Selector>,
    members: members::Members,
    pub(crate) peers: Vec<Peers>,
    pub(crate) ports: Vec<Ports>,
    /// Once they are asked for: a compile of which all is kept asks for none.
    tables: OnceLock<Tables>,
    pub(crate) addresses: AddressClasses,
    /// The first port of each class.
    pub(crate) port_classes: Partition<u16>,
    pub(crate) cidr_matches_pods: bool,
    /// What ends are, where rules are resolved by precedence.
    pub(crate) kinds: Option<kinds::Kinds>,
}

/// Pods that are the same to every rule, but for their address and their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The namespace.
    pub namespace: NamespaceId,
    /// The labels.
    pub labels: LabelsId,
    /// The named ports.
    pub ports: crate::cluster::PortsId,
    /// The node whose network the pods use, known or not; `None` where they have networks of their own.
    pub host: Option<Option<NodeId>>,
    /// What they are to rules that ask for identities, whatever their address; 0 where none does.
    pub kind: KindId,
}

/// A policy with its selector resolved.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) id: PolicyId,
    pub(crate) tier: Tier,
    pub(crate) priority: u32,
    pub(crate) subject: SelectorId,
    pub(crate) isolates: hir::PerDirection<bool>,
    pub(crate) rules: hir::PerDirection<RuleRange>,
}

/// Rules that stand together: `first..end` in [`Program::rules`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RuleRange {
    pub(crate) first: u32,
    pub(crate) end: u32,
}

impl RuleRange {
    pub(crate) fn is_empty(self) -> bool {
        self.first >= self.end
    }
}

/// A rule with its lists interned; `None` matches everything.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    pub(crate) action: hir::Action,
    pub(crate) peers: Option<PeersId>,
    pub(crate) ports: Option<PortsId>,
    pub(crate) precedence: hir::Precedence,
}

/// A selector with the identities that it selects.
#[derive(Debug)]
pub(crate) struct Selector {
    /// As written, for pods that have no identity.
    pub(crate) written: hir::Subject,
    /// Whether pods on the network of a node are among those that it may select.
    pub(crate) hosts_are_pods: bool,
    /// [`Program::selected`], once it is asked for.
    selected: OnceLock<IdSet>,
}

/// A list of peers, resolved.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// [`Program::pods`], once it is asked for.
    pods: OnceLock<IdSet>,
    /// The pod peers, for pods that have no identity.
    pub(crate) selectors: Vec<SelectorId>,
    /// The nodes that any of the node peers selects.
    pub(crate) nodes: IdSet,
    /// The node peers, for nodes that the snapshot does not have.
    pub(crate) node_selectors: Vec<hir::Selector>,
    /// The classes in any of the blocks.
    pub(crate) blocks: Ranges<u32>,
    /// Which families have a block, and which a block that leaves nothing out.
    pub(crate) block_families: BlockFamilies,
    /// The classes of the answers that were seen for any of the domains.
    pub(crate) answers: Ranges<u32>,
    /// Whether there is a domain.
    pub(crate) domains: bool,
    /// Whether pods on the network of a node are pods to the rules that have this list.
    pub(crate) hosts_are_pods: bool,
    /// Whether there is a domain that may have answers that were not seen: one without any, or a wildcard.
    pub(crate) unseen: bool,
    /// The kinds that any of the peers is, where rules are resolved by precedence.
    pub(crate) kinds: IdSet,
    /// The peers as written then, for pods that have no kind.
    pub(crate) written: Box<[hir::Peer]>,
    /// Whether any address outside may be one of the peers, whatever its kind.
    pub(crate) may_be_behind: bool,
}

/// What is known of a list of blocks without an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockFamilies {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
    pub(crate) whole_v4: bool,
    pub(crate) whole_v6: bool,
}

/// A list of ports, merged by protocol.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    /// Sorted by protocol, each once.
    pub(crate) protocols: Vec<ProtocolPorts>,
    pub(crate) named: Vec<(Option<Protocol>, Box<str>)>,
    /// The list as written, where rules are resolved by precedence.
    pub(crate) written: Box<[hir::PortMatch]>,
}

/// The ports of one protocol.
#[derive(Debug)]
pub(crate) struct ProtocolPorts {
    pub(crate) protocol: Protocol,
    pub(crate) ranges: Ranges<u32>,
    /// Whether one of the items is the whole protocol.
    pub(crate) whole: bool,
}

/// What governs, each list of policies once.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) list: Vec<Table>,
    /// By [`IdentityId`].
    pub(crate) of_identity: Vec<TableId>,
}

/// What governs an identity: the same for all identities that the same policies select.
#[derive(Debug)]
pub(crate) struct Table {
    /// Indices into [`Program::policies`].
    pub(crate) governing: Box<[u32]>,
    pub(crate) chains: hir::PerDirection<Chain>,
}

/// The rules that one direction asks, in their order.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// The tiers that are asked first: the Admin tier, or all of them where rules are resolved by precedence.
    pub(crate) first: Box<[Step]>,
    /// Whether what no rule decides is denied.
    pub(crate) is_isolated: bool,
    /// Whether the node of the subject reaches it then.
    pub(crate) allows_own_node: bool,
    /// What the policies are that isolate; there may be none.
    pub(crate) isolated_by: Box<[PolicyId]>,
    pub(crate) namespace: Box<[RuleRange]>,
    pub(crate) baseline: Box<[Step]>,
    /// Whether a rule looks at the other end's address.
    pub(crate) sees_addresses: bool,
    /// Whether a rule says what the ends must prove.
    pub(crate) asks_for_auth: bool,
    /// Whether a rule passes.
    pub(crate) has_pass: bool,
}

impl Chain {
    /// Whether no policy has a say.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty() && !self.is_isolated && self.baseline.is_empty()
    }

    /// Where the rules stand, in the order in which they are asked.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = RuleRange> {
        let steps = self.first.iter().chain(&self.baseline);
        let steps = steps.map(|step| step.rules);
        steps.chain(self.namespace.iter().copied())
    }
}

/// Rules of a tier in which order decides, the first that matches first: those of one policy, or a single one where
/// rules are resolved by precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    pub(crate) rules: RuleRange,
    /// A level has the steps of one priority.
    pub(crate) last_of: LastOf,
}

/// The classes of both families, IPv4 first, numbered through.
#[derive(Debug)]
pub(crate) struct AddressClasses {
    pub(crate) v4: Partition<u32>,
    pub(crate) v6: Partition<u128>,
}

/// How large a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Identities.
    pub identities: usize,
    /// Policies.
    pub policies: usize,
    /// Rules.
    pub rules: usize,
    /// Distinct selectors.
    pub selectors: usize,
    /// Distinct lists of governing policies.
    pub tables: usize,
    /// Classes of addresses, of both families.
    pub address_classes: usize,
    /// Classes of ports.
    pub port_classes: usize,
}

impl Program {
    /// The identities that a selector selects.
    pub(crate) fn selected<'p>(&self, selector: &'p Selector) -> &'p IdSet {
        selector.selected.get_or_init(|| {
            let written = selector.written.pods();
            let select = |pods| self.members.select(pods, selector.hosts_are_pods);
            written.map_or(IdSet::default(), |pods| IdSet::new(select(pods)))
        })
    }

    /// The identities that any of the pod peers of a list selects, and those that are nodes to it which one of the others selects; none
    /// where rules are resolved by precedence.
    pub(crate) fn pods<'p>(&self, peers: &'p Peers) -> &'p IdSet {
        peers.pods.get_or_init(|| {
            if self.kinds.is_some() {
                return IdSet::default();
            }
            let selectors = peers.selectors.iter();
            let selectors = selectors.filter_map(|own| self.selectors.get(own.index()));
            let selected = selectors.flat_map(|own| self.selected(own).to_vec());
            let nodes = peers.node_selectors.iter();
            let nodes = nodes.filter(|_| !peers.hosts_are_pods);
            let on_nodes = nodes.flat_map(|nodes| self.members.on_nodes(nodes));
            IdSet::new(selected.chain(on_nodes).collect())
        })
    }

    /// How large the program is.
    #[must_use]
    pub fn size(&self) -> Size {
        Size {
            identities: self.identities.len(),
            policies: self.policies.len(),
            rules: self.rules.len(),
            selectors: self.selectors.len(),
            tables: self.tables().list.len(),
            address_classes: self.addresses.v4.len() + self.addresses.v6.len(),
            port_classes: self.port_classes.len(),
        }
    }

    /// The identities, sorted by namespace, labels and named ports.
    #[must_use]
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// The identity of a pod; `None` where it is taken for its node
    /// ([`HostNetwork`](crate::cluster::HostNetwork)).
    #[must_use]
    pub fn identity_of(&self, pod: PodId) -> Option<IdentityId> {
        self.of_pod.get(pod.index()).copied().flatten()
    }

    /// The policies that isolate a pod in a direction, at any of its addresses.
    pub fn isolating(
        &self,
        pod: PodId,
        direction: hir::Direction,
    ) -> impl Iterator<Item = PolicyId> {
        self.isolating_by(self.tables_of_pod(pod), direction)
    }

    /// The policies that isolate a node in a direction, at any of its addresses.
    pub fn isolating_host(
        &self,
        cluster: &Cluster,
        node: NodeId,
        direction: hir::Direction,
    ) -> impl Iterator<Item = PolicyId> {
        self.isolating_by(self.tables_of_host(cluster, node), direction)
    }

    fn isolating_by(
        &self,
        tables: Vec<TableId>,
        direction: hir::Direction,
    ) -> impl Iterator<Item = PolicyId> {
        let tables = tables.into_iter().filter_map(|id| self.table_at(id));
        tables.flat_map(move |table| table.chains.get(direction).isolated_by.iter().copied())
    }

    /// The policies that govern a pod, as indices into the policy set.
    pub(crate) fn governing_of(&self, pod: PodId) -> &[u32] {
        let table = self.table_of_pod(pod).and_then(|id| self.table_at(id));
        table.map_or(&[], |table| &table.governing)
    }

    /// What governs a pod, by the first of its addresses; `None` where it is taken for its node.
    pub(crate) fn table_of_pod(&self, pod: PodId) -> Option<TableId> {
        self.tables_of_pod(pod).first().copied()
    }

    /// What governs a pod at each of its addresses or, where it has none, what may; each once.
    fn tables_of_pod(&self, pod: PodId) -> Vec<TableId> {
        match &self.kinds {
            Some(kinds) => kinds.tables_of_pod(pod),
            None => {
                let identity = self.identity_of(pod);
                let table = identity.and_then(|identity| self.table_of(identity));
                table.into_iter().collect()
            }
        }
    }

    /// The policies that govern a pod or a node.
    pub(crate) fn governing_anyone(&self, cluster: &Cluster) -> BTreeSet<PolicyId> {
        let pods = (0..id(cluster.pods().len())).map(PodId);
        let nodes = (0..id(cluster.nodes().len())).map(NodeId);
        let of_pods = pods.flat_map(|pod| self.tables_of_pod(pod));
        let of_nodes = nodes.flat_map(|node| self.tables_of_host(cluster, node));
        let tables: BTreeSet<TableId> = of_pods.chain(of_nodes).collect();
        let tables = tables.into_iter().filter_map(|id| self.table_at(id));
        let policies = tables.flat_map(|table| &table.governing);
        let policies = policies.filter_map(|index| self.policies.get(*index as usize));
        policies.map(|policy| policy.id).collect()
    }

    /// Whether policies govern nodes, too.
    #[must_use]
    pub fn governs_nodes(&self) -> bool {
        let kinds = self.kinds.as_ref();
        kinds.is_some_and(|kinds| kinds.enforcement.governs_nodes)
    }

    /// What governs a node, by the first of its addresses; `None` where no policy governs nodes.
    pub(crate) fn table_of_host(&self, cluster: &Cluster, node: NodeId) -> Option<TableId> {
        self.tables_of_host(cluster, node).first().copied()
    }

    /// What governs a node at each of its addresses, each once.
    fn tables_of_host(&self, cluster: &Cluster, node: NodeId) -> Vec<TableId> {
        let kinds = self.kinds.as_ref().filter(|_| self.governs_nodes());
        kinds.map_or(Vec::new(), |kinds| kinds.tables_of_host(cluster, node))
    }

    /// A pod or a node that is governed by one thing at one of its addresses and by another at another, or of which it is open
    /// by what: one whose policies ask what blocks it is in. There may be such where blocks match pods or nodes.
    #[must_use]
    pub fn is_governed_by_address(&self, cluster: &Cluster) -> Option<Owner> {
        let kinds = self.kinds.as_ref()?;
        let pods = (0..id(cluster.pods().len())).map(PodId);
        let pod = pods
            .into_iter()
            .find(|pod| kinds.tables_of_pod(*pod).len() > 1);
        let nodes = (0..id(cluster.nodes().len())).map(NodeId);
        let mut nodes = nodes.filter(|_| self.governs_nodes());
        let mut node = || nodes.find(|node| kinds.tables_of_host(cluster, *node).len() > 1);
        pod.map(Owner::Pod).or_else(|| node().map(Owner::Node))
    }

    /// What governs.
    pub(crate) fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| self.make_tables())
    }

    pub(crate) fn table_at(&self, table: TableId) -> Option<&Table> {
        self.tables().list.get(table.index())
    }

    pub(crate) fn table_of(&self, identity: IdentityId) -> Option<TableId> {
        self.tables().of_identity.get(identity.index()).copied()
    }

    /// What pods with an identity are governed by.
    fn table(&self, identity: IdentityId) -> Option<&Table> {
        self.table_at(self.table_of(identity)?)
    }
}
