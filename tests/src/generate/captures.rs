//! Captures: packets of the shop in `testdata/shop`, in every format and over every link that is read.
//!
//! [`files`] makes the files of `testdata/trace`; a test holds the folder to it.

pub mod file;
pub mod packet;

use file::{Block, Order, Record};
use packet::{Ip, Tcp, ethernet, fragments, geneve, icmp, sctp, tagged, udp, v4, v6, vxlan};

/// The ends: pods of the shop, and others.
const WEB: &str = "10.244.1.10";
const API: &str = "10.244.2.20";
const CART: &str = "10.244.2.21";
const PROMETHEUS: &str = "10.244.1.50";
const DNS: &str = "10.244.2.53";
const API_SERVICE: &str = "10.96.1.20";
const DNS_SERVICE: &str = "10.96.0.10";
const OUTSIDE: &str = "203.0.113.9";
const WEB_6: &str = "2001:db8:244:1::10";
const API_6: &str = "2001:db8:244:2::20";

const ETHERNET: u16 = 1;

/// The connections that most files have: one that is allowed, one that is denied and was answered, one that is denied, and
/// a question to DNS.
fn conversation() -> Vec<Ip> {
    let tcp = |ports, flags, sequence, acknowledged| Tcp {
        ports,
        flags,
        sequence,
        acknowledged,
    };
    let mut packets = Vec::new();
    for (client, server, ports, start) in [
        (WEB, API, (40_000, 8080), 100),
        (PROMETHEUS, CART, (41_000, 9102), 200),
    ] {
        let back = (ports.1, ports.0);
        packets.push(v4(client, server, tcp(ports, "S", start, 0).bytes(b"")));
        packets.push(v4(
            server,
            client,
            tcp(back, "SA", 900, start + 1).bytes(b""),
        ));
        packets.push(v4(
            client,
            server,
            tcp(ports, "A", start + 1, 901).bytes(b""),
        ));
        packets.push(v4(
            client,
            server,
            tcp(ports, "PA", start + 1, 901).bytes(b"GET / HTTP/1.1\r\n\r\n"),
        ));
        packets.push(v4(
            server,
            client,
            tcp(back, "FA", 901, start + 20).bytes(b""),
        ));
        packets.push(v4(
            client,
            server,
            tcp(ports, "FA", start + 20, 902).bytes(b""),
        ));
    }
    packets.push(v4(WEB, CART, tcp((42_000, 9000), "S", 300, 0).bytes(b"")));
    packets.push(v4(WEB, DNS, udp((43_000, 53), b"question")));
    packets.push(v4(DNS, WEB, udp((53, 43_000), b"answer")));
    packets
}

