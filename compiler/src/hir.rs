//! What the author of a policy meant, free of any dialect: the types, and [`spec`], the definition of their
//! meaning.
//!
//! A [`PolicySet`] is lowered by a frontend. A policy has a tier, a priority in it, a subject, and per
//! direction a list of rules; a rule has an action, peers and ports. Meaning and provenance are separate: a
//! [`RuleId`] leads to the place in the text ([`RuleOrigin`]).
//!
//! What Cilium, GKE and AWS add fits as further variants, and every match over these enums is exhaustive, so
//! that a new variant does not build before each engine says what it means.

mod domain;
pub mod flow;
mod identities;
pub(crate) mod index;
pub mod judgement;
pub mod resolution;
pub mod spec;
pub mod text;

pub use domain::{DomainPattern, Glob};
pub use identities::{IdentitySelector, SourcedRequirement};
pub use resolution::{Auth, Enforcement, Mode, Precedence, Redirect, Resolution};

use crate::cluster::{HostNetwork, Labels, Protocol};
use crate::diagnostic::ObjectRef;
use crate::ids::ids;
use crate::source::Span;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The way of a flow as seen from the endpoint that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Into the endpoint.
    Ingress,
    /// Out of the endpoint.
    Egress,
}

impl Direction {
    /// That of the endpoint at the other end.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// Something for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerDirection<T> {
    /// Into the endpoint.
    pub ingress: T,
    /// Out of the endpoint.
    pub egress: T,
}

impl<T> PerDirection<T> {
    /// What is kept for a direction.
    pub fn get(&self, direction: Direction) -> &T {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// What is kept for a direction, to change it.
    pub fn get_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        }
    }
}

/// The order in which policies are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Before the policies of namespaces; final where it allows or denies.
    Admin,
    /// The policies of namespaces: they isolate, and their union decides.
    Namespace,
    /// Where no policy of a namespace isolates.
    Baseline,
}

/// The words of ClusterNetworkPolicy's documentation, which calls the tier of namespaces by its kind.
/// <https://network-policy-api.sigs.k8s.io/api-overview/>
impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "Admin",
            Self::Namespace => "NetworkPolicy",
            Self::Baseline => "Baseline",
        })
    }
}

/// What a rule does with a flow that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The side allows it.
    Allow,
    /// The side denies it.
    Deny,
    /// The tier is left without a decision.
    Pass,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Pass => "pass",
        })
    }
}

ids! {
    PolicyId, "p": "a policy in its policy set";
    RuleId, "r": "a rule in its policy set";
}

/// Policies with all that is needed to judge by them.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    /// The policies, sorted by tier, priority and origin.
    pub policies: Vec<Policy>,
    /// Where each rule is written, by [`RuleId`].
    pub origins: Vec<RuleOrigin>,
    /// The switches that change verdicts.
    pub semantics: Semantics,
    /// How the policies come to a verdict together.
    pub resolution: Resolution,
}

impl PolicySet {
    /// The policy behind an id.
    #[must_use]
    pub fn policy(&self, id: PolicyId) -> Option<&Policy> {
        self.policies.get(id.index())
    }

    /// Where a rule is written.
    #[must_use]
    pub fn origin(&self, id: RuleId) -> Option<&RuleOrigin> {
        self.origins.get(id.index())
    }

    /// The rule behind an id, with its policy.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> Option<(&Policy, &Rule)> {
        let origin = self.origin(id)?;
        let policy = self.policy(origin.policy)?;
        let rules = policy.rules.get(origin.direction);
        let index = rules.binary_search_by_key(&id, |rule| rule.id).ok()?;
        rules.get(index).map(|rule| (policy, rule))
    }
}

/// The switches on which implementations differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Semantics {
    /// Whether an [`IpBlock`] matches the addresses of pods, not only of nodes and the outside.
    pub cidr_matches_pods: bool,
    /// What NetworkPolicy takes pods on their nodes' networks for.
    pub host_network: HostNetwork,
}

impl Default for Semantics {
    /// What the Kubernetes API documents and its conformance tests expect.
    fn default() -> Self {
        Self {
            cidr_matches_pods: true,
            host_network: HostNetwork::default(),
        }
    }
}

/// One policy object.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its index in the set.
    pub id: PolicyId,
    /// The object as its author names it.
    pub object: ObjectRef,
    /// Where the object stands.
    pub span: Span,
    /// Its tier.
    pub tier: Tier,
    /// Its rank in the tier: the lower number is asked first. Zero in [`Tier::Namespace`].
    pub priority: u32,
    /// What it governs.
    pub subject: Subject,
    /// Whether it isolates its subjects: what no rule of their namespace allows is denied.
    pub isolates: PerDirection<bool>,
    /// Its rules, by ascending id in each direction. In [`Tier::Admin`] and [`Tier::Baseline`] the first that matches decides; in
    /// [`Tier::Namespace`] their order means nothing.
    pub rules: PerDirection<Vec<Rule>>,
}

