//! From [`PeerSpec`] to who is meant in a cluster.

use super::suggest::{did_you_mean, list, nearest};
use super::{HypotheticalNamespace, NamespaceSpec, PeerSpec, PortSpec, Resolved};
use crate::cluster::{
    Cluster, HostNetwork, Labels, NamespaceId, Owner, Pod, PodId, Service, ServiceId, ServiceKind,
    ServicePort, WorkloadId, replica_name,
};
use crate::diagnostic::{Diagnostic, codes};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The namespace of names that are given without one.
const DEFAULT_NAMESPACE: &str = "default";

/// How many places of a bare name are listed.
const MOST_CANDIDATES: usize = 5;

/// Who is meant: one, or, for a workload, each of its pods, since they may differ in labels, ports, addresses
/// and nodes.
///
/// # Errors
/// A diagnostic where nothing or more than one thing has the name.
pub fn resolve(cluster: &Cluster, peer: &PeerSpec) -> Result<Vec<Resolved>, Box<Diagnostic>> {
    match peer {
        PeerSpec::Named {
            namespace,
            kind,
            name,
        } => {
            let namespace = match namespace {
                Some(namespace) => namespace,
                None => bare(cluster, name)?,
            };
            match kind {
                Some(kind) => of_kind(cluster, namespace, kind, name),
                None => pod_or_workload(cluster, namespace, name),
            }
        }
        PeerSpec::Hypothetical { namespace, labels } => {
            hypothetical(cluster, namespace, labels).map(|pod| vec![pod])
        }
        PeerSpec::Address(address) => Ok(vec![self::address(cluster, *address)]),
        PeerSpec::Node(name) => node(cluster, name).map(|node| vec![node]),
        PeerSpec::Entity(name) => entity(name).map(|entity| vec![entity]),
        PeerSpec::Fqdn(name) => Ok(vec![Resolved::Fqdn {
            name: name.clone(),
            addresses: cluster.names.get(name).cloned().unwrap_or_default(),
        }]),
        PeerSpec::Service { namespace, name } => {
            let namespace = match namespace {
                Some(namespace) => namespace,
                None => bare_service(cluster, name)?,
            };
            service(cluster, namespace, name).map(|service| vec![service])
        }
    }
}

/// Something that the user should know about how a peer was understood.
#[must_use]
pub fn note(cluster: &Cluster, resolved: &Resolved) -> Option<Diagnostic> {
    match resolved {
        Resolved::Service {
            service,
            address: Some(address),
        } => of_service(cluster, *service, *address),
        Resolved::Address(address) => {
            let mut owners = cluster.owners(*address);
            match (owners.next(), owners.next()) {
                (Some(first), Some(second)) => shared(cluster, *address, first, second),
                (Some(_), None) => None,
                (None, _) => no_end(*address).or_else(|| unseen_pod(cluster, *address)),
            }
        }
        Resolved::Pod(id) => finished(cluster, *id).or_else(|| on_network_of_node(cluster, *id)),
        Resolved::Service { address: None, .. }
        | Resolved::Node(_)
        | Resolved::Hypothetical { .. }
        | Resolved::Fqdn { .. }
        | Resolved::World => None,
    }
}

/// No packet comes from a pod that has finished, and none reaches it.
fn finished(cluster: &Cluster, id: PodId) -> Option<Diagnostic> {
    let pod = cluster.pod(id).filter(|pod| pod.finished)?;
    let namespace = cluster.namespace_name(pod.namespace);
    let message = format!("pod `{namespace}/{}` has finished", pod.name);
    Some(
        Diagnostic::new(&codes::FINISHED_POD, message)
            .at(pod.span, "has run to its end")
            .help("it is judged as if it ran, but no packet comes from it or reaches it"),
    )
}

/// NetworkPolicy leaves open what becomes of such a pod. Where it is taken for its node, the answer itself says so.
fn on_network_of_node(cluster: &Cluster, id: PodId) -> Option<Diagnostic> {
    let pod = cluster.pod(id).filter(|pod| pod.host_network)?;
    if cluster.host_network() == HostNetwork::Node {
        return None;
    }
    let namespace = cluster.namespace_name(pod.namespace);
    let message = format!(
        "pod `{namespace}/{}` uses the network of its node, and what NetworkPolicy means for such a pod is left to \
         the implementation",
        pod.name
    );
    Some(
        Diagnostic::new(&codes::ON_NETWORK_OF_NODE, message)
            .at(pod.span, "on the network of its node")
            .help(
                "it is taken for a pod like others; `--set host-network=node` gives the answer where it is taken for \
                 its node",
            ),
    )
}

