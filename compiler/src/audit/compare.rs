//! What packets get on a node and by the manifests.

use super::addresses;
use super::classes::{Class, Cuts};
use super::dump::{Dump, Endpoint as DumpEndpoint};
use super::labels::{self, Known};
use super::peers::{Peer, named_ports};
use super::report::{AuditReport, AuthReport, DifferenceReport, EndpointReport};
use crate::cluster::{Cluster, NamedPort, NodeId, Pod, PodId, Protocol};
use crate::explain::Context;
use crate::explain::report::Word;
use crate::hir::flow::{Address, Endpoint, EndpointKind, Flow, Transport};
use crate::hir::spec::precedence::{governs, judge_identity};
use crate::hir::{Auth, Direction, Enforcement, Policy, RuleId};
use crate::identity::Identity;
use crate::policymap::{self, Entry, Rows, Table};
use crate::query::pod_view;
use crate::ranges::Ranges;
use crate::source::{to_u32, to_u64};
use crate::trace::ReplyRule;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

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
    let (pods, endpoints) = endpoints(cluster, Some(node), dump);
    let enforcement = enforcement.without_audit();
    let audit = Audit::new(context, &enforcement, dump, &known);
    AuditReport {
        version: 1,
        node: cluster
            .node(node)
            .map_or(String::new(), |node| node.name.to_string()),
        compared: pods.len(),
        incomplete: Vec::new(),
        differences: audit.differences(&pods),
        ipcache: addresses::differences(cluster, &enforcement, node, dump, &known),
        endpoints,
    }
}

/// The endpoints of both sides, and those of one alone.
pub(super) fn endpoints<'d>(
    cluster: &Cluster,
    node: Option<NodeId>,
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
        let is_endpoint = pod.node == node && !pod.host_network && !pod.finished && !pod.stand_in;
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

/// What both sides say of some packets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    protocol: Option<Protocol>,
    node: Word,
    manifests: Word,
    /// What the ends must prove, on the node and by the manifests.
    auth: [Option<Auth>; 2],
    rules: Vec<RuleId>,
}

/// What packets are looked up in.
struct Tables<'e> {
    node: Table<'e>,
    /// The entries by the manifests, where a rule demands a proof.
    demanding: Option<Table<'e>>,
}

/// Everything that is asked about each endpoint.
pub(super) struct Audit<'a> {
    context: Context<'a>,
    enforcement: &'a Enforcement,
    dump: &'a Dump,
    named: BTreeSet<NamedPort>,
    peers: Vec<Peer>,
    /// The same, by number.
    known: policymap::Known,
    /// How many packets were asked for.
    pub(super) compared: AtomicU64,
}

impl<'a> Audit<'a> {
    pub(super) fn new(
        context: Context<'a>,
        enforcement: &'a Enforcement,
        dump: &'a Dump,
        known: &Known,
    ) -> Self {
        let cluster = context.cluster;
        let named = named_ports(cluster, known);
        let peers = known.iter();
        let peers: Vec<Peer> = peers
            .map(|(number, identity)| Peer::new(cluster, enforcement, *number, identity))
            .collect();
        let known = peers.iter().map(|peer| {
            let known = policymap::Peer {
                identity: peer.identity.clone(),
                ports: peer.ports.clone().unwrap_or_default(),
            };
            (peer.number, known)
        });
        Self {
            context,
            enforcement,
            dump,
            named,
            known: known.collect(),
            peers,
            compared: AtomicU64::new(0),
        }
    }

