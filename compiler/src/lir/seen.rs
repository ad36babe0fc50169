//! What the leaves of a cluster are to the endpoints of one node, where rules ask for identities.
//!
//! A node is itself to its own endpoints, and another node to all others. What the snapshot leaves open is one of several
//! kinds: its class is *open*, and stands for classes that are added behind those of the leaves, one for each kind.

use super::leaves::{Leaves, Remote};
use super::{ClassId, LeafId, Match, number};
use crate::cluster::{Cluster, NodeId, PortsId};
use crate::hir::flow::EndpointKind;
use crate::ir::kinds::From;
use crate::ir::{self, KindId, Other, PeersId};
use crate::ranges::Ranges;
use rustc_hash::FxHashMap;

/// The classes of a node. See the module.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) classes: u32,
    pub(super) own_node: Ranges<u32>,
    pub(super) either: Vec<(ClassId, Vec<ClassId>)>,
    /// By kind: the classes that are of it.
    of_kind: FxHashMap<KindId, Vec<u32>>,
    /// The classes of what is outside.
    outside: Ranges<u32>,
    /// The classes that are added for pods, with the named ports of these.
    pub(super) of_pods: Vec<(PortsId, u32)>,
}

/// What tells added classes apart: the kind, whether it is of what is outside, and of pods their named ports.
type Open = (KindId, bool, Option<PortsId>);

impl Leaves {
    /// What the leaves are to the endpoints of a node; `None` where no rule asks for identities.
    pub(super) fn seen_from(
        &self,
        cluster: &Cluster,
        program: &ir::Program,
        node: Option<NodeId>,
    ) -> Option<Seen> {
        let kinds = program.kinds.as_ref()?;
        let from = From::of(node);
        let leaves = number(self.list().len());
        let mut of_kind: FxHashMap<KindId, Vec<u32>> = FxHashMap::default();
        let mut outside = Vec::new();
        let mut either = Vec::new();
        // What is open is asked about once all leaves have their classes.
        let mut open: Vec<Open> = Vec::new();
        let mut added: FxHashMap<Open, ClassId> = FxHashMap::default();
        for leaf in (0..leaves).map(LeafId) {
            let Some(end) = self.example(cluster, leaf) else {
                continue;
            };
            let is_outside = matches!(end.kind, EndpointKind::Outside);
            let others = program.others(&end, from);
            let found: Vec<KindId> = others.iter().filter_map(Other::kind).collect();
            if let [only] = found[..] {
                of_kind.entry(only).or_default().push(leaf.0);
                outside.extend(is_outside.then_some((leaf.0, leaf.0)));
                continue;
            }
            let ports = self
                .list()
                .get(leaf.index())
                .and_then(|leaf| match leaf.who {
                    Remote::Identity(identity) => program.identities.get(identity.index()),
                    Remote::Node(_) | Remote::UnknownNode | Remote::Outside => None,
                });
            let ports = ports.map(|identity| identity.ports);
            let classes = found.into_iter().map(|kind| {
                let key = (kind, is_outside, ports);
                *added.entry(key).or_insert_with_key(|key| {
                    open.push(*key);
                    ClassId(leaves + number(open.len() - 1))
                })
            });
            either.push((ClassId(leaf.0), classes.collect()));
        }
        let mut of_pods = Vec::new();
        for ((kind, is_outside, ports), class) in open.iter().zip(leaves..) {
            of_pods.extend(ports.map(|ports| (ports, class)));
            of_kind.entry(*kind).or_default().push(class);
            outside.extend(is_outside.then_some((class, class)));
        }
        let hosts = of_kind.iter().filter(|(kind, _)| kinds.is_host(**kind));
        let own_node = hosts.flat_map(|(_, classes)| classes);
        Some(Seen {
            classes: leaves + number(open.len()),
            own_node: Ranges::new(own_node.map(|class| (*class, *class)).collect()),
            either,
            of_kind,
            outside: Ranges::new(outside),
            of_pods,
        })
    }
}

impl Seen {
    /// The classes that a list of peers matches; all where there is none.
    pub(super) fn matched(
        &self,
        program: &ir::Program,
        peers: Option<PeersId>,
    ) -> Match<Ranges<u32>> {
        let peers = peers.map(|peers| program.peers.get(peers.index()));
        let (yes, maybe) = match peers {
            None => {
                let all = Ranges::new(vec![(0, self.classes.saturating_sub(1))]);
                (all, Ranges::default())
            }
            Some(None) => (Ranges::default(), Ranges::default()),
            Some(Some(peers)) => {
                let kinds = peers.kinds.to_vec().into_iter();
                let yes = kinds.filter_map(|kind| self.of_kind.get(&KindId(kind)));
                let yes = yes.flatten().map(|class| (*class, *class)).collect();
                let maybe = match peers.may_be_behind {
                    true => self.outside.clone(),
                    false => Ranges::default(),
                };
                (Ranges::new(yes), maybe)
            }
        };
        let maybe = super::leaves::without(&maybe, &yes);
        Match { yes, maybe }
    }
}
