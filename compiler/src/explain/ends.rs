//! From peers and a port, as they were resolved, to the flows that a question stands for.
//!
//! Input: who is meant on each side, and the port as written. Output: a [`Question`]. Refused: a service as
//! a source, one that leads nowhere, and a port name that no destination has.

use super::Context;
use super::question::{Destination, Question, TransportRange};
use super::report::{Party, PartyKind};
use crate::cluster::peer::{self, HypotheticalNamespace, PortSpec, Resolved};
use crate::cluster::{Cluster, Labels, NAMESPACE_NAME_LABEL, Owner, PodId, Protocol, ServiceId};
use crate::diagnostic::{Diagnostic, codes};
use crate::hir::PortRange;
use crate::query::{Families, Hypothetical, Target, Who};
use std::net::IpAddr;

/// The ports that a packet can have.
const EVERY_PORT: PortRange = PortRange {
    first: 1,
    last: u16::MAX,
};

/// The types of echo requests, which stand for a family's ICMP where no type is asked for.
const ECHO: [(Protocol, u8); 2] = [(Protocol::ICMP, 8), (Protocol::ICMPV6, 128)];

/// The question that two sets of peers and a port stand for.
///
/// # Errors
/// Diagnostics where it makes no sense for any of the ends.
pub fn question<'a>(
    context: Context<'a>,
    from: &'a [Resolved],
    to: &'a [Resolved],
    port: &PortSpec,
) -> Result<Question<'a>, Vec<Diagnostic>> {
    let cluster = context.cluster;
    let mut problems = Vec::new();
    let mut src = Vec::new();
    for resolved in from {
        if let Resolved::Service { service, .. } = resolved {
            problems.push(service_as_source(cluster, *service));
        } else {
            src.extend(ends(cluster, resolved));
        }
    }
    let mut dst = Vec::new();
    for resolved in to {
        match destinations(context, resolved, port) {
            Ok(found) => dst.extend(found),
            Err(problem) => problems.push(problem),
        }
    }
    // A port name that some pods of a workload have is asked of those.
    if src.is_empty() || dst.is_empty() {
        Err(problems)
    } else {
        Ok(Question { src, dst })
    }
}

fn service_as_source(cluster: &Cluster, service: ServiceId) -> Diagnostic {
    let name = service_name(cluster, service);
    Diagnostic::new(
        &codes::MALFORMED_PEER,
        format!("service `{name}` cannot be the source of a flow"),
    )
    .help("name one of its pods, or their workload")
}

fn service_name(cluster: &Cluster, service: ServiceId) -> String {
    let service = cluster.service(service);
    service
        .map(|service| {
            format!(
                "{}/{}",
                cluster.namespace_name(service.namespace),
                service.name
            )
        })
        .unwrap_or_default()
}

/// The ends that a peer other than a service stands for.
fn ends<'a>(cluster: &'a Cluster, resolved: &'a Resolved) -> Vec<(Party, Who<'a>)> {
    match resolved {
        Resolved::Pod(id) => vec![(pod_party(cluster, *id), Who::Pod(*id))],
        Resolved::Node(id) => {
            let name = cluster.node(*id).map(|node| node.name.to_string());
            vec![(
                Party {
                    kind: PartyKind::Node,
                    name,
                    ..outside()
                },
                Who::Node(*id),
            )]
        }
        Resolved::Address(address) => {
            vec![(address_party(cluster, *address), Who::Address(*address))]
        }
        Resolved::Hypothetical { namespace, labels } => {
            vec![hypothetical(cluster, namespace, labels)]
        }
        Resolved::Fqdn { name, addresses } => {
            let party = Party {
                name: Some(name.to_string()),
                ..outside()
            };
            match addresses.as_slice() {
                [] => vec![(party, Who::World)],
                several => several
                    .iter()
                    .map(|address| (party.clone(), Who::Address(*address)))
                    .collect(),
            }
        }
        Resolved::World => vec![(outside(), Who::World)],
        Resolved::Service { .. } => Vec::new(),
    }
}

fn outside() -> Party {
    Party {
        kind: PartyKind::Ip,
        namespace: None,
        name: None,
        workload: None,
        ip: None,
    }
}

