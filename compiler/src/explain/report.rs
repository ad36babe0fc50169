//! What `explain --format json` prints.

use super::Asked;
use crate::diagnostic::ObjectRef;
use crate::hir::flow::Address;
use crate::list::report::{PeerReport, Ports};
use schemars::JsonSchema;
use serde::Serialize;

/// The version of the shape.
pub const VERSION: u32 = 1;

/// The answer for a question.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Explanation {
    /// The version of this shape.
    pub version: u32,
    /// The question as it was put.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<QuestionReport>,
    /// The flow that was asked about; where the question stands for several, the first.
    pub flow: FlowReport,
    /// The answer of both sides together.
    pub verdict: Word,
    /// What the answer hangs on, where it is `depends`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
    /// What was left out of the input or is not in it, so that the answer may be another: policies of kinds that
    /// are not read, objects that have errors, the pod that has an address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
    /// The source's side.
    pub egress: SideReport,
    /// The destination's side.
    pub ingress: SideReport,
    /// The smallest change that allows a denied flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<Suggestion>,
    /// Why no change is suggested for a denied flow, where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_suggestion: Option<String>,
    /// How many further flows of the question have the same answer by the same rules.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub alike: usize,
    /// Where the question stands for several flows with different answers: each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<Explanation>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A question as it was put: peers and a port as they were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QuestionReport {
    /// The source.
    pub from: String,
    /// The destination.
    pub to: String,
    /// The port.
    pub port: String,
}

impl std::fmt::Display for QuestionReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {} {}", self.from, self.to, self.port)
    }
}

/// An answer in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// It passes.
    Allow,
    /// It passes by way of a proxy, which may refuse what it carries.
    Redirect,
    /// It does not pass.
    Deny,
    /// It hangs on the conditions.
    Depends,
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Redirect => "redirect",
            Self::Deny => "deny",
            Self::Depends => "depends",
        })
    }
}

/// A flow as it is shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FlowReport {
    /// The source.
    pub src: Party,
    /// The destination.
    pub dst: Party,
    /// The protocol.
    pub protocol: String,
    /// The destination port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The last port, where the answer is for a range that starts at `port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_port: Option<u16>,
    /// The ICMP type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
}

impl std::fmt::Display for FlowReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {} {}", self.src, self.dst, self.port_text())
    }
}

impl FlowReport {
    pub(super) fn new(asked: &Asked<'_>) -> Self {
        let transport = asked.flow.transport;
        let with_address = |party: &Party, address| match address {
            Address::Known(ip) => Party {
                ip: Some(ip.to_string()),
                ..party.clone()
            },
            Address::Unknown { .. } => party.clone(),
        };
        Self {
            src: with_address(&asked.src, asked.flow.src.address),
            dst: with_address(&asked.dst, asked.flow.dst.address),
            protocol: transport.protocol.to_string(),
            port: transport.port,
            last_port: asked.last.filter(|last| Some(*last) != transport.port),
            icmp_type: transport.icmp.map(|(kind, _)| kind),
        }
    }

    /// Whether it has a port or an ICMP type, or is of a protocol without.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let has_ports = ["TCP", "UDP", "SCTP"].contains(&&*self.protocol);
        !has_ports || self.port.is_some()
    }

    /// The port as it is written on the command line: `443/TCP`.
    #[must_use]
    pub fn port_text(&self) -> String {
        match (self.port, self.last_port, self.icmp_type) {
            (Some(first), Some(last), _) if last != first => {
                format!("{first}-{last}/{}", self.protocol)
            }
            (Some(port), ..) => format!("{port}/{}", self.protocol),
            (None, _, Some(kind)) => format!("{kind}/{}", self.protocol),
            (None, _, None) => self.protocol.clone(),
        }
    }
}

/// Who an end of a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartyKind {
    /// A pod, existing or not.
    Pod,
    /// A node.
    Node,
    /// An address outside the cluster.
    Ip,
}

/// One end of a flow as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Party {
    /// Who it is.
    pub kind: PartyKind,
    /// The namespace of a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name of a pod or node, or the labels of a pod that does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The workload of a pod: `Deployment/web`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The address in this flow, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
}

