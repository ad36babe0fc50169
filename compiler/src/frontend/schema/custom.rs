//! The shapes of custom resources, as their published definitions give them, and of our own documents.
//!
//! Facts from `config/crd/experimental` of <https://github.com/kubernetes-sigs/network-policy-api>: releases
//! v0.1.7 (AdminNetworkPolicy, BaselineAdminNetworkPolicy) and v0.2.0 (ClusterNetworkPolicy); [`cilium`] has its own.
//! Rules in CEL are in `validate`. Guarantee: null is refused wherever the API server refuses it.

mod cilium;

use super::builtin::object_meta;
use super::patterns::Pattern;
use super::{Form, Limits, Object, Schema, Shape, ShapeId, Shapes, TextRule};
use crate::frontend::kinds::Kind;
use std::sync::Arc;

/// The schema of a kind that is none of Kubernetes' own.
pub(super) fn schema(kind: Kind) -> Option<Schema> {
    let mut table = Table::default();
    let root = match kind {
        Kind::AdminNetworkPolicy => table.admin_network_policy(),
        Kind::BaselineAdminNetworkPolicy => table.baseline_admin_network_policy(),
        Kind::ClusterNetworkPolicy => table.cluster_network_policy(),
        Kind::CiliumNetworkPolicy | Kind::CiliumClusterwideNetworkPolicy => {
            table.cilium_network_policy()
        }
        Kind::CiliumCidrGroup => table.cilium_cidr_group(),
        Kind::DnsSnapshot => table.dns_snapshot(),
        Kind::NetworkPolicy
        | Kind::Namespace
        | Kind::Node
        | Kind::Pod
        | Kind::Service
        | Kind::ServiceAccount
        | Kind::Endpoints
        | Kind::EndpointSlice
        | Kind::Deployment
        | Kind::StatefulSet
        | Kind::DaemonSet
        | Kind::ReplicaSet
        | Kind::ReplicationController
        | Kind::Job
        | Kind::CronJob => return None,
    };
    Some(Schema::new(kind, Arc::new(table.shapes), root))
}

const RULES: Limits = up_to(0, 100);
const PEERS: Limits = up_to(1, 100);
const CLUSTER_RULES: Limits = up_to(0, 25);
const CLUSTER_PEERS: Limits = up_to(1, 25);
const NETWORKS: Limits = up_to(1, 25);
const EXACTLY_ONE: Limits = up_to(1, 1);
const AT_LEAST_ONE: Limits = Limits {
    least: 1,
    most: None,
};
const ANY_NUMBER: Limits = Limits {
    least: 0,
    most: None,
};

const fn up_to(least: usize, most: usize) -> Limits {
    Limits {
        least,
        most: Some(most),
    }
}

