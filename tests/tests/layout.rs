//! The layout of an image is what its versions say: `testdata/image` has a file for each pair of versions, and a change
//! of the layout without a new version fails.
//!
//! With `VERDICT_BLESS=1` the file of a new version is written; one that is there is never changed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use verdict_abi::open::{self, Subjects};
use verdict_abi::{
    ABI_VERSION, Action, Block, Code, Config, DIRECTORY_ENTRIES, ENDIAN_MARK, FORMAT_VERSION,
    MAGIC, NOT_KNOWN, PAGE, PAGE_ENTRIES, Section, TO_BLOCK, TO_DIRECTORY, Use, V4_STEPS, V6_STEPS,
    group, hash, leaf_v6, slot,
};
use verdict_compiler::image::{Common, Image, Input, Limits, Origin, SourceTable, encode, hex};
use verdict_compiler::lir::{LeafId, text};
use verdict_tests::generate::random::Random;

const PROGRAM: &str = "leaves 4
classes 3
class c0 = 0
class c1 = 1-2
class c2 = 3
own-node 0
port-classes 2
keys 0/0-6/8079 k0
keys 6/8080 k1
keys 6/8081-255/131071 k0
table chain0
  rows 0 1 0
  hairpin 1*3
table chain1
  rows 1*3
  hairpin 1*3
code0 deny p0
code1 allow r0
row0 0 1
row1 1*2
endpoint shop/api ingress chain0 egress chain1
";

fn world() -> open::World {
    let texts = ["10.yaml", "app", "http", "spec.ingress[0]", "web"];
    let rule = open::Rule {
        id: 0,
        action: open::RuleAction::Allow,
        peers: Some(0),
        ports: Some(0),
        path: 3,
        line: 300,
    };
    let net = |first: &str, bits| open::Net {
        first: first.parse().unwrap(),
        bits,
    };
    open::World {
        strings: texts.iter().map(|text| (*text).into()).collect(),
        closed: false,
        cidr_matches_pods: true,
        selectors: vec![
            Vec::new(),
            vec![
                open::Requirement {
                    key: 1,
                    operator: open::Operator::In(vec![4]),
                },
                open::Requirement {
                    key: 1,
                    operator: open::Operator::NotIn(vec![2, 4]),
                },
                open::Requirement {
                    key: 1,
                    operator: open::Operator::Exists,
                },
                open::Requirement {
                    key: 2,
                    operator: open::Operator::DoesNotExist,
                },
            ],
        ],
        pod_selectors: vec![
            open::PodSelector {
                namespaces: open::NamespaceSelector::Named(4),
                pods: 0,
            },
            open::PodSelector {
                namespaces: open::NamespaceSelector::Labels(1),
                pods: 1,
            },
        ],
        peers: vec![vec![
            open::Peer::Pods(1),
            open::Peer::Nodes(1),
            open::Peer::Block(net("10.0.0.0", 8), vec![net("10.1.0.0", 16)]),
            open::Peer::Block(net("2001:db8::", 32), Vec::new()),
            open::Peer::Name(4),
            open::Peer::Subdomains(4),
        ]],
        ports: vec![vec![
            open::PortMatch::Range(6, 8080, 65_535),
            open::PortMatch::Named(None, 2),
            open::PortMatch::Named(Some(17), 2),
        ]],
        policies: vec![open::Policy {
            name: "NetworkPolicy/shop/api".into(),
            file: 0,
            line: 7,
            tier: open::Tier::Namespace,
            priority: 0,
            subject: Some(0),
            isolates: [true, false],
            rules: [vec![rule], Vec::new()],
        }],
        answers: vec![("web".into(), vec!["192.0.2.7".parse().unwrap()])],
        label_sets: vec![Vec::new(), vec![(1, 4), (2, open::NOT_ASKED)]],
        port_sets: vec![vec![open::NamedPort {
            name: 2,
            protocol: 6,
            number: 8080,
        }]],
        namespaces: vec![open::Namespace {
            name: "shop".into(),
            labels: 0,
        }],
        nodes: vec![0],
        identities: vec![open::Identity {
            namespace: 0,
            labels: 1,
            ports: 0,
            host: Some(open::Host::Node(0)),
        }],
        leaves: vec![
            open::LeafWho::Identity(0),
            open::LeafWho::Node(0),
            open::LeafWho::UnknownNode,
            open::LeafWho::Outside,
        ],
    }
}

fn image() -> Vec<u8> {
    let v4 = [
        (0, LeafId(3)),
        (0x0a00_0007, LeafId(0)),
        (0x0a00_0008, LeafId(3)),
    ];
    let pod = 0x2001_0db8 << 96 | 7;
    let v6 = [
        (0, LeafId(3)),
        (1 << 64, LeafId(1)),
        (pod, LeafId(0)),
        (pod + 1, LeafId(1)),
    ];
    image_of(&v4, &v6)
}

fn image_of(v4: &[(u32, LeafId)], v6: &[(u128, LeafId)]) -> Vec<u8> {
    let program = text::parse(PROGRAM).unwrap();
    let source = SourceTable {
        version: 1,
        node: Some("worker-1".into()),
        incomplete: Vec::new(),
        endpoints: vec!["shop/api".into()],
        origins: vec![
            Origin {
                policy: "NetworkPolicy/shop/api".into(),
                rule: None,
                file: "10.yaml".into(),
                line: 7,
            },
            Origin {
                policy: "NetworkPolicy/shop/api".into(),
                rule: Some("spec.ingress[0]".into()),
                file: "10.yaml".into(),
                line: 300,
            },
        ],
    };
    let address: IpAddr = "10.0.0.7".parse().unwrap();
    let subjects = Subjects {
        node: Some(0),
        identities: vec![0],
    };
    let input = Input {
        limits: Limits::default(),
        program: &program,
        common: &Common::new(v4, v6, world().write()),
        addresses: &[vec![address]],
        source: &source,
        origins: &[1, 2],
        subjects: &subjects,
    };
    encode(&input).unwrap().write()
}

