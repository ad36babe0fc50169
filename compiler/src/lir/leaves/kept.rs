//! The leaves of a cluster as words, to be kept for another compile, and back: the list with its examples, and the runs of addresses.
//! What lists of peers match is found anew: policies come and go more often than leaves.

use super::{Example, Leaf, LeafAddress, Leaves, Remote};
use crate::cluster::{NodeId, Owner, PodId};
use crate::ir::{self, IdentityId};
use crate::kept::Words;
use crate::lir::{LeafId, number};
use crate::query::{Family, Who};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many words a leaf has, an example and the bits of an address.
const LEAF: usize = 3;
const EXAMPLE: usize = 7;
const BITS: usize = 4;

impl Leaves {
    /// Adds them to some words. False where there is an example that is of no snapshot.
    pub(crate) fn write(&self, words: &mut Vec<u32>) -> bool {
        words.push(number(self.list.len()));
        words.extend(self.list.iter().flat_map(|leaf| leaf_words(*leaf)));
        for example in &self.examples {
            let Some(own) = example_words(*example) else {
                return false;
            };
            words.extend(own);
        }
        words.push(number(self.v4.len()));
        let v4 = self.v4.iter();
        words.extend(v4.flat_map(|(start, leaf)| [*start, leaf.0]));
        words.push(number(self.v6.len()));
        for (start, leaf) in &self.v6 {
            words.extend(halves(*start));
            words.push(leaf.0);
        }
        true
    }

    /// Reads them, for a program that resolves other policies of the same cluster, and the same addresses.
    pub(crate) fn read(words: &mut Words<'_>, program: &ir::Program) -> Option<Self> {
        let count = words.one()? as usize;
        let (list, _) = words.some(count.checked_mul(LEAF)?)?.as_chunks();
        let is_known = |leaf: &Leaf| match leaf.who {
            Remote::Identity(identity) => identity.index() < program.identities.len(),
            Remote::Node(_) | Remote::UnknownNode | Remote::Outside => true,
        };
        let list = list.iter().map(|words| leaf(words).filter(is_known));
        let list: Option<Vec<Leaf>> = list.collect();
        let (examples, _) = words.some(count.checked_mul(EXAMPLE)?)?.as_chunks();
        let examples: Option<Vec<Example>> = examples.iter().map(example).collect();
        let count = words.one()? as usize;
        let (v4, _) = words.some(count.checked_mul(2)?)?.as_chunks();
        let v4 = v4.iter().map(|[start, leaf]| (*start, LeafId(*leaf)));
        let v4 = v4.collect();
        let count = words.one()? as usize;
        let (v6, _) = words.some(count.checked_mul(BITS + 1)?)?.as_chunks();
        let v6 = v6
            .iter()
            .map(|[a, b, c, d, leaf]| (whole([*a, *b, *c, *d]), LeafId(*leaf)));
        let v6 = v6.collect();
        let leaves = Self::listed(program, list?, examples?);
        Some(Self { v4, v6, ..leaves })
    }
}

fn leaf_words(leaf: Leaf) -> [u32; LEAF] {
    let (who, id) = match leaf.who {
        Remote::Identity(identity) => (0, identity.0),
        Remote::Node(node) => (1, node.0),
        Remote::UnknownNode => (2, 0),
        Remote::Outside => (3, 0),
    };
    let (address, class) = match leaf.address {
        LeafAddress::Class(class) => (0, class.0),
        LeafAddress::Unknown(Family::V4) => (1, 0),
        LeafAddress::Unknown(Family::V6) => (2, 0),
    };
    [who << 8 | address, id, class]
}

fn leaf([kinds, id, class]: &[u32; LEAF]) -> Option<Leaf> {
    Some(Leaf {
        who: match kinds >> 8 {
            0 => Remote::Identity(IdentityId(*id)),
            1 => Remote::Node(NodeId(*id)),
            2 => Remote::UnknownNode,
            3 => Remote::Outside,
            _ => return None,
        },
        address: match kinds & 0xff {
            0 => LeafAddress::Class(ir::ClassId(*class)),
            1 => LeafAddress::Unknown(Family::V4),
            2 => LeafAddress::Unknown(Family::V6),
            _ => return None,
        },
    })
}

fn example_words(example: Example) -> Option<[u32; EXAMPLE]> {
    let told = |kind: u32, id: u32, address: Option<IpAddr>| {
        let (family, bits) = match address {
            None => (0, [0; BITS]),
            Some(IpAddr::V4(address)) => (1, [address.to_bits(), 0, 0, 0]),
            Some(IpAddr::V6(address)) => (2, halves(address.to_bits())),
        };
        let [a, b, c, d] = bits;
        [kind, id, family, a, b, c, d]
    };
    let (who, family) = match example {
        Example::Of(who, Family::V4) => (who, 1),
        Example::Of(who, Family::V6) => (who, 2),
        Example::Outside(address) => return Some(told(0, 0, Some(address))),
    };
    let family = family << 8;
    Some(match who {
        Who::Pod(pod) => told(family | 1, pod.0, None),
        Who::Node(node) => told(family | 2, node.0, None),
        Who::Owned(address, Owner::Pod(pod)) => told(family | 3, pod.0, Some(address)),
        Who::Owned(address, Owner::Node(node)) => told(family | 4, node.0, Some(address)),
        Who::World => told(family | 5, 0, None),
        Who::Address(_) | Who::Hypothetical(_) => return None,
    })
}

fn example([kind, id, of, a, b, c, d]: &[u32; EXAMPLE]) -> Option<Example> {
    let address: Option<IpAddr> = match of {
        1 => Some(Ipv4Addr::from_bits(*a).into()),
        2 => Some(Ipv6Addr::from_bits(whole([*a, *b, *c, *d])).into()),
        _ => None,
    };
    let family = match kind >> 8 {
        0 => return address.map(Example::Outside),
        1 => Family::V4,
        2 => Family::V6,
        _ => return None,
    };
    let who = match kind & 0xff {
        1 => Who::Pod(PodId(*id)),
        2 => Who::Node(NodeId(*id)),
        3 => Who::Owned(address?, Owner::Pod(PodId(*id))),
        4 => Who::Owned(address?, Owner::Node(NodeId(*id))),
        5 => Who::World,
        _ => return None,
    };
    Some(Example::Of(who, family))
}

/// The words of an address of IPv6, the first bits first.
fn halves(bits: u128) -> [u32; BITS] {
    [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
}

fn whole(words: [u32; BITS]) -> u128 {
    let joined = |bits: u128, word: u32| bits << 32 | u128::from(word);
    words.into_iter().fold(0, joined)
}
