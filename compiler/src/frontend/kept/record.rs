//! The records of a file.
//!
//! What many objects have in common (strings, label sets, port lists) is a number in a [table](Tables); places are without the file.

use crate::cluster::ServiceKind;
use crate::diagnostic::Severity;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::IpAddr;

/// Where something stands: offsets in the text.
pub(super) type Place = (u32, u32);
/// Keys with values.
pub(super) type Pairs<'a> = Vec<(&'a str, &'a str)>;
/// A number in a table.
pub(super) type Number = u32;
/// A protocol and a number.
pub(super) type Port = (u8, u16);
/// An address and the length of its prefix.
pub(super) type Block = (IpAddr, u8);
/// Kind, namespace and name.
pub(super) type Name<'a> = (&'a str, Option<&'a str>, &'a str);

/// Everything that is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct File<'a> {
    #[serde(borrow)]
    pub(super) tables: Tables<'a>,
    /// By text.
    #[serde(borrow)]
    pub(super) texts: Vec<Text<'a>>,
}

/// What objects have in common.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Tables<'a> {
    #[serde(borrow)]
    pub(super) strings: Vec<&'a str>,
    #[serde(borrow)]
    pub(super) labels: Vec<Pairs<'a>>,
    #[serde(borrow)]
    pub(super) ports: Vec<Vec<(&'a str, Port)>>,
}

/// What a text says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Text<'a> {
    /// The [digest](crate::kept::print) of the text by which it is known again.
    pub(super) print: [u8; 32],
    /// Its SHA-256 digest.
    pub(super) sha256: [u8; 32],
    /// A [`Head`], and as many objects as it says.
    #[serde(borrow)]
    pub(super) says: &'a [u8],
}

/// What a text says besides its objects.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Head<'a> {
    pub(super) documents: usize,
    pub(super) count: usize,
    #[serde(borrow)]
    pub(super) diagnostics: Vec<Said<'a>>,
    #[serde(borrow)]
    pub(super) refused: Vec<Name<'a>>,
    #[serde(borrow)]
    pub(super) mendable: Vec<Name<'a>>,
    #[serde(borrow)]
    pub(super) unsupported: Vec<Name<'a>>,
    #[serde(borrow)]
    pub(super) unusable: Vec<Name<'a>>,
    #[serde(borrow)]
    pub(super) foreign: Vec<Name<'a>>,
    pub(super) objects: usize,
}

/// A diagnostic.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Said<'a> {
    pub(super) code: &'a str,
    /// A number in [`SEVERITIES`].
    pub(super) severity: u8,
    pub(super) message: &'a str,
    #[serde(borrow)]
    pub(super) label: Option<(Place, &'a str)>,
    #[serde(borrow)]
    pub(super) related: Vec<(Place, &'a str)>,
    #[serde(borrow)]
    pub(super) help: Option<&'a str>,
    #[serde(borrow)]
    pub(super) field: Option<&'a str>,
    #[serde(borrow)]
    pub(super) object: Option<Name<'a>>,
}

/// An object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Object<'a> {
    Pod(#[serde(borrow)] Pod<'a>),
    Namespace(&'a str, Number, Place),
    Node(#[serde(borrow)] Node<'a>),
    Workload(#[serde(borrow)] Workload<'a>),
    Service(#[serde(borrow)] Service<'a>),
    Endpoints(#[serde(borrow)] Endpoints<'a>),
    ServiceAccount(Number, &'a str, Number, Place),
    BlockGroup(#[serde(borrow)] BlockGroup<'a>),
    DnsSnapshot(
        &'a str,
        #[serde(borrow)] Vec<(&'a str, Cow<'a, [IpAddr]>)>,
        Place,
    ),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pod<'a> {
    pub(super) namespace: Number,
    pub(super) name: &'a str,
    pub(super) template: Template,
    pub(super) owner: Option<Owner>,
    pub(super) finished: bool,
    pub(super) addresses: Cow<'a, [IpAddr]>,
    pub(super) host_addresses: Cow<'a, [IpAddr]>,
    pub(super) place: Place,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Template {
    pub(super) labels: Number,
    pub(super) ports: Number,
    pub(super) host_network: bool,
    pub(super) service_account: Number,
    pub(super) node: Option<Number>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) kind: Number,
    pub(super) name: Number,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Number,
    pub(super) addresses: Cow<'a, [IpAddr]>,
    pub(super) pod_cidrs: Vec<Block>,
    pub(super) place: Place,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Workload<'a> {
    pub(super) namespace: Number,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    pub(super) template: Template,
    pub(super) active: bool,
    pub(super) several: bool,
    pub(super) owner: Option<Owner>,
    pub(super) place: Place,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Service<'a> {
    pub(super) namespace: Number,
    pub(super) name: &'a str,
    /// A number in [`SERVICE_KINDS`].
    pub(super) kind: u8,
    pub(super) addresses: Cow<'a, [IpAddr]>,
    pub(super) external_addresses: Cow<'a, [IpAddr]>,
    #[serde(borrow)]
    pub(super) labels: Pairs<'a>,
    #[serde(borrow)]
    pub(super) selector: Option<Pairs<'a>>,
    #[serde(borrow)]
    pub(super) ports: Vec<ServicePort<'a>>,
    pub(super) place: Place,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ServicePort<'a> {
    pub(super) name: &'a str,
    pub(super) port: Port,
    pub(super) node_port: Option<u16>,
    #[serde(borrow)]
    pub(super) target: Target<'a>,
    pub(super) place: Place,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Target<'a> {
    Number(u16),
    Name(&'a str),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Endpoints<'a> {
    pub(super) namespace: Number,
    pub(super) name: &'a str,
    #[serde(borrow)]
    pub(super) service: Option<&'a str>,
    pub(super) slice: bool,
    #[serde(borrow)]
    pub(super) subsets: Vec<Subset<'a>>,
    pub(super) place: Place,
}

/// Addresses, and the ports that all of them offer.
pub(super) type Subset<'a> = (Cow<'a, [IpAddr]>, Vec<(&'a str, u8, Option<u16>)>);

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BlockGroup<'a> {
    pub(super) name: &'a str,
    #[serde(borrow)]
    pub(super) labels: Pairs<'a>,
    pub(super) blocks: Vec<Block>,
    pub(super) place: Place,
}

/// By number.
pub(super) const SERVICE_KINDS: [ServiceKind; 5] = [
    ServiceKind::ClusterIp,
    ServiceKind::Headless,
    ServiceKind::NodePort,
    ServiceKind::LoadBalancer,
    ServiceKind::ExternalName,
];

/// By number.
pub(super) const SEVERITIES: [Severity; 3] = [Severity::Note, Severity::Warning, Severity::Error];

/// The number of one of these.
pub(super) fn number_of<T: PartialEq>(all: &[T], one: &T) -> u8 {
    // None of them has as many.
    let number = all.iter().zip(0..).find(|(known, _)| *known == one);
    number.map_or(u8::MAX, |(_, number)| number)
}