/// Packets of every kind, as frames of Ethernet.
fn every_kind() -> Vec<Vec<u8>> {
    let echo = [0x12, 0x34, 0, 1];
    let syn = |ports| Tcp {
        ports,
        flags: "S",
        sequence: u32::from(ports.0),
        acknowledged: 0,
    };
    let lost = v4(WEB, API, udp((44_000, 8080), b"nobody listens"));
    let mut about = vec![0; 4];
    about.extend(lost.bytes());
    let big = [7; 3000];
    let mut frames: Vec<Vec<u8>> = conversation().iter().map(ethernet).collect();
    frames.extend([
        packet::arp(),
        packet::frame(0x88CC, &[2, 7, 4, 0]),
        packet::frame(0x0026, &[0x42, 0x42, 3]),
        tagged(&[0x8100], &v4(WEB, API, syn((40_001, 8080)).bytes(b""))),
        tagged(
            &[0x88A8, 0x8100],
            &v4(WEB, API, syn((40_002, 8080)).bytes(b"")),
        ),
        ethernet(&v4(WEB, API, syn((40_003, 8080)).bytes(b"")).with_options(&[1, 1, 1, 0])),
        ethernet(&v4(WEB, API, sctp((45_000, 8080)))),
        ethernet(&v4(WEB, API, icmp(1, 8, 0, &echo))),
        ethernet(&v4(API, WEB, icmp(1, 0, 0, &echo))),
        ethernet(&lost),
        ethernet(&v4(API, WEB, icmp(1, 3, 3, &about))),
        ethernet(&v4(OUTSIDE, API, icmp(1, 3, 1, &[0; 4]))),
        ethernet(&v4(OUTSIDE, "10.244.1.30", syn((50_000, 8443)).bytes(b""))),
        ethernet(&v4(WEB, API, (47, vec![0, 0, 8, 0]))),
    ]);
    frames.extend(
        fragments(&v4(WEB, API, udp((46_000, 8080), &big)), 7)
            .iter()
            .map(ethernet),
    );
    // The first fragment of this one is not seen.
    frames.extend(
        fragments(&v4(WEB, API, udp((46_001, 8080), &big)), 8)
            .iter()
            .skip(1)
            .map(ethernet),
    );
    frames.extend([
        ethernet(&v6(WEB_6, API_6, syn((40_004, 8080)).bytes(b""))),
        ethernet(&v6(
            API_6,
            WEB_6,
            Tcp {
                flags: "SA",
                ..syn((8080, 40_004))
            }
            .bytes(b""),
        )),
        ethernet(&v6(WEB_6, API_6, syn((40_005, 8080)).bytes(b"")).with_extensions(&[0, 60, 43])),
        ethernet(&v6(WEB_6, API_6, icmp(58, 128, 0, &echo))),
        ethernet(&v6(API_6, WEB_6, icmp(58, 129, 0, &echo))),
        with_hops(
            255,
            &v6(WEB_6, "ff02::1:ff00:20", icmp(58, 135, 0, &[0; 20])),
        ),
    ]);
    frames.extend(
        fragments(&v6(WEB_6, API_6, udp((46_002, 8080), &big)), 9)
            .iter()
            .map(ethernet),
    );
    let mut senseless = ethernet(&v4(WEB, API, udp((1, 2), b"")));
    senseless[14] = 0x43;
    frames.push(senseless);
    frames
}

/// A packet of IPv6 with this hop limit.
fn with_hops(hops: u8, ip: &Ip) -> Vec<u8> {
    let mut bytes = ip.bytes();
    bytes[7] = hops;
    packet::frame(0x86DD, &bytes)
}

/// ICMP that is of no connection, or says that it is about one.
fn errors() -> Vec<Vec<u8>> {
    let neighbour = v6(WEB_6, "ff02::1:ff00:20", icmp(58, 135, 0, &[0; 20]));
    let report = v6("fe80::1", "ff02::16", icmp(58, 143, 0, &[0; 4]));
    let asked = v4(WEB, API, udp((44_000, 8080), b"nobody listens"));
    let ping = v4(WEB, API, icmp(1, 8, 0, &[0x12, 0x34, 0, 1]));
    let about = |ip: &Ip| [vec![0; 4], ip.bytes()].concat();
    vec![
        // From the link, and from anywhere.
        with_hops(255, &neighbour),
        with_hops(254, &neighbour),
        with_hops(1, &report),
        ethernet(&asked),
        // A router on the way, then one that tells somebody else, and one that redirects.
        ethernet(&v4("10.0.0.1", WEB, icmp(1, 11, 0, &about(&asked)))),
        ethernet(&v4("10.0.0.1", CART, icmp(1, 3, 1, &about(&asked)))),
        ethernet(&v4("10.0.0.1", WEB, icmp(1, 5, 1, &about(&asked)))),
        // The other end asks with the same identifier: another connection.
        ethernet(&ping),
        ethernet(&v4(API, WEB, icmp(1, 8, 0, &[0x12, 0x34, 0, 1]))),
        ethernet(&v4("10.0.0.1", WEB, icmp(1, 3, 1, &about(&ping)))),
        // Times are of no connection.
        ethernet(&v4(WEB, API, icmp(1, 13, 0, &[0; 16]))),
        ethernet(&v4(API, WEB, icmp(1, 14, 0, &[0; 16]))),
    ]
}

