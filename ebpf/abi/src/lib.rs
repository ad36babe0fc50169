//! The tables of an image, and [`decide`], the one function that decides by them: compiled for the host, where it reads
//! the bytes of a file, and for the kernel, where it reads maps.
//!
//! Every table is an array of 64-bit words, since the elements of a BPF array map are multiples of 8 bytes: a section
//! of a file is byte for byte the memory of its map. Smaller values are packed into words, the lowest first. Whoever
//! reads words implements [`Tables`].
//!
//! No lookup panics or reads out of bounds; where a table has no such word, the answer is `None`, and whoever must act
//! on that denies.

#![no_std]

#[cfg(feature = "host")]
extern crate alloc;

mod addresses;
pub mod datapath;
#[cfg(feature = "host")]
pub mod open;
pub mod places;

pub(crate) use addresses::last_from;
pub use addresses::{
    Block, HOST_WORDS, TO_BLOCK, V4_ENTRIES, V4_STEPS, V6_STEPS, group, hash, leaf_v4, leaf_v6,
    slot,
};

/// The first bytes of an image.
pub const MAGIC: [u8; 8] = *b"VERDICT\0";
/// The version of the layout of the file.
pub const FORMAT_VERSION: u32 = 2;
/// The version of the tables: any change of what stands in this package raises it.
pub const ABI_VERSION: u32 = 5;
/// Read on a machine of the other byte order, this is another number.
pub const ENDIAN_MARK: u32 = 0x0102_0304;
/// Sections begin at multiples of this, so that each can be copied into a memory-mapped map.
pub const PAGE: usize = 4096;

/// In an entry of [`Section::Protocols`]: it leads to a directory.
pub const TO_DIRECTORY: u32 = 1 << 16;
/// 16-bit values of a directory: the page of each upper byte, then the class of what is not known, then padding.
pub const DIRECTORY_ENTRIES: u32 = 260;
/// 16-bit values of a page.
pub const PAGE_ENTRIES: u32 = 256;
/// The value of a port, or of an ICMP type and code, that is not known.
pub const NOT_KNOWN: u32 = 1 << 16;
/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Section {
    /// Words: see [`Config`].
    Config = 1,
    /// 32-bit entries of the IPv4 trie: leaves, or where they lead ([`Block`]). The first leads to the root.
    V4 = 2,
    /// The first address of each run of IPv6 addresses that do not stand alone: two words, the upper half first. Ascending; the
    /// first is 0.
    V6Starts = 3,
    /// 32-bit: the leaf of each IPv6 run.
    V6Leaves = 4,
    /// 16-bit: the class of each leaf.
    Leaves = 5,
    /// 32-bit: by protocol number, the class of all of it, or the directory that tells.
    Protocols = 6,
    /// 16-bit: directories.
    Directories = 7,
    /// 16-bit: pages with the class of each lower byte.
    Pages = 8,
    /// 16-bit: the row of each class, for each table.
    Rows = 9,
    /// 16-bit: the code of each port class, for each row.
    Cells = 10,
    /// Words: see [`Code`]. Those that deny stand first, then those that audit, allow and redirect.
    Codes = 11,
    /// 32-bit: four tables for each endpoint, as [`Use`] numbers them.
    Endpoints = 12,
    /// The addresses of endpoints, ascending: upper and lower half (IPv4 as `::ffff:a.b.c.d`), and the endpoint.
    Addresses = 13,
    /// 16-bit: the displacement of each group of IPv6 addresses that stand alone.
    V6Groups = 14,
    /// IPv6 addresses that stand alone, at the place of their hash: upper and lower half, and one more than the leaf; three
    /// times 0 where there is none.
    V6Hosts = 15,
}

impl Section {
    /// All of them, in the order in which they stand in a file.
    pub const ALL: [Self; 15] = [
        Self::Config,
        Self::V4,
        Self::V6Starts,
        Self::V6Leaves,
        Self::Leaves,
        Self::Protocols,
        Self::Directories,
        Self::Pages,
        Self::Rows,
        Self::Cells,
        Self::Codes,
        Self::Endpoints,
        Self::Addresses,
        Self::V6Groups,
        Self::V6Hosts,
    ];

