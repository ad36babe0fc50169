//! The definition of the semantics: what a policy set says of a flow.
//!
//! Small enough to be read beside the documents that it transcribes, and never optimised. Every other engine
//! is held to it. Citations: \[NP\] the NetworkPolicy API and its concept page
//! (<https://kubernetes.io/docs/concepts/services-networking/network-policies/>), \[ANP\] the v1alpha1 types
//! and \[CNP\] the v1alpha2 types of <https://github.com/kubernetes-sigs/network-policy-api>, and the
//! documentation of API fields named there, \[API\] their overview
//! (<https://network-policy-api.sigs.k8s.io/api-overview/>).
//!
//! What the snapshot does not tell is [`Truth::Unknown`], and the outcome of a side is the set of outcomes
//! that it may have. Unknown matches are taken as independent of each other.

mod matches;
pub mod precedence;

pub use super::judgement::{Exemption, Judgement, Side, Truth, Verdict, both};
pub use matches::{governs, peer_matches, peers_match, port_matches, ports_match, selects};

use super::flow::{Endpoint, EndpointKind, Flow, PodView};
use super::{Action, Direction, Policy, PolicyId, PolicySet, Resolution, Rule, RuleId, Tier};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What there is to judge by.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// The policies.
    pub policies: &'a PolicySet,
    /// DNS answers that were seen, by name: lower case, without the final dot.
    pub names: &'a BTreeMap<Box<str>, Vec<IpAddr>>,
}

/// The outcomes that asking some rules may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outcomes {
    allow: bool,
    deny: bool,
    pass: bool,
    /// No rule matches.
    none: bool,
}

impl Outcomes {
    const NEVER: Self = Self {
        allow: false,
        deny: false,
        pass: false,
        none: false,
    };
    const NONE: Self = Self {
        none: true,
        ..Self::NEVER
    };

    fn add(&mut self, action: Action) {
        match action {
            Action::Allow => self.allow = true,
            Action::Deny => self.deny = true,
            Action::Pass => self.pass = true,
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            allow: self.allow || other.allow,
            deny: self.deny || other.deny,
            pass: self.pass || other.pass,
            none: self.none || other.none,
        }
    }
}

/// Judges a flow. It passes when the source's egress and the destination's ingress both allow it \[NP\].
///
/// The flow is the first packet of a connection: "reply traffic for those allowed connections will also be implicitly
/// allowed" \[NP\], and what is accepted covers replies and related ICMP errors \[CNP, field `action`\], so nobody asks
/// about them.
#[must_use]
pub fn judge(world: World<'_>, flow: &Flow<'_>) -> Judgement {
    let egress = judge_side(world, flow, Direction::Egress);
    let ingress = judge_side(world, flow, Direction::Ingress);
    Judgement {
        verdict: both(egress.verdict, ingress.verdict),
        egress,
        ingress,
    }
}

/// Judges one side of a flow.
///
/// Order \[CNP, field `tier`\]: the Admin tier; then the policies of the namespace, which decide alone where
/// they isolate the pod; else the Baseline tier; else it is allowed.
///
/// "A Pod connecting to a Service IP that the service proxy load-balances back to the same Pod is subject to
/// ClusterNetworkPolicy" \[API\]: its tiers are asked, and the policies of the namespace allow it.
#[must_use]
pub fn judge_side(world: World<'_>, flow: &Flow<'_>, direction: Direction) -> Side {
    if let Resolution::Precedence(enforcement) = &world.policies.resolution {
        return precedence::judge_side(world.policies, enforcement, flow, direction);
    }
    let subject = match direction {
        Direction::Ingress => &flow.dst,
        Direction::Egress => &flow.src,
    };
    let governing = match &subject.kind {
        EndpointKind::Pod(pod) => {
            let policies = world.policies.policies.iter();
            policies.filter(|policy| governs(policy, pod)).collect()
        }
        EndpointKind::Node(_) | EndpointKind::Outside => Vec::new(),
    };
    judge_by(world, &governing, flow, direction)
}

/// Judges one side of a flow by the policies that [govern](governs) its subject, in the order of their set, as
/// [`Resolution::Isolation`] has it.
#[must_use]
pub fn judge_by(
    world: World<'_>,
    governing: &[&Policy],
    flow: &Flow<'_>,
    direction: Direction,
) -> Side {
    let other = match direction {
        Direction::Ingress => &flow.src,
        Direction::Egress => &flow.dst,
    };
    judge_by_rules(governing, flow, direction, &|tier, rule| {
        rule_matches(world, tier, rule, other, flow)
    })
}

/// Whether a rule matches a flow: when one of its peers and one of its ports does. A list that is not given matches
/// everything \[NP\].
fn rule_matches(
    world: World<'_>,
    tier: Tier,
    rule: &Rule,
    other: &Endpoint<'_>,
    flow: &Flow<'_>,
) -> Truth {
    peers_match(world, tier, rule, other).min(ports_match(tier, rule, flow))
}

