//! What an audit found, as it is written.

use crate::explain::report::Word;
use crate::trace::ReplyRule;
use schemars::JsonSchema;
use serde::Serialize;

/// Where a node and the manifests say something else.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AuditReport {
    /// The version of this format.
    pub version: u32,
    /// The node.
    pub node: String,
    /// How many endpoints were compared.
    pub compared: usize,
    /// What was left out of the policies, so that they may say something else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
    /// Endpoints of the node that are in no manifest, and pods of the node that have no endpoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointReport>,
    /// Packets that get something else on the node.
    pub differences: Vec<DifferenceReport>,
    /// Addresses that lead to another identity on the node.
    pub ipcache: Vec<AddressReport>,
}

impl AuditReport {
    /// Whether the node holds what the manifests say.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.endpoints.is_empty() && self.differences.is_empty() && self.ipcache.is_empty()
    }
}

/// An endpoint that only one side has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EndpointReport {
    /// The pod, `namespace/name`.
    pub pod: String,
    /// The number of the endpoint; missing where the node has none for the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<u64>,
}

/// Packets that get one thing on the node and another by the manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DifferenceReport {
    /// The pod, `namespace/name`.
    pub pod: String,
    /// The number of its endpoint.
    pub endpoint: u64,
    /// `ingress` or `egress`.
    pub direction: String,
    /// The labels of the other end.
    pub identity: Vec<String>,
    /// Its number on the node.
    pub number: u32,
    /// The protocol; `other` for all that neither side names.
    pub protocol: String,
    /// The ports, or the types of ICMP; missing where packets have neither.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<(u16, u16)>,
    /// What the node does.
    pub node: Word,
    /// What the manifests say.
    pub manifests: Word,
    /// What the ends must prove, where that is the difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthReport>,
    /// The rules by which they say it; none where no rule matches.
    pub rules: Vec<ReplyRule>,
}

/// What the ends of a connection must prove: `spire`, `test-always-fail` or `none`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AuthReport {
    /// On the node.
    pub node: String,
    /// By the manifests.
    pub manifests: String,
}

/// Addresses that lead to one identity on the node and to another by the manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AddressReport {
    /// The block, without narrower ones that are listed on their own.
    pub prefix: String,
    /// The labels on the node.
    pub node: Vec<String>,
    /// The labels by the manifests.
    pub manifests: Vec<String>,
}
