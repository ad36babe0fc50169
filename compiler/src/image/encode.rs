//! From a program to bytes.

use super::layout::{SOURCE, SUBJECTS, WORLD};
use super::parts::{Part, Parts};
use super::{Input, LimitError, Resource};
use crate::cluster::Protocol;
use crate::lir::transport::{NOT_KNOWN, key, whole};
use crate::lir::{Action, Chain, Decision, LeafId, Program, number};
use rustc_hash::FxHashMap;
use std::hash::Hash;
use std::net::IpAddr;
use verdict_abi::{
    BLOCK_ENTRIES, Code, Config, DIRECTORY_ENTRIES, Section, TO_BLOCK, TO_DIRECTORY,
};

/// What the images of all nodes have in common.
#[derive(Clone, Debug)]
pub struct Common {
    v4: Part,
    v6_starts: Part,
    v6_leaves: Part,
    world: Part,
}

impl Common {
    /// The leaf of each run of addresses (its first address, ascending from 0), and the bytes of [`super::world()`].
    #[must_use]
    pub fn new(v4: &[(u32, LeafId)], v6: &[(u128, LeafId)], world: Vec<u8>) -> Self {
        let entries = trie(v4);
        let entries = entries.iter().map(|entry| entry.to_le_bytes());
        let starts = v6.iter().flat_map(|(start, _)| halves(*start));
        let leaves = v6.iter().map(|(_, leaf)| leaf.0.to_le_bytes());
        Self {
            v4: Part::new(Section::V4 as u32, bytes(entries)),
            v6_starts: Part::new(Section::V6Starts as u32, words(starts)),
            v6_leaves: Part::new(Section::V6Leaves as u32, bytes(leaves)),
            world: Part::new(WORLD, world),
        }
    }

    /// The sections that say who an address is.
    #[must_use]
    pub fn addresses(&self) -> [&Part; 3] {
        [&self.v4, &self.v6_starts, &self.v6_leaves]
    }

    /// An image of these sections and those that are a node's own.
    #[must_use]
    pub fn with<'s>(&self, own: impl Iterator<Item = (u32, &'s [u8])>, subjects: Vec<u8>) -> Parts {
        let mut parts: Vec<Part> = own.map(|(kind, bytes)| Part::new(kind, bytes)).collect();
        parts.extend(self.addresses().map(Part::clone));
        parts.extend([self.world.clone(), Part::new(SUBJECTS, subjects)]);
        // The kinds ascend in a file.
        parts.sort_by_key(|part| part.kind);
        Parts::of(parts)
    }

    /// The section `world`.
    #[must_use]
    pub fn world(&self) -> &Part {
        &self.world
    }

    pub(super) fn v4(&self) -> &Part {
        &self.v4
    }

    pub(super) fn v6_starts(&self) -> &Part {
        &self.v6_starts
    }

    pub(super) fn v6_leaves(&self) -> &Part {
        &self.v6_leaves
    }

    fn v4_blocks(&self) -> usize {
        self.v4.bytes.len() / (BLOCK_ENTRIES as usize * 4)
    }

    fn v6_runs(&self) -> usize {
        self.v6_starts.bytes.len() / 16
    }
}

/// Whether the sections of a kind are a node's own, and hang on nothing but what its endpoints are asked.
#[must_use]
pub fn is_own(kind: u32) -> bool {
    let common = [Section::V4, Section::V6Starts, Section::V6Leaves];
    kind != WORLD && kind != SUBJECTS && !common.iter().any(|section| *section as u32 == kind)
}

