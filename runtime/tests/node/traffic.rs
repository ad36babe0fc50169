//! Real traffic between pods, compared with what the definition says.

use super::cage::{on, sh};
use super::net::{
    PATIENCE, PORTS, attach_all, build, connect, datagram, exchange, ping, reaches, serve,
};
use super::wire::associate;
use super::world::{NODES, NOTHING, OTHER, PODS, Pod, TIERS, World, echo, pod, to_port};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;
use verdict_compiler::cluster::Protocol;

/// What is tried between two pods.
#[derive(Clone, Copy, Debug)]
enum Try {
    Tcp(u16),
    Udp(u16),
    /// A datagram in three parts.
    Parts(u16),
    Ping,
    /// An association is asked for and granted.
    Sctp(u16),
}

/// Ports of those that ask for associations: each asks once.
static OWN: AtomicU16 = AtomicU16::new(20_000);

impl Try {
    fn all() -> impl Iterator<Item = Self> {
        let ports = PORTS.into_iter();
        let ports = ports.flat_map(|port| [Self::Tcp(port), Self::Udp(port), Self::Sctp(port)]);
        ports.chain([Self::Parts(9000), Self::Ping])
    }

    /// Tries it. What should pass has much time, since machines are busy.
    fn passes(self, from: Pod, to: IpAddr, expected: bool) -> bool {
        let patience = if expected { PATIENCE * 8 } else { PATIENCE };
        match self {
            Self::Tcp(port) => connect(from, to, port, patience).is_some(),
            Self::Udp(port) => datagram(from, to, port, 16, patience),
            Self::Parts(port) => datagram(from, to, port, 4000, patience),
            Self::Ping => ping(from, to, patience),
            Self::Sctp(port) => {
                let own = OWN.fetch_add(1, Ordering::Relaxed);
                associate(from, own, to, port, patience)
            }
        }
    }

    fn expected(self, world: &World, from: Pod, to: Pod, address: IpAddr) -> bool {
        let packet = match self {
            Self::Tcp(port) => to_port(Protocol::TCP, port),
            Self::Udp(port) | Self::Parts(port) => to_port(Protocol::UDP, port),
            Self::Ping => echo(address),
            Self::Sctp(port) => to_port(Protocol::SCTP, port),
        };
        world.allows(from, to, packet)
    }
}

