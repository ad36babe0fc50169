//! From which node's block an address is.

use super::{Node, NodeId};
use crate::source::to_u32;
use ipnet::IpNet;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The blocks from which nodes give addresses to pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodBlocks {
    nodes: FxHashMap<IpNet, NodeId>,
    /// Those that occur: one or two, however many nodes there are.
    lengths: BTreeSet<u8>,
}

impl PodBlocks {
    pub(super) fn new(nodes: &[Node]) -> Self {
        let mut blocks = Self::default();
        for (index, node) in nodes.iter().enumerate() {
            for block in &node.pod_cidrs {
                let id = NodeId(to_u32(index));
                blocks.nodes.entry(block.trunc()).or_insert(id);
                blocks.lengths.insert(block.prefix_len());
            }
        }
        blocks
    }

    /// The node with the smallest block that has the address.
    pub(super) fn node(&self, address: IpAddr) -> Option<NodeId> {
        let address = address.to_canonical();
        self.lengths.iter().rev().find_map(|length| {
            let block = IpNet::new(address, *length).ok()?;
            self.nodes.get(&block.trunc()).copied()
        })
    }
}
