//! The kernel against the definition and the image.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use verdict_abi::datapath::packet::Address;
use verdict_abi::datapath::{Attachment, Direction, HAS_V4, HAS_V6, Outcome, Reason};
use verdict_abi::{Action, Code, Query, Use, decide};
use verdict_compiler::cluster::{Owner, Protocol};
use verdict_compiler::compile::Compiler;
use verdict_compiler::frontend::load::Loaded;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::hir::flow::{EndpointKind, Flow, Transport};
use verdict_compiler::hir::spec::{self, Verdict, World as Judged};
use verdict_compiler::hir::{Auth, Resolution};
use verdict_compiler::image::{Image, demand};
use verdict_compiler::ir;
use verdict_compiler::lir::transport;
use verdict_compiler::query::{Family, Who, endpoint};
use verdict_compiler::source::Sources;
use verdict_tests::asking::{Asked, vectors};
use verdict_tests::generate::flows::addresses as strangers;
use verdict_tests::generate::random::Random;
use verdict_tests::generate::{World, cilium, small};
use verdict_tests::kernel::{self, Kernel};
use verdict_tests::packets;

/// What was compared.
#[derive(Debug, Default)]
struct Tally {
    packets: u64,
    passed: u64,
    dropped: u64,
    by_itself: u64,
    /// Of a node itself.
    of_nodes: u64,
    v6: u64,
    images: u64,
    /// At a cgroup.
    sockets: u64,
    /// By way of a proxy.
    proxied: u64,
    /// Where the ends must prove who they are.
    proving: u64,
}

/// A verdict, and what the ends must prove for it.
type Said = (Verdict, Option<Auth>);

/// An endpoint of a node, or the node itself, with one of its addresses.
struct Own {
    of: Owner,
    endpoint: u32,
    address: IpAddr,
}

impl Own {
    fn is_node(&self) -> bool {
        matches!(self.of, Owner::Node(_))
    }
}

/// The first packet between an own and another address.
#[derive(Clone, Copy)]
struct Opening<'a> {
    own: &'a Own,
    other: IpAddr,
    direction: Direction,
    transport: Transport,
}

/// The packets between an own and another address.
struct Asking<'a> {
    loaded: &'a Loaded,
    image: &'a Image<'a>,
    others: &'a [IpAddr],
}

fn attachment(own: &Own) -> Attachment {
    let mut attachment = Attachment {
        endpoint: own.endpoint,
        ..Attachment::default()
    };
    // Every other endpoint is left to the table of addresses.
    match own.address {
        _ if own.endpoint % 2 == 1 => {}
        IpAddr::V4(address) => {
            attachment.v4 = address.to_bits();
            attachment.flags = HAS_V4;
        }
        IpAddr::V6(address) => {
            attachment.v6 = Address::v6(address.to_bits());
            attachment.flags = HAS_V6;
        }
    }
    attachment
}

/// Numbers that are no protocol to IPv6 but a header that leads to one.
const EXTENSIONS: [u8; 8] = [0, 43, 44, 51, 60, 135, 139, 140];

impl Opening<'_> {
    /// Whether a packet of this kind can be.
    fn can_be(&self) -> bool {
        let protocol = self.transport.protocol;
        self.own.address.is_ipv4() == self.other.is_ipv4()
            && match self.own.address {
                IpAddr::V4(_) => protocol != Protocol::ICMPV6,
                IpAddr::V6(_) => protocol != Protocol::ICMP && !EXTENSIONS.contains(&protocol.0),
            }
    }
}

/// Of a hundred packets, how many are sought among those that go by way of a proxy or whose ends must prove who they are,
/// and how many draws that may take: few packets are such ones.
const SOUGHT: (usize, usize) = (10, 100);

/// Of a hundred packets, how many are of nodes where there are some: of addresses, a node has few.
const OF_NODES: usize = 30;

