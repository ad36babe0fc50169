//! The reader of captures against Wireshark's, packet by packet, on every capture in `testdata/trace`.
//!
//! Runs where `tshark` is installed; with `VERDICT_TSHARK=required`, its absence is a failure.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use verdict_compiler::trace::inspect::{Inspected, Item, inspect};
use verdict_compiler::trace::{Passed, Tunnels};

const FIELDS: [&str; 19] = [
    "frame.time_epoch",
    "frame.len",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "ip.proto",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "sctp.srcport",
    "sctp.dstport",
    "icmp.type",
    "icmp.code",
    "icmpv6.type",
    "icmpv6.code",
    "tcp.flags",
    "ipv6.hlim",
];

/// What Wireshark makes of the packets of a capture, one row each; `None` where it is not installed.
fn tshark(capture: &Path, within: bool) -> Option<Vec<Vec<String>>> {
    let occurrence = if within {
        "occurrence=l"
    } else {
        "occurrence=f"
    };
    let mut command = Command::new("tshark");
    command
        .args(["-n", "-T", "fields", "-E", "separator=|", "-E", occurrence])
        .args(["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"])
        .args(["-d", "udp.port==8472,vxlan"])
        .args(FIELDS.iter().flat_map(|field| ["-e", field]))
        .arg("-r")
        .arg(capture);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            let is_required =
                std::env::var_os("VERDICT_TSHARK").is_some_and(|wanted| wanted == "required");
            assert!(!is_required, "tshark is required: {error}");
            println!("skipped: tshark is not installed");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows = text
        .lines()
        .map(|line| line.split('|').map(str::to_owned).collect());
    Some(rows.collect())
}

fn ours(capture: &Path, within: bool) -> Vec<(u64, u32, Result<Inspected, Passed>)> {
    let tunnels = Tunnels {
        vxlan: within,
        geneve: within,
    };
    let bytes = std::fs::read(capture).expect("a capture");
    let mut packets = Vec::new();
    inspect(&bytes[..], tunnels, |item| {
        if let Item::Packet(time, length, packet) = item {
            packets.push((time, length, packet));
        }
    })
    .expect("memory");
    packets
}

/// A row by the name of its fields.
struct Row<'a>(&'a [String]);

impl Row<'_> {
    fn text(&self, field: &str) -> Option<&str> {
        let at = FIELDS
            .iter()
            .position(|known| *known == field)
            .expect("a field");
        self.0
            .get(at)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    fn number(&self, field: &str) -> Option<u64> {
        let text = self.text(field)?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }

    fn address(&self, end: &str) -> Option<IpAddr> {
        let field = ["ip", "ipv6"].map(|version| format!("{version}.{end}"));
        field
            .iter()
            .find_map(|field| self.text(field)?.parse().ok())
    }

    /// Seconds with nine digits behind the point.
    fn time(&self) -> Option<u64> {
        let (seconds, rest) = self.text("frame.time_epoch")?.split_once('.')?;
        format!("{seconds}{rest:0<9}").parse().ok()
    }

    fn ports(&self, protocol: u8) -> Option<(u64, u64)> {
        let name = match protocol {
            6 => "tcp",
            17 => "udp",
            132 => "sctp",
            _ => return None,
        };
        Some((
            self.number(&format!("{name}.srcport"))?,
            self.number(&format!("{name}.dstport"))?,
        ))
    }

    /// Whether it is neighbour discovery that nobody off the link can have sent.
    fn is_of_link(&self) -> bool {
        let kind = self.number("icmpv6.type");
        kind.is_some_and(|kind| (133..=137).contains(&kind))
            && self.number("ipv6.hlim") == Some(255)
            // In a tunnel it is what that carries.
            && self.text("ip.src").is_none()
    }

    fn icmp(&self, protocol: u8) -> Option<(u64, u64)> {
        let name = match protocol {
            1 => "icmp",
            58 => "icmpv6",
            _ => return None,
        };
        Some((
            self.number(&format!("{name}.type"))?,
            self.number(&format!("{name}.code"))?,
        ))
    }
}

fn compare(capture: &Path, within: bool) -> bool {
    let Some(theirs) = tshark(capture, within) else {
        return false;
    };
    let ours = ours(capture, within);
    let name = capture.display();
    // Wireshark reads no further than the first defect.
    let is_whole = !["broken.pcapng", "interfaces.pcapng"]
        .iter()
        .any(|end| capture.ends_with(end));
    assert!(
        theirs.len() == ours.len() || (!is_whole && theirs.len() < ours.len()),
        "{name}: {} and {}",
        theirs.len(),
        ours.len()
    );
    assert!(!theirs.is_empty(), "{name}");
    for (number, (row, (time, length, packet))) in theirs.iter().zip(&ours).enumerate() {
        let row = Row(row);
        let at = format!("{name}, packet {number}: {packet:?} and {:?}", row.0);
        if let Some(known) = row.time() {
            assert_eq!(known, *time, "{at}");
        }
        assert_eq!(row.number("frame.len"), Some(u64::from(*length)), "{at}");
        let packet = match packet {
            Ok(packet) => packet,
            Err(Passed::NoIp(_) | Passed::NotNetwork | Passed::Link(_)) => {
                // Around what is no IP a tunnel has addresses.
                assert!(within || row.address("src").is_none(), "{at}");
                continue;
            }
            Err(Passed::Neighbours) => {
                assert!(row.is_of_link(), "{at}");
                continue;
            }
            Err(_) => continue,
        };
        assert!(!row.is_of_link(), "{at}");
        assert_eq!(row.address("src"), Some(packet.src), "{at}");
        assert_eq!(row.address("dst"), Some(packet.dst), "{at}");
        if packet.src.is_ipv4() {
            assert_eq!(row.number("ip.proto"), Some(packet.protocol.into()), "{at}");
        }
        let wide = |(one, other): (u16, u16)| (u64::from(one), u64::from(other));
        if packet.icmp.is_none() {
            assert_eq!(row.ports(packet.protocol), packet.ports.map(wide), "{at}");
        }
        let icmp = packet
            .icmp
            .map(|(kind, code)| (u64::from(kind), u64::from(code)));
        assert_eq!(row.icmp(packet.protocol), icmp, "{at}");
        if let (Some(flags), Some([syn, ack, fin, rst])) = (row.number("tcp.flags"), packet.flags) {
            let set = [(syn, 2), (ack, 16), (fin, 1), (rst, 4)];
            let found: u64 = set
                .iter()
                .map(|(is_set, bit)| if *is_set { *bit } else { 0 })
                .sum();
            assert_eq!(flags & 0x17, found, "{at}");
        }
    }
    true
}

#[test]
fn every_packet_is_what_wireshark_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/trace");
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut captures: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    captures.retain(|path| {
        path.extension()
            .is_some_and(|end| end == "pcap" || end == "pcapng")
    });
    captures.sort();
    assert!(captures.len() >= 20);
    for capture in &captures {
        if !compare(capture, false) {
            return;
        }
        if capture.ends_with("tunnels.pcap") {
            compare(capture, true);
        }
    }
}
