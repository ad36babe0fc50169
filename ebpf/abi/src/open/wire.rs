//! The bytes of the open world, and back.
//!
//! Numbers are written in groups of seven bits, the lowest first, each in a byte whose top bit says that another
//! follows; a list is its length and its items, an option a byte and what is there, a variant its number and what it
//! has. There is one way to write a thing: longer forms of numbers, and bytes behind the end, are refused.

use super::{
    Host, Identity, LeafWho, NamedPort, Namespace, NamespaceSelector, Net, Operator, Peer,
    PodSelector, Policy, PortMatch, Requirement, Rule, RuleAction, Subjects, Tier, World,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// They end too early, go on for too long, or have a value that none may have.
    Malformed {
        /// Where.
        at: usize,
    },
    /// A number leads to no entry.
    LeadsNowhere {
        /// What kind of entry.
        of: &'static str,
    },
    /// What must ascend does not.
    NotSorted {
        /// Of what.
        of: &'static str,
    },
}

impl core::fmt::Display for WireError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed { at } => write!(f, "is malformed at byte {at}"),
            Self::LeadsNowhere { of } => write!(f, "names a {of} that is not there"),
            Self::NotSorted { of } => write!(f, "has {of} that do not ascend"),
        }
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }
}

/// What can be written and read.
trait Wire: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn get(reader: &mut Reader<'_>) -> Option<Self>;
}

impl Wire for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while rest > 0x7F {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    fn get(reader: &mut Reader<'_>) -> Option<Self> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = reader.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                let longer = byte == 0 && shift > 0;
                return Self::try_from(value).ok().filter(|_| !longer);
            }
        }
        None
    }
}

impl Wire for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn get(reader: &mut Reader<'_>) -> Option<Self> {
        reader.byte()
    }
}

impl Wire for u16 {
    fn put(&self, out: &mut Vec<u8>) {
        u32::from(*self).put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Option<Self> {
        u32::get(reader)?.try_into().ok()
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push((*self).into());
    }

    fn get(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(thing) = self {
            thing.put(out);
        }
    }

    fn get(reader: &mut Reader<'_>) -> Option<Self> {
        Some(if bool::get(reader)? {
            Some(T::get(reader)?)
        } else {
            None
        })
    }
}

fn length(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        length(self.len()).put(out);
        self.iter().for_each(|item| item.put(out));
    }

    /// Every item has a byte at least: no length makes more room than there are bytes.
    fn get(reader: &mut Reader<'_>) -> Option<Self> {
        let count = u32::get(reader)? as usize;
        let left = reader.bytes.len().checked_sub(reader.at)?;
        if count > left {
            return None;
        }
        (0..count).map(|_| T::get(reader)).collect()
    }
}

impl Wire for Box<str> {
    fn put(&self, out: &mut Vec<u8>) {
        length(self.len()).put(out);
        out.extend(self.as_bytes());
    }

    fn get(reader: &mut Reader<'_>) -> Option<Self> {
        let count = u32::get(reader)? as usize;
        Some(core::str::from_utf8(reader.take(count)?).ok()?.into())
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Option<Self> {
        Some((A::get(reader)?, B::get(reader)?))
    }
}

impl<T: Wire> Wire for [T; 2] {
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|item| item.put(out));
    }

    fn get(reader: &mut Reader<'_>) -> Option<Self> {
        Some([T::get(reader)?, T::get(reader)?])
    }
}

impl Wire for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::V4(address) => {
                out.push(4);
                out.extend(address.octets());
            }
            Self::V6(address) => {
                out.push(6);
                out.extend(address.octets());
            }
        }
    }

    fn get(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.byte()? {
            4 => {
                let octets: [u8; 4] = reader.take(4)?.try_into().ok()?;
                Some(Ipv4Addr::from(octets).into())
            }
            6 => {
                let octets: [u8; 16] = reader.take(16)?.try_into().ok()?;
                Some(Ipv6Addr::from(octets).into())
            }
            _ => None,
        }
    }
}

