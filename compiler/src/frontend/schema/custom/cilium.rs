//! The shapes of Cilium's policies and of its groups of addresses.
//!
//! Facts from the definitions that Cilium 1.20.2 publishes for `cilium.io/v2`; the clusterwide policy has the same
//! `spec` as the namespaced one. What the agent refuses beyond them is in `validate::cilium`.

use super::{ANY_NUMBER, AT_LEAST_ONE, Field, Table, up_to};
use crate::frontend::schema::patterns::{
    CIDR, DNS_NAME, DNS_PATTERN, GROUP_NAME, ICMP_TYPE, LABEL_VALUE, NOT_EMPTY, PORT, PRINTABLE,
};
use crate::frontend::schema::{Form, Limits, Object, ShapeId, TextRule};

/// Ports of a rule, and fields of an item of `icmps`.
const PORTS: Limits = up_to(0, 40);

/// What was taken away: the field is there, and must be empty.
const NONE: Limits = up_to(0, 0);

const OPERATORS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist"];

const PROTOCOLS: &[&str] = &[
    "TCP", "UDP", "SCTP", "VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH", "ANY",
];

const ENTITIES: &[&str] = &[
    "all",
    "world",
    "cluster",
    "cluster-mesh",
    "host",
    "init",
    "ingress",
    "unmanaged",
    "remote-node",
    "health",
    "none",
    "kube-apiserver",
];

/// The fields that hold the rules.
const RULES: &[&str] = &["ingress", "ingressDeny", "egress", "egressDeny"];

/// What the names of the fields with peers start with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    From,
    To,
}

/// What a rule does with what it matches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

impl Table {
    /// CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.
    pub(super) fn cilium_network_policy(&mut self) -> ShapeId {
        let spec = self.cilium_spec();
        let specs = self.list(spec, ANY_NUMBER);
        self.resource_with(&[("spec", spec), ("specs", specs)], &[], &["spec", "specs"])
    }

    pub(super) fn cilium_cidr_group(&mut self) -> ShapeId {
        let cidr = self.matching(&CIDR);
        let cidrs = self.list(cidr, ANY_NUMBER);
        let spec = self.object(&[("externalCIDRs", cidrs)], &["externalCIDRs"], ANY_NUMBER);
        self.resource(spec)
    }

    fn cilium_spec(&mut self) -> ShapeId {
        let (text, switch) = (self.text(), self.boolean());
        let selector = self.cilium_selector();
        let (key, source, value) = (("key", text), ("source", text), ("value", text));
        let label = self.object(&[key, source, value], &["key"], ANY_NUMBER);
        let labels = self.list(label, ANY_NUMBER);
        let default_deny = self.object(&[("ingress", switch), ("egress", switch)], &[], ANY_NUMBER);
        let cookie = self.add(Form::Text(TextRule {
            most_characters: Some(32),
            pattern: Some(&PRINTABLE),
            ..TextRule::default()
        }));
        let log = self.object(&[("value", cookie)], &[], ANY_NUMBER);
        let mut rules = |way, effect| {
            let rule = self.cilium_rule(selector, way, effect);
            self.list(rule, ANY_NUMBER)
        };
        let fields = [
            ("ingress", rules(Way::From, Effect::Allow)),
            ("ingressDeny", rules(Way::From, Effect::Deny)),
            ("egress", rules(Way::To, Effect::Allow)),
            ("egressDeny", rules(Way::To, Effect::Deny)),
            ("endpointSelector", selector),
            ("nodeSelector", selector),
            ("labels", labels),
            ("enableDefaultDeny", default_deny),
            ("description", text),
            ("log", log),
        ];
        self.add(Form::Object(Object {
            one_of: &["endpointSelector", "nodeSelector"],
            any_of: RULES,
            ..Object::of(&fields)
        }))
    }

    /// A selector whose values are held to the rule for labels, and whose keys may name a source.
    fn cilium_selector(&mut self) -> ShapeId {
        let (text, operator) = (self.text(), self.one_of(OPERATORS));
        let values = self.list(text, ANY_NUMBER);
        let expression = self.object(
            &[("key", text), ("operator", operator), ("values", values)],
            &["key", "operator"],
            ANY_NUMBER,
        );
        let expressions = self.list(expression, ANY_NUMBER);
        let value = self.matching(&LABEL_VALUE);
        let labels = self.map(value);
        self.object(
            &[("matchExpressions", expressions), ("matchLabels", labels)],
            &[],
            ANY_NUMBER,
        )
    }

