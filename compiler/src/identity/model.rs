//! The identities of one snapshot: by the labels of pods, and by the longest block that has an address.

use super::{Aggregate, Identity, LabelFilter, LabelSet, key, source};
use crate::cluster::{Cluster, Labels, NamedPort, Node, NodeId, PodId};
use crate::source::to_u32;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The switches that change identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The name of the cluster.
    pub cluster: Box<str>,
    /// Its number in a mesh; 0 stands for none.
    pub cluster_id: u32,
    /// Whether the cluster has IPv4.
    pub v4: bool,
    /// Whether the cluster has IPv6.
    pub v6: bool,
    /// Whether blocks match nodes.
    pub blocks_match_nodes: bool,
    /// Whether blocks match pods.
    pub blocks_match_pods: bool,
    /// Whether nodes have the labels that the API server has for them.
    pub node_labels: bool,
    /// Whether policies govern nodes.
    pub governs_nodes: bool,
    /// Whether identities are taken together in aggregates.
    pub aggregates: bool,
    /// Whether pods have labels of their named ports.
    pub named_ports: bool,
    /// Which labels of pods count.
    pub filter: LabelFilter,
}

impl Default for Options {
    /// The defaults of Cilium 1.20.
    fn default() -> Self {
        Self {
            cluster: "default".into(),
            cluster_id: 0,
            v4: true,
            v6: true,
            blocks_match_nodes: false,
            blocks_match_pods: false,
            node_labels: false,
            governs_nodes: false,
            aggregates: true,
            named_ports: true,
            filter: LabelFilter::default(),
        }
    }
}

impl Options {
    /// The key of what is outside by an address of this family.
    #[must_use]
    pub fn world(&self, is_v4: bool) -> &'static str {
        match (is_v4, self.v4, self.v6) {
            (true, _, true) => key::WORLD_V4,
            (false, true, _) => key::WORLD_V6,
            (true, _, false) | (false, false, _) => key::WORLD,
        }
    }
}

/// What policies mention: each has an identity of its own, whether a rule tells it apart or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentioned {
    /// Blocks of rules, their exceptions among them.
    pub blocks: BTreeSet<IpNet>,
    /// Patterns of domain names, by the addresses that answers for such names had.
    pub names: BTreeMap<IpAddr, BTreeSet<Box<str>>>,
}

/// A pod that has an identity.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The pod, unless it does not exist.
    pub id: Option<PodId>,
    /// The name of its namespace.
    pub namespace: &'a str,
    /// The labels of its namespace.
    pub namespace_labels: &'a Labels,
    /// Its own labels.
    pub labels: &'a Labels,
    /// Its named ports; `None` where they are not known.
    pub ports: Option<&'a [NamedPort]>,
    /// Its service account.
    pub service_account: &'a str,
}

/// What is known of a block.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Outside(Identity),
    /// An address of a node, as the endpoints of that node see it and as all others do.
    Node {
        id: NodeId,
        host: Identity,
        remote: Identity,
    },
}

/// The identities of one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    options: Options,
    /// By [`PodId`].
    pods: Vec<Identity>,
    /// By [`NodeId`], without what its addresses add: as its own endpoints see it, and as others do.
    nodes: Vec<[Identity; 2]>,
    /// A node that is not known, in the same two ways.
    unknown_node: [Identity; 2],
    entries: BTreeMap<IpNet, Entry>,
    /// What is outside and in no block.
    world_v4: Identity,
    world_v6: Identity,
    /// The labels that blocks give to pods, where they match pods.
    metadata: BTreeMap<IpNet, Metadata>,
}

impl Identities {
    /// The identities of a snapshot.
    #[must_use]
    pub fn new(cluster: &Cluster, mentioned: &Mentioned, options: Options) -> Self {
        let metadata = metadata(cluster, mentioned, &options);
        let world = |v4| outside(LabelSet::default(), None, v4, &options);
        let mut identities = Self {
            world_v4: world(true),
            world_v6: world(false),
            ..Self::default()
        };
        let nodes = cluster.nodes().iter();
        identities.nodes = nodes
            .map(|node| {
                [true, false]
                    .map(|own| node_ends(Some(node), cluster, own, &Merged::default(), &options))
            })
            .collect();
        identities.unknown_node =
            [true, false].map(|own| node_ends(None, cluster, own, &Merged::default(), &options));
        for (block, own) in &metadata {
            let merged = Merged::of(*block, &metadata);
            let is_v4 = block.addr().is_ipv4();
            let node = own.node.and_then(|id| Some((id, cluster.node(id)?)));
            let entry = match node {
                Some((id, node)) => Entry::Node {
                    id,
                    host: node_ends(Some(node), cluster, true, &merged, &options),
                    remote: node_ends(Some(node), cluster, false, &merged, &options),
                },
                None => Entry::Outside(outside(merged.labels, merged.block, is_v4, &options)),
            };
            identities.entries.insert(*block, entry);
        }
        identities.options = options;
        identities.metadata = metadata;
        identities.pods = (0..cluster.pods().len())
            .map(|index| identities.described(snapshot_view(cluster, PodId(to_u32(index)))))
            .collect();
        identities
    }