impl Wire for Net {
    fn put(&self, out: &mut Vec<u8>) {
        self.first.put(out);
        self.bits.put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Option<Self> {
        let first = IpAddr::get(reader)?;
        let bits = u8::get(reader)?;
        let net = Self { first, bits };
        let most = if first.is_ipv4() { 32 } else { 128 };
        (bits <= most && net.is_whole()).then_some(net)
    }
}

/// A struct is its fields, in their order.
macro_rules! fields {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn get(reader: &mut Reader<'_>) -> Option<Self> {
                Some(Self { $($field: Wire::get(reader)?),* })
            }
        }
    )*};
}

/// An enum is the number of the variant and what it has.
macro_rules! variants {
    ($($name:ident { $($number:literal => $variant:ident $(($($part:ident),*))?),* })*) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($($part),*))? => {
                        out.push($number);
                        $($($part.put(out);)*)?
                    })*
                }
            }

            fn get(reader: &mut Reader<'_>) -> Option<Self> {
                Some(match reader.byte()? {
                    $($number => {
                        $($(let $part = Wire::get(reader)?;)*)?
                        Self::$variant $(($($part),*))?
                    })*
                    _ => return None,
                })
            }
        }
    )*};
}

fields! {
    World {
        strings, closed, cidr_matches_pods, selectors, pod_selectors, peers, ports, policies, answers, label_sets, port_sets,
        namespaces, nodes, identities, leaves
    }
    Requirement { key, operator }
    PodSelector { namespaces, pods }
    Policy { name, file, line, tier, priority, subject, isolates, rules }
    Rule { id, action, peers, ports, path, line }
    NamedPort { name, protocol, number }
    Namespace { name, labels }
    Identity { namespace, labels, ports, host }
    Subjects { node, identities }
}

variants! {
    Operator { 0 => In(values), 1 => NotIn(values), 2 => Exists, 3 => DoesNotExist }
    NamespaceSelector { 0 => Named(name), 1 => Labels(selector) }
    Peer { 0 => Pods(selector), 1 => Nodes(selector), 2 => Block(net, except), 3 => Name(name), 4 => Subdomains(name) }
    PortMatch { 0 => Range(protocol, first, last), 1 => Named(protocol, name) }
    Tier { 0 => Admin, 1 => Namespace, 2 => Baseline }
    RuleAction { 0 => Allow, 1 => Deny, 2 => Pass }
    Host { 0 => Node(node), 1 => Unknown }
    LeafWho { 0 => Identity(identity), 1 => Node(node), 2 => UnknownNode, 3 => Outside }
}

fn read<T: Wire>(bytes: &[u8]) -> Result<T, WireError> {
    let mut reader = Reader { bytes, at: 0 };
    let read = T::get(&mut reader);
    let at = reader.at;
    read.filter(|_| at == bytes.len())
        .ok_or(WireError::Malformed { at })
}

fn written(thing: &impl Wire) -> Vec<u8> {
    let mut out = Vec::new();
    thing.put(&mut out);
    out
}

impl Subjects {
    /// The bytes of the section.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        written(self)
    }

    /// Reads the section of an image with this world.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &[u8], world: &World) -> Result<Self, WireError> {
        let read: Self = read(bytes)?;
        let node = read.node.iter().copied();
        below("node", node, world.nodes.len())?;
        let identities = read.identities.iter().copied();
        below("identity", identities, world.identities.len())?;
        Ok(read)
    }
}

/// Whether all numbers of entries lead to one.
fn below(
    of: &'static str,
    mut numbers: impl Iterator<Item = u32>,
    count: usize,
) -> Result<(), WireError> {
    if numbers.all(|number| (number as usize) < count) {
        Ok(())
    } else {
        Err(WireError::LeadsNowhere { of })
    }
}

fn sorted<T: Ord>(of: &'static str, things: impl Iterator<Item = T>) -> Result<(), WireError> {
    if things.is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err(WireError::NotSorted { of })
    }
}

