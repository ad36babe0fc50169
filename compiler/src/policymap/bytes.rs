//! Entries as the kernel has them: keys and values of `cilium_policy_v3` (1.19: `cilium_policy_v2`, the same bytes) and
//! of `cilium_ipcache_v2`.
//!
//! Numbers are in the order of a little-endian machine but for ports, which are in network order.
//! `pkg/maps/policymap/policymap.go`, `pkg/maps/ipcache/ipcache.go`, `bpf/lib/eps.h` of Cilium 1.20

use super::entry::Entry;
use super::node::Address;
use ipnet::IpNet;
use std::net::IpAddr;

/// The bytes of an entry of a policy map, key and value.
pub const POLICY_ENTRY_BYTES: usize = 24;
/// The bits of a policy key in front of protocol and port: identity and direction.
pub const POLICY_STATIC_BITS: u32 = 40;
/// The bits of an ipcache key in front of the address.
const IPCACHE_STATIC_BITS: u32 = 32;

const DENIES: u8 = 1;
/// Where the length of an entry stands in its flags.
const LENGTH_SHIFT: u32 = 3;

const FAMILY_V4: u8 = 1;
const FAMILY_V6: u8 = 2;

/// Flags of an ipcache value.
pub const HAS_TUNNEL: u8 = 1 << 1;
/// The same.
pub const TUNNEL_IS_V6: u8 = 1 << 2;

/// The length of the key of an entry, in bits.
#[must_use]
pub fn prefix_length(entry: &Entry) -> u32 {
    POLICY_STATIC_BITS + u32::from(entry.block.length)
}

/// The flags of an entry.
#[must_use]
pub fn flags(entry: &Entry) -> u8 {
    (u8::from(entry.denies) * DENIES) | (entry.block.length << LENGTH_SHIFT)
}

/// The flags of an address.
#[must_use]
pub fn address_flags(address: Address) -> u8 {
    match address.tunnel {
        None => 0,
        Some(IpAddr::V4(_)) => HAS_TUNNEL,
        Some(IpAddr::V6(_)) => HAS_TUNNEL | TUNNEL_IS_V6,
    }
}

/// The key of an entry of a policy map.
#[must_use]
pub fn policy_key(entry: &Entry) -> Vec<u8> {
    let mut key = Vec::with_capacity(12);
    key.extend(prefix_length(entry).to_le_bytes());
    key.extend(entry.identity.to_le_bytes());
    key.push(u8::from(entry.egress));
    key.push(entry.block.protocol);
    key.extend(entry.block.port.to_be_bytes());
    key
}

/// The value of an entry of a policy map.
#[must_use]
pub fn policy_value(entry: &Entry) -> Vec<u8> {
    const NO_COOKIE: u32 = 0;
    let mut value = Vec::with_capacity(12);
    value.extend(entry.proxy.to_be_bytes());
    value.push(flags(entry));
    value.push(entry.auth.0);
    value.extend(entry.precedence.to_le_bytes());
    value.extend(NO_COOKIE.to_le_bytes());
    value
}

/// The key of a block of addresses in the ipcache.
#[must_use]
pub fn ipcache_key(block: IpNet) -> Vec<u8> {
    const OWN_CLUSTER: [u8; 2] = [0; 2];
    const PADDING: u8 = 0;
    let mut key = Vec::with_capacity(24);
    let length = IPCACHE_STATIC_BITS + u32::from(block.prefix_len());
    key.extend(length.to_le_bytes());
    key.extend(OWN_CLUSTER);
    key.push(PADDING);
    key.push(match block {
        IpNet::V4(_) => FAMILY_V4,
        IpNet::V6(_) => FAMILY_V6,
    });
    key.extend(sixteen(block.network()));
    key
}

/// The value of a block of addresses in the ipcache.
#[must_use]
pub fn ipcache_value(address: Address) -> Vec<u8> {
    const PADDING: [u8; 2] = [0; 2];
    const NO_ENCRYPTION: u8 = 0;
    let mut value = Vec::with_capacity(24);
    value.extend(address.identity.to_le_bytes());
    value.extend(address.tunnel.map_or([0; 16], sixteen));
    value.extend(PADDING);
    value.push(NO_ENCRYPTION);
    value.push(address_flags(address));
    value
}

/// An address in 16 bytes, one of IPv4 in the first four.
fn sixteen(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    }
}