    fn cilium_rule(&mut self, selector: ShapeId, way: Way, effect: Effect) -> ShapeId {
        let mut fields = self.cilium_peers(selector, way);
        fields.push(("icmps", self.icmps()));
        match effect {
            Effect::Allow => {
                let mode = self.one_of(&["disabled", "required", "test-always-fail"]);
                let authentication = self.object(&[("mode", mode)], &["mode"], ANY_NUMBER);
                fields.push(("authentication", authentication));
                fields.push(("toPorts", self.cilium_ports()));
                if way == Way::To {
                    let name = self.dns_rule();
                    fields.push(("toFQDNs", self.list(name, ANY_NUMBER)));
                }
            }
            Effect::Deny => {
                let port = self.cilium_port();
                let ports = self.list(port, ANY_NUMBER);
                let item = self.object(&[("ports", ports)], &[], ANY_NUMBER);
                fields.push(("toPorts", self.list(item, ANY_NUMBER)));
            }
        }
        self.object(&fields, &[], ANY_NUMBER)
    }

    fn cilium_peers(&mut self, selector: ShapeId, way: Way) -> Vec<Field> {
        let text = self.text();
        let selectors = self.list(selector, ANY_NUMBER);
        let cidr = self.matching(&CIDR);
        let cidrs = self.list(cidr, ANY_NUMBER);
        let cidr_set = self.cidr_set(selector);
        let entity = self.one_of(ENTITIES);
        let entities = self.list(entity, ANY_NUMBER);
        let groups = self.aws_groups();
        let removed = self.list(text, NONE);
        match way {
            Way::From => vec![
                ("fromEndpoints", selectors),
                ("fromNodes", selectors),
                ("fromCIDR", cidrs),
                ("fromCIDRSet", cidr_set),
                ("fromEntities", entities),
                ("fromGroups", groups),
                ("fromRequires", removed),
            ],
            Way::To => vec![
                ("toEndpoints", selectors),
                ("toNodes", selectors),
                ("toCIDR", cidrs),
                ("toCIDRSet", cidr_set),
                ("toEntities", entities),
                ("toGroups", groups),
                ("toRequires", removed),
                ("toServices", self.services(selector)),
            ],
        }
    }

    fn cidr_set(&mut self, selector: ShapeId) -> ShapeId {
        let (cidr, name) = (self.matching(&CIDR), self.matching(&GROUP_NAME));
        let except = self.list(cidr, ANY_NUMBER);
        let fields = [
            ("cidr", cidr),
            ("cidrGroupRef", name),
            ("cidrGroupSelector", selector),
            ("except", except),
        ];
        let item = self.add(Form::Object(Object {
            one_of: &["cidr", "cidrGroupRef", "cidrGroupSelector"],
            ..Object::of(&fields)
        }));
        self.list(item, ANY_NUMBER)
    }

    fn aws_groups(&mut self) -> ShapeId {
        let text = self.text();
        let (texts, labels) = (self.list(text, ANY_NUMBER), self.map(text));
        let aws = self.object(
            &[
                ("labels", labels),
                ("region", text),
                ("securityGroupsIds", texts),
                ("securityGroupsNames", texts),
            ],
            &[],
            ANY_NUMBER,
        );
        let group = self.object(&[("aws", aws)], &[], ANY_NUMBER);
        self.list(group, ANY_NUMBER)
    }

    fn services(&mut self, selector: ShapeId) -> ShapeId {
        let text = self.text();
        let by_name = self.object(
            &[("namespace", text), ("serviceName", text)],
            &[],
            ANY_NUMBER,
        );
        let by_labels = self.object(
            &[("namespace", text), ("selector", selector)],
            &["selector"],
            ANY_NUMBER,
        );
        let service = self.object(
            &[("k8sService", by_name), ("k8sServiceSelector", by_labels)],
            &[],
            ANY_NUMBER,
        );
        self.list(service, ANY_NUMBER)
    }

