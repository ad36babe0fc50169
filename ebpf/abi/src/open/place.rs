//! Where in the tables of an image a new end belongs.
//!
//! A class fits an end where its rows decide as the policies do about the end: at every endpoint, in both directions,
//! and for every packet that a rule or a table can tell from another, with the same verdict, named after one of the
//! rules that decide. It does not matter whether the end is selected by the same selectors as those that are known.

use super::judge::{Matched, Packet, Side, Verdict};
use super::{End, NamedPort, Pod, PortMatch, Subjects, Who, World};
use crate::{
    Action, Code, Config, NOT_KNOWN, Section, TO_DIRECTORY, Tables, Use, config, half, port_class,
    quarter,
};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Who a code is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider {
    /// A policy that isolates, by its index.
    Policy(u32),
    /// A rule, by its number.
    Rule(u32),
}

/// The tables of an image, ready for new ends to be placed.
pub struct Places<'a, T> {
    world: &'a World,
    tables: &'a T,
    /// By origin of a code, from 1.
    deciders: &'a [Decider],
    kinds: Vec<Kind>,
    /// The packets at which a table changes: protocol and value.
    cuts: BTreeSet<(u8, u32)>,
}

/// Endpoints that the policies cannot tell from one another.
struct Kind {
    endpoint: u32,
    pod: Pod,
    governing: Vec<u32>,
    /// Its tables: ingress, egress.
    tables: [u32; 2],
}

impl<'a, T: Tables> Places<'a, T> {
    /// Makes an image ready. `deciders` says who stands behind each origin, from origin 1.
    #[must_use]
    pub fn new(
        world: &'a World,
        subjects: &Subjects,
        tables: &'a T,
        deciders: &'a [Decider],
    ) -> Self {
        let mut places = Self {
            world,
            tables,
            deciders,
            kinds: Vec::new(),
            cuts: cuts(world, tables),
        };
        let mut seen: BTreeMap<u32, [u32; 2]> = BTreeMap::new();
        for (endpoint, identity) in (0_u32..).zip(&subjects.identities) {
            let table = |of: Use| half(tables, Section::Endpoints, endpoint * 4 + of as u32);
            let (Some(ingress), Some(egress)) = (table(Use::Ingress), table(Use::Egress)) else {
                continue;
            };
            let of = [ingress, egress];
            let known = seen.insert(*identity, of) == Some(of);
            let pod = subjects.pod(world, endpoint).filter(|_| !known);
            if let Some(pod) = pod {
                let governing = world.governing(&pod);
                let is_new = places
                    .kinds
                    .iter()
                    .all(|kind| kind.tables != of || !places.is_alike(kind, &pod, &governing));
                if is_new {
                    places.kinds.push(Kind {
                        endpoint,
                        pod,
                        governing,
                        tables: of,
                    });
                }
            }
        }
        places
    }

