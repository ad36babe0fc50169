//! Rules on addresses.
//!
//! Input: a CIDR as text. Output: the block, as Go's older parser reads it, and what newer API servers hold
//! against it. Guarantee: [`parse_cidr`] takes what `ParseCIDRSloppy` of `k8s.io/utils/net` takes, and nothing
//! else; [`is_strict_cidr`] what Go's `netip.ParsePrefix` takes.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Go's limit on a number in an address.
const TOO_BIG: u32 = 0xFF_FFFF;

/// A CIDR as API servers up to 1.35 read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr {
    /// The address, host bits included.
    pub(super) address: IpAddr,
    /// The length of the prefix, as written.
    pub(super) length: u8,
}

/// Why newer API servers refuse a CIDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    LeadingZeros,
    MappedAddress,
    HostBits,
}

/// The block of addresses that a CIDR covers, host bits dropped and leading zeros read as decimal; an IPv4
/// address that is mapped into IPv6 is that of IPv4.
#[must_use]
pub fn parse_cidr(text: &str) -> Option<IpNet> {
    Cidr::parse(text).map(Cidr::block)
}

impl Cidr {
    /// Reads a CIDR as Go's `net.ParseCIDR` did up to Go 1.16.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let (address, bits) = match parse_v4(address.as_bytes()) {
            Some(address) => (IpAddr::V4(address), 32),
            None => (IpAddr::V6(parse_v6(address.as_bytes())?), 128),
        };
        let (length, rest) = decimal(length.as_bytes())?;
        let length = u8::try_from(length).ok().filter(|length| *length <= bits)?;
        rest.is_empty().then_some(Self { address, length })
    }

    /// What newer API servers object to, if anything.
    pub(super) fn objection(self, text: &str) -> Option<Objection> {
        if !is_strict_prefix(text) {
            Some(Objection::LeadingZeros)
        } else if is_mapped(self.address) {
            Some(Objection::MappedAddress)
        } else if self.network() != self.address {
            Some(Objection::HostBits)
        } else {
            None
        }
    }

    /// The CIDR as newer API servers want it.
    pub(super) fn canonical(self) -> String {
        self.block().to_string()
    }

    /// Whether `inner` lies in this block and is smaller, as Go's `IPNet.Contains` and `Mask.Size` tell it.
    pub(super) fn strictly_contains(self, inner: Self) -> bool {
        self.length < inner.length && self.block().contains(&inner.block().network())
    }

    fn network(self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                Ipv4Net::new(address, self.length).map_or(self.address, |net| net.network().into())
            }
            IpAddr::V6(address) => {
                Ipv6Net::new(address, self.length).map_or(self.address, |net| net.network().into())
            }
        }
    }

    fn block(self) -> IpNet {
        let network = self.network();
        if let IpAddr::V6(address) = network
            && let Some(mapped) = address.to_ipv4_mapped()
            && let Ok(net) = Ipv4Net::new(mapped, self.length.saturating_sub(96))
        {
            return net.into();
        }
        IpNet::new(network, self.length).unwrap_or_else(|_| network.into())
    }
}

/// Whether the definitions of custom resources take the text: CEL's `isCIDR`.
pub(super) fn is_strict_cidr(text: &str) -> bool {
    is_strict_prefix(text) && Cidr::parse(text).is_some_and(|cidr| !is_mapped(cidr.address))
}

/// Whether Go's `netip.ParsePrefix` takes the text.
fn is_strict_prefix(text: &str) -> bool {
    text.rsplit_once('/').is_some_and(|(address, length)| {
        let is_canonical = length == "0" || !length.starts_with(['0', '+']);
        let most = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        is_canonical && length.parse::<u8>().is_ok_and(|length| length <= most)
    })
}

fn is_mapped(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.to_ipv4_mapped().is_some(),
    }
}

/// The digits at the start as a number, and what follows them.
fn decimal(text: &[u8]) -> Option<(u32, &[u8])> {
    number(text, 10)
}

fn number(text: &[u8], radix: u32) -> Option<(u32, &[u8])> {
    let mut value = 0;
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let Some(digit) = char::from(*first).to_digit(radix) else {
            break;
        };
        value = value * radix + digit;
        if value >= TOO_BIG {
            return None;
        }
        rest = tail;
    }
    (rest.len() < text.len()).then_some((value, rest))
}