    /// Those that say which leaf an address has: the same for all nodes.
    pub const OF_LEAVES: [Self; 5] = [
        Self::V4,
        Self::V6Starts,
        Self::V6Leaves,
        Self::V6Groups,
        Self::V6Hosts,
    ];

    /// How many words are looked up at once: an element of its map.
    #[must_use]
    pub const fn element(self) -> usize {
        match self {
            Self::Config => Config::WORDS,
            Self::V6Starts => 2,
            Self::Addresses | Self::V6Hosts => 3,
            Self::V4
            | Self::V6Leaves
            | Self::Leaves
            | Self::Protocols
            | Self::Directories
            | Self::Pages
            | Self::Rows
            | Self::Cells
            | Self::Codes
            | Self::Endpoints
            | Self::V6Groups => 1,
        }
    }
}

/// The words of [`Section::Config`]: how many there are of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Config {
    /// Classes of leaves.
    Classes = 0,
    /// Classes of transport keys.
    PortClasses = 1,
    /// Leaves.
    Leaves = 2,
    /// Tables.
    Tables = 3,
    /// Rows.
    Rows = 4,
    /// Codes.
    Codes = 5,
    /// Endpoints.
    Endpoints = 6,
    /// Addresses of endpoints.
    Addresses = 7,
    /// Entries of the IPv4 trie.
    V4Entries = 8,
    /// IPv6 runs.
    V6Runs = 9,
    /// Directories.
    Directories = 10,
    /// Pages.
    Pages = 11,
    /// Not a number: the first entry of [`Section::V4`].
    V4Root = 12,
    /// Groups of IPv6 addresses that stand alone.
    V6Groups = 13,
    /// Places for IPv6 addresses that stand alone.
    V6Hosts = 14,
    /// Not a number: the entry of [`Section::V4`] that leads on from all addresses of a block, as most of those that are known are.
    V4Near = 15,
    /// The first address of this block.
    V4NearFirst = 16,
    /// How many bits the addresses of this block do not have in common.
    V4NearBits = 17,
    /// How many codes deny: the first ones.
    Denies = 18,
    /// How many codes deny, audit or allow: behind them are those that redirect.
    Direct = 19,
}

impl Config {
    /// How many words there are.
    pub const WORDS: usize = 20;
}

/// What an endpoint is asked: the index of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Use {
    /// What comes in.
    Ingress = 0,
    /// What goes out.
    Egress = 1,
    /// What comes in from itself by way of a service.
    HairpinIngress = 2,
    /// What goes out to itself by way of a service.
    HairpinEgress = 3,
}

/// What is done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// It is dropped.
    Deny = 0,
    /// It passes, and is reported as if it had not.
    Audit = 1,
    /// It passes.
    Allow = 2,
    /// It passes by way of a proxy.
    Redirect = 3,
}

impl Action {
    /// The two lowest bits of a number: every one is an action.
    #[inline(always)]
    const fn of(number: u64) -> Self {
        match number & ACTION {
            0 => Self::Deny,
            1 => Self::Audit,
            2 => Self::Allow,
            _ => Self::Redirect,
        }
    }
}

/// A decision: one word. From the lowest byte: the action, flags, the listener (16 bits), the origin (32 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// What is done.
    pub action: Action,
    /// It hangs on something that was not known when the image was made. The action is to deny.
    pub depends: bool,
    /// The listener of [`Action::Redirect`].
    pub listener: u16,
    /// Who decided: 0 is nobody, else one more than the index in the source table.
    pub origin: u32,
}

const ACTION: u64 = 3;
const DEPENDS: u64 = 1 << 8;

impl Code {
    /// The word of a code.
    #[must_use]
    pub const fn word(self) -> u64 {
        let flags = if self.depends { DEPENDS } else { 0 };
        self.action as u64 | flags | (self.listener as u64) << 16 | (self.origin as u64) << 32
    }

    /// The code of a word; `None` where it is none.
    #[must_use]
    #[inline(always)]
    pub const fn of(word: u64) -> Option<Self> {
        // Of the lowest bytes these bits alone have a meaning.
        if word & 0xFFFF & !(ACTION | DEPENDS) != 0 {
            return None;
        }
        Some(Self {
            action: Action::of(word),
            depends: word & DEPENDS != 0,
            listener: (word >> 16) as u16,
            origin: (word >> 32) as u32,
        })
    }
}

