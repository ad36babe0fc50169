//! The definition of [`Resolution::Precedence`](crate::hir::Resolution): what Cilium makes of a policy set.
//!
//! Transcribed from Cilium 1.20 (`pkg/policy`: `repository.go`, `types/policyentry.go`, `types/entry.go`,
//! `mapstate.go`; `bpf/lib/policy.h`) as a walk over rules instead of a table: Cilium's table gives every packet the
//! entry of the highest precedence among those that cover it, and precedence is made of tier, priority and, in one
//! priority, of what the entry does. What the snapshot does not tell is [`Truth::Unknown`], as in
//! [the other definition](super).

pub(crate) mod matches;

use super::{Exemption, Side, Truth, Verdict, is_same_pod};
use crate::cluster::Protocol;
use crate::hir::flow::{EndpointKind, Flow};
use crate::hir::{
    Action, Auth, Direction, Enforcement, Mode, Policy, PolicySet, PortMatch, Precedence, Rule,
    RuleId, Subject, Tier,
};
use crate::identity::{Identity, key};
use matches::{agreed, identities_of, known, pods, port_matches};
pub use matches::{is_named_port, peer_selects};

/// The outcomes that asking some rules may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcomes {
    allow: bool,
    redirect: bool,
    deny: bool,
    pass: bool,
    /// No rule matches.
    none: bool,
}

impl Outcomes {
    fn add(&mut self, rule: &Rule) {
        match (rule.action, rule.precedence.redirect) {
            (Action::Allow, None) => self.allow = true,
            (Action::Allow, Some(_)) => self.redirect = true,
            (Action::Deny, _) => self.deny = true,
            (Action::Pass, _) => self.pass = true,
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            allow: self.allow || other.allow,
            redirect: self.redirect || other.redirect,
            deny: self.deny || other.deny,
            pass: self.pass || other.pass,
            none: self.none || other.none,
        }
    }

    fn verdict(self) -> Verdict {
        match (self.allow, self.redirect, self.deny) {
            (true, false, false) => Verdict::Allow,
            (false, true, false) => Verdict::Redirect,
            (false, false, true) => Verdict::Deny,
            (true, true, _) | (true, _, true) | (_, true, true) | (false, false, false) => {
                Verdict::Depends
            }
        }
    }
}

/// Judges one side of a flow.
#[must_use]
pub fn judge_side(
    policies: &PolicySet,
    enforcement: &Enforcement,
    flow: &Flow<'_>,
    direction: Direction,
) -> Side {
    match Question::new(policies, enforcement, flow, direction) {
        Ok(question) => judged(&question, &question.governing_each()),
        Err(exemption) => Side::exempt(exemption),
    }
}

/// A rule that matches: the tier of its policy, and how it does.
pub type Matching<'a> = (Tier, Truth, &'a Rule);

