//! One node's policy as a finite program over numbers: what the optimiser works on and images are made of.
//!
//! Input: a [resolved program](crate::ir::Program), which is made once for a cluster, and a node. Output:
//! [`Program`]. Guarantee: [`Program::decide`] gives the verdict of [`crate::hir::spec::judge_side`] for every
//! endpoint of the node, every leaf and every transport, and names one of the rules that it names
//! (tests hold it to that on random worlds, before and after each pass).
//!
//! What stands at the other end of a flow is a *leaf*: an identity, a node or the outside, with a class of
//! addresses ([`leaves`]). What a packet carries is a *transport key* ([`transport`]). Leaves and keys fall into
//! *classes*; rules speak of sets of classes only. There is no selector, name or address in a program, so it has a
//! textual form that is read back ([`text`]), and its invariants can be checked without a cluster ([`check`]).
//!
//! Above this stands the resolved program, which still has selectors as written: it answers for pods that do not
//! exist, and belongs to no node.

pub mod check;
pub(crate) mod decide;
pub mod leaves;
mod lower;
mod seen;
pub mod text;
pub mod transport;

pub use lower::Lowering;
pub(crate) use lower::host_name;

use crate::hir::{Auth, PerDirection, PolicyId, RuleId};
use crate::ids::ids;
use crate::ranges::Ranges;

ids! {
    LeafId, "l": "a leaf of its cluster";
    ClassId, "c": "a class of leaves in its program";
    PortClassId, "k": "a class of transport keys in its program";
    RemotesId, "s": "a set of classes of leaves in its program";
    PortsId, "t": "a set of classes of transport keys in its program";
    ChainId, "chain": "a chain in its program";
    RowId, "row": "a row in its program";
    CodeId, "code": "a code in its program";
}

/// The index of a list as the number of an id. Lists are bounded by the limits of an image, far below 2^32.
pub(crate) fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// A program. What always holds of it stands in [`check`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// By leaf: its class.
    pub leaves: Vec<ClassId>,
    /// How many classes there are.
    pub classes: u32,
    /// Classes of which the snapshot leaves open what they are: each is one of these others. Ascending.
    pub either: Vec<(ClassId, Vec<ClassId>)>,
    /// The classes of the node on which the endpoints run: what isolates does not keep the two apart.
    pub own_node: Ranges<u32>,
    /// The classes of transport keys: runs that begin at a key, sorted; the first begins at 0.
    pub transports: Vec<(u32, PortClassId)>,
    /// How many classes of transport keys there are.
    pub port_classes: u32,
    /// The classes of transport keys of packets that pass without being asked about.
    pub unasked: Ranges<u32>,
    /// Sets of classes of leaves.
    pub remotes: Vec<Ranges<u32>>,
    /// Sets of classes of transport keys.
    pub ports: Vec<Ranges<u32>>,
    /// What endpoints are asked about, each for one direction.
    pub chains: Vec<Chain>,
    /// The codes by class of transport keys, once chains are tables.
    pub rows: Vec<Vec<CodeId>>,
    /// The decisions, once chains are tables.
    pub codes: Vec<Decision>,
    /// The endpoints of the node.
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint with the chain of each direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod, `namespace/name`, or the node, `node/name`.
    pub name: Box<str>,
    /// What is asked.
    pub chains: PerDirection<ChainId>,
}

/// What one direction of some endpoints is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Chain {
    /// As rules.
    Rules(RuleChain),
    /// As rows, after the pass `tabulate`.
    Table(Table),
}

/// Rules in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RuleChain {
    /// The levels of the tiers that are asked first: of the Admin tier, or of all where rules are resolved by precedence.
    pub admin: Vec<Level>,
    /// Whether what no rule decides is denied: then the baseline is not asked. With the policies that isolate, if there are
    /// any.
    pub isolated_by: Option<Vec<PolicyId>>,
    /// Whether that holds for the node on which the endpoints run, too.
    pub keeps_own_node: bool,
    /// What becomes of what an endpoint sends to itself.
    pub to_itself: ToItself,
    /// Whether what is denied, or not authenticated, passes and is reported.
    pub audits: bool,
    /// The rules of the namespace's policies: their order means nothing.
    pub namespace: Vec<Rule>,
    /// The levels of the Baseline tier.
    pub baseline: Vec<Level>,
}

/// What becomes of what an endpoint sends to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ToItself {
    /// By way of a service it is asked about, and what isolates does not keep it back.
    #[default]
    Asked,
    /// It passes without being asked about.
    Passes,
    /// It is asked about as all else: the endpoint is a node.
    AsOthers,
}

/// Policies of one priority: each gives the first of its rules that matches, and none is before another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Level {
    /// The rules of each policy.
    pub lists: Vec<Vec<Rule>>,
    /// Whether another tier begins behind it, where a rule of its tier that passes leads.
    pub ends_tier: bool,
}

/// A rule. It matches where both its remotes and its ports do; surely where both surely do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The rules of the policy set that it stands for: sorted, at least one.
    pub origins: Vec<RuleId>,
    /// What it does.
    pub action: Action,
    /// The other end.
    pub remotes: Match<RemotesId>,
    /// What the packet carries.
    pub ports: Match<PortsId>,
    /// What it says of authentication, and by how many ports; none where no rule of its chain says anything of that.
    pub asks: Option<Asks>,
}

