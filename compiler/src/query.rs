//! From the two ends of a question to the flows that it stands for.
//!
//! Input: who stands at each end ([`Who`], found by [`meant`]), and what the packet carries. Output: one [`Flow`]
//! for each pair of ends and each address family that the two have in common, IPv4 first, with views borrowed
//! from the [`Cluster`]; and [`combine`], which makes one answer of theirs. Guarantee: both addresses of a flow
//! are of one family, which both ends have or may have and which carries the protocol. Pairs without such a
//! family have no flow, and where no pair has one the question is refused ([`Apart`]). The entry is
//! [`Ends::flows`].

mod families;
mod endpoint;
pub mod meant;

pub(crate) use endpoint::DEFAULT_SERVICE_ACCOUNT;
pub use endpoint::{endpoint, families_of, hypothetical_view, pod_view};
pub use families::{Apart, Families, Family};

use crate::cluster::{Cluster, Labels, NodeId, Owner, PodId, Protocol};
use crate::hir::flow::{Endpoint, EndpointKind, Flow, Transport};
use crate::hir::spec::{Judgement, Side, Verdict};
use std::net::IpAddr;

/// Who stands at one end of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'c> {
    /// A pod. What one on the network of its node is taken for, the tier and the settings say.
    Pod(PodId),
    /// A node.
    Node(NodeId),
    /// An address: the pod or node that owns it, else the outside.
    Address(IpAddr),
    /// An address as that of one of its several owners.
    Owned(IpAddr, Owner),
    /// A pod that does not exist.
    Hypothetical(Hypothetical<'c>),
    /// Some address that the cluster does not own.
    World,
}

/// A pod that does not exist, in a namespace that may not exist either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hypothetical<'c> {
    /// The name of the namespace; empty where it has none.
    pub namespace: &'c str,
    /// The labels of the namespace.
    pub namespace_labels: &'c Labels,
    /// The pod's labels.
    pub labels: &'c Labels,
}

/// The far end of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'c> {
    /// Who it is.
    pub who: Who<'c>,
    /// The port that a name or a service stands for, where the question is not about the port as it is written.
    pub port: Option<(Protocol, u16)>,
    /// Whether it is reached by a service.
    pub by_service: bool,
}

impl<'c> From<Who<'c>> for Target<'c> {
    fn from(who: Who<'c>) -> Self {
        Self {
            who,
            port: None,
            by_service: false,
        }
    }
}

impl<'c> Target<'c> {
    /// The flows to it from `src`, as [`flows_between`] gives them.
    pub fn flows_from(
        self,
        cluster: &'c Cluster,
        families: Families,
        src: Who<'c>,
        transport: Transport,
    ) -> impl Iterator<Item = Flow<'c>> + Clone {
        flows_between(cluster, families, src, self.who, transport).map(move |mut flow| {
            flow.dst.by_service = self.by_service;
            flow
        })
    }

    /// Whether it is the pod `src` by its own address: what a pod sends to itself by a service leaves it.
    #[must_use]
    pub fn is_own_address_of(self, cluster: &Cluster, src: Who<'_>) -> bool {
        let src = meant::pod_of(cluster, src);
        src.is_some() && src == meant::pod_of(cluster, self.who) && !self.by_service
    }
}

/// The two ends of a question: every pair of them is asked.
#[derive(Clone, Debug)]
pub struct Ends<'c> {
    /// The snapshot that both are in.
    pub cluster: &'c Cluster,
    /// The families that an end without an address may have: [`Families::of`] the cluster.
    pub families: Families,
    /// Where the flow may come from.
    pub src: Vec<Who<'c>>,
    /// Where it may go.
    pub dst: Vec<Target<'c>>,
}

impl<'c> Ends<'c> {
    /// The flows that the question stands for: each pair of ends in turn, IPv4 first; at least one. Where a set
    /// of pods talks to itself, a pod to itself is left out, unless there is no other pair.
    ///
    /// # Errors
    /// Where no pair of ends has an address family in common.
    pub fn flows(&self, transport: Transport) -> Result<Vec<Flow<'c>>, Apart> {
        let mut flows = Vec::new();
        let mut to_itself = Vec::new();
        for src in &self.src {
            for dst in &self.dst {
                let mut transport = transport;
                if let Some((protocol, port)) = dst.port {
                    transport = Transport::to_port(protocol, port);
                }
                let pair = dst.flows_from(self.cluster, self.families, *src, transport);
                if dst.is_own_address_of(self.cluster, *src) {
                    to_itself.extend(pair);
                } else {
                    flows.extend(pair);
                }
            }
        }
        let flows = if flows.is_empty() { to_itself } else { flows };
        if flows.is_empty() {
            return Err(self.apart(transport));
        }
        Ok(flows)
    }

    fn apart(&self, transport: Transport) -> Apart {
        let mut apart = Apart::default();
        let families = |who| families_of(self.cluster, self.families, who);
        for src in &self.src {
            for dst in &self.dst {
                apart.add(families(*src), families(dst.who), transport.protocol);
            }
        }
        apart
    }
}

/// The flows between two ends: one for each family that they have in common, IPv4 first; none where they have
/// none in common.
pub fn flows_between<'c>(
    cluster: &'c Cluster,
    families: Families,
    src: Who<'c>,
    dst: Who<'c>,
    transport: Transport,
) -> impl Iterator<Item = Flow<'c>> + Clone {
    let of_src = families_of(cluster, families, src);
    let of_dst = families_of(cluster, families, dst);
    of_src
        .common(of_dst, transport.protocol)
        .iter()
        .map(move |family| Flow {
            src: endpoint(cluster, src, family),
            dst: sibling(cluster, src, dst, endpoint(cluster, dst, family)),
            transport,
        })
}

/// A pod that stands for the pods of its workload and talks to itself is two replicas.
fn sibling<'c>(
    cluster: &Cluster,
    src: Who<'_>,
    dst: Who<'_>,
    mut end: Endpoint<'c>,
) -> Endpoint<'c> {
    let (Who::Pod(src), Who::Pod(dst)) = (src, dst) else {
        return end;
    };
    let stands_in = cluster
        .pods()
        .get(dst.index())
        .is_some_and(|pod| pod.stand_in);
    if let EndpointKind::Pod(view) = &mut end.kind
        && src == dst
        && stands_in
    {
        view.id = None;
    }
    end
}

/// Makes one answer of several: what they agree on, and `depends` where they do not. `None` without any.
#[must_use]
pub fn combine(judgements: impl IntoIterator<Item = Judgement>) -> Option<Judgement> {
    judgements.into_iter().reduce(|one, other| Judgement {
        verdict: agreed(one.verdict, other.verdict),
        egress: combine_sides(one.egress, other.egress),
        ingress: combine_sides(one.ingress, other.ingress),
    })
}

fn agreed(one: Verdict, other: Verdict) -> Verdict {
    if one == other { one } else { Verdict::Depends }
}

fn combine_sides(mut one: Side, other: Side) -> Side {
    one.verdict = agreed(one.verdict, other.verdict);
    one.exempt = one.exempt.filter(|_| one.exempt == other.exempt);
    one.auth = one.auth.max(other.auth);
    add_missing(&mut one.rules, other.rules);
    add_missing(&mut one.isolated_by, other.isolated_by);
    one
}

fn add_missing<T: PartialEq>(list: &mut Vec<T>, more: Vec<T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}