/// Writes an image.
///
/// # Errors
/// Where something has no room in an image.
pub fn encode(input: &Input<'_>) -> Result<Parts, LimitError> {
    let (program, common) = (input.program, input.common);
    let tables = Tables::of(program);
    let ports = Ports::of(program);
    let addresses = endpoint_addresses(input.addresses);
    for (resource, given) in [
        (Resource::Leaves, program.leaves.len()),
        (Resource::Classes, program.classes as usize),
        (Resource::PortClasses, program.port_classes as usize),
        (Resource::Rows, program.rows.len()),
        (Resource::Codes, program.codes.len()),
        (Resource::V4Blocks, common.v4_blocks()),
        (Resource::V6Runs, common.v6_runs()),
        (Resource::Pages, ports.pages.len()),
    ] {
        input.limits.hold(resource, given)?;
    }
    let codes: Vec<u64> = program
        .codes
        .iter()
        .zip(input.origins)
        .map(|(decision, origin)| code(*decision, *origin).word())
        .collect();
    let config: [usize; Config::WORDS] = [
        program.classes as usize,
        program.port_classes as usize,
        program.leaves.len(),
        tables.count,
        program.rows.len(),
        codes.len(),
        program.endpoints.len(),
        addresses.len() / 3,
        common.v4_blocks(),
        common.v6_runs(),
        ports.directories.len(),
        ports.pages.len(),
    ];
    let section = |section| -> Part {
        let own = match section {
            Section::V4 => return common.v4.clone(),
            Section::V6Starts => return common.v6_starts.clone(),
            Section::V6Leaves => return common.v6_leaves.clone(),
            Section::Config => words(config.iter().map(|count| *count as u64)),
            Section::Leaves => short(program.leaves.iter().map(|class| class.0)),
            Section::Protocols => bytes(ports.protocols.iter().map(|entry| entry.to_le_bytes())),
            Section::Directories => short(ports.directories.iter().flatten().copied()),
            Section::Pages => short(ports.pages.iter().flatten().copied()),
            Section::Rows => short(tables.rows.iter().copied()),
            Section::Cells => short(program.rows.iter().flatten().map(|code| code.0)),
            Section::Codes => words(codes.iter().copied()),
            Section::Endpoints => bytes(tables.endpoints.iter().map(|table| table.to_le_bytes())),
            Section::Addresses => words(addresses.iter().copied()),
        };
        Part::new(section as u32, own)
    };
    let mut sections: Vec<Part> = Section::ALL.into_iter().map(section).collect();
    // A struct of strings and numbers is JSON.
    let source = serde_json::to_vec(input.source).unwrap_or_default();
    sections.push(Part::new(SOURCE, source));
    sections.push(common.world.clone());
    sections.push(Part::new(SUBJECTS, input.subjects.write()));
    let lengths = sections.iter().map(|part| part.bytes.len());
    let longest = lengths.max().unwrap_or_default();
    input.limits.hold(Resource::SectionBytes, longest)?;
    Ok(Parts::of(sections))
}

fn words(values: impl Iterator<Item = u64>) -> Vec<u8> {
    values.flat_map(u64::to_le_bytes).collect()
}

/// Values of 32 bits, padded to whole words.
fn bytes(values: impl Iterator<Item = [u8; 4]>) -> Vec<u8> {
    padded(values.flatten().collect())
}