/// Judges one side of a flow by the policies that [govern](governs) its subject and by whether each of their rules
/// matches.
#[must_use]
pub fn judge_by_rules(
    governing: &[&Policy],
    flow: &Flow<'_>,
    direction: Direction,
    matches: &dyn Fn(Tier, &Rule) -> Truth,
) -> Side {
    let mut side = Side::default();
    let (subject, other) = match direction {
        Direction::Ingress => (&flow.dst, &flow.src),
        Direction::Egress => (&flow.src, &flow.dst),
    };
    let EndpointKind::Pod(pod) = &subject.kind else {
        side.exempt = Some(Exemption::NotAPod);
        return side;
    };
    let itself = is_same_pod(pod, other);
    if itself && !flow.dst.by_service {
        side.exempt = Some(Exemption::Itself);
        return side;
    }
    let question = Question { matches, direction };
    let never_kept_apart = itself || is_own_node(pod, other);
    let outcomes = question.tiers(governing, never_kept_apart, &mut side);
    side.verdict = match (outcomes.allow, outcomes.deny) {
        (true, true) => Verdict::Depends,
        (_, false) => Verdict::Allow,
        (false, true) => Verdict::Deny,
    };
    side
}

pub(crate) fn is_same_pod(pod: &PodView<'_>, other: &Endpoint<'_>) -> bool {
    matches!(&other.kind, EndpointKind::Pod(peer) if pod.id.is_some() && peer.id == pod.id)
}

/// "Traffic to and from the node where a Pod is running is always allowed, regardless of the IP address of
/// the Pod or the node" \[NP\].
///
/// It stands there alone: the cluster-wide kinds have no such sentence, so their tiers decide about nodes too.
pub(crate) fn is_own_node(pod: &PodView<'_>, other: &Endpoint<'_>) -> bool {
    matches!(&other.kind, EndpointKind::Node(node) if pod.node.is_some() && node.id == pod.node)
}

/// One side of a flow, while its policies are asked.
#[derive(Clone, Copy)]
struct Question<'a> {
    matches: &'a dyn Fn(Tier, &Rule) -> Truth,
    direction: Direction,
}

impl Question<'_> {
    /// All tiers: what comes out is a decision.
    fn tiers(self, governing: &[&Policy], never_kept_apart: bool, side: &mut Side) -> Outcomes {
        let admin = self.ordered(governing, Tier::Admin, &mut side.rules);
        let mut outcomes = Outcomes {
            pass: false,
            none: false,
            ..admin
        };
        let isolating: Vec<PolicyId> = governing
            .iter()
            .filter(|policy| policy.tier == Tier::Namespace && *policy.isolates.get(self.direction))
            .map(|policy| policy.id)
            .collect();
        side.isolated_by = isolating;
        let isolated = !side.isolated_by.is_empty();
        if !admin.pass && !admin.none {
            return outcomes;
        }
        if isolated && never_kept_apart {
            outcomes.allow = true;
            return outcomes;
        }
        if isolated {
            return outcomes.or(self.union(governing, &mut side.rules));
        }
        let baseline = self.ordered(governing, Tier::Baseline, &mut side.rules);
        outcomes = outcomes.or(Outcomes {
            pass: false,
            none: false,
            ..baseline
        });
        // Passed on or matched by nothing: "the default kubernetes policy is applied, which says that all pods
        // can communicate with each other" [CNP, field `tier`].
        outcomes.allow |= baseline.pass || baseline.none;
        outcomes
    }

    /// The policies of a namespace: allowed is what any rule of any of them allows; the rest is denied \[NP\]. "For
    /// other protocols, such as ARP or ICMP, the behaviour is undefined" there: here they are like others.
    fn union(self, governing: &[&Policy], rules: &mut Vec<RuleId>) -> Outcomes {
        let mut best = Truth::No;
        let mut matching = Vec::new();
        for policy in governing
            .iter()
            .filter(|policy| policy.tier == Tier::Namespace)
        {
            for rule in policy.rules.get(self.direction) {
                let truth = (self.matches)(policy.tier, rule);
                best = best.max(truth);
                matching.extend((truth != Truth::No).then_some((truth, rule.id)));
            }
        }
        rules.extend(
            matching
                .into_iter()
                .filter(|(truth, _)| *truth == best)
                .map(|(_, id)| id),
        );
        Outcomes {
            allow: best != Truth::No,
            deny: best != Truth::Yes,
            ..Outcomes::NEVER
        }
    }

    /// A tier in which order decides: lower priorities first \[ANP\] \[CNP, field `priority`\]. Policies of equal
    /// priority may be asked in any order, "and there is no way for the user to reliably determine which". Nothing says
    /// how the two kinds compare, so their priorities are one scale.
    fn ordered(self, governing: &[&Policy], tier: Tier, rules: &mut Vec<RuleId>) -> Outcomes {
        let governing = governing.iter().copied();
        let mut of_tier: Vec<&Policy> = governing.filter(|policy| policy.tier == tier).collect();
        of_tier.sort_by_key(|policy| policy.priority);
        let mut outcomes = Outcomes::NONE;
        for level in of_tier.chunk_by(|one, next| one.priority == next.priority) {
            outcomes.none = false;
            let mut all_may_miss = true;
            for policy in level {
                let first = self.first_match(policy, rules);
                all_may_miss &= first.none;
                outcomes = outcomes.or(Outcomes {
                    none: false,
                    ..first
                });
            }
            outcomes.none = all_may_miss;
            if !all_may_miss {
                break;
            }
        }
        outcomes
    }

    /// "A rule that appears at the top would take the highest precedence" \[CNP, field `ingress`\].
    fn first_match(self, policy: &Policy, rules: &mut Vec<RuleId>) -> Outcomes {
        let mut outcomes = Outcomes::NONE;
        for rule in policy.rules.get(self.direction) {
            let truth = (self.matches)(policy.tier, rule);
            if truth != Truth::No {
                outcomes.add(rule.action);
                rules.push(rule.id);
            }
            if truth == Truth::Yes {
                outcomes.none = false;
                break;
            }
        }
        outcomes
    }
}