/// The question is one about each owner.
fn shared(cluster: &Cluster, address: IpAddr, first: Owner, second: Owner) -> Option<Diagnostic> {
    let (kind, (first, at), (second, other)) = match (first, second) {
        (Owner::Pod(first), Owner::Pod(second)) => {
            let place = |id| {
                let pod = cluster.pod(id)?;
                let namespace = cluster.namespace_name(pod.namespace);
                Some((format!("{namespace}/{}", pod.name), Some(pod.span)))
            };
            ("pods", place(first)?, place(second)?)
        }
        (Owner::Node(first), Owner::Node(second)) => {
            let place = |id| {
                let node = cluster.node(id)?;
                Some((format!("node/{}", node.name), node.span))
            };
            ("nodes", place(first)?, place(second)?)
        }
        (Owner::Pod(_), Owner::Node(_)) | (Owner::Node(_), Owner::Pod(_)) => return None,
    };
    let message = format!("{kind} `{first}` and `{second}` both have the address `{address}`");
    let found = Diagnostic::new(&codes::SHARED_ADDRESS, message);
    let found = at.into_iter().fold(found, |found, at| {
        found.at(at, "the answer is about this one")
    });
    let found = other.into_iter().fold(found, |found, other| {
        found.related(other, "and about this one")
    });
    Some(found.help(format!(
        "it is `depends` where their answers differ: ask about `{first}` and `{second}` by name"
    )))
}

/// Why no connection begins or ends at an address, if none does.
fn no_end(address: IpAddr) -> Option<Diagnostic> {
    let what = match address {
        _ if address.is_unspecified() => "the address of nobody",
        _ if address.is_loopback() => "a loopback address: such packets do not leave their host",
        _ if address.is_multicast() => "a multicast address",
        IpAddr::V4(address) if address.is_broadcast() => "the broadcast address",
        IpAddr::V4(_) | IpAddr::V6(_) => return None,
    };
    Some(
        Diagnostic::new(&codes::NO_SUCH_END, format!("`{address}` is {what}"))
            .help("it is judged as an address outside the cluster: name a pod, a node or the address of one host"),
    )
}

/// What an answer about an address takes for granted that the snapshot does not tell: that it is outside,
/// though a pod that the snapshot lacks has it.
#[must_use]
pub fn assumption(cluster: &Cluster, address: IpAddr) -> Option<String> {
    let node = cluster.node(cluster.lacks_pod_with(address)?)?;
    Some(format!(
        "`{address}` is an address for pods of node `{}`, and no pod of the inputs has it: it is judged as \
         outside the cluster, and a policy may govern or select its pod",
        node.name
    ))
}

/// A pod of which the snapshot has nothing but the block that its address is from.
fn unseen_pod(cluster: &Cluster, address: IpAddr) -> Option<Diagnostic> {
    let node = cluster.node(cluster.lacks_pod_with(address)?)?;
    let message = format!(
        "`{address}` is an address for pods of node `{}`, and no pod of the inputs has it",
        node.name
    );
    let found = Diagnostic::new(&codes::UNSEEN_POD, message);
    let found = match node.span {
        Some(span) => found.at(span, "its `podCIDRs` cover the address"),
        None => found,
    };
    Some(found.help(
        "it is judged as an address outside the cluster, which no policy governs and no pod selector matches, and the answer is incomplete: add its pod to the inputs, or ask about `NAMESPACE[KEY=VALUE]`",
    ))
}

fn of_service(cluster: &Cluster, service: ServiceId, address: IpAddr) -> Option<Diagnostic> {
    let service = cluster.service(service)?;
    let namespace = cluster.namespace_name(service.namespace);
    let name = &service.name;
    let message = format!("`{address}` is the address of service `{namespace}/{name}`");
    Some(
        Diagnostic::new(&codes::SERVICE_ADDRESS, message)
            .at(service.span, "stands for its backends")
            .help("policies see the address of a backend, not that of the service"),
    )
}