/// An association of SCTP, from its first packet to its last.
fn association() -> Vec<Vec<u8>> {
    let chunk = |kind: u8| {
        let (protocol, mut bytes) = sctp((45_000, 8080));
        bytes[12] = kind;
        (protocol, bytes)
    };
    let back = |kind: u8| {
        let (protocol, mut bytes) = sctp((8080, 45_000));
        bytes[12] = kind;
        (protocol, bytes)
    };
    let (init, init_ack, data, shutdown, complete) = (1, 2, 0, 7, 14);
    let packets = [
        v4(WEB, API, chunk(init)),
        v4(API, WEB, back(init_ack)),
        v4(WEB, API, chunk(data)),
        v4(API, WEB, back(shutdown)),
        v4(WEB, API, chunk(complete)),
        // It has ended: this opens another.
        v4(WEB, API, chunk(init)),
        // And this is the answer to one that nobody saw.
        v4(CART, WEB, back(init_ack)),
    ];
    packets.iter().map(ethernet).collect()
}

/// Frames a tenth of a second apart.
fn apart(frames: Vec<Vec<u8>>) -> Vec<Record> {
    let records = frames.into_iter().zip(0..);
    records
        .map(|(data, number)| Record {
            time: 1_767_225_600_000_000_000 + number * 100_000_000 + 123_456,
            length: data.len(),
            data,
        })
        .collect()
}

/// A capture of the older format.
fn pcap(order: Order, link: u16, frames: Vec<Vec<u8>>) -> Vec<u8> {
    file::pcap(order, link, &apart(frames))
}

/// The conversation over a link that has this header in front of IP.
fn over(link: u16, header: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let frames = conversation().into_iter().map(|ip| {
        let ip = ip.bytes();
        let mut frame = header(&ip);
        frame.extend(ip);
        frame
    });
    pcap(Order::Little, link, frames.collect())
}

/// Packets, each with the second at which it was seen.
fn at_seconds(packets: impl IntoIterator<Item = (u64, Ip)>) -> Vec<Record> {
    let packets = packets.into_iter();
    at_microseconds(packets.map(|(second, ip)| (second * 1_000_000, ip)))
}

fn at_microseconds(packets: impl IntoIterator<Item = (u64, Ip)>) -> Vec<Record> {
    let record = |(time, ip): (u64, Ip)| {
        let data = ethernet(&ip);
        Record {
            time: (1_767_225_600_000_000 + time) * 1_000,
            length: data.len(),
            data,
        }
    };
    packets.into_iter().map(record).collect()
}

/// Several interfaces, units of time, sections and byte orders, and blocks that hold no packet.
fn interfaces() -> Vec<u8> {
    let [one, two, three] =
        [40_000, 40_001, 40_002].map(|port| v4(WEB, API, udp((port, 8080), b"hello")));
    let time = 1_767_225_600_123_456_789;
    let mut bytes = file::pcapng(
        Order::Little,
        &[
            Block::Interface(ETHERNET, &[]),
            Block::Interface(101, &[(9, &[9])]),
            Block::Interface(101, &[(9, &[0x80 | 20]), (14, &3600_i64.to_le_bytes())]),
            Block::Statistics,
            Block::Packet(0, time / 1_000, &ethernet(&one), None),
            Block::Packet(1, time, &two.bytes(), None),
            Block::Packet(
                2,
                ((time / 1_000_000_000 - 3600) << 20) + (1 << 19),
                &three.bytes(),
                None,
            ),
            Block::Obsolete(1, time, &two.bytes()),
            Block::Simple(&ethernet(&one)),
            Block::Packet(9, 0, &two.bytes(), None),
            Block::Unknown(0x0BAD, b"what is this"),
        ],
    );
    bytes.extend(file::pcapng(
        Order::Big,
        &[
            Block::Interface(228, &[]),
            Block::Packet(0, time / 1_000, &one.bytes(), Some(6)),
        ],
    ));
    bytes
}

