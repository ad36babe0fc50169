//! A policy map as the datapath looks packets up in it.
//!
//! Transcribed from `bpf/lib/policy.h` of Cilium 1.20 (1.19: without aggregates): in the entries of an identity the
//! one with most bits of protocol and port that covers the packet; the same in the entries of what the identity is
//! taken together with; of both the higher precedence.

use super::dump::Entry;
use crate::explain::report::Word;
use crate::identity::Aggregate;
use std::collections::BTreeMap;

/// What no entry of another identity outweighs.
const HIGHEST: u32 = u32::MAX;
/// Bits of a protocol.
const PROTOCOL_BITS: u8 = 8;
/// Bits of a protocol and a port.
const ALL_BITS: u8 = 24;

/// What a packet carries, as it is looked up: the type of an ICMP message stands for the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The protocol.
    pub protocol: u8,
    /// The destination port; 0 for a packet that has none.
    pub port: u16,
}

impl Entry {
    /// Whether the entry covers a packet from or to its identity.
    #[must_use]
    pub fn covers(&self, packet: Packet) -> bool {
        let port_bits = u32::from(self.length.saturating_sub(PROTOCOL_BITS));
        let (first, last) = self.ports();
        self.length == 0
            || self.protocol == packet.protocol
                && (port_bits == 0 || (first..=last).contains(&packet.port))
    }

    /// The ports that it covers.
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        let free = u32::from(ALL_BITS.saturating_sub(self.length.max(PROTOCOL_BITS)));
        let rest = u16::MAX
            .checked_shr(u16::BITS.saturating_sub(free))
            .unwrap_or(0);
        (self.port & !rest, self.port | rest)
    }

    fn word(&self) -> Word {
        match (self.denies, self.redirects) {
            (true, _) => Word::Deny,
            (false, true) => Word::Redirect,
            (false, false) => Word::Allow,
        }
    }
}

/// The entries of one direction of an endpoint's policy map.
#[derive(Clone, Debug, Default)]
pub struct Table<'a>(BTreeMap<u32, Vec<&'a Entry>>);

impl<'a> Table<'a> {
    /// The entries of a direction, the longest first.
    #[must_use]
    pub fn new(entries: &'a [Entry], egress: bool) -> Self {
        let mut table: BTreeMap<u32, Vec<&Entry>> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.egress == egress) {
            table.entry(entry.identity).or_default().push(entry);
        }
        for entries in table.values_mut() {
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.length));
        }
        Self(table)
    }

    fn longest(&self, identity: u32, packet: Packet) -> Option<&'a Entry> {
        let entries = self.0.get(&identity)?;
        entries.iter().copied().find(|entry| entry.covers(packet))
    }

    /// What becomes of a packet from or to an identity: it is denied where there is no entry.
    #[must_use]
    pub fn verdict(&self, identity: u32, aggregate: Aggregate, packet: Packet) -> Word {
        let entry = self.find(identity, number_of(aggregate), packet);
        entry.map_or(Word::Deny, Entry::word)
    }

    fn find(&self, identity: u32, aggregate: u32, packet: Packet) -> Option<&'a Entry> {
        let own = self.longest(identity, packet);
        if own.is_some_and(|own| own.precedence == HIGHEST) {
            return own;
        }
        let shared = self.longest(aggregate, packet);
        match (own, shared) {
            (None, None) => self.longest(number_of(Aggregate::None), packet),
            (Some(own), Some(shared)) => {
                let weight = |entry: &Entry| (entry.precedence, entry.length);
                Some(if weight(shared) > weight(own) {
                    shared
                } else {
                    own
                })
            }
            (one, other) => one.or(other),
        }
    }
}

/// What has entries of its own that stand for several identities.
pub(super) const AGGREGATES: [Aggregate; 4] = [
    Aggregate::Cluster,
    Aggregate::ClusterMesh,
    Aggregate::World,
    Aggregate::RemoteNode,
];

/// The number of an aggregate; identities without one have the entries of 0.
fn number_of(aggregate: Aggregate) -> u32 {
    match aggregate {
        Aggregate::None => 0,
        Aggregate::Cluster => 11,
        Aggregate::ClusterMesh => 12,
        Aggregate::World => 13,
        Aggregate::RemoteNode => 14,
    }
}

