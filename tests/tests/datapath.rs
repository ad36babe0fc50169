//! The data path on the host: every case of `testdata/datapath` holds, the table of connections fills up to the end,
//! and packets are read as another reader reads them.

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use verdict_abi::datapath::packet::{Address, ethernet, packet};
use verdict_abi::datapath::{Direction, Reason};
use verdict_compiler::image::Image;
use verdict_tests::datapath::{self, Host, Step, reason};
use verdict_tests::generate::random::Random;
use verdict_tests::packets;

#[test]
fn every_case_holds() {
    let bytes = datapath::image();
    let image = Image::decode(&bytes).unwrap();
    let mut faults = Vec::new();
    for case in datapath::cases() {
        let host = Host::new(&image, case.settings, 1024);
        for step in &case.steps {
            match step {
                Step::Wait(ticks) => host.wait(*ticks),
                Step::Packet {
                    line,
                    pod,
                    direction,
                    frame,
                    expected,
                } => {
                    let attachment = datapath::attachment(&image, pod);
                    let said = host.judge(&attachment, *direction, frame);
                    if reason(said) != *expected {
                        faults.push(format!("{}: {line}: {}", case.name, reason(said)));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Two choices of four places each: half of the table is used before the first connection is turned away, and all of
/// it at last.
#[test]
fn the_table_fills_up() {
    let bytes = datapath::image();
    let image = Image::decode(&bytes).unwrap();
    let host = Host::new(&image, 0, 4096);
    let own = datapath::attachment(&image, "a");
    let mut first_refused = None;
    for port in 1..20_000_u16 {
        let text = format!("ipv4 10.0.0.1 > 203.0.113.9 tcp {port} > 443 syn");
        let said = host.judge(&own, Direction::Egress, &packets::build(&text));
        if said.reason() == Reason::Full {
            first_refused.get_or_insert(host.connections());
        }
    }
    assert_eq!(host.connections(), 4096);
    let at = first_refused.unwrap();
    assert!(at > 1700, "refused at {at} of 4096");
    // What has expired makes room.
    host.wait(61);
    let again = packets::build("ipv4 10.0.0.1 > 203.0.113.9 tcp 7 > 443 syn");
    assert_eq!(
        host.judge(&own, Direction::Egress, &again).reason(),
        Reason::Allowed
    );
    assert_eq!(host.connections(), 1);
}

fn changed(random: &mut Random, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = random.pick(frames).unwrap().clone();
    for _ in 0..random.below(4) {
        let at = random.below(frame.len());
        frame[at] = u8::try_from(random.below(256)).unwrap();
    }
    if random.chance(10) {
        frame.truncate(random.below(frame.len() + 1));
    }
    frame
}

/// Whatever the bytes, nothing panics; and what is read is what another reader reads of them.
#[test]
fn packets_are_read_as_others_read_them() {
    let bytes = datapath::image();
    let image = Image::decode(&bytes).unwrap();
    let host = Host::new(&image, 0, 1024);
    let own = datapath::attachment(&image, "a");
    let cases = datapath::cases();
    let steps = cases.iter().flat_map(|case| &case.steps);
    let frames: Vec<Vec<u8>> = steps
        .filter_map(|step| match step {
            Step::Packet { frame, .. } => Some(frame.clone()),
            Step::Wait(_) => None,
        })
        .collect();
    let mut random = Random::new(5);
    let (mut compared, mut ports) = (0, 0);
    let inputs = std::env::var("VERDICT_INPUTS").map_or(200_000, |count| count.parse().unwrap());
    for _ in 0..inputs {
        let frame = changed(&mut random, &frames);
        let _ = host.judge(&own, Direction::Ingress, &frame);
        let read = ethernet(&frame[..]).and_then(|(v4, at)| packet(&frame[..], v4, at));
        let Ok(read) = read else { continue };
        let other = LaxSlicedPacket::from_ethernet(&frame).unwrap();
        let (src, dst) = match other.net.as_ref() {
            Some(LaxNetSlice::Ipv4(ip)) => (
                Address::v4(ip.header().source_addr().to_bits()),
                Address::v4(ip.header().destination_addr().to_bits()),
            ),
            Some(LaxNetSlice::Ipv6(ip)) => (
                Address::v6(ip.header().source_addr().to_bits()),
                Address::v6(ip.header().destination_addr().to_bits()),
            ),
            other => panic!("{other:?} in {frame:02x?}"),
        };
        assert_eq!((read.src, read.dst), (src, dst), "{frame:02x?}");
        compared += 1;
        let (src, dst) = match other.transport.as_ref() {
            Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port()),
            Some(TransportSlice::Tcp(tcp)) => (tcp.source_port(), tcp.destination_port()),
            _ => continue,
        };
        ports += 1;
        assert_eq!(
            (read.transport.src_port, read.transport.dst_port),
            (src, dst),
            "{frame:02x?}"
        );
    }
    assert!(
        compared > inputs / 3 && ports > inputs / 10,
        "{compared} {ports}"
    );
}
