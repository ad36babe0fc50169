//! Peers, addresses and packets in words.

use super::peers::NODES;
use super::report::{self, PeerReport, Ports};
use super::{Directory, Party, Peer, PeerId};
use crate::cluster::Protocol;
use crate::diagnostic::counted;
use crate::flows::{Answer, Packets};
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

/// Packets as `explain --port` takes them, separated by spaces: `80/TCP 443/TCP /UDP`, `ANY`; `other` stands for
/// all protocols that are not named.
#[must_use]
pub fn ports(of: &Packets) -> String {
    if packets(of) == EVERYTHING {
        return "ANY".into();
    }
    let mut words = Vec::new();
    for protocol in report::protocols(of) {
        let name = protocol.to_string();
        // `protocol 47` is `/47` in a question.
        let name = name.strip_prefix("protocol ").unwrap_or(&name);
        if is_whole(protocol, of) {
            words.push(format!("/{name}"));
        } else {
            let numbers = of.of_this(protocol);
            let ranges = numbers.iter().map(range_text);
            words.extend(ranges.map(|range| format!("{range}/{name}")));
        }
    }
    words.extend(of.has_others().then(|| report::OTHER.to_owned()));
    words.join(" ")
}

fn protocols(packets: &Packets) -> String {
    let told = packets.told().map(|(protocol, numbers)| {
        if is_whole(protocol, packets) {
            protocol.to_string()
        } else {
            format!("{protocol} {}", numbers_text(numbers))
        }
    });
    told.collect::<Vec<_>>().join(", ")
}

/// Whether every packet of a protocol is among these.
fn is_whole(protocol: Protocol, packets: &Packets) -> bool {
    Packets::of_protocol(protocol).minus(packets).is_empty()
}

fn numbers_text(numbers: &Ranges<u16>) -> String {
    let texts: Vec<String> = numbers.iter().map(range_text).collect();
    texts.join(",")
}

fn range_text((first, last): (u16, u16)) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

/// A peer as the command line takes it: `shop/web`, or `shop/deployment/web` where another has that name, and where `shop` is
/// `node`, which stands for nodes.
#[must_use]
pub fn peer(directory: &Directory, id: PeerId) -> String {
    let Some(peer) = directory.peer(id) else {
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
        .filter_map(|index| directory.peer(PeerId(index)))
        .any(same);
    let is_like_node = **namespace == *NODES && peer.node.is_none();
    match &peer.workload {
        Some(kind) if is_like_node || ambiguous && peer.node.is_none() => {
            format!("{namespace}/{}/{name}", kind.to_lowercase())
        }
        None if is_like_node => format!("{namespace}/pod/{name}"),
        Some(_) | None => format!("{namespace}/{name}"),
    }
}

/// Says parties shortly: whole namespaces, and everyone, by such a name; long lists cut and counted.
#[derive(Debug)]
pub struct Names<'a> {
    directory: &'a Directory,
    /// By namespace, how many peers it has.
    sizes: BTreeMap<&'a str, usize>,
    /// How many names of a namespace, and how many namespaces, are told.
    most: usize,
}

/// Up to how many names stand behind `every workload but`.
const MOST_EXCEPTIONS: usize = 3;

impl<'a> Names<'a> {
    /// For the peers of a directory: of a namespace `most` names are told, and so many namespaces.
    #[must_use]
    pub fn new(directory: &'a Directory, most: usize) -> Self {
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        for peer in directory.peers() {
            *sizes.entry(&peer.namespace).or_default() += 1;
        }
        Self {
            directory,
            sizes,
            most,
        }
    }

    /// How many namespaces have peers.
    #[must_use]
    pub fn namespaces(&self) -> usize {
        self.sizes.len()
    }

