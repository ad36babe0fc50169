//! What one side says of all packets from or to another end: [`crate::hir::spec`], on sets.
//!
//! Each function has its counterpart there, by the same name.

use super::{Answer, Packets};
use crate::cluster::{NamedPort, Protocol};
use crate::hir::Auth;
use crate::hir::spec::Truth;
use crate::ir::precedence::width_of;
use crate::ir::tiers::{Effect, LastOf};
use crate::ir::{Chain, Ports, Program, Rule, RuleRange, Step, merge_ports};
use crate::ranges::Ranges;

/// What is known of the named ports of the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NamedPorts<'a> {
    /// It is no pod.
    None,
    /// A pod of which they are not known.
    Unknown,
    /// A pod with these.
    Known(&'a [NamedPort]),
    /// A pod on the network of a node with these: cluster-wide policies do not see them.
    Host(&'a [NamedPort]),
    /// A pod with these, to rules that are resolved by precedence: a name that stands for two ports stands for none.
    Strict(&'a [NamedPort]),
}

impl<'a> NamedPorts<'a> {
    /// Those of a pod with a network of its own.
    pub(super) fn of(program: &Program, ports: &'a [NamedPort]) -> Self {
        match program.kinds {
            None => Self::Known(ports),
            Some(_) => Self::Strict(ports),
        }
    }

    /// As the rules of a tier in which order decides see them.
    fn in_order(self) -> Self {
        match self {
            Self::Host(_) => Self::None,
            Self::None | Self::Unknown | Self::Known(_) | Self::Strict(_) => self,
        }
    }
}

/// A side, while its chain is asked.
pub(super) struct Side<'a, F> {
    pub(super) program: &'a Program,
    pub(super) named: NamedPorts<'a>,
    /// Whether the peers of a rule, by its index, match the other end.
    pub(super) peers: F,
}

/// The packets that each outcome is possible for.
#[derive(Clone, Debug, Default)]
struct Outcomes {
    allow: Packets,
    /// Of `allow`: by way of a proxy.
    proxied: Packets,
    deny: Packets,
    /// Nothing may have decided.
    open: Packets,
    /// What rules that let packets pass say of authentication, where a rule of the chain does: by how many ports, and of which
    /// packets.
    heard: Vec<Heard>,
}

type Heard = (u32, Option<Auth>, Packets);

/// The packets that something surely matches, and those that it may match.
#[derive(Clone, Debug)]
struct Matched {
    surely: Packets,
    perhaps: Packets,
}

impl<F: Fn(u32) -> Truth> Side<'_, F> {
    pub(super) fn tiers(&self, chain: &Chain, own_node: bool) -> Answer {
        let never_kept_apart = own_node && chain.allows_own_node;
        let Outcomes {
            mut allow,
            mut proxied,
            mut deny,
            open,
            heard,
        } = self.ordered(chain, &chain.first, Packets::all());
        if !chain.is_isolated {
            let baseline = self.ordered(chain, &chain.baseline, open);
            for may in [&baseline.allow, &baseline.open] {
                allow = allow.union(may);
            }
            deny = deny.union(&baseline.deny);
            proxied = proxied.union(&baseline.proxied);
        } else if never_kept_apart {
            allow = allow.union(&open);
        } else {
            let matched = self.union(&chain.namespace);
            let possible = matched.surely.union(&matched.perhaps);
            allow = allow.union(&open.intersection(&possible));
            deny = deny.union(&open.minus(&matched.surely));
        }
        if self.program.audits() {
            // What is denied passes, too.
            return Answer {
                proxied,
                ..Answer::all()
            };
        }
        // What is not surely allowed is not asked to prove anything.
        let proving = proving(heard, chain.has_pass).intersection(&allow.minus(&deny));
        Answer::of_outcomes(&allow, &deny, proxied, proving)
    }

    fn union(&self, ranges: &[RuleRange]) -> Matched {
        let mut all = Matched {
            surely: Packets::none(),
            perhaps: Packets::none(),
        };
        for matched in ranges
            .iter()
            .flat_map(|range| self.matching(*range, self.named))
        {
            all.surely = all.surely.union(&matched.1.surely);
            all.perhaps = all.perhaps.union(&matched.1.perhaps);
        }
        all
    }

    /// Some tiers for packets that are still open.
    fn ordered(&self, chain: &Chain, steps: &[Step], open: Packets) -> Outcomes {
        let mut outcomes = Outcomes {
            open,
            ..Outcomes::default()
        };
        let mut missed = outcomes.open.clone();
        let mut passed = Packets::none();
        for step in steps {
            let unmatched = self.first_match(chain, step.rules, &mut outcomes, &mut passed);
            missed = missed.intersection(&unmatched);
            if step.last_of >= LastOf::Level {
                outcomes.open.clone_from(&missed);
            }
            if step.last_of == LastOf::Tier {
                outcomes.open = missed.union(&passed);
                missed.clone_from(&outcomes.open);
                passed = Packets::none();
            }
        }
        outcomes
    }

    /// Asks the rules of one list about the packets that are open; returns those that none of them surely matches.
    fn first_match(
        &self,
        chain: &Chain,
        range: RuleRange,
        outcomes: &mut Outcomes,
        passed: &mut Packets,
    ) -> Packets {
        let mut open = outcomes.open.clone();
        for (rule, matched) in self.matching(range, self.named.in_order()) {
            let effect = rule.effect();
            let possible = matched.surely.union(&matched.perhaps);
            let here = open.intersection(&possible);
            if chain.asks_for_auth && [Effect::Allow, Effect::Redirect].contains(&effect) {
                self.hear(rule, &here, &mut outcomes.heard);
            }
            if effect == Effect::Redirect {
                outcomes.proxied = outcomes.proxied.union(&here);
            }
            let of_action = match effect {
                Effect::Allow | Effect::Redirect => &mut outcomes.allow,
                Effect::Deny => &mut outcomes.deny,
                Effect::Pass => &mut *passed,
            };
            *of_action = of_action.union(&here);
            open = open.minus(&matched.surely);
        }
        open
    }

    /// What a rule says of authentication, of packets that it lets pass: by each of its items that surely has them, and as one of
    /// all ports.
    fn hear(&self, rule: &Rule, packets: &Packets, heard: &mut Vec<Heard>) {
        let auth = rule.precedence.auth;
        let ports = rule
            .ports
            .and_then(|ports| self.program.ports.get(ports.index()));
        for item in ports.map_or(&[][..], |ports| &ports.written) {
            let own = merge_ports(std::slice::from_ref(item));
            let matched = matched_ports(&own, self.named.in_order(), self.program);
            let here = packets.intersection(&matched.surely);
            heard.push((width_of(item), auth, here));
        }
        heard.push((u32::MAX, auth, packets.clone()));
    }

    /// The rules of a range that may match anything.
    fn matching(
        &self,
        range: RuleRange,
        named: NamedPorts<'_>,
    ) -> impl Iterator<Item = (&Rule, Matched)> {
        let rules = (range.first..).zip(self.program.rules_in(range));
        rules.filter_map(move |(index, rule)| {
            let peers = match rule.peers {
                Some(_) => (self.peers)(index),
                None => Truth::Yes,
            };
            let ports = || {
                let ports = rule
                    .ports
                    .map(|ports| self.program.ports.get(ports.index()));
                ports.map_or_else(everything, |ports| {
                    ports.map_or_else(nothing, |ports| matched_ports(ports, named, self.program))
                })
            };
            match peers {
                Truth::No => None,
                Truth::Yes => Some((rule, ports())),
                Truth::Unknown => {
                    let ports = ports();
                    let perhaps = ports.surely.union(&ports.perhaps);
                    let surely = Packets::none();
                    Some((rule, Matched { surely, perhaps }))
                }
            }
        })
    }
}

