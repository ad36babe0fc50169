//! A policy map as the datapath looks packets up in it.
//!
//! Transcribed from `bpf/lib/policy.h` of Cilium 1.20 (1.19: without aggregates): in the entries of an identity the
//! one with most bits of protocol and port that covers the packet; the same in the entries of what the identity is
//! taken together with; of both the higher precedence.

use super::entry::{Demand, Entry, Packet};
use crate::explain::report::Word;
use crate::hir::Auth;
use crate::identity::Aggregate;
use std::collections::BTreeMap;

/// What no entry of another identity outweighs.
const HIGHEST: u32 = u32::MAX;
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
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.block.length));
        }
        Self(table)
    }

    fn longest(&self, identity: u32, packet: Packet) -> Option<&'a Entry> {
        let entries = self.0.get(&identity)?;
        entries
            .iter()
            .copied()
            .find(|entry| entry.block.covers(packet))
    }

    /// What becomes of a packet from or to an identity: it is denied where there is no entry.
    #[must_use]
    pub fn verdict(&self, identity: u32, aggregate: Aggregate, packet: Packet) -> Found {
        let none = Found {
            word: Word::Deny,
            precedence: 0,
            auth: None,
            is_derived: false,
        };
        let (chosen, other) = self.find(identity, number_of(aggregate), packet);
        chosen.map_or(none, |chosen| {
            let demand = demand(chosen, other);
            Found {
                word: chosen.word(),
                precedence: chosen.precedence,
                auth: demand.auth().filter(|_| !chosen.denies),
                is_derived: !demand.is_explicit(),
            }
        })
    }

    /// The entry that decides, and the one that it was weighed against.
    fn find(
        &self,
        identity: u32,
        aggregate: u32,
        packet: Packet,
    ) -> (Option<&'a Entry>, Option<&'a Entry>) {
        let own = self.longest(identity, packet);
        if aggregate == identity || own.is_some_and(|own| own.precedence == HIGHEST) {
            let last = || self.longest(number_of(Aggregate::None), packet);
            return (own.or_else(last), None);
        }
        let shared = self.longest(aggregate, packet);
        match (own, shared) {
            (None, None) => (self.longest(number_of(Aggregate::None), packet), None),
            (Some(own), Some(shared)) => {
                let weight = |entry: &Entry| (entry.precedence, entry.block.length);
                if weight(shared) > weight(own) {
                    (Some(shared), Some(own))
                } else {
                    (Some(own), Some(shared))
                }
            }
            (one, other) => (one.or(other), None),
        }
    }
}

/// What a packet gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What becomes of it.
    pub word: Word,
    /// The precedence of the entry that decides; 0 where there is none.
    pub precedence: u32,
    /// What the ends must prove first.
    pub auth: Option<Auth>,
    /// Whether the entry that demands it took that over from a wider one.
    pub is_derived: bool,
}

/// Of two entries of one precedence the one that decides demands what the other does, if that is more, unless a rule
/// says itself what it demands.
fn demand(chosen: &Entry, other: Option<&Entry>) -> Demand {
    let own = chosen.auth;
    let other = other.filter(|other| other.precedence == chosen.precedence && !own.is_explicit());
    let other = other.map(|other| other.auth);
    match other.filter(|other| other.derived() > own.derived()) {
        Some(other) => other,
        None => own,
    }
}

/// What has entries of its own that stand for several identities.
pub(crate) const AGGREGATES: [Aggregate; 4] = [
    Aggregate::Cluster,
    Aggregate::ClusterMesh,
    Aggregate::World,
    Aggregate::RemoteNode,
];

/// The number of an aggregate; identities without one have the entries of 0.
#[must_use]
pub fn number_of(aggregate: Aggregate) -> u32 {
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
    use super::super::entry::Block;
    use super::*;

    fn entry(identity: u32, port: u16, length: u8, precedence: u32, denies: bool) -> Entry {
        Entry {
            identity,
            egress: false,
            block: Block {
                protocol: 6,
                port,
                length,
            },
            denies,
            proxy: 0,
            auth: Demand::default(),
            precedence,
        }
    }

    fn verdict(entries: &[Entry], identity: u32, port: u16) -> Word {
        let packet = Packet { protocol: 6, port };
        Table::new(entries, false)
            .verdict(identity, aggregate_of(identity, 0), packet)
            .word
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
    fn more_is_demanded_by_one_of_two_entries_of_one_precedence() {
        let auth = |identity, length, auth| Entry {
            auth,
            ..entry(identity, 80, length, 5, false)
        };
        let spire = Demand::explicit(Auth::Required);
        let found = |entries: &[Entry]| {
            let packet = Packet {
                protocol: 6,
                port: 80,
            };
            let found = Table::new(entries, false).verdict(1000, Aggregate::Cluster, packet);
            found.auth
        };
        let none = Demand::default();
        assert_eq!(
            found(&[auth(1000, 24, none), auth(11, 8, spire)]),
            Some(Auth::Required)
        );
        let disabled = Demand::explicit(Auth::Disabled);
        assert_eq!(found(&[auth(1000, 24, disabled), auth(11, 8, spire)]), None);
        assert_eq!(
            found(&[auth(1000, 8, disabled), auth(11, 24, spire)]),
            Some(Auth::Required)
        );
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