fn find_namespace(cluster: &Cluster, name: &str) -> Result<NamespaceId, Box<Diagnostic>> {
    cluster.find_namespace(name).ok_or_else(|| {
        let names = || cluster.namespaces.iter().map(|known| &*known.name);
        let near: Vec<String> = nearest(name, names())
            .into_iter()
            .map(String::from)
            .collect();
        let help = did_you_mean(&near).unwrap_or_else(|| {
            if cluster.namespaces.is_empty() {
                "the inputs have no namespace: add the manifests of the cluster".into()
            } else {
                format!("the namespaces are {}", list(names()))
            }
        });
        let message = format!("there is no namespace `{name}`");
        Box::new(Diagnostic::new(&codes::UNKNOWN_NAMESPACE, message).help(help))
    })
}

/// The namespace of a name without one: `default`, if it has such a pod or workload.
fn bare(cluster: &Cluster, name: &str) -> Result<&'static str, Box<Diagnostic>> {
    in_default(cluster, name, ("", "pod or workload"), |namespace| {
        let id = cluster.find_namespace(namespace);
        cluster.find_pod(namespace, name).is_some()
            || id.is_some_and(|id| workloads(cluster, id, name).next().is_some())
    })
}

/// The namespace of a service without one: `default`, if it has such a service.
fn bare_service(cluster: &Cluster, name: &str) -> Result<&'static str, Box<Diagnostic>> {
    in_default(cluster, name, ("service:", "service"), |namespace| {
        cluster.find_service(namespace, name).is_some()
    })
}

/// `default`, if it has what is looked for; `prefix` is how that is written, and `what` what it is.
fn in_default(
    cluster: &Cluster,
    name: &str,
    (prefix, what): (&str, &str),
    has: impl Fn(&str) -> bool,
) -> Result<&'static str, Box<Diagnostic>> {
    if has(DEFAULT_NAMESPACE) {
        return Ok(DEFAULT_NAMESPACE);
    }
    let places = cluster.namespaces.iter().map(|namespace| &namespace.name);
    let candidates: Vec<String> = places
        .filter(|namespace| has(namespace))
        .take(MOST_CANDIDATES)
        .map(|namespace| format!("{prefix}{namespace}/{name}"))
        .collect();
    let message = format!("the namespace `{DEFAULT_NAMESPACE}` has no {what} `{name}`");
    let help = did_you_mean(&candidates)
        .unwrap_or_else(|| format!("write the namespace too: `{prefix}NAMESPACE/NAME`"));
    Err(Box::new(
        Diagnostic::new(&codes::UNKNOWN_PEER, message).help(help),
    ))
}

fn workloads(
    cluster: &Cluster,
    namespace: NamespaceId,
    name: &str,
) -> impl Iterator<Item = WorkloadId> {
    cluster
        .workloads_in(namespace)
        .filter(move |(_, workload)| *workload.name == *name)
        .map(|(id, _)| id)
}

fn pods_of(cluster: &Cluster, workload: WorkloadId) -> Vec<Resolved> {
    let pods = cluster.workload_pods(workload);
    pods.iter().map(|id| Resolved::Pod(*id)).collect()
}

