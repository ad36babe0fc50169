//! The maps. Their names and sizes are the contract with the loader (`runtime/src/lib.rs`).
//!
//! Of a generation: one array for each [`Section`], frozen when it is full, and `settings`, `attachments`, `overlay`
//! and `code_counters`. Of the node, kept over generations: `connections`, `table`, `fragments` and `reason_counters`.

use crate::environment::SocketBuffer;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray};
use verdict_abi::datapath::connections::{Keys, Slot};
use verdict_abi::datapath::packet::Address;
use verdict_abi::datapath::{
    ATTACHMENT_PROBES, ATTACHMENTS, Attachment, Counter, FragmentFacts, FragmentKey, Outcome,
    Reason,
};
use verdict_abi::{Config, HOST_WORDS, Section};

/// The loader says how many words a section has.
type Words = Array<u64>;
const fn words() -> Words {
    Array::with_max_entries(1, BPF_F_MMAPABLE)
}

/// All of its words are one entry: they are looked up once for a packet.
#[map(name = "config")]
pub(crate) static CONFIG: Array<[u64; Config::WORDS]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map(name = "v4")]
static V4: Words = words();
#[map(name = "v6_starts")]
static V6_STARTS: Array<[u64; 2]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map(name = "v6_leaves")]
static V6_LEAVES: Words = words();
#[map(name = "leaves")]
static LEAVES: Words = words();
#[map(name = "protocols")]
static PROTOCOLS: Words = words();
#[map(name = "directories")]
static DIRECTORIES: Words = words();
#[map(name = "pages")]
static PAGES: Words = words();
#[map(name = "rows")]
static ROWS: Words = words();
#[map(name = "cells")]
static CELLS: Words = words();
#[map(name = "codes")]
static CODES: Words = words();
#[map(name = "endpoints")]
static ENDPOINTS: Words = words();
#[map(name = "addresses")]
static ADDRESSES: Array<[u64; 3]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map(name = "v6_groups")]
static V6_GROUPS: Words = words();
#[map(name = "v6_hosts")]
static V6_HOSTS: Array<[u64; HOST_WORDS]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The settings of a generation, and a word that is 0, which only the loader knows.
#[map(name = "settings")]
pub(crate) static SETTINGS: Array<[u64; 2]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// Which endpoint is behind an interface.
#[map(name = "attachments")]
static ATTACHED: Array<Attachment> = Array::with_max_entries(ATTACHMENTS, BPF_F_MMAPABLE);
/// The leaves of addresses that were learnt later.
#[map(name = "overlay")]
pub(crate) static OVERLAY: HashMap<Address, u32> =
    HashMap::with_max_entries(65_536, BPF_F_NO_PREALLOC);
/// By verdict code.
#[map(name = "code_counters")]
static CODE_COUNTERS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(1, 0);

/// The table of connections.
#[map(name = "connections")]
pub(crate) static CONNECTIONS: Array<Slot> = Array::with_max_entries(262_144, BPF_F_MMAPABLE);
/// The number of the last bucket of connections, and the keys of their hash.
#[map(name = "table")]
pub(crate) static TABLE: Array<(u64, Keys)> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// Datagrams of which the first fragment was seen.
#[map(name = "fragments")]
pub(crate) static FRAGMENTS: LruHashMap<FragmentKey, FragmentFacts> =
    LruHashMap::with_max_entries(16_384, 0);
/// By [`Reason`], but for what the policies alone decide: that is counted by code.
#[map(name = "reason_counters")]
static REASON_COUNTERS: PerCpuArray<Counter> =
    PerCpuArray::with_max_entries(Reason::ALL.len() as u32, 0);

/// A word of a section whose elements have one.
#[inline(always)]
pub(crate) fn word(section: Section, index: u32) -> Option<u64> {
    let words = match section {
        Section::Config | Section::V6Starts | Section::Addresses | Section::V6Hosts => return None,
        Section::V4 => &V4,
        Section::V6Leaves => &V6_LEAVES,
        Section::Leaves => &LEAVES,
        Section::Protocols => &PROTOCOLS,
        Section::Directories => &DIRECTORIES,
        Section::Pages => &PAGES,
        Section::Rows => &ROWS,
        Section::Cells => &CELLS,
        Section::Codes => &CODES,
        Section::Endpoints => &ENDPOINTS,
        Section::V6Groups => &V6_GROUPS,
    };
    words.get(index).copied()
}

/// The words of an element of a section where they are looked up at once.
#[inline(always)]
pub(crate) fn element(section: Section, index: u32) -> Option<&'static [u64]> {
    match section {
        Section::V6Starts => V6_STARTS.get(index).map(<[u64; 2]>::as_slice),
        Section::V6Hosts => V6_HOSTS.get(index).map(<[u64; HOST_WORDS]>::as_slice),
        Section::Addresses => ADDRESSES.get(index).map(<[u64; 3]>::as_slice),
        Section::Config
        | Section::V4
        | Section::V6Leaves
        | Section::Leaves
        | Section::Protocols
        | Section::Directories
        | Section::Pages
        | Section::Rows
        | Section::Cells
        | Section::Codes
        | Section::Endpoints
        | Section::V6Groups => None,
    }
}

/// What is behind an interface.
#[inline(always)]
pub(crate) fn attachment(interface: u32) -> Option<&'static Attachment> {
    let mut probe = 0;
    while probe < ATTACHMENT_PROBES {
        let entry = ATTACHED.get((interface + probe) % ATTACHMENTS)?;
        if entry.interface == interface {
            return Some(entry);
        }
        probe += 1;
    }
    None
}

/// Counts a packet, and says in its control buffer what became of it. Whether it passes.
#[inline(always)]
pub(crate) fn finish(bytes: &SocketBuffer, outcome: Outcome) -> bool {
    bytes.mark(outcome);
    // Of these the code says all.
    if !matches!(outcome.reason, Reason::Allowed | Reason::Denied) {
        count(&REASON_COUNTERS, outcome.reason as u32, bytes.len());
    }
    count(&CODE_COUNTERS, outcome.code, bytes.len());
    outcome.reason.passes()
}

#[inline(always)]
fn count(counters: &PerCpuArray<Counter>, index: u32, bytes: u32) {
    if let Some(counter) = counters.get_ptr_mut(index) {
        // SAFETY: the kernel gave the address of this processor's own counter, and no other program of this kind
        // runs on this processor meanwhile.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += u64::from(bytes);
        }
    }
}