/// A pod as it is shown.
#[must_use]
pub fn pod_party(cluster: &Cluster, id: PodId) -> Party {
    let Some(pod) = cluster.pod(id) else {
        return outside();
    };
    let workload = pod.workload.and_then(|id| cluster.workload(id));
    Party {
        kind: PartyKind::Pod,
        namespace: Some(cluster.namespace_name(pod.namespace).into()),
        name: Some(pod.name.to_string()),
        workload: workload.map(|workload| format!("{}/{}", workload.kind, workload.name)),
        ip: None,
    }
}

fn address_party(cluster: &Cluster, address: IpAddr) -> Party {
    match cluster.owner(address) {
        Some(Owner::Pod(id)) => pod_party(cluster, id),
        Some(Owner::Node(id)) => Party {
            kind: PartyKind::Node,
            name: cluster.node(id).map(|node| node.name.to_string()),
            ..outside()
        },
        None => Party {
            ip: Some(address.to_string()),
            ..outside()
        },
    }
}

fn hypothetical<'a>(
    cluster: &'a Cluster,
    namespace: &'a HypotheticalNamespace,
    labels: &'a Labels,
) -> (Party, Who<'a>) {
    let (name, namespace_labels, shown) = match namespace {
        HypotheticalNamespace::Existing(id) => {
            let name = cluster.namespace_name(*id);
            (name, cluster.namespace_labels(*id), name.to_string())
        }
        HypotheticalNamespace::New(labels) => {
            let name = labels.get(NAMESPACE_NAME_LABEL).unwrap_or("");
            (name, labels, format!("[{labels}]/"))
        }
    };
    let party = Party {
        kind: PartyKind::Pod,
        namespace: Some(shown),
        name: Some(format!("[{labels}]")),
        ..outside()
    };
    (
        party,
        Who::Hypothetical(Hypothetical {
            namespace: name,
            namespace_labels,
            labels,
        }),
    )
}

fn destinations<'a>(
    context: Context<'a>,
    resolved: &'a Resolved,
    port: &PortSpec,
) -> Result<Vec<Destination<'a>>, Diagnostic> {
    let cluster = context.cluster;
    if let Resolved::Service { service, .. } = resolved {
        return behind_service(cluster, *service, port);
    }
    let mut found = Vec::new();
    for (party, who) in ends(cluster, resolved) {
        let transports = transports(context, &party, who, port)?;
        found.push(Destination {
            party,
            target: who.into(),
            transports,
        });
    }
    Ok(found)
}

/// The backends of a service, each with the port behind the translation.
fn behind_service<'a>(
    cluster: &'a Cluster,
    service: ServiceId,
    port: &PortSpec,
) -> Result<Vec<Destination<'a>>, Diagnostic> {
    let found: Vec<Destination<'a>> = peer::backends(cluster, service, port)
        .into_iter()
        .filter_map(|backend| {
            let (party, who) = match backend.to {
                Resolved::Pod(id) => (pod_party(cluster, id), Who::Pod(id)),
                Resolved::Address(address) => {
                    (address_party(cluster, address), Who::Address(address))
                }
                Resolved::Node(_)
                | Resolved::Hypothetical { .. }
                | Resolved::Fqdn { .. }
                | Resolved::Service { .. }
                | Resolved::World => return None,
            };
            let ports = Some(PortRange {
                first: backend.port,
                last: backend.port,
            });
            let transport = TransportRange {
                protocol: backend.service_port.protocol,
                ports,
                icmp: None,
            };
            Some(Destination {
                party,
                target: Target {
                    who,
                    port: Some(backend.port),
                    by_service: true,
                },
                transports: vec![transport],
            })
        })
        .collect();
    if found.is_empty() {
        let service = cluster.service(service);
        Err(service.map_or_else(
            || Diagnostic::new(&codes::INTERNAL, "the service is not in the cluster"),
            |service| peer::no_backend(cluster, service, port),
        ))
    } else {
        Ok(found)
    }
}

