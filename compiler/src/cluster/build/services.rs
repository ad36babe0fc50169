//! Services with what stands behind their ports, and the addresses of the API server.
//!
//! Endpoints that are not ready are no backends. A selector finds pods whether they are ready or not: the
//! snapshot's moment says little about the next one.

use super::declared::Declared;
use super::report::{Report, Tally};
use crate::cluster::by_address::ByAddress;
use crate::cluster::object::{self, EndpointPort, Endpoints, Target};
use crate::cluster::{
    Cluster, Labels, LabelsId, NamedPort, NamespaceId, PodId, Service, ServiceId, ServicePort,
};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::to_u32;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The namespace and name of the service that stands for the API server.
const API_SERVER: (&str, &str) = ("default", "kubernetes");

/// `ports` are the named ports of each pod in the order in which a name is looked up.
pub(super) fn build(
    declared: &Declared,
    ports: &[&[NamedPort]],
    cluster: &Cluster,
    report: &mut Report,
) -> Vec<Service> {
    let endpoints = by_service(&declared.endpoints);
    report_undefined(declared, report);
    let selection = Selection::new(cluster, ports);
    let mut services = Vec::with_capacity(declared.services.len());
    for service in &declared.services {
        let Some(namespace) = cluster.find_namespace(&service.namespace) else {
            continue;
        };
        let listed = endpoints.get(&(&*service.namespace, &*service.name));
        let backends = match (listed, &service.selector) {
            (Some(listed), _) => Backends::Listed(listed),
            (None, Some(selector)) => Backends::Selected(selection.pods(namespace, selector)),
            (None, None) => Backends::Listed(&[]),
        };
        services.push(Service {
            namespace,
            name: service.name.clone(),
            kind: service.kind,
            addresses: service.addresses.clone(),
            external_addresses: service.external_addresses.clone(),
            labels: service.labels.clone(),
            selector: service.selector.clone(),
            ports: service
                .ports
                .iter()
                .map(|port| link(service, port, &backends, &selection, report))
                .collect(),
            has_selector: service.selector.is_some(),
            span: service.span,
        });
    }
    services
}

/// What stands behind a service.
enum Backends<'a> {
    /// What its EndpointSlices or Endpoints say.
    Listed(&'a [&'a Endpoints]),
    /// The pods that its selector finds.
    Selected(Vec<PodId>),
}

fn link(
    service: &object::Service,
    port: &object::ServicePort,
    backends: &Backends<'_>,
    selection: &Selection<'_>,
    report: &mut Report,
) -> ServicePort {
    let mut linked = ServicePort {
        name: port.name.clone(),
        protocol: port.protocol,
        number: port.number,
        node_port: port.node_port,
        backends: Vec::new(),
        pods: Vec::new(),
    };
    match backends {
        Backends::Listed(endpoints) => linked.backends = listed(endpoints, port),
        Backends::Selected(pods) => {
            let found = selection.link(pods, port, &mut linked);
            if let (Target::Name(name), false, false) = (&port.target, found, pods.is_empty()) {
                report.add(unresolved(service, port, name));
            }
        }
    }
    linked
}

fn listed(endpoints: &[&Endpoints], port: &object::ServicePort) -> Vec<(IpAddr, u16)> {
    let mut backends = BTreeSet::new();
    for subset in endpoints.iter().flat_map(|endpoints| &endpoints.subsets) {
        let is_its = |offered: &&EndpointPort| {
            (&offered.name, offered.protocol) == (&port.name, port.protocol)
        };
        for offered in subset.ports.iter().filter(is_its) {
            let number = offered.number.unwrap_or(port.number);
            backends.extend(subset.addresses.iter().map(|address| (*address, number)));
        }
    }
    backends.into_iter().collect()
}

fn unresolved(service: &object::Service, port: &object::ServicePort, name: &str) -> Diagnostic {
    let message = format!(
        "no pod behind service `{}/{}` has a port named `{name}` for {}",
        service.namespace, service.name, port.protocol
    );
    Diagnostic::new(&codes::UNRESOLVED_TARGET_PORT, message)
        .at(port.span, "leads nowhere")
        .help("name the container's port so, with the same protocol, or give `targetPort` as a number")
}

/// Finds pods by label, and their ports by name.
struct Selection<'a> {
    cluster: &'a Cluster,
    ports: &'a [&'a [NamedPort]],
    /// Pods with the same labels, so that a selector is tried once for each label set.
    alike: BTreeMap<(NamespaceId, LabelsId), Vec<PodId>>,
}

