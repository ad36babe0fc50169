//! Who stands at the ends of connections: workloads, or pods, in classes of equal ones.

use crate::cluster::{self, Cluster, NodeId, Pod, PodId};
use crate::flows::{Connections, EndId};
use crate::source::to_u32;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Whether pods are shown by the workload that owns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Workloads; a pod without an owner is a workload of its own.
    Workload,
    /// Pods.
    Pod,
}

/// The index of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub(crate) u32);

impl PeerId {
    /// The id as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The kind of a peer that is a pod without an owner, among workloads.
const POD: &str = "Pod";

/// The kind of a peer that is a node.
const NODE: &str = "Node";

/// What stands in place of a namespace in front of the name of a node, as the command line takes it.
pub(super) const NODES: &str = "node";

/// A workload, a pod or a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The namespace; `node` for a node.
    pub namespace: Box<str>,
    /// The name.
    pub name: Box<str>,
    /// The kind of the workload (`Deployment`), `Pod` for a pod without an owner, `Node` for a node; `None` for a pod where
    /// pods are listed.
    pub workload: Option<Box<str>>,
    /// Of a pod that is not among the inputs: the workload that would make it, `Deployment/web`.
    pub stands_for: Option<Box<str>>,
    /// Its pods.
    pub pods: Vec<PodId>,
    /// The node that it is.
    pub node: Option<NodeId>,
    /// By member of its class, whether more than one of its pods are in it.
    pub(super) several: Vec<bool>,
}

/// The index of a class of peers that have the same connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClassId(pub(crate) u32);

impl ClassId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Pods of a peer that are in one class of ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    pub(super) end: EndId,
    /// The nodes on which they run, each once; empty where no end is a node or on the network of one.
    pub(super) nodes: Vec<Option<NodeId>>,
}

/// The classes of all peers.
#[derive(Debug, Default)]
pub(super) struct Classes {
    of: Vec<ClassId>,
    list: Vec<Class>,
}

/// Peers that have the same connections.
#[derive(Debug)]
pub(super) struct Class {
    members: Vec<Member>,
}

type Name<'c> = (&'c str, Cow<'c, str>, Option<&'c str>);

/// The name, and whether it is that of a node: a workload may have the same, of a namespace and a kind of these words.
type Known<'c> = (Name<'c>, bool);

/// What has a name.
enum Named {
    Pods(Vec<PodId>),
    Node(NodeId, EndId),
}

/// All peers, sorted by namespace, name and kind, nodes behind workloads of the same, and their classes.
pub(super) fn classified(connections: &Connections<'_>, by: By) -> (Vec<Peer>, Classes) {
    let cluster = connections.cluster();
    let mut named: BTreeMap<Known<'_>, Named> = BTreeMap::new();
    for (pod, id) in cluster.pods().iter().zip((0..).map(PodId)) {
        for name in names(cluster, pod, by) {
            let pods = named.entry((name, false));
            let pods = pods.or_insert(Named::Pods(Vec::new()));
            if let Named::Pods(pods) = pods {
                pods.push(id);
            }
        }
    }
    let mut hosts = cluster.pods().iter().any(|pod| pod.host_network);
    for (node, id) in cluster.nodes().iter().zip((0..).map(NodeId)) {
        if let Some(end) = connections.node(id) {
            hosts = true;
            let name = (NODES, (&*node.name).into(), Some(NODE));
            named.insert((name, true), Named::Node(id, end));
        }
    }
    let (mut peers, mut classes) = (Vec::with_capacity(named.len()), Classes::default());
    let mut known: FxHashMap<Vec<Member>, ClassId> = FxHashMap::default();
    for (((namespace, name, workload), _), named) in named {
        let (pods, node, members, several) = match named {
            Named::Pods(pods) => {
                let Some(pods) = current(cluster, pods, by) else {
                    continue;
                };
                let (members, several) = members(connections, &pods, hosts, by);
                (pods, None, members, several)
            }
            Named::Node(node, end) => {
                let nodes = vec![Some(node)];
                (
                    Vec::new(),
                    Some(node),
                    vec![Member { end, nodes }],
                    vec![false],
                )
            }
        };
        let is_workload = by == By::Workload || node.is_some();
        let next = ClassId(to_u32(classes.list.len()));
        let class = *known.entry(members).or_insert_with_key(|members| {
            classes.list.push(Class {
                members: members.clone(),
            });
            next
        });
        classes.of.push(class);
        peers.push(Peer {
            namespace: namespace.into(),
            stands_for: stands_for(cluster, &pods, by),
            name: name.into(),
            workload: workload.filter(|_| is_workload).map(Into::into),
            pods,
            node,
            several,
        });
    }
    (peers, classes)
}

