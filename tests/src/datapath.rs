//! The cases of `testdata/datapath`, and the data path on the host.
//!
//! A case is a text of lines: `POD DIRECTION PACKET = REASON` gives a packet ([`crate::packets`]) to the data path of
//! a pod of `world.yaml` and says what must become of it; `wait TICKS` lets time pass, which only the host can, so that
//! the kernel has no more to do there; `settings NAME..` stands first. `#` begins a comment.

use crate::packets;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use verdict_abi::datapath::connections::{Keys, Slot, WAYS};
use verdict_abi::datapath::packet::{Address, ethernet};
use verdict_abi::datapath::{
    Attachment, Direction, Environment, FragmentFacts, FragmentKey, HAS_V4, HAS_V6, LAZY, Outcome,
    PASS_FOREIGN, PICK_UP, Subject, judge, open_directions,
};
use verdict_abi::{Section, Tables};
use verdict_compiler::compile::Compiler;
use verdict_compiler::frontend::settings::Settings;
use verdict_compiler::image::{Image, Memory};
use verdict_compiler::ir;

/// The folder of the cases.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/datapath")
}

/// The image of the node of `world.yaml`.
///
/// # Panics
/// Where it cannot be made.
#[must_use]
pub fn image() -> Vec<u8> {
    let path = folder().join("world.yaml");
    let asked = crate::asking::Asked::read(&[path], &Settings::default()).unwrap();
    assert_eq!(asked.errors(), [""; 0]);
    let (cluster, policies) = (&asked.loaded.cluster, &asked.loaded.policies);
    let program = ir::Program::resolve(cluster, policies);
    let compiler = Compiler::new(cluster, policies, &asked.sources, &program);
    let (node, pods) = compiler.lowering().nodes().first().expect("a node");
    compiler.node(*node, pods).expect("an image").image.write()
}

/// The attachment of a pod of the image.
///
/// # Panics
/// Where there is no such pod.
#[must_use]
pub fn attachment(image: &Image<'_>, pod: &str) -> Attachment {
    let end = image.end_of_endpoint(&format!("x/{pod}"));
    let Some(verdict_compiler::image::End::Endpoint(endpoint, addresses)) = end else {
        panic!("no pod `{pod}`");
    };
    let mut attachment = Attachment {
        endpoint,
        flags: open_directions(image)[endpoint as usize],
        ..Attachment::default()
    };
    for address in addresses {
        match address {
            IpAddr::V4(address) => {
                attachment.v4 = address.to_bits();
                attachment.flags |= HAS_V4;
            }
            IpAddr::V6(address) => {
                attachment.v6 = Address::v6(address.to_bits());
                attachment.flags |= HAS_V6;
            }
        }
    }
    attachment
}

/// A step of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A packet, with what must become of it.
    Packet {
        /// The line, for messages.
        line: String,
        /// The pod.
        pod: String,
        /// Which way the packet goes.
        direction: Direction,
        /// Its bytes.
        frame: Vec<u8>,
        /// The reason, in small letters.
        expected: String,
    },
    /// Time passes: ticks.
    Wait(u32),
}

/// A case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its file.
    pub name: String,
    /// The settings of the data path.
    pub settings: u64,
    /// What happens.
    pub steps: Vec<Step>,
}

/// All cases.
///
/// # Panics
/// Where one cannot be read.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    paths.iter().map(|path| case(path)).collect()
}

fn case(path: &Path) -> Case {
    let text = std::fs::read_to_string(path).unwrap();
    let mut settings = 0;
    let mut steps = Vec::new();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| !line.is_empty()) {
        let (first, rest) = line.split_once(' ').unwrap();
        match first {
            "settings" => settings = rest.split(' ').map(setting).sum(),
            "wait" => steps.push(Step::Wait(rest.parse().unwrap())),
            pod => steps.push(packet(line, pod, rest)),
        }
    }
    Case {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        settings,
        steps,
    }
}

