//! What packets get on a node and by the manifests.

use super::addresses;
use super::classes::{Class, Cuts};
use super::dump::{Dump, Endpoint as DumpEndpoint};
use super::labels::{self, Known};
use super::report::{AuditReport, DifferenceReport, EndpointReport};
use crate::cluster::{Cluster, NO_LABELS, NamedPort, NodeId, PodId, Protocol};
use crate::explain::Context;
use crate::explain::report::Word;
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow, PodView, Transport};
use crate::hir::spec::precedence::{Question, judge_identity};
use crate::hir::{Direction, Enforcement, Policy, RuleId};
use crate::identity::{Identity, key, source};
use crate::policymap::{Entry, Table, named_ports as named_ports_of};
use crate::query::pod_view;
use crate::ranges::Ranges;
use crate::source::to_u32;
use crate::trace::ReplyRule;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// Compares what a node holds with what the manifests say.
#[must_use]
pub fn audit(
    context: Context<'_>,
    enforcement: &Enforcement,
    node: NodeId,
    dump: &Dump,
) -> AuditReport {
    let cluster = context.cluster;
    let known = labels::known(dump, enforcement.identities.options().aggregates);
    let (pods, endpoints) = endpoints(cluster, node, dump);
    let audit = Audit {
        context,
        enforcement,
        dump,
        named: named_ports(cluster, &known),
        peers: known
            .iter()
            .map(|(number, identity)| Peer::new(cluster, enforcement, *number, identity))
            .collect(),
    };
    let both = [Direction::Egress, Direction::Ingress];
    let differences = pods.par_iter().flat_map_iter(|(endpoint, pod)| {
        both.into_iter()
            .flat_map(|direction| audit.side(endpoint, *pod, direction))
    });
    AuditReport {
        version: 1,
        node: cluster
            .node(node)
            .map_or(String::new(), |node| node.name.to_string()),
        compared: pods.len(),
        incomplete: Vec::new(),
        differences: differences.collect(),
        ipcache: addresses::differences(cluster, enforcement, node, dump, &known),
        endpoints,
    }
}

/// The endpoints of both sides, and those of one alone.
fn endpoints<'d>(
    cluster: &Cluster,
    node: NodeId,
    dump: &'d Dump,
) -> (Vec<(&'d DumpEndpoint, PodId)>, Vec<EndpointReport>) {
    let mut pods = Vec::new();
    let mut alone = Vec::new();
    for endpoint in &dump.endpoints {
        let Some((namespace, name)) = &endpoint.pod else {
            continue;
        };
        match cluster.find_pod(namespace, name) {
            Some(pod) => pods.push((endpoint, pod)),
            None => alone.push(EndpointReport {
                pod: format!("{namespace}/{name}"),
                endpoint: Some(endpoint.id),
            }),
        }
    }
    let seen: BTreeSet<PodId> = pods.iter().map(|(_, pod)| *pod).collect();
    for (index, pod) in cluster.pods().iter().enumerate() {
        let is_endpoint =
            pod.node == Some(node) && !pod.host_network && !pod.finished && !pod.stand_in;
        if is_endpoint && !seen.contains(&PodId(to_u32(index))) {
            alone.push(EndpointReport {
                pod: format!("{}/{}", cluster.namespace_name(pod.namespace), pod.name),
                endpoint: None,
            });
        }
    }
    alone.sort_by(|one, other| one.pod.cmp(&other.pod));
    (pods, alone)
}

/// Every port that has a name anywhere.
fn named_ports(cluster: &Cluster, known: &Known) -> BTreeSet<NamedPort> {
    let of_pods = cluster
        .pods()
        .iter()
        .flat_map(|pod| cluster.ports(pod.ports));
    let of_identities = known.values().flat_map(named_ports_of);
    of_pods.cloned().chain(of_identities).collect()
}

/// An identity of the node as the other end of a flow.
#[derive(Debug)]
struct Peer {
    number: u32,
    identity: Identity,
    /// Its named ports; `None` where they are not known.
    ports: Option<Vec<NamedPort>>,
    is_pod: bool,
}

impl Peer {
    fn new(cluster: &Cluster, enforcement: &Enforcement, number: u32, identity: &Identity) -> Self {
        let has_labels = enforcement.identities.options().named_ports;
        Self {
            number,
            identity: identity.clone(),
            ports: if has_labels {
                Some(named_ports_of(identity))
            } else {
                ports_of_pods(cluster, enforcement, identity)
            },
            is_pod: identity.labels.get(source::K8S, key::NAMESPACE).is_some(),
        }
    }

    fn endpoint(&self) -> Endpoint<'_> {
        let pod = PodView {
            id: None,
            namespace: "",
            namespace_labels: &NO_LABELS,
            labels: &NO_LABELS,
            ports: self.ports.as_deref(),
            service_account: "",
            node: None,
            host: None,
        };
        Endpoint {
            kind: if self.is_pod {
                EndpointKind::Pod(pod)
            } else {
                EndpointKind::Outside
            },
            // The identity is given, so no address is asked.
            address: Address::Known(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            by_service: false,
        }
    }
}

/// The named ports of the pods that have an identity, where all have the same.
fn ports_of_pods(
    cluster: &Cluster,
    enforcement: &Enforcement,
    identity: &Identity,
) -> Option<Vec<NamedPort>> {
    let pods = cluster.pods().iter().enumerate();
    let mut ports = pods
        .map(|(index, pod)| pod_view(cluster, PodId(to_u32(index)), pod))
        .filter(|pod| {
            let own = enforcement.identities.pod((*pod).into(), None);
            own.labels == identity.labels
        })
        .map(|pod| pod.ports);
    let first = ports.next()??;
    ports
        .all(|ports| ports == Some(first))
        .then(|| first.to_vec())
}

/// What both sides say of some packets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    protocol: Option<Protocol>,
    node: Word,
    manifests: Word,
    rules: Vec<RuleId>,
}

