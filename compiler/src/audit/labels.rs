//! The identities of a node, as rules see them.
//!
//! Input: labels as Cilium writes them, `source:key=value`. Output: [`Identity`], comparable with those that the
//! manifests make. The value of a label of a group of blocks is left out: where two groups have a block, Cilium writes
//! one of the values, and tells all of them by `key+value`.

use super::dump::Dump;
use crate::identity::{Aggregate, Identity, source};
use crate::policymap::{AGGREGATES, aggregate_of, cluster_of, reserved};
use ipnet::IpNet;
use std::collections::BTreeMap;

/// Identities, by their numbers on the node.
pub(super) type Known = BTreeMap<u32, Identity>;

/// The identities that a packet on the node may have: those that it lists and those of its ipcache. One of the ipcache
/// that has no labels is left out. An aggregate stands for those that the node does not know yet: no packet has one,
/// but a packet of an identity that nothing selects by its own labels gets what the aggregate does.
pub(super) fn known(dump: &Dump, has_aggregates: bool) -> Known {
    let own = own_cluster(dump);
    let listed = dump.identities.iter();
    let mut known: Known = listed
        .map(|(number, labels)| (*number, parsed(labels)))
        .collect();
    for number in dump.ipcache.values() {
        if let Some(identity) = reserved(*number) {
            known.entry(*number).or_insert(identity);
        }
    }
    known.retain(|number, identity| *number != 0 && (has_aggregates || !is_aggregate(identity)));
    for (number, identity) in &mut known {
        if has_aggregates {
            identity.aggregate = aggregate_of(*number, own);
        }
    }
    known
}

/// The cluster of the node: that of its endpoints.
fn own_cluster(dump: &Dump) -> u32 {
    let numbers = dump.endpoints.iter().map(|endpoint| endpoint.identity);
    numbers.map(cluster_of).max().unwrap_or(0)
}

fn is_aggregate(identity: &Identity) -> bool {
    let mut keys = AGGREGATES.into_iter().filter_map(Aggregate::key);
    keys.any(|key| identity.labels.has_reserved(key))
}

/// An identity by its labels.
pub(super) fn parsed<S: AsRef<str>>(labels: &[S]) -> Identity {
    let mut identity = Identity::default();
    for label in labels.iter().map(AsRef::as_ref) {
        let (from, rest) = label.split_once(':').unwrap_or(("", label));
        let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
        match (from, block(rest)) {
            (source::CIDR, Some(block)) => identity.blocks.push(block),
            (source::CIDR_GROUP, _) => identity.labels.add(from, key, ""),
            (_, _) => identity.labels.add(from, key, value),
        }
    }
    identity
}

/// A block as labels have it: `-` stands for `:`, and a `0` in front of or behind `--`.
fn block(text: &str) -> Option<IpNet> {
    text.replace('-', ":").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policymap::named_ports;

    #[test]
    fn labels_are_read_as_cilium_writes_them() {
        let labels = [
            "k8s:app=web",
            "cidr:2001-db8--0/32",
            "cidrgroup:role=bad",
            "cidrgroup:role+bad",
            "reserved:world",
            "gen:io.cilium.k8s.named-ports=a.b.TCP.53_web.UDP.80",
        ];
        let identity = parsed(&labels);
        assert_eq!(
            identity.to_string(),
            "cidr:2001:db8::/32,k8s:app=web,gen:io.cilium.k8s.named-ports=a.b.TCP.53_web.UDP.80,\
             cidrgroup:role,cidrgroup:role+bad,reserved:world"
        );
        let ports = named_ports(&identity);
        let ports: Vec<_> = ports
            .iter()
            .map(|port| format!("{} {} {}", port.name, port.protocol, port.number))
            .collect();
        assert_eq!(ports, ["a.b TCP 53", "web UDP 80"]);
    }
}
