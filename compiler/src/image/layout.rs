//! Where things stand in a file, and how large they may be.

use sha2::{Digest as _, Sha256};
use verdict_abi::{PAGE, Section};

/// The most leaves.
pub const MAX_LEAVES: usize = 1 << 24;
/// The most classes of leaves, classes of transport keys, codes, directories and pages: their numbers have 16 bits.
pub const MAX_CLASSES: usize = 1 << 16;
/// The most rows: their numbers have 16 bits.
pub const MAX_ROWS: usize = 1 << 16;
/// The most bytes of a section: what a map of 64-bit words is given.
pub const MAX_SECTION_BYTES: usize = 1 << 30;

/// The section that is no map: the source table, as JSON.
pub(super) const SOURCE: u32 = 64;
/// No map either: the policies with their selectors, and who leaves are ([`verdict_abi::open::World`]).
pub(super) const WORLD: u32 = 65;
/// No map either: who the endpoints are ([`verdict_abi::open::Subjects`]).
pub(super) const SUBJECTS: u32 = 66;

/// Where the first section entry stands in the header.
pub(super) const ENTRIES: usize = 32;
/// The size of a section entry: kind, unused (32 bits each), offset, length (64 bits each), unused (64 bits), digest.
pub(super) const ENTRY: usize = 64;
/// Where the digest of the header itself stands.
pub(super) const HEADER_DIGEST: usize = PAGE - 32;

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
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a section, for messages.
pub(super) fn name(kind: u32) -> &'static str {
    let section = Section::ALL
        .into_iter()
        .find(|section| *section as u32 == kind);
    match section {
        Some(Section::Config) => "config",
        Some(Section::V4) => "v4",
        Some(Section::V6Starts) => "v6-starts",
        Some(Section::V6Leaves) => "v6-leaves",
        Some(Section::Leaves) => "leaves",
        Some(Section::Protocols) => "protocols",
        Some(Section::Directories) => "directories",
        Some(Section::Pages) => "pages",
        Some(Section::Rows) => "rows",
        Some(Section::Cells) => "cells",
        Some(Section::Codes) => "codes",
        Some(Section::Endpoints) => "endpoints",
        Some(Section::Addresses) => "addresses",
        None if kind == SOURCE => "source",
        None if kind == WORLD => "world",
        None if kind == SUBJECTS => "subjects",
        None => "unknown",
    }
}
