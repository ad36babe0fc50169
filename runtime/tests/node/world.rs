//! A small cluster: four pods on two nodes, with policies, its images, and what the definition says of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use verdict_compiler::cluster::{PodId, Protocol};
use verdict_compiler::compile::Compiler;
use verdict_compiler::frontend::settings::{Dialect, Settings};
use verdict_compiler::hir::flow::Transport;
use verdict_compiler::hir::spec::Verdict;
use verdict_compiler::ir;
use verdict_tests::asking::Asked;
use verdict_tests::judging::expected;

/// A pod of the cluster; its network namespace has its name without the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) node: &'static str,
    pub(crate) v4: &'static str,
    pub(crate) v6: &'static str,
}

impl Pod {
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The host's side of its interface.
    pub(crate) fn veth(&self) -> String {
        format!("veth-{}", self.name)
    }

    pub(crate) fn addresses(&self) -> [IpAddr; 2] {
        [self.v4.parse().unwrap(), self.v6.parse().unwrap()]
    }
}

pub(crate) const NODES: [(&str, &str, &str, &str); 2] = [
    ("n1", "192.168.7.1", "10.1.1.0/24", "fd00:1::/64"),
    ("n2", "192.168.7.2", "10.1.2.0/24", "fd00:2::/64"),
];

pub(crate) const PODS: [Pod; 4] = [
    Pod {
        name: "web",
        namespace: "shop",
        node: "n1",
        v4: "10.1.1.10",
        v6: "fd00:1::10",
    },
    Pod {
        name: "api",
        namespace: "shop",
        node: "n1",
        v4: "10.1.1.11",
        v6: "fd00:1::11",
    },
    Pod {
        name: "db",
        namespace: "shop",
        node: "n2",
        v4: "10.1.2.10",
        v6: "fd00:2::10",
    },
    Pod {
        name: "spy",
        namespace: "edge",
        node: "n2",
        v4: "10.1.2.11",
        v6: "fd00:2::11",
    },
];

/// The pod of a name.
pub(crate) fn pod(name: &str) -> Pod {
    *PODS.iter().find(|pod| pod.name == name).unwrap()
}

fn cluster() -> String {
    let mut text = String::new();
    for namespace in ["shop", "edge"] {
        text += &format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}, labels: {{kubernetes.io/metadata.name: {namespace}}}}}\n---\n"
        );
    }
    for (node, address, ..) in NODES {
        text += &format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {node}}}\nstatus: {{addresses: [{{type: InternalIP, address: {address}}}]}}\n---\n"
        );
    }
    for Pod {
        name,
        namespace,
        node,
        v4,
        v6,
    } in PODS
    {
        text += &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}\n\
             spec: {{nodeName: {node}, containers: [{{name: c, image: i, ports: [{{name: http, containerPort: 8080}}]}}]}}\n\
             status: {{podIP: {v4}, podIPs: [{{ip: {v4}}}, {{ip: '{v6}'}}]}}\n---\n"
        );
    }
    text
}

/// Only named ports and pods: the API is for the web tier, the database for the API.
pub(crate) const TIERS: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: http, protocol: TCP}, {port: 9000, protocol: UDP}, {port: 9100, protocol: SCTP}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: api}}}]
    ports: [{port: 5432}]
  - from: [{ipBlock: {cidr: 10.1.1.10/32}}, {ipBlock: {cidr: 'fd00:1::10/128'}}]
    ports: [{port: 9000, endPort: 9100, protocol: UDP}]
  egress: []
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
  - to: [{podSelector: {}}]
";

/// The same, and the API is for the database, too, and no longer at port 9000.
pub(crate) const OTHER: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [web, db]}]}}]
    ports: [{port: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}, {port: 9000, protocol: UDP}, {port: 80, protocol: SCTP}]
";

/// Nothing passes that comes to a pod of the shop.
pub(crate) const NOTHING: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nothing, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";

/// Writes the cluster with some policies into a folder.
pub(crate) fn write_manifests(policies: &str, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("cluster.yaml"), cluster()).unwrap();
    std::fs::write(folder.join("policies.yaml"), policies).unwrap();
}

/// The cluster with some policies, read.
pub(crate) struct World {
    asked: Asked,
}