    /// The switches.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// A pod, by this address of its; without one it has no label of a block.
    #[must_use]
    pub fn pod(&self, view: View<'_>, address: Option<IpAddr>) -> Identity {
        let known = view.id.and_then(|id| self.pods.get(id.index()));
        let mut identity = known.map_or_else(|| self.described(view), Clone::clone);
        if let Some(address) = address.filter(|_| self.options.blocks_match_pods) {
            self.add_blocks(&mut identity, address.into());
        }
        identity
    }

    /// Everything that a pod can be by an address of these families that is not known.
    #[must_use]
    pub fn pod_anywhere(&self, view: View<'_>, v4: bool, v6: bool) -> Vec<Identity> {
        let plain = self.pod(view, None);
        if !self.options.blocks_match_pods || !(v4 || v6) {
            return vec![plain];
        }
        let families = [
            (v4, IpNet::from(Ipv4Net::default())),
            (v6, Ipv6Net::default().into()),
        ];
        let whole = families
            .iter()
            .filter_map(|(wanted, all)| wanted.then_some(all));
        let known = self.metadata.keys();
        let known = known.filter(|block| if block.addr().is_ipv4() { v4 } else { v6 });
        let places = whole.chain(known).map(|block| {
            let mut identity = plain.clone();
            self.add_blocks(&mut identity, *block);
            identity
        });
        let distinct: BTreeSet<Identity> = places.collect();
        distinct.into_iter().collect()
    }

    /// A node as an endpoint sees it that runs on the node `from`: both that it is the endpoint's own and that it is
    /// another, where that is not known.
    #[must_use]
    pub fn node(
        &self,
        id: Option<NodeId>,
        address: Option<IpAddr>,
        from: Option<NodeId>,
    ) -> Vec<&Identity> {
        let entry = address.and_then(|address| self.entry(address));
        let ends = match (entry, id) {
            (Some(Entry::Node { id, host, remote }), _) => Some((*id, [host, remote])),
            (Some(Entry::Outside(_)) | None, Some(id)) => {
                let ends = self.nodes.get(id.index());
                ends.map(|[host, remote]| (id, [host, remote]))
            }
            (Some(Entry::Outside(_)) | None, None) => None,
        };
        match (ends, from) {
            (Some((id, [host, remote])), Some(from)) => {
                vec![if id == from { host } else { remote }]
            }
            (Some((_, ends)), None) => ends.into(),
            (None, _) => self.unknown_node.iter().collect(),
        }
    }

    /// An address that no pod and no node owns.
    #[must_use]
    pub fn outside(&self, address: IpAddr) -> &Identity {
        match self.entry(address) {
            Some(Entry::Outside(identity)) => identity,
            Some(Entry::Node { remote, .. }) => remote,
            None if address.is_ipv4() => &self.world_v4,
            None => &self.world_v6,
        }
    }

    /// Everything that an address of these families can be that no pod and no node owns.
    pub fn anywhere(&self, v4: bool, v6: bool) -> impl Iterator<Item = &Identity> {
        let wanted = move |block: &IpNet| if block.addr().is_ipv4() { v4 } else { v6 };
        let entries = self.entries.iter().filter(move |(block, _)| wanted(block));
        let outside = entries.filter_map(|(_, entry)| match entry {
            Entry::Outside(identity) => Some(identity),
            Entry::Node { .. } => None,
        });
        let worlds = [(v4, &self.world_v4), (v6, &self.world_v6)];
        worlds
            .into_iter()
            .filter_map(|(wanted, world)| wanted.then_some(world))
            .chain(outside)
    }

    /// The blocks that have an identity of their own, as an endpoint sees them that runs on the node `from`: addresses
    /// of nodes among them, those of pods not. Where `from` is not known, every node is another one.
    pub fn blocks(&self, from: Option<NodeId>) -> impl Iterator<Item = (IpNet, &Identity)> {
        self.entries.iter().map(move |(block, entry)| match entry {
            Entry::Outside(identity) => (*block, identity),
            Entry::Node { id, host, .. } if Some(*id) == from => (*block, host),
            Entry::Node { remote, .. } => (*block, remote),
        })
    }

    /// The blocks of which something is known.
    pub(crate) fn known_blocks(&self) -> impl Iterator<Item = &IpNet> {
        self.entries.keys()
    }

