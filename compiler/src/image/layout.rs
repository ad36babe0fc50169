//! Where things stand in a file.

use sha2::{Digest as _, Sha256};
use verdict_abi::{PAGE, Section};

/// The section that is no map: the source table, as JSON.
pub(super) const SOURCE: u32 = 64;
/// No map either: the policies with their selectors, and who leaves are ([`verdict_abi::open::World`]).
pub(crate) const WORLD: u32 = 65;
/// No map either: who the endpoints are ([`verdict_abi::open::Subjects`]).
pub(crate) const SUBJECTS: u32 = 66;

/// Where the first section entry stands in the header.
pub(super) const ENTRIES: usize = 32;
/// The size of a section entry: kind, unused (32 bits each), offset, length (64 bits each), unused (64 bits), digest.
pub(super) const ENTRY: usize = 64;
/// Where the digest of the header itself stands.
pub(super) const HEADER_DIGEST: usize = PAGE - 32;
/// How many sections the first page has room for.
pub(crate) const MOST_SECTIONS: usize = (HEADER_DIGEST - ENTRIES) / ENTRY;

/// A section as its entry tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: u32,
    pub(super) offset: usize,
    pub(super) length: usize,
}

pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The SHA-256 digest of some bytes, in hexadecimal.
#[must_use]
pub fn digest_text(bytes: &[u8]) -> String {
    hex(&digest(bytes))
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
    text.extend(halves.filter_map(|half| char::from_digit(half.into(), 16)));
    text
}

/// The name of a section, for messages.
pub(super) fn name(kind: u32) -> &'static str {
    let mut sections = Section::ALL.into_iter();
    match sections.find(|section| *section as u32 == kind) {
        Some(section) => section_name(section),
        None if kind == SOURCE => "source",
        None if kind == WORLD => "world",
        None if kind == SUBJECTS => "subjects",
        None => "unknown",
    }
}

/// The name of a table.
#[must_use]
pub fn section_name(section: Section) -> &'static str {
    match section {
        Section::Config => "config",
        Section::V4 => "v4",
        Section::V6Starts => "v6-starts",
        Section::V6Leaves => "v6-leaves",
        Section::Leaves => "leaves",
        Section::Protocols => "protocols",
        Section::Directories => "directories",
        Section::Pages => "pages",
        Section::Rows => "rows",
        Section::Cells => "cells",
        Section::Codes => "codes",
        Section::Endpoints => "endpoints",
        Section::Addresses => "addresses",
        Section::V6Groups => "v6-groups",
        Section::V6Hosts => "v6-hosts",
    }
}
