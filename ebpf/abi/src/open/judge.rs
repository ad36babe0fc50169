//! What the policies of a [`World`] say of a flow.
//!
//! Each function here has its counterpart in the definition of the semantics (`hir::spec` of the compiler), where the
//! sources of each sentence are cited; tests hold the two to each other on random worlds.

use super::{
    Address, End, NamedPort, NamespaceSelector, Node, Operator, Peer, Pod, Policy, PortMatch, Rule,
    RuleAction, Tier, Who, World,
};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;

/// Whether something holds, as far as is known. Ordered: "and" is the least, "or" the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It does not.
    No,
    /// What would tell is not known.
    Unknown,
    /// It does.
    Yes,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It does not.
    Deny,
    /// It hangs on something that is not known.
    Depends,
}

/// What one side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// What is said.
    pub verdict: Verdict,
    /// The rules that decide, by their numbers, in the order in which they are asked.
    pub rules: Vec<u32>,
    /// The policies that isolate, by their indices.
    pub isolated_by: Vec<u32>,
}

/// What a packet carries: the protocol, and the destination port where there is one and it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The protocol.
    pub protocol: u8,
    /// The port.
    pub port: Option<u16>,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

impl Packet {
    pub(super) fn has_ports(self) -> bool {
        matches!(self.protocol, TCP | UDP | SCTP)
    }
}

/// What comes in, or what goes out: an index into a policy's rules.
const INGRESS: usize = 0;
const EGRESS: usize = 1;

#[derive(Clone, Copy, Default)]
struct Outcomes {
    allow: bool,
    deny: bool,
    pass: bool,
}

impl Outcomes {
    fn add(&mut self, action: RuleAction) {
        match action {
            RuleAction::Allow => self.allow = true,
            RuleAction::Deny => self.deny = true,
            RuleAction::Pass => self.pass = true,
        }
    }
}

/// One side of a flow, while its policies are asked.
#[derive(Clone, Copy)]
struct Question<'a> {
    world: &'a World,
    other: &'a End,
    dst: &'a Who,
    packet: Packet,
    direction: usize,
    matched: &'a Matched,
}

/// Which lists of peers match an end, as far as they were asked: by list, to the policies of namespaces and to others.
/// Of one end and one world.
#[derive(Default)]
pub(super) struct Matched(RefCell<BTreeMap<(u32, bool), Truth>>);

impl World {
    /// The policies that govern a pod, as ascending indices.
    #[must_use]
    pub fn governing(&self, pod: &Pod) -> Vec<u32> {
        let governs = |policy: &Policy| {
            let sees = match policy.tier {
                Tier::Namespace => true,
                Tier::Admin | Tier::Baseline => pod.host.is_none(),
            };
            let selects = |selector| self.selects(selector, pod);
            sees && policy.subject.is_some_and(selects)
        };
        let policies = (0_u32..).zip(&self.policies);
        policies
            .filter(|(_, policy)| governs(policy))
            .map(|(index, _)| index)
            .collect()
    }

    /// What a pod says of a packet that comes in from another end (`ingress`) or goes out to it. `governing` are the
    /// policies that [govern](Self::governing) it. Nothing keeps a pod from itself at its own address; that is for the
    /// caller to see.
    #[must_use]
    pub fn judge(
        &self,
        pod: &Pod,
        governing: &[u32],
        other: &End,
        ingress: bool,
        packet: Packet,
    ) -> Side {
        self.judge_again(pod, governing, other, ingress, packet, &Matched::default())
    }

    /// As [`Self::judge`], where the same end is asked about many times.
    pub(super) fn judge_again(
        &self,
        pod: &Pod,
        governing: &[u32],
        other: &End,
        ingress: bool,
        packet: Packet,
        matched: &Matched,
    ) -> Side {
        let own;
        let dst = if ingress {
            own = Who::Pod(pod.clone());
            &own
        } else {
            &other.who
        };
        let question = Question {
            world: self,
            other,
            dst,
            packet,
            direction: if ingress { INGRESS } else { EGRESS },
            matched,
        };
        let policies: Vec<&Policy> = governing
            .iter()
            .filter_map(|index| self.policies.get(*index as usize))
            .collect();
        let isolating = governing.iter().zip(&policies).filter(|(_, policy)| {
            policy.tier == Tier::Namespace && of(&policy.isolates, question.direction)
        });
        let mut side = Side {
            verdict: Verdict::Allow,
            rules: Vec::new(),
            isolated_by: isolating.map(|(index, _)| *index).collect(),
        };
        if self.closed {
            side.verdict = Verdict::Depends;
            return side;
        }
        let outcomes = question.tiers(&policies, pod.is_never_kept_from(&other.who), &mut side);
        side.verdict = match (outcomes.allow, outcomes.deny) {
            (true, true) => Verdict::Depends,
            (_, false) => Verdict::Allow,
            (false, true) => Verdict::Deny,
        };
        side
    }