    /// What a peer is called: `workload`, or `pod` where pods are listed.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        let mut peers = self.directory.peers().iter();
        if peers.any(|peer| peer.workload.is_none()) {
            "pod"
        } else {
            "workload"
        }
    }

    /// Some parties in one line: `shop/{api, web}, payments/* (2), outside (IPv4)`; `outside` alone is all
    /// of both families.
    #[must_use]
    pub fn of(&self, parties: &[Party]) -> String {
        let mut by_namespace: BTreeMap<&str, Vec<PeerId>> = BTreeMap::new();
        let mut addresses: Vec<(IpAddr, IpAddr)> = Vec::new();
        for party in parties {
            match party {
                Party::Peer(id) => {
                    let namespace = self.directory.peer(*id).map_or("", |peer| &peer.namespace);
                    by_namespace.entry(namespace).or_default().push(*id);
                }
                Party::Outside(id) => addresses.extend(self.directory.addresses(*id)),
            }
        }
        let mut words = self.nearly_everyone(&by_namespace).unwrap_or_else(|| {
            let named = by_namespace.iter().take(self.most);
            let mut words: Vec<String> = named.map(|(name, ids)| self.within(name, ids)).collect();
            let cut: Vec<usize> = by_namespace
                .values()
                .skip(self.most)
                .map(Vec::len)
                .collect();
            if !cut.is_empty() {
                let (peers, namespaces) = (cut.iter().sum(), cut.len());
                words.push(format!(
                    "… {} in {}",
                    counted::<usize>(peers, &format!("more {}", self.noun())),
                    counted(namespaces, "namespace")
                ));
            }
            words
        });
        if !addresses.is_empty() {
            addresses.sort_unstable();
            let families = addresses.iter().filter(|run| is_family(**run)).count();
            words.push(match (families, addresses.len()) {
                (2, 2) => "outside".into(),
                _ => outside(&addresses),
            });
        }
        words.join(", ")
    }

    fn nearly_everyone(&self, named: &BTreeMap<&str, Vec<PeerId>>) -> Option<Vec<String>> {
        let all = self.directory.peers().len();
        let count: usize = named.values().map(Vec::len).sum();
        let every = format!("every {}", self.noun());
        if count > 1 && count == all {
            return Some(vec![every]);
        }
        let missing = all - count;
        if missing > MOST_EXCEPTIONS || missing * 3 > count || self.sizes.len() < 2 {
            return None;
        }
        let ids = self.directory.peer_ids().filter(|id| {
            let peer = self.directory.peer(*id);
            let named = peer.and_then(|peer| named.get(&*peer.namespace));
            named.is_none_or(|named| named.binary_search(id).is_err())
        });
        let names: Vec<String> = ids.map(|id| peer(self.directory, id)).collect();
        Some(vec![format!("{every} but {}", braces(&names))])
    }

    /// Peers of one namespace.
    fn within(&self, namespace: &str, ids: &[PeerId]) -> String {
        let here = self.sizes.get(namespace).copied().unwrap_or_default();
        if ids.len() == here && here > 1 {
            return format!("{namespace}/* ({here})");
        }
        let prefix = format!("{namespace}/");
        let short = |id: &PeerId| {
            let name = peer(self.directory, *id);
            name.strip_prefix(&prefix)
                .map(str::to_owned)
                .unwrap_or(name)
        };
        let mut names: Vec<String> = ids.iter().take(self.most).map(short).collect();
        match ids.len().saturating_sub(self.most) {
            0 => {}
            // The last name is not longer than the words that it would be cut for.
            1 => names.extend(ids.last().map(short)),
            more => names.push(format!("… {more} more")),
        }
        format!("{prefix}{}", braces(&names))
    }
}

fn braces(names: &[String]) -> String {
    match names {
        [one] => one.clone(),
        several => format!("{{{}}}", several.join(", ")),
    }
}

/// An end as it is reported: `shop/web`, `outside 192.0.2.0/24`.
#[must_use]
pub fn report(end: &PeerReport) -> String {
    match end {
        PeerReport::Workload {
            namespace, name, ..
        }
        | PeerReport::Pod {
            namespace, name, ..
        } => format!("{namespace}/{name}"),
        PeerReport::Node { name } => format!("node/{name}"),
        PeerReport::Ip { ranges } => outside(ranges),
    }
}

/// What stands behind what goes by way of a proxy.
pub const BY_PROXY: &str = " (L7)";

