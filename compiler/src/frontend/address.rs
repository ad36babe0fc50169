//! Addresses and blocks as Kubernetes' lenient parsers read them.
//!
//! Decimal numbers may have leading zeros, bits behind the prefix are cut off, and an IPv4 address that is
//! mapped into IPv6 is the IPv4 address. What newer API servers refuse of this is a matter of validation.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    match text.rsplit_once(':') {
        Some((front, back)) => {
            let back = parse_padded_v4(back)?;
            format!("{front}:{back}")
                .parse::<Ipv6Addr>()
                .ok()
                .map(|address| IpAddr::V6(address).to_canonical())
        }
        None => parse_padded_v4(text).map(IpAddr::V4),
    }
}

fn parse_padded_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        *octet = part.parse::<u8>().ok().filter(|_| digits)?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// A block; bits behind its prefix are cut off.
#[must_use]
pub fn parse_cidr(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let length = length
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| length.parse::<u8>().ok())??;
    let address_is_v6 = address.contains(':');
    Some(
        match parse_ip(address)? {
            IpAddr::V4(address) if address_is_v6 => mapped(address, length)?,
            IpAddr::V4(address) => IpNet::V4(Ipv4Net::new(address, length).ok()?),
            IpAddr::V6(address) => IpNet::V6(Ipv6Net::new(address, length).ok()?),
        }
        .trunc(),
    )
}

/// `::ffff:a.b.c.d/n`: an IPv4 block where the prefix reaches into the IPv4 part.
fn mapped(address: Ipv4Addr, length: u8) -> Option<IpNet> {
    match length.checked_sub(96) {
        Some(length) => Ipv4Net::new(address, length).ok().map(IpNet::V4),
        None => Ipv6Net::new(address.to_ipv6_mapped(), length)
            .ok()
            .map(IpNet::V6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