    fn selects(&self, selector: u32, pod: &Pod) -> bool {
        let Some(selector) = self.pod_selectors.get(selector as usize) else {
            return false;
        };
        let namespace = match selector.namespaces {
            NamespaceSelector::Named(name) => name == pod.namespace,
            NamespaceSelector::Labels(labels) => self.matches(labels, &pod.namespace_labels),
        };
        namespace && self.matches(selector.pods, &pod.labels)
    }

    fn matches(&self, selector: u32, labels: &[(u32, u32)]) -> bool {
        let requirements = self.selectors.get(selector as usize);
        requirements.is_some_and(|requirements| {
            requirements.iter().all(|requirement| {
                let value = labels.iter().find(|(key, _)| *key == requirement.key);
                let value = value.map(|(_, value)| value);
                match &requirement.operator {
                    Operator::In(values) => value.is_some_and(|value| values.contains(value)),
                    Operator::NotIn(values) => !value.is_some_and(|value| values.contains(value)),
                    Operator::Exists => value.is_some(),
                    Operator::DoesNotExist => value.is_none(),
                }
            })
        })
    }

    fn covers(&self, name: u32, below: bool, asked: &str) -> bool {
        let own = self.string(name);
        if !below {
            return own == asked;
        }
        asked
            .strip_suffix(own)
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|rest| !rest.is_empty())
    }

    fn domain(&self, name: u32, below: bool, end: &End, outside: bool) -> Truth {
        let answers = self.answers.iter();
        let mut seen = answers
            .filter(|(own, _)| self.covers(name, below, own))
            .peekable();
        let more = below || seen.peek().is_none();
        match end.address {
            Address::Known(address) if seen.any(|(_, known)| known.contains(&address)) => {
                Truth::Yes
            }
            Address::Known(_) if outside && more => Truth::Unknown,
            Address::Unknown { .. } if outside => Truth::Unknown,
            Address::Known(_) | Address::Unknown { .. } => Truth::No,
        }
    }
}

fn of<T: Copy>(both: &[T; 2], direction: usize) -> T {
    let [ingress, egress] = *both;
    if direction == INGRESS {
        ingress
    } else {
        egress
    }
}

impl Policy {
    fn rules_in(&self, direction: usize) -> &[Rule] {
        let [ingress, egress] = &self.rules;
        if direction == INGRESS {
            ingress
        } else {
            egress
        }
    }
}

impl Pod {
    /// Whether the other end is the pod itself or its node.
    fn is_never_kept_from(&self, other: &Who) -> bool {
        match other {
            Who::Pod(other) => self.id.is_some() && other.id == self.id,
            Who::Node(node) => self.node.is_some() && node.id == self.node,
            Who::Outside => false,
        }
    }
}

/// What an end is to a tier: pods on the network of a node are that node to all but the policies of namespaces.
enum Seen<'a> {
    Pod(&'a Pod),
    Node(&'a Node),
    Outside,
}

impl Who {
    fn seen_in(&self, tier: Tier) -> Seen<'_> {
        match (self, tier) {
            (
                Self::Pod(Pod {
                    host: Some(node), ..
                }),
                Tier::Admin | Tier::Baseline,
            ) => Seen::Node(node),
            (Self::Pod(pod), Tier::Admin | Tier::Namespace | Tier::Baseline) => Seen::Pod(pod),
            (Self::Node(node), _) => Seen::Node(node),
            (Self::Outside, _) => Seen::Outside,
        }
    }
}