    /// What is outside and in no block.
    #[must_use]
    pub fn world(&self, is_v4: bool) -> &Identity {
        if is_v4 {
            &self.world_v4
        } else {
            &self.world_v6
        }
    }

    /// What is known of the longest block that has an address.
    pub(crate) fn entry(&self, address: IpAddr) -> Option<&Entry> {
        around(address.into()).find_map(|block| self.entries.get(&block))
    }

    /// A pod by its labels and those of its namespace.
    fn described(&self, view: View<'_>) -> Identity {
        let options = &self.options;
        let mut labels = LabelSet::default();
        let mut add = |key: &str, value: &str| {
            if options.filter.keeps(source::K8S, key) {
                labels.add(source::K8S, key, value);
            }
        };
        add(key::NAMESPACE, view.namespace);
        add(key::CLUSTER, &options.cluster);
        add(key::SERVICE_ACCOUNT, view.service_account);
        for (own, value) in view.namespace_labels.iter() {
            add(&format!("{}{own}", key::NAMESPACE_LABELS), value);
        }
        for (own, value) in view.labels.iter() {
            add(own, value);
        }
        let ports = view.ports.filter(|_| options.named_ports);
        for (index, ports) in port_texts(ports.unwrap_or_default()).iter().enumerate() {
            let key = match index {
                0 => key::NAMED_PORTS.to_owned(),
                more => format!("{}-{more}", key::NAMED_PORTS),
            };
            labels.add(source::GENERATED, &key, ports);
        }
        Identity {
            labels,
            blocks: Vec::new(),
            aggregate: if options.aggregates {
                Aggregate::Cluster
            } else {
                Aggregate::None
            },
            own: LabelSet::default(),
        }
    }

    /// Where blocks match pods, a pod has the labels of every block that has its address, or else that of the whole
    /// family. In place of the address stands a block that has it, and of which it is in no narrower one.
    fn add_blocks(&self, identity: &mut Identity, place: IpNet) {
        for block in around(place) {
            let Some(metadata) = self.metadata.get(&block) else {
                continue;
            };
            identity.blocks.extend(metadata.is_block.then_some(block));
            for label in metadata
                .labels
                .iter()
                .filter(|label| &*label.source == source::CIDR_GROUP)
            {
                identity.labels.add(&label.source, &label.key, &label.value);
            }
        }
        if identity.blocks.is_empty() {
            identity.blocks.extend(around(place).last());
        }
    }
}

/// A block and those that have it, the longest first; the last has the whole family.
fn around(block: IpNet) -> impl Iterator<Item = IpNet> {
    let lengths = (0..=block.prefix_len()).rev();
    lengths.filter_map(move |length| Some(IpNet::new(block.addr(), length).ok()?.trunc()))
}

fn snapshot_view(cluster: &Cluster, id: PodId) -> View<'_> {
    let pod = cluster.pod(id);
    View {
        id: None,
        namespace: pod.map_or("", |pod| cluster.namespace_name(pod.namespace)),
        namespace_labels: pod.map_or(&crate::cluster::NO_LABELS, |pod| {
            cluster.namespace_labels(pod.namespace)
        }),
        labels: pod.map_or(&crate::cluster::NO_LABELS, |pod| cluster.labels(pod.labels)),
        ports: pod.map(|pod| cluster.ports(pod.ports)),
        service_account: pod.map_or("default", |pod| &pod.service_account),
    }
}

/// How long the value of a label may be.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>
const MAX_VALUE_BYTES: usize = 63;

/// Named ports as the values of labels.
fn port_texts(ports: &[NamedPort]) -> Vec<String> {
    let sorted: BTreeSet<&NamedPort> = ports.iter().collect();
    let mut texts: Vec<String> = Vec::new();
    for NamedPort {
        name,
        protocol,
        number,
    } in sorted
    {
        let text = format!("{name}.{protocol}.{number}");
        match texts.last_mut() {
            Some(last) if last.len() + 1 + text.len() <= MAX_VALUE_BYTES => {
                last.push('_');
                last.push_str(&text);
            }
            Some(_) | None => texts.push(text),
        }
    }
    texts
}

/// What is said of one block.
#[derive(Clone, Debug, Default)]
struct Metadata {
    labels: LabelSet,
    /// Whether policies mention the block itself.
    is_block: bool,
    node: Option<NodeId>,
}

