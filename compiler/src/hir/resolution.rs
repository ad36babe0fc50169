//! How the policies of a set come to a verdict together, and what of it only one way asks for.

use crate::cluster::NamedPort;
use crate::identity::Identities;
use std::fmt;
use std::sync::Arc;

/// How policies come to a verdict together.
#[derive(Clone, Debug, Default)]
pub enum Resolution {
    /// Isolation and the union of the rules of a namespace, between two tiers in which the first rule decides: the
    /// API of Kubernetes, [`super::spec`].
    #[default]
    Isolation,
    /// The rule of the highest precedence decides, over identities: Cilium, [`super::spec::precedence`].
    Precedence(Arc<Enforcement>),
}

/// The switches of [`Resolution::Precedence`], with the identities of the snapshot.
#[derive(Clone, Debug, Default)]
pub struct Enforcement {
    /// When an endpoint denies what no rule allows.
    pub mode: Mode,
    /// Whether the node of an endpoint reaches it where no rule denies that.
    pub allows_own_node: bool,
    /// Whether that takes a rule for the direction: without any, an endpoint that denies by default denies its node too.
    pub own_node_needs_rule: bool,
    /// The named ports of all pods, where a name in a rule for egress stands for the port that has it anywhere; `None`
    /// where it stands for the destination's own.
    pub shared_ports: Option<Vec<NamedPort>>,
    /// Whether ICMPv4 that asks for smaller packets always passes.
    pub allows_fragmentation_needed: bool,
    /// Whether ICMP is told apart by type.
    pub has_icmp_types: bool,
    /// Whether nodes are governed.
    pub governs_nodes: bool,
    /// Whether what is denied, or not authenticated, is let through and recorded.
    pub audits: bool,
    /// Whether the inputs say which DNS answers were seen: without them, any address outside may be behind a name.
    pub has_names: bool,
    /// What ends are to rules.
    pub identities: Identities,
}

impl Enforcement {
    /// The same where what is denied is denied: what maps say, in which audit mode is not.
    #[must_use]
    pub fn without_audit(&self) -> Self {
        Self {
            audits: false,
            ..self.clone()
        }
    }
}

/// When an endpoint denies what no rule allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Where a policy that selects it says so.
    #[default]
    Default,
    /// Always.
    Always,
    /// Never: no policy is asked.
    Never,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Always => "always",
            Self::Never => "never",
        })
    }
}

/// What [`Resolution::Precedence`] asks of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Precedence {
    /// Its place in its tier: the lower number is asked first. Rules of one number are asked by what they do.
    pub rank: u32,
    /// Whether what it allows goes by a proxy.
    pub redirect: Option<Redirect>,
    /// Whether the ends must prove who they are.
    pub auth: Option<Auth>,
}

/// By which of several proxies a flow goes: the lower number first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Redirect {
    /// The priority of its listener, 1 to 126.
    pub priority: u8,
}

/// How the ends of a connection prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Auth {
    /// Not at all, whatever a wider rule says.
    Disabled,
    /// By their certificates.
    Required,
    /// In a way that always fails, for tests.
    AlwaysFails,
}

impl fmt::Display for Auth {
    /// In Cilium's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "disabled",
            Self::Required => "spire",
            Self::AlwaysFails => "test-always-fail",
        })
    }
}