/// A field of an object.
type Field = (&'static str, ShapeId);

/// Shapes under construction.
#[derive(Default)]
struct Table {
    shapes: Shapes,
}

impl Table {
    fn add(&mut self, form: Form) -> ShapeId {
        self.shapes.add(Shape {
            form,
            refuses_null: true,
        })
    }

    fn object(
        &mut self,
        fields: &[Field],
        required: &'static [&'static str],
        limits: Limits,
    ) -> ShapeId {
        self.add(Form::Object(Object {
            required,
            limits,
            ..Object::of(fields)
        }))
    }

    fn union(&mut self, fields: &[Field]) -> ShapeId {
        self.object(fields, &[], EXACTLY_ONE)
    }

    fn list(&mut self, items: ShapeId, limits: Limits) -> ShapeId {
        self.add(Form::List {
            items,
            limits,
            is_set: false,
        })
    }

    fn set(&mut self, items: ShapeId, limits: Limits) -> ShapeId {
        self.add(Form::List {
            items,
            limits,
            is_set: true,
        })
    }

    fn map(&mut self, values: ShapeId) -> ShapeId {
        self.add(Form::Map { values })
    }

    fn text(&mut self) -> ShapeId {
        self.add(Form::Text(TextRule::default()))
    }

    fn short_text(&mut self, most_characters: usize) -> ShapeId {
        self.add(Form::Text(TextRule {
            most_characters: Some(most_characters),
            ..TextRule::default()
        }))
    }

    fn one_of(&mut self, one_of: &'static [&'static str]) -> ShapeId {
        self.add(Form::Text(TextRule {
            one_of,
            ..TextRule::default()
        }))
    }

    fn matching(&mut self, pattern: &'static Pattern) -> ShapeId {
        self.add(Form::Text(TextRule {
            pattern: Some(pattern),
            ..TextRule::default()
        }))
    }

    /// A string with a default: null is dropped before the default is set.
    fn defaulted(&mut self, rule: TextRule) -> ShapeId {
        self.shapes.add(Shape {
            form: Form::Text(rule),
            refuses_null: false,
        })
    }

    fn boolean(&mut self) -> ShapeId {
        self.add(Form::Boolean)
    }

    fn integer(&mut self, least: i64, most: i64) -> ShapeId {
        self.add(Form::Integer {
            least,
            most,
            is_bounded: true,
        })
    }

    fn port(&mut self) -> ShapeId {
        self.integer(1, 65535)
    }

    fn resource(&mut self, spec: ShapeId) -> ShapeId {
        self.resource_with(&[("spec", spec)], &["spec"], &[])
    }

    /// An object with fields of its own beside those that every object has.
    fn resource_with(
        &mut self,
        own: &[Field],
        required: &'static [&'static str],
        any_of: &'static [&'static str],
    ) -> ShapeId {
        let metadata = object_meta(&mut self.shapes);
        let status = self.shapes.add(Shape::default());
        let text = self.text();
        let mut fields = vec![
            ("apiVersion", text),
            ("kind", text),
            ("metadata", metadata),
            ("status", status),
        ];
        fields.extend(own);
        self.add(Form::Object(Object {
            required,
            any_of,
            ..Object::of(&fields)
        }))
    }

    fn selector(&mut self) -> ShapeId {
        let text = self.text();
        let values = self.list(text, ANY_NUMBER);
        let expression = self.object(
            &[("key", text), ("operator", text), ("values", values)],
            &["key", "operator"],
            ANY_NUMBER,
        );
        let expressions = self.list(expression, ANY_NUMBER);
        let labels = self.map(text);
        self.object(
            &[("matchExpressions", expressions), ("matchLabels", labels)],
            &[],
            ANY_NUMBER,
        )
    }

    fn pods(&mut self, required: &'static [&'static str]) -> ShapeId {
        let selector = self.selector();
        self.object(
            &[("namespaceSelector", selector), ("podSelector", selector)],
            required,
            ANY_NUMBER,
        )
    }

    /// What selects pods: a subject, or a peer of an ingress rule.
    fn subject(&mut self, required: &'static [&'static str]) -> ShapeId {
        let (namespaces, pods) = (self.selector(), self.pods(required));
        self.union(&[("namespaces", namespaces), ("pods", pods)])
    }

    fn egress_peer(&mut self, required: &'static [&'static str], has_domains: bool) -> ShapeId {
        let selector = self.selector();
        let pods = self.pods(required);
        let (cidr, text) = (self.short_text(43), self.text());
        let networks = self.set(cidr, NETWORKS);
        let domains = self.set(text, NETWORKS);
        let mut fields = vec![
            ("namespaces", selector),
            ("pods", pods),
            ("nodes", selector),
            ("networks", networks),
        ];
        if has_domains {
            fields.push(("domainNames", domains));
        }
        self.union(&fields)
    }

    /// Ports as AdminNetworkPolicy and BaselineAdminNetworkPolicy write them.
    fn admin_ports(&mut self) -> ShapeId {
        let (port, text, protocol) = (
            self.port(),
            self.text(),
            self.defaulted(TextRule::default()),
        );
        let number = self.object(
            &[("port", port), ("protocol", protocol)],
            &["port"],
            ANY_NUMBER,
        );
        let range = self.object(
            &[("start", port), ("end", port), ("protocol", protocol)],
            &["start", "end"],
            ANY_NUMBER,
        );
        let item = self.union(&[
            ("namedPort", text),
            ("portNumber", number),
            ("portRange", range),
        ]);
        self.list(item, PEERS)
    }

    /// Ports as ClusterNetworkPolicy writes them.
    fn protocols(&mut self) -> ShapeId {
        let (number, text) = (self.port(), self.text());
        let range = self.object(
            &[("start", number), ("end", number)],
            &["start", "end"],
            ANY_NUMBER,
        );
        let port = self.union(&[("number", number), ("range", range)]);
        let protocol = self.object(&[("destinationPort", port)], &[], AT_LEAST_ONE);
        let item = self.union(&[
            ("tcp", protocol),
            ("udp", protocol),
            ("sctp", protocol),
            ("destinationNamedPort", text),
        ]);
        self.list(item, CLUSTER_PEERS)
    }

    fn rule(
        &mut self,
        actions: &'static [&'static str],
        ports: Field,
        peers: Field,
        required: &'static [&'static str],
    ) -> ShapeId {
        let (action, name) = (self.one_of(actions), self.short_text(100));
        self.object(
            &[("action", action), ("name", name), ports, peers],
            required,
            ANY_NUMBER,
        )
    }

    /// The fields `ingress` and `egress` of an AdminNetworkPolicy or BaselineAdminNetworkPolicy.
    fn admin_rules(&mut self, actions: &'static [&'static str], has_domains: bool) -> [Field; 2] {
        const PODS: &[&str] = &["namespaceSelector", "podSelector"];
        let ports = self.admin_ports();
        let (source, destination) = (self.subject(PODS), self.egress_peer(PODS, has_domains));
        let (from, to) = (self.list(source, PEERS), self.list(destination, PEERS));
        let ingress = self.rule(
            actions,
            ("ports", ports),
            ("from", from),
            &["action", "from"],
        );
        let egress = self.rule(actions, ("ports", ports), ("to", to), &["action", "to"]);
        [
            ("ingress", self.list(ingress, RULES)),
            ("egress", self.list(egress, RULES)),
        ]
    }

    fn admin_network_policy(&mut self) -> ShapeId {
        let [ingress, egress] = self.admin_rules(&["Allow", "Deny", "Pass"], true);
        let subject = self.subject(&["namespaceSelector", "podSelector"]);
        let priority = self.integer(0, 1000);
        let spec = self.object(
            &[
                ("priority", priority),
                ("subject", subject),
                ingress,
                egress,
            ],
            &["priority", "subject"],
            ANY_NUMBER,
        );
        self.resource(spec)
    }

    fn baseline_admin_network_policy(&mut self) -> ShapeId {
        let [ingress, egress] = self.admin_rules(&["Allow", "Deny"], false);
        let subject = self.subject(&["namespaceSelector", "podSelector"]);
        let spec = self.object(
            &[("subject", subject), ingress, egress],
            &["subject"],
            ANY_NUMBER,
        );
        self.resource(spec)
    }

    fn cluster_network_policy(&mut self) -> ShapeId {
        const PODS: &[&str] = &["podSelector"];
        const ACTIONS: &[&str] = &["Accept", "Deny", "Pass"];
        let protocols = self.protocols();
        let (source, destination) = (self.subject(PODS), self.egress_peer(PODS, true));
        let from = self.list(source, CLUSTER_PEERS);
        let to = self.list(destination, CLUSTER_PEERS);
        let ingress = self.rule(
            ACTIONS,
            ("protocols", protocols),
            ("from", from),
            &["action", "from"],
        );
        let egress = self.rule(
            ACTIONS,
            ("protocols", protocols),
            ("to", to),
            &["action", "to"],
        );
        let ingress = self.list(ingress, CLUSTER_RULES);
        let egress = self.list(egress, CLUSTER_RULES);
        let (subject, priority) = (self.subject(PODS), self.integer(0, 1000));
        let tier = self.one_of(&["Admin", "Baseline"]);
        let spec = self.object(
            &[
                ("tier", tier),
                ("priority", priority),
                ("subject", subject),
                ("ingress", ingress),
                ("egress", egress),
            ],
            &["priority", "subject", "tier"],
            ANY_NUMBER,
        );
        self.resource(spec)
    }

    /// DNS answers that were seen: addresses by name.
    fn dns_snapshot(&mut self) -> ShapeId {
        let text = self.text();
        let addresses = self.list(text, ANY_NUMBER);
        let names = self.map(addresses);
        let metadata = object_meta(&mut self.shapes);
        self.object(
            &[
                ("apiVersion", text),
                ("kind", text),
                ("metadata", metadata),
                ("names", names),
            ],
            &["names"],
            ANY_NUMBER,
        )
    }
}
