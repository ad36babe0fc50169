//! How large an image may be, and what is said where something has no room.

use std::fmt;
use verdict_abi::{V4_ENTRIES, V6_STEPS};

/// What there may be too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Leaves.
    Leaves,
    /// Classes of leaves.
    Classes,
    /// Classes of transport keys.
    PortClasses,
    /// Rows.
    Rows,
    /// Codes.
    Codes,
    /// Entries of the trie of IPv4 addresses.
    V4Entries,
    /// Runs of IPv6 addresses.
    V6Runs,
    /// Pages of ports.
    Pages,
    /// Bytes of the largest section.
    SectionBytes,
}

impl Resource {
    /// All of them, in the order in which they are looked at.
    pub const ALL: [Self; 9] = [
        Self::Leaves,
        Self::Classes,
        Self::PortClasses,
        Self::Rows,
        Self::Codes,
        Self::V4Entries,
        Self::V6Runs,
        Self::Pages,
        Self::SectionBytes,
    ];
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leaves => "leaves",
            Self::Classes => "classes of peers",
            Self::PortClasses => "classes of ports",
            Self::Rows => "rows",
            Self::Codes => "verdict codes",
            Self::V4Entries => "entries of IPv4 addresses",
            Self::V6Runs => "runs of IPv6 addresses",
            Self::Pages => "pages of ports",
            Self::SectionBytes => "bytes of a section",
        })
    }
}

/// The most leaves: a quarter of a million pods of which no two are alike, at 16 addresses classes each, and four times
/// that. Blocks of the trie have 31 bits for a leaf.
const MAX_LEAVES: usize = 1 << 24;
/// The most classes of leaves: their numbers have 16 bits.
const MAX_CLASSES: usize = 1 << 16;
/// The most classes of transport keys: their numbers have 16 bits.
const MAX_PORT_CLASSES: usize = 1 << 16;
/// The most rows: their numbers have 16 bits.
const MAX_ROWS: usize = 1 << 16;
/// The most codes: their numbers have 16 bits.
const MAX_CODES: usize = 1 << 16;
/// The most entries of the trie: what leads to a block has 26 bits for its place.
const MAX_V4_ENTRIES: usize = V4_ENTRIES as usize;
/// The most runs of IPv6 addresses: the search among them takes a bounded number of steps, which the kernel's verifier
/// wants to see.
const MAX_V6_RUNS: usize = 1 << V6_STEPS;
/// The most pages: their numbers have 16 bits.
const MAX_PAGES: usize = 1 << 16;
/// The most bytes of a section: it is the memory of one map, which the kernel does not page out, and in which its verifier lets no
/// program reach further (`BPF_MAX_VAR_OFF`).
const MAX_SECTION_BYTES: usize = 1 << 29;

/// How much there may be of each; `Limits::default()` is what the format has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits([usize; Resource::ALL.len()]);

impl Default for Limits {
    fn default() -> Self {
        Self(Resource::ALL.map(|resource| match resource {
            Resource::Leaves => MAX_LEAVES,
            Resource::Classes => MAX_CLASSES,
            Resource::PortClasses => MAX_PORT_CLASSES,
            Resource::Rows => MAX_ROWS,
            Resource::Codes => MAX_CODES,
            Resource::V4Entries => MAX_V4_ENTRIES,
            Resource::V6Runs => MAX_V6_RUNS,
            Resource::Pages => MAX_PAGES,
            Resource::SectionBytes => MAX_SECTION_BYTES,
        }))
    }
}

impl Limits {
    /// How much there may be of something.
    #[must_use]
    pub fn of(&self, resource: Resource) -> usize {
        self.0.get(resource as usize).copied().unwrap_or_default()
    }

    /// With less room for something; never with more than the format has.
    #[must_use]
    pub fn lower(mut self, resource: Resource, most: usize) -> Self {
        if let Some(slot) = self.0.get_mut(resource as usize) {
            *slot = most.min(*slot);
        }
        self
    }

    /// Looks whether there is room for so many.
    pub(crate) fn hold(&self, of: Resource, given: usize) -> Result<(), LimitError> {
        let most = self.of(of);
        if given <= most {
            return Ok(());
        }
        Err(LimitError { of, given, most })
    }
}

/// What an image has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitError {
    /// Of what there is too much.
    pub of: Resource,
    /// How much there is.
    pub given: usize,
    /// How much there may be.
    pub most: usize,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, given, most } = self;
        write!(f, "{given} {of}, and an image has room for {most}")
    }
}

impl std::error::Error for LimitError {}
