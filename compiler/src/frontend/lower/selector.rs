//! Label selectors, address blocks and ports, as every kind writes them.

use crate::cluster::Protocol;
use crate::frontend::address;
use crate::frontend::manifest::NodeRef;
use crate::hir::{
    DomainPattern, IpBlock, NamespaceSelector, Operator, PodSelector, PortMatch, PortRange,
    Requirement, Selector,
};

/// A label selector; absent, null and `{}` select everything.
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector/>
pub(super) fn selector(node: Option<NodeRef<'_>>) -> Selector {
    let Some(node) = node else {
        return Selector::everything();
    };
    let labels = node
        .get("matchLabels")
        .into_iter()
        .flat_map(NodeRef::entries)
        .map(|entry| Requirement {
            key: entry.key.into(),
            operator: Operator::In(vec![entry.value.as_str().unwrap_or("").into()]),
        });
    let expressions = node
        .get("matchExpressions")
        .into_iter()
        .flat_map(NodeRef::items)
        .filter_map(expression);
    Selector {
        requirements: labels.chain(expressions).collect(),
    }
}

fn expression(node: NodeRef<'_>) -> Option<Requirement> {
    let values = || {
        let items = node.get("values").into_iter().flat_map(NodeRef::items);
        items
            .map(|value| value.as_str().unwrap_or("").into())
            .collect()
    };
    let operator = match text(node, "operator")? {
        "In" => Operator::In(values()),
        "NotIn" => Operator::NotIn(values()),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        _ => return None,
    };
    Some(Requirement {
        key: text(node, "key")?.into(),
        operator,
    })
}

/// `pods: {namespaceSelector, podSelector}` of the cluster-wide kinds: an empty selector selects all.
pub(super) fn namespaced_pod(node: NodeRef<'_>) -> PodSelector {
    PodSelector {
        namespaces: NamespaceSelector::Labels(selector(node.get("namespaceSelector"))),
        pods: selector(node.get("podSelector")),
    }
}

/// `namespaces: <selector>` of the cluster-wide kinds: every pod in them.
pub(super) fn all_pods(namespaces: NodeRef<'_>) -> PodSelector {
    PodSelector {
        namespaces: NamespaceSelector::Labels(selector(Some(namespaces))),
        pods: Selector::everything(),
    }
}

/// The subject of the cluster-wide kinds: one of `namespaces` and `pods`.
pub(super) fn subject(spec: Option<NodeRef<'_>>) -> PodSelector {
    let subject = spec.and_then(|spec| spec.get("subject"));
    match subject.and_then(|subject| subject.get("pods")) {
        Some(pods) => namespaced_pod(pods),
        None => PodSelector {
            namespaces: NamespaceSelector::Labels(selector(
                subject.and_then(|subject| subject.get("namespaces")),
            )),
            pods: Selector::everything(),
        },
    }
}

/// `ipBlock: {cidr, except}`.
pub(super) fn ip_block(node: NodeRef<'_>) -> Option<IpBlock> {
    let cidr = address::parse_cidr(text(node, "cidr")?)?;
    let except = node.get("except").into_iter().flat_map(NodeRef::items);
    Some(IpBlock {
        cidr,
        except: except
            .filter_map(|item| address::parse_cidr(item.as_str()?))
            .collect(),
    })
}

/// A block without exceptions.
pub(super) fn cidr(node: NodeRef<'_>) -> Option<IpBlock> {
    Some(IpBlock {
        cidr: address::parse_cidr(node.as_str()?)?,
        except: Vec::new(),
    })
}

/// A domain name, or `*.` in front of one: "one or more entire labels", not the name itself.
pub(super) fn domain(node: NodeRef<'_>) -> Option<DomainPattern> {
    let name = node.as_str()?.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    Some(match name.strip_prefix("*.") {
        Some(parent) => DomainPattern::Subdomains(parent.into()),
        None => DomainPattern::Name(name.into()),
    })
}

/// A protocol by name; absent means TCP.
pub(super) fn protocol(node: Option<NodeRef<'_>>) -> Protocol {
    match node.and_then(NodeRef::as_str) {
        Some("UDP") => Protocol::UDP,
        Some("SCTP") => Protocol::SCTP,
        _ => Protocol::TCP,
    }
}

/// Ports `first` to `last` of a protocol.
pub(super) fn range(protocol: Protocol, first: u16, last: u16) -> PortMatch {
    PortMatch::Range {
        protocol,
        ports: PortRange { first, last },
    }
}

/// A port number under a key.
pub(super) fn number(node: NodeRef<'_>, key: &str) -> Option<u16> {
    u16::try_from(node.get(key)?.as_int()?).ok()
}

/// A string under a key.
pub(super) fn text<'a>(node: NodeRef<'a>, key: &str) -> Option<&'a str> {
    node.get(key)?.as_str()
}
