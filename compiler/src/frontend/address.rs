//! Addresses and blocks as Kubernetes' lenient parsers read them.
//!
//! Input: text. Guarantee: what `ParseIPSloppy` and `ParseCIDRSloppy` of `k8s.io/utils/net` take is taken, and
//! nothing else. Decimal numbers may have leading zeros, bits behind the prefix are cut off, and an IPv4
//! address that is mapped into IPv6 is the IPv4 address. What newer API servers refuse of this is a matter of
//! validation.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Go's limit on a number in an address.
const TOO_BIG: u32 = 0xFF_FFFF;

/// An address.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    parse_any(text).map(|address| address.to_canonical())
}

/// A block; bits behind its prefix are cut off.
#[must_use]
pub fn parse_cidr(text: &str) -> Option<IpNet> {
    let (address, length) = split_cidr(text)?;
    block(address, length)
}

/// A block, or an address that stands for the block of itself.
#[must_use]
pub fn parse_block(text: &str) -> Option<IpNet> {
    let address = || parse_ip(text).map(IpNet::from);
    parse_cidr(text).or_else(address)
}

/// The block of the addresses that share the first `length` bits of `address`.
pub(super) fn block(address: IpAddr, length: u8) -> Option<IpNet> {
    let block = IpNet::new(address, length).ok()?.trunc();
    Some(match block.network() {
        IpAddr::V6(network) => match network.to_ipv4_mapped() {
            // The network of a shorter prefix is not mapped: its prefix lacks bits of the marker.
            Some(mapped) => Ipv4Net::new(mapped, length.saturating_sub(96)).ok()?.into(),
            None => Ipv6Net::new(network, length).ok()?.into(),
        },
        IpAddr::V4(_) => block,
    })
}

/// The address and the length of the prefix, as written.
pub(super) fn split_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address = parse_any(address)?;
    let (length, rest) = number(length.as_bytes(), 10)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = u8::try_from(length).ok().filter(|length| *length <= most)?;
    rest.is_empty().then_some((address, length))
}

fn parse_any(text: &str) -> Option<IpAddr> {
    let text = text.as_bytes();
    parse_v4(text)
        .map(IpAddr::V4)
        .or_else(|| parse_v6(text).map(IpAddr::V6))
}

/// The digits at the start as a number, and what follows them.
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
        let (value, tail) = number(rest, 10)?;
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
    fn blocks_are_read_leniently() {
        let cases = [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("010.0.0.0/08", Some("10.0.0.0/8")),
            ("::ffff:10.1.0.0/104", Some("10.0.0.0/8")),
            ("2001:0DB8::/32", Some("2001:db8::/32")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/+8", None),
            ("10.0.0/8", None),
            ("10.0.0.0", None),
            ("/8", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                parse_cidr(text).map(|block| block.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