/// Tries everything between every two pods, and compares. How many pass, and how many do not.
fn compare(world: &World) -> (usize, usize) {
    let mut tries = Vec::new();
    for from in PODS {
        for to in PODS.into_iter().filter(|to| *to != from) {
            for address in to.addresses() {
                for each in Try::all() {
                    let expected = each.expected(world, from, to, address);
                    tries.push((from, to, address, each, expected));
                }
            }
        }
    }
    let passed: Vec<bool> = thread::scope(|scope| {
        let running: Vec<_> = tries
            .iter()
            .map(|(from, _, address, each, expected)| {
                scope.spawn(|| each.passes(*from, *address, *expected))
            })
            .collect();
        let results = running.into_iter().map(|one| one.join().unwrap());
        results.collect()
    });
    let mut wrong = Vec::new();
    for ((from, to, address, each, expected), passed) in tries.iter().zip(&passed) {
        if expected != passed {
            wrong.push(format!(
                "{} -> {} ({address}) {each:?}: passed: {passed}, definition: {expected}",
                from.name, to.name
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let passes = passed.iter().filter(|passed| **passed).count();
    (passes, passed.len() - passes)
}

fn load(world: &World, name: &str) {
    let images = world.write(&Path::new("/run/netns").join(name));
    for (node, ..) in NODES {
        on(node, &["load", &images.of(node)]).must(0);
    }
}

both_hooks! {
    every_pair_and_port_is_as_the_definition_says
}

fn every_pair_and_port_is_as_the_definition_says(hook: &str) {
    build();
    serve();
    for (from, to) in [("web", "api"), ("web", "db"), ("spy", "api")] {
        assert!(reaches(pod(from), pod(to)), "{from} does not reach {to}");
    }
    let world = World::of(TIERS);
    load(&world, "tiers");
    attach_all(true, hook);
    let (passed, denied) = compare(&world);
    assert!(
        passed > 50 && denied > 50,
        "{passed} passed, {denied} did not"
    );
    let status = on("n1", &["status", "--format", "json"]).must(0).json();
    assert_eq!(status["generation"]["attested"], "kernel");
    let rules = status["rules"].as_array().unwrap();
    let named = |rule: &&serde_json::Value| {
        rule["policy"] == "NetworkPolicy/shop/api" && rule["rule"] == "spec.ingress[0]"
    };
    let rule = rules.iter().find(named).unwrap();
    assert_eq!(
        (&rule["file"], &rule["line"]),
        (&"policies.yaml".into(), &8.into())
    );
    assert!(rule["packets"].as_u64() > Some(10), "{rule}");

    let other = World::of(OTHER);
    load(&other, "other");
    compare(&other);
    for (node, ..) in NODES {
        on(node, &["rollback"]).must(0);
    }
    compare(&world);
    // Given up, everything passes again.
    for (node, ..) in NODES {
        on(node, &["unload", "--all"]).must(0);
    }
    assert!(reaches(pod("spy"), pod("db")));
}

both_hooks! {
    connections_outlive_a_change_as_far_as_policies_allow
}

fn connections_outlive_a_change_as_far_as_policies_allow(hook: &str) {
    build();
    serve();
    load(&World::of(TIERS), "tiers");
    attach_all(true, hook);
    let (web, api) = (pod("web"), pod("api"));
    let mut kept: Vec<_> = api
        .addresses()
        .into_iter()
        .map(|address| connect(web, address, 8080, PATIENCE).unwrap())
        .collect();
    load(&World::of(OTHER), "other");
    for stream in &mut kept {
        assert!(exchange(stream, b"still allowed"));
    }
    load(&World::of(NOTHING), "nothing");
    for stream in &mut kept {
        stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        assert!(!exchange(stream, b"denied now"));
    }
    // What was sent is sent again by TCP, and arrives when it is allowed once more.
    load(&World::of(TIERS), "tiers");
    for stream in &mut kept {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut back = [0; 10];
        std::io::Read::read_exact(stream, &mut back).unwrap();
        assert_eq!(&back, b"denied now");
    }
}

both_hooks! {
    what_is_asked_to_be_protected_is_closed_until_an_image_is_loaded
}

fn what_is_asked_to_be_protected_is_closed_until_an_image_is_loaded(hook: &str) {
    build();
    serve();
    assert!(reaches(pod("web"), pod("api")));
    attach_all(false, hook);
    let quick = Duration::from_millis(300);
    for (from, to) in [("web", "api"), ("spy", "db"), ("db", "web")] {
        for address in pod(to).addresses() {
            assert!(connect(pod(from), address, 80, quick).is_none());
            assert!(!datagram(pod(from), address, 80, 16, quick));
        }
    }
    let status = on("n1", &["status", "--format", "json"]).must(1).json();
    assert_eq!(status["attachments"][0]["state"], "closed");
    let world = World::of(TIERS);
    load(&world, "tiers");
    compare(&world);
    on("n1", &["unload"]).must(0);
    for address in pod("api").addresses() {
        assert!(connect(pod("web"), address, 8080, quick).is_none());
    }
    on("n1", &["detach", "shop/web"]).must(0);
    on("n1", &["detach", "veth-api"]).must(0);
    assert!(connect(pod("web"), pod("api").addresses()[0], 80, PATIENCE).is_some());
    sh("test -z \"$(ls /sys/fs/bpf/n1/interfaces)\"");
}

/// The web tier may ask the API at port 8080, where a proxy should look at what it asks, and at port 80.
const BY_PROXY: &str = "\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: api}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: web}}]
    toPorts:
    - ports: [{port: '8080', protocol: TCP}]
      rules: {http: [{method: GET}]}
  - fromEndpoints: [{matchLabels: {app: web}}]
    toPorts: [{ports: [{port: '80', protocol: TCP}]}]
";

both_hooks! {
    what_a_proxy_should_judge_is_dropped_and_told
}

fn what_a_proxy_should_judge_is_dropped_and_told(hook: &str) {
    build();
    serve();
    attach_all(false, hook);
    let images = World::of_cilium(BY_PROXY).write(Path::new("/run/netns/images"));
    on("n2", &["load", &images.of("n2")]).must(0);
    let image = images.of("n1");
    let load = ["load", &image, "--format", "json"];
    let loaded = on("n1", &load).must(1).json();
    let warning = &loaded["warnings"][0];
    let words = "are dropped, by CiliumNetworkPolicy/shop/api (policies.yaml:7)";
    assert_eq!(warning["code"], "V0813", "{loaded}");
    assert!(
        warning["message"].as_str().unwrap().ends_with(words),
        "{loaded}"
    );
    let quick = Duration::from_millis(300);
    for address in pod("api").addresses() {
        assert!(connect(pod("web"), address, 80, PATIENCE).is_some());
        assert!(connect(pod("web"), address, 8080, quick).is_none());
    }
    let status = on("n1", &["status", "--format", "json"]).must(0).json();
    let reasons = status["reasons"].as_array().unwrap();
    let by_proxy = reasons.iter().find(|one| one["reason"] == "proxy");
    assert!(
        by_proxy.is_some_and(|one| one["packets"].as_u64() >= Some(2)),
        "{status}"
    );
    // It enforces already, and is told all the same.
    let again = on("n1", &load).must(1).json();
    assert_eq!(again["warnings"][0]["code"], "V0813", "{again}");
}
