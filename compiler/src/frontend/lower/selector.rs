//! Label selectors, address blocks and ports, as every kind writes them.

use super::{Unread, read};
use crate::cluster::Protocol;
use crate::frontend::address;
use crate::frontend::manifest::NodeRef;
use crate::frontend::schema::walk::whole;
use crate::hir::{
    DomainPattern, IpBlock, NamespaceSelector, Operator, PodSelector, PortMatch, PortRange,
    Requirement, Selector,
};

/// A label selector; absent, null and `{}` select everything.
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector/>
pub(in crate::frontend) fn selector(node: Option<NodeRef<'_>>) -> Result<Selector, Unread> {
    let Some(node) = node else {
        return Ok(Selector::everything());
    };
    let labels = node
        .get("matchLabels")
        .into_iter()
        .flat_map(NodeRef::entries)
        .map(|entry| {
            Ok(Requirement {
                key: entry.key.into(),
                operator: Operator::In(vec![label_value(entry.value)?]),
            })
        });
    let expressions = node
        .get("matchExpressions")
        .into_iter()
        .flat_map(NodeRef::items)
        .map(expression);
    Ok(Selector {
        requirements: labels.chain(expressions).collect::<Result<_, Unread>>()?,
    })
}

/// A null is decoded as an empty string.
fn label_value(node: NodeRef<'_>) -> Result<Box<str>, Unread> {
    if node.is_null() {
        return Ok("".into());
    }
    read(node, node.as_str().map(Into::into))
}

fn expression(node: NodeRef<'_>) -> Result<Requirement, Unread> {
    let values = || {
        let items = node.get("values").into_iter().flat_map(NodeRef::items);
        items.map(label_value).collect::<Result<_, Unread>>()
    };
    let operator = match text(node, "operator") {
        Some("In") => Operator::In(values()?),
        Some("NotIn") => Operator::NotIn(values()?),
        Some("Exists") => Operator::Exists,
        Some("DoesNotExist") => Operator::DoesNotExist,
        _ => return read(node, None),
    };
    Ok(Requirement {
        key: read(node, text(node, "key"))?.into(),
        operator,
    })
}

/// `pods: {namespaceSelector, podSelector}` of the cluster-wide kinds: an empty selector selects all.
pub(super) fn namespaced_pod(node: NodeRef<'_>) -> Result<PodSelector, Unread> {
    Ok(PodSelector {
        namespaces: NamespaceSelector::Labels(selector(node.get("namespaceSelector"))?),
        pods: selector(node.get("podSelector"))?,
    })
}

/// `namespaces: <selector>` of the cluster-wide kinds: every pod in them.
pub(super) fn all_pods(namespaces: NodeRef<'_>) -> Result<PodSelector, Unread> {
    Ok(PodSelector {
        namespaces: NamespaceSelector::Labels(selector(Some(namespaces))?),
        pods: Selector::everything(),
    })
}

/// The subject of the cluster-wide kinds: one of `namespaces` and `pods`.
pub(super) fn subject(spec: Option<NodeRef<'_>>) -> Result<PodSelector, Unread> {
    let subject = spec.and_then(|spec| spec.get("subject"));
    match subject.and_then(|subject| subject.get("pods")) {
        Some(pods) => namespaced_pod(pods),
        None => Ok(PodSelector {
            namespaces: NamespaceSelector::Labels(selector(
                subject.and_then(|subject| subject.get("namespaces")),
            )?),
            pods: Selector::everything(),
        }),
    }
}

/// `ipBlock: {cidr, except}`.
pub(super) fn ip_block(node: NodeRef<'_>) -> Result<IpBlock, Unread> {
    let except = node.get("except").into_iter().flat_map(NodeRef::items);
    Ok(IpBlock {
        cidr: read(node, text(node, "cidr").and_then(address::parse_cidr))?,
        except: except
            .map(|item| read(item, item.as_str().and_then(address::parse_cidr)))
            .collect::<Result<_, Unread>>()?,
    })
}

/// A block without exceptions.
pub(super) fn cidr(node: NodeRef<'_>) -> Result<IpBlock, Unread> {
    Ok(IpBlock {
        cidr: read(node, node.as_str().and_then(address::parse_cidr))?,
        except: Vec::new(),
    })
}

/// A domain name, or `*.` in front of one: "one or more entire labels", not the name itself.
pub(super) fn domain(node: NodeRef<'_>) -> Result<DomainPattern, Unread> {
    let name = read(node, node.as_str())?.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    Ok(match name.strip_prefix("*.") {
        Some(parent) => DomainPattern::Subdomains(parent.into()),
        None => DomainPattern::Name(name.into()),
    })
}

/// A protocol by name; absent means TCP.
pub(super) fn protocol(node: Option<NodeRef<'_>>) -> Result<Protocol, Unread> {
    let Some(node) = node else {
        return Ok(Protocol::TCP);
    };
    match node.as_str() {
        Some("TCP") => Ok(Protocol::TCP),
        Some("UDP") => Ok(Protocol::UDP),
        Some("SCTP") => Ok(Protocol::SCTP),
        _ => read(node, None),
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
pub(super) fn number(node: NodeRef<'_>, key: &str) -> Result<u16, Unread> {
    let number = node.get(key).and_then(|number| whole(number.value()));
    read(node, number.and_then(|number| u16::try_from(number).ok()))
}

/// A string under a key.
pub(super) fn text<'a>(node: NodeRef<'a>, key: &str) -> Option<&'a str> {
    node.get(key)?.as_str()
}