/// What stands behind what passes only where the ends have authenticated.
pub const PROVING: &str = " (authenticated)";

/// Packets of an answer in parts that pass by one way each, with what stands behind each.
pub fn by_way<'p>(
    answer: &'p Answer,
    all: &'p Packets,
) -> impl Iterator<Item = (Packets, &'static str)> {
    let proxied = |is| match is {
        true => all.intersection(&answer.proxied),
        false => all.minus(&answer.proxied),
    };
    let ways = [
        (false, false, ""),
        (true, false, BY_PROXY),
        (false, true, PROVING),
        (true, true, " (L7, authenticated)"),
    ];
    let parts = ways.into_iter().map(move |(by_proxy, proves, mark)| {
        let part = proxied(by_proxy);
        let part = match proves {
            true => part.intersection(&answer.proving),
            false => part.minus(&answer.proving),
        };
        (part, mark)
    });
    parts.filter(|(part, _)| !part.is_empty())
}

/// Ports as they are reported: `TCP 80,443, perhaps UDP 53`.
#[must_use]
pub fn report_ports(ports: &[Ports], depends: &[Ports]) -> String {
    match (ports, depends) {
        (ports, []) => reported(ports),
        ([], depends) => format!("perhaps {}", reported(depends)),
        (ports, depends) => format!("{}, perhaps {}", reported(ports), reported(depends)),
    }
}

fn reported(ports: &[Ports]) -> String {
    let is_whole = |ports: &Ports| {
        matches!(
            ports.ranges.as_slice(),
            [] | [(0 | 1, u16::MAX | 255) | (0, 0)]
        )
    };
    let has = |name: &str| ports.iter().any(|ports| *ports.protocol == *name);
    if ports.iter().all(is_whole) && ["TCP", "UDP", "SCTP", "other"].into_iter().all(has) {
        return EVERYTHING.into();
    }
    let texts = ports.iter().map(|ports| {
        let numbers: Vec<String> = ports.ranges.iter().copied().map(range_text).collect();
        if is_whole(ports) {
            ports.protocol.to_string()
        } else {
            format!("{} {}", ports.protocol, numbers.join(","))
        }
    });
    texts.collect::<Vec<_>>().join(", ")
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
#[must_use]
pub fn run_text((first, last): (IpAddr, IpAddr)) -> String {
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
    fn a_protocol_is_named_alone_only_where_all_of_it_is_meant() {
        let of = |protocol, first, last| Packets::of(protocol, &Ranges::new(vec![(first, last)]));
        for (packets, expected) in [
            (Packets::all(), "ANY"),
            (Packets::of_protocol(Protocol::TCP), "/TCP"),
            (of(Protocol::TCP, 1, 255), "1-255/TCP"),
            (of(Protocol::ICMP, 0, 0), "0/ICMP"),
            (Packets::of_protocol(Protocol::ICMP), "/ICMP"),
            (Packets::of_protocol(Protocol(47)), "/47"),
        ] {
            assert_eq!(ports(&packets), expected);
        }
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
    fn packets_are_ports_of_questions() {
        let tcp = |first, last| Packets::of(Protocol::TCP, &Ranges::new(vec![(first, last)]));
        assert_eq!(ports(&Packets::all()), "ANY");
        let v6 = Packets::carried_by(crate::query::Family::V6);
        assert_eq!(ports(&v6), "ANY");
        let both = tcp(80, 80).union(&tcp(443, 444));
        assert_eq!(ports(&both), "80/TCP 443-444/TCP");
        assert_eq!(
            ports(&both.union(&Packets::of_protocol(Protocol::UDP))),
            "80/TCP 443-444/TCP /UDP"
        );
        assert_eq!(ports(&Packets::of_protocol(Protocol::ICMP)), "/ICMP");
        assert_eq!(ports(&Packets::of_protocol(Protocol(47))), "/47");
        let rest = v6.minus(&Packets::of_protocol(Protocol::TCP));
        assert_eq!(ports(&rest), "/UDP /SCTP /ICMPv6 other");
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