/// One rule of a policy.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Leads to its origin.
    pub id: RuleId,
    /// What it does.
    pub action: Action,
    /// The other end of the flow: one of these; `None` is anyone, the outside included.
    pub peers: Option<Vec<Peer>>,
    /// The destination's port: one of these; `None` is every protocol and port.
    pub ports: Option<Vec<PortMatch>>,
    /// What [`Resolution::Precedence`] asks of it besides.
    pub precedence: Precedence,
}

impl Rule {
    /// What it does, in a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (self.action, self.precedence.redirect) {
            (Action::Allow, None) => "allow",
            (Action::Allow, Some(_)) => "redirect",
            (Action::Deny, _) => "deny",
            (Action::Pass, _) => "pass",
        }
    }
}

/// Where a rule is written.
#[derive(Clone, Debug)]
pub struct RuleOrigin {
    /// Its policy.
    pub policy: PolicyId,
    /// Its direction.
    pub direction: Direction,
    /// The path in the object: `spec.ingress[0]`.
    pub path: Box<str>,
    /// The name that its author gave it, if any.
    pub name: Option<Box<str>>,
    /// The rule in the text.
    pub span: Span,
    /// Each item of [`Rule::peers`] in the text, with its path below the rule's: `from[0].podSelector`.
    pub peers: Vec<ItemOrigin>,
    /// Each item of [`Rule::ports`] in the text.
    pub ports: Vec<ItemOrigin>,
    /// What a proxy is told to look at, where flows are led to one: fields of the text as JSON, sorted.
    pub contents: Option<Box<str>>,
}

/// Where an item of a rule is written.
#[derive(Clone, Debug)]
pub struct ItemOrigin {
    /// The path below the rule's: `from[0]`.
    pub path: Box<str>,
    /// The item in the text.
    pub span: Span,
}

/// The other end of a flow, as a rule names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Pods by their labels and those of their namespace: never the outside, and no pod on the network of its node but
    /// for [`Tier::Namespace`] where the settings say so ([`HostNetwork`]).
    Pods(PodSelector),
    /// Nodes by their labels: their addresses, so host-networked pods too.
    Nodes(Selector),
    /// Addresses.
    Addresses(IpBlock),
    /// What a domain name resolves to.
    Domain(DomainPattern),
    /// Ends by the labels of their identity: one of these selectors.
    Identities(Vec<IdentitySelector>),
}

/// What a policy governs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Pods.
    Pods(PodSelector),
    /// Endpoints by the labels of their identity.
    Endpoints(IdentitySelector),
    /// Nodes by the labels of their identity.
    Nodes(IdentitySelector),
}

impl Subject {
    /// The pods, where it names pods.
    #[must_use]
    pub fn pods(&self) -> Option<&PodSelector> {
        match self {
            Self::Pods(selector) => Some(selector),
            Self::Endpoints(_) | Self::Nodes(_) => None,
        }
    }
}

/// Pods by the labels of their namespace and their own: both must match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodSelector {
    /// Which namespaces.
    pub namespaces: NamespaceSelector,
    /// Which pods in them.
    pub pods: Selector,
}

/// Namespaces by name or by label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NamespaceSelector {
    /// The one with this name.
    Named(Box<str>),
    /// Those whose labels match.
    Labels(Selector),
}

/// A label selector: every requirement must hold; without any it selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// The requirements, as written. Many hold on to the same ones.
    pub requirements: Arc<[Requirement]>,
}

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: Box<str>,
    /// What must be true of it.
    pub operator: Operator,
}

/// What a requirement asks of a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// It is there and has one of these values.
    In(Vec<Box<str>>),
    /// It is not there, or has none of these values.
    NotIn(Vec<Box<str>>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl Selector {
    /// The selector that selects everything.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Whether labels meet every requirement.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.matches(labels))
    }
}

/// What all requirements of a selector together ask of one label.
#[derive(Default)]
struct Asked<'a> {
    /// Its values, where they are listed.
    listed: Option<BTreeSet<&'a str>>,
    /// What it must not be.
    excluded: BTreeSet<&'a str>,
    is_present: bool,
    is_absent: bool,
}