impl Classes {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn class_of(&self, peer: PeerId) -> Option<ClassId> {
        self.of.get(peer.index()).copied()
    }

    pub(super) fn members(&self, class: ClassId) -> &[Member] {
        let class = self.list.get(class.index());
        class.map_or(&[], |class| &class.members)
    }

    pub(super) fn members_of(&self, peer: PeerId) -> &[Member] {
        self.class_of(peer).map_or(&[], |class| self.members(class))
    }
}

/// What a pod is listed as by workload.
pub(crate) fn workload_name<'c>(cluster: &'c Cluster, pod: &'c Pod) -> (&'c str, &'c str, &'c str) {
    let namespace = cluster.namespace_name(pod.namespace);
    match pod.workload.and_then(|id| cluster.workload(id)) {
        Some(workload) => (namespace, &workload.name, &workload.kind),
        None => (namespace, &pod.name, POD),
    }
}

/// What a pod is listed as.
fn names<'c>(cluster: &'c Cluster, pod: &'c Pod, by: By) -> Vec<Name<'c>> {
    let namespace = cluster.namespace_name(pod.namespace);
    let workload = pod.workload.and_then(|id| cluster.workload(id));
    match (by, workload) {
        (By::Workload, _) => {
            let (namespace, name, kind) = workload_name(cluster, pod);
            vec![(namespace, name.into(), Some(kind))]
        }
        // Two show what its pods may send each other, and more would say nothing else.
        (By::Pod, Some(workload)) if pod.stand_in => (1..=if workload.several { 2 } else { 1 })
            .map(|number| {
                let name = cluster::replica_name(&workload.name, number);
                (namespace, name.into(), Some(&*workload.kind))
            })
            .collect(),
        (By::Pod, Some(_) | None) => vec![(namespace, (&*pod.name).into(), None)],
    }
}

/// The workload of pods that are not among the inputs.
fn stands_for(cluster: &Cluster, pods: &[PodId], by: By) -> Option<Box<str>> {
    let pod = cluster.pod(*pods.first()?)?;
    let workload = cluster.workload(pod.workload?)?;
    let stands = pod.stand_in && by == By::Pod;
    stands.then(|| format!("{}/{}", workload.kind, workload.name).into())
}

/// The pods that take traffic. A workload of which all pods have finished is judged by these: the next one
/// will be like them.
fn current(cluster: &Cluster, pods: Vec<PodId>, by: By) -> Option<Vec<PodId>> {
    let finished = |id: &PodId| cluster.pod(*id).is_some_and(|pod| pod.finished);
    let running: Vec<PodId> = pods.iter().copied().filter(|id| !finished(id)).collect();
    if !running.is_empty() {
        return Some(running);
    }
    let owned = |id: &PodId| cluster.pod(*id).is_some_and(|pod| pod.workload.is_some());
    (by == By::Workload && pods.iter().any(owned)).then_some(pods)
}

fn members(
    connections: &Connections<'_>,
    pods: &[PodId],
    hosts: bool,
    by: By,
) -> (Vec<Member>, Vec<bool>) {
    let cluster = connections.cluster();
    let mut of_end: BTreeMap<EndId, (Vec<Option<NodeId>>, usize)> = BTreeMap::new();
    for id in pods {
        let (Some(end), Some(pod)) = (connections.end(*id), cluster.pod(*id)) else {
            continue;
        };
        let (nodes, count) = of_end.entry(end).or_default();
        if hosts {
            nodes.push(pod.node);
        }
        // A pod that stands for a workload's stands for any number of them, unless these are told apart.
        let any_number = pod.stand_in && by == By::Workload;
        *count += if any_number { 2 } else { 1 };
    }
    of_end
        .into_iter()
        .map(|(end, (mut nodes, count))| {
            nodes.sort_unstable();
            nodes.dedup();
            (Member { end, nodes }, count > 1)
        })
        .unzip()
}