/// Where words are read from.
pub trait Tables {
    /// A word of a table; `None` behind its end.
    fn word(&self, section: Section, index: u32) -> Option<u64>;

    /// The words of an [element](Section::element) of a table; `None` behind its end.
    #[inline(always)]
    fn element<const N: usize>(&self, section: Section, index: u32) -> Option<[u64; N]> {
        let first = index.checked_mul(N as u32)?;
        let mut words = [0; N];
        for (word, at) in words.iter_mut().zip(first..) {
            *word = self.word(section, at)?;
        }
        Some(words)
    }

    /// A 32-bit value of a table.
    #[inline(always)]
    fn half(&self, section: Section, index: u32) -> Option<u32> {
        let word = self.word(section, index >> 1)?;
        Some((word >> ((index & 1) * 32)) as u32)
    }

    /// A 16-bit value of a table.
    #[inline(always)]
    fn quarter(&self, section: Section, index: u32) -> Option<u32> {
        let word = self.word(section, index >> 2)?;
        Some((word >> ((index & 3) * 16)) as u32 & 0xFFFF)
    }

    /// The word itself. For the kernel's verifier of programs, in a way that hides what the word may be: what has been
    /// learnt about a value on the way to it makes a case of its own, and cases multiply.
    #[inline(always)]
    fn blur(&self, word: u64) -> u64 {
        word
    }

    /// The word itself. For the compiler of programs, in a way that hides where the word comes from: of what it knows it makes
    /// branches, and what policies say of the next packet is nobody's guess.
    #[inline(always)]
    fn hide(&self, word: u64) -> u64 {
        word
    }
}

/// A 32-bit value of a table.
#[inline(always)]
pub fn half(tables: &impl Tables, section: Section, index: u32) -> Option<u32> {
    tables.half(section, index)
}

/// A 16-bit value of a table.
#[inline(always)]
pub fn quarter(tables: &impl Tables, section: Section, index: u32) -> Option<u32> {
    tables.quarter(section, index)
}

/// A word of the configuration.
#[inline(always)]
pub fn config(tables: &impl Tables, field: Config) -> Option<u32> {
    Some(tables.word(Section::Config, field as u32)? as u32)
}

/// The class of what a packet carries: a port, `type << 8 | code` of ICMP, or [`NOT_KNOWN`]; 0 for other protocols.
#[inline(always)]
pub fn port_class(tables: &impl Tables, protocol: u8, value: u32) -> Option<u32> {
    let entry = half(tables, Section::Protocols, protocol as u32)?;
    if entry & TO_DIRECTORY == 0 {
        return Some(entry);
    }
    let directory = (entry & 0xFFFF) * DIRECTORY_ENTRIES;
    if value >= NOT_KNOWN {
        return quarter(tables, Section::Directories, directory + 256);
    }
    let page = quarter(tables, Section::Directories, directory + (value >> 8))?;
    quarter(tables, Section::Pages, page * PAGE_ENTRIES + (value & 0xFF))
}

/// A question: an endpoint, what it is asked, the leaf at the other end, and what the packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The endpoint.
    pub endpoint: u32,
    /// What it is asked.
    pub of: Use,
    /// The leaf of the other end.
    pub leaf: u32,
    /// The protocol.
    pub protocol: u8,
    /// As for [`port_class`].
    pub value: u32,
}

/// Decides. The number of the code comes with it: counters are kept by it.
#[inline(always)]
pub fn decide(tables: &impl Tables, query: Query) -> Option<(u32, Code)> {
    let code = number(tables, query)?;
    Some((code, Code::of(tables.word(Section::Codes, code)?)?))
}

/// The number of the code that decides.
#[inline(always)]
pub fn number(tables: &impl Tables, query: Query) -> Option<u32> {
    let class = quarter(tables, Section::Leaves, query.leaf)?;
    let port_class = port_class(tables, query.protocol, query.value)?;
    let endpoint = query.endpoint.checked_mul(4)?;
    let table = half(tables, Section::Endpoints, endpoint | query.of as u32)?;
    let row = table * config(tables, Config::Classes)? + class;
    let row = quarter(tables, Section::Rows, row)?;
    let cell = row * config(tables, Config::PortClasses)? + port_class;
    quarter(tables, Section::Cells, cell)
}
