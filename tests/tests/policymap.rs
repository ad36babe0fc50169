//! Cilium's own layout: its bytes, and policy maps that give every packet what the maps of Cilium's own engine give it,
//! with no more entries than these have.
//!
//! The vectors are read from beside the workspace (`VERDICT_VECTORS` names another folder); without any the tests say so
//! and pass.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use verdict_compiler::audit::{Dump, DumpFile, audit, print, verify};
use verdict_compiler::cluster::NodeId;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::hir::{Auth, DomainPattern, Glob, Resolution};
use verdict_compiler::policymap::{
    Address, Block, Demand, Entry, NodeMaps, Packet, Table, bytes, precedence,
};
use verdict_compiler::source::{SourceFile, Sources};
use verdict_tests::asking::{Asked, cases, vectors};
use verdict_tests::yardstick;

fn settings(folder: &Path, more: &[&str]) -> Settings {
    let mut settings = Settings::default();
    if let Ok(text) = fs::read(folder.join("verdict.toml")) {
        let file = SourceFile::new("verdict.toml", text).unwrap();
        let text = file.text().to_owned();
        let problems = settings.read(Sources::default().add(file), &text);
        assert!(problems.is_empty(), "{}: {problems:?}", folder.display());
    }
    for setting in more {
        let file = SourceFile::new("--set", setting.as_bytes().to_vec()).unwrap();
        let problems = settings.set(Sources::default().add(file), setting);
        assert!(problems.is_empty(), "{setting}: {problems:?}");
    }
    settings
}

fn asked(folder: &PathBuf, more: &[&str]) -> Asked {
    Asked::read(std::slice::from_ref(folder), &settings(folder, more)).unwrap()
}

fn maps(asked: &Asked, node: Option<NodeId>) -> NodeMaps {
    let loaded = &asked.loaded;
    let Resolution::Precedence(enforcement) = &loaded.policies.resolution else {
        panic!("not in the dialect `cilium`");
    };
    NodeMaps::new(&loaded.cluster, &loaded.policies, enforcement, node).unwrap()
}