fn setting(name: &str) -> u64 {
    match name {
        "pass-foreign" => PASS_FOREIGN,
        "lazy" => LAZY,
        "pick-up" => PICK_UP,
        _ => panic!("no setting `{name}`"),
    }
}

fn packet(line: &str, pod: &str, rest: &str) -> Step {
    let (direction, rest) = rest.split_once(' ').unwrap();
    let (packet, expected) = rest.rsplit_once(" = ").unwrap();
    Step::Packet {
        line: line.into(),
        pod: pod.into(),
        direction: match direction {
            "ingress" => Direction::Ingress,
            "egress" => Direction::Egress,
            _ => panic!("no direction `{direction}`"),
        },
        frame: packets::build(packet),
        expected: expected.into(),
    }
}

/// The reason of an outcome as cases write it.
#[must_use]
pub fn reason(outcome: Outcome) -> String {
    format!("{:?}", outcome.reason()).to_lowercase()
}

const KEYS: Keys = [
    0x1234_5678_9ABC_DEF0,
    0x0FED_CBA9_8765_4321,
    0xA5A5_5A5A_1111_EEEE,
    0x0102_0408_1020_4080,
    0xDEAD_BEEF_0BAD_CAFE,
];

/// The surroundings of the data path on the host.
#[derive(Debug)]
pub struct Host {
    tables: Memory,
    settings: u64,
    now: Cell<u32>,
    slots: Vec<Slot>,
    fragments: RefCell<BTreeMap<FragmentKey, FragmentFacts>>,
    /// Leaves of addresses that were learnt later.
    pub overlay: BTreeMap<Address, u32>,
}

impl Host {
    /// With the tables of an image, and room for some connections: a power of two.
    #[must_use]
    pub fn new(image: &Image<'_>, settings: u64, connections: usize) -> Self {
        Self {
            tables: Memory::of(image),
            settings,
            now: Cell::new(1000),
            slots: (0..connections).map(|_| Slot::default()).collect(),
            fragments: RefCell::default(),
            overlay: BTreeMap::new(),
        }
    }

    /// Lets time pass.
    pub fn wait(&self, ticks: u32) {
        self.now.set(self.now.get() + ticks);
    }

    /// How many connections live.
    #[must_use]
    pub fn connections(&self) -> usize {
        let lives = |slot: &&Slot| slot.lives(self.now.get());
        self.slots.iter().filter(lives).count()
    }

    /// Judges a packet at an interface.
    #[must_use]
    pub fn judge(&self, attachment: &Attachment, direction: Direction, frame: &[u8]) -> Outcome {
        let subject = Subject::Attached(attachment);
        judge(self, frame, ethernet(frame), subject, direction)
    }
}

impl Tables for Host {
    fn word(&self, section: Section, index: u32) -> Option<u64> {
        self.tables.word(section, index)
    }
}

impl Environment for Host {
    fn now(&self) -> u32 {
        self.now.get()
    }

    fn settings(&self) -> u64 {
        self.settings
    }

    fn overlay(&self, address: &Address) -> Option<u32> {
        self.overlay.get(address).copied()
    }

    fn connection_table(&self) -> Option<(u32, &Keys)> {
        let buckets = self.slots.len() / WAYS;
        Some((u32::try_from(buckets).ok()? - 1, &KEYS))
    }

    fn slot(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index as usize)
    }

    fn read(&self, word: &AtomicU64) -> u64 {
        word.load(Relaxed)
    }

    fn write(&self, word: &AtomicU64, value: u64) {
        word.store(value, Relaxed);
    }

    fn exchange(&self, word: &AtomicU64, old: u64, new: u64) -> bool {
        word.compare_exchange(old, new, Relaxed, Relaxed).is_ok()
    }

    fn fragment(&self, key: &FragmentKey) -> Option<FragmentFacts> {
        self.fragments.borrow().get(key).copied()
    }

    fn keep_fragment(&self, key: &FragmentKey, facts: &FragmentFacts) {
        self.fragments.borrow_mut().insert(*key, *facts);
    }
}