/// A block whose length makes no sense, and behind it a section with a packet that does not fit into its block.
fn broken() -> Vec<u8> {
    let packet = v4(WEB, API, udp((40_000, 8080), b"hello")).bytes();
    let block = || {
        [
            Block::Interface(101, &[]),
            Block::Packet(0, 1_767_225_600_000_000, &packet, None),
        ]
    };
    let mut bytes = file::pcapng(Order::Little, &block());
    bytes.extend_from_slice(&[6, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0x7F, 1, 2, 3, 4]);
    bytes.extend(file::pcapng(Order::Big, &block()));
    // The packet of the second section says that it is longer than its block.
    let second = bytes.len() - (packet.len().next_multiple_of(4) + 12);
    bytes[second..second + 4].copy_from_slice(&0x00FF_FFFF_u32.to_be_bytes());
    bytes.extend(file::pcapng(Order::Little, &block()));
    bytes
}

/// What services and other translators make of connections.
fn translated() -> Vec<Vec<u8>> {
    let syn = |ports, sequence| Tcp {
        ports,
        flags: "S",
        sequence,
        acknowledged: 0,
    };
    let answer = |ports, acknowledged| Tcp {
        ports,
        flags: "SA",
        sequence: 1,
        acknowledged,
    };
    let packets = [
        // To the service, and behind it.
        v4(WEB, API_SERVICE, syn((40_000, 80), 1_000).bytes(b"")),
        v4(WEB, API, syn((40_000, 8080), 1_000).bytes(b"")),
        v4(API, WEB, answer((8080, 40_000), 1_001).bytes(b"")),
        v4(API_SERVICE, WEB, answer((80, 40_000), 1_001).bytes(b"")),
        v4(WEB, DNS_SERVICE, udp((43_000, 53), b"question")),
        v4(DNS_SERVICE, WEB, udp((53, 43_000), b"answer")),
        // To a port that the service does not offer.
        v4(WEB, API_SERVICE, syn((40_001, 81), 2_000).bytes(b"")),
        // By way of an address that nothing explains, and from one.
        v4(WEB, "10.99.0.1", syn((40_002, 8080), 3_000).bytes(b"")),
        v4(WEB, API, syn((40_002, 8080), 3_000).bytes(b"")),
        v4("10.0.0.11", OUTSIDE, syn((1_024, 443), 4_000).bytes(b"")),
        v4(WEB, OUTSIDE, syn((40_003, 443), 4_000).bytes(b"")),
        // The answer comes from another address than was asked.
        v4(WEB, "10.99.0.2", syn((40_004, 8080), 5_000).bytes(b"")),
        v4(API, WEB, answer((8080, 40_004), 5_001).bytes(b"")),
    ];
    packets.iter().map(ethernet).collect()
}

/// What a capture shows of connections that began before it.
fn older() -> Vec<Vec<u8>> {
    let segment = |ports, flags| Tcp {
        ports,
        flags,
        sequence: 7,
        acknowledged: 8,
    };
    let packets = [
        v4(API, WEB, segment((8080, 40_000), "PA").bytes(b"data")),
        v4(WEB, API, segment((40_000, 8080), "A").bytes(b"")),
        v4(WEB, API, segment((40_001, 8080), "A").bytes(b"")),
        v4(API, WEB, segment((8080, 40_002), "SA").bytes(b"")),
        v4(API, WEB, segment((8080, 9090), "A").bytes(b"")),
        v4(DNS, WEB, udp((53, 43_000), b"answer")),
        v4(API, WEB, icmp(1, 0, 0, &[0, 1, 0, 1])),
    ];
    packets.iter().map(ethernet).collect()
}

