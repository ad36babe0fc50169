//! Nodes, declared and implied, with the addresses that their pods show.

use super::declared::Declared;
use super::report::{Report, Tally};
use super::sets::Sets;
use crate::cluster::object::{self, Pod};
use crate::cluster::{Node, NodeId};
use crate::diagnostic::codes;
use crate::source::{Span, to_u32};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The kind of owner that static pods have.
pub(super) const NODE_KIND: &str = "Node";

pub(super) fn build(
    declared: &Declared<'_>,
    implied: BTreeMap<&str, Span>,
    sets: &mut Sets,
    report: &mut Report,
) -> Vec<Node> {
    report_undefined(declared, &implied, report);
    let defined = declared.nodes.iter();
    let mut nodes: Vec<Node> = defined.map(|node| from_declared(node, sets)).collect();
    nodes.extend(implied.into_keys().map(|name| Node {
        name: name.into(),
        labels: sets.labels(&Arc::default()),
        addresses: Vec::new(),
        pod_cidrs: Vec::new(),
        span: None,
    }));
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    add_shown_addresses(&mut nodes, &declared.pods);
    nodes
}

fn from_declared(node: &object::Node, sets: &mut Sets) -> Node {
    Node {
        name: node.name.clone(),
        labels: sets.labels(&node.labels),
        addresses: node.addresses.clone(),
        pod_cidrs: node.pod_cidrs.clone(),
        span: Some(node.span),
    }
}

/// The nodes on which pods run and which are not defined, with the first place of each.
pub(super) fn implied<'d>(declared: &'d Declared<'_>) -> BTreeMap<&'d str, Span> {
    let mut places: FxHashMap<&str, Span> = FxHashMap::default();
    for pod in &declared.pods {
        if let Some(name) = name_for(pod) {
            let first = places.entry(name).or_insert(pod.span);
            *first = pod.span.min(*first);
        }
    }
    for node in &declared.nodes {
        places.remove(&*node.name);
    }
    places.into_iter().collect()
}

fn report_undefined(declared: &Declared<'_>, places: &BTreeMap<&str, Span>, report: &mut Report) {
    let mut undefined = Tally::default();
    for (name, span) in places {
        if !declared.is_refused(NODE_KIND, None, name) {
            undefined.add(*span, || (*name).to_owned());
        }
    }
    report.extend(undefined.report(
        &codes::UNDEFINED_NODE,
        "pods run on a node that is not defined",
        "nodes on which pods run are not defined",
        "no label of it is known: add its Node object if a policy selects nodes",
    ));
}

/// The name of the node on which a pod runs. A static pod is owned by it.
fn name_for(pod: &Pod) -> Option<&str> {
    let owner = pod.owner.as_ref().filter(|owner| *owner.kind == *NODE_KIND);
    let name = pod.template.node.as_ref();
    name.or(owner.map(|owner| &owner.name)).map(|name| &**name)
}

/// Nodes by name.
pub(super) struct ByName<'c>(FxHashMap<&'c str, usize>);

impl<'c> ByName<'c> {
    pub(super) fn new(nodes: &'c [Node]) -> Self {
        let named = nodes.iter().enumerate();
        Self(named.map(|(index, node)| (&*node.name, index)).collect())
    }

    /// The node on which a pod runs.
    pub(super) fn of_pod(&self, pod: &Pod) -> Option<NodeId> {
        Some(NodeId(to_u32(*self.0.get(name_for(pod)?)?)))
    }
}

fn find(nodes: &[Node], name: &str) -> Option<usize> {
    nodes.binary_search_by(|node| (*node.name).cmp(name)).ok()
}

fn add_shown_addresses(nodes: &mut [Node], pods: &[&mut Pod]) {
    let without: Vec<bool> = nodes.iter().map(|node| node.addresses.is_empty()).collect();
    let mut known: FxHashSet<(usize, IpAddr)> = FxHashSet::default();
    for (index, node) in nodes.iter().enumerate() {
        known.extend(node.addresses.iter().map(|address| (index, *address)));
    }
    let shows_any = |pod: &&&mut Pod| {
        !pod.host_addresses.is_empty() || pod.template.host_network && !pod.addresses.is_empty()
    };
    for pod in pods.iter().filter(shows_any) {
        let Some(index) = name_for(pod).and_then(|name| find(nodes, name)) else {
            continue;
        };
        let Some(node) = nodes.get_mut(index) else {
            continue;
        };
        let mut add = |addresses: &[IpAddr]| {
            let new = addresses
                .iter()
                .filter(|address| known.insert((index, **address)));
            node.addresses.extend(new);
        };
        if without.get(index) == Some(&true) {
            add(&pod.host_addresses);
        }
        if pod.template.host_network && !pod.finished {
            add(&pod.addresses);
        }
    }
}