/// What a rule says of authentication: of the rules that let a packet pass that of the fewest ports is heard that says
/// something; where a rule of the chain passes, only those of the fewest are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asks {
    /// How many ports it has.
    pub width: u32,
    /// What it says.
    pub auth: Option<Auth>,
}

/// Two sets without a common member: what surely matches, and what may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Match<T> {
    /// It matches.
    pub yes: T,
    /// The snapshot does not tell.
    pub maybe: T,
}

/// What a rule does. Ordered: among rules of a namespace that match, the greatest decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It does not pass.
    Deny,
    /// The tier is left without a decision.
    Pass,
    /// It passes, and is reported as if it had not.
    Audit,
    /// It passes.
    Allow,
    /// It passes by way of a proxy: the number of its listener.
    Redirect(u16),
    /// It passes where the ends have proved who they are in this way, and by way of a proxy where the number of its
    /// listener is not 0. No rule does, but decisions do; and it is never [`Auth::Disabled`].
    Prove(Auth, u16),
}

/// One row for each class of leaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// By class.
    pub rows: Vec<RowId>,
    /// By class, for what an endpoint sends to itself by way of a service.
    pub hairpin: Vec<RowId>,
}

/// What is decided about a packet, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decision {
    /// Never [`Action::Pass`].
    pub action: Action,
    /// It hangs on something that the snapshot does not tell, and may as well pass: an engine that must act denies.
    pub depends: bool,
    /// What names it.
    pub origin: Origin,
}

/// Whose decision it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// No policy has a say, or none keeps the two apart.
    Nobody,
    /// The policy isolates, and no rule allows.
    Isolation(PolicyId),
    /// The rule.
    Rule(RuleId),
}

/// How large a program is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Classes of leaves.
    pub classes: usize,
    /// Classes of transport keys.
    pub port_classes: usize,
    /// Sets of both kinds.
    pub sets: usize,
    /// Chains, as rules or as tables.
    pub chains: usize,
    /// Rules of all chains.
    pub rules: usize,
    /// Rows.
    pub rows: usize,
    /// Codes.
    pub codes: usize,
}

impl Program {
    /// How large the program is.
    #[must_use]
    pub fn size(&self) -> Size {
        let rules = self.chains.iter().map(|chain| match chain {
            Chain::Rules(chain) => chain.rules().count(),
            Chain::Table(_) => 0,
        });
        Size {
            classes: self.classes as usize,
            port_classes: self.port_classes as usize,
            sets: self.remotes.len() + self.ports.len(),
            chains: self.chains.len(),
            rules: rules.sum(),
            rows: self.rows.len(),
            codes: self.codes.len(),
        }
    }

    pub(crate) fn remote_set(&self, id: RemotesId) -> &Ranges<u32> {
        self.remotes.get(id.index()).unwrap_or(&EMPTY)
    }

    pub(crate) fn port_set(&self, id: PortsId) -> &Ranges<u32> {
        self.ports.get(id.index()).unwrap_or(&EMPTY)
    }
}

static EMPTY: std::sync::LazyLock<Ranges<u32>> = std::sync::LazyLock::new(Ranges::default);

impl RuleChain {
    /// All rules, in the order in which they stand.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        let [admin, baseline] = [&self.admin, &self.baseline].map(|levels| {
            let lists = levels.iter().flat_map(|level| &level.lists);
            lists.flatten()
        });
        admin.chain(&self.namespace).chain(baseline)
    }

    /// All lists of rules, to change them.
    pub(crate) fn lists_mut(&mut self) -> impl Iterator<Item = &mut Vec<Rule>> {
        let levels = self.admin.iter_mut().chain(&mut self.baseline);
        levels
            .flat_map(|level| &mut level.lists)
            .chain(std::iter::once(&mut self.namespace))
    }
}

impl Action {
    /// Whether it lets the packet pass.
    #[must_use]
    pub fn passes(self) -> bool {
        match self {
            Self::Deny | Self::Pass => false,
            Self::Audit | Self::Allow | Self::Redirect(_) | Self::Prove(_, _) => true,
        }
    }

    /// What the ends must prove.
    #[must_use]
    pub fn auth(self) -> Option<Auth> {
        match self {
            Self::Prove(auth, _) => Some(auth),
            Self::Deny | Self::Pass | Self::Audit | Self::Allow | Self::Redirect(_) => None,
        }
    }

    /// The number of the listener of the proxy by way of which it passes.
    #[must_use]
    pub fn listener(self) -> Option<u16> {
        match self {
            Self::Redirect(listener) => Some(listener),
            Self::Prove(_, listener) => (listener > 0).then_some(listener),
            Self::Deny | Self::Pass | Self::Audit | Self::Allow => None,
        }
    }

    /// The same where the ends must prove something, too.
    #[must_use]
    pub fn proved(self, auth: Option<Auth>) -> Self {
        let Some(auth @ (Auth::Required | Auth::AlwaysFails)) = auth else {
            return self;
        };
        match self {
            Self::Audit | Self::Allow => Self::Prove(auth, 0),
            Self::Redirect(listener) | Self::Prove(_, listener) => Self::Prove(auth, listener),
            Self::Deny | Self::Pass => self,
        }
    }
}

impl Decision {
    /// What is decided where no policy has a say.
    pub const OPEN: Self = Self {
        action: Action::Allow,
        depends: false,
        origin: Origin::Nobody,
    };
}