    fn icmps(&mut self) -> ShapeId {
        let family = self.defaulted(TextRule {
            one_of: &["IPv4", "IPv6"],
            ..TextRule::default()
        });
        let kind = self.add(Form::IntOrString(Some(&ICMP_TYPE)));
        let field = self.object(&[("family", family), ("type", kind)], &["type"], ANY_NUMBER);
        let fields = self.list(field, PORTS);
        let item = self.object(&[("fields", fields)], &[], ANY_NUMBER);
        self.list(item, ANY_NUMBER)
    }

    fn cilium_port(&mut self) -> ShapeId {
        let (port, protocol) = (self.matching(&PORT), self.one_of(PROTOCOLS));
        let end = self.integer(0, 65535);
        self.object(
            &[("endPort", end), ("port", port), ("protocol", protocol)],
            &[],
            ANY_NUMBER,
        )
    }

    /// `toPorts` of a rule that allows.
    fn cilium_ports(&mut self) -> ShapeId {
        let port = self.cilium_port();
        let ports = self.list(port, PORTS);
        let rules = self.l7_rules();
        let tls = self.tls_context();
        let server = self.add(Form::Text(TextRule {
            most_characters: Some(255),
            pattern: Some(&DNS_PATTERN),
            ..TextRule::default()
        }));
        let servers = self.set(server, AT_LEAST_ONE);
        let listener = self.listener();
        let item = self.object(
            &[
                ("ports", ports),
                ("rules", rules),
                ("originatingTLS", tls),
                ("terminatingTLS", tls),
                ("serverNames", servers),
                ("listener", listener),
            ],
            &[],
            ANY_NUMBER,
        );
        self.list(item, ANY_NUMBER)
    }

    fn listener(&mut self) -> ShapeId {
        let name = self.matching(&NOT_EMPTY);
        let kind = self.one_of(&["CiliumEnvoyConfig", "CiliumClusterwideEnvoyConfig"]);
        let config = self.object(&[("kind", kind), ("name", name)], &["name"], ANY_NUMBER);
        let priority = self.integer(1, 100);
        self.object(
            &[
                ("envoyConfig", config),
                ("name", name),
                ("priority", priority),
            ],
            &["envoyConfig", "name"],
            ANY_NUMBER,
        )
    }

    fn tls_context(&mut self) -> ShapeId {
        let (text, secret) = (self.text(), self.secret());
        self.object(
            &[
                ("certificate", text),
                ("privateKey", text),
                ("secret", secret),
                ("trustedCA", text),
            ],
            &["secret"],
            ANY_NUMBER,
        )
    }

    fn secret(&mut self) -> ShapeId {
        let text = self.text();
        self.object(
            &[("name", text), ("namespace", text)],
            &["name"],
            ANY_NUMBER,
        )
    }

    fn l7_rules(&mut self) -> ShapeId {
        let (name, http) = (self.dns_rule(), self.http_rule());
        let (names, https) = (self.list(name, ANY_NUMBER), self.list(http, ANY_NUMBER));
        self.union(&[("dns", names), ("http", https)])
    }

    /// A name or a pattern of names: of DNS rules, and of `toFQDNs`.
    fn dns_rule(&mut self) -> ShapeId {
        let mut name = |pattern| {
            self.add(Form::Text(TextRule {
                most_characters: Some(255),
                pattern: Some(pattern),
                ..TextRule::default()
            }))
        };
        let fields = [
            ("matchName", name(&DNS_NAME)),
            ("matchPattern", name(&DNS_PATTERN)),
        ];
        self.union(&fields)
    }

    fn http_rule(&mut self) -> ShapeId {
        let (text, secret) = (self.text(), self.secret());
        let (name, texts) = (self.matching(&NOT_EMPTY), self.list(text, ANY_NUMBER));
        let mismatch = self.one_of(&["LOG", "ADD", "DELETE", "REPLACE"]);
        let header = self.object(
            &[
                ("mismatch", mismatch),
                ("name", name),
                ("secret", secret),
                ("value", text),
            ],
            &["name"],
            ANY_NUMBER,
        );
        let headers = self.list(header, ANY_NUMBER);
        self.object(
            &[
                ("headerMatches", headers),
                ("headers", texts),
                ("host", text),
                ("method", text),
                ("path", text),
            ],
            &[],
            ANY_NUMBER,
        )
    }
}
