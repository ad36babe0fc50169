//! What a verdict costs in the kernel.
//!
//! `cargo bench -p verdict-tests --bench kernel`, as root. `BPF_PROG_TEST_RUN` repeats a program; each run takes
//! another address and other ports. Nanoseconds of one run, the least of several rounds: an empty program, reading
//! alone, the verdict path without and with a lookup of connections, and the lookups of Cilium's maps, filled with the
//! same policies. `VERDICT_BENCH_PODS` names other numbers of pods (`16384,262144`), `VERDICT_BENCH_OBJECTS` another folder
//! than `ebpf/program` with the objects.
#![cfg(target_os = "linux")]

use aya::maps::Array;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::programs::{ProgramError, ProgramInfo, TestRun as _, TestRunOptions};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use verdict_abi::datapath::packet::Address;
use verdict_abi::datapath::{Attachment, LAZY, OPEN_EGRESS, open_directions};
use verdict_abi::open::LeafWho;
use verdict_abi::{Action, Config, Query, Use, decide};
use verdict_compiler::compile::Compiler;
use verdict_compiler::image::Image;
use verdict_compiler::ir::Program;
use verdict_runtime::{Generation, OBJECT, Options};
use verdict_tests::generate::large::{self, Size};
use verdict_tests::generate::random::Random;
use verdict_tests::packets;

static BASELINE: &[u8] = aya::include_bytes_aligned!("../../ebpf/program/baseline.o");

/// Many short rounds, since a round that other work interrupts says nothing.
const ROUNDS: usize = 400;
const REPEAT: u32 = 8_192;
/// Flows in the map: a power of two.
const FLOWS: u32 = 262_144;

fn main() {
    if !verdict_tests::kernel::is_there() {
        return;
    }
    let pods = std::env::var("VERDICT_BENCH_PODS").unwrap_or_else(|_| "16384,262144".into());
    for pods in pods.split(',') {
        let pods = pods.parse().expect("a number of pods");
        bench(pods);
    }
}

fn bench(pods: usize) {
    let size = Size {
        pods,
        nodes: pods / 128,
        dual_stack: true,
        cluster_policies: 0,
        ..Size::default()
    };
    let world = large::world(size, 1);
    let loaded = world.load(true);
    let sources = world.sources();
    let cluster = &loaded.cluster;
    let program = Program::resolve(cluster, &loaded.policies);
    let compiler = Compiler::new(cluster, &loaded.policies, &sources, &program);
    let addresses: Vec<IpAddr> = cluster
        .pods()
        .iter()
        .flat_map(|pod| pod.addresses.iter().copied())
        .collect();
    let images = compiler.lowering().nodes().iter().map(|(node, own)| {
        let made = compiler.node(*node, own);
        made.expect("an image").image.write()
    });
    let bytes = images
        .into_iter()
        .find(|bytes| busiest(&Image::decode(bytes).expect("an image"), &addresses).is_some())
        .expect("an endpoint whose ingress alone is isolated");
    let image = Image::decode(&bytes).expect("an image");
    println!(
        "\n{pods} pods, {} classes of peers, {} of ports, {} rows, {} codes",
        image.count(Config::Classes),
        image.count(Config::PortClasses),
        image.count(Config::Rows),
        image.count(Config::Codes),
    );
    println!(
        "{:<8}{:>9}{:>9}{:>11}{:>13}{:>10}{:>10}{:>12}",
        "", "noop", "parse", "verdict", "+connection", "cilium", "allowed", "cilium/ours"
    );
    verified(&image);
    for is_v4 in [true, false] {
        let ends: Vec<IpAddr> = addresses
            .iter()
            .filter(|address| address.is_ipv4() == is_v4)
            .copied()
            .collect();
        family(&image, &ends);
    }
}

/// An object of the folder that was named, else the one that stands here.
fn object(name: &str, built_in: &[u8]) -> Vec<u8> {
    match std::env::var_os("VERDICT_BENCH_OBJECTS") {
        Some(folder) => std::fs::read(Path::new(&folder).join(name)).expect("an object"),
        None => built_in.to_vec(),
    }
}

/// How many instructions the verifier looks at in the programs of a node, of the million that it looks at at most.
fn verified(image: &Image<'_>) {
    let options = Options {
        connections: 1 << 10,
        ..Options::default()
    };
    let object = object("verdict.o", OBJECT);
    let mut generation = Generation::load_object(&object, image, options).expect("programs");
    print!("programs of a node:");
    for name in ["ingress", "egress"] {
        let info = generation.classifier(name).expect("a program").info();
        print!(" {name} {}", instructions(info));
    }
    for name in ["cgroup_ingress", "cgroup_egress"] {
        let info = generation.cgroup(name).expect("a program").info();
        print!(" {name} {}", instructions(info));
    }
    println!(" instructions verified");
}

