//! Connections as a graph: parties that have the same connections are one node.

use super::View;
use super::table::Tone;
use crate::cli::render::clean;
use crate::list::{Party, words};
use std::collections::BTreeMap;

/// Nodes, and arrows between them.
#[derive(Debug, Default)]
pub(in crate::cli) struct Graph {
    pub(super) nodes: Vec<Node>,
    /// Sorted by source and destination.
    pub(in crate::cli) edges: Vec<Edge>,
}

/// Parties that have the same connections.
#[derive(Debug)]
pub(super) struct Node {
    /// The namespace, where they have one in common.
    pub(super) namespace: Option<String>,
    /// Their names, a line each.
    pub(super) lines: Vec<String>,
    pub(super) is_outside: bool,
}

/// What passes from one node to another.
#[derive(Debug)]
pub(in crate::cli) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) text: String,
    /// Whether all of it is not sure.
    pub(super) perhaps: bool,
}

/// Where a party stands: the section, and the row of which it is a source; `None` for a destination.
type Signature = Vec<(usize, Option<usize>)>;

impl Graph {
    /// The graph of a view.
    pub(in crate::cli) fn of(view: &View<'_>) -> Self {
        let mut signatures: BTreeMap<Party, Signature> = BTreeMap::new();
        for (index, section) in view.sections.iter().enumerate() {
            for party in &section.dst {
                signatures.entry(*party).or_default().push((index, None));
            }
            for (row, one) in section.rows.iter().enumerate() {
                for party in &one.src {
                    let signature = signatures.entry(*party).or_default();
                    signature.push((index, Some(row)));
                }
            }
        }
        let mut known: BTreeMap<(bool, Signature), usize> = BTreeMap::new();
        let mut members: Vec<Vec<Party>> = Vec::new();
        let mut node_of: BTreeMap<Party, usize> = BTreeMap::new();
        for (party, signature) in signatures {
            let is_outside = matches!(party, Party::Outside(_));
            let index = *known
                .entry((is_outside, signature))
                .or_insert(members.len());
            node_of.insert(party, index);
            match members.get_mut(index) {
                Some(list) => list.push(party),
                None => members.push(vec![party]),
            }
        }
        let mut edges = edges(view, &node_of);
        // A single pod stands among its own sources where others of its section have them too.
        edges.retain(|edge| {
            let alone = match members.get(edge.from).map(Vec::as_slice) {
                Some([Party::Peer(peer)]) => view.listing.is_single(*peer),
                Some(_) | None => false,
            };
            edge.from != edge.to || !alone
        });
        Self {
            nodes: members.iter().map(|parties| node(view, parties)).collect(),
            edges,
        }
    }

    /// The namespaces that are boxes, with the indices of their nodes.
    pub(super) fn namespaces(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut namespaces: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if let Some(namespace) = &node.namespace {
                namespaces.entry(namespace).or_default().push(index);
            }
        }
        namespaces
    }
}

fn node(view: &View<'_>, parties: &[Party]) -> Node {
    let namespaces: Vec<Option<&str>> = parties
        .iter()
        .map(|party| match party {
            Party::Peer(id) => view.listing.peer(*id).map(|peer| &*peer.namespace),
            Party::Outside(_) => None,
        })
        .collect();
    let first = namespaces.first().copied().flatten();
    let namespace = first.filter(|_| namespaces.iter().all(|other| *other == first));
    let lines = match namespace {
        Some(namespace) => lines(view, namespace, parties),
        None => vec![view.names(parties)],
    };
    Node {
        namespace: namespace.map(|namespace| clean(namespace).into_owned()),
        lines,
        is_outside: matches!(parties.first(), Some(Party::Outside(_))),
    }
}

/// The names of peers of one namespace.
fn lines(view: &View<'_>, namespace: &str, parties: &[Party]) -> Vec<String> {
    let prefix = format!("{namespace}/");
    let most = if view.setting.verbose {
        usize::MAX
    } else {
        super::MOST_NAMES
    };
    let names = parties.iter().filter_map(|party| match party {
        Party::Peer(id) => {
            let name = words::peer(view.listing.directory(), *id);
            let name = name
                .strip_prefix(&prefix)
                .map(str::to_owned)
                .unwrap_or(name);
            Some(clean(&name).into_owned())
        }
        Party::Outside(_) => None,
    });
    let mut lines: Vec<String> = names.take(most).collect();
    let more = parties.len().saturating_sub(most);
    if more > 0 {
        lines.push(format!("… {more} more"));
    }
    lines
}

fn edges(view: &View<'_>, node_of: &BTreeMap<Party, usize>) -> Vec<Edge> {
    let nodes = |parties: &[Party]| {
        let nodes = parties
            .iter()
            .filter_map(|party| node_of.get(party).copied());
        let mut nodes: Vec<usize> = nodes.collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    };
    let mut found: BTreeMap<(usize, usize), (Vec<String>, bool)> = BTreeMap::new();
    for section in &view.sections {
        let dst = nodes(&section.dst);
        for row in &section.rows {
            for from in nodes(&row.src) {
                for to in &dst {
                    let (texts, perhaps) = found.entry((from, *to)).or_insert((Vec::new(), true));
                    texts.push(row.text());
                    *perhaps &= row.tone == Tone::Perhaps;
                }
            }
        }
    }
    let edges = found.into_iter();
    edges
        .map(|((from, to), (texts, perhaps))| Edge {
            from,
            to,
            text: texts.join("; "),
            perhaps,
        })
        .collect()
}
