//! The tables of an image in the memory of the host.

use super::Image;
use verdict_abi::{Config, Section, Tables};

/// Tables as numbers of the width that their values have: looked up with fewer steps than the bytes of a file or the words of a
/// map, and with the same answers.
#[derive(Clone, Debug)]
pub struct Memory {
    // What every decision reads stands together.
    leaves: Box<[u16]>,
    directories: Box<[u16]>,
    pages: Box<[u16]>,
    rows: Box<[u16]>,
    cells: Box<[u16]>,
    protocols: Box<[u32]>,
    endpoints: Box<[u32]>,
    codes: Box<[u64]>,
    config: [u64; Config::WORDS],
    v4: Box<[u32]>,
    v6_leaves: Box<[u32]>,
    v6_groups: Box<[u16]>,
    v6_starts: Box<[u64]>,
    v6_hosts: Box<[u64]>,
    addresses: Box<[u64]>,
}

impl Memory {
    /// Copies the tables of an image.
    #[must_use]
    pub fn of(image: &Image<'_>) -> Self {
        let words = |section| (0..).map_while(move |index| image.word(section, index));
        let halves = |section| (0..).map_while(move |index| image.half(section, index));
        let quarters = |section| {
            let values = (0..).map_while(move |index| image.quarter(section, index));
            values.map(|value| value as u16).collect()
        };
        let mut config = [0; Config::WORDS];
        for (own, word) in config.iter_mut().zip(words(Section::Config)) {
            *own = word;
        }
        Self {
            leaves: quarters(Section::Leaves),
            directories: quarters(Section::Directories),
            pages: quarters(Section::Pages),
            rows: quarters(Section::Rows),
            cells: quarters(Section::Cells),
            protocols: halves(Section::Protocols).collect(),
            endpoints: halves(Section::Endpoints).collect(),
            codes: words(Section::Codes).collect(),
            config,
            v4: halves(Section::V4).collect(),
            v6_leaves: halves(Section::V6Leaves).collect(),
            v6_groups: quarters(Section::V6Groups),
            v6_starts: words(Section::V6Starts).collect(),
            v6_hosts: words(Section::V6Hosts).collect(),
            addresses: words(Section::Addresses).collect(),
        }
    }
}

/// The word in which so many values of a table stand together, the lowest first.
fn together<const N: u32>(value: impl Fn(u32) -> Option<u64>, index: u32) -> Option<u64> {
    let first = index.checked_mul(N)?;
    let mut parts = (0..N).rev();
    parts.try_fold(0, |word, part| {
        Some(word << (64 / N) | value(first + part)?)
    })
}

/// One of so many values that stand together in a word, in its lowest bits.
fn part<const N: u32>(tables: &Memory, section: Section, index: u32) -> Option<u64> {
    Some(tables.word(section, index / N)? >> (index % N * (64 / N)))
}

impl Tables for Memory {
    #[inline(always)]
    fn word(&self, section: Section, index: u32) -> Option<u64> {
        let at = index as usize;
        match section {
            Section::Config => self.config.get(at).copied(),
            Section::V6Starts => self.v6_starts.get(at).copied(),
            Section::Codes => self.codes.get(at).copied(),
            Section::Addresses => self.addresses.get(at).copied(),
            Section::V6Hosts => self.v6_hosts.get(at).copied(),
            Section::V4 | Section::V6Leaves | Section::Protocols | Section::Endpoints => {
                together::<2>(|at| Some(self.half(section, at)?.into()), index)
            }
            Section::Leaves
            | Section::Directories
            | Section::Pages
            | Section::Rows
            | Section::Cells
            | Section::V6Groups => {
                together::<4>(|at| Some(self.quarter(section, at)?.into()), index)
            }
        }
    }

    #[inline(always)]
    fn half(&self, section: Section, index: u32) -> Option<u32> {
        let values = match section {
            Section::V4 => &self.v4,
            Section::V6Leaves => &self.v6_leaves,
            Section::Protocols => &self.protocols,
            Section::Endpoints => &self.endpoints,
            Section::Config
            | Section::V6Starts
            | Section::Leaves
            | Section::Directories
            | Section::Pages
            | Section::Rows
            | Section::Cells
            | Section::Codes
            | Section::Addresses
            | Section::V6Groups
            | Section::V6Hosts => return Some(part::<2>(self, section, index)? as u32),
        };
        values.get(index as usize).copied()
    }

    #[inline(always)]
    fn quarter(&self, section: Section, index: u32) -> Option<u32> {
        let values = match section {
            Section::Leaves => &self.leaves,
            Section::Directories => &self.directories,
            Section::Pages => &self.pages,
            Section::Rows => &self.rows,
            Section::Cells => &self.cells,
            Section::V6Groups => &self.v6_groups,
            Section::Config
            | Section::V4
            | Section::V6Starts
            | Section::V6Leaves
            | Section::Protocols
            | Section::Codes
            | Section::Endpoints
            | Section::Addresses
            | Section::V6Hosts => return Some(part::<4>(self, section, index)? as u32 & 0xFFFF),
        };
        values.get(index as usize).map(|value| (*value).into())
    }
}