impl<'a> Asked<'a> {
    fn add(&mut self, operator: &'a Operator) {
        match operator {
            Operator::In(values) => {
                let mut values: BTreeSet<&str> = values.iter().map(|value| &**value).collect();
                if let Some(listed) = &self.listed {
                    values.retain(|value| listed.contains(value));
                }
                self.listed = Some(values);
                self.is_present = true;
            }
            Operator::NotIn(values) => {
                self.excluded.extend(values.iter().map(|value| &**value));
            }
            Operator::Exists => self.is_present = true,
            Operator::DoesNotExist => self.is_absent = true,
        }
    }

    /// Whether a value, or none, is as it is asked for. Where values are not listed, there is always another one
    /// than those that are excluded.
    fn is_possible(&self) -> bool {
        let listed = self.listed.as_ref();
        let has_value = listed.is_none_or(|listed| !listed.is_subset(&self.excluded));
        if self.is_absent {
            !self.is_present
        } else {
            has_value
        }
    }
}

impl Selector {
    /// The first label of which the selector asks what excludes itself, so that nothing matches.
    #[must_use]
    pub fn contradiction(&self) -> Option<&str> {
        if self.requirements.len() < 2 {
            return None;
        }
        let mut asked: BTreeMap<&str, Asked<'_>> = BTreeMap::new();
        for requirement in self.requirements.iter() {
            let of_key = asked.entry(&requirement.key).or_default();
            of_key.add(&requirement.operator);
        }
        let impossible = asked.into_iter().find(|(_, asked)| !asked.is_possible());
        impossible.map(|(key, _)| key)
    }
}

impl Requirement {
    /// Whether labels meet the requirement. A label that is not there is none of the values.
    /// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let is_one_of = |values: &[Box<str>]| {
            value.is_some_and(|value| values.iter().any(|known| &**known == value))
        };
        match &self.operator {
            Operator::In(values) => is_one_of(values),
            Operator::NotIn(values) => !is_one_of(values),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// Addresses in a block but in none of its exceptions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpBlock {
    /// The block.
    pub cidr: IpNet,
    /// What is left out of it.
    pub except: Vec<IpNet>,
}

impl IpBlock {
    /// Whether the block covers an address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|except| except.contains(&address))
    }
}

impl FromIterator<Requirement> for Selector {
    fn from_iter<I: IntoIterator<Item = Requirement>>(requirements: I) -> Self {
        Self {
            requirements: requirements.into_iter().collect(),
        }
    }
}

impl Requirement {
    /// The requirement that a label has this value.
    #[must_use]
    pub fn equal(key: &str, value: &str) -> Self {
        Self {
            key: key.into(),
            operator: Operator::In(vec![value.into()]),
        }
    }
}

/// Ports `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port, not below `first`.
    pub last: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    /// Whether the range covers a port.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// A protocol with ports, as a rule names them; those of ICMP are its types.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortMatch {
    /// Ports of a protocol; [`PortRange::ALL`] is the whole protocol.
    Range {
        /// The protocol.
        protocol: Protocol,
        /// The ports.
        ports: PortRange,
    },
    /// The port to which the destination pod gives this name.
    Named {
        /// The protocol, or `None` for whichever the pod gives it.
        protocol: Option<Protocol>,
        /// The name.
        name: Box<str>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_contradicts_itself_where_no_labels_match() {
        let of = |values: &[&str]| values.iter().map(|value| Box::from(*value)).collect();
        let is = |values: &[&str]| Operator::In(of(values));
        let not = |values: &[&str]| Operator::NotIn(of(values));
        let cases: [(&[Operator], bool); 9] = [
            (&[is(&["a"]), not(&["a"])], true),
            (&[is(&["a", "b"]), not(&["a"])], false),
            (&[is(&["a"]), is(&["b"])], true),
            (&[is(&["a", "b"]), is(&["b", "c"]), not(&["c"])], false),
            (&[is(&["a", "b"]), is(&["b", "c"]), not(&["b"])], true),
            (&[Operator::Exists, Operator::DoesNotExist], true),
            (&[is(&["a"]), Operator::DoesNotExist], true),
            (&[not(&["a"]), Operator::DoesNotExist], false),
            (&[not(&["a"]), Operator::Exists], false),
        ];
        for (operators, expected) in cases {
            let selector: Selector = operators
                .iter()
                .map(|operator| Requirement {
                    key: "k".into(),
                    operator: operator.clone(),
                })
                .collect();
            let found = selector.contradiction();
            assert_eq!(found, expected.then_some("k"), "{operators:?}");
            let labels = [None, Some("a"), Some("b"), Some("c"), Some("other")];
            let matches = labels.into_iter().any(|value| {
                selector.matches(&value.map(|value| ("k", value)).into_iter().collect())
            });
            assert_eq!(!matches, expected, "{operators:?}");
        }
    }
}