impl World {
    /// The bytes of the section.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        written(self)
    }

    /// Reads the section, and checks that every number leads to an entry and that what is searched is sorted.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let world: Self = read(bytes)?;
        world.check_texts()?;
        world.check_selectors()?;
        world.check_policies()?;
        world.check_leaves()?;
        Ok(world)
    }

    fn check_texts(&self) -> Result<(), WireError> {
        sorted("texts", self.strings.iter())?;
        sorted("names", self.answers.iter().map(|(name, _)| name))?;
        for set in &self.label_sets {
            sorted("labels", set.iter().map(|(key, _)| key))?;
            let keys = set.iter().map(|(key, _)| *key);
            below("text", keys, self.strings.len())?;
        }
        let names = self.port_sets.iter().flatten().map(|port| port.name);
        below("text", names, self.strings.len())
    }

    fn check_selectors(&self) -> Result<(), WireError> {
        let texts = self.strings.len();
        for requirement in self.selectors.iter().flatten() {
            let values = match &requirement.operator {
                Operator::In(values) | Operator::NotIn(values) => values.as_slice(),
                Operator::Exists | Operator::DoesNotExist => &[],
            };
            let all = values.iter().copied().chain([requirement.key]);
            below("text", all, texts)?;
        }
        let selectors = self.selectors.len();
        for selector in &self.pod_selectors {
            below("selector", core::iter::once(selector.pods), selectors)?;
            match selector.namespaces {
                NamespaceSelector::Named(name) => below("text", core::iter::once(name), texts)?,
                NamespaceSelector::Labels(labels) => {
                    below("selector", core::iter::once(labels), selectors)?;
                }
            }
        }
        for peer in self.peers.iter().flatten() {
            match peer {
                Peer::Pods(selector) => {
                    below(
                        "pod selector",
                        core::iter::once(*selector),
                        self.pod_selectors.len(),
                    )?;
                }
                Peer::Nodes(selector) => below("selector", core::iter::once(*selector), selectors)?,
                Peer::Name(name) | Peer::Subdomains(name) => {
                    below("text", core::iter::once(*name), texts)?;
                }
                Peer::Block(_, _) => {}
            }
        }
        let names = self.ports.iter().flatten().filter_map(|port| match port {
            PortMatch::Named(_, name) => Some(*name),
            PortMatch::Range(..) => None,
        });
        below("text", names, texts)
    }

    fn check_policies(&self) -> Result<(), WireError> {
        let policies = || self.policies.iter();
        let subjects = policies().filter_map(|policy| policy.subject);
        below("pod selector", subjects, self.pod_selectors.len())?;
        let files = policies().map(|policy| policy.file);
        let rules = || policies().flat_map(|policy| policy.rules.iter().flatten());
        let paths = rules().map(|rule| rule.path);
        below("text", files.chain(paths), self.strings.len())?;
        let peers = rules().filter_map(|rule| rule.peers);
        below("list of peers", peers, self.peers.len())?;
        let ports = rules().filter_map(|rule| rule.ports);
        below("list of ports", ports, self.ports.len())
    }

    fn check_leaves(&self) -> Result<(), WireError> {
        let sets = self.label_sets.len();
        let namespaces = self.namespaces.iter().map(|namespace| namespace.labels);
        below(
            "label set",
            namespaces.chain(self.nodes.iter().copied()),
            sets,
        )?;
        sorted(
            "namespaces",
            self.namespaces.iter().map(|namespace| &namespace.name),
        )?;
        let identities = || self.identities.iter();
        below("label set", identities().map(|own| own.labels), sets)?;
        let named = identities().map(|own| own.ports);
        below("set of ports", named, self.port_sets.len())?;
        let namespaces = identities().map(|own| own.namespace);
        below("namespace", namespaces, self.namespaces.len())?;
        let hosts = identities().filter_map(|own| match own.host? {
            Host::Node(node) => Some(node),
            Host::Unknown => None,
        });
        let nodes = self.leaves.iter().filter_map(|leaf| match leaf {
            LeafWho::Node(node) => Some(*node),
            LeafWho::Identity(_) | LeafWho::UnknownNode | LeafWho::Outside => None,
        });
        below("node", hosts.chain(nodes), self.nodes.len())?;
        let who = self.leaves.iter().filter_map(|leaf| match leaf {
            LeafWho::Identity(identity) => Some(*identity),
            LeafWho::Node(_) | LeafWho::UnknownNode | LeafWho::Outside => None,
        });
        below("identity", who, self.identities.len())
    }
}