/// Connections that end, time out and begin anew, each packet with the second at which it comes.
fn lifetimes() -> Vec<Record> {
    let segment = |flags, sequence| {
        let ports = (40_000, 8080);
        let segment = Tcp {
            ports,
            flags,
            sequence,
            acknowledged: 1,
        };
        v4(WEB, API, segment.bytes(b""))
    };
    let reply = |flags| {
        let segment = Tcp {
            ports: (8080, 40_000),
            flags,
            sequence: 1,
            acknowledged: 1,
        };
        v4(API, WEB, segment.bytes(b""))
    };
    let asked = || v4(WEB, DNS, udp((43_000, 53), b"question"));
    let packets = [
        (0, segment("S", 1)),
        (1, reply("SA")),
        (2, segment("A", 2)),
        // Silent for longer than the 8,000 seconds for which Cilium waits, and less than the data path's 8,000 ticks.
        (8_500, segment("A", 2)),
        // And for longer than both.
        (17_200, segment("A", 2)),
        (17_201, segment("FA", 3)),
        (17_202, reply("FA")),
        // It has ended: a SYN opens another.
        (17_203, segment("S", 9)),
        // Nothing but a SYN lives for 60 seconds or ticks.
        (17_270, segment("S", 10)),
        (17_271, segment("R", 11)),
        (17_300, reply("A")),
        // Without an answer: 30 ticks, or 60 seconds.
        (20_000, asked()),
        (20_030, asked()),
        (20_075, asked()),
        (20_200, asked()),
    ];
    at_seconds(packets)
}

/// Only the first bytes of each packet.
fn snapped() -> Vec<u8> {
    let mut records = apart(conversation().iter().map(ethernet).collect());
    let lengths = [1500, 54, 47, 38, 37, 33, 20, 13, 0];
    for (record, length) in records.iter_mut().zip(lengths) {
        record.data.truncate(length);
    }
    file::pcap(Order::Little, ETHERNET, &records)
}

/// Names that policies ask for are learnt from the answers.
fn names() -> Vec<Vec<u8>> {
    let syn = |port, to: &str| {
        let segment = Tcp {
            ports: (port, 443),
            flags: "S",
            sequence: u32::from(port),
            acknowledged: 0,
        };
        v4(WEB, to, segment.bytes(b""))
    };
    let answer = |port, name, addresses: &[&str]| {
        v4(DNS, WEB, udp((53, port), &packet::dns(name, addresses)))
    };
    let packets = [
        v4(
            WEB,
            DNS,
            udp((43_000, 53), &packet::dns("api.example.com", &[])),
        ),
        // Nobody knows yet who this is.
        syn(40_000, "203.0.113.7"),
        answer(43_000, "API.example.com", &["203.0.113.7", "203.0.113.8"]),
        syn(40_001, "203.0.113.7"),
        syn(40_002, "203.0.113.8"),
        // The connection from before is judged again.
        syn(40_000, "203.0.113.7"),
        answer(43_001, "other.example.com", &["203.0.113.99"]),
        syn(40_003, "203.0.113.99"),
    ];
    packets.iter().map(ethernet).collect()
}

/// Names that are learnt from streams: in several segments, two messages in one, segments in another order, and not behind a
/// gap.
fn names_in_streams() -> Vec<Vec<u8>> {
    let server = |port, flags, sequence, data: &[u8]| {
        let segment = Tcp {
            ports: (53, port),
            flags,
            sequence,
            acknowledged: 1,
        };
        v4(DNS, WEB, segment.bytes(data))
    };
    let message = |name: &str, addresses: &[&str]| {
        let message = packet::dns(name, addresses);
        let length = u16::try_from(message.len()).unwrap_or(0);
        [length.to_be_bytes().to_vec(), message].concat()
    };
    let syn = |port, to: &str| {
        let segment = Tcp {
            ports: (port, 443),
            flags: "S",
            sequence: u32::from(port),
            acknowledged: 0,
        };
        v4(WEB, to, segment.bytes(b""))
    };
    let one = message("api.example.com", &["203.0.113.7"]);
    let two = [
        message("other.example.com", &["203.0.113.99"]),
        message("api.example.com", &["203.0.113.8"]),
    ]
    .concat();
    let late = message("api.example.com", &["203.0.113.9"]);
    let lost = message("api.example.com", &["203.0.113.10"]);
    let done = one.len() + two.len();
    // Close to the end of the numbers, which then begin anew.
    let start = u32::MAX - 5;
    let at = |offset: usize| start.wrapping_add(1 + u32::try_from(offset).unwrap_or(0));
    let packets = [
        server(43_000, "SA", start, b""),
        server(43_000, "A", at(0), &one[..1]),
        server(43_000, "A", at(1), &one[1..20]),
        syn(40_000, "203.0.113.7"),
        // The second is sent again, with more behind it.
        server(43_000, "PA", at(1), &one[1..]),
        syn(40_001, "203.0.113.7"),
        server(43_000, "PA", at(one.len()), &two),
        syn(40_002, "203.0.113.8"),
        syn(40_003, "203.0.113.99"),
        // The end first, then the beginning.
        server(43_000, "PA", at(done + 10), &late[10..]),
        syn(40_004, "203.0.113.9"),
        server(43_000, "PA", at(done), &late[..10]),
        syn(40_005, "203.0.113.9"),
        // A byte is missing, and does not come.
        server(43_000, "PA", at(done + late.len() + 1), &lost),
        syn(40_006, "203.0.113.10"),
        // Nobody saw where this one begins.
        server(43_001, "PA", 7, &lost),
        syn(40_007, "203.0.113.10"),
    ];
    packets.iter().map(ethernet).collect()
}