fn nodes(asked: &Asked) -> Vec<NodeId> {
    let count = u32::try_from(asked.loaded.cluster.nodes().len()).unwrap();
    (0..count).map(NodeId).collect()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn small<T: TryFrom<u64>>(value: &Value) -> T
where
    T::Error: std::fmt::Debug,
{
    number(value).try_into().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn block(protocol: &Value, port: &Value, bits: &Value) -> Block {
    let (protocol, bits): (u8, u8) = (small(protocol), small(bits));
    Block {
        protocol,
        port: small(port),
        length: if protocol == 0 { 0 } else { 8 + bits },
    }
}

#[test]
fn the_bytes_of_entries_are_those_of_the_vectors() {
    let Some(vectors) = vectors() else { return };
    let folder = vectors.join("cilium");
    let mut files = BTreeSet::new();
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let all = lines(&path);
        assert!(!all.is_empty(), "{name} is empty");
        let check: fn(&Value) = match &*name {
            "policy-map-entries.jsonl" => policy_entry,
            "ipcache-entries.jsonl" => ipcache_entry,
            "port-ranges.jsonl" => port_range,
            "fqdn-patterns.jsonl" => pattern,
            _ => panic!("nothing is known of {name}"),
        };
        all.iter().for_each(check);
        files.insert(name);
    }
    assert_eq!(files.len(), 4, "{files:?}");
}

fn policy_entry(line: &Value) {
    let of = &line["entry"];
    let action = of["action"].as_str().unwrap();
    let does = match action {
        "deny" => 255,
        "allow" => 1,
        "redirect" => 255 - small::<u8>(&of["listenerPriority"]),
        other => panic!("{other}"),
    };
    let entry = Entry {
        identity: small(&of["identity"]),
        egress: of["direction"] == "egress",
        block: block(&of["protocol"], &of["port"], &of["portPrefix"]),
        denies: action == "deny",
        proxy: of.get("proxyPort").map_or(0, small),
        auth: Demand::default(),
        precedence: precedence(0, does),
    };
    assert_eq!(hex(&bytes::policy_key(&entry)), line["key"], "{line}");
    assert_eq!(hex(&bytes::policy_value(&entry)), line["value"], "{line}");
}

fn ipcache_entry(line: &Value) {
    let block = line["prefix"].as_str().unwrap().parse().unwrap();
    let tunnel = line.get("tunnelEndpoint");
    let address = Address {
        identity: small(&line["identity"]),
        tunnel: tunnel.map(|tunnel| tunnel.as_str().unwrap().parse().unwrap()),
    };
    assert_eq!(hex(&bytes::ipcache_key(block)), line["key"], "{line}");
    assert_eq!(hex(&bytes::ipcache_value(address)), line["value"], "{line}");
}

fn port_range(line: &Value) {
    let [first, last]: [u16; 2] = serde_json::from_value(line["range"].clone()).unwrap();
    let expected: Vec<[u16; 2]> = serde_json::from_value(line["prefixes"].clone()).unwrap();
    let found = Block::cover(6, first, last).into_iter();
    let found: Vec<[u16; 2]> = found
        .map(|block| [block.port, u16::from(block.length - 8)])
        .collect();
    assert_eq!(found, expected, "{line}");
}

fn pattern(line: &Value) {
    let pattern = DomainPattern::Glob(Glob::new(line["pattern"].as_str().unwrap()));
    for (list, expected) in [("matches", true), ("rejects", false)] {
        for name in line[list].as_array().unwrap() {
            let name = name.as_str().unwrap().to_ascii_lowercase();
            let name = name.strip_suffix('.').unwrap_or(&name);
            assert_eq!(pattern.matches(name), expected, "{pattern} {name}");
        }
    }
}

/// What a node's command line prints, read and made to bytes again, against the bytes that it holds.
#[test]
fn the_bytes_of_nodes_are_those_of_the_vectors() {
    let Some(vectors) = vectors() else { return };
    let mut compared = 0;
    for case in cases(&vectors, "cilium-node").unwrap() {
        let folder = vectors.join(case["dump"].as_str().unwrap());
        let Ok(expected) = fs::read_to_string(folder.join("bytes.txt")) else {
            continue;
        };
        let dump = Dump::read(|file| fs::read(folder.join(file.name())).unwrap()).unwrap();
        let mut found = BTreeSet::new();
        for (endpoint, entries) in &dump.policies {
            for entry in entries {
                let (key, value) = (bytes::policy_key(entry), bytes::policy_value(entry));
                found.insert(format!("policy {endpoint} {} {}", hex(&key), hex(&value)));
            }
        }
        for (block, identity) in &dump.ipcache {
            let address = Address {
                identity: *identity,
                tunnel: dump.tunnels.get(block).copied(),
            };
            let (key, value) = (bytes::ipcache_key(*block), bytes::ipcache_value(address));
            found.insert(format!("ipcache - {} {}", hex(&key), hex(&value)));
        }
        let expected: BTreeSet<String> = expected.lines().map(str::to_owned).collect();
        compared += expected.len();
        let differing: Vec<&String> = found.symmetric_difference(&expected).take(4).collect();
        assert!(differing.is_empty(), "{}: {differing:?}", case["id"]);
    }
    assert!(compared > 1000, "{compared} entries");
}

/// The entries of a pod as Cilium's own engine has them, under our numbers.
fn theirs(line: &Value, numbers: &BTreeMap<BTreeSet<String>, u32>) -> Vec<Entry> {
    // Nothing at all is written `null`.
    let entries = line["entries"].as_array().into_iter().flatten();
    entries
        .map(|of| {
            let labels = |list: &Vec<Value>| -> BTreeSet<String> {
                let texts = list.iter().map(|label| label.as_str().unwrap());
                texts.map(without_group_values).collect()
            };
            let verdict = of["verdict"].as_str().unwrap();
            let auth = match of.get("auth").map(|auth| auth.as_str().unwrap()) {
                None => Demand::default(),
                Some("spire") => Demand::explicit(Auth::Required),
                Some(other) => panic!("{other}"),
            };
            Entry {
                identity: of["identity"].as_array().map_or(0, |list| {
                    let labels = labels(list);
                    *numbers
                        .get(&labels)
                        .unwrap_or_else(|| panic!("no number of {labels:?}"))
                }),
                egress: of["direction"] == "egress",
                block: block(&of["protocol"], &of["port"], &of["port_prefix"]),
                denies: verdict == "deny",
                proxy: u16::from(verdict == "redirect") * u16::MAX,
                auth: if of["auth_explicit"] == true {
                    auth
                } else {
                    auth.derived()
                },
                precedence: small(&of["precedence"]),
            }
        })
        .collect()
}

/// Of the labels of a group Cilium writes one value of each key.
fn without_group_values(label: &str) -> String {
    match label.split_once('=') {
        Some((before, _)) if before.starts_with("cidrgroup:") => before.to_owned(),
        _ => label.to_owned(),
    }
}

/// Our number of every identity, by its labels as Cilium writes them.
fn by_labels(maps: &NodeMaps) -> BTreeMap<BTreeSet<String>, u32> {
    let mut text = Vec::new();
    print(maps, DumpFile::Identities, &mut text).unwrap();
    let printed: Vec<Value> = serde_json::from_slice(&text).unwrap();
    printed
        .iter()
        .map(|one| {
            let labels = one["labels"].as_array().unwrap().iter();
            let labels = labels.map(|label| label.as_str().unwrap().to_owned());
            (labels.collect(), small(&one["id"]))
        })
        .collect()
}

/// A packet of every class that an entry tells from others.
fn packets<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Packet> {
    let mut first: BTreeMap<u8, BTreeSet<u16>> = BTreeMap::new();
    for protocol in [1, 6, 17, 58, 132, 47] {
        first.entry(protocol).or_default().insert(0);
    }
    for entry in entries.filter(|entry| entry.block.length > 0) {
        let (start, end) = entry.block.ports();
        let cuts = first.entry(entry.block.protocol).or_default();
        cuts.insert(start);
        cuts.extend(end.checked_add(1));
    }
    first
        .into_iter()
        .flat_map(|(protocol, ports)| ports.into_iter().map(move |port| Packet { protocol, port }))
        .collect()
}

#[test]
fn every_packet_gets_what_the_maps_of_cilium_give_it() {
    let Some(vectors) = vectors() else { return };
    let mut faults = Vec::new();
    let (mut pods, mut asked_for, mut entries) = (0, 0u64, [0, 0]);
    for case in cases(&vectors, "cilium-concepts").unwrap() {
        let id = case["id"].as_str().unwrap();
        let Some(path) = case.get("maps").or(case["expected"].get("maps")) else {
            continue;
        };
        let input = vectors.join(case["input"].as_str().unwrap());
        let asked = asked(&input, &[]);
        for line in lines(&vectors.join(path.as_str().unwrap())) {
            if line.get("pod").is_none() {
                continue;
            }
            let node = asked
                .loaded
                .cluster
                .find_node(line["node"].as_str().unwrap());
            let maps = maps(&asked, node);
            let theirs = theirs(&line, &by_labels(&maps));
            let name = line["pod"].as_str().unwrap();
            let endpoint = maps.endpoints.iter().find(|endpoint| {
                let pod = endpoint.pod.as_ref();
                pod.is_some_and(|(namespace, pod)| name == format!("{namespace}/{pod}"))
            });
            let ours = &endpoint.unwrap().entries;
            pods += 1;
            entries[0] += ours.len();
            entries[1] += theirs.len();
            if ours.len() > theirs.len() {
                let (own, other) = (ours.len(), theirs.len());
                faults.push(format!("{id} {name}: {own} entries, Cilium has {other}"));
            }
            for egress in [false, true] {
                let tables = [ours.as_slice(), &theirs].map(|all| Table::new(all, egress));
                let packets = packets(ours.iter().chain(&theirs));
                for (number, peer) in &maps.identities {
                    for packet in &packets {
                        let [own, other] = tables
                            .each_ref()
                            .map(|table| table.verdict(*number, peer.identity.aggregate, *packet));
                        asked_for += 1;
                        if own != other && faults.len() < 40 {
                            let peer = &peer.identity;
                            faults.push(format!(
                                "{id} {name} egress={egress} {number} {peer} {packet:?}: {own:?}, Cilium {other:?}"
                            ));
                        }
                    }
                }
            }
        }
    }
    println!(
        "{pods} endpoints, {asked_for} packets, {} entries, Cilium {}",
        entries[0], entries[1]
    );
    assert!(pods > 500, "{pods} endpoints");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Holds the maps of every node to the definition, by the audit: of every so many cases of a source.
fn against_the_definition(source: &str, every: usize, more: &[&str]) {
    let Some(vectors) = vectors() else { return };
    let mut faults = Vec::new();
    let mut endpoints = 0;
    for case in cases(&vectors, source).unwrap().iter().step_by(every) {
        if case["kind"] == "refused" {
            continue;
        }
        let asked = asked(&vectors.join(case["input"].as_str().unwrap()), more);
        for node in nodes(&asked) {
            let maps = maps(&asked, Some(node));
            let text = |file| {
                let mut text = Vec::new();
                print(&maps, file, &mut text).unwrap();
                text
            };
            let dump = Dump::read(text).unwrap();
            let Resolution::Precedence(enforcement) = &asked.loaded.policies.resolution else {
                panic!("not in the dialect `cilium`");
            };
            let report = audit(asked.context(), enforcement, node, &dump);
            endpoints += report.compared;
            if !report.is_clean() {
                faults.push(format!(
                    "{}: {}",
                    case["id"],
                    serde_json::to_string(&report).unwrap()
                ));
            }
        }
    }
    println!("{source} {more:?}: {endpoints} endpoints");
    assert!(endpoints > 300, "{endpoints} endpoints");
    faults.truncate(10);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn concepts_by_the_definition() {
    against_the_definition("cilium-concepts", 1, &[]);
}

#[test]
fn concepts_of_1_19_by_the_definition() {
    against_the_definition("cilium-concepts", 1, &["cilium.version=1.19"]);
}

#[test]
fn random_sets_by_the_definition() {
    against_the_definition("cilium-random", 4, &[]);
}

/// Our own tables of this dialect, which need no vectors.
#[test]
fn our_own_tables_by_the_definition() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/semantics");
    let mut compared = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("cilium-") || !name.ends_with(".yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let sets: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("#! "))
            .collect();
        let settings = settings(Path::new("none"), &sets);
        let asked = Asked::of(vec![(name.clone(), text.clone().into_bytes())], &settings);
        let Resolution::Precedence(enforcement) = &asked.loaded.policies.resolution else {
            panic!("{name}: not in the dialect `cilium`");
        };
        for node in nodes(&asked).into_iter().map(Some).chain([None]) {
            let maps = maps(&asked, node);
            let dump = Dump::read(|file| {
                let mut text = Vec::new();
                print(&maps, file, &mut text).unwrap();
                text
            });
            let verified = verify(asked.context(), enforcement, node, dump.unwrap(), u64::MAX);
            assert!(
                verified.differences.is_empty(),
                "{name}: {:?}",
                verified.differences
            );
            compared += verified.compared;
        }
    }
    assert!(compared > 1000, "{compared} packets");
}

/// Cilium's own engine has 44,600 entries for 1,000 rules of address blocks, and 117,519 with as many that deny.
#[test]
fn there_are_no_more_entries_than_in_the_benchmarks_of_cilium() {
    for (denies, most) in [(false, 44_600), (true, 117_519)] {
        let text = yardstick::blocks(denies, 1);
        let settings = settings(Path::new("none"), &["dialect=cilium"]);
        let asked = Asked::of(vec![("blocks.yaml".into(), text.into_bytes())], &settings);
        assert_eq!(asked.errors(), Vec::<String>::new());
        let maps = maps(&asked, asked.loaded.cluster.find_node("one"));
        let entries = maps.entries();
        println!(
            "1,000 rules of address blocks, denies {denies}: {entries} entries, Cilium {most}"
        );
        assert!(
            entries > 10_000 && entries <= most,
            "{entries}, Cilium {most}"
        );
    }
}