impl World {
    pub(crate) fn of(policies: &str) -> Self {
        Self::with(cluster(), policies, &Settings::default())
    }

    /// In the dialect of Cilium.
    pub(crate) fn of_cilium(policies: &str) -> Self {
        let settings = Settings {
            dialect: Dialect::Cilium,
            ..Settings::default()
        };
        Self::with(cluster(), policies, &settings)
    }

    /// In the same, where policies govern nodes.
    pub(crate) fn of_nodes(policies: &str) -> Self {
        let mut settings = Settings {
            dialect: Dialect::Cilium,
            ..Settings::default()
        };
        settings.cilium.enable_host_firewall = true;
        Self::with(cluster(), policies, &settings)
    }

    /// Of pods that have addresses of one family alone.
    pub(crate) fn of_family(v6: bool, policies: &str) -> Self {
        let mut text = cluster();
        for Pod { v4, v6: six, .. } in PODS {
            let (kept, gone) = if v6 {
                (six, format!("{{ip: {v4}}}, "))
            } else {
                (v4, format!(", {{ip: '{six}'}}"))
            };
            text = text.replace(&gone, "");
            text = text.replace(&format!("podIP: {v4},"), &format!("podIP: '{kept}',"));
        }
        Self::with(text, policies, &Settings::default())
    }

    fn with(cluster: String, policies: &str, settings: &Settings) -> Self {
        let texts = vec![
            ("cluster.yaml".to_owned(), cluster.into_bytes()),
            ("policies.yaml".to_owned(), policies.as_bytes().to_vec()),
        ];
        let asked = Asked::of(texts, settings);
        assert_eq!(asked.errors(), Vec::<String>::new());
        Self { asked }
    }

    /// The images by node.
    pub(crate) fn images(&self) -> BTreeMap<String, Vec<u8>> {
        let loaded = &self.asked.loaded;
        let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
        let compiler = Compiler::new(
            &loaded.cluster,
            &loaded.policies,
            &self.asked.sources,
            &program,
        );
        let nodes = compiler.lowering().nodes().iter();
        nodes
            .map(|(node, pods)| {
                let name = &loaded.cluster.nodes()[node.unwrap().index()].name;
                let artifact = compiler.node(*node, pods).unwrap();
                (name.to_string(), artifact.image.write())
            })
            .collect()
    }

    /// Writes the images of all nodes: `NODE.image`.
    pub(crate) fn write(&self, folder: &Path) -> Images {
        std::fs::create_dir_all(folder).unwrap();
        for (node, bytes) in self.images() {
            std::fs::write(folder.join(format!("{node}.image")), bytes).unwrap();
        }
        Images {
            folder: folder.to_owned(),
        }
    }

    fn id(&self, pod: Pod) -> PodId {
        let pods = self.asked.loaded.cluster.pods().iter();
        let index = pods
            .zip(0..)
            .find_map(|(own, index)| (*own.name == *pod.name).then_some(index));
        PodId(index.unwrap())
    }

    /// Whether the definition allows a packet, without a doubt.
    pub(crate) fn allows(&self, from: Pod, to: Pod, packet: Transport) -> bool {
        let said = expected(&self.asked.loaded, self.id(from), self.id(to), packet);
        match said {
            Verdict::Allow => true,
            Verdict::Deny => false,
            said @ (Verdict::Depends | Verdict::Redirect) => {
                panic!("{} to {}: {said:?}", from.name, to.name)
            }
        }
    }
}

/// Images in a folder.
pub(crate) struct Images {
    folder: PathBuf,
}

impl Images {
    pub(crate) fn of(&self, node: &str) -> String {
        let path = self.folder.join(format!("{node}.image"));
        path.to_str().unwrap().to_owned()
    }
}

/// A packet to a port.
pub(crate) fn to_port(protocol: Protocol, port: u16) -> Transport {
    Transport::to_port(protocol, port)
}

/// An echo request of the family of an address.
pub(crate) fn echo(address: IpAddr) -> Transport {
    let (protocol, kind) = match address {
        IpAddr::V4(_) => (Protocol::ICMP, 8),
        IpAddr::V6(_) => (Protocol::ICMPV6, 128),
    };
    Transport {
        protocol,
        port: None,
        icmp: Some((kind, 0)),
    }
}