/// A segment to a server of HTTPS.
fn segment(port: u16, to: &str, flags: &'static str) -> Ip {
    let segment = Tcp {
        ports: (port, 443),
        flags,
        sequence: u32::from(port),
        acknowledged: 0,
    };
    v4(WEB, to, segment.bytes(b""))
}

/// What the server of names answers when it is asked for the one that these captures are about.
fn answer(addresses: &[&str]) -> Ip {
    let message = packet::dns("api.example.com", addresses);
    v4(DNS, WEB, udp((53, 43_000), &message))
}

/// Names whose lifetime of 60 seconds passes, with the second at which each packet comes.
fn names_expire() -> Vec<Record> {
    let packets = [
        (0, answer(&["203.0.113.7", "203.0.113.8", "203.0.113.9"])),
        (1, segment(40_000, "203.0.113.7", "S")),
        (2, segment(40_000, "203.0.113.7", "A")),
        (50, segment(40_001, "203.0.113.8", "S")),
        // Told again, and for longer.
        (55, answer(&["203.0.113.9"])),
        // All but that one are over; the first connection lives, the second does by a second.
        (109, segment(40_002, "203.0.113.9", "S")),
        (110, segment(40_003, "203.0.113.7", "S")),
        (110, segment(40_004, "203.0.113.8", "S")),
        // Nothing is used any more.
        (20_000, segment(40_005, "203.0.113.7", "S")),
        (20_001, segment(40_006, "203.0.113.9", "S")),
    ];
    at_seconds(packets)
}

/// Names by the time of their answers, in a capture whose packets are not in the order of time, each with its second.
fn names_by_time() -> Vec<Record> {
    let syn = |port, to: &str| segment(port, to, "S");
    let packets = [
        (10, syn(40_000, "203.0.113.7")),
        (20, answer(&["203.0.113.7", "203.0.113.8"])),
        // Behind it in the file, and before it in time.
        (19, syn(40_001, "203.0.113.7")),
        (20, syn(40_002, "203.0.113.7")),
        (30, syn(40_003, "203.0.113.8")),
        // Known for 60 seconds, up to the next full minute.
        (119, syn(40_004, "203.0.113.8")),
        (500, syn(40_005, "203.0.113.8")),
        // Another interface, from its beginning on.
        (100, syn(40_006, "203.0.113.8")),
        (400, syn(40_007, "203.0.113.8")),
        // An answer behind packets that are later.
        (50, answer(&["203.0.113.9"])),
        (60, syn(40_008, "203.0.113.9")),
        (40, syn(40_009, "203.0.113.9")),
        (61, syn(40_010, "203.0.113.9")),
        // Of another year, as no packet around it.
        (200_000_000, syn(40_011, "203.0.113.9")),
        (62, syn(40_012, "203.0.113.9")),
    ];
    at_seconds(packets)
}

