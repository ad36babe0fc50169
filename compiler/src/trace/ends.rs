//! The flows of a record whose ends are several: workloads, services, ports by name.

use super::answer::Judge;
use super::peers::{Peer, PeerId, pod_of, who};
use crate::cluster::peer::{self, PortSpec, Resolved};
use crate::cluster::{Cluster, ServiceId};
use crate::diagnostic::{Diagnostic, codes};
use crate::hir::flow::{Flow, Transport};
use crate::query::{Ends, Target, Who};

/// A question as a record puts it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) src: PeerId,
    pub(super) dst: PeerId,
    pub(super) transport: Transport,
    /// The name of the port, where the record has no number.
    pub(super) port_name: Option<Box<str>>,
}

/// The flows that a question stands for; at least one.
pub(super) fn flows<'p>(
    judge: Judge<'p>,
    from: &'p Peer,
    to: &'p Peer,
    question: &Question,
) -> Result<Vec<Flow<'p>>, Diagnostic> {
    let cluster = judge.context.cluster;
    let with_nodes = from.has_node || to.has_node;
    let src: Option<Vec<Who<'_>>> = from
        .ends(with_nodes)
        .iter()
        .map(|end| who(cluster, end))
        .collect();
    let src = src.ok_or_else(service_as_source)?;
    let mut dst = Vec::new();
    for end in to.ends(with_nodes) {
        targets(cluster, end, question, &mut dst);
    }
    if dst.is_empty() {
        return Err(no_destination(cluster, to, question));
    }
    let ends = Ends {
        cluster,
        families: judge.families,
        src,
        dst,
    };
    Ok(ends.flows(question.transport))
}

/// Adds the ends that a resolved destination stands for, each with the port behind a name or a service.
fn targets<'p>(
    cluster: &'p Cluster,
    end: &'p Resolved,
    question: &Question,
    targets: &mut Vec<Target<'p>>,
) {
    let protocol = question.transport.protocol;
    let who = match end {
        Resolved::Service { service, .. } => {
            behind_service(cluster, *service, question, targets);
            return;
        }
        Resolved::Pod(_)
        | Resolved::Node(_)
        | Resolved::Address(_)
        | Resolved::Hypothetical { .. }
        | Resolved::Fqdn { .. }
        | Resolved::World => who(cluster, end),
    };
    let (Some(who), Some(name)) = (who, &question.port_name) else {
        targets.extend(who.map(Target::from));
        return;
    };
    // The ports of a pod that does not exist are not known, so neither is the number.
    if matches!(who, Who::Hypothetical(_)) {
        targets.push(who.into());
        return;
    }
    let pod = pod_of(cluster, who).and_then(|id| cluster.pod(id));
    let ports = pod.map_or(&[][..], |pod| cluster.ports(pod.ports));
    let named = ports
        .iter()
        .filter(|port| port.name == *name && port.protocol == protocol);
    targets.extend(named.map(|port| Target {
        who,
        port: Some(port.number),
        by_service: false,
    }));
}

fn behind_service<'p>(
    cluster: &'p Cluster,
    service: ServiceId,
    question: &Question,
    targets: &mut Vec<Target<'p>>,
) {
    for backend in peer::backends(cluster, service, &port_spec(question)) {
        let who = match backend.to {
            Resolved::Pod(id) => Who::Pod(id),
            Resolved::Address(address) => Who::Address(address),
            Resolved::Node(_)
            | Resolved::Hypothetical { .. }
            | Resolved::Fqdn { .. }
            | Resolved::Service { .. }
            | Resolved::World => continue,
        };
        targets.push(Target {
            who,
            port: Some(backend.port),
            by_service: true,
        });
    }
}

fn port_spec(question: &Question) -> PortSpec {
    let Transport { protocol, port, .. } = question.transport;
    match (&question.port_name, port) {
        (Some(name), _) => PortSpec::Named {
            protocol,
            name: name.clone(),
        },
        (None, Some(port)) => PortSpec::Range {
            protocol,
            first: port,
            last: port,
        },
        (None, None) => PortSpec::Protocol(protocol),
    }
}

fn service_as_source() -> Diagnostic {
    Diagnostic::new(
        &codes::MALFORMED_PEER,
        "a service cannot be the source of a flow",
    )
    .help("name one of its pods, or their workload")
    .field("src")
}

fn no_destination(cluster: &Cluster, to: &Peer, question: &Question) -> Diagnostic {
    let port = port_spec(question);
    let service = to.ends.iter().find_map(|end| match end {
        Resolved::Service { service, .. } => cluster.service(*service),
        Resolved::Pod(_)
        | Resolved::Node(_)
        | Resolved::Address(_)
        | Resolved::Hypothetical { .. }
        | Resolved::Fqdn { .. }
        | Resolved::World => None,
    });
    match service {
        Some(service) => peer::no_backend(cluster, service, &port).field("dst"),
        None => Diagnostic::new(
            &codes::UNKNOWN_PORT,
            format!("the destination has no port `{port}`"),
        )
        .help("write the number, or a name that the destination's containers give this protocol")
        .field("dport"),
    }
}
