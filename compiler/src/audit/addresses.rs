//! Which identity addresses lead to, on a node and by the manifests.
//!
//! Addresses are looked up by the longest block that has them, so all that are in the same blocks of either side lead
//! to the same identities: each block is compared once, by what it leads to without the narrower ones, unless these
//! leave nothing of it.

use super::dump::Dump;
use super::labels::Known;
use super::report::AddressReport;
use crate::cluster::{Cluster, NodeId};
use crate::hir::Enforcement;
use crate::identity::{Identity, key, source};
use crate::policymap::addresses;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};

/// The blocks that lead elsewhere on the node than by the manifests.
pub(super) fn differences(
    cluster: &Cluster,
    enforcement: &Enforcement,
    node: NodeId,
    dump: &Dump,
    known: &Known,
) -> Vec<AddressReport> {
    let options = enforcement.identities.options();
    let manifests = addresses(cluster, enforcement, Some(node));
    let is_on = |block: &IpNet| match block {
        IpNet::V4(_) => options.v4,
        IpNet::V6(_) => options.v6,
    };
    let blocks: BTreeSet<IpNet> = dump
        .ipcache
        .keys()
        .chain(manifests.keys())
        .copied()
        .filter(is_on)
        .collect();
    let mut differences = Vec::new();
    for block in blocks.iter().filter(|block| !is_covered(**block, &blocks)) {
        let expected = longest(&manifests, *block);
        let expected = expected.unwrap_or_else(|| enforcement.identities.world(is_v4(block)));
        let number = longest(&dump.ipcache, *block);
        let found = match number {
            Some(number) => known.get(number),
            None => Some(enforcement.identities.world(is_v4(block))),
        };
        let same = found.is_some_and(|found| is_same(enforcement, found, expected));
        if !same {
            differences.push(AddressReport {
                prefix: block.to_string(),
                node: match (found, number) {
                    (Some(found), _) => found.texts().collect(),
                    (None, Some(number)) => vec![format!("identity {number}, without labels")],
                    (None, None) => Vec::new(),
                },
                manifests: expected.texts().collect(),
            });
        }
    }
    differences
}

fn is_v4(block: &IpNet) -> bool {
    block.addr().is_ipv4()
}

/// The entry of the longest block around one.
fn longest<T>(map: &BTreeMap<IpNet, T>, block: IpNet) -> Option<&T> {
    let lengths = (0..=block.prefix_len()).rev();
    let mut around =
        lengths.filter_map(|length| Some(IpNet::new(block.addr(), length).ok()?.trunc()));
    around.find_map(|wider| map.get(&wider))
}

/// Whether narrower blocks leave no address of a block.
fn is_covered(block: IpNet, blocks: &BTreeSet<IpNet>) -> bool {
    let is_whole = |half: IpNet| blocks.contains(&half) || is_covered(half, blocks);
    let has_narrower = blocks
        .range(block..)
        .take_while(|other| block.contains(&other.network()))
        .any(|other| *other != block);
    let Ok(mut halves) = block.subnets(block.prefix_len().saturating_add(1)) else {
        return false;
    };
    has_narrower && halves.all(is_whole)
}

/// Whether two identities are the same to rules. Where the inputs have no DNS answers, no manifest tells which
/// addresses have names. Addresses of Cilium's own endpoints and proxies are in no manifest.
fn is_same(enforcement: &Enforcement, found: &Identity, expected: &Identity) -> bool {
    let is_ciliums = |key| found.labels.has_reserved(key);
    if expected.is_world() && (is_ciliums(key::HEALTH) || is_ciliums(key::INGRESS)) {
        return true;
    }
    let told = |identity: &Identity| {
        let labels = identity.labels.iter();
        let labels = labels.filter(|label| enforcement.has_names || &*label.source != source::FQDN);
        let labels: Vec<_> = labels.cloned().collect();
        let blocks: BTreeSet<IpNet> = identity.blocks.iter().copied().collect();
        (labels, blocks)
    };
    told(found) == told(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_covered_by_its_halves_alone() {
        let set = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let whole: IpNet = "10.0.0.0/8".parse().unwrap();
        let all: BTreeSet<IpNet> =
            set(&["10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/10", "10.192.0.0/10"]);
        assert!(is_covered(whole, &all));
        let part: BTreeSet<IpNet> = set(&["10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/10"]);
        assert!(!is_covered(whole, &part));
        let quarter: BTreeSet<IpNet> = set(&["10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/11"]);
        assert!(!is_covered(whole, &quarter));
        assert!(!is_covered(whole, &set(&["10.0.0.0/8"])));
    }
}
