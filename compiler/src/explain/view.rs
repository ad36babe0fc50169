//! One side of a flow, as the rules of that side see it.

use super::report::{Exempt, Party, PartyKind};
use super::{Asked, Context};
use crate::hir::flow::{Endpoint, EndpointKind, Flow};
use crate::hir::spec::precedence::{self, Question};
use crate::hir::spec::{self, Exemption, Side, Truth, Verdict};
use crate::hir::{
    Action, Direction, Mode, Peer, Policy, PortMatch, Resolution, Rule, RuleId, Tier,
};
use crate::identity::Identity;

/// A side of a flow with what is needed to judge it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) flow: &'a Flow<'a>,
    pub(crate) direction: Direction,
    /// The last port, where the flow stands for a range of them.
    pub(crate) last: Option<u16>,
    /// The end whose policies are asked, as it is shown.
    pub(crate) own: &'a Party,
    /// The other end as it is shown.
    pub(crate) party: &'a Party,
}

impl<'a> View<'a> {
    pub(crate) fn of(context: Context<'a>, asked: &'a Asked<'a>, direction: Direction) -> Self {
        let (own, party) = match direction {
            Direction::Egress => (&asked.src, &asked.dst),
            Direction::Ingress => (&asked.dst, &asked.src),
        };
        Self {
            context,
            flow: &asked.flow,
            direction,
            last: asked.last,
            own,
            party,
        }
    }

    /// The end whose policies are asked.
    pub(crate) fn governed(self) -> &'a Endpoint<'a> {
        match self.direction {
            Direction::Ingress => &self.flow.dst,
            Direction::Egress => &self.flow.src,
        }
    }

    /// Why no policy is asked.
    pub(crate) fn exempt(self, exemption: Exemption) -> Exempt {
        match (exemption, &self.governed().kind, self.own.kind) {
            (Exemption::NotEnforced, ..) => Exempt::NotEnforced,
            (Exemption::FragmentationNeeded, ..) => Exempt::FragmentationNeeded,
            (Exemption::Itself, ..) => Exempt::Itself,
            (Exemption::NotAPod, EndpointKind::Outside, _) => Exempt::Outside,
            (Exemption::NotAPod, EndpointKind::Node(_) | EndpointKind::Pod(_), PartyKind::Pod) => {
                Exempt::HostNetwork
            }
            (Exemption::NotAPod, EndpointKind::Node(_) | EndpointKind::Pod(_), _) => Exempt::Node,
        }
    }

    /// The end that rules look at.
    pub(crate) fn other(self) -> &'a Endpoint<'a> {
        match self.direction {
            Direction::Ingress => &self.flow.src,
            Direction::Egress => &self.flow.dst,
        }
    }

