//! Address families: those of an end, and those that two ends have in common.

use crate::cluster::{Cluster, Protocol};
use crate::diagnostic::{Diagnostic, codes};
use crate::hir::flow::Address;
use std::fmt;
use std::net::IpAddr;

/// A version of the internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address; an IPv4 address in IPv6 notation is IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// An address of this family that is not known.
    #[must_use]
    pub fn unknown(self) -> Address {
        Address::Unknown {
            v4: self == Self::V4,
            v6: self == Self::V6,
        }
    }
}

/// A set of address families. Of an end, the empty set says that nothing is known: it may have any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    /// IPv4 is among them.
    pub v4: bool,
    /// IPv6 is among them.
    pub v6: bool,
}

impl Families {
    /// Both.
    pub const ALL: Self = Self { v4: true, v6: true };

    /// The families of the cluster's pod addresses; empty where no pod has an address.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        let mut families = Self::default();
        for pod in cluster.pods() {
            families = families.or(Self::among(&pod.addresses));
            if families == Self::ALL {
                break;
            }
        }
        families
    }

    /// One alone.
    #[must_use]
    pub fn only(family: Family) -> Self {
        Self {
            v4: family == Family::V4,
            v6: family == Family::V6,
        }
    }

    /// Those of some addresses.
    #[must_use]
    pub fn among(addresses: &[IpAddr]) -> Self {
        let families = addresses.iter().map(|address| Family::of(*address));
        families.map(Self::only).fold(Self::default(), Self::or)
    }

    /// Those over which a protocol goes.
    #[must_use]
    pub fn carrying(protocol: Protocol) -> Self {
        match protocol {
            Protocol::ICMP => Self::only(Family::V4),
            Protocol::ICMPV6 => Self::only(Family::V6),
            Protocol(_) => Self::ALL,
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The families of the flows between an end with these and another: those that both have and that carry
    /// the protocol. Empty where there is no such flow. Where nothing is known of either end, IPv4 stands for
    /// both.
    #[must_use]
    pub fn common(self, other: Self, protocol: Protocol) -> Self {
        let carried = Self::carrying(protocol);
        let common = self.or_any().and(other.or_any()).and(carried);
        if self.is_empty() && other.is_empty() && common == Self::ALL {
            Self::only(Family::V4)
        } else {
            common
        }
    }

    /// These, or all where nothing is known.
    #[must_use]
    pub fn or_any(self) -> Self {
        self.or_else(Self::ALL)
    }

    /// These, or the others where there are none.
    #[must_use]
    pub fn or_else(self, other: Self) -> Self {
        if self.is_empty() { other } else { self }
    }

    /// Those in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            v4: self.v4 || other.v4,
            v6: self.v6 || other.v6,
        }
    }

    /// Those in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            v4: self.v4 && other.v4,
            v6: self.v6 && other.v6,
        }
    }

    /// The families, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = Family> + Clone {
        let v4 = self.v4.then_some(Family::V4);
        v4.into_iter().chain(self.v6.then_some(Family::V6))
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.v4, self.v6) {
            (true, false) => "IPv4",
            (false, true) => "IPv6",
            (true, true) => "IPv4 and IPv6",
            (false, false) => "no address family",
        })
    }
}

/// No packet goes between the ends of a question: none of the sources has a family in common with any of the
/// destinations, or none over which the protocol goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Apart {
    src: Families,
    dst: Families,
    protocol: Option<Protocol>,
}

impl Apart {
    /// Notes one more pair of ends with a protocol that no packet goes between.
    pub fn add(&mut self, src: Families, dst: Families, protocol: Protocol) {
        self.src = self.src.or(src.or_any());
        self.dst = self.dst.or(dst.or_any());
        self.protocol = Some(protocol);
    }

    /// What to tell the user.
    #[must_use]
    pub fn diagnostic(self) -> Diagnostic {
        let Self { src, dst, protocol } = self;
        let common = src.and(dst);
        let protocol = protocol.filter(|_| !common.is_empty());
        let (message, help) = match protocol {
            Some(protocol) => {
                let (other, carried) = match protocol {
                    Protocol::ICMP => ("ICMPv6", Families::carrying(protocol)),
                    Protocol(_) => ("ICMP", Families::carrying(protocol)),
                };
                (
                    format!("{protocol} goes over {carried} only, and the source and the destination have {common} only in common"),
                    format!("ask about {other}: `echo-request/{other}`, or in a trace `\"protocol\":\"{other}\"`"),
                )
            }
            None => (
                format!("the source has {src} only, and the destination {dst} only: no packet goes between them"),
                "name two ends of one family; the families of a pod are those of its `status.podIPs`, or of the \
                 pods of the inputs where it has none"
                    .to_owned(),
            ),
        };
        Diagnostic::new(&codes::NO_COMMON_FAMILY, message).help(help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Families = Families {
        v4: false,
        v6: false,
    };

    fn check(src: Families, dst: Families, protocol: Protocol, expected: Families) {
        assert_eq!(src.common(dst, protocol), expected);
        assert_eq!(dst.common(src, protocol), expected);
    }

    #[test]
    fn two_ends_meet_in_the_families_of_both_that_carry_the_protocol() {
        let [v4, v6] = [Family::V4, Family::V6].map(Families::only);
        check(Families::ALL, Families::ALL, Protocol::TCP, Families::ALL);
        check(Families::ALL, v6, Protocol::TCP, v6);
        check(v4, v6, Protocol::TCP, NONE);
        check(NONE, v6, Protocol::TCP, v6);
        check(NONE, Families::ALL, Protocol::TCP, Families::ALL);
        check(NONE, NONE, Protocol::TCP, v4);
        check(NONE, NONE, Protocol::ICMPV6, v6);
        check(v6, v6, Protocol::ICMP, NONE);
        check(Families::ALL, Families::ALL, Protocol::ICMP, v4);
    }
}