/// The packets for which the ends must prove something: of what is said of a packet that of the fewest ports is heard that says
/// something; where a rule passes, only those of the fewest are
/// ([the definition](crate::hir::spec::precedence)).
fn proving(mut heard: Vec<Heard>, has_pass: bool) -> Packets {
    heard.sort_by_key(|(width, auth, _)| (*width, *auth));
    let (mut open, mut proving) = (Packets::all(), Packets::none());
    for level in heard.chunk_by(|(one, ..), (other, ..)| one == other) {
        let (mut said, mut all) = (Packets::none(), Packets::none());
        for (_, auth, packets) in level {
            all = all.union(packets);
            let Some(auth) = auth else { continue };
            let new = packets.intersection(&open).minus(&said);
            if *auth != Auth::Disabled {
                proving = proving.union(&new);
            }
            said = said.union(&new);
        }
        open = open.minus(if has_pass { &all } else { &said });
    }
    proving
}

/// The packets of a list of ports.
fn matched_ports(ports: &Ports, named: NamedPorts<'_>, program: &Program) -> Matched {
    let mut matched = nothing();
    for own in &ports.protocols {
        let numbers = own.ranges.iter().map(|(first, last)| {
            let number = |wide: u32| u16::try_from(wide).unwrap_or(u16::MAX);
            (number(first), number(last))
        });
        let mut packets = Packets::of(own.protocol, &Ranges::new(numbers.collect()));
        let is_icmp = [Protocol::ICMP, Protocol::ICMPV6].contains(&own.protocol);
        if is_icmp && !program.tells_types_of_icmp() {
            // Every packet is one of type 0.
            packets = match own.ranges.contains(0) {
                true => Packets::of_protocol(own.protocol),
                false => Packets::none(),
            };
        }
        matched.surely = matched.surely.union(&packets);
    }
    for (protocol, name) in &ports.named {
        match named {
            NamedPorts::None => {}
            NamedPorts::Unknown => {
                matched.perhaps = matched.perhaps.union(&with_ports(*protocol));
            }
            NamedPorts::Known(all) | NamedPorts::Host(all) | NamedPorts::Strict(all) => {
                let is_meant = |own: &&NamedPort| {
                    own.name == *name && protocol.is_none_or(|asked| asked == own.protocol)
                };
                let own = all.iter().filter(is_meant).filter(|own| {
                    let same = |other: &&NamedPort| {
                        other.name == own.name && other.protocol == own.protocol
                    };
                    !matches!(named, NamedPorts::Strict(_)) || all.iter().filter(same).count() == 1
                });
                for own in own.filter(|own| own.protocol.has_ports()) {
                    let number = Ranges::new(vec![(own.number, own.number)]);
                    let packets = Packets::of(own.protocol, &number);
                    matched.surely = matched.surely.union(&packets);
                }
            }
        }
    }
    matched
}

fn nothing() -> Matched {
    Matched {
        surely: Packets::none(),
        perhaps: Packets::none(),
    }
}

fn everything() -> Matched {
    Matched {
        surely: Packets::all(),
        perhaps: Packets::none(),
    }
}

/// The packets that a name may stand for: those of its protocol, or of every protocol that has ports.
fn with_ports(protocol: Option<Protocol>) -> Packets {
    [Protocol::TCP, Protocol::UDP, Protocol::SCTP]
        .into_iter()
        .filter(|one| protocol.is_none_or(|asked| asked == *one))
        .map(Packets::of_protocol)
        .fold(Packets::none(), |all, one| all.union(&one))
}