/// Four decimal numbers; leading zeros mean nothing.
fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut bytes = [0; 4];
    let mut rest = text;
    for (index, byte) in bytes.iter_mut().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        let (value, tail) = decimal(rest)?;
        *byte = u8::try_from(value).ok()?;
        rest = tail;
    }
    rest.is_empty().then(|| Ipv4Addr::from(bytes))
}

/// Eight groups, at most one `::`, the last two groups perhaps in IPv4's notation.
fn parse_v6(text: &[u8]) -> Option<Ipv6Addr> {
    let mut groups: Vec<u16> = Vec::with_capacity(8);
    let mut gap = None;
    let mut rest = text;
    if let Some(tail) = rest.strip_prefix(b"::") {
        gap = Some(0);
        rest = tail;
        if rest.is_empty() {
            return Some(Ipv6Addr::UNSPECIFIED);
        }
    }
    while groups.len() < 8 {
        let (value, tail) = number(rest, 16)?;
        let group = u16::try_from(value).ok()?;
        if tail.first() == Some(&b'.') {
            if groups.len() > 6 || (gap.is_none() && groups.len() != 6) {
                return None;
            }
            let [a, b, c, d] = parse_v4(rest)?.octets();
            groups.extend([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
            rest = &[];
            break;
        }
        groups.push(group);
        rest = tail;
        if rest.is_empty() {
            break;
        }
        rest = rest.strip_prefix(b":").filter(|tail| !tail.is_empty())?;
        if let Some(tail) = rest.strip_prefix(b":") {
            if gap.replace(groups.len()).is_some() {
                return None;
            }
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
    }
    rest.is_empty().then(|| fill(groups, gap)).flatten()
}

/// Puts zeros where the `::` stands.
fn fill(mut groups: Vec<u16>, gap: Option<usize>) -> Option<Ipv6Addr> {
    let missing = 8_usize.checked_sub(groups.len())?;
    match gap {
        Some(at) if missing > 0 => {
            groups.splice(at..at, std::iter::repeat_n(0, missing));
        }
        None if missing == 0 => {}
        Some(_) | None => return None,
    }
    <[u16; 8]>::try_from(groups).ok().map(Ipv6Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objection(text: &str) -> Option<Objection> {
        Cidr::parse(text).unwrap().objection(text)
    }

    #[test]
    fn cidrs_as_older_servers_read_them() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("010.000.0.0/08", "10.0.0.0/8"),
            ("::/0", "::/0"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("2001:00db8::1/32", "2001:db8::/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("1:2:3:4:5:6:7::/128", "1:2:3:4:5:6:7:0/128"),
        ] {
            assert_eq!(parse_cidr(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_cidr() {
        for text in [
            "",
            "/",
            "10.0.0.0",
            "10.0.0/8",
            "10.0.0.0.0/8",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "10.0.0.0/8/8",
            "10.0.0.256/8",
            " 10.0.0.0/8",
            "10.0.0.0/8 ",
            "fe80::1%eth0/64",
            "::/129",
            ":::/1",
            "1::2::3/64",
            "1:2:3:4:5:6:7:8:9/64",
            "1:2:3:4::5:6:7:8/64",
            "1:2/64",
            "10.0.0.0/255.0.0.0",
            "x/8",
            "1:/8",
            ":1/8",
            "99999999999999999999.0.0.0/8",
            "12345::/16",
            "::1.2.3/96",
        ] {
            assert_eq!(parse_cidr(text), None, "{text}");
        }
    }

    #[test]
    fn what_newer_servers_object_to() {
        assert_eq!(objection("10.0.0.0/8"), None);
        assert_eq!(objection("2001:db8::/32"), None);
        assert_eq!(objection("010.0.0.0/8"), Some(Objection::LeadingZeros));
        assert_eq!(objection("10.0.0.0/08"), Some(Objection::LeadingZeros));
        assert_eq!(
            objection("::ffff:10.0.0.0/104"),
            Some(Objection::MappedAddress)
        );
        assert_eq!(objection("10.0.0.1/8"), Some(Objection::HostBits));
        assert_eq!(objection("2001:db8::1/32"), Some(Objection::HostBits));
    }

    #[test]
    fn custom_resources_take_host_bits_but_no_other_spelling() {
        assert!(is_strict_cidr("10.0.0.1/8"));
        assert!(!is_strict_cidr("010.0.0.0/8"));
        assert!(!is_strict_cidr("10.0.0.0/08"));
        assert!(!is_strict_cidr("::ffff:10.0.0.0/104"));
        assert!(!is_strict_cidr("zc00::/8"));
    }
}