fn metadata(
    cluster: &Cluster,
    mentioned: &Mentioned,
    options: &Options,
) -> BTreeMap<IpNet, Metadata> {
    let mut all: BTreeMap<IpNet, Metadata> = BTreeMap::new();
    for block in &mentioned.blocks {
        all.entry(block.trunc()).or_default().is_block = true;
    }
    for group in cluster.block_groups() {
        for block in &group.blocks {
            let labels = &mut all.entry(block.trunc()).or_default().labels;
            let name = format!("{}{}", key::GROUP_NAME, group.name);
            labels.add(source::CIDR_GROUP, &name, "");
            for (own, value) in group.labels.iter() {
                labels.add(source::CIDR_GROUP, own, "");
                labels.add(source::CIDR_GROUP, &group_key(own, value), "");
            }
        }
    }
    for (address, names) in &mentioned.names {
        let labels = &mut all.entry(IpNet::from(*address)).or_default().labels;
        for name in names {
            labels.add(source::FQDN, name, "");
        }
    }
    for address in cluster.api_server_addresses() {
        let labels = &mut all.entry(IpNet::from(*address)).or_default().labels;
        labels.add(source::RESERVED, key::API_SERVER, "");
    }
    let nodes = cluster.nodes().iter().enumerate();
    for (index, node) in nodes.rev() {
        for address in &node.addresses {
            let entry = all.entry(IpNet::from(*address)).or_default();
            entry.node = Some(NodeId(to_u32(index)));
        }
    }
    all.retain(|block, _| {
        if block.addr().is_ipv4() {
            options.v4
        } else {
            options.v6
        }
    });
    all
}

/// The key that stands for a key with a value in the labels of groups, of which several may have a block.
#[must_use]
pub(crate) fn group_key(key: &str, value: &str) -> String {
    format!("{key}+{value}")
}

/// What a block is by itself and by every wider one.
#[derive(Clone, Debug, Default)]
struct Merged {
    labels: LabelSet,
    /// Its own label, or that of the nearest block around it.
    block: Option<IpNet>,
}

impl Merged {
    fn of(block: IpNet, metadata: &BTreeMap<IpNet, Metadata>) -> Self {
        let mut merged = Self::default();
        for wider in around(block) {
            let Some(found) = metadata.get(&wider) else {
                continue;
            };
            for label in found.labels.iter() {
                merged.labels.add(&label.source, &label.key, &label.value);
            }
            if found.is_block && wider.prefix_len() > 0 {
                merged.block = merged.block.or(Some(wider));
            }
        }
        merged
    }
}

fn outside(mut labels: LabelSet, block: Option<IpNet>, is_v4: bool, options: &Options) -> Identity {
    let is_plain = block.is_none() && labels.iter().next().is_none();
    labels.add(source::RESERVED, options.world(is_v4), "");
    Identity {
        labels,
        blocks: block.into_iter().collect(),
        own: LabelSet::default(),
        aggregate: if is_plain || !options.aggregates {
            Aggregate::None
        } else {
            Aggregate::World
        },
    }
}

/// A node by one of its addresses: to its own endpoints, or to all others.
fn node_ends(
    node: Option<&Node>,
    cluster: &Cluster,
    own: bool,
    merged: &Merged,
    options: &Options,
) -> Identity {
    let mut labels = merged.labels.clone();
    let mut blocks: Vec<IpNet> = merged.block.into_iter().collect();
    if !options.blocks_match_nodes {
        labels.retain(|label| {
            ![source::CIDR, source::CIDR_GROUP, source::FQDN].contains(&&*label.source)
        });
        blocks.clear();
    }
    let kind = if own { key::HOST } else { key::REMOTE_NODE };
    labels.add(source::RESERVED, kind, "");
    // All addresses of the own node are one identity; any other address has what is said of it alone.
    let api_server = cluster.api_server_addresses();
    let addresses = node.map_or(&[][..], |node| &node.addresses);
    if own && addresses.iter().any(|address| api_server.contains(address)) {
        labels.add(source::RESERVED, key::API_SERVER, "");
    }
    if options.node_labels {
        labels.add(source::K8S, key::CLUSTER, &options.cluster);
        for (key, value) in node
            .into_iter()
            .flat_map(|node| cluster.labels(node.labels).iter())
        {
            labels.add(source::NODE, key, value);
        }
    }
    let has_own_number = options.blocks_match_nodes || options.node_labels;
    // The endpoint of the host has the node's labels whatever its peers see of it.
    // (`pkg/endpoint`, `InitWithNodeLabels`)
    let mut subject = LabelSet::default();
    if own && options.governs_nodes {
        let nodes = node.into_iter();
        for (key, value) in nodes.flat_map(|node| cluster.labels(node.labels).iter()) {
            if options.filter.keeps(source::K8S, key) {
                subject.add(source::K8S, key, value);
            }
        }
    }
    Identity {
        labels,
        blocks,
        own: subject,
        aggregate: if !own && has_own_number && options.aggregates {
            Aggregate::RemoteNode
        } else {
            Aggregate::None
        },
    }
}