fn pod_or_workload(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Vec<Resolved>, Box<Diagnostic>> {
    let id = find_namespace(cluster, namespace)?;
    if let Some(pod) = cluster.find_pod(namespace, name) {
        return Ok(vec![Resolved::Pod(pod)]);
    }
    let found: Vec<WorkloadId> = workloads(cluster, id, name).collect();
    match found.as_slice() {
        [] => replica(cluster, id, name)
            .map(|pod| vec![Resolved::Pod(pod)])
            .ok_or_else(|| Box::new(unknown(cluster, (namespace, id), name))),
        [workload] => Ok(pods_of(cluster, *workload)),
        several => Err(Box::new(ambiguous(cluster, namespace, name, several))),
    }
}

/// The pod that stands for those of a workload, by the name that a list of pods has for one of them: `web-1`.
fn replica(cluster: &Cluster, namespace: NamespaceId, name: &str) -> Option<PodId> {
    let (workload, number) = name.rsplit_once('-')?;
    let number: usize = number.parse().ok()?;
    let is_it = |pod: &Pod| {
        pod.stand_in
            && number > 0
            && replica_name(&pod.name, number) == name
            && *pod.name == *workload
    };
    let mut pods = cluster.pods_in(namespace).filter(|(_, pod)| is_it(pod));
    pods.next().map(|(id, _)| id)
}

fn unknown(cluster: &Cluster, (namespace, id): (&str, NamespaceId), name: &str) -> Diagnostic {
    let message = format!("the namespace `{namespace}` has no pod or workload `{name}`");
    let help = if cluster.find_service(namespace, name).is_some() {
        format!("it has a service of that name: write `service:{namespace}/{name}`")
    } else {
        known_instead(cluster, (namespace, id), name)
    };
    Diagnostic::new(&codes::UNKNOWN_PEER, message).help(help)
}

fn known_instead(cluster: &Cluster, (namespace, id): (&str, NamespaceId), name: &str) -> String {
    let pods = cluster.pods_in(id).filter(|(_, pod)| !pod.stand_in);
    let workloads = cluster.workloads_in(id);
    let known: BTreeSet<&str> = pods
        .map(|(_, pod)| &*pod.name)
        .chain(workloads.map(|(_, workload)| &*workload.name))
        .collect();
    let near: Vec<String> = nearest(name, known.iter().copied())
        .into_iter()
        .map(|near| format!("{namespace}/{near}"))
        .collect();
    if let Some(help) = did_you_mean(&near) {
        return help;
    }
    if known.is_empty() {
        return format!(
            "it has no pods; for one that does not exist write `{namespace}[KEY=VALUE]`"
        );
    }
    format!("its pods and workloads are {}", list(known))
}

fn ambiguous(cluster: &Cluster, namespace: &str, name: &str, several: &[WorkloadId]) -> Diagnostic {
    let spellings: Vec<String> = several
        .iter()
        .filter_map(|id| cluster.workload(*id))
        .map(|workload| format!("{namespace}/{}/{name}", workload.kind.to_ascii_lowercase()))
        .collect();
    let message = format!(
        "`{namespace}/{name}` may be {}",
        list(spellings.iter().map(|spelling| &**spelling))
    );
    Diagnostic::new(&codes::AMBIGUOUS_PEER, message).help("write the kind too")
}

/// What kubectl calls a kind.
fn kind_name(kind: &str) -> &str {
    match kind.to_ascii_lowercase().as_str() {
        "pod" | "pods" | "po" => "Pod",
        "deployment" | "deployments" | "deploy" => "Deployment",
        "statefulset" | "statefulsets" | "sts" => "StatefulSet",
        "daemonset" | "daemonsets" | "ds" => "DaemonSet",
        "replicaset" | "replicasets" | "rs" => "ReplicaSet",
        "replicationcontroller" | "replicationcontrollers" | "rc" => "ReplicationController",
        "job" | "jobs" => "Job",
        "cronjob" | "cronjobs" | "cj" => "CronJob",
        "service" | "services" | "svc" => "Service",
        _ => kind,
    }
}

/// The kinds of which there are pods.
const KINDS: [&str; 8] = [
    "Pod",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
];

fn no_kind(kind: &str) -> Diagnostic {
    let near: Vec<String> = nearest(kind, KINDS)
        .into_iter()
        .map(str::to_ascii_lowercase)
        .collect();
    let help = did_you_mean(&near).unwrap_or_else(|| {
        let kinds = KINDS.map(str::to_ascii_lowercase);
        format!(
            "in `NAMESPACE/KIND/NAME` the kind is one of {}",
            kinds.map(|kind| format!("`{kind}`")).join(", ")
        )
    });
    Diagnostic::new(
        &codes::MALFORMED_PEER,
        format!("`{kind}` is no kind of pods or workloads"),
    )
    .help(help)
}

fn of_kind(
    cluster: &Cluster,
    namespace: &str,
    kind: &str,
    name: &str,
) -> Result<Vec<Resolved>, Box<Diagnostic>> {
    let id = find_namespace(cluster, namespace)?;
    let kind = kind_name(kind);
    if kind == "Service" {
        return service(cluster, namespace, name).map(|service| vec![service]);
    }
    if !KINDS.contains(&kind) {
        return Err(Box::new(no_kind(kind)));
    }
    let found = if kind == "Pod" {
        let pod = cluster.find_pod(namespace, name);
        pod.map(|pod| vec![Resolved::Pod(pod)])
    } else {
        let is_it = |id: &WorkloadId| {
            let workload = cluster.workload(*id);
            workload.is_some_and(|workload| workload.kind.eq_ignore_ascii_case(kind))
        };
        let workload = workloads(cluster, id, name).find(is_it);
        workload.map(|workload| pods_of(cluster, workload))
    };
    found.ok_or_else(|| Box::new(unknown_of_kind(cluster, (namespace, id), kind, name)))
}

fn unknown_of_kind(
    cluster: &Cluster,
    (namespace, id): (&str, NamespaceId),
    kind: &str,
    name: &str,
) -> Diagnostic {
    let others: Vec<String> = workloads(cluster, id, name)
        .filter_map(|id| cluster.workload(id))
        .map(|workload| workload.kind.to_ascii_lowercase())
        .chain(cluster.find_pod(namespace, name).map(|_| "pod".into()))
        .map(|kind| format!("{namespace}/{kind}/{name}"))
        .collect();
    let message = format!("the namespace `{namespace}` has no {kind} `{name}`");
    let help =
        did_you_mean(&others).unwrap_or_else(|| known_instead(cluster, (namespace, id), name));
    Diagnostic::new(&codes::UNKNOWN_PEER, message).help(help)
}

fn hypothetical(
    cluster: &Cluster,
    namespace: &NamespaceSpec,
    labels: &Labels,
) -> Result<Resolved, Box<Diagnostic>> {
    let namespace = match namespace {
        NamespaceSpec::Named(name) => {
            HypotheticalNamespace::Existing(find_namespace(cluster, name)?)
        }
        NamespaceSpec::Labels(labels) => HypotheticalNamespace::New(labels.clone()),
    };
    Ok(Resolved::Hypothetical {
        namespace,
        labels: labels.clone(),
    })
}

/// An address of a service stands for it, unless a pod or node has it too.
fn address(cluster: &Cluster, address: IpAddr) -> Resolved {
    let address = address.to_canonical();
    if cluster.owner(address).is_some() {
        return Resolved::Address(address);
    }
    match cluster.service_by_address(address) {
        Some(service) => Resolved::Service {
            service,
            address: Some(address),
        },
        None => Resolved::Address(address),
    }
}

fn node(cluster: &Cluster, name: &str) -> Result<Resolved, Box<Diagnostic>> {
    let found = cluster.find_node(name).map(Resolved::Node);
    found.ok_or_else(|| Box::new(no_node(cluster, name, "node/")))
}

/// That a node does not exist, and which do; `prefix` is what stands in front of a node's name.
#[must_use]
pub fn no_node(cluster: &Cluster, name: &str, prefix: &str) -> Diagnostic {
    let names = || cluster.nodes.iter().map(|node| &*node.name);
    let near: Vec<String> = nearest(name, names())
        .into_iter()
        .map(|near| format!("{prefix}{near}"))
        .collect();
    let help = did_you_mean(&near).unwrap_or_else(|| {
        if !prefix.is_empty() && cluster.find_pod("node", name).is_some() {
            format!("for the pod of the namespace `node` write `node/pod/{name}`")
        } else if cluster.nodes.is_empty() {
            "the inputs have no nodes: add their manifests".into()
        } else {
            format!("the nodes are {}", list(names()))
        }
    });
    Diagnostic::new(&codes::UNKNOWN_PEER, format!("there is no node `{name}`")).help(help)
}

/// The outside is the one entity that every dialect has.
fn entity(name: &str) -> Result<Resolved, Box<Diagnostic>> {
    if name == "world" {
        return Ok(Resolved::World);
    }
    let help = if nearest(name, ["world"]).is_empty() {
        "the outside is `entity:world`; for anything else name a pod, `node/NAME` or an address"
    } else {
        "did you mean `entity:world`?"
    };
    let message = format!("the entity `{name}` is no end of a question");
    Err(Box::new(
        Diagnostic::new(&codes::UNSUPPORTED_ENTITY, message).help(help),
    ))
}

fn service(cluster: &Cluster, namespace: &str, name: &str) -> Result<Resolved, Box<Diagnostic>> {
    let id = find_namespace(cluster, namespace)?;
    if let Some(service) = cluster.find_service(namespace, name) {
        return Ok(Resolved::Service {
            service,
            address: None,
        });
    }
    let names = || cluster.services_in(id).map(|(_, service)| &*service.name);
    let near: Vec<String> = nearest(name, names())
        .into_iter()
        .map(|near| format!("service:{namespace}/{near}"))
        .collect();
    let help = did_you_mean(&near).unwrap_or_else(|| {
        if names().len() == 0 {
            "it has no services".into()
        } else {
            format!("its services are {}", list(names()))
        }
    });
    let message = format!("the namespace `{namespace}` has no service `{name}`");
    Err(Box::new(
        Diagnostic::new(&codes::UNKNOWN_PEER, message).help(help),
    ))
}

/// Something behind a service.
#[derive(Clone, Debug)]
pub struct Backend<'c> {
    /// Who it is: an address, or a pod of which no address is known.
    pub to: Resolved,
    /// The port behind the translation.
    pub port: u16,
    /// The service's port that leads there.
    pub service_port: &'c ServicePort,
}