/// What a flow to this end may carry, where the question is about this port.
fn transports(
    context: Context<'_>,
    party: &Party,
    who: Who<'_>,
    port: &PortSpec,
) -> Result<Vec<TransportRange>, Diagnostic> {
    let with_ports = |protocol, ports| TransportRange {
        protocol,
        ports: Some(ports),
        icmp: None,
    };
    Ok(match port {
        PortSpec::Any => {
            let families = Families::of(context.cluster);
            let echo = ECHO
                .into_iter()
                .zip([families.v4, families.v6])
                .filter(|(_, there)| *there);
            let icmp = echo.map(|((protocol, kind), _)| icmp(protocol, kind));
            let ported = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
            ported
                .into_iter()
                .map(|protocol| with_ports(protocol, EVERY_PORT))
                .chain(icmp)
                .collect()
        }
        PortSpec::Protocol(protocol) if protocol.has_ports() => {
            vec![with_ports(*protocol, EVERY_PORT)]
        }
        PortSpec::Protocol(protocol) => {
            let kind = ECHO
                .iter()
                .find(|(own, _)| own == protocol)
                .map(|(_, kind)| (*kind, 0));
            vec![TransportRange {
                protocol: *protocol,
                ports: None,
                icmp: kind,
            }]
        }
        PortSpec::Range {
            protocol,
            first,
            last,
        } => {
            vec![with_ports(
                *protocol,
                PortRange {
                    first: *first,
                    last: *last,
                },
            )]
        }
        PortSpec::Icmp { protocol, kind } => vec![icmp(*protocol, *kind)],
        PortSpec::Named { protocol, name } => {
            let Some(numbers) = numbers(context.cluster, who, *protocol, name) else {
                return Ok(vec![TransportRange {
                    protocol: *protocol,
                    ports: None,
                    icmp: None,
                }]);
            };
            if numbers.is_empty() {
                return Err(unknown_port(context.cluster, party, who, *protocol, name));
            }
            numbers
                .into_iter()
                .map(|port| {
                    with_ports(
                        *protocol,
                        PortRange {
                            first: port,
                            last: port,
                        },
                    )
                })
                .collect()
        }
    })
}

fn icmp(protocol: Protocol, kind: u8) -> TransportRange {
    TransportRange {
        protocol,
        ports: None,
        icmp: Some((kind, 0)),
    }
}

/// The pod that an end is, if it is one that exists.
fn pod_of(cluster: &Cluster, who: Who<'_>) -> Option<PodId> {
    match who {
        Who::Pod(id) => Some(id),
        Who::Address(address) => match cluster.owner(address) {
            Some(Owner::Pod(id)) => Some(id),
            Some(Owner::Node(_)) | None => None,
        },
        Who::Node(_) | Who::Hypothetical(_) | Who::World => None,
    }
}

/// The ports to which an end gives a name; `None` where that is not known.
fn numbers(cluster: &Cluster, who: Who<'_>, protocol: Protocol, name: &str) -> Option<Vec<u16>> {
    if matches!(who, Who::Hypothetical(_)) {
        return None;
    }
    let ports = pod_of(cluster, who)
        .and_then(|id| cluster.pod(id))
        .map_or(&[][..], |pod| cluster.ports(pod.ports));
    Some(
        ports
            .iter()
            .filter(|port| port.protocol == protocol && *port.name == *name)
            .map(|port| port.number)
            .collect(),
    )
}

fn unknown_port(
    cluster: &Cluster,
    party: &Party,
    who: Who<'_>,
    protocol: Protocol,
    name: &str,
) -> Diagnostic {
    let pod = pod_of(cluster, who).and_then(|id| cluster.pod(id));
    let known: Vec<String> = pod
        .map_or(&[][..], |pod| cluster.ports(pod.ports))
        .iter()
        .map(|port| format!("`{}/{}`", port.name, port.protocol))
        .collect();
    Diagnostic::new(
        &codes::UNKNOWN_PORT,
        format!("`{party}` has no port named `{name}` over {protocol}"),
    )
    .help(if known.is_empty() {
        "write the number: it names no port".into()
    } else {
        format!("its named ports are {}", known.join(", "))
    })
}