/// Judges one side of a flow by the policies that [govern](Question::governing) its subject and by those of their rules
/// that match: of each thing that the other end may be, as [`others`] counts them, but for those of which another says the
/// same. What isolates is not named.
#[must_use]
pub fn judge_by_rules(
    policies: &PolicySet,
    enforcement: &Enforcement,
    governing: &[&Policy],
    matching: &[(usize, Vec<Matching<'_>>)],
    flow: &Flow<'_>,
    direction: Direction,
) -> Side {
    let question = match Question::new(policies, enforcement, flow, direction) {
        Ok(question) => question,
        Err(exemption) => return Side::exempt(exemption),
    };
    let mut side = Side::default();
    let mut outcomes = Outcomes::default();
    for (other, matching) in matching {
        let Some(other) = question.others.get(*other) else {
            continue;
        };
        let found = question.tiers(governing, matching, other, &mut side.rules);
        outcomes = outcomes.or(found);
    }
    settled(&question, governing, outcomes, side)
}

/// Everything that the other end of a flow may be, whatever the packet, and whether it is nothing of the cluster's.
#[must_use]
pub fn others(
    enforcement: &Enforcement,
    flow: &Flow<'_>,
    direction: Direction,
) -> (Vec<Identity>, bool) {
    let (own, other) = match direction {
        Direction::Ingress => (&flow.dst, &flow.src),
        Direction::Egress => (&flow.src, &flow.dst),
    };
    let node = match &own.seen_in(Tier::Admin).kind {
        EndpointKind::Pod(pod) => pod.node,
        EndpointKind::Node(node) => node.id,
        EndpointKind::Outside => None,
    };
    let other = other.seen_in(Tier::Admin);
    let is_outside = matches!(other.kind, EndpointKind::Outside);
    (identities_of(enforcement, &other, node), is_outside)
}

/// Judges one side of a flow whose other end has this identity, whatever its address would say, by the policies that
/// [govern](governs) its subject.
#[must_use]
pub fn judge_identity(
    policies: &PolicySet,
    enforcement: &Enforcement,
    governing: &[&Policy],
    flow: &Flow<'_>,
    direction: Direction,
    other: &Identity,
) -> Side {
    let question = match Question::new(policies, enforcement, flow, direction) {
        Ok(question) => Question {
            others: vec![other.clone()],
            // The names that an identity has are among its labels.
            is_outside: false,
            ..question
        },
        Err(exemption) => return Side::exempt(exemption),
    };
    judged(&question, &[governing.to_vec()])
}

/// By the policies that govern the subject: by each list of them, where it is open what the subject is.
fn judged(question: &Question<'_>, governing: &[Vec<&Policy>]) -> Side {
    let mut side = Side::default();
    let mut outcomes = Outcomes::default();
    for governing in governing {
        for policy in governing {
            let isolates = *policy.isolates.get(question.direction);
            if isolates && !side.isolated_by.contains(&policy.id) {
                side.isolated_by.push(policy.id);
            }
        }
        for other in &question.others {
            let matching = question.matching(governing, other);
            let found = question.tiers(governing, &matching, other, &mut side.rules);
            outcomes = outcomes.or(found);
        }
    }
    settled(question, &governing.concat(), outcomes, side)
}

/// A side of which it was found what the rules say that decide. What the ends must prove hangs on the verdict.
fn settled(
    question: &Question<'_>,
    governing: &[&Policy],
    outcomes: Outcomes,
    mut side: Side,
) -> Side {
    side.verdict = outcomes.verdict();
    side.auth = question.auth(governing, &side);
    if question.enforcement.audits {
        audit(&mut side, outcomes);
    }
    side
}

/// What becomes of a side where what is denied is only recorded: the lookup fails where a rule denies, where none allows and
/// where the ends have not authenticated, and any of it passes. `bpf/lib/policy.h`, `policy_can_access`
fn audit(side: &mut Side, outcomes: Outcomes) {
    let lacks_auth = matches!(side.auth, Some(Auth::Required | Auth::AlwaysFails));
    if lacks_auth {
        side.verdict = Verdict::Allow;
        side.audited = Truth::Yes;
        side.auth = None;
    } else if outcomes.deny && !outcomes.redirect {
        side.verdict = Verdict::Allow;
        side.audited = if outcomes.allow {
            Truth::Unknown
        } else {
            Truth::Yes
        };
    }
}

/// One side of a flow with what its ends are to rules.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    policies: &'a PolicySet,
    enforcement: &'a Enforcement,
    flow: &'a Flow<'a>,
    direction: Direction,
    /// What the endpoint may be whose policies are asked: one identity where the snapshot tells. They differ in labels of
    /// blocks alone.
    subjects: Vec<Identity>,
    /// What the other end may be, in the same way.
    others: Vec<Identity>,
    /// Whether the other end is nothing of the cluster's.
    is_outside: bool,
}

impl<'a> Question<'a> {
    /// The question.
    ///
    /// # Errors
    /// Why no policy is asked. A pod's traffic to itself does not leave it; nodes are governed by a switch of their
    /// own; and a message that asks for smaller packets passes before policy is looked up.
    pub fn new(
        policies: &'a PolicySet,
        enforcement: &'a Enforcement,
        flow: &'a Flow<'a>,
        direction: Direction,
    ) -> Result<Self, Exemption> {
        let (own, other) = match direction {
            Direction::Ingress => (&flow.dst, &flow.src),
            Direction::Egress => (&flow.src, &flow.dst),
        };
        // Pods on the network of their node are the node to every tier.
        let (own, other) = (own.seen_in(Tier::Admin), other.seen_in(Tier::Admin));
        let identities = &enforcement.identities;
        let (subjects, node) = match &own.kind {
            EndpointKind::Pod(pod) if is_same_pod(pod, &other) => return Err(Exemption::Itself),
            EndpointKind::Pod(pod) => (pods(enforcement, pod, own.address), pod.node),
            EndpointKind::Node(node) if enforcement.governs_nodes => {
                let host = identities.node(node.id, known(own.address), node.id);
                let host = host.first().copied().cloned();
                (vec![host.unwrap_or_default()], node.id)
            }
            EndpointKind::Node(_) | EndpointKind::Outside => return Err(Exemption::NotAPod),
        };
        if enforcement.mode == Mode::Never {
            return Err(Exemption::NotEnforced);
        }
        let asks_for_smaller =
            flow.transport.protocol == Protocol::ICMP && flow.transport.icmp == Some((3, 4));
        if enforcement.allows_fragmentation_needed && asks_for_smaller {
            return Err(Exemption::FragmentationNeeded);
        }
        Ok(Self {
            policies,
            enforcement,
            flow,
            direction,
            subjects,
            others: identities_of(enforcement, &other, node),
            is_outside: matches!(other.kind, EndpointKind::Outside),
        })
    }

    /// The policies that have the endpoint as their subject, or may have it where it is open what it is.
    pub fn governing(&self) -> impl Iterator<Item = &'a Policy> {
        let policies = self.policies.policies.iter();
        policies.filter(|policy| {
            let mut subjects = self.subjects.iter();
            subjects.any(|subject| has_subject(&policy.subject, subject))
        })
    }

    /// Whether a policy has the endpoint as its subject.
    #[must_use]
    pub fn governs(&self, policy: &Policy) -> Truth {
        let subjects = self.subjects.iter();
        agreed(subjects.map(|subject| has_subject(&policy.subject, subject).into()))
    }

    /// The policies that govern what the endpoint may be, equal lists once.
    fn governing_each(&self) -> Vec<Vec<&'a Policy>> {
        let mut lists: Vec<Vec<&Policy>> = Vec::new();
        for subject in &self.subjects {
            let policies = self.policies.policies.iter();
            let governing = policies.filter(|policy| has_subject(&policy.subject, subject));
            let governing: Vec<&Policy> = governing.collect();
            let ids = |list: &[&Policy]| -> Vec<_> { list.iter().map(|one| one.id).collect() };
            if !lists.iter().any(|known| ids(known) == ids(&governing)) {
                lists.push(governing);
            }
        }
        lists
    }

    /// Whether the endpoint has a label of the implementation's own.
    fn is_reserved(&self, key: &str) -> bool {
        let mut subjects = self.subjects.iter();
        subjects.any(|subject| subject.labels.has_reserved(key))
    }

    /// The rules that match, with the tiers of their policies.
    fn matching<'p>(
        &self,
        governing: &[&'p Policy],
        other: &Identity,
    ) -> Vec<(Tier, Truth, &'p Rule)> {
        let rules = governing.iter().flat_map(|policy| {
            let rules = policy.rules.get(self.direction).iter();
            rules.map(|rule| (policy.tier, rule))
        });
        // Ports are numbers, and labels are texts: most rules are done with by the former.
        let by_ports = rules.map(|(tier, rule)| (tier, self.ports_match(rule), rule));
        by_ports
            .filter(|(_, ports, _)| *ports != Truth::No)
            .map(|(tier, ports, rule)| (tier, ports.min(self.peers(rule, other)), rule))
            .filter(|(_, truth, _)| *truth != Truth::No)
            .collect()
    }

    /// All tiers: the first in which a rule decides. A pass leads to the next, and from the last to what holds by
    /// default.
    fn tiers(
        &self,
        governing: &[&Policy],
        matching: &[(Tier, Truth, &Rule)],
        other: &Identity,
        rules: &mut Vec<RuleId>,
    ) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for tier in [Tier::Admin, Tier::Namespace, Tier::Baseline] {
            let found = self::tier(tier, matching, rules);
            outcomes = outcomes.or(Outcomes {
                pass: false,
                none: false,
                ..found
            });
            if !found.pass && !found.none {
                return outcomes;
            }
        }
        if self.allows_by_default(governing, other) {
            outcomes.allow = true;
        } else {
            outcomes.deny = true;
        }
        outcomes
    }

    /// What holds where no rule decides: the rules that Cilium adds in a tier behind all others. An endpoint that no
    /// policy selects, or only such as deny nothing by default, allows; else its own node may reach it, in 1.20 if a
    /// policy has a say on ingress at all.
    fn allows_by_default(&self, governing: &[&Policy], other: &Identity) -> bool {
        let isolates = |policy: &&Policy| *policy.isolates.get(self.direction);
        let has_say =
            |policy: &&Policy| isolates(policy) || !policy.rules.get(self.direction).is_empty();
        let denies = governing.iter().any(isolates)
            || self.enforcement.mode == Mode::Always
            || self.is_reserved(key::INIT);
        let is_own_node = self.direction == Direction::Ingress
            && self.enforcement.allows_own_node
            && other.labels.has_reserved(key::HOST)
            && !self.is_reserved(key::HOST);
        !denies
            || is_own_node
                && (!self.enforcement.own_node_needs_rule || governing.iter().any(has_say))
    }

    /// What the ends must prove where a side allows: of the rules that decide, that of the narrowest ports that says
    /// so. A pass in the direction keeps rules from handing down what they ask to narrower ones.
    fn auth(&self, governing: &[&Policy], side: &Side) -> Option<Auth> {
        let rules = side.rules.iter().filter_map(|id| self.policies.rule(*id));
        let allowing = rules.filter(|(_, rule)| rule.action == Action::Allow);
        let mut saying: Vec<(u32, Option<Auth>)> = allowing
            .map(|(_, rule)| (self.width(rule), rule.precedence.auth))
            .collect();
        if saying.iter().all(|(_, auth)| auth.is_none()) {
            return None;
        }
        saying.sort();
        let all = governing
            .iter()
            .flat_map(|policy| policy.rules.get(self.direction));
        if all.into_iter().any(|rule| rule.action == Action::Pass) {
            let narrowest = saying.first().map(|(width, _)| *width);
            saying.retain(|(width, _)| Some(*width) == narrowest);
        }
        let passes = matches!(side.verdict, Verdict::Allow | Verdict::Redirect);
        saying
            .into_iter()
            .find_map(|(_, auth)| auth)
            .filter(|_| passes)
    }

    fn width(&self, rule: &Rule) -> u32 {
        width(self.enforcement, rule, self.flow, self.direction)
    }
}

