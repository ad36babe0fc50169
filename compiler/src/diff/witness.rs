//! The flows of a packet that stands for a connection: between pods of two peers, or a pod and an address outside.

use super::rules::{Ends, Key, When};
use super::{DeltaId, Diff};
use crate::hir::Direction;
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

    /// The packet between the pods of two peers on one side, or between those of a peer and an address outside.
    pub(super) fn flows(
        &self,
        when: When,
        [src, dst]: [Option<PeerId>; 2],
        address: Option<IpAddr>,
        transport: Transport,
    ) -> Vec<(Ends, Flow<'_>)> {
        let [from, to] = [src, dst].map(|peer| self.whos(when, peer));
        match (src, dst, address) {
            (Some(_), Some(_), _) => self.between(when, &from, &to, transport),
            (Some(_), None, Some(address)) => {
                self.with_stranger(when, &from, Direction::Egress, address, transport)
            }
            (None, Some(_), Some(address)) => {
                self.with_stranger(when, &to, Direction::Ingress, address, transport)
            }
            (Some(_), None, None) | (None, Some(_), None) | (None, None, _) => Vec::new(),
        }
    }

    fn between(
        &self,
        when: When,
        from: &[Who<'static>],
        to: &[Who<'static>],
        transport: Transport,
    ) -> Vec<(Ends, Flow<'_>)> {
        let cluster = self.context(when).cluster;
        let families = |who| families_of(cluster, self.families, who);
        let stands_in = |who| match who {
            Who::Pod(pod) => cluster.pod(pod).is_some_and(|pod| pod.stand_in),
            Who::Node(_) | Who::Address(_) | Who::Owned(..) => false,
            Who::Hypothetical(_) | Who::World => false,
        };
        let pairs = from
            .iter()
            .flat_map(|src| to.iter().map(|dst| (*src, *dst)));
        let pairs = pairs.filter(|(src, dst)| src != dst || stands_in(*src));
        let flows = pairs.flat_map(|(src, dst)| {
            let flows = flows_between(cluster, self.families, src, dst, transport);
            let common = families(src).common(families(dst), transport.protocol);
            let ends = common.iter().map(move |family| Ends {
                src: Some(src),
                dst: Some(dst),
                family,
            });
            ends.zip(flows)
        });
        flows.collect()
    }

    fn with_stranger(
        &self,
        when: When,
        whos: &[Who<'static>],
        direction: Direction,
        address: IpAddr,
        transport: Transport,
    ) -> Vec<(Ends, Flow<'_>)> {
        let cluster = self.context(when).cluster;
        let family = Family::of(address);
        let stranger = Endpoint {
            kind: EndpointKind::Outside,
            address: Address::Known(address),
            by_service: false,
        };
        let has_family = |who: &&Who<'static>| {
            let own = families_of(cluster, self.families, **who);
            own.iter().any(|one| one == family)
        };
        let flows = whos.iter().filter(has_family).map(|who| {
            let own = endpoint(cluster, *who, family);
            let (ends, src, dst) = match direction {
                Direction::Egress => ([Some(*who), None], own, stranger),
                Direction::Ingress => ([None, Some(*who)], stranger, own),
            };
            let [from, to] = ends;
            let ends = Ends {
                src: from,
                dst: to,
                family,
            };
            let flow = Flow {
                src,
                dst,
                transport,
            };
            (ends, flow)
        });
        flows.collect()
    }

    /// Pods of a peer on one side, of each kind that rules may tell apart, or the node that it is.
    fn whos(&self, when: When, peer: Option<PeerId>) -> Vec<Who<'static>> {
        let own = peer.and_then(|peer| self.matching.peer(when.which(), peer));
        let listing = self.listing(when.which());
        own.and_then(|own| Some(listing?.samples(own)))
            .unwrap_or_default()
    }
}