/// Names by the time of their answers, where packets come out of order by as little as queues of a network card make, each
/// with its microsecond.
fn names_reordered() -> Vec<Record> {
    let syn = |port, to: &str| segment(port, to, "S");
    let packets = [
        (10_000_005, syn(40_000, "203.0.113.7")),
        // Not late.
        (10_000_000, answer(&["203.0.113.7"])),
        (9_999_997, syn(40_001, "203.0.113.7")),
        (10_000_001, syn(40_002, "203.0.113.7")),
        // As far back as is too far.
        (9_998_999, syn(40_003, "203.0.113.7")),
        (10_000_002, syn(40_004, "203.0.113.7")),
    ];
    at_microseconds(packets)
}

/// Tunnels, with the conversation within.
fn tunnels() -> Vec<Vec<u8>> {
    let ends = ("10.0.0.11", "10.0.0.12");
    let inner = conversation();
    let first = inner.iter().take(3).map(|ip| vxlan(ends, 4789, ip));
    let then = inner.iter().skip(3).take(3).map(|ip| vxlan(ends, 8472, ip));
    let last = inner.iter().skip(6).map(|ip| geneve(ends, ip));
    first
        .chain(then)
        .chain(last)
        .map(|ip| ethernet(&ip))
        .collect()
}

/// The files of `testdata/trace`.
#[must_use]
pub fn files() -> Vec<(&'static str, Vec<u8>)> {
    let cut_off = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() - 7);
        bytes
    };
    let cooked = |version| {
        move |ip: &[u8]| {
            let kind: [u8; 2] = if ip[0] >> 4 == 6 {
                [0x86, 0xDD]
            } else {
                [8, 0]
            };
            let mut header = vec![0; if version == 1 { 16 } else { 20 }];
            header[if version == 1 { 14 } else { 0 }..][..2].copy_from_slice(&kind);
            header
        }
    };
    vec![
        (
            "every-kind.pcap",
            pcap(Order::Little, ETHERNET, every_kind()),
        ),
        ("big-endian.pcap", pcap(Order::Big, ETHERNET, every_kind())),
        (
            "nanoseconds.pcap",
            file::pcap_in_nanoseconds(Order::Little, ETHERNET, &apart(every_kind())),
        ),
        (
            "nanoseconds-big-endian.pcap",
            file::pcap_in_nanoseconds(Order::Big, ETHERNET, &apart(every_kind())),
        ),
        ("raw.pcap", over(101, |_| Vec::new())),
        ("null.pcap", over(0, |_| vec![2, 0, 0, 0])),
        ("loop.pcap", over(108, |_| vec![0, 0, 0, 2])),
        ("cooked.pcap", over(113, cooked(1))),
        ("cooked-2.pcap", over(276, cooked(2))),
        ("nflog.pcap", over(239, packet::nflog)),
        ("snapped.pcap", snapped()),
        (
            "translated.pcap",
            pcap(Order::Little, ETHERNET, translated()),
        ),
        ("older.pcap", pcap(Order::Little, ETHERNET, older())),
        (
            "lifetimes.pcap",
            file::pcap(Order::Little, ETHERNET, &lifetimes()),
        ),
        ("names.pcap", pcap(Order::Little, ETHERNET, names())),
        (
            "names-tcp.pcap",
            pcap(Order::Little, ETHERNET, names_in_streams()),
        ),
        (
            "names-expire.pcap",
            file::pcap(Order::Little, ETHERNET, &names_expire()),
        ),
        (
            "names-by-time.pcap",
            file::pcap(Order::Little, ETHERNET, &names_by_time()),
        ),
        (
            "names-reordered.pcap",
            file::pcap(Order::Little, ETHERNET, &names_reordered()),
        ),
        ("errors.pcap", pcap(Order::Little, ETHERNET, errors())),
        ("sctp.pcap", pcap(Order::Little, ETHERNET, association())),
        ("tunnels.pcap", pcap(Order::Little, ETHERNET, tunnels())),
        ("interfaces.pcapng", interfaces()),
        ("broken.pcapng", broken()),
        (
            "cut-off.pcap",
            cut_off(pcap(
                Order::Little,
                ETHERNET,
                conversation().iter().map(ethernet).collect(),
            )),
        ),
        (
            "unknown-link.pcap",
            pcap(Order::Little, 147, vec![vec![0; 60]]),
        ),
    ]
}