/// How many ports the narrowest item of a rule has that covers a flow.
pub(crate) fn width(
    enforcement: &Enforcement,
    rule: &Rule,
    flow: &Flow<'_>,
    direction: Direction,
) -> u32 {
    let items = rule.ports.iter().flatten();
    let covering =
        items.filter(|port| port_matches(enforcement, port, flow, direction) == Truth::Yes);
    let widths = covering.map(|port| match port {
        PortMatch::Range { ports, .. } => u32::from(ports.last - ports.first) + 1,
        PortMatch::Named { .. } => 1,
    });
    widths.min().unwrap_or(u32::MAX)
}

/// One tier: the rule of the lowest rank decides, and in one rank deny before redirect before allow before pass.
fn tier(tier: Tier, matching: &[(Tier, Truth, &Rule)], found: &mut Vec<RuleId>) -> Outcomes {
    let own = matching.iter().filter(|(of, ..)| *of == tier);
    let mut matching: Vec<(Truth, &Rule)> = own.map(|(_, truth, rule)| (*truth, *rule)).collect();
    let order = |rule: &Rule| order(rule.action, rule.precedence);
    matching.sort_by_key(|(_, rule)| (order(rule), rule.id));
    let mut outcomes = Outcomes {
        none: true,
        ..Outcomes::default()
    };
    for level in matching.chunk_by(|(_, one), (_, two)| order(one) == order(two)) {
        for (_, rule) in level {
            outcomes.add(rule);
            if !found.contains(&rule.id) {
                found.push(rule.id);
            }
        }
        if level.iter().any(|(truth, _)| *truth == Truth::Yes) {
            outcomes.none = false;
            break;
        }
    }
    outcomes
}

/// Whether a policy has an endpoint or a node of this identity as its subject.
#[must_use]
pub fn governs(policy: &Policy, subject: &Identity) -> bool {
    has_subject(&policy.subject, subject)
}

/// Whether a policy has an endpoint as its subject.
pub(crate) fn has_subject(subject: &Subject, endpoint: &Identity) -> bool {
    let is_node = endpoint.labels.has_reserved(key::HOST);
    match subject {
        Subject::Endpoints(selector) => !is_node && selector.matches(endpoint),
        Subject::Nodes(selector) => is_node && selector.matches_subject(endpoint),
        Subject::Pods(_) => false,
    }
}

/// What comes first in a tier.
#[must_use]
pub fn order(action: Action, precedence: Precedence) -> (u32, u8) {
    let strength = match (action, precedence.redirect) {
        (Action::Deny, _) => 0,
        (Action::Allow, Some(redirect)) => redirect.priority,
        (Action::Allow, None) => 254,
        (Action::Pass, _) => 255,
    };
    (precedence.rank, strength)
}
