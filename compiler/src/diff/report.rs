//! What `diff --format json` prints.

use super::Reason;
use super::rules::Decision;
use crate::explain::report::{IsolationReport, RuleReport};
use crate::list::report::{PeerReport, Ports};
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;

/// The version of the shape.
pub const VERSION: u32 = 1;

/// All connections that differ between two worlds.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct DiffReport<'a> {
    /// The version of this shape.
    pub version: u32,
    /// Connections of which nothing passed before.
    pub added: Vec<OneSided<'a>>,
    /// Connections of which nothing passes any more.
    pub removed: Vec<OneSided<'a>>,
    /// Connections of which something else passes than before.
    pub changed: Vec<Changed<'a>>,
    /// L7 rules with other contents than before: connections go by their proxies, and what these look at is another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inspected: Vec<InspectedRule>,
    /// What was left out of the input, so that the answer may be another: policies of kinds that are not read,
    /// objects that have errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

/// A connection that one side has.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OneSided<'a> {
    /// The source.
    pub src: &'a PeerReport,
    /// The destination.
    pub dst: &'a PeerReport,
    /// What is allowed on that side.
    pub ports: &'a [Ports],
    /// What is neither surely allowed nor surely denied on that side.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub depends: &'a [Ports],
    /// Of both: what goes by way of a proxy (L7), or may.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub proxied: &'a [Ports],
    /// Of both: what passes only where the ends have authenticated, or may be such.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub authenticated: &'a [Ports],
    /// `workload` where one of the ends is new or has vanished; absent where both sides have both ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
    /// What makes the difference; absent where one of the ends is new or has vanished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// A packet that one side allows and the other does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// The rules that decide about this packet.
    pub rules: Rules<'a>,
    /// The policies that isolate an end, where the packet is denied for want of a rule that allows it.
    #[serde(skip_serializing_if = "Isolation::is_empty")]
    pub isolated_by: Isolation<'a>,
}

/// A connection that both sides have.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Changed<'a> {
    /// The source.
    pub src: &'a PeerReport,
    /// The destination.
    pub dst: &'a PeerReport,
    /// What was allowed.
    pub before: &'a [Ports],
    /// What is allowed.
    pub after: &'a [Ports],
    /// What was neither surely allowed nor surely denied.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub depends_before: &'a [Ports],
    /// What is neither surely allowed nor surely denied.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub depends_after: &'a [Ports],
    /// What went by way of a proxy (L7), or may have.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub proxied_before: &'a [Ports],
    /// What goes by way of a proxy, or may.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub proxied_after: &'a [Ports],
    /// What passed only where the ends had authenticated, or may have been such.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub authenticated_before: &'a [Ports],
    /// What passes only where the ends have authenticated, or may be such.
    #[serde(skip_serializing_if = "<[Ports]>::is_empty")]
    pub authenticated_after: &'a [Ports],
    /// What makes the difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// A packet of which the sides say something else: whether it passes, or by what way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// The rules that decide about this packet.
    pub rules: Rules<'a>,
    /// The policies that isolate an end, where the packet is denied for want of a rule that allows it.
    #[serde(skip_serializing_if = "Isolation::is_empty")]
    pub isolated_by: Isolation<'a>,
}

/// An L7 rule that changes.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct InspectedRule {
    /// The rule before the change; absent where it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<RuleReport>,
    /// The rule behind it; absent where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<RuleReport>,
}

/// Why a connection stands apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Because {
    /// One of its ends is new or has vanished.
    Workload,
}

/// What makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The policies: on the old cluster the new ones say what they say on the new one.
    Policy,
    /// The cluster: on the old one the new policies say what the old ones said.
    Cluster,
    /// Both.
    Both,
}

/// A packet between two ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Witness {
    /// The protocol.
    pub protocol: String,
    /// The destination port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The ICMP type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// The address outside from which it comes or to which it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
}

/// The rules that decide on either side.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Rules<'a> {
    /// Before the change.
    pub before: Vec<&'a RuleReport>,
    /// Behind it.
    pub after: Vec<&'a RuleReport>,
}

/// The policies that isolate on either side.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Isolation<'a> {
    /// Before the change.
    pub before: Vec<&'a IsolationReport>,
    /// Behind it.
    pub after: Vec<&'a IsolationReport>,
}

impl Isolation<'_> {
    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

impl From<Reason> for Option<Cause> {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Policy => Some(Cause::Policy),
            Reason::Cluster => Some(Cause::Cluster),
            Reason::Both => Some(Cause::Both),
            Reason::Workload => None,
        }
    }
}

impl From<&Decision> for Witness {
    fn from(decision: &Decision) -> Self {
        let transport = decision.transport;
        Self {
            protocol: transport.protocol.to_string(),
            port: transport.port,
            icmp_type: transport.icmp.map(|(kind, _)| kind),
            ip: decision.address,
        }
    }
}
