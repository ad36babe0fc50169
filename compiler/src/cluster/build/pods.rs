//! Pods, declared and stood in for, in their order.

use super::namespaces::InTurn;
use super::nodes;
use super::report::{Report, Tally};
use super::sets::Sets;
use super::workloads::StandIn;
use crate::cluster::object::{self, Template};
use crate::cluster::{
    Cluster, LabelsId, NamedPort, NamespaceId, Node, NodeId, Pod, PodId, PortsId, WorkloadId,
};
use crate::diagnostic::codes;
use crate::source::{Span, to_u32};
use rayon::prelude::*;
use std::net::IpAddr;
use std::sync::Arc;

pub(super) struct Pods<'o> {
    /// Sorted by namespace and name, stand-ins behind others of their name.
    pub(super) pods: Vec<Pod>,
    /// The named ports of each pod in the order in which a name is looked up.
    pub(super) ports: Vec<&'o [NamedPort]>,
    /// The pods of each workload: the unfinished ones, or else all.
    pub(super) of_workload: Vec<Vec<PodId>>,
}

pub(super) fn build<'o>(
    declared: Vec<&'o mut object::Pod>,
    makers: Vec<Option<WorkloadId>>,
    stand_ins: Vec<StandIn<'o>>,
    cluster: &Cluster,
    sets: &mut Sets,
) -> Pods<'o> {
    let stood_in = stand_ins
        .into_iter()
        .filter_map(|stand_in| from_stand_in(stand_in, cluster, sets));
    let stood_in: Vec<(Pod, &[NamedPort])> = stood_in.collect();
    let shared = declared.iter().map(|pod| Shared::of(pod, sets));
    let shared: Vec<Shared> = shared.collect();
    let nodes = nodes::ByName::new(&cluster.nodes);
    let all = (declared, makers, shared).into_par_iter();
    let made = all.map_init(
        || InTurn::of(cluster),
        |namespaces, (pod, maker, shared)| {
            let namespace = namespaces.find(&pod.namespace);
            debug_assert!(
                namespace.is_some(),
                "every namespace of a pod is there: `namespaces::implied`"
            );
            let namespace = namespace.unwrap_or(NamespaceId(u32::MAX));
            let place = (namespace, nodes.of_pod(pod));
            from_declared(pod, place, maker, shared, cluster)
        },
    );
    let (mut pods, mut ports): (Vec<Pod>, Vec<&[NamedPort]>) = Default::default();
    made.unzip_into_vecs(&mut pods, &mut ports);
    if !stood_in.is_empty() || !pods.is_sorted_by_key(order) {
        let made = pods.into_iter().zip(ports);
        let mut all: Vec<(Pod, &[NamedPort])> = stood_in.into_iter().chain(made).collect();
        all.sort_by(|(one, _), (other, _)| order(one).cmp(&order(other)));
        (pods, ports) = all.into_iter().unzip();
    }
    Pods {
        of_workload: by_workload(&pods, cluster.workloads.len()),
        pods,
        ports,
    }
}

/// What a pod has in common with others.
#[derive(Clone, Copy)]
struct Shared {
    labels: LabelsId,
    ports: PortsId,
}

impl Shared {
    fn of(pod: &object::Pod, sets: &mut Sets) -> Self {
        Self {
            labels: sets.labels(&pod.template.labels),
            ports: sets.ports(&pod.template.ports),
        }
    }
}

fn order(pod: &Pod) -> impl Ord {
    (pod.namespace, &*pod.name, pod.stand_in, pod.workload)
}

fn from_declared<'o>(
    pod: &'o mut object::Pod,
    (namespace, node): (NamespaceId, Option<NodeId>),
    workload: Option<WorkloadId>,
    shared: Shared,
    cluster: &Cluster,
) -> (Pod, &'o [NamedPort]) {
    let template = &pod.template;
    let addresses = std::mem::take(&mut pod.addresses);
    let addresses = match (pod.finished, template.host_network && addresses.is_empty()) {
        (true, _) => Box::default(),
        (false, true) => node_addresses(cluster, node).into(),
        (false, false) => one_of_each_family_first(addresses),
    };
    let made = Pod {
        namespace,
        name: std::mem::take(&mut pod.name),
        labels: shared.labels,
        addresses,
        ports: shared.ports,
        host_network: template.host_network,
        node,
        workload,
        stand_in: false,
        finished: pod.finished,
        service_account: Arc::clone(&template.service_account),
        span: pod.span,
    };
    (made, &template.ports)
}

