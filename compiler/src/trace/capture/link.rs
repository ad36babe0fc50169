//! From a captured frame to its IP packet.
//!
//! Source: <https://www.tcpdump.org/linktypes.html>.

use super::Passed;

/// The link types that are read.
pub(super) const ETHERNET: u16 = 1;
const NULL: u16 = 0;
const RAW: [u16; 3] = [101, 12, 14];
const LOOP: u16 = 108;
const LINUX_COOKED: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const NFLOG: u16 = 239;
const LINUX_COOKED_2: u16 = 276;

/// Types of Ethernet.
const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86DD;
const TYPES_VLAN: [u16; 3] = [0x8100, 0x88A8, 0x9100];

/// How many tags of VLANs stand behind each other at most.
const MAX_TAGS: usize = 8;

/// The IP packet in a frame.
pub(super) fn network(link: u16, big_endian: bool, data: &[u8]) -> Result<&[u8], Passed> {
    match link {
        ETHERNET => ethernet(data),
        LINUX_COOKED => typed(data, 14, 16),
        LINUX_COOKED_2 => typed(data, 0, 20),
        NULL | LOOP => family(data),
        NFLOG => nflog(data, big_endian),
        IPV4 | IPV6 => Ok(data),
        link if RAW.contains(&link) => Ok(data),
        link => Err(Passed::Link(link)),
    }
}

/// The IP packet in a frame of Ethernet.
pub(super) fn ethernet(data: &[u8]) -> Result<&[u8], Passed> {
    typed(data, 12, 14)
}

fn short(data: &[u8], at: usize) -> Result<u16, Passed> {
    let bytes = data.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u16::from_be_bytes).ok_or(Passed::Cut)
}

/// What stands behind a header that has a type of Ethernet at `at` and ends at `end`.
fn typed(data: &[u8], at: usize, end: usize) -> Result<&[u8], Passed> {
    let mut kind = short(data, at)?;
    let mut rest = data.get(end..).ok_or(Passed::Cut)?;
    for _ in 0..MAX_TAGS {
        match kind {
            TYPE_IPV4 | TYPE_IPV6 => return Ok(rest),
            tag if TYPES_VLAN.contains(&tag) => {
                kind = short(rest, 2)?;
                rest = rest.get(4..).ok_or(Passed::Cut)?;
            }
            // A length, not a type: IEEE 802.3 without IP.
            0..0x0600 => return Err(Passed::NotNetwork),
            kind => return Err(Passed::NoIp(kind)),
        }
    }
    Err(Passed::Malformed)
}

/// A family of addresses in front, in the byte order of the machine or of the network. That of IPv6 differs between
/// systems.
fn family(data: &[u8]) -> Result<&[u8], Passed> {
    let (family, rest) = data.split_first_chunk::<4>().ok_or(Passed::Cut)?;
    let family = u32::from_be_bytes(*family);
    match family.min(family.swap_bytes()) {
        2 | 10 | 24 | 28 | 30 => Ok(rest),
        _ => Err(Passed::NotNetwork),
    }
}

/// Attributes, each with a length and a type in the byte order of the machine; one of them holds the packet.
fn nflog(data: &[u8], big_endian: bool) -> Result<&[u8], Passed> {
    const PAYLOAD: u16 = 9;
    let mut rest = data.get(4..).ok_or(Passed::Cut)?;
    while let Some((header, _)) = rest.split_first_chunk::<4>() {
        let [a, b, c, d] = *header;
        let (length, kind) = if big_endian {
            (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        } else {
            (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
        };
        let length = usize::from(length);
        if length < header.len() {
            return Err(Passed::Malformed);
        }
        if kind & 0x7FFF == PAYLOAD {
            // Of one that was cut off the beginning is there.
            return rest.get(4..length.min(rest.len())).ok_or(Passed::Cut);
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Err(Passed::Cut)
}