impl<'a> Selection<'a> {
    fn new(cluster: &'a Cluster, ports: &'a [&'a [NamedPort]]) -> Self {
        let mut alike: BTreeMap<_, Vec<PodId>> = BTreeMap::new();
        for (index, pod) in cluster.pods.iter().enumerate() {
            if !pod.finished {
                let pods = alike.entry((pod.namespace, pod.labels)).or_default();
                pods.push(PodId(to_u32(index)));
            }
        }
        Self {
            cluster,
            ports,
            alike,
        }
    }

    fn pods(&self, namespace: NamespaceId, selector: &Labels) -> Vec<PodId> {
        let range = (namespace, LabelsId(0))..=(namespace, LabelsId(u32::MAX));
        let selected = self.alike.range(range).filter(|((_, labels), _)| {
            let labels = self.cluster.labels(*labels);
            let has = |(key, value)| labels.get(key) == Some(value);
            selector.iter().all(has)
        });
        selected.flat_map(|(_, pods)| pods).copied().collect()
    }

    /// Links a service's port to pods; whether any of them has it.
    fn link(&self, pods: &[PodId], port: &object::ServicePort, linked: &mut ServicePort) -> bool {
        let (mut backends, mut without) = (BTreeSet::new(), BTreeSet::new());
        for id in pods {
            let (Some(number), Some(pod)) = (self.target(*id, port), self.cluster.pod(*id)) else {
                continue;
            };
            if pod.addresses.is_empty() {
                without.insert((*id, number));
            }
            backends.extend(pod.addresses.iter().map(|address| (*address, number)));
        }
        let found = !backends.is_empty() || !without.is_empty();
        linked.backends = backends.into_iter().collect();
        linked.pods = without.into_iter().collect();
        found
    }

    /// The first of the pod's ports with the name and the protocol counts.
    fn target(&self, pod: PodId, port: &object::ServicePort) -> Option<u16> {
        match &port.target {
            Target::Number(number) => Some(*number),
            Target::Name(name) => self
                .ports
                .get(pod.index())?
                .iter()
                .find(|known| known.name == *name && known.protocol == port.protocol)
                .map(|known| known.number),
        }
    }
}

type ByService<'a> = FxHashMap<(&'a str, &'a str), Vec<&'a Endpoints>>;

/// The EndpointSlices of each service, or else its Endpoints.
fn by_service<'a>(endpoints: &[&'a Endpoints]) -> ByService<'a> {
    let mut found = ByService::default();
    for slice in [true, false] {
        let mut more = ByService::default();
        for endpoints in endpoints
            .iter()
            .copied()
            .filter(|endpoints| endpoints.slice == slice)
        {
            if let Some(service) = &endpoints.service {
                let key = (&*endpoints.namespace, &**service);
                more.entry(key).or_default().push(endpoints);
            }
        }
        for (key, list) in more {
            found.entry(key).or_insert(list);
        }
    }
    found
}

fn report_undefined(declared: &Declared, report: &mut Report) {
    let mut known: BTreeSet<(&str, &str)> = declared
        .services
        .iter()
        .map(|service| (&*service.namespace, &*service.name))
        .collect();
    known.insert(API_SERVER);
    let mut undefined = Tally::default();
    for object in &declared.endpoints {
        let key = object
            .service
            .as_ref()
            .map(|name| (&*object.namespace, &**name));
        let is_known = |(namespace, name)| {
            known.contains(&(namespace, name))
                || declared.is_refused("Service", Some(namespace), name)
        };
        if !key.is_some_and(is_known) {
            undefined.add(object.span, || {
                format!("{}/{}", object.namespace, object.name)
            });
        }
    }
    report.extend(undefined.report(
        &codes::UNDEFINED_SERVICE,
        "endpoints are of no service that is defined",
        "objects with endpoints are of no service that is defined",
        "they are not used: add the Service, or the label `kubernetes.io/service-name` with its name to the EndpointSlice",
    ));
}

/// Which service has which address. External addresses may be shared; of cluster addresses that is a fault.
pub(super) fn owners(cluster: &Cluster, report: &mut Report) -> ByAddress<ServiceId> {
    let mut owners = ByAddress::default();
    for (index, service) in cluster.services.iter().enumerate() {
        let id = ServiceId(to_u32(index));
        for address in &service.addresses {
            let first = *owners.or_insert(*address, id);
            if first != id {
                report.extend(shared(cluster, *address, first, service));
            }
        }
    }
    for (index, service) in cluster.services.iter().enumerate() {
        for address in &service.external_addresses {
            owners.or_insert(*address, ServiceId(to_u32(index)));
        }
    }
    owners
}

fn shared(
    cluster: &Cluster,
    address: IpAddr,
    first: ServiceId,
    service: &Service,
) -> Option<Diagnostic> {
    let first = cluster.service(first)?;
    let message = format!(
        "services `{}` and `{}` both have the address `{address}`",
        name(cluster, first),
        name(cluster, service)
    );
    let found = Diagnostic::new(&codes::SHARED_SERVICE_ADDRESS, message)
        .at(service.span, "this service has it too")
        .related(first.span, "counts as its owner")
        .help("take both from one dump, or correct `clusterIP`");
    Some(found)
}

fn name(cluster: &Cluster, service: &Service) -> String {
    format!(
        "{}/{}",
        cluster.namespace_name(service.namespace),
        service.name
    )
}

pub(super) fn api_server_addresses(declared: &Declared) -> Vec<IpAddr> {
    let endpoints = by_service(&declared.endpoints);
    let listed = endpoints.get(&API_SERVER).into_iter().flatten();
    let addresses: BTreeSet<IpAddr> = listed
        .flat_map(|endpoints| &endpoints.subsets)
        .flat_map(|subset| &subset.addresses)
        .copied()
        .collect();
    addresses.into_iter().collect()
}
