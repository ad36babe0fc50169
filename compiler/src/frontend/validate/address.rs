//! Rules on addresses.
//!
//! Input: a CIDR as text. Output: the block, as older API servers read it, and what newer ones hold against it.
//! Guarantee: [`is_strict_cidr`] takes what Go's `netip.ParsePrefix` takes, except IPv4 mapped into IPv6.

use crate::frontend::address::{block, split_cidr};
use ipnet::IpNet;
use std::net::IpAddr;

/// A CIDR as API servers up to 1.35 read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr {
    /// The address, host bits included.
    pub(super) address: IpAddr,
    /// The length of the prefix, as written.
    pub(super) length: u8,
    /// What it covers.
    block: IpNet,
}

/// Why newer API servers refuse a CIDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    LeadingZeros,
    MappedAddress,
    HostBits,
}

impl Cidr {
    /// Reads a CIDR as older API servers do.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = split_cidr(text)?;
        let block = block(address, length)?;
        Some(Self {
            address,
            length,
            block,
        })
    }

    /// What newer API servers object to, if anything.
    pub(super) fn objection(self, text: &str) -> Option<Objection> {
        if !is_strict_prefix(text) {
            Some(Objection::LeadingZeros)
        } else if is_mapped(self.address) {
            Some(Objection::MappedAddress)
        } else if has_host_bits(self.address, self.length) {
            Some(Objection::HostBits)
        } else {
            None
        }
    }

    /// The CIDR as newer API servers want it.
    pub(super) fn canonical(self) -> String {
        self.block.to_string()
    }

    /// Whether the address of another one, as it is written, lies in this block: Go's `Prefix.Contains`.
    pub(super) fn contains_address(self, other: Self) -> bool {
        self.block.contains(&other.address)
    }

    /// Whether `inner` lies in this block and is smaller, as Go's `IPNet.Contains` and `Mask.Size` tell it.
    pub(super) fn strictly_contains(self, inner: Self) -> bool {
        self.length < inner.length && self.block.contains(&inner.block.network())
    }
}

fn has_host_bits(address: IpAddr, length: u8) -> bool {
    IpNet::new(address, length).is_ok_and(|net| net.network() != address)
}

/// Whether the definitions of custom resources take the text: CEL's `isCIDR`.
pub(super) fn is_strict_cidr(text: &str) -> bool {
    is_strict_prefix(text) && Cidr::parse(text).is_some_and(|cidr| !is_mapped(cidr.address))
}

/// Whether Go's `netip.ParsePrefix` takes the text.
pub(super) fn is_strict_prefix(text: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn objection(text: &str) -> Option<Objection> {
        Cidr::parse(text).unwrap().objection(text)
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
