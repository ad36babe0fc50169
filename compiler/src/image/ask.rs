//! A flow asked of an image alone.

use super::{Image, Origin};
use crate::cluster::Protocol;
use crate::lir::transport;
use std::net::{IpAddr, Ipv6Addr};
use verdict_abi::{Action, Code, Config, Query, Section, Tables as _, Use, decide};

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The endpoint of the image that it is.
    pub endpoint: Option<u32>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// What one side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// The code.
    pub code: Code,
    /// Who decides; none where no policy has a say.
    pub origin: Option<&'a Origin>,
}

/// The answer: what is said by each side that is an endpoint of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The addresses that the flow has.
    pub addresses: (IpAddr, IpAddr),
    /// The source's side.
    pub egress: Option<Said<'a>>,
    /// The destination's side.
    pub ingress: Option<Said<'a>>,
}

/// Why a flow cannot be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAsked {
    /// Neither end is an endpoint of the image.
    NoEndpoint,
    /// The ends have no address of one family that carries the protocol.
    Apart,
}

impl Image<'_> {
    /// The end of an address: the endpoint that has it, or anyone else.
    #[must_use]
    pub fn end_of_address(&self, address: IpAddr) -> End {
        let address = address.to_canonical();
        let owned = self.endpoint_addresses().find(|(own, _)| *own == address);
        End {
            endpoint: owned.map(|(_, endpoint)| endpoint),
            addresses: vec![address],
        }
    }

    /// The end that is an endpoint: `namespace/name`.
    #[must_use]
    pub fn end_of_endpoint(&self, name: &str) -> Option<End> {
        let endpoint = self.endpoint(name)?;
        let own = self.endpoint_addresses().filter(|(_, of)| *of == endpoint);
        Some(End {
            endpoint: Some(endpoint),
            addresses: own.map(|(address, _)| address).collect(),
        })
    }

    /// The addresses of endpoints, each with its endpoint.
    fn endpoint_addresses(&self) -> impl Iterator<Item = (IpAddr, u32)> {
        (0..self.count(Config::Addresses)).filter_map(|index| {
            let [upper, lower, endpoint] =
                [0, 1, 2].map(|word| self.word(Section::Addresses, index * 3 + word));
            let bits = u128::from(upper?) << 64 | u128::from(lower?);
            let address = IpAddr::from(Ipv6Addr::from_bits(bits)).to_canonical();
            Some((address, u32::try_from(endpoint?).ok()?))
        })
    }

    /// Asks about a flow between two ends, of which `key` is the [transport key](transport).
    ///
    /// # Errors
    /// Where the image has nothing to say.
    pub fn ask(&self, src: &End, dst: &End, key: u32) -> Result<Asked<'_>, NotAsked> {
        if src.endpoint.is_none() && dst.endpoint.is_none() {
            return Err(NotAsked::NoEndpoint);
        }
        let (protocol, _) = transport::parts(key);
        let addresses = common(src, dst, protocol).ok_or(NotAsked::Apart)?;
        let hairpin = src.endpoint.is_some() && src.endpoint == dst.endpoint;
        let [egress, ingress] = if hairpin {
            [Use::HairpinEgress, Use::HairpinIngress]
        } else {
            [Use::Egress, Use::Ingress]
        };
        Ok(Asked {
            addresses,
            egress: self.side(src, egress, addresses.1, key),
            ingress: self.side(dst, ingress, addresses.0, key),
        })
    }

    fn side(&self, subject: &End, of: Use, other: IpAddr, key: u32) -> Option<Said<'_>> {
        let (protocol, value) = transport::parts(key);
        let query = Query {
            endpoint: subject.endpoint?,
            of,
            leaf: self.leaf(other)?,
            protocol: protocol.0,
            value,
        };
        let (_, code) = decide(self, query)?;
        let origin = code.origin.checked_sub(1);
        Some(Said {
            code,
            origin: origin.and_then(|index| self.source().origins.get(index as usize)),
        })
    }
}

/// An address of each end, of one family that carries the protocol; IPv4 where both have it.
fn common(src: &End, dst: &End, protocol: Protocol) -> Option<(IpAddr, IpAddr)> {
    let families = match protocol {
        Protocol::ICMP => &[true][..],
        Protocol::ICMPV6 => &[false],
        Protocol(_) => &[true, false],
    };
    families.iter().find_map(|v4| {
        let of = |end: &End| {
            end.addresses
                .iter()
                .find(|address| address.is_ipv4() == *v4)
                .copied()
        };
        of(src).zip(of(dst))
    })
}

impl Asked<'_> {
    /// What the sides say together: the first that denies, else one that hangs on something not known, else one by way
    /// of a proxy.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        let sides = || {
            self.egress
                .iter()
                .chain(&self.ingress)
                .map(|said| said.code)
        };
        let any = |what: fn(Code) -> bool| sides().any(what);
        if any(|code| code.action == Action::Deny && !code.depends) {
            "deny"
        } else if any(|code| code.depends) {
            "depends"
        } else if any(|code| code.action == Action::Redirect) {
            "redirect"
        } else {
            "allow"
        }
    }
}
