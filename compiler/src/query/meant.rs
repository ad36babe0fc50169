//! Who is meant by a peer and a port, as they were resolved: the ends of a question.
//!
//! Guarantee: each source and each target is one [`Who`]. A domain name stands for the addresses that were seen
//! for it, or else for the outside; an address with several owners stands for each of them. Refused: a service
//! as a source, one that leads nowhere, and a port name that the destination does not have.

use super::{Hypothetical, Target, Who};
use crate::cluster::peer::{self, HypotheticalNamespace, PortSpec, Resolved};
use crate::cluster::{
    Cluster, NAMESPACE_NAME_LABEL, Owner, PodId, Protocol, ServiceId, ServiceKind,
};
use crate::diagnostic::{Diagnostic, codes};
use crate::hir::PortRange;
use std::net::IpAddr;

/// The sources that a peer stands for; at least one.
///
/// # Errors
/// Where it is a service.
pub fn sources<'a>(cluster: &'a Cluster, peer: &'a Resolved) -> Result<Vec<Who<'a>>, Diagnostic> {
    match peer {
        Resolved::Service { service, .. } => Err(service_as_source(cluster, *service)),
        Resolved::Pod(id) => Ok(vec![Who::Pod(*id)]),
        Resolved::Node(id) => Ok(vec![Who::Node(*id)]),
        Resolved::Address(address) => Ok(at_address(cluster, *address)),
        Resolved::Hypothetical { namespace, labels } => {
            let (namespace, namespace_labels) = match namespace {
                HypotheticalNamespace::Existing(id) => {
                    (cluster.namespace_name(*id), cluster.namespace_labels(*id))
                }
                HypotheticalNamespace::New(labels) => {
                    (labels.get(NAMESPACE_NAME_LABEL).unwrap_or(""), labels)
                }
            };
            Ok(vec![Who::Hypothetical(Hypothetical {
                namespace,
                namespace_labels,
                labels,
            })])
        }
        Resolved::Fqdn { addresses, .. } if addresses.is_empty() => Ok(vec![Who::World]),
        Resolved::Fqdn { addresses, .. } => {
            let ends = addresses.iter();
            Ok(ends
                .flat_map(|address| at_address(cluster, *address))
                .collect())
        }
        Resolved::World => Ok(vec![Who::World]),
    }
}

fn at_address(cluster: &Cluster, address: IpAddr) -> Vec<Who<'_>> {
    let owners = cluster.owners(address);
    if owners.clone().nth(1).is_none() {
        return vec![Who::Address(address)];
    }
    owners.map(|owner| Who::Owned(address, owner)).collect()
}

/// The targets that a peer stands for where the question is about this port; at least one.
///
/// # Errors
/// Where it is a service that leads nowhere, or has no port of the name.
pub fn targets<'a>(
    cluster: &'a Cluster,
    peer: &'a Resolved,
    port: &PortSpec,
) -> Result<Vec<Target<'a>>, Diagnostic> {
    if let Resolved::Service { service, .. } = peer {
        return behind_service(cluster, *service, port);
    }
    let whos = sources(cluster, peer)?;
    let PortSpec::Named { protocol, name } = port else {
        return Ok(whos.into_iter().map(Target::from).collect());
    };
    let mut found = Vec::new();
    for who in &whos {
        match numbers(cluster, *who, *protocol, name) {
            Some(numbers) => found.extend(numbers.into_iter().map(|number| Target {
                port: Some((*protocol, number)),
                ..(*who).into()
            })),
            None => found.push((*who).into()),
        }
    }
    if found.is_empty() {
        return Err(unknown_port(cluster, &whos, *protocol, name));
    }
    Ok(found)
}

/// The ports to which an end gives a name; `None` where that is not known.
fn numbers(cluster: &Cluster, who: Who<'_>, protocol: Protocol, name: &str) -> Option<Vec<u16>> {
    if matches!(who, Who::Hypothetical(_)) {
        return None;
    }
    let pod = pod_of(cluster, who).and_then(|id| cluster.pod(id));
    let ports = pod.map_or(&[][..], |pod| cluster.ports(pod.ports));
    let named = ports
        .iter()
        .filter(|port| port.protocol == protocol && *port.name == *name);
    Some(named.map(|port| port.number).collect())
}

/// The pod that an end is, if it is one that exists.
#[must_use]
pub fn pod_of(cluster: &Cluster, who: Who<'_>) -> Option<PodId> {
    let owner = match who {
        Who::Pod(id) => Some(Owner::Pod(id)),
        Who::Address(address) => cluster.owner(address),
        Who::Owned(_, owner) => Some(owner),
        Who::Node(_) | Who::Hypothetical(_) | Who::World => None,
    };
    match owner {
        Some(Owner::Pod(id)) => Some(id),
        Some(Owner::Node(_)) | None => None,
    }
}

/// The pods that a peer may stand for at either end of a flow.
#[must_use]
pub fn pods(cluster: &Cluster, peer: &Resolved) -> Vec<PodId> {
    let at = |address: &IpAddr| {
        let owners = cluster.owners(*address);
        let pods = owners.filter_map(|owner| match owner {
            Owner::Pod(id) => Some(id),
            Owner::Node(_) => None,
        });
        pods.collect::<Vec<PodId>>()
    };
    match peer {
        Resolved::Pod(id) => vec![*id],
        Resolved::Address(address) => at(address),
        Resolved::Fqdn { addresses, .. } => addresses.iter().flat_map(at).collect(),
        Resolved::Service { service, .. } => peer::backends(cluster, *service, &PortSpec::Any)
            .iter()
            .flat_map(|backend| pods(cluster, &backend.to))
            .collect(),
        Resolved::Node(_) | Resolved::Hypothetical { .. } | Resolved::World => Vec::new(),
    }
}

