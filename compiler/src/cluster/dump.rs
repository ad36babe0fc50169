//! A [`Cluster`] as text, one thing a line, for people and for tests.
//!
//! Everything that the cluster holds is shown, in its own order; ids are not, so that two clusters with the
//! same dump are the same cluster.

use super::{Cluster, Labels, NamedPort, Owner, PodId, ServicePort};
use std::fmt;
use std::net::IpAddr;

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dump_namespaces(f)?;
        self.dump_nodes(f)?;
        self.dump_workloads(f)?;
        self.dump_pods(f)?;
        self.dump_services(f)?;
        for (name, addresses) in &self.names {
            writeln!(f, "name {name}{}", Addresses(addresses))?;
        }
        if !self.api_server_addresses.is_empty() {
            writeln!(f, "api-server{}", Addresses(&self.api_server_addresses))?;
        }
        self.dump_owners(f)
    }
}

impl Cluster {
    fn dump_namespaces(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for namespace in &self.namespaces {
            let labels = Bracketed(self.labels(namespace.labels));
            let implied = if namespace.span.is_none() {
                " implied"
            } else {
                ""
            };
            writeln!(f, "namespace {}{labels}{implied}", namespace.name)?;
        }
        for account in &self.service_accounts {
            let namespace = self.namespace_name(account.namespace);
            let labels = Bracketed(self.labels(account.labels));
            writeln!(f, "account {namespace}/{}{labels}", account.name)?;
        }
        Ok(())
    }

    fn dump_nodes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            let labels = Bracketed(self.labels(node.labels));
            write!(
                f,
                "node {}{labels}{}",
                node.name,
                Addresses(&node.addresses)
            )?;
            for block in &node.pod_cidrs {
                write!(f, " pods {block}")?;
            }
            writeln!(f, "{}", if node.span.is_none() { " implied" } else { "" })?;
        }
        Ok(())
    }

    fn dump_workloads(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, workload) in self.workloads.iter().enumerate() {
            let namespace = self.namespace_name(workload.namespace);
            let count = self.workload_pods.get(index).map_or(0, Vec::len);
            let implied = if workload.span.is_none() {
                " implied"
            } else {
                ""
            };
            let (kind, name) = (&workload.kind, &workload.name);
            writeln!(
                f,
                "workload {namespace}/{kind}/{name} pods {count}{implied}"
            )?;
        }
        Ok(())
    }

    fn dump_pods(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pod in &self.pods {
            let labels = Bracketed(self.labels(pod.labels));
            write!(
                f,
                "pod {}/{}{labels}",
                self.namespace_name(pod.namespace),
                pod.name
            )?;
            write!(f, "{}", Addresses(&pod.addresses))?;
            for port in self.ports(pod.ports) {
                write!(f, " {}", Port(port))?;
            }
            if let Some(workload) = pod.workload.and_then(|id| self.workload(id)) {
                write!(f, " of {}/{}", workload.kind, workload.name)?;
            }
            if let Some(node) = pod.node.and_then(|id| self.node(id)) {
                write!(f, " on {}", node.name)?;
            }
            if *pod.service_account != *"default" {
                write!(f, " as {}", pod.service_account)?;
            }
            for (set, word) in [
                (pod.host_network, " host-network"),
                (pod.finished, " finished"),
                (pod.stand_in, " stand-in"),
            ] {
                f.write_str(if set { word } else { "" })?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn dump_services(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for service in &self.services {
            let namespace = self.namespace_name(service.namespace);
            write!(f, "service {namespace}/{} {}", service.name, service.kind)?;
            write!(f, "{}", Addresses(&service.addresses))?;
            if !service.external_addresses.is_empty() {
                write!(f, " external{}", Addresses(&service.external_addresses))?;
            }
            writeln!(f)?;
            for port in &service.ports {
                self.dump_service_port(f, port)?;
            }
        }
        Ok(())
    }

    fn dump_service_port(&self, f: &mut fmt::Formatter<'_>, port: &ServicePort) -> fmt::Result {
        write!(f, "  {}/{}", port.number, port.protocol)?;
        if !port.name.is_empty() {
            write!(f, " {}", port.name)?;
        }
        if let Some(number) = port.node_port {
            write!(f, " node-port {number}")?;
        }
        f.write_str(" ->")?;
        for (address, number) in &port.backends {
            write!(f, " {}", std::net::SocketAddr::new(*address, *number))?;
        }
        for (pod, number) in &port.pods {
            write!(f, " {}:{number}", PodName(self, *pod))?;
        }
        writeln!(f)
    }

    fn dump_owners(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut owners: Vec<_> = self.owners.iter().collect();
        owners.sort();
        for (address, owner) in owners {
            match owner {
                Owner::Pod(id) => writeln!(f, "address {address} pod {}", PodName(self, *id))?,
                Owner::Node(id) => {
                    let name = self.node(*id).map_or("", |node| &node.name);
                    writeln!(f, "address {address} node {name}")?;
                }
            }
        }
        let mut services: Vec<_> = self.service_owners.iter().collect();
        services.sort();
        for (address, id) in services {
            if let Some(service) = self.service(*id) {
                let namespace = self.namespace_name(service.namespace);
                writeln!(f, "address {address} service {namespace}/{}", service.name)?;
            }
        }
        Ok(())
    }
}

/// Addresses, each after a space.
struct Addresses<'a>(&'a [IpAddr]);

impl fmt::Display for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|address| write!(f, " {address}"))
    }
}

/// Labels in brackets after a space; nothing where there are none.
struct Bracketed<'a>(&'a Labels);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " [{}]", self.0)
    }
}

struct Port<'a>(&'a NamedPort);

impl fmt::Display for Port<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}/{}", self.0.name, self.0.number, self.0.protocol)
    }
}

struct PodName<'a>(&'a Cluster, PodId);

impl fmt::Display for PodName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(cluster, id) = *self;
        match cluster.pod(id) {
            Some(pod) => write!(f, "{}/{}", cluster.namespace_name(pod.namespace), pod.name),
            None => f.write_str("?"),
        }
    }
}