impl Asking<'_> {
    /// Some packet.
    fn draw<'o>(&self, random: &mut Random, own: &'o [Own]) -> Opening<'o> {
        let of_nodes: Vec<&Own> = own.iter().filter(|own| own.is_node()).collect();
        let of_node = random
            .chance(OF_NODES)
            .then(|| random.pick(&of_nodes).copied());
        let own = of_node.flatten().or_else(|| random.pick(own)).unwrap();
        let other = if random.chance(5) {
            own.address
        } else {
            *random.pick(self.others).unwrap()
        };
        Opening {
            own,
            other,
            direction: *random
                .pick(&[Direction::Ingress, Direction::Egress])
                .unwrap(),
            transport: some_transport(random),
        }
    }

    /// Some packet that asks for more than to pass, where one is found soon.
    fn seek<'o>(&self, random: &mut Random, own: &'o [Own]) -> Option<Opening<'o>> {
        let asks = |opening: &Opening<'_>| {
            let (_, code) = self.code(opening);
            demand::proxy(code).is_some() || demand::auth(code).is_some()
        };
        let mut drawn = (0..SOUGHT.1).map(|_| self.draw(random, own));
        drawn.find(|opening| opening.can_be() && asks(opening))
    }

    /// What the definition says, with what the ends must prove, and whether a pod talks to itself. `None` where it is asked
    /// about another endpoint, since two have the address.
    fn expected(&self, opening: &Opening<'_>) -> Option<(Said, bool)> {
        let Opening {
            own,
            other,
            direction,
            transport,
        } = *opening;
        let cluster = &self.loaded.cluster;
        let family = if other.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        };
        let end = |address| endpoint(cluster, Who::Address(address), family);
        let subject = end(own.address);
        let found = match subject.kind {
            EndpointKind::Pod(view) => view.id.map(Owner::Pod),
            EndpointKind::Node(view) => view.id.map(Owner::Node),
            EndpointKind::Outside => None,
        };
        if found != Some(own.of) {
            return None;
        }
        let itself = own.address == other;
        let (src, mut dst) = match direction {
            Direction::Ingress => (end(other), subject),
            Direction::Egress => (subject, end(other)),
        };
        dst.by_service = itself;
        let flow = Flow {
            src,
            dst,
            transport,
        };
        let judged = Judged {
            policies: &self.loaded.policies,
            names: cluster.names(),
        };
        let judgement = spec::judge(judged, &flow);
        let side = match direction {
            Direction::Ingress => judgement.ingress,
            Direction::Egress => judgement.egress,
        };
        let auth = side.auth.filter(|auth| *auth != Auth::Disabled);
        Some(((side.verdict, auth), itself))
    }

    /// The number of the code in the image, and what it says.
    fn code(&self, opening: &Opening<'_>) -> (u32, Code) {
        let Opening {
            own,
            other,
            direction,
            transport,
        } = *opening;
        let of = match (direction, own.address == other) {
            (Direction::Ingress, false) => Use::Ingress,
            (Direction::Egress, false) => Use::Egress,
            (Direction::Ingress, true) => Use::HairpinIngress,
            (Direction::Egress, true) => Use::HairpinEgress,
        };
        let (protocol, value) = transport::parts(transport::of(transport));
        let query = Query {
            endpoint: own.endpoint,
            of,
            leaf: self.image.leaf(other).unwrap(),
            protocol: protocol.0,
            value,
        };
        decide(self.image, query).unwrap()
    }

    /// Gives one packet to the kernel, and compares.
    fn compare(
        &self,
        kernel: &mut Kernel,
        opening: &Opening<'_>,
        tally: &mut Tally,
    ) -> Result<(), String> {
        if !opening.can_be() {
            return Ok(());
        }
        let Some((verdict, itself)) = self.expected(opening) else {
            return Ok(());
        };
        let (number, code) = self.code(opening);
        let Opening {
            own,
            other,
            direction,
            transport,
        } = *opening;
        let reason = match code.action {
            Action::Allow | Action::Audit => Reason::Allowed,
            Action::Deny => Reason::Denied,
            // There is no proxy, and nothing is authenticated.
            Action::Redirect => Reason::Proxy,
        };
        let expected = Outcome::new(reason, number);
        let (src, dst) = match direction {
            Direction::Ingress => (other, own.address),
            Direction::Egress => (own.address, other),
        };
        let port = 40_000 + u16::try_from(tally.packets % 20_000).unwrap();
        let frame = packets::first(src, dst, transport, port);
        // No packet here is a reply to another.
        kernel.generation().forget_connections().unwrap();
        let said = kernel.at_interface(attachment(own), direction, &frame);
        // Two programs more for the verifier: at some images only.
        let at_cgroup = tally.images.is_multiple_of(4) && tally.packets.is_multiple_of(2);
        let said = if at_cgroup && said == expected {
            tally.sockets += 1;
            kernel.generation().forget_connections().unwrap();
            kernel.at_cgroup(direction, &frame)
        } else {
            said
        };
        tally.packets += 1;
        tally.by_itself += u64::from(itself);
        tally.of_nodes += u64::from(own.is_node());
        tally.v6 += u64::from(other.is_ipv6());
        tally.proxied += u64::from(demand::proxy(code).is_some());
        tally.proving += u64::from(demand::auth(code).is_some());
        *(if said.passes() {
            &mut tally.passed
        } else {
            &mut tally.dropped
        }) += 1;
        if said == expected && verdict == meant(code) {
            return Ok(());
        }
        Err(format!(
            "{direction:?} of {:?} {}: definition {verdict:?}, image {code:?} {expected:?}, kernel {said:?}",
            own.of,
            packets::first_text(src, dst, transport, port),
        ))
    }
}