/// Everything that whoever reads an image relies on.
fn layout() -> String {
    let mut text = format!(
        "magic {MAGIC:?}\nmark {ENDIAN_MARK:#x}\npage {PAGE}\nblocks lead by {TO_BLOCK:#x}\n\
         directories by {TO_DIRECTORY:#x}, entries {DIRECTORY_ENTRIES}, pages {PAGE_ENTRIES}\n\
         not known {NOT_KNOWN}\nsteps {V4_STEPS} {V6_STEPS}\nconfig words {}\n",
        Config::WORDS
    );
    let hash = hash(0x2001_0db8 << 32, 7);
    writeln!(
        text,
        "hash {hash:#x} {} {}",
        group(hash, 1000),
        slot(hash, 3, 1000)
    )
    .unwrap();
    writeln!(text, "block {:#x}", Block::at(16, 0x0a00_0000, 8).entry()).unwrap();
    for section in Section::ALL {
        writeln!(text, "section {section:?} {}", section as u32).unwrap();
    }
    for (of, number) in [
        (Use::Ingress, 0),
        (Use::Egress, 1),
        (Use::HairpinIngress, 2),
        (Use::HairpinEgress, 3),
    ] {
        assert_eq!(of as u32, number);
    }
    for action in [Action::Deny, Action::Audit, Action::Allow, Action::Redirect] {
        let code = Code {
            action,
            depends: action == Action::Deny,
            listener: 0x1234,
            origin: 0x0506_0708,
        };
        writeln!(text, "code {action:?} {:#x}", code.word()).unwrap();
    }
    let bytes = image();
    let image = Image::decode(&bytes).unwrap();
    assert_eq!(*image.world(), world());
    for (name, size, digest) in image.sections().chain(image.other_sections()) {
        writeln!(text, "bytes of {name}: {size} {}", hex(&digest)).unwrap();
    }
    text
}

#[test]
fn a_change_of_the_layout_is_a_new_version() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/image");
    let file = folder.join(format!("format-{FORMAT_VERSION}-abi-{ABI_VERSION}.txt"));
    let layout = layout();
    if !file.exists() && std::env::var_os("VERDICT_BLESS").is_some() {
        std::fs::write(&file, &layout).unwrap();
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        known == layout,
        "the layout is not that of {}: raise FORMAT_VERSION or ABI_VERSION in ebpf/abi, and bless the file of the new \
         version\n{layout}",
        file.display()
    );
}

/// Runs of random addresses, some of them next to each other and at the ends of blocks.
fn runs<T: Ord>(
    random: &mut Random,
    count: usize,
    bits: u32,
    of: fn(u128) -> T,
) -> Vec<(T, LeafId)> {
    let mut starts = BTreeSet::from([0]);
    while starts.len() < count {
        let highest = u128::MAX >> (128 - bits);
        let near = *random
            .pick(&starts.iter().copied().collect::<Vec<u128>>()[..])
            .unwrap();
        let prefix = u32::try_from(random.below(bits as usize)).unwrap();
        let start = match random.below(4) {
            0 => (near + 1) & highest,
            1 => near ^ 1 << prefix,
            2 => (near >> prefix << prefix) & highest,
            _ => highest - u128::try_from(random.below(1 << 16)).unwrap(),
        };
        starts.insert(start);
    }
    let leaf = |_| LeafId(u32::try_from(random.below(4)).unwrap());
    let leaves: Vec<LeafId> = starts.iter().map(leaf).collect();
    starts.into_iter().map(of).zip(leaves).collect()
}

fn leaf_of<T: Ord + Copy>(runs: &[(T, LeafId)], address: T) -> u32 {
    let after = runs.partition_point(|(start, _)| *start <= address);
    runs[after - 1].1.0
}

#[test]
fn every_address_has_the_leaf_of_its_run() {
    let mut hosts = 0;
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let count = 1 + random.below(if seed % 10 == 0 { 3000 } else { 60 });
        let v4 = runs(&mut random, count, 32, |start| start as u32);
        let v6 = runs(&mut random, count, 128, |start| start);
        let bytes = image_of(&v4, &v6);
        let image = Image::decode(&bytes).unwrap();
        hosts += image.count(Config::V6Hosts);
        for (start, _) in &v4 {
            for address in [
                *start,
                start.wrapping_sub(1),
                start.wrapping_add(1),
                start ^ 1 << 31,
            ] {
                let found = image.leaf(IpAddr::V4(address.into()));
                assert_eq!(
                    found,
                    Some(leaf_of(&v4, address)),
                    "seed {seed}: {address:#x}"
                );
            }
        }
        for (start, _) in &v6 {
            for address in [
                *start,
                start.wrapping_sub(1),
                start.wrapping_add(1),
                start ^ 1 << 127,
            ] {
                let found = leaf_v6(&image, (address >> 64) as u64, address as u64);
                assert_eq!(
                    found,
                    Some(leaf_of(&v6, address)),
                    "seed {seed}: {address:#x}"
                );
            }
        }
    }
    assert!(
        hosts > 1000,
        "{hosts} places for addresses that stand alone"
    );
}