impl std::fmt::Display for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind, &self.namespace, &self.name, &self.ip) {
            (PartyKind::Pod, Some(namespace), Some(name), _) if name.starts_with('[') => {
                write!(f, "{namespace}{name}")
            }
            (PartyKind::Pod, Some(namespace), Some(name), _) => write!(f, "{namespace}/{name}"),
            (PartyKind::Node, _, Some(name), _) => write!(f, "node/{name}"),
            (_, _, _, Some(ip)) => f.write_str(ip),
            (_, _, Some(name), None) => f.write_str(name),
            (_, _, None, None) => f.write_str("the outside"),
        }
    }
}

/// A policy, or another object, as it is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct PolicyName {
    /// The kind.
    pub kind: String,
    /// The namespace, for kinds that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl From<&ObjectRef> for PolicyName {
    fn from(object: &ObjectRef) -> Self {
        Self {
            kind: object.kind.to_string(),
            namespace: object.namespace.as_ref().map(ToString::to_string),
            name: object.name.to_string(),
        }
    }
}

impl std::fmt::Display for PolicyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

/// The answer of one side.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SideReport {
    /// The answer.
    pub verdict: Word,
    /// Whether a policy isolates the endpoint in this direction.
    pub isolated: bool,
    /// The policies that do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub isolated_by: Vec<IsolationReport>,
    /// Why no policy is asked, where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exempt: Option<Exempt>,
    /// What the ends must prove first, where a rule says so: `spire`, `test-always-fail`, or `disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// Whether it passes only because what is denied is recorded and let through, or may do so (`policy-audit-mode`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audited: bool,
    /// What settles the side, in a sentence.
    pub because: String,
    /// The rules that decide, then those that almost matched.
    pub rules: Vec<RuleReport>,
}

/// Why no policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exempt {
    /// A pod reaches itself.
    Itself,
    /// The end is outside the cluster.
    Outside,
    /// The end is a node.
    Node,
    /// The end is a pod that uses its node's network.
    HostNetwork,
    /// The settings say that no policy is enforced.
    NotEnforced,
    /// ICMP that asks for smaller packets always passes.
    FragmentationNeeded,
}

/// A policy that isolates an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IsolationReport {
    /// The policy.
    pub policy: PolicyName,
    /// The file that it is in.
    pub file: String,
    /// The line on which it starts.
    pub line: u32,
}

/// A rule with what it has to do with the flow.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RuleReport {
    /// Its policy.
    pub policy: PolicyName,
    /// The tier of the policy: `Admin`, `NetworkPolicy` or `Baseline`.
    pub tier: String,
    /// The rule: `spec.ingress[0]`.
    pub rule: String,
    /// The name that its author gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it does: `allow`, `deny` or `pass`.
    pub action: String,
    /// Whether it matches the flow.
    pub matched: bool,
    /// The field that `line` and `why` are about.
    pub field: String,
    /// Why it matches or does not.
    pub why: String,
    /// The file.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// The smallest change that allows the flow; it has been applied and judged.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Suggestion {
    /// What to do, in a sentence.
    pub summary: String,
    /// The edits, one or several for each side that denies.
    pub edits: Vec<Edit>,
    /// How many further flows of the question would still not be allowed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub remaining: usize,
    /// Whether the flow would still not be allowed in the other address family that its ends have.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_family: bool,
    /// What passes then beside what was asked, and did not before.
    pub opens: Further,
    /// What does not pass any more.
    pub closes: Further,
}

/// Connections that change beside what was asked, between workloads of the inputs and with the outside.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Further {
    /// How many they are.
    pub count: usize,
    /// Each of them; none where they are more than 1,000.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<FurtherConnection>,
}

/// What changes from one peer to another.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FurtherConnection {
    /// The source.
    pub src: PeerReport,
    /// The destination.
    pub dst: PeerReport,
    /// What is surely allowed then, or surely denied.
    pub ports: Vec<Ports>,
    /// What may be allowed then, or may not be any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<Ports>,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A list gets an item.
    Add,
    /// An item of a list becomes another.
    Replace,
    /// The object itself is new.
    Create,
    /// A label is set.
    Label,
}

/// One edit of one object.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Edit {
    /// What is done.
    pub action: Action,
    /// The object: a policy, or the pod, workload or namespace that gets a label.
    pub object: PolicyName,
    /// The list (`spec.ingress[0].ports`) or the labels (`metadata.labels`); empty for a new object.
    pub path: String,
    /// The index of the item in the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// The item, the label, or the whole object.
    pub value: serde_json::Value,
    /// The same as YAML.
    pub yaml: String,
    /// The file.
    pub file: String,
    /// The line of what is changed, or of what the new is put next to.
    pub line: u32,
}