/// What a code says.
fn meant(code: Code) -> Said {
    let verdict = match code.action {
        _ if code.depends => Verdict::Depends,
        Action::Allow | Action::Audit => Verdict::Allow,
        Action::Deny => Verdict::Deny,
        Action::Redirect if demand::proxy(code).is_none() => Verdict::Allow,
        Action::Redirect => Verdict::Redirect,
    };
    (verdict, demand::auth(code))
}

/// Calls for each image of a cluster. Those without endpoints that have an address are left out.
fn each_image(
    loaded: &Loaded,
    sources: &Sources,
    mut with: impl FnMut(&Asking<'_>, &[Own], &mut Kernel) -> Result<(), String>,
) -> Result<(), String> {
    let program = ir::Program::resolve(&loaded.cluster, &loaded.policies);
    let compiler = Compiler::new(&loaded.cluster, &loaded.policies, sources, &program);
    let cluster = &loaded.cluster;
    let of_pods = cluster.pods().iter().flat_map(|pod| pod.addresses.iter());
    let of_nodes = cluster.nodes().iter().flat_map(|node| &node.addresses);
    let others: BTreeSet<IpAddr> = of_pods
        .chain(of_nodes)
        .copied()
        .chain(strangers())
        .collect();
    let others: Vec<IpAddr> = others.iter().map(IpAddr::to_canonical).collect();
    for (node, pods) in compiler.lowering().nodes() {
        let bytes = compiler.node(*node, pods).unwrap().image.write();
        let image = Image::decode(&bytes).unwrap();
        let pods = pods.iter().copied().map(Owner::Pod);
        let host = compiler.lowering().host(*node).map(Owner::Node);
        let own: Vec<Own> = pods
            .chain(host)
            .zip(0..)
            .flat_map(|(of, endpoint)| {
                let addresses = match of {
                    Owner::Pod(pod) => &*cluster.pods()[pod.index()].addresses,
                    Owner::Node(node) => &cluster.nodes()[node.index()].addresses,
                };
                addresses.iter().map(move |address| Own {
                    of,
                    endpoint,
                    address: address.to_canonical(),
                })
            })
            .collect();
        if own.is_empty() {
            continue;
        }
        let mut kernel = Kernel::new(&image, 0).map_err(|error| error.to_string())?;
        let asking = Asking {
            loaded,
            image: &image,
            others: &others,
        };
        with(&asking, &own, &mut kernel)?;
    }
    Ok(())
}

fn some_transport(random: &mut Random) -> Transport {
    let ports = [1, 79, 80, 81, 82, 85, 90, 8080, 9000, 9001, 0, 65_535];
    let protocol = match random.below(10) {
        0..=3 => Protocol::TCP,
        4 => Protocol::UDP,
        5 => Protocol::SCTP,
        6 => Protocol::ICMP,
        7 => Protocol::ICMPV6,
        _ => Protocol(u8::try_from(random.below(256)).unwrap()),
    };
    let port = if random.chance(80) {
        random.one(&ports)
    } else {
        u16::try_from(random.below(65_536)).unwrap()
    };
    let is_icmp = matches!(protocol, Protocol::ICMP | Protocol::ICMPV6);
    let echo = if protocol == Protocol::ICMP { 8 } else { 128 };
    let kind = if random.chance(50) {
        echo
    } else {
        u8::try_from(random.below(256)).unwrap()
    };
    let code = u8::try_from(random.below(3)).unwrap();
    Transport {
        protocol,
        port: protocol.has_ports().then_some(port),
        icmp: is_icmp.then_some((kind, code)),
    }
}

fn wanted() -> u64 {
    std::env::var("VERDICT_PACKETS").map_or(50_000, |count| count.parse().unwrap())
}

/// How many images the packets are spread over: the verifier takes its time for each.
const IMAGES: u64 = 40;

#[test]
fn random_worlds() {
    let of = |seed| {
        let world = small::world(seed);
        let loaded = world.load_for(seed);
        Some((world, loaded))
    };
    if let Some(tally) = random(wanted(), of) {
        assert_eq!(tally.proxied + tally.proving, 0, "{tally:?}");
    }
}

#[test]
fn random_worlds_of_cilium() {
    if let Some(tally) = random(wanted() / 2, cilium::with_images) {
        let [proxied, proving] = [tally.proxied, tally.proving];
        assert!(proxied > 100 && proving > 100, "{tally:?}");
        assert!(tally.of_nodes > tally.packets / 20, "{tally:?}");
    }
}

/// As many packets of the worlds of seeds; `None` where there is no kernel to ask.
fn random(wanted: u64, of: impl Fn(u64) -> Option<(World, Loaded)>) -> Option<Tally> {
    if !kernel::is_there() {
        return None;
    }
    let of_each = (wanted / IMAGES).max(100);
    let mut tally = Tally::default();
    let mut seed = 0;
    while tally.packets < wanted {
        let Some((world, loaded)) = of(seed) else {
            seed += 1;
            continue;
        };
        let mut random = Random::new(seed);
        let result = each_image(&loaded, &world.sources(), |asking, own, kernel| {
            tally.images += 1;
            let until = tally.packets + of_each;
            let mut tries = 0;
            while tally.packets < until && tries < 3 * of_each {
                tries += 1;
                let sought = random.chance(SOUGHT.0);
                let sought = sought.then(|| asking.seek(&mut random, own)).flatten();
                let opening = sought.unwrap_or_else(|| asking.draw(&mut random, own));
                asking.compare(kernel, &opening, &mut tally)?;
            }
            Ok(())
        });
        if let Err(fault) = result {
            panic!("seed {seed}: {fault}\n{}", world.text());
        }
        seed += 1;
    }
    println!("{tally:?}");
    for (count, least) in [
        (tally.passed, 10),
        (tally.dropped, 10),
        (tally.by_itself, 100),
        (tally.v6, 10),
        (tally.sockets, 10),
    ] {
        assert!(count > tally.packets / least / 10, "{tally:?}");
    }
    Some(tally)
}

/// Every packet of the flows of a table, between all addresses of its world.
fn table(asked: &Asked, transports: &BTreeSet<Transport>, tally: &mut Tally) -> Result<(), String> {
    if !matches!(asked.loaded.policies.resolution, Resolution::Isolation) {
        return Ok(());
    }
    each_image(&asked.loaded, &asked.sources, |asking, own, kernel| {
        tally.images += 1;
        for own in own {
            for other in asking.others {
                for transport in transports {
                    for direction in [Direction::Ingress, Direction::Egress] {
                        let opening = Opening {
                            own,
                            other: *other,
                            direction,
                            transport: *transport,
                        };
                        asking.compare(kernel, &opening, tally)?;
                    }
                }
            }
        }
        Ok(())
    })
}

fn transports(flows: &str) -> BTreeSet<Transport> {
    let mut transports = BTreeSet::new();
    for line in flows.lines() {
        let flow: serde_json::Value = serde_json::from_str(line).unwrap();
        let protocol: Protocol = match flow["protocol"].as_str().unwrap_or("TCP") {
            "TCP" => Protocol::TCP,
            "UDP" => Protocol::UDP,
            "SCTP" => Protocol::SCTP,
            "ICMP" | "ICMPv4" => Protocol::ICMP,
            "ICMPv6" => Protocol::ICMPV6,
            _ => continue,
        };
        let byte = |name: &str| u8::try_from(flow[name].as_u64().unwrap_or(0)).unwrap();
        let port = flow["dport"].as_u64().unwrap_or(80);
        transports.insert(Transport {
            protocol,
            port: protocol.has_ports().then(|| u16::try_from(port).unwrap()),
            icmp: (!protocol.has_ports()).then(|| (byte("type"), byte("code"))),
        });
    }
    transports
}

#[test]
fn our_tables() {
    if !kernel::is_there() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/semantics");
    let mut tally = Tally::default();
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    paths.sort();
    for path in paths {
        let flows = fs::read_to_string(path.with_extension("jsonl")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let asked = Asked::read(std::slice::from_ref(&path), &Settings::default()).unwrap();
        // What a table sets is the other table tests' business; here all engines get the same settings.
        if text.lines().any(|line| line.starts_with("#! ")) {
            continue;
        }
        if let Err(fault) = table(&asked, &transports(&flows), &mut tally) {
            panic!("{}: {fault}", path.display());
        }
    }
    println!("{tally:?}");
    assert!(tally.passed > 1000 && tally.dropped > 500, "{tally:?}");
}

/// The inputs of the vectors that are tables of what pods reach: each step is a world.
#[test]
fn conformance_vectors() {
    let Some(vectors) = vectors() else { return };
    if !kernel::is_there() {
        return;
    }
    // The verifier takes its time for each image: all of them are for whoever asks for more packets.
    let sources: &[&str] = if wanted() > 50_000 {
        &["k8s-e2e", "policy-assistant", "cyclonus"]
    } else {
        &["policy-assistant"]
    };
    let port = |protocol, port| Transport::to_port(protocol, port);
    let transports = BTreeSet::from([
        port(Protocol::TCP, 80),
        port(Protocol::TCP, 81),
        port(Protocol::UDP, 80),
        port(Protocol::UDP, 81),
        port(Protocol::SCTP, 80),
    ]);
    let mut tally = Tally::default();
    for source in sources {
        let mut inputs: Vec<_> = fs::read_dir(vectors.join(source).join("inputs"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort();
        for input in inputs {
            let asked = Asked::read(std::slice::from_ref(&input), &Settings::default()).unwrap();
            if let Err(fault) = table(&asked, &transports, &mut tally) {
                panic!("{}: {fault}", input.display());
            }
        }
    }
    println!("{tally:?}");
    assert!(tally.passed > 100 && tally.dropped > 100, "{tally:?}");
}