    /// What the end whose policies are asked is to the flow.
    pub(crate) fn governed_word(self) -> &'static str {
        match self.direction {
            Direction::Ingress => "destination",
            Direction::Egress => "source",
        }
    }

    /// What the other end is to the flow.
    pub(crate) fn other_word(self) -> &'static str {
        match self.direction {
            Direction::Ingress => "source",
            Direction::Egress => "destination",
        }
    }

    /// The question of this side, where precedence decides; `None` also where no policy is asked.
    fn by_precedence(self) -> Option<Question<'a>> {
        let policies = self.context.policies;
        match &policies.resolution {
            Resolution::Precedence(enforcement) => {
                Question::new(policies, enforcement, self.flow, self.direction).ok()
            }
            Resolution::Isolation => None,
        }
    }

    /// What the other end may be to rules, where precedence decides.
    pub(crate) fn identities(self) -> Vec<Identity> {
        self.by_precedence()
            .map_or(Vec::new(), |question| question.others().to_vec())
    }

    /// The policies that are asked.
    pub(crate) fn governing(self) -> impl Iterator<Item = &'a Policy> {
        if let Resolution::Precedence(_) = self.context.policies.resolution {
            let governing = self.by_precedence();
            let governing = governing.map_or(Vec::new(), |question| question.governing().collect());
            return governing.into_iter();
        }
        let policies = self.context.policies.policies.iter();
        let governing = policies.filter(move |policy| match &self.governed().kind {
            EndpointKind::Pod(pod) => spec::governs(policy, pod),
            EndpointKind::Node(_) | EndpointKind::Outside => false,
        });
        governing.collect::<Vec<_>>().into_iter()
    }

    /// Whether it is open if a policy is asked: it hangs on the address of the end.
    pub(crate) fn may_govern(self, policy: &Policy) -> bool {
        let question = self.by_precedence();
        question.is_some_and(|question| question.governs(policy) == Truth::Unknown)
    }

    pub(crate) fn peers_match(self, rule: &Rule) -> Truth {
        self.by_precedence().map_or_else(
            || spec::peers_match(self.context.world(), self.tier(rule), rule, self.other()),
            |question| question.peers_match(rule),
        )
    }

    /// The tier of a rule.
    pub(crate) fn tier(self, rule: &Rule) -> Tier {
        let policy = self.context.policies.rule(rule.id);
        policy.map_or(Tier::Namespace, |(policy, _)| policy.tier)
    }

    pub(crate) fn peer_matches(self, tier: Tier, peer: &Peer) -> Truth {
        self.by_precedence().map_or_else(
            || spec::peer_matches(self.context.world(), tier, peer, self.other()),
            |question| question.peer_matches(peer),
        )
    }

    pub(crate) fn ports_match(self, rule: &Rule) -> Truth {
        self.by_precedence().map_or_else(
            || spec::ports_match(self.tier(rule), rule, self.flow),
            |question| question.ports_match(rule),
        )
    }

    pub(crate) fn port_matches(self, tier: Tier, port: &PortMatch) -> Truth {
        self.by_precedence().map_or_else(
            || spec::port_matches(tier, port, self.flow),
            |question| question.port_matches(port),
        )
    }

    pub(crate) fn matches(self, rule: &Rule) -> Truth {
        self.peers_match(rule).min(self.ports_match(rule))
    }

    /// Rules with their policies.
    pub(crate) fn rules(
        self,
        ids: &'a [RuleId],
    ) -> impl DoubleEndedIterator<Item = (&'a Policy, &'a Rule)> + Clone {
        let policies = self.context.policies;
        ids.iter().filter_map(move |id| policies.rule(*id))
    }

    /// Whether isolation has a say: a policy isolates, no rule of tier Admin is final before, and the other
    /// end is not the pod's own node.
    pub(crate) fn is_isolated(self, side: &'a Side) -> bool {
        if let Resolution::Precedence(enforcement) = &self.context.policies.resolution {
            let is_final = |(_, rule): (_, &Rule)| {
                rule.action != Action::Pass && self.matches(rule) == Truth::Yes
            };
            let denies = !side.isolated_by.is_empty() || enforcement.mode == Mode::Always;
            let may_deny = side.verdict != Verdict::Allow || side.audited != Truth::No;
            return denies && may_deny && !self.rules(&side.rules).any(is_final);
        }
        let mut admin = self
            .rules(&side.rules)
            .filter(|(policy, _)| policy.tier == Tier::Admin);
        let is_final =
            |(_, rule): (_, &Rule)| rule.action != Action::Pass && self.matches(rule) == Truth::Yes;
        let passes = admin.clone().any(|(_, rule)| rule.action == Action::Pass);
        !side.isolated_by.is_empty()
            && !self.is_never_kept_apart()
            && (passes || !admin.any(is_final))
    }

    /// Whether isolation does not keep the end from the other: that is its own node, or itself.
    fn is_never_kept_apart(self) -> bool {
        self.is_with_itself()
            || match &self.governed().kind {
                EndpointKind::Pod(pod) => spec::is_own_node(pod, self.other()),
                EndpointKind::Node(_) | EndpointKind::Outside => false,
            }
    }

    /// Whether both ends are one pod.
    pub(crate) fn is_with_itself(self) -> bool {
        match &self.governed().kind {
            EndpointKind::Pod(pod) => spec::is_same_pod(pod, self.other()),
            EndpointKind::Node(_) | EndpointKind::Outside => false,
        }
    }

    /// What denies this side last, where the side does not allow.
    pub(crate) fn stop(self, side: &'a Side) -> Option<Stop<'a>> {
        if side.verdict == Verdict::Allow || side.exempt.is_some() {
            return None;
        }
        if self.is_isolated(side) {
            return Some(Stop::Isolation);
        }
        self.rules(&side.rules)
            .rfind(|(_, rule)| rule.action == Action::Deny)
            .map(|(policy, rule)| Stop::Rule(policy, rule))
    }
}

/// What denies a side last: rules that are asked before it could have turned the side.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop<'a> {
    /// The silence of the policies that isolate.
    Isolation,
    /// A rule.
    Rule(&'a Policy, &'a Rule),
}

impl Stop<'_> {
    /// The tier in which the flow is denied.
    pub(crate) fn tier(self) -> Tier {
        match self {
            Self::Isolation => Tier::Namespace,
            Self::Rule(policy, _) => policy.tier,
        }
    }

    /// Whether a rule is asked before it and would let the flow past it, where precedence decides.
    pub(crate) fn is_outranked_by(self, policy: &Policy, rule: &Rule) -> bool {
        let place = |policy: &Policy, rule: &Rule| {
            let order = precedence::order(rule.action, rule.precedence);
            (policy.tier, order)
        };
        match (self, rule.action) {
            (_, Action::Deny) | (Self::Isolation, Action::Pass) => false,
            (Self::Isolation, Action::Allow) => true,
            (Self::Rule(denying, last), Action::Allow) => {
                place(policy, rule) < place(denying, last)
            }
            (Self::Rule(denying, last), Action::Pass) => {
                policy.tier == denying.tier && place(policy, rule) < place(denying, last)
            }
        }
    }

    /// Whether a rule is asked before it and would let the flow past it.
    pub(crate) fn is_behind(self, policy: &Policy, rule: &Rule) -> bool {
        match (self, rule.action) {
            (_, Action::Deny) | (Self::Isolation, Action::Pass) => false,
            (Self::Isolation, Action::Allow) => policy.tier != Tier::Baseline,
            (Self::Rule(denying, last), Action::Allow) => is_before(policy, rule, denying, last),
            // To leave an earlier tier does not keep a flow from a later one.
            (Self::Rule(denying, last), Action::Pass) => {
                policy.tier == denying.tier && is_before(policy, rule, denying, last)
            }
        }
    }
}

/// Whether a rule is, or may be, asked before another one.
fn is_before(policy: &Policy, rule: &Rule, other: &Policy, last: &Rule) -> bool {
    if policy.id == other.id {
        return rule.id < last.id;
    }
    (policy.tier, policy.priority) <= (other.tier, other.priority)
}
