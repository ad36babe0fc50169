//! Peers, addresses and packets in words.

use super::{Listing, Party, Peer, PeerId};
use crate::cluster::Protocol;
use crate::flows::Packets;
use crate::ranges::Ranges;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What says that every packet is meant.
const EVERYTHING: &str = "everything";

/// Packets: `TCP 80,443, UDP 53`, `everything`, `everything but TCP 22`.
#[must_use]
pub fn packets(packets: &Packets) -> String {
    if !packets.has_others() {
        return protocols(packets);
    }
    let mut missing = packets.complement();
    // One family carries ICMP, the other ICMPv6: what no packet can be is not missing.
    for one in [Protocol::ICMP, Protocol::ICMPV6] {
        let whole = Packets::of_protocol(one);
        if whole.minus(&missing).is_empty() {
            missing = missing.minus(&whole);
        }
    }
    if missing.is_empty() {
        EVERYTHING.into()
    } else {
        format!("{EVERYTHING} but {}", protocols(&missing))
    }
}

fn protocols(packets: &Packets) -> String {
    let told = packets.told().map(|(protocol, numbers)| {
        let whole = Packets::of_protocol(protocol);
        if whole.minus(packets).is_empty() {
            protocol.to_string()
        } else {
            format!("{protocol} {}", numbers_text(numbers))
        }
    });
    told.collect::<Vec<_>>().join(", ")
}

fn numbers_text(numbers: &Ranges<u16>) -> String {
    let texts = numbers.iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    texts.collect::<Vec<_>>().join(",")
}

/// A peer as the command line takes it: `shop/web`, or `shop/deployment/web` where another has that name.
#[must_use]
pub fn peer(listing: &Listing<'_>, id: PeerId) -> String {
    let Some(peer) = listing.peer(id) else {
        return String::new();
    };
    let Peer {
        namespace, name, ..
    } = peer;
    let beside = [id.0.checked_sub(1), id.0.checked_add(1)];
    let same = |other: &Peer| other.namespace == *namespace && other.name == *name;
    let ambiguous = beside
        .into_iter()
        .flatten()
        .filter_map(|index| listing.peer(PeerId(index)))
        .any(same);
    match &peer.workload {
        Some(kind) if ambiguous => format!("{namespace}/{}/{name}", kind.to_lowercase()),
        Some(_) | None => format!("{namespace}/{name}"),
    }
}

/// Some parties: whole namespaces and everyone by such a name, then addresses.
#[must_use]
pub fn parties(listing: &Listing<'_>, parties: &[Party]) -> Vec<String> {
    let mut by_namespace: BTreeMap<&str, Vec<PeerId>> = BTreeMap::new();
    let mut addresses = Vec::new();
    for party in parties {
        match party {
            Party::Peer(id) => {
                let namespace = listing.peer(*id).map_or("", |peer| &peer.namespace);
                by_namespace.entry(namespace).or_default().push(*id);
            }
            Party::Outside(id) => addresses.push(outside(listing.addresses(*id))),
        }
    }
    let named: usize = by_namespace.values().map(Vec::len).sum();
    let mut words = Vec::new();
    if named > 1 && named == listing.peers().len() {
        words.push("every workload".to_owned());
    } else {
        for (namespace, ids) in by_namespace {
            let all = listing.peers().iter();
            let here = all.filter(|peer| *peer.namespace == *namespace).count();
            if ids.len() == here && here > 1 {
                words.push(format!("{namespace}/* ({here})"));
            } else {
                words.extend(ids.into_iter().map(|id| peer(listing, id)));
            }
        }
    }
    words.extend(addresses);
    words
}

/// Addresses outside: `outside`, or blocks and ranges of it.
#[must_use]
pub fn outside(addresses: &[(IpAddr, IpAddr)]) -> String {
    let whole = addresses.iter().all(|run| is_family(*run));
    match addresses {
        [_] | [_, _] if whole => {
            let families = addresses.iter().map(|(first, _)| family(*first));
            let families: Vec<&str> = families.collect();
            format!("outside ({})", families.join(", "))
        }
        runs => {
            let texts = runs.iter().map(|run| run_text(*run));
            format!("outside {}", texts.collect::<Vec<_>>().join(", "))
        }
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Whether a run is all addresses of its family.
fn is_family((first, last): (IpAddr, IpAddr)) -> bool {
    first.is_unspecified() && block((first, last)).is_some_and(|net| net.prefix_len() == 0)
}

/// A run as a block where it is one.
fn run_text((first, last): (IpAddr, IpAddr)) -> String {
    match block((first, last)) {
        Some(_) if first == last => first.to_string(),
        Some(net) => net.to_string(),
        None => format!("{first}-{last}"),
    }
}

fn block((first, last): (IpAddr, IpAddr)) -> Option<IpNet> {
    let prefix = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (first.to_bits() ^ last.to_bits()).leading_zeros(),
        (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits() ^ last.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    let net = IpNet::new(first, u8::try_from(prefix).ok()?).ok()?;
    (net.network() == first && net.broadcast() == last).then_some(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: &str, last: &str) -> (IpAddr, IpAddr) {
        (first.parse().unwrap(), last.parse().unwrap())
    }

    #[test]
    fn runs_are_blocks_where_they_can() {
        for (first, last, expected) in [
            ("10.0.0.0", "10.255.255.255", "10.0.0.0/8"),
            ("10.0.0.0", "11.255.255.255", "10.0.0.0/7"),
            ("10.0.0.1", "10.0.0.2", "10.0.0.1-10.0.0.2"),
            ("11.0.0.0", "12.255.255.255", "11.0.0.0-12.255.255.255"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
            ("2001:db8::", "2001:db8::ffff", "2001:db8::/112"),
        ] {
            assert_eq!(run_text(run(first, last)), expected);
        }
    }

    #[test]
    fn everyone_outside_is_a_word() {
        let v4 = run("0.0.0.0", "255.255.255.255");
        let v6 = run("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        assert_eq!(outside(&[v4]), "outside (IPv4)");
        assert_eq!(outside(&[v4, v6]), "outside (IPv4, IPv6)");
        assert_eq!(
            outside(&[run("0.0.0.0", "127.255.255.255")]),
            "outside 0.0.0.0/1"
        );
    }

    #[test]
    fn packets_are_said_shortly() {
        let tcp = |first, last| Packets::of(Protocol::TCP, &Ranges::new(vec![(first, last)]));
        assert_eq!(packets(&Packets::all()), "everything");
        let v4 = Packets::carried_by(crate::query::Family::V4);
        assert_eq!(packets(&v4), "everything");
        assert_eq!(packets(&v4.minus(&tcp(22, 22))), "everything but TCP 22");
        let both = tcp(80, 90).union(&Packets::of_protocol(Protocol::UDP));
        assert_eq!(packets(&both), "TCP 80-90, UDP");
    }
}
