//! The flows that a question asks about, as connections of workloads: what an edit is to open.

use crate::cluster::{Cluster, PodId};
use crate::diff::DeltaId;
use crate::explain::Asked;
use crate::flows::Packets;
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow};
use crate::list::directory::{Addresses, after};
use crate::list::peers::workload_name;
use crate::list::report::{PeerReport, party};
use crate::list::{Directory, Pair, Party, Peer};
use crate::query::Family;
use crate::ranges::Ranges;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who stands at an end, as lists have it.
enum End {
    Pod(PodId),
    /// From the first to the last.
    Outside(IpAddr, IpAddr),
    /// A pod that does not exist, or a node without an address: no list has it.
    Nobody,
}

struct Part {
    src: End,
    dst: End,
    packets: Packets,
}

/// All flows that are asked about.
pub(super) struct AskedFlows<'a> {
    cluster: &'a Cluster,
    parts: Vec<Part>,
}

impl<'a> AskedFlows<'a> {
    pub(super) fn new(cluster: &'a Cluster, asked: &Asked<'_>) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        let of_other = asked.in_other_family.iter();
        for flow in std::iter::once(&asked.flow).chain(of_other) {
            parts.push(part(cluster, flow, asked.last));
        }
        for alike in &asked.alike {
            let first = alike.flows.first();
            parts.extend(first.map(|flow| part(cluster, flow, alike.last)));
        }
        Self { cluster, parts }
    }

    /// The ends of a pair, cut where what is asked begins and ends, with what is asked between them.
    pub(super) fn split(
        &self,
        directory: &Directory,
        pair: &Pair<DeltaId>,
    ) -> Vec<([PeerReport; 2], Packets)> {
        let of_pair = self.parts.iter().filter(|part| {
            self.may_be(directory, &part.src, pair.src)
                && self.may_be(directory, &part.dst, pair.dst)
        });
        let runs = match (pair.src, pair.dst) {
            (Party::Outside(ranges), _) | (_, Party::Outside(ranges)) => ranges,
            (src, dst) => {
                let asked = of_pair.fold(Packets::none(), |all, part| all.union(&part.packets));
                return vec![([src, dst].map(|end| party(directory, end)), asked)];
            }
        };
        let mut pieces = vec![(directory.addresses(runs).to_vec(), Packets::none())];
        for part in of_pair {
            let ((End::Outside(first, last), _) | (_, End::Outside(first, last))) =
                (&part.src, &part.dst)
            else {
                continue;
            };
            let cut = |(runs, asked): (Addresses, Packets)| {
                let (inside, outside) = cut(&runs, (*first, *last));
                let more = asked.union(&part.packets);
                [(inside, more), (outside, asked)]
            };
            pieces = pieces.into_iter().flat_map(cut).collect();
            pieces.retain(|(runs, _)| !runs.is_empty());
        }
        let ends = |runs| {
            [pair.src, pair.dst].map(|end| match end {
                Party::Peer(_) => party(directory, end),
                Party::Outside(_) => PeerReport::Ip {
                    ranges: Vec::clone(runs),
                },
            })
        };
        pieces
            .iter()
            .map(|(runs, asked)| (ends(runs), asked.clone()))
            .collect()
    }

    fn may_be(&self, directory: &Directory, end: &End, party: Party) -> bool {
        match (end, party) {
            (End::Pod(id), Party::Peer(peer)) => directory
                .peer(peer)
                .is_some_and(|peer| self.is_of(*id, peer)),
            (End::Outside(..), Party::Outside(_)) => true,
            (End::Pod(_) | End::Outside(..) | End::Nobody, _) => false,
        }
    }

    fn is_of(&self, id: PodId, peer: &Peer) -> bool {
        let name = self
            .cluster
            .pod(id)
            .map(|pod| workload_name(self.cluster, pod));
        name.is_some_and(|(namespace, name, kind)| {
            *peer.namespace == *namespace
                && *peer.name == *name
                && peer.workload.as_deref() == Some(kind)
        })
    }
}

fn part(cluster: &Cluster, flow: &Flow<'_>, last: Option<u16>) -> Part {
    let transport = flow.transport;
    let numbers = match (transport.port, transport.icmp) {
        (Some(first), _) => Some((first, last.unwrap_or(first))),
        (None, Some((kind, _))) => Some((kind.into(), kind.into())),
        (None, None) => None,
    };
    let packets = match numbers {
        Some(range) => Packets::of(transport.protocol, &Ranges::new(vec![range])),
        None if transport.protocol.has_ports() => Packets::none(),
        None => Packets::of_protocol(transport.protocol),
    };
    Part {
        src: end(&flow.src),
        dst: sibling(cluster, flow).map_or_else(|| end(&flow.dst), End::Pod),
        packets,
    }
}

/// The source of a flow, where it stands for a workload's pods and the destination is another of these.
fn sibling(cluster: &Cluster, flow: &Flow<'_>) -> Option<PodId> {
    let (EndpointKind::Pod(src), EndpointKind::Pod(dst)) = (&flow.src.kind, &flow.dst.kind) else {
        return None;
    };
    let id = src.id?;
    // The destination borrows the labels of the same pod.
    let is_same = dst.id.is_none() && std::ptr::eq(src.labels, dst.labels);
    (is_same && cluster.pod(id)?.stand_in).then_some(id)
}

fn end(end: &Endpoint<'_>) -> End {
    match (&end.kind, end.address) {
        (EndpointKind::Pod(pod), _) => pod.id.map_or(End::Nobody, End::Pod),
        // Lists tell of a node's address as of one outside, which is not meant.
        (EndpointKind::Node(_) | EndpointKind::Outside, Address::Known(address)) => {
            End::Outside(address, address)
        }
        (EndpointKind::Node(_), Address::Unknown { .. }) => End::Nobody,
        (EndpointKind::Outside, Address::Unknown { v4: true, .. }) => whole(Family::V4),
        (EndpointKind::Outside, Address::Unknown { .. }) => whole(Family::V6),
    }
}

fn whole(family: Family) -> End {
    match family {
        Family::V4 => End::Outside(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into()),
        Family::V6 => End::Outside(
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::from_bits(u128::MAX).into(),
        ),
    }
}

/// The addresses of runs that are in another, and those that are not.
fn cut(runs: &[(IpAddr, IpAddr)], (first, last): (IpAddr, IpAddr)) -> (Addresses, Addresses) {
    let (mut inside, mut outside) = (Addresses::new(), Addresses::new());
    for (from, to) in runs {
        if from.is_ipv4() != first.is_ipv4() || *to < first || last < *from {
            outside.push((*from, *to));
            continue;
        }
        if *from < first
            && let Some(end) = before(first)
        {
            outside.push((*from, end));
        }
        inside.push(((*from).max(first), (*to).min(last)));
        if last < *to
            && let Some(start) = after(last)
        {
            outside.push((start, *to));
        }
    }
    (inside, outside)
}

/// The address in front of another one; `None` in front of the first of a family.
fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(one) => Some(IpAddr::V4(one.to_bits().checked_sub(1)?.into())),
        IpAddr::V6(one) => Some(IpAddr::V6(one.to_bits().checked_sub(1)?.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cut_at_an_address() {
        let ip = |last: u8| IpAddr::from([192, 0, 2, last]);
        let (inside, outside) = cut(&[(ip(0), ip(9)), (ip(20), ip(29))], (ip(5), ip(5)));
        assert_eq!(inside, [(ip(5), ip(5))]);
        assert_eq!(outside, [(ip(0), ip(4)), (ip(6), ip(9)), (ip(20), ip(29))]);
    }
}
