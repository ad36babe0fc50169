//! Our layout and Cilium's, with the policies of Cilium's own benchmarks of address blocks.
//!
//! `cargo bench -p verdict-tests --bench yardstick`. How many bytes they take, and how many flows a second are judged: by the
//! tables of an image from address to code, and by the evaluator of Cilium's maps from identity to entry, which is spared the
//! lookup of the identity.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;
use verdict_abi::{Config, Query, Section, Use, decide, leaf_v4};
use verdict_compiler::compile::Compiler;
use verdict_compiler::explain::report::Word;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::hir::Resolution;
use verdict_compiler::image::{Image, Memory};
use verdict_compiler::ir::Program;
use verdict_compiler::policymap::{Entry, NodeMaps, Packet, Table, aggregate_of};
use verdict_compiler::source::{SourceFile, Sources};
use verdict_tests::asking::Asked;
use verdict_tests::generate::random::Random;
use verdict_tests::yardstick;

const FLOWS: usize = 20_000;
const ROUNDS: usize = 10;
/// Bytes of an entry of Cilium's policy map: its key and its value.
const ENTRY: usize = 24;
const TCP: u8 = 6;

fn main() {
    for denies in [false, true] {
        bench(denies);
    }
}

fn bench(denies: bool) {
    let mut settings = Settings::default();
    let dialect = "dialect=cilium";
    let file = SourceFile::new("--set", dialect.as_bytes().to_vec()).expect("text");
    settings.set(Sources::default().add(file), dialect);
    let text = yardstick::blocks(denies, 1).into_bytes();
    let asked = Asked::of(vec![("blocks.yaml".into(), text)], &settings);
    let loaded = &asked.loaded;
    let Resolution::Precedence(enforcement) = &loaded.policies.resolution else {
        panic!("not in the dialect `cilium`");
    };
    let cluster = &loaded.cluster;
    let node = cluster.find_node("one");
    let maps = NodeMaps::new(cluster, &loaded.policies, enforcement, node).expect("maps");
    let program = Program::resolve(cluster, &loaded.policies);
    let compiler = Compiler::new(cluster, &loaded.policies, &asked.sources, &program);
    let nodes = compiler.lowering().nodes().iter();
    let (node, pods) = nodes.max_by_key(|(_, pods)| pods.len()).expect("a node");
    let bytes = compiler.node(*node, pods).expect("an image").image.write();
    let image = Image::decode(&bytes).expect("an image");
    let loaded: usize = Section::ALL
        .map(|section| image.section(section).len())
        .iter()
        .sum();
    let entries = maps.entries() * ENTRY;
    println!(
        "\n1,000 rules{}: {} entries, {entries} bytes",
        if denies { ", and 1,000 that deny" } else { "" },
        maps.entries(),
    );
    for (what, bytes) in [
        ("the maps of the image", loaded),
        ("all of its file", bytes.len()),
    ] {
        let times = entries as f64 / bytes as f64;
        println!("{what:<24}{bytes:>10} bytes, {times:>5.1} times smaller (5 wanted)");
    }
    rates(&image, &maps);
}

/// An address with its identity, and a port.
type Flow = (u32, u32, u16);

fn rates(image: &Image<'_>, maps: &NodeMaps) {
    let flows = flows(maps);
    let endpoints = maps.endpoints.iter();
    let endpoint = endpoints.max_by_key(|endpoint| endpoint.entries.len());
    let entries: &[Entry] = &endpoint.expect("an endpoint").entries;
    let table = Table::new(entries, true);
    let memory = Memory::of(image);
    assert_eq!(image.count(Config::Endpoints), 1);
    let ours = |(address, _, port): Flow| {
        let query = Query {
            endpoint: 0,
            of: Use::Egress,
            leaf: leaf_v4(&memory, address).expect("a leaf"),
            protocol: TCP,
            value: port.into(),
        };
        decide(&memory, query).expect("a code").1.action == verdict_abi::Action::Allow
    };
    let theirs = |(_, identity, port): Flow| {
        let packet = Packet {
            protocol: TCP,
            port,
        };
        table
            .verdict(identity, aggregate_of(identity, 0), packet)
            .word
            == Word::Allow
    };
    for flow in &flows {
        assert_eq!(ours(*flow), theirs(*flow), "{flow:x?}");
    }
    let allowed = flows.iter().filter(|flow| ours(**flow)).count();
    let (ours, theirs) = (rate(&flows, ours), rate(&flows, theirs));
    println!(
        "flows a second: {ours:.0} by the image, {theirs:.0} by the evaluator of the maps, {:.1} times as many (10 wanted); \
         {:.0}% allowed",
        ours / theirs,
        100.0 * allowed as f64 / flows.len() as f64
    );
}

/// Flows to random addresses of random blocks, each with the identity of the longest block in which it is.
fn flows(maps: &NodeMaps) -> Vec<Flow> {
    let blocks: Vec<_> = maps.ipcache.iter().collect();
    let mut random = Random::new(1);
    let mut flows = Vec::with_capacity(FLOWS);
    while flows.len() < FLOWS {
        let (block, _) = random.pick(&blocks).expect("a block");
        let IpAddr::V4(first) = block.network() else {
            continue;
        };
        let spare = u64::from(u32::MAX) >> block.prefix_len();
        let beyond = random.number() & spare;
        let address = first.to_bits() | u32::try_from(beyond).expect("32 bits");
        let found = blocks
            .iter()
            .filter(|(block, _)| block.contains(&IpAddr::V4(Ipv4Addr::from_bits(address))));
        let found = found.max_by_key(|(block, _)| block.prefix_len());
        let (_, found) = found.expect("the block itself");
        let port = u16::try_from(random.between(75, 215)).expect("a port");
        flows.push((address, found.identity, port));
    }
    flows
}

/// Flows a second, in the best of several rounds.
fn rate(flows: &[Flow], judge: impl Fn(Flow) -> bool) -> f64 {
    let seconds = (0..ROUNDS).map(|_| {
        let begin = Instant::now();
        for flow in flows {
            std::hint::black_box(judge(*flow));
        }
        begin.elapsed().as_secs_f64()
    });
    flows.len() as f64 / seconds.fold(f64::INFINITY, f64::min)
}
