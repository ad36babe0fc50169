//! From a program to bytes.

use super::hosts::Hosts;
use super::layout::{SOURCE, SUBJECTS, WORLD};
use super::parts::{Part, Parts};
use super::trie::{Near, Trie};
use super::{Input, LimitError, Resource};
use crate::cluster::Protocol;
use crate::lir::transport::{NOT_KNOWN, key, whole};
use crate::lir::{Action, Chain, CodeId, Decision, LeafId, Program, RowId, number};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::hash::Hash;
use std::net::IpAddr;
use verdict_abi::{Code, Config, DIRECTORY_ENTRIES, HOST_WORDS, Section, TO_DIRECTORY};

/// What the images of all nodes have in common.
#[derive(Clone, Debug)]
pub struct Common {
    addresses: Addresses,
    world: Part,
}

/// The sections that say who an address is, and what the configuration says of them.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// In the order of [`Section::OF_LEAVES`].
    pub(super) parts: [Part; Section::OF_LEAVES.len()],
    pub(super) root: u32,
    pub(super) near: Near,
}

impl Addresses {
    /// The leaf of each run of addresses: its first address, ascending from 0.
    pub(crate) fn of(v4: &[(u32, LeafId)], v6: &[(u128, LeafId)]) -> Self {
        let Trie { entries, near } = Trie::of(v4);
        let hosts = Hosts::of(v6);
        let runs = || hosts.runs.iter();
        let leaves = runs().map(|(_, leaf)| leaf.0.to_le_bytes());
        let [a, b, c, d, e] = Section::OF_LEAVES.map(|section| section as u32);
        let parts = [
            Part::new(a, bytes(entries.iter().map(|entry| entry.to_le_bytes()))),
            Part::new(b, words(runs().flat_map(|(start, _)| halves(*start)))),
            Part::new(c, bytes(leaves)),
            Part::new(d, short(hosts.groups.iter().copied())),
            Part::new(e, words(hosts.slots.iter().flatten().copied())),
        ];
        Self {
            parts,
            root: entries.first().copied().unwrap_or_default(),
            near,
        }
    }
}

impl Common {
    /// The leaf of each run of addresses (its first address, ascending from 0), and the bytes of [`super::Written`].
    #[must_use]
    pub fn new(v4: &[(u32, LeafId)], v6: &[(u128, LeafId)], world: Vec<u8>) -> Self {
        Self::of(Addresses::of(v4, v6), world)
    }

    /// Who each address is, and the bytes of [`super::Written`].
    pub(crate) fn of(addresses: Addresses, world: Vec<u8>) -> Self {
        Self {
            addresses,
            world: Part::new(WORLD, world),
        }
    }

    /// The sections that say who an address is, in the order of [`Section::OF_LEAVES`].
    #[must_use]
    pub fn addresses(&self) -> &[Part; Section::OF_LEAVES.len()] {
        &self.addresses.parts
    }

    /// The same with what the configuration says of them.
    pub(crate) fn told_addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// An image of these sections and those that are a node's own.
    #[must_use]
    pub fn with<'s>(&self, own: impl Iterator<Item = (u32, &'s [u8])>, subjects: Vec<u8>) -> Parts {
        let mut parts: Vec<Part> = own.map(|(kind, bytes)| Part::new(kind, bytes)).collect();
        parts.extend(self.addresses().iter().cloned());
        parts.extend([self.world.clone(), Part::new(SUBJECTS, subjects)]);
        // The kinds ascend in a file.
        parts.sort_by_key(|part| part.kind);
        Parts::of(parts)
    }

    /// All of them, by kind.
    #[must_use]
    pub fn sections(&self) -> Vec<Part> {
        let all = self.addresses().iter().chain([&self.world]);
        let mut all: Vec<Part> = all.cloned().collect();
        all.sort_by_key(|part| part.kind);
        all
    }

    /// The section `world`.
    #[must_use]
    pub fn world(&self) -> &Part {
        &self.world
    }

    /// How many elements of so many bytes one of the sections has.
    fn count(&self, of: Section, bytes: usize) -> usize {
        let own = self.addresses().iter().find(|part| part.kind == of as u32);
        own.map_or(0, |part| part.bytes.len() / bytes)
    }
}

/// Whether the sections of a kind are a node's own, and hang on nothing but what its endpoints are asked.
#[must_use]
pub fn is_own(kind: u32) -> bool {
    let mut common = Section::OF_LEAVES.iter();
    kind != WORLD && kind != SUBJECTS && !common.any(|section| *section as u32 == kind)
}