impl Question<'_> {
    fn tiers(self, governing: &[&Policy], never_kept_apart: bool, side: &mut Side) -> Outcomes {
        let (mut outcomes, open) = self.ordered(governing, Tier::Admin, &mut side.rules);
        let goes_on = outcomes.pass || open;
        outcomes.pass = false;
        if !goes_on {
            return outcomes;
        }
        if !side.isolated_by.is_empty() {
            let best = if never_kept_apart {
                Truth::Yes
            } else {
                self.union(governing, &mut side.rules)
            };
            outcomes.allow |= best != Truth::No;
            outcomes.deny |= best != Truth::Yes;
            return outcomes;
        }
        let (baseline, open) = self.ordered(governing, Tier::Baseline, &mut side.rules);
        outcomes.allow |= baseline.allow || baseline.pass || open;
        outcomes.deny |= baseline.deny;
        outcomes
    }

    /// The greatest truth among all rules; those that have it decide.
    fn union(self, governing: &[&Policy], rules: &mut Vec<u32>) -> Truth {
        let first = rules.len();
        let mut best = Truth::No;
        let policies = governing.iter();
        for policy in policies.filter(|policy| policy.tier == Tier::Namespace) {
            for rule in policy.rules_in(self.direction) {
                let truth = self.rule(policy.tier, rule);
                if truth > best {
                    rules.truncate(first);
                    best = truth;
                }
                if truth == best && truth != Truth::No {
                    rules.push(rule.id);
                }
            }
        }
        best
    }

    /// What a tier may decide, and whether it may decide nothing.
    fn ordered(self, governing: &[&Policy], tier: Tier, rules: &mut Vec<u32>) -> (Outcomes, bool) {
        let mut levels: BTreeMap<u32, Vec<&Policy>> = BTreeMap::new();
        for policy in governing.iter().filter(|policy| policy.tier == tier) {
            levels.entry(policy.priority).or_default().push(policy);
        }
        let mut outcomes = Outcomes::default();
        for level in levels.values() {
            let mut all_may_miss = true;
            for policy in level {
                all_may_miss &= self.first_match(policy, &mut outcomes, rules);
            }
            if !all_may_miss {
                return (outcomes, false);
            }
        }
        (outcomes, true)
    }

    /// Asks the rules of one policy; returns whether none of them surely matches.
    fn first_match(self, policy: &Policy, outcomes: &mut Outcomes, rules: &mut Vec<u32>) -> bool {
        for rule in policy.rules_in(self.direction) {
            let truth = self.rule(policy.tier, rule);
            if truth != Truth::No {
                outcomes.add(rule.action);
                rules.push(rule.id);
            }
            if truth == Truth::Yes {
                return false;
            }
        }
        true
    }

    fn rule(self, tier: Tier, rule: &Rule) -> Truth {
        let peers = rule.peers.map_or(Truth::Yes, |list| self.peers(tier, list));
        if peers == Truth::No {
            return Truth::No;
        }
        let ports = rule.ports.map(|list| {
            let list = self.world.ports.get(list as usize).into_iter().flatten();
            list.map(|port| self.port(tier, port)).max()
        });
        peers.min(ports.map_or(Truth::Yes, |best| best.unwrap_or(Truth::No)))
    }

    fn peers(self, tier: Tier, list: u32) -> Truth {
        let key = (list, tier == Tier::Namespace);
        if let Some(known) = self.matched.0.borrow().get(&key) {
            return *known;
        }
        let peers = self.world.peers.get(list as usize).into_iter().flatten();
        let best = peers.map(|peer| self.peer(tier, peer)).max();
        let best = best.unwrap_or(Truth::No);
        self.matched.0.borrow_mut().insert(key, best);
        best
    }

    fn peer(self, tier: Tier, peer: &Peer) -> Truth {
        let world = self.world;
        let seen = self.other.who.seen_in(tier);
        match (peer, seen) {
            (Peer::Pods(selector), Seen::Pod(pod)) => world.selects(*selector, pod).into(),
            (Peer::Nodes(selector), Seen::Node(node)) => {
                world.matches(*selector, &node.labels).into()
            }
            (Peer::Pods(_) | Peer::Nodes(_), Seen::Pod(_) | Seen::Node(_) | Seen::Outside) => {
                Truth::No
            }
            (Peer::Block(..), Seen::Pod(_)) if !world.cidr_matches_pods => Truth::No,
            (Peer::Block(net, except), _) => self.block(*net, except),
            (Peer::Name(name), seen) => {
                world.domain(*name, false, self.other, matches!(seen, Seen::Outside))
            }
            (Peer::Subdomains(name), seen) => {
                world.domain(*name, true, self.other, matches!(seen, Seen::Outside))
            }
        }
    }

    fn block(self, net: super::Net, except: &[super::Net]) -> Truth {
        match self.other.address {
            Address::Known(address) => {
                let inside = net.contains(address);
                (inside && !except.iter().any(|part| part.contains(address))).into()
            }
            Address::Unknown { v4, v6 } => {
                let (own, other) = if net.first.is_ipv4() {
                    (v4, v6)
                } else {
                    (v6, v4)
                };
                let whole_family = net.bits == 0 && except.is_empty();
                match (own, other) {
                    (false, _) => Truth::No,
                    (true, false) if whole_family => Truth::Yes,
                    (true, _) => Truth::Unknown,
                }
            }
        }
    }

    fn port(self, tier: Tier, port: &PortMatch) -> Truth {
        let packet = self.packet;
        match port {
            PortMatch::Range(protocol, first, last) => {
                if *protocol != packet.protocol {
                    return Truth::No;
                }
                match packet.port {
                    Some(port) => (*first <= port && port <= *last).into(),
                    None if (*first, *last) == (0, u16::MAX) => Truth::Yes,
                    None => Truth::Unknown,
                }
            }
            PortMatch::Named(protocol, name) => {
                let Seen::Pod(pod) = self.dst.seen_in(tier) else {
                    return Truth::No;
                };
                let other = protocol.is_some_and(|protocol| protocol != packet.protocol);
                if !packet.has_ports() || other {
                    return Truth::No;
                }
                let Some(ports) = &pod.ports else {
                    return Truth::Unknown;
                };
                let own = |own: &&NamedPort| own.name == *name && own.protocol == packet.protocol;
                let mut own = ports.iter().filter(own);
                match packet.port {
                    Some(port) => own.any(|own| own.number == port).into(),
                    None if own.next().is_some() => Truth::Unknown,
                    None => Truth::No,
                }
            }
        }
    }
}
