//! The cases of `testdata/datapath` in the kernel, up to where they wait.

use verdict_abi::datapath::{Attachment, CLOSED, Direction, NO_CODE, Outcome, Reason};
use verdict_compiler::image::Image;
use verdict_tests::datapath::{self, Step, reason};
use verdict_tests::kernel::{self, Kernel};
use verdict_tests::packets;

#[test]
fn every_case_holds() {
    if !kernel::is_there() {
        return;
    }
    let bytes = datapath::image();
    let image = Image::decode(&bytes).unwrap();
    let mut kernel = Kernel::new(&image, 0).unwrap();
    let mut faults = Vec::new();
    let mut packets = 0;
    for case in datapath::cases() {
        kernel.generation().forget_connections().unwrap();
        kernel.generation().set_settings(case.settings).unwrap();
        for step in &case.steps {
            let Step::Packet {
                line,
                pod,
                direction,
                frame,
                expected,
            } = step
            else {
                break;
            };
            if !kernel::takes(frame) {
                continue;
            }
            packets += 1;
            let attachment = datapath::attachment(&image, pod);
            let said = kernel.at_interface(attachment, *direction, frame);
            if reason(said) != *expected {
                faults.push(format!("{}: {line}: {}", case.name, reason(said)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(packets > 100, "only {packets} packets");
}

/// An interface that nobody knows, an endpoint that is closed, and what is there before any image.
#[test]
fn closed() {
    if !kernel::is_there() {
        return;
    }
    let bytes = datapath::image();
    let image = Image::decode(&bytes).unwrap();
    let mut kernel = Kernel::new(&image, 0).unwrap();
    let syn = packets::build("ipv4 10.0.0.2 > 10.0.0.1 tcp 999 > 80 syn");
    let arp = packets::build("arp");
    let neighbour = packets::build("ipv6 fe80::1 > ff02::1 hops 255 icmp 135/0");
    let router = packets::build("ipv6 fe80::1 > ff02::1 hops 255 icmp 134/0");
    let foreign = packets::build("ethertype 88cc");
    let cut = packets::build("ipv4 10.0.0.2 > 10.0.0.1 tcp 999 > 80 syn cut 40");
    let plain = Outcome::plain;
    for (name, expected) in [("ingress", Reason::NoEndpoint), ("closed", Reason::Closed)] {
        assert_eq!(kernel.classifier(name, &syn), plain(expected));
        assert_eq!(kernel.classifier(name, &cut), plain(expected));
        assert_eq!(kernel.classifier(name, &arp), plain(Reason::Arp));
        assert_eq!(
            kernel.classifier(name, &neighbour),
            plain(Reason::Neighbour)
        );
        assert_eq!(kernel.classifier(name, &foreign), plain(Reason::NotIp));
    }
    // It is attached in both directions, and no endpoint is a router.
    assert_eq!(kernel.classifier("closed", &router), plain(Reason::Closed));
    let own = datapath::attachment(&image, "a");
    let shut = Attachment {
        flags: own.flags | CLOSED,
        ..own
    };
    let ingress = Direction::Ingress;
    assert_eq!(
        kernel.at_interface(shut, ingress, &syn),
        plain(Reason::Closed)
    );
    assert_eq!(kernel.at_interface(shut, ingress, &arp), plain(Reason::Arp));
    // An endpoint that is in no table.
    let unknown = Attachment {
        endpoint: u32::MAX,
        ..own
    };
    assert_eq!(
        kernel.at_interface(unknown, ingress, &syn),
        plain(Reason::Closed)
    );
    let passes = kernel.at_interface(own, ingress, &syn);
    assert_eq!(passes.reason(), Reason::Allowed);
    assert_ne!(passes.code, NO_CODE);
}

/// What was counted is what was judged.
#[test]
fn counters() {
    if !kernel::is_there() {
        return;
    }
    let bytes = datapath::image();
    let image = Image::decode(&bytes).unwrap();
    let mut kernel = Kernel::new(&image, 0).unwrap();
    let own = datapath::attachment(&image, "a");
    let allowed = packets::build("ipv4 10.0.0.2 > 10.0.0.1 tcp 999 > 80 syn");
    let denied = packets::build("ipv4 10.0.0.2 > 10.0.0.1 tcp 999 > 81 syn payload 9");
    let mut codes = Vec::new();
    for frame in [&allowed, &denied, &denied, &denied] {
        codes.push(kernel.at_interface(own, Direction::Ingress, frame).code);
    }
    let of_codes = kernel.generation().codes().unwrap();
    let code = |index: usize| of_codes[codes[index] as usize];
    assert_eq!((code(0).packets, code(0).bytes), (1, allowed.len() as u64));
    assert_eq!(
        (code(1).packets, code(1).bytes),
        (3, 3 * denied.len() as u64)
    );
    // What is not the word of a policy alone is counted by reason.
    let cut = packets::build("ipv4 10.0.0.2 > 10.0.0.1 tcp 999 > 81 syn cut 40");
    kernel.at_interface(own, Direction::Ingress, &cut);
    let reasons = kernel.generation().reasons().unwrap();
    let counted: Vec<_> = reasons
        .iter()
        .filter(|(_, counter)| counter.packets > 0)
        .map(|(reason, counter)| (*reason, counter.packets, counter.bytes))
        .collect();
    assert_eq!(counted, [(Reason::Truncated, 1, 40)]);
}

/// An address that was learnt later has the leaf that it was given.
#[test]
fn overlay() {
    if !kernel::is_there() {
        return;
    }
    let bytes = datapath::image();
    let image = Image::decode(&bytes).unwrap();
    let mut kernel = Kernel::new(&image, 0).unwrap();
    let own = datapath::attachment(&image, "a");
    let leaf = image.leaf("10.0.0.2".parse().unwrap()).unwrap();
    let new = packets::build("ipv4 10.9.9.9 > 10.0.0.1 tcp 999 > 80 syn");
    let judge = |kernel: &mut Kernel| kernel.at_interface(own, Direction::Ingress, &new).reason();
    assert_eq!(judge(&mut kernel), Reason::Denied);
    let address = verdict_abi::datapath::packet::Address::v4(0x0a09_0909);
    kernel.generation().learn(address, leaf).unwrap();
    assert_eq!(judge(&mut kernel), Reason::Allowed);
    kernel
        .generation()
        .learn(address, verdict_abi::open::NEEDS_RECOMPILE)
        .unwrap();
    assert_eq!(judge(&mut kernel), Reason::Closed);
}

/// A full table drops what would open a connection, and nothing else.
#[test]
fn full() {
    if !kernel::is_there() {
        return;
    }
    let bytes = datapath::image();
    let image = Image::decode(&bytes).unwrap();
    let mut kernel = Kernel::new(&image, 0).unwrap();
    let own = datapath::attachment(&image, "a");
    let mut opened = Vec::new();
    let mut full = 0;
    for port in 1000..1400 {
        let text = format!("ipv4 10.0.0.1 > 203.0.113.9 tcp {port} > 443 syn");
        let said = kernel.at_interface(own, Direction::Egress, &packets::build(&text));
        match said.reason() {
            Reason::Allowed => opened.push(port),
            Reason::Full => full += 1,
            other => panic!("{other:?}"),
        }
    }
    // 64 places: all are used at last.
    assert!(
        (56..=64).contains(&opened.len()),
        "{} were opened",
        opened.len()
    );
    assert!(full > 300);
    for port in opened {
        let text = format!("ipv4 203.0.113.9 > 10.0.0.1 tcp 443 > {port} syn ack");
        let said = kernel.at_interface(own, Direction::Ingress, &packets::build(&text));
        assert_eq!(said.reason(), Reason::Reply, "port {port}");
    }
}
