//! The ends of a flow, as the policies of a [`World`] see them: in its numbers.

use super::{
    Host, Identity, LabelSet, LeafWho, NOT_ASKED, NamedPort, Namespace, Net, Policy, Rule,
    Subjects, World,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Who it is.
    pub who: Who,
    /// Its address.
    pub address: Address,
}

/// Who an end is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A pod.
    Pod(Pod),
    /// A node.
    Node(Node),
    /// Anyone else.
    Outside,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Tells it from others: two ends with one number are the same pod.
    pub id: Option<u32>,
    /// The name of its namespace.
    pub namespace: u32,
    /// The labels of its namespace.
    pub namespace_labels: LabelSet,
    /// Its labels.
    pub labels: LabelSet,
    /// Its named ports; none where they are not known.
    pub ports: Option<Vec<NamedPort>>,
    /// The node on which it runs.
    pub node: Option<u32>,
    /// The node whose network it uses.
    pub host: Option<Node>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Which one, unless only an address of it is known.
    pub id: Option<u32>,
    /// Its labels.
    pub labels: LabelSet,
}

/// The address of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// This one.
    Known(IpAddr),
    /// One that is not known, of one of these families.
    Unknown {
        /// It may be an IPv4 address.
        v4: bool,
        /// It may be an IPv6 address.
        v6: bool,
    },
}

impl Net {
    /// Whether its first address is the first: no bit is set in it behind those that all have in common.
    pub(super) fn is_whole(self) -> bool {
        let behind = width(self.first).saturating_sub(self.bits.into());
        bits(self.first).trailing_zeros() >= behind
    }

    /// Whether an address is in the block.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let shift = width(self.first).saturating_sub(self.bits.into());
        let prefix = |address| bits(address).checked_shr(shift).unwrap_or(0);
        self.first.is_ipv4() == address.is_ipv4() && prefix(self.first) == prefix(address)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => Ipv6Addr::to_bits(address),
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl World {
    /// The number of a text; [`NOT_ASKED`] where no policy asks about it.
    #[must_use]
    pub fn text(&self, text: &str) -> u32 {
        let found = self.strings.binary_search_by(|own| (**own).cmp(text));
        found.map_or(NOT_ASKED, |index| u32::try_from(index).unwrap_or(NOT_ASKED))
    }

    /// The text of a number.
    #[must_use]
    pub fn string(&self, number: u32) -> &str {
        self.strings.get(number as usize).map_or("", |text| text)
    }

    /// A rule by its number, with its policy.
    #[must_use]
    pub fn rule(&self, id: u32) -> Option<(&Policy, &Rule)> {
        let policies = self.policies.iter();
        let mut rules = policies.flat_map(|policy| {
            let rules = policy.rules.iter().flatten();
            rules.map(move |rule| (policy, rule))
        });
        rules.find(|(_, rule)| rule.id == id)
    }

    /// Those labels whose keys policies may ask about.
    #[must_use]
    pub fn labels<'t>(&self, labels: impl IntoIterator<Item = (&'t str, &'t str)>) -> LabelSet {
        let mut known: LabelSet = labels
            .into_iter()
            .map(|(key, value)| (self.text(key), self.text(value)))
            .filter(|(key, _)| *key != NOT_ASKED)
            .collect();
        known.sort_unstable_by_key(|(key, _)| *key);
        known
    }

    /// Those named ports whose names policies may ask about.
    #[must_use]
    pub fn named_ports<'t>(
        &self,
        ports: impl IntoIterator<Item = (&'t str, u8, u16)>,
    ) -> Vec<NamedPort> {
        let known = ports.into_iter().map(|(name, protocol, number)| NamedPort {
            name: self.text(name),
            protocol,
            number,
        });
        let mut known: Vec<NamedPort> = known.filter(|port| port.name != NOT_ASKED).collect();
        known.sort_unstable();
        known
    }

    /// A namespace by its name.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        let found = self
            .namespaces
            .binary_search_by(|own| (*own.name).cmp(name))
            .ok()?;
        self.namespaces.get(found)
    }

    /// A pod that the image has not seen.
    #[must_use]
    pub fn new_pod<'t>(
        &self,
        namespace: &str,
        namespace_labels: impl IntoIterator<Item = (&'t str, &'t str)>,
        labels: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Pod {
        Pod {
            id: None,
            namespace: self.text(namespace),
            namespace_labels: self.labels(namespace_labels),
            labels: self.labels(labels),
            ports: None,
            node: None,
            host: None,
        }
    }

    /// A label set.
    #[must_use]
    pub fn label_set(&self, number: u32) -> &LabelSet {
        static NONE: LabelSet = LabelSet::new();
        self.label_sets.get(number as usize).unwrap_or(&NONE)
    }

    /// A node; one of which nothing is known where there is no number.
    #[must_use]
    pub fn node(&self, id: Option<u32>) -> Node {
        let labels = id.and_then(|id| self.nodes.get(id as usize));
        let labels = labels.map(|labels| self.label_set(*labels).clone());
        Node {
            id,
            labels: labels.unwrap_or_default(),
        }
    }

    /// A pod of an identity. Where it runs is not told, but for pods on the network of a node.
    #[must_use]
    pub fn pod(&self, identity: u32) -> Option<Pod> {
        let Identity {
            namespace,
            labels,
            ports,
            host,
        } = *self.identities.get(identity as usize)?;
        let namespace = self.namespaces.get(namespace as usize)?;
        let on = |host: Host| match host {
            Host::Node(node) => Some(node),
            Host::Unknown => None,
        };
        Some(Pod {
            id: None,
            namespace: self.text(&namespace.name),
            namespace_labels: self.label_set(namespace.labels).clone(),
            labels: self.label_set(labels).clone(),
            ports: self.port_sets.get(ports as usize).cloned(),
            node: host.and_then(on),
            host: host.map(|host| self.node(on(host))),
        })
    }

    /// Who a leaf is.
    #[must_use]
    pub fn leaf(&self, leaf: u32) -> Option<Who> {
        Some(match *self.leaves.get(leaf as usize)? {
            LeafWho::Identity(identity) => Who::Pod(self.pod(identity)?),
            LeafWho::Node(node) => Who::Node(self.node(Some(node))),
            LeafWho::UnknownNode => Who::Node(self.node(None)),
            LeafWho::Outside => Who::Outside,
        })
    }

    /// Takes a DNS answer that came later. Names are compared as they are: lower case, without the final dot.
    pub fn learn(&mut self, name: &str, addresses: &[IpAddr]) {
        let index = match self.answers.binary_search_by(|(own, _)| (**own).cmp(name)) {
            Ok(index) => index,
            Err(index) => {
                self.answers.insert(index, (Box::from(name), Vec::new()));
                index
            }
        };
        if let Some((_, known)) = self.answers.get_mut(index) {
            for address in addresses.iter().map(IpAddr::to_canonical) {
                if !known.contains(&address) {
                    known.push(address);
                }
            }
        }
    }
}

impl Subjects {
    /// An endpoint, as the subject of policies.
    #[must_use]
    pub fn pod(&self, world: &World, endpoint: u32) -> Option<Pod> {
        let mut pod = world.pod(*self.identities.get(endpoint as usize)?)?;
        pod.node = self.node;
        Some(pod)
    }
}
