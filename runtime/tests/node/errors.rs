//! ICMP errors: those about packets of a connection that is allowed pass, whoever sends them, and no others.

use super::cage::{on, sh, within};
use super::net::{PATIENCE, attach_all, build, connect, serve};
use super::wire::{Wire, family, send};
use super::world::{NOTHING, Pod, TIERS, World, pod};
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;
use verdict_compiler::cluster::Protocol;

/// Nobody listens there.
const CLOSED: u16 = 7;

/// What an error says, by family: its type, and its code.
#[derive(Clone, Copy, Debug)]
enum Says {
    NoPort,
    TooFar,
    TooBig,
}

impl Says {
    fn numbers(self, address: IpAddr) -> (u8, u8) {
        match (self, address.is_ipv4()) {
            (Self::NoPort, true) => (3, 3),
            (Self::NoPort, false) => (1, 4),
            (Self::TooFar, true) => (11, 0),
            (Self::TooFar, false) => (3, 0),
            (Self::TooBig, true) => (3, 4),
            (Self::TooBig, false) => (2, 0),
        }
    }
}

/// Does something, and says whether an error about a packet with these ports came to a pod by it.
fn comes(to: Pod, says: Says, of: IpAddr, ports: (u16, u16), what: impl FnOnce()) -> bool {
    let wire = Wire::listen(to);
    what();
    let (kind, code) = says.numbers(of);
    let (protocol, header) = if of.is_ipv4() { (1, 20) } else { (58, 40) };
    let heard = wire.hear(PATIENCE, |heard| {
        let quoted = heard.body.get(8 + header..8 + header + 4);
        let quoted = quoted.map(|quoted| {
            let port = |at: usize| u16::from_be_bytes([quoted[at], quoted[at + 1]]);
            (port(0), port(2))
        });
        heard.protocol == protocol
            && to.addresses().contains(&heard.dst)
            && heard.body.starts_with(&[kind, code])
            && quoted == Some(ports)
    });
    heard.is_some()
}

/// Sends a datagram by a socket of the pod.
fn datagram(from: Pod, own: (IpAddr, u16), to: (IpAddr, u16)) {
    within(from.name, || {
        let socket = UdpSocket::bind(own).unwrap();
        socket.send_to(b"?", to).unwrap();
        // The socket is there as long as the error may be on its way.
        std::thread::sleep(Duration::from_millis(100));
    });
}

both_hooks! {
    errors_pass_about_what_is_allowed_alone
}

fn errors_pass_about_what_is_allowed_alone(hook: &str) {
    build();
    serve();
    let world = World::of(TIERS);
    let images = world.write(Path::new("/run/netns/tiers"));
    let nothing = World::of(NOTHING).write(Path::new("/run/netns/nothing"));
    for node in ["n1", "n2"] {
        on(node, &["load", &images.of(node)]).must(0);
    }
    attach_all(true, hook);
    let (api, web, db, spy) = (pod("api"), pod("web"), pod("db"), pod("spy"));
    // What comes to the API is isolated, and no rule speaks of ICMP.
    for (from, address) in [(web, api.addresses()[0]), (spy, api.addresses()[1])] {
        assert!(!world.allows(from, api, super::world::echo(address)));
    }
    assert!(!world.allows(spy, api, super::world::to_port(Protocol::TCP, 8080)));
    sh("ip -n n1 link set uplink mtu 1400");
    for family_index in 0..2 {
        let address = |pod: Pod| pod.addresses()[family_index];
        let (own, peer, far) = (address(api), address(web), address(db));
        let word = family(own);

        // The peer itself says that nobody listens.
        let opened = (4000, CLOSED);
        let told = comes(api, Says::NoPort, own, opened, || {
            datagram(api, (own, opened.0), (peer, opened.1));
        });
        assert!(told, "{word}: nobody said that the port is closed");

        // A router says that it was too far, or too big.
        let ports = (4001, 53);
        let told = comes(api, Says::TooFar, own, ports, || {
            let line = format!("{word} {own} > {far} hops 1 udp {} > {}", ports.0, ports.1);
            send(api, far, &line);
        });
        assert!(told, "{word}: no router said that it was too far");
        let ports = (4002, 53);
        let told = comes(api, Says::TooBig, own, ports, || {
            let line = format!(
                "{word} {own} > {far} udp {} > {} payload 1420",
                ports.0, ports.1
            );
            send(api, far, &line);
        });
        assert!(told, "{word}: no router said that it was too big");

        // Somebody else says so, of what there is and of what there never was.
        let (kind, code) = Says::NoPort.numbers(own);
        let forged = |(from, to): (u16, u16)| {
            let other = address(spy);
            let line = format!(
                "{word} {other} > {own} icmp {kind}/{code} about {word} {own} > {peer} udp {from} > {to}"
            );
            send(spy, own, &line);
        };
        assert!(
            comes(api, Says::NoPort, own, opened, || forged(opened)),
            "{word}"
        );
        let never = (4999, CLOSED);
        assert!(
            !comes(api, Says::NoPort, own, never, || forged(never)),
            "{word}"
        );

        // What is denied now has no errors.
        on("n1", &["load", &nothing.of("n1")]).must(0);
        assert!(
            !comes(api, Says::NoPort, own, opened, || forged(opened)),
            "{word}"
        );
        on("n1", &["rollback"]).must(0);
        assert!(
            comes(api, Says::NoPort, own, opened, || forged(opened)),
            "{word}"
        );
    }
    let status = on("n1", &["status", "--format", "json"]).must(0).json();
    let reasons = status["reasons"].as_array().unwrap();
    let related = reasons
        .iter()
        .find(|one| one["reason"] == "related")
        .unwrap();
    assert!(related["packets"].as_u64() >= Some(8), "{related}");
    // A stream gets through where its packets would be too big.
    assert!(connect(web, api.addresses()[0], 8080, PATIENCE).is_some());
}