    /// What the image carries of policies.
    #[must_use]
    pub fn world(&self) -> &'a World {
        self.world
    }

    /// The tables.
    #[must_use]
    pub fn tables(&self) -> &'a T {
        self.tables
    }

    /// An endpoint that is asked the same as a new one on this node; none where the image needs to be compiled again.
    #[must_use]
    pub fn endpoint(&self, pod: &Pod) -> Option<u32> {
        if self.world.closed {
            return None;
        }
        let governing = self.world.governing(pod);
        let alike = self
            .kinds
            .iter()
            .find(|kind| self.is_alike(kind, pod, &governing))?;
        Some(alike.endpoint)
    }

    /// A leaf whose class decides as the policies do about an end; none where the image needs to be compiled again.
    #[must_use]
    pub fn leaf(&self, end: &End) -> Option<u32> {
        if self.world.closed {
            return None;
        }
        let matched = Matched::default();
        let mut classes: Vec<u32> = (0..config(self.tables, Config::Classes)?).collect();
        for kind in &self.kinds {
            for ingress in [true, false] {
                let [of_ingress, of_egress] = kind.tables;
                let table = if ingress { of_ingress } else { of_egress };
                let said = self.said(kind, end, ingress, &matched);
                let mut fits: BTreeMap<u32, bool> = BTreeMap::new();
                classes.retain(|class| {
                    self.row(table, *class).is_some_and(|row| {
                        *fits.entry(row).or_insert_with(|| self.fits(row, &said))
                    })
                });
            }
        }
        let class = *classes.first()?;
        let leaves = 0..config(self.tables, Config::Leaves)?;
        leaves
            .into_iter()
            .find(|leaf| quarter(self.tables, Section::Leaves, *leaf) == Some(class))
    }

    fn is_alike(&self, kind: &Kind, pod: &Pod, governing: &[u32]) -> bool {
        let ports = || kind.pod.ports == pod.ports && kind.pod.host.is_some() == pod.host.is_some();
        kind.governing == governing
            && kind.pod.node == pod.node
            && (ports() || !self.go_by_name(governing))
    }

    /// Whether a rule for what comes in names a port.
    fn go_by_name(&self, governing: &[u32]) -> bool {
        self.ports(governing, true)
            .any(|port| matches!(port, PortMatch::Named(..)))
    }

    /// The ports of the rules of some policies.
    fn ports<'s>(
        &'s self,
        governing: &'s [u32],
        ingress: bool,
    ) -> impl Iterator<Item = &'a PortMatch> + 's {
        let world = self.world;
        let policies = governing
            .iter()
            .filter_map(|index| world.policies.get(*index as usize));
        let rules = policies.flat_map(move |policy| {
            let [of_ingress, of_egress] = &policy.rules;
            if ingress { of_ingress } else { of_egress }
        });
        rules
            .filter_map(|rule| world.ports.get(rule.ports? as usize))
            .flatten()
    }

    /// What an endpoint says of an end, by class of packets.
    fn said(&self, kind: &Kind, end: &End, ingress: bool, matched: &Matched) -> Vec<(u32, Side)> {
        let mut packets = self.cuts.clone();
        let target = match &end.who {
            _ if ingress => kind.pod.ports.as_deref(),
            Who::Pod(pod) => pod.ports.as_deref(),
            Who::Node(_) | Who::Outside => None,
        };
        for port in self.ports(&kind.governing, ingress) {
            add(&mut packets, port, target.unwrap_or_default());
        }
        let mut said: Vec<(u32, Side)> = Vec::new();
        for (protocol, value) in packets {
            let Some(class) = port_class(self.tables, protocol, value) else {
                continue;
            };
            let mut packet = Packet {
                protocol,
                port: None,
            };
            packet.port = u16::try_from(value).ok().filter(|_| packet.has_ports());
            let side =
                self.world
                    .judge_again(&kind.pod, &kind.governing, end, ingress, packet, matched);
            if !said
                .iter()
                .rev()
                .take(8)
                .any(|known| *known == (class, side.clone()))
            {
                said.push((class, side));
            }
        }
        said
    }

    fn row(&self, table: u32, class: u32) -> Option<u32> {
        let at = table * config(self.tables, Config::Classes)? + class;
        quarter(self.tables, Section::Rows, at)
    }

    fn fits(&self, row: u32, said: &[(u32, Side)]) -> bool {
        let code = |class: u32| {
            let at = row * config(self.tables, Config::PortClasses)? + class;
            let code = quarter(self.tables, Section::Cells, at)?;
            Code::of(self.tables.word(Section::Codes, code)?)
        };
        said.iter()
            .all(|(class, side)| code(*class).is_some_and(|code| self.says(code, side)))
    }

    /// Whether a code has the verdict of a side, and the name of one of those that decide.
    fn says(&self, code: Code, side: &Side) -> bool {
        let verdict = match code.action {
            _ if code.depends => Verdict::Depends,
            Action::Deny => Verdict::Deny,
            Action::Audit | Action::Allow | Action::Redirect => Verdict::Allow,
        };
        let decider = code.origin.checked_sub(1);
        let named = match decider.map(|index| self.deciders.get(index as usize)) {
            None => side.verdict == Verdict::Allow,
            Some(None) => false,
            Some(Some(Decider::Policy(policy))) => side.isolated_by.contains(policy),
            Some(Some(Decider::Rule(rule))) => side.rules.contains(rule),
        };
        verdict == side.verdict && named
    }
}

/// The packets at which a rule's port changes what it says, the named ports of the destination being these.
fn add(packets: &mut BTreeSet<(u8, u32)>, port: &PortMatch, named: &[NamedPort]) {
    let mut around = |protocol: u8, first: u16, last: u16| {
        packets.extend([
            (protocol, 0),
            (protocol, first.into()),
            (protocol, NOT_KNOWN),
        ]);
        packets.extend(last.checked_add(1).map(|next| (protocol, next.into())));
    };
    match port {
        PortMatch::Range(protocol, first, last) => around(*protocol, *first, *last),
        PortMatch::Named(protocol, name) => {
            // Where the ports of the destination are not known, all ports of the protocol are alike.
            for protocol in protocol.iter().copied().chain([6, 17, 132]) {
                around(protocol, 0, u16::MAX);
            }
            for port in named.iter().filter(|port| port.name == *name) {
                around(port.protocol, port.number, port.number);
            }
        }
    }
}

/// The packets at which the class changes, by protocol and value. Protocols that no rule names and no table tells apart
/// are one.
fn cuts(world: &World, tables: &impl Tables) -> BTreeSet<(u8, u32)> {
    let named: BTreeSet<u8> = world
        .ports
        .iter()
        .flatten()
        .filter_map(|port| match port {
            PortMatch::Range(protocol, _, _) => Some(*protocol),
            PortMatch::Named(protocol, _) => *protocol,
        })
        .collect();
    let mut cuts = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for protocol in 0..=u8::MAX {
        let entry = half(tables, Section::Protocols, protocol.into()).unwrap_or(0);
        if entry & TO_DIRECTORY == 0 {
            if named.contains(&protocol) || seen.insert(entry) {
                cuts.insert((protocol, 0));
            }
            continue;
        }
        let mut before = None;
        for value in 0..=NOT_KNOWN {
            let class = port_class(tables, protocol, value);
            if class != before || value == NOT_KNOWN {
                cuts.insert((protocol, value));
            }
            before = class;
        }
    }
    cuts
}