fn from_stand_in<'o>(
    StandIn {
        workload,
        template,
        span,
    }: StandIn<'o>,
    cluster: &Cluster,
    sets: &mut Sets,
) -> Option<(Pod, &'o [NamedPort])> {
    let maker = cluster.workload(workload)?;
    let node = template
        .node
        .as_ref()
        .and_then(|name| cluster.find_node(name));
    let made = Pod {
        namespace: maker.namespace,
        name: maker.name.clone(),
        labels: sets.labels(&template.labels),
        addresses: on_node(template, cluster, node),
        ports: sets.ports(&template.ports),
        host_network: template.host_network,
        node,
        workload: Some(workload),
        stand_in: true,
        finished: false,
        service_account: Arc::clone(&template.service_account),
        span,
    };
    Some((made, &template.ports))
}

fn on_node(template: &Template, cluster: &Cluster, node: Option<NodeId>) -> Box<[IpAddr]> {
    if template.host_network {
        node_addresses(cluster, node).into()
    } else {
        Box::default()
    }
}

/// The first address of each family that a node has.
fn node_addresses(cluster: &Cluster, node: Option<NodeId>) -> Vec<IpAddr> {
    let all: &[IpAddr] = node
        .and_then(|id| cluster.node(id))
        .map_or(&[], |node: &Node| &node.addresses);
    let v4 = all.iter().find(|address| address.is_ipv4());
    let v6 = all.iter().find(|address| address.is_ipv6());
    v4.into_iter().chain(v6).copied().collect()
}

fn one_of_each_family_first(mut addresses: Box<[IpAddr]>) -> Box<[IpAddr]> {
    let Some(first) = addresses.first().copied() else {
        return addresses;
    };
    let other = addresses
        .iter()
        .position(|address| address.is_ipv4() != first.is_ipv4());
    if let Some(rest) = other.and_then(|other| addresses.get_mut(1..=other)) {
        rest.rotate_right(1);
    }
    addresses
}

fn by_workload(pods: &[Pod], workloads: usize) -> Vec<Vec<PodId>> {
    let mut live = vec![Vec::new(); workloads];
    let mut finished = vec![Vec::new(); workloads];
    for (index, pod) in pods.iter().enumerate() {
        let lists = if pod.finished {
            &mut finished
        } else {
            &mut live
        };
        if let Some(list) = pod.workload.and_then(|id| lists.get_mut(id.index())) {
            list.push(PodId(to_u32(index)));
        }
    }
    let either = |(live, finished): (Vec<PodId>, _)| if live.is_empty() { finished } else { live };
    live.into_iter().zip(finished).map(either).collect()
}

/// What is worth knowing about pods.
pub(super) fn report(cluster: &Cluster, report: &mut Report) {
    let (mut finished, mut without) = (Tally::default(), Tally::default());
    let has_addresses = cluster.pods.iter().any(|pod| !pod.addresses.is_empty());
    for pod in &cluster.pods {
        let name = || name(cluster, pod);
        if pod.finished {
            finished.add(pod.span, name);
        } else if has_addresses && pod.addresses.is_empty() && !pod.stand_in {
            without.add(pod.span, name);
        }
    }
    report.extend(finished.report(
        &codes::FINISHED_POD,
        "a pod has finished",
        "pods have finished",
        "a finished pod owns no address; answers about it hold for the next pod of its owner",
    ));
    report.extend(without.report(
        &codes::NO_ADDRESS,
        "a pod has no address",
        "pods have no address",
        "it may get any: where a verdict hangs on its address, the answer is `depends`",
    ));
}

/// A pod as people write it.
pub(super) fn name(cluster: &Cluster, pod: &Pod) -> String {
    format!("{}/{}", cluster.namespace_name(pod.namespace), pod.name)
}

/// Where a pod stands, for a diagnostic.
pub(super) fn place(cluster: &Cluster, id: PodId) -> Option<(String, Span)> {
    let pod = cluster.pod(id)?;
    Some((name(cluster, pod), pod.span))
}