/// What is behind the ports of a service that a question is about. A name is that of the service's port.
/// Nothing where the service does not offer the port, or has no backends.
#[must_use]
pub fn backends<'c>(cluster: &'c Cluster, service: ServiceId, port: &PortSpec) -> Vec<Backend<'c>> {
    let ports: &[ServicePort] = cluster
        .service(service)
        .map_or(&[], |service: &Service| &service.ports);
    let asked = ports.iter().filter(|offered| is_asked(offered, port));
    asked.flat_map(behind).collect()
}

fn behind(service_port: &ServicePort) -> impl Iterator<Item = Backend<'_>> {
    let addresses = service_port.backends.iter();
    let addresses = addresses.map(|(address, port)| (Resolved::Address(*address), *port));
    let pods = service_port.pods.iter();
    let pods = pods.map(|(pod, port)| (Resolved::Pod(*pod), *port));
    addresses.chain(pods).map(move |(to, port)| Backend {
        to,
        port,
        service_port,
    })
}

/// Why a question to a port of a service has no packet to judge.
#[must_use]
pub fn no_backend(cluster: &Cluster, service: &Service, port: &PortSpec) -> Diagnostic {
    let name = format!(
        "{}/{}",
        cluster.namespace_name(service.namespace),
        service.name
    );
    let is_offered = service.ports.iter().any(|offered| is_asked(offered, port));
    let (message, help) = if service.kind == ServiceKind::ExternalName {
        (
            format!("service `{name}` is another name of a host: it has no backends"),
            "ask for the host that its `externalName` says: `fqdn:NAME`".to_owned(),
        )
    } else if service.ports.is_empty() {
        (
            format!("service `{name}` has no ports"),
            "without ports it is not linked with its pods: ask about them by name".to_owned(),
        )
    } else if is_offered && !service.has_selector {
        (
            format!("service `{name}` has no selector, and no endpoints behind port `{port}`"),
            "add the EndpointSlices that say what is behind it to the inputs".to_owned(),
        )
    } else if is_offered {
        (
            format!("service `{name}` has no pod behind port `{port}`"),
            "compare its selector with the labels of the pods, and add its pods or EndpointSlices to the inputs"
                .to_owned(),
        )
    } else {
        let offered: Vec<String> = service
            .ports
            .iter()
            .map(|port| format!("{}/{}", port.number, port.protocol))
            .collect();
        (
            format!("service `{name}` does not offer port `{port}`"),
            format!("it offers {}", list(offered.iter().map(|port| &**port))),
        )
    };
    Diagnostic::new(&codes::NO_BACKEND, message).help(help)
}

fn is_asked(offered: &ServicePort, port: &PortSpec) -> bool {
    match port {
        PortSpec::Any => true,
        PortSpec::Protocol(protocol) => offered.protocol == *protocol,
        PortSpec::Range {
            protocol,
            first,
            last,
        } => offered.protocol == *protocol && (*first..=*last).contains(&offered.number),
        PortSpec::Named { protocol, name } => {
            offered.protocol == *protocol && offered.name == *name
        }
        PortSpec::Icmp { .. } => false,
    }
}