/// Numbers below are reserved: they have no aggregate.
const RESERVED: u32 = 100;
/// The upper eight bits say for whom a number holds.
const SCOPE_SHIFT: u32 = 24;
/// Numbers that are the node's own: of blocks and names.
const SCOPE_LOCAL: u32 = 1;
/// Numbers that are the node's own: of other nodes.
const SCOPE_REMOTE_NODE: u32 = 2;

/// The cluster that a number belongs to, among those that hold for several nodes.
#[must_use]
pub fn cluster_of(identity: u32) -> u32 {
    identity >> 16 & 0xff
}

/// What an identity is taken together with by its number, on a node of the cluster `own`.
#[must_use]
pub fn aggregate_of(identity: u32, own: u32) -> Aggregate {
    if let Some(aggregate) = AGGREGATES
        .into_iter()
        .find(|one| number_of(*one) == identity)
    {
        return aggregate;
    }
    match identity >> SCOPE_SHIFT {
        _ if identity < RESERVED => Aggregate::None,
        SCOPE_LOCAL => Aggregate::World,
        SCOPE_REMOTE_NODE => Aggregate::RemoteNode,
        _ if cluster_of(identity) == own => Aggregate::Cluster,
        _ => Aggregate::ClusterMesh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(identity: u32, port: u16, length: u8, precedence: u32, denies: bool) -> Entry {
        Entry {
            identity,
            egress: false,
            protocol: 6,
            port,
            length,
            denies,
            redirects: false,
            precedence,
        }
    }

    fn verdict(entries: &[Entry], identity: u32, port: u16) -> Word {
        let packet = Packet { protocol: 6, port };
        Table::new(entries, false).verdict(identity, aggregate_of(identity, 0), packet)
    }

    #[test]
    fn an_entry_covers_what_its_length_says() {
        assert_eq!(entry(1, 8080, 20, 1, false).ports(), (8080, 8095));
        assert_eq!(entry(1, 443, 24, 1, false).ports(), (443, 443));
        assert_eq!(entry(1, 0, 8, 1, false).ports(), (0, u16::MAX));
        assert_eq!(entry(1, 0, 0, 1, false).ports(), (0, u16::MAX));
        let other = Packet {
            protocol: 17,
            port: 443,
        };
        assert!(!entry(1, 443, 24, 1, false).covers(other));
        assert!(entry(1, 0, 0, 1, false).covers(other));
    }

    #[test]
    fn the_longest_of_an_identity_is_weighed_against_the_longest_of_its_aggregate() {
        let entries = [
            entry(1000, 0, 0, 5, true),
            entry(1000, 80, 24, 7, false),
            entry(11, 80, 24, 9, true),
            entry(11, 0, 8, 3, false),
        ];
        assert_eq!(verdict(&entries, 1000, 80), Word::Deny);
        assert_eq!(verdict(&entries, 1000, 81), Word::Deny);
        assert_eq!(verdict(&entries, 1001, 81), Word::Allow);
        assert_eq!(verdict(&entries, 1 << 24 | 1, 81), Word::Deny);
    }

    #[test]
    fn where_nothing_is_found_zero_is_asked_last() {
        let entries = [entry(0, 0, 0, 9, false), entry(11, 80, 24, 1, true)];
        assert_eq!(verdict(&entries, 1000, 80), Word::Deny);
        assert_eq!(verdict(&entries, 1000, 81), Word::Allow);
        assert_eq!(verdict(&entries, 2, 80), Word::Allow);
        assert_eq!(verdict(&entries, 11, 80), Word::Deny);
        assert_eq!(verdict(&entries, 11, 81), Word::Allow);
    }

    #[test]
    fn numbers_say_what_they_are_taken_together_with() {
        assert_eq!(aggregate_of(2, 0), Aggregate::None);
        assert_eq!(aggregate_of(12, 0), Aggregate::ClusterMesh);
        assert_eq!(aggregate_of(1000, 0), Aggregate::Cluster);
        assert_eq!(aggregate_of(1 << 16 | 1000, 0), Aggregate::ClusterMesh);
        assert_eq!(aggregate_of(1 << 16 | 1000, 1), Aggregate::Cluster);
        assert_eq!(aggregate_of(1 << 24 | 7, 1), Aggregate::World);
        assert_eq!(aggregate_of(2 << 24 | 7, 1), Aggregate::RemoteNode);
    }
}