    pub(super) fn differences(&self, pods: &[(&DumpEndpoint, PodId)]) -> Vec<DifferenceReport> {
        let both = [Direction::Egress, Direction::Ingress];
        let pods = pods.par_iter();
        let of = pods.flat_map_iter(|(endpoint, pod)| {
            let sides = both.into_iter();
            sides.flat_map(|direction| self.side(endpoint, *pod, direction))
        });
        of.collect()
    }

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
        let address = described.addresses.first().copied();
        let view = pod_view(cluster, pod, described);
        let identity = self.enforcement.identities.pod(view.into(), address);
        let policies = self.context.policies.policies.iter();
        let governing: Vec<&Policy> = policies
            .filter(|policy| governs(policy, &identity))
            .collect();
        let classes = self.classes(entries, &governing, direction);
        let demanding = self.demanding(described, &identity, &governing, direction);
        let demanding = demanding
            .as_ref()
            .map(|entries| Table::new(entries, direction == Direction::Egress));
        let tables = Tables {
            node: table,
            demanding,
        };
        let mut reports = Vec::new();
        for peer in &self.peers {
            let judged = (&subject, governing.as_slice());
            let differences = self.against(&tables, judged, direction, peer, &classes);
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
                    auth: (said.auth[0] != said.auth[1]).then(|| {
                        let [node, manifests] = said
                            .auth
                            .map(|auth| auth.map_or("none".to_owned(), |auth| auth.to_string()));
                        AuthReport { node, manifests }
                    }),
                    rules: rules
                        .filter_map(|id| ReplyRule::of(self.context, *id))
                        .collect(),
                }
            }));
        }
        reports
    }

    /// The entries of an endpoint by the manifests, under the numbers of the node, where a rule demands a proof: on entries
    /// of equal precedence what is demanded hangs on which of them there are. `None` where no rule does.
    fn demanding(
        &self,
        pod: &Pod,
        identity: &Identity,
        governing: &[&Policy],
        direction: Direction,
    ) -> Option<Vec<Entry>> {
        let mut rules = governing
            .iter()
            .flat_map(|policy| policy.rules.get(direction));
        if rules.all(|rule| rule.precedence.auth.is_none()) {
            return None;
        }
        let rows = Rows::new(self.context.policies, self.enforcement, &self.known);
        let ports = self.context.cluster.ports(pod.ports);
        rows.entries(identity, ports, direction).ok()
    }

    /// The classes of packets that the entries of a map, or the policies of its endpoint, tell apart.
    fn classes(
        &self,
        entries: &[Entry],
        governing: &[&Policy],
        direction: Direction,
    ) -> Vec<Class> {
        let mut cuts = Cuts::new(self.enforcement.has_icmp_types);
        let egress = direction == Direction::Egress;
        for entry in entries.iter().filter(|entry| entry.egress == egress) {
            cuts.add_entry(entry);
        }
        for policy in governing {
            cuts.add_policy(policy, &self.named);
        }
        cuts.classes()
    }

    /// Where both sides say something else of packets from or to an identity: by what they say, the ports.
    fn against(
        &self,
        tables: &Tables<'_>,
        (subject, governing): (&Endpoint<'_>, &[&Policy]),
        direction: Direction,
        peer: &Peer,
        classes: &[Class],
    ) -> Vec<(Said, Ranges<u16>)> {
        let mut differing: BTreeMap<Said, Vec<(u16, u16)>> = BTreeMap::new();
        self.compared
            .fetch_add(to_u64(classes.len()), Ordering::Relaxed);
        for class in classes {
            let flow = flow(subject, peer, direction, class.transport);
            let side = judge_identity(
                self.context.policies,
                self.enforcement,
                governing,
                &flow,
                direction,
                &peer.identity,
            );
            let look = |table: &Table<'_>| {
                table.verdict(peer.number, peer.identity.aggregate, class.packet)
            };
            let found = look(&tables.node);
            let node = found.word;
            let demanded = tables.demanding.as_ref().map(look);
            let manifests = Word::from(side.verdict);
            // What hangs on something that is not known is no difference that can be told.
            // What an entry takes over from a wider one hangs on the order in which the agent met the rules: it stops
            // where it meets an entry with a demand of its own.
            let is_open = demanded.is_some_and(|found| found.auth.is_some() && found.is_derived);
            let auth = match manifests == node && !is_open {
                true => [found.auth, demanded.and_then(|found| found.auth)],
                false => [None, None],
            };
            if manifests == Word::Depends || manifests == node && auth[0] == auth[1] {
                continue;
            }
            let said = Said {
                protocol: class.protocol,
                node,
                manifests,
                auth,
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