/// Values of 16 bits: the limits have been looked at, or are before the bytes are used.
fn short(values: impl Iterator<Item = u32>) -> Vec<u8> {
    let two = |value: u32| {
        let [low, high, ..] = value.to_le_bytes();
        [low, high]
    };
    padded(values.flat_map(two).collect())
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn halves(value: u128) -> [u64; 2] {
    [(value >> 64) as u64, value as u64]
}

fn code(decision: Decision, origin: u32) -> Code {
    let (action, listener) = match decision.action {
        Action::Deny | Action::Pass => (verdict_abi::Action::Deny, 0),
        Action::Audit => (verdict_abi::Action::Audit, 0),
        Action::Allow => (verdict_abi::Action::Allow, 0),
        Action::Redirect(listener) => (verdict_abi::Action::Redirect, listener),
    };
    Code {
        action,
        depends: decision.depends,
        listener,
        origin,
    }
}

/// The tables of all chains and uses, equal ones once.
struct Tables {
    rows: Vec<u32>,
    count: usize,
    /// Four for each endpoint.
    endpoints: Vec<u32>,
}

impl Tables {
    fn of(program: &Program) -> Self {
        let mut shared = Shared::default();
        let mut of_chain: Vec<[u32; 2]> = Vec::new();
        for chain in &program.chains {
            of_chain.push(match chain {
                Chain::Table(table) => [&table.rows, &table.hairpin]
                    .map(|rows| shared.add(rows.iter().map(|row| row.0).collect::<Vec<u32>>())),
                // The passes leave none; an endpoint of such a chain has no table, and the image is refused.
                Chain::Rules(_) => [u32::MAX; 2],
            });
        }
        let endpoints = program.endpoints.iter().flat_map(|endpoint| {
            let of = |chain: crate::lir::ChainId| of_chain.get(chain.index()).copied();
            let [ingress, hairpin_ingress] = of(endpoint.chains.ingress).unwrap_or([u32::MAX; 2]);
            let [egress, hairpin_egress] = of(endpoint.chains.egress).unwrap_or([u32::MAX; 2]);
            [ingress, egress, hairpin_ingress, hairpin_egress]
        });
        Self {
            endpoints: endpoints.collect(),
            count: shared.kept.len(),
            rows: shared.kept.concat(),
        }
    }
}

/// Equal things once, in the order in which they come.
struct Shared<T> {
    known: FxHashMap<T, u32>,
    kept: Vec<T>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self {
            known: FxHashMap::default(),
            kept: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Shared<T> {
    fn add(&mut self, thing: T) -> u32 {
        let kept = &mut self.kept;
        *self.known.entry(thing).or_insert_with_key(|thing| {
            kept.push(thing.clone());
            number(kept.len() - 1)
        })
    }
}

/// The blocks of the trie, as one list of entries. Equal blocks stand once; one of a single leaf is that leaf.
fn trie(runs: &[(u32, LeafId)]) -> Vec<u32> {
    let mut blocks: Shared<Vec<u32>> = Shared::default();
    // The root comes first whatever it holds, and is found by its place alone.
    blocks.kept.push(Vec::new());
    let root = block(runs, 0, 24, &mut blocks);
    if let Some(first) = blocks.kept.first_mut() {
        *first = root;
    }
    blocks.kept.concat()
}

/// The entries of the block that begins at an address and whose entries have `shift` bits each.
fn block(runs: &[(u32, LeafId)], from: u32, shift: u32, blocks: &mut Shared<Vec<u32>>) -> Vec<u32> {
    let mut entries = Vec::with_capacity(256);
    for entry in 0..256_u32 {
        let first = from | entry << shift;
        let last = first | ((1_u64 << shift) - 1) as u32;
        let index = runs.partition_point(|(start, _)| *start <= first);
        let ends = runs.get(index).is_none_or(|(start, _)| *start > last);
        let leaf = index.checked_sub(1).and_then(|index| runs.get(index));
        let leaf = leaf.map_or(0, |(_, leaf)| leaf.0);
        if ends || shift == 0 {
            entries.push(leaf);
            continue;
        }
        let below = block(runs, first, shift - 8, blocks);
        entries.push(TO_BLOCK | blocks.add(below));
    }
    entries
}

/// The classes of transport keys, by protocol.
struct Ports {
    protocols: Vec<u32>,
    directories: Vec<Vec<u32>>,
    pages: Vec<Vec<u32>>,
}

impl Ports {
    fn of(program: &Program) -> Self {
        let mut directories = Shared::default();
        let mut pages = Shared::default();
        // By class: the page that has nothing else.
        let mut uniform: FxHashMap<u32, u32> = FxHashMap::default();
        let protocols = (0..=u8::MAX).map(Protocol).map(|protocol| {
            let (first, last) = whole(protocol);
            let class = |value| program.port_class(key(protocol, value)).0;
            let after = program
                .transports
                .partition_point(|(start, _)| *start <= first);
            let is_cut = program
                .transports
                .get(after)
                .is_some_and(|(start, _)| *start <= last);
            if !is_cut {
                return class(0);
            }
            let runs = program.transports.as_slice();
            let mut directory: Vec<u32> = (0..256_u32)
                .map(|upper| {
                    let first = key(protocol, upper << 8);
                    let after = runs.partition_point(|(start, _)| *start <= first);
                    let ends = runs
                        .get(after)
                        .is_none_or(|(start, _)| *start > first + 0xFF);
                    if !ends {
                        let page = (0..256).map(|lower| class(upper << 8 | lower));
                        return pages.add(page.collect::<Vec<u32>>());
                    }
                    let own = class(upper << 8);
                    *uniform
                        .entry(own)
                        .or_insert_with(|| pages.add(vec![own; 256]))
                })
                .collect();
            directory.push(class(NOT_KNOWN));
            directory.resize(DIRECTORY_ENTRIES as usize, 0);
            TO_DIRECTORY | directories.add(directory)
        });
        Self {
            protocols: protocols.collect(),
            directories: directories.kept,
            pages: pages.kept,
        }
    }
}

/// Three words for each address, ascending.
fn endpoint_addresses(endpoints: &[Vec<IpAddr>]) -> Vec<u64> {
    let mut all: Vec<(u128, u32)> = endpoints
        .iter()
        .zip(0..)
        .flat_map(|(addresses, endpoint)| {
            addresses
                .iter()
                .map(move |address| (mapped(*address), endpoint))
        })
        .collect();
    all.sort_unstable();
    all.dedup_by_key(|(address, _)| *address);
    all.into_iter()
        .flat_map(|(address, endpoint)| {
            let [upper, lower] = halves(address);
            [upper, lower, endpoint.into()]
        })
        .collect()
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}