fn instructions(info: Result<ProgramInfo, ProgramError>) -> u32 {
    let count = info.expect("its data").verified_instruction_count();
    count.unwrap_or(0)
}

/// The endpoint of whose ingress most is decided, among those that may send whatever they like.
fn busiest(image: &Image<'_>, ends: &[IpAddr]) -> Option<(u32, IpAddr)> {
    let mut best = (0, 0, ends[0]);
    let open = open_directions(image);
    for (endpoint, name) in (0..).zip(&image.source().endpoints) {
        let Some(verdict_compiler::image::End::Endpoint(_, own)) = image.end_of_endpoint(name)
        else {
            continue;
        };
        let own = own
            .into_iter()
            .find(|own| own.is_ipv4() == ends[0].is_ipv4());
        let mut random = Random::new(3);
        let mut count = [0, 0];
        for _ in 0..500 {
            let flow = flow(&mut random, ends);
            count[usize::from(passes(image, endpoint, flow))] += 1;
        }
        let [denied, allowed] = count;
        if let Some(own) = own
            && open[endpoint as usize] & OPEN_EGRESS != 0
            && allowed.min(denied) > best.0
        {
            best = (allowed.min(denied), endpoint, own);
        }
    }
    (best.0 > 0).then_some((best.1, best.2))
}

/// An address with a source and a destination port.
type Flow = (IpAddr, u16, u16);

fn flow(random: &mut Random, ends: &[IpAddr]) -> Flow {
    let end = *random.pick(ends).expect("an address");
    let known = [53, 80, 443, 5432, 6379, 8080, 8443, 9090];
    let port = if random.chance(50) {
        random.one(&known)
    } else {
        u16::try_from(random.below(65_536)).expect("a port")
    };
    (
        end,
        u16::try_from(random.between(32_768, 60_999)).expect("a port"),
        port,
    )
}

fn passes(image: &Image<'_>, endpoint: u32, (end, _, port): Flow) -> bool {
    allowed(
        image,
        endpoint,
        image.leaf(end).expect("a leaf"),
        6,
        port.into(),
    )
}

fn allowed(image: &Image<'_>, endpoint: u32, leaf: u32, protocol: u8, value: u32) -> bool {
    let query = Query {
        endpoint,
        of: Use::Ingress,
        leaf,
        protocol,
        value,
    };
    decide(image, query).expect("a code").1.action == Action::Allow
}

fn mapped(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => Address::v4(address.to_bits()),
        IpAddr::V6(address) => Address::v6(address.to_bits()),
    }
}

fn family(image: &Image<'_>, ends: &[IpAddr]) {
    let (endpoint, own) = busiest(image, ends).expect("an endpoint");
    let options = Options {
        connections: 1 << 20,
        ..Options::default()
    };
    let object = object("baseline.o", BASELINE);
    let mut generation = Generation::load_object(&object, image, options).expect("programs");
    let mut random = Random::new(9);
    let flows: Vec<Flow> = (0..FLOWS).map(|_| flow(&mut random, ends)).collect();
    fill_flows(&mut generation, &flows);
    let attachment = Attachment {
        interface: 1,
        endpoint,
        ..Attachment::default()
    };
    let attachment = match own {
        IpAddr::V4(own) => Attachment {
            v4: own.to_bits(),
            flags: verdict_abi::datapath::HAS_V4,
            ..attachment
        },
        IpAddr::V6(own) => Attachment {
            v6: Address::v6(own.to_bits()),
            flags: verdict_abi::datapath::HAS_V6,
            ..attachment
        },
    };
    generation
        .attach_interface(attachment)
        .expect("an interface");
    fill_cilium(&mut generation, image, endpoint, ends);
    let name = if own.is_ipv4() { "ipv4" } else { "ipv6" };
    let frame = |transport| packets::build(&format!("{name} {} > {own} {transport}", ends[0]));
    let (syn, datagram) = (frame("tcp 1 > 80 syn"), frame("udp 1 > 80"));
    let noop = least(&mut generation, "noop", &syn);
    let parse = least(&mut generation, "parse", &syn);
    let parse_datagram = least(&mut generation, "parse", &datagram);
    let cilium = least(&mut generation, "cilium", &syn);
    generation.set_settings(LAZY).expect("settings");
    let verdict = least(&mut generation, "verdict", &syn);
    generation.set_settings(0).expect("settings");
    // Each flow once, so that its connection is there.
    run(&mut generation, "verdict", &datagram, FLOWS);
    let connection = least(&mut generation, "verdict", &datagram);
    let pass = flows
        .iter()
        .filter(|flow| passes(image, endpoint, **flow))
        .count();
    println!(
        "{name:<8}{noop:>9.1}{parse:>9.1}{:>+11.1}{:>+13.1}{:>+10.1}{:>9.0}%{:>12.1}",
        verdict - parse,
        connection - parse_datagram,
        cilium - parse,
        100.0 * pass as f64 / flows.len() as f64,
        (cilium - parse) / (verdict - parse),
    );
    if own.is_ipv4() {
        println!(
            "{name}: {:.0} ns above parsing (30 wanted at 16,384 addresses), Cilium's layout {:.1} times as much (15 wanted)",
            verdict - parse,
            (cilium - parse) / (verdict - parse),
        );
    }
    for program in ["noop", "parse", "verdict", "cilium"] {
        let info = generation.classifier(program).expect("a program").info();
        print!("{program} {} ", instructions(info));
    }
    println!("instructions verified");
}

