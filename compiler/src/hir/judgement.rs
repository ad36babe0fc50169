//! What an engine answers: a verdict for the flow and for each side, with the rules that lead to it.
//!
//! Citations as in [`super::spec`].

use super::{Auth, PolicyId, RuleId};

/// Whether something holds, as far as the snapshot tells. Ordered, so that "and" is the least and "or" the
/// greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Truth {
    /// It does not.
    No,
    /// The snapshot lacks what would tell.
    Unknown,
    /// It does.
    Yes,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

/// The answer for a side or a whole flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It does not pass.
    Deny,
    /// It hangs on something that the snapshot or the API leaves open.
    Depends,
    /// It passes by way of a proxy, which may refuse what it carries.
    Redirect,
}

/// The answer for a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The answer of both sides together.
    pub verdict: Verdict,
    /// The source's side.
    pub egress: Side,
    /// The destination's side.
    pub ingress: Side,
}

impl Default for Judgement {
    /// That of two sides that no policy was asked about.
    fn default() -> Self {
        Self {
            verdict: Verdict::Allow,
            egress: Side::default(),
            ingress: Side::default(),
        }
    }
}

/// The answer of one side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Side {
    /// The answer.
    pub verdict: Verdict,
    /// Why no policy is asked, where none is.
    pub exempt: Option<Exemption>,
    /// The rules that decide, in the order in which they are asked. Several where they decide together, or
    /// where it is open which of them does.
    pub rules: Vec<RuleId>,
    /// The policies that isolate the endpoint in this direction.
    pub isolated_by: Vec<PolicyId>,
    /// What the ends must prove first, where a rule says so.
    pub auth: Option<Auth>,
    /// Whether it passes only because what is denied is let through and recorded.
    pub audited: Truth,
}

impl Default for Side {
    /// A side that no policy was asked about: it allows.
    fn default() -> Self {
        Self {
            verdict: Verdict::Allow,
            exempt: None,
            rules: Vec::new(),
            isolated_by: Vec::new(),
            auth: None,
            audited: Truth::No,
        }
    }
}

impl Side {
    /// A side that no policy is asked about, for a reason.
    pub(crate) fn exempt(exemption: Exemption) -> Self {
        Self {
            exempt: Some(exemption),
            ..Self::default()
        }
    }

    /// Makes it one that no policy was asked about, with the room that it has for rules.
    pub(crate) fn clear(&mut self) {
        let Self {
            mut rules,
            mut isolated_by,
            ..
        } = std::mem::take(self);
        rules.clear();
        isolated_by.clear();
        self.rules = rules;
        self.isolated_by = isolated_by;
    }
}

/// Why a side allows without asking a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exemption {
    /// The end is no pod: nothing selects it. \[NP\] leaves host-networked pods to the implementation, which the
    /// settings say; \[CNP\] excludes them.
    NotAPod,
    /// Both ends are the same pod: "a Pod cannot block access to itself" \[NP\], and "a Pod connecting to its own
    /// Pod IP is not subject to CNP" \[API\].
    Itself,
    /// The switches of the implementation say that no policy is enforced.
    NotEnforced,
    /// It is ICMP that asks for smaller packets, which the implementation always lets through.
    FragmentationNeeded,
}

/// What two sides say together.
#[must_use]
pub fn both(egress: Verdict, ingress: Verdict) -> Verdict {
    match (egress, ingress) {
        (Verdict::Deny, _) | (_, Verdict::Deny) => Verdict::Deny,
        (Verdict::Depends, _) | (_, Verdict::Depends) => Verdict::Depends,
        (Verdict::Redirect, _) | (_, Verdict::Redirect) => Verdict::Redirect,
        (Verdict::Allow, Verdict::Allow) => Verdict::Allow,
    }
}
