//! The flows of a packet that stands for a connection: between pods of two peers, or a pod and an address outside.

use super::rules::{Ends, Key, When};
use super::{DeltaId, Diff};
use crate::cluster::PodId;
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow, Transport};
use crate::list::directory::after;
use crate::list::{Pair, Party, PeerId, RangesId};
use crate::query::{Family, Who, endpoint, families_of, flows_between};
use std::net::IpAddr;

impl Diff<'_> {
    /// Two peers that stand for all of their classes: the outside stands for itself.
    pub(super) fn sampled(&self, key: Key, pair: &Pair<DeltaId>) -> [Option<PeerId>; 2] {
        let peer = |party| match party {
            Party::Peer(peer) => Some(peer),
            Party::Outside(_) => None,
        };
        match key {
            Key::Classes(src, dst) => {
                let samples = self.matching.samples(src, dst);
                samples.map_or([peer(pair.src), peer(pair.dst)], |(src, dst)| {
                    [Some(src), Some(dst)]
                })
            }
            Key::Within(_) | Key::Outside(..) => [peer(pair.src), peer(pair.dst)],
        }
    }

    /// An address of some ranges that nobody owns, as far as one is found soon.
    pub(super) fn stranger(&self, ranges: RangesId) -> Option<IpAddr> {
        const TRIED: usize = 256;
        let runs = self.directory.addresses(ranges);
        let clusters = [self.worlds.old.cluster, self.worlds.new.cluster];
        let is_free = |address: &IpAddr| {
            let owners = clusters.map(|cluster| cluster.owner(*address));
            owners.iter().all(Option::is_none)
        };
        let all = runs.iter().flat_map(|(first, last)| {
            let next = |address: &IpAddr| {
                let after = after(*address)?;
                (after <= *last).then_some(after)
            };
            std::iter::successors(Some(*first), next)
        });
        let free = all.take(TRIED).find(is_free);
        free.or_else(|| runs.first().map(|(first, _)| *first))
    }

    /// The packet between the pods of two peers on one side.
    pub(super) fn flows(
        &self,
        when: When,
        [src, dst]: [Option<PeerId>; 2],
        address: Option<IpAddr>,
        transport: Transport,
    ) -> Box<dyn Iterator<Item = (Ends, Flow<'_>)> + '_> {
        let cluster = self.context(when).cluster;
        let families = self.worlds.families();
        let [from, to] = [src, dst].map(|peer| self.pods(when, peer));
        let (Some(_), Some(_)) = (src, dst) else {
            let Some(address) = address else {
                return Box::new(std::iter::empty());
            };
            let family = Family::of(address);
            let pods = from.into_iter().chain(to);
            let has_family = move |pod: &PodId| {
                let own = families_of(cluster, families, Who::Pod(*pod));
                own.iter().any(|one| one == family)
            };
            return Box::new(pods.filter(has_family).map(move |pod| {
                let own = endpoint(cluster, Who::Pod(pod), family);
                let other = Endpoint {
                    kind: EndpointKind::Outside,
                    address: Address::Known(address),
                    by_service: false,
                };
                let own_is_src = src.is_some();
                let (src, dst) = if own_is_src {
                    (own, other)
                } else {
                    (other, own)
                };
                let ends = Ends {
                    src: own_is_src.then_some(pod),
                    dst: (!own_is_src).then_some(pod),
                    family,
                };
                (
                    ends,
                    Flow {
                        src,
                        dst,
                        transport,
                    },
                )
            }));
        };
        let pairs = from.into_iter().flat_map(move |from| {
            let to = to.clone();
            to.into_iter().map(move |to| (from, to))
        });
        let stands_in = move |pod| cluster.pod(pod).is_some_and(|pod| pod.stand_in);
        let pairs = pairs.filter(move |(from, to)| from != to || stands_in(*from));
        Box::new(pairs.flat_map(move |(from, to)| {
            let flows = flows_between(cluster, families, Who::Pod(from), Who::Pod(to), transport);
            let of_both = families_of(cluster, families, Who::Pod(from)).common(
                families_of(cluster, families, Who::Pod(to)),
                transport.protocol,
            );
            let families = of_both.iter();
            flows.zip(families).map(move |(flow, family)| {
                let ends = Ends {
                    src: Some(from),
                    dst: Some(to),
                    family,
                };
                (ends, flow)
            })
        }))
    }

    /// Pods of a peer on one side, of each kind that rules may tell apart.
    fn pods(&self, when: When, peer: Option<PeerId>) -> Vec<PodId> {
        let own = peer.and_then(|peer| self.matching.peer(when.which(), peer));
        let listing = self.listing(when.which());
        own.and_then(|own| Some(listing?.samples(own)))
            .unwrap_or_default()
    }
}