fn fill_flows(generation: &mut Generation, flows: &[Flow]) {
    let mut map: Array<_, [u64; 3]> = generation.typed("flows").expect("a map");
    for (index, (end, src_port, dst_port)) in (0..).zip(flows) {
        let end = mapped(*end);
        let ports = u64::from(*src_port) << 16 | u64::from(*dst_port);
        map.set(index, [end.upper, end.lower, ports], 0)
            .expect("a flow");
    }
    let mut next: Array<_, [u64; 2]> = generation.typed("next").expect("a map");
    next.set(0, [0, u64::from(FLOWS) - 1], 0).expect("a place");
}

/// Cilium's maps with the same policies: the identity of each address, and for each identity what it may send.
fn fill_cilium(generation: &mut Generation, image: &Image<'_>, endpoint: u32, ends: &[IpAddr]) {
    let mut identities = BTreeMap::new();
    let mut ipcache: LpmTrie<_, [u32; 5], [u32; 3]> = generation.typed("ipcache").expect("a map");
    for end in ends {
        let leaf = image.leaf(*end).expect("a leaf");
        let identity = match image.world().leaves[leaf as usize] {
            LeafWho::Identity(identity) => 256 + identity,
            LeafWho::Node(_) | LeafWho::UnknownNode | LeafWho::Outside => 2,
        };
        identities.insert(identity, leaf);
        let (bits, data) = match end {
            IpAddr::V4(end) => (64, [1 << 24, end.to_bits().to_be(), 0, 0, 0]),
            IpAddr::V6(end) => {
                let [a, b, c, d] = [96, 64, 32, 0].map(|shift| (end.to_bits() >> shift) as u32);
                (160, [2 << 24, a.to_be(), b.to_be(), c.to_be(), d.to_be()])
            }
        };
        ipcache
            .insert(&Key::new(bits, data), [identity, 0, 0], 0)
            .expect("an address");
    }
    let mut policy: LpmTrie<_, [u8; 8], u64> = generation.typed("policy").expect("a map");
    let mut entries = 0;
    for (identity, leaf) in identities {
        for (protocol, first, bits) in entries_of(image, endpoint, leaf) {
            let [a, b, c, d] = identity.to_ne_bytes();
            let [high, low] = first.to_be_bytes();
            let data = [a, b, c, d, 0, protocol, high, low];
            policy
                .insert(&Key::new(bits, data), 1, 0)
                .expect("an entry");
            entries += 1;
        }
    }
    println!(
        "cilium: {} addresses, {entries} policy entries of the endpoint",
        ends.len()
    );
}

/// The entries of one identity: protocol, first port, bits of the prefix.
fn entries_of(image: &Image<'_>, endpoint: u32, leaf: u32) -> Vec<(u8, u16, u32)> {
    let mut entries = Vec::new();
    for protocol in [6, 17, 132] {
        let mut port = 0_u32;
        while port < 65_536 {
            if !allowed(image, endpoint, leaf, protocol, port) {
                port += 1;
                continue;
            }
            let mut end = port;
            while end < 65_536 && allowed(image, endpoint, leaf, protocol, end) {
                end += 1;
            }
            while port < end {
                let aligned = if port == 0 { 16 } else { port.trailing_zeros() };
                let fits = (end - port).ilog2();
                let free = aligned.min(fits).min(16);
                entries.push((protocol, u16::try_from(port).expect("a port"), 64 - free));
                port += 1 << free;
            }
        }
    }
    entries
}

fn least(generation: &mut Generation, program: &'static str, frame: &[u8]) -> f64 {
    let rounds = (0..ROUNDS).map(|_| run(generation, program, frame, REPEAT));
    rounds.fold(f64::INFINITY, f64::min)
}

/// Nanoseconds of one run.
fn run(generation: &mut Generation, program: &'static str, frame: &[u8], repeat: u32) -> f64 {
    let program = generation.classifier(program).expect("a program");
    let options = TestRunOptions {
        data_in: Some(frame),
        repeat,
        ..TestRunOptions::default()
    };
    program
        .test_run(options)
        .expect("a run")
        .duration
        .as_nanos() as f64
}