/// Everything that is asked about each endpoint.
struct Audit<'a> {
    context: Context<'a>,
    enforcement: &'a Enforcement,
    dump: &'a Dump,
    named: BTreeSet<NamedPort>,
    peers: Vec<Peer>,
}

impl Audit<'_> {
    /// The differences of one direction of an endpoint.
    fn side(
        &self,
        endpoint: &DumpEndpoint,
        pod: PodId,
        direction: Direction,
    ) -> Vec<DifferenceReport> {
        let cluster = self.context.cluster;
        let Some(described) = cluster.pod(pod) else {
            return Vec::new();
        };
        let subject = Endpoint {
            kind: EndpointKind::Pod(pod_view(cluster, pod, described)),
            address: described
                .addresses
                .first()
                .map_or(Address::Unknown { v4: true, v6: true }, |address| {
                    Address::Known(*address)
                }),
            by_service: false,
        };
        let entries = self.dump.policies.get(&endpoint.id);
        let entries = entries.map_or(&[][..], Vec::as_slice);
        let table = Table::new(entries, direction == Direction::Egress);
        let classes = self.classes(entries, &subject, direction);
        let mut reports = Vec::new();
        for peer in &self.peers {
            let differences = self.against(&table, &subject, direction, peer, &classes);
            let name = cluster.namespace_name(described.namespace);
            reports.extend(differences.into_iter().map(|(said, ranges)| {
                let rules = said.rules.iter();
                DifferenceReport {
                    pod: format!("{name}/{}", described.name),
                    endpoint: endpoint.id,
                    direction: direction.to_string(),
                    identity: peer.identity.texts().collect(),
                    number: peer.number,
                    protocol: said
                        .protocol
                        .map_or_else(|| "other".to_owned(), |protocol| protocol.to_string()),
                    ranges: ranges.iter().collect(),
                    node: said.node,
                    manifests: said.manifests,
                    rules: rules
                        .filter_map(|id| ReplyRule::of(self.context, *id))
                        .collect(),
                }
            }));
        }
        reports
    }

    /// The classes of packets that the entries of a map, or the policies of its endpoint, tell apart.
    fn classes(
        &self,
        entries: &[Entry],
        subject: &Endpoint<'_>,
        direction: Direction,
    ) -> Vec<Class> {
        let mut cuts = Cuts::new(self.enforcement.has_icmp_types);
        let egress = direction == Direction::Egress;
        for entry in entries.iter().filter(|entry| entry.egress == egress) {
            cuts.add_entry(entry);
        }
        if let Some(peer) = self.peers.first() {
            let any = Transport::to_port(Protocol::TCP, 0);
            let flow = flow(subject, peer, direction, any);
            let policies = self.context.policies;
            let question = Question::new(policies, self.enforcement, &flow, direction);
            let governing: Vec<&Policy> = question
                .iter()
                .flat_map(|question| question.governing())
                .collect();
            for policy in governing {
                cuts.add_policy(policy, &self.named);
            }
        }
        cuts.classes()
    }

    /// Where both sides say something else of packets from or to an identity: by what they say, the ports.
    fn against(
        &self,
        table: &Table<'_>,
        subject: &Endpoint<'_>,
        direction: Direction,
        peer: &Peer,
        classes: &[Class],
    ) -> Vec<(Said, Ranges<u16>)> {
        let mut differing: BTreeMap<Said, Vec<(u16, u16)>> = BTreeMap::new();
        for class in classes {
            let flow = flow(subject, peer, direction, class.transport);
            let side = judge_identity(
                self.context.policies,
                self.enforcement,
                &flow,
                direction,
                &peer.identity,
            );
            let found = table.verdict(peer.number, peer.identity.aggregate, class.packet);
            let node = found.word;
            let manifests = Word::from(side.verdict);
            // What hangs on something that is not known is no difference that can be told.
            if manifests == Word::Depends || manifests == node {
                continue;
            }
            let said = Said {
                protocol: class.protocol,
                node,
                manifests,
                rules: side.rules,
            };
            differing.entry(said).or_default().extend(class.ports);
        }
        let differing = differing.into_iter();
        differing
            .map(|(said, ports)| (said, Ranges::new(ports)))
            .collect()
    }
}

fn flow<'f>(
    subject: &Endpoint<'f>,
    peer: &'f Peer,
    direction: Direction,
    transport: Transport,
) -> Flow<'f> {
    let (subject, other) = (*subject, peer.endpoint());
    let (src, dst) = match direction {
        Direction::Egress => (subject, other),
        Direction::Ingress => (other, subject),
    };
    Flow {
        src,
        dst,
        transport,
    }
}