/// What an answer about this end takes for granted that the snapshot does not tell.
#[must_use]
pub fn assumption(cluster: &Cluster, who: Who<'_>) -> Option<String> {
    match who {
        Who::Address(address) => peer::assumption(cluster, address),
        Who::Pod(_) | Who::Node(_) | Who::Owned(..) | Who::Hypothetical(_) | Who::World => None,
    }
}

/// What an answer about packets to these ports of an end leaves out: a node sends those to a port that a service has
/// on all nodes (`nodePort`) on to the pods behind it, and their policies decide.
#[must_use]
pub fn sent_on(
    cluster: &Cluster,
    who: Who<'_>,
    protocol: Protocol,
    ports: PortRange,
) -> Option<String> {
    let is_node = match who {
        Who::Node(_) | Who::Owned(_, Owner::Node(_)) => true,
        Who::Address(address) => matches!(cluster.owner(address), Some(Owner::Node(_))),
        Who::Pod(_) | Who::Owned(_, Owner::Pod(_)) | Who::Hypothetical(_) | Who::World => false,
    };
    let services = cluster.services().iter().filter(|_| is_node);
    let mut on_nodes = services.flat_map(|service| {
        let offered = service
            .ports
            .iter()
            .filter(|port| port.protocol == protocol);
        offered.filter_map(move |port| Some((service, port, port.node_port?)))
    });
    let (service, port, number) = on_nodes.find(|(_, _, number)| ports.contains(*number))?;
    let name = format!(
        "{}/{}",
        cluster.namespace_name(service.namespace),
        service.name
    );
    Some(format!(
        "nodes send packets to port {number}/{protocol} on to service `{name}`, whose pods have policies of their own: \
         ask with `--to service:{name} --port {}/{protocol}`",
        port.number
    ))
}

/// The backends of a service, each with the port behind the translation.
fn behind_service<'a>(
    cluster: &'a Cluster,
    service: ServiceId,
    port: &PortSpec,
) -> Result<Vec<Target<'a>>, Diagnostic> {
    let kind = cluster.service(service).map(|service| service.kind);
    let is_translated = kind != Some(ServiceKind::Headless);
    // Who asks for a headless service gets the addresses of all that is behind it, and takes the port that he
    // likes; only a name is looked up, and stands for the port of the backend.
    let is_named = matches!(port, PortSpec::Named { .. });
    let asked = if is_translated || is_named {
        port
    } else {
        &PortSpec::Any
    };
    let mut found: Vec<Target<'_>> = Vec::new();
    for backend in peer::backends(cluster, service, asked) {
        let whos = match backend.to {
            Resolved::Pod(id) => vec![Who::Pod(id)],
            Resolved::Address(address) => at_address(cluster, address),
            Resolved::Node(_)
            | Resolved::Hypothetical { .. }
            | Resolved::Fqdn { .. }
            | Resolved::Service { .. }
            | Resolved::World => continue,
        };
        let number = (backend.service_port.protocol, backend.port);
        let targets = whos.into_iter().map(|who| Target {
            who,
            port: (is_translated || is_named).then_some(number),
            by_service: is_translated,
        });
        for target in targets {
            if !found.contains(&target) {
                found.push(target);
            }
        }
    }
    if found.is_empty() {
        return Err(leads_nowhere(cluster, service, port));
    }
    Ok(found)
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
            let namespace = cluster.namespace_name(service.namespace);
            format!("{namespace}/{}", service.name)
        })
        .unwrap_or_default()
}

/// Why a service leads nowhere for a port.
fn leads_nowhere(cluster: &Cluster, service: ServiceId, port: &PortSpec) -> Diagnostic {
    cluster.service(service).map_or_else(
        || Diagnostic::new(&codes::INTERNAL, "the service is not in the cluster"),
        |service| peer::no_backend(cluster, service, port),
    )
}

fn unknown_port(cluster: &Cluster, whos: &[Who<'_>], protocol: Protocol, name: &str) -> Diagnostic {
    let pods = whos.iter().filter_map(|who| pod_of(cluster, *who));
    let mut pods = pods.filter_map(|id| cluster.pod(id));
    let Some(pod) = pods.next() else {
        return Diagnostic::new(
            &codes::UNKNOWN_PORT,
            format!(
                "the destination is no pod, and only pods have ports by names such as `{name}`"
            ),
        )
        .help("write the number");
    };
    let namespace = cluster.namespace_name(pod.namespace);
    let ports = cluster.ports(pod.ports).iter();
    let known: Vec<String> = ports
        .map(|port| format!("`{}/{}`", port.name, port.protocol))
        .collect();
    Diagnostic::new(
        &codes::UNKNOWN_PORT,
        format!(
            "`{namespace}/{}` has no port named `{name}` over {protocol}",
            pod.name
        ),
    )
    .help(if known.is_empty() {
        "write the number: it names no port".into()
    } else {
        format!("its named ports are {}", known.join(", "))
    })
}