/// Writes an image.
///
/// # Errors
/// Where something has no room in an image.
pub fn encode<O: Serialize>(input: &Input<'_, O>) -> Result<Parts, LimitError> {
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
        (Resource::V4Entries, common.count(Section::V4, 4)),
        (Resource::V6Runs, common.count(Section::V6Starts, 16)),
        (Resource::Pages, ports.pages.len()),
    ] {
        input.limits.hold(resource, given)?;
    }
    let order = by_action(&program.codes);
    let codes: Vec<Code> = order
        .iter()
        .filter_map(|own| {
            let of_program = program
                .codes
                .get(own.index())
                .zip(input.origins.get(own.index()));
            of_program.map(|(decision, origin)| code(*decision, *origin))
        })
        .collect();
    let mut numbers = vec![0; codes.len()];
    for (own, index) in order.iter().zip(0..) {
        if let Some(number) = numbers.get_mut(own.index()) {
            *number = index;
        }
    }
    let until = |action: verdict_abi::Action| {
        codes.partition_point(|code| (code.action as u8) < action as u8)
    };
    let config: [usize; Config::WORDS] = [
        program.classes as usize,
        program.port_classes as usize,
        program.leaves.len(),
        tables.all.len(),
        program.rows.len(),
        codes.len(),
        program.endpoints.len(),
        addresses.len() / 3,
        common.count(Section::V4, 4),
        common.count(Section::V6Starts, 16),
        ports.directories.len(),
        ports.pages.len(),
        common.addresses.root as usize,
        common.count(Section::V6Groups, 2),
        common.count(Section::V6Hosts, 8 * HOST_WORDS),
        common.addresses.near.entry as usize,
        common.addresses.near.first as usize,
        common.addresses.near.bits as usize,
        until(verdict_abi::Action::Audit),
        until(verdict_abi::Action::Redirect),
    ];
    let section = |section| -> Option<Part> {
        let own = match section {
            Section::Config => words(config.iter().map(|count| *count as u64)),
            Section::Leaves => short(program.leaves.iter().map(|class| class.0)),
            Section::Protocols => bytes(ports.protocols.iter().map(|entry| entry.to_le_bytes())),
            Section::Directories => short(ports.directories.iter().flatten().copied()),
            Section::Pages => short(ports.pages.iter().flatten().copied()),
            Section::Rows => short(tables.rows()),
            Section::Cells => {
                let cells = program.rows.iter().flatten();
                short(cells.map(|code| numbers.get(code.index()).copied().unwrap_or_default()))
            }
            Section::Codes => words(codes.iter().map(|code| code.word())),
            Section::Endpoints => bytes(tables.endpoints.iter().map(|table| table.to_le_bytes())),
            Section::Addresses => words(addresses.iter().copied()),
            Section::V4
            | Section::V6Starts
            | Section::V6Leaves
            | Section::V6Groups
            | Section::V6Hosts => return None,
        };
        Some(Part::new(section as u32, own))
    };
    let mut sections: Vec<Part> = Section::ALL.into_iter().filter_map(section).collect();
    sections.extend(common.addresses().iter().cloned());
    sections.sort_by_key(|part| part.kind);
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
    written(values.map(u64::to_le_bytes))
}

/// Values of 32 bits, padded to whole words.
fn bytes(values: impl Iterator<Item = [u8; 4]>) -> Vec<u8> {
    padded(written(values))
}

/// Values of 16 bits: the limits have been looked at, or are before the bytes are used.
fn short(values: impl Iterator<Item = u32>) -> Vec<u8> {
    padded(written(values.map(|value| {
        let [low, high, ..] = value.to_le_bytes();
        [low, high]
    })))
}

/// Values one after another.
fn written<const SIZE: usize>(values: impl Iterator<Item = [u8; SIZE]>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.size_hint().0.saturating_mul(SIZE));
    values.for_each(|value| bytes.extend_from_slice(&value));
    bytes
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

pub(super) fn halves(value: u128) -> [u64; 2] {
    [(value >> 64) as u64, value as u64]
}

/// The codes of a program in the order in which they stand in its image: by what they do, so that the number of a code tells it.
pub(crate) fn by_action(codes: &[Decision]) -> Vec<CodeId> {
    let mut order: Vec<CodeId> = (0..number(codes.len())).map(CodeId).collect();
    let action = |of: &CodeId| codes.get(of.index()).map(|own| code(*own, 0).action as u8);
    order.sort_by_key(action);
    order
}

fn code(decision: Decision, origin: u32) -> Code {
    let (action, listener) = match decision.action {
        Action::Deny | Action::Pass => (verdict_abi::Action::Deny, 0),
        Action::Audit => (verdict_abi::Action::Audit, 0),
        Action::Allow => (verdict_abi::Action::Allow, 0),
        Action::Redirect(listener) => (verdict_abi::Action::Redirect, listener),
        Action::Prove(auth, listener) => (
            verdict_abi::Action::Redirect,
            super::demand::listener(auth, listener),
        ),
    };
    Code {
        action,
        depends: decision.depends,
        listener,
        origin,
    }
}

/// The tables of all chains and uses, equal ones once.
struct Tables<'p> {
    /// Each by class.
    all: Vec<&'p [RowId]>,
    /// Four for each endpoint.
    endpoints: Vec<u32>,
}

impl<'p> Tables<'p> {
    fn of(program: &'p Program) -> Self {
        let mut shared: Shared<&'p [RowId]> = Shared::default();
        shared.known.reserve(program.chains.len() * 2);
        let mut of_chain: Vec<[u32; 2]> = Vec::with_capacity(program.chains.len());
        for chain in &program.chains {
            of_chain.push(match chain {
                Chain::Table(table) => [&*table.rows, &*table.hairpin].map(|rows| shared.add(rows)),
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
            all: shared.kept,
        }
    }

    fn rows(&self) -> impl Iterator<Item = u32> {
        self.all.iter().copied().flatten().map(|row| row.0)
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
