//! The maps. Their names and sizes are the contract with the loader (`runtime/src/lib.rs`).
//!
//! Of a generation: `settings`, `attachments`, `overlay` and `code_counters`, and one array for each [`Section`], frozen when it is
//! full, which the loader makes and whose place it writes into the programs ([`places`]). Of the node, kept over generations: `connections`, `table`, `fragments` and `reason_counters`.

use crate::environment::SocketBuffer;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray};
use verdict_abi::datapath::connections::{Keys, Slot};
use verdict_abi::datapath::packet::Address;
use verdict_abi::datapath::{
    ATTACHMENT_PROBES, ATTACHMENTS, Attachment, Counter, FragmentFacts, FragmentKey, Outcome,
    Reason,
};
use verdict_abi::{Config, Section, places};

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

/// The words of a section, where the loader has put them: see [`verdict_abi::places`].
macro_rules! words {
    ($section:ident) => {{
        let first: *const u64;
        let count: u64;
        // SAFETY: both instructions set a register. The loader makes of them the address of the memory of a map and the number of
        // its words, and the kernel takes no program in which they are something else. Nobody writes the map, which is frozen.
        unsafe {
            core::arch::asm!(
                "{first} = {place} ll",
                first = out(reg) first,
                place = const places::place(Section::$section),
                options(nomem, nostack, preserves_flags)
            );
            core::arch::asm!(
                "{count} = {mark}",
                count = out(reg) count,
                mark = const places::count(Section::$section),
                options(nomem, nostack, preserves_flags)
            );
            core::slice::from_raw_parts(first, count as usize)
        }
    }};
}

/// The words of a section.
#[inline(always)]
pub(crate) fn words(section: Section) -> &'static [u64] {
    match section {
        Section::Config => words!(Config),
        Section::V4 => words!(V4),
        Section::V6Starts => words!(V6Starts),
        Section::V6Leaves => words!(V6Leaves),
        Section::Leaves => words!(Leaves),
        Section::Protocols => words!(Protocols),
        Section::Directories => words!(Directories),
        Section::Pages => words!(Pages),
        Section::Rows => words!(Rows),
        Section::Cells => words!(Cells),
        Section::Codes => words!(Codes),
        Section::Endpoints => words!(Endpoints),
        Section::Addresses => words!(Addresses),
        Section::V6Groups => words!(V6Groups),
        Section::V6Hosts => words!(V6Hosts),
    }
}

/// The words of the configuration: the decoder takes no image with fewer.
#[inline(always)]
pub(crate) fn config() -> &'static [u64; Config::WORDS] {
    // SAFETY: see above; the kernel takes no program that reads behind the end of the map.
    unsafe { &*words(Section::Config).as_ptr().cast() }
}

/// The values of 32 bits of a section. Of the machine's byte order, as the image is.
#[inline(always)]
pub(crate) fn halves(section: Section) -> &'static [u32] {
    let words = words(section);
    // SAFETY: it is the same memory, and a word is as well aligned as its half.
    unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 2) }
}

/// The values of 16 bits of a section. Of the machine's byte order, as the image is.
#[inline(always)]
pub(crate) fn quarters(section: Section) -> &'static [u16] {
    let words = words(section);
    // SAFETY: it is the same memory, and a word is as well aligned as its quarter.
    unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 4) }
}

/// The same word, of which the compiler knows no more.
#[inline(always)]
pub(crate) fn hidden(mut word: u64) -> u64 {
    // SAFETY: there is no instruction in it.
    unsafe {
        core::arch::asm!("/* {word} */", word = inlateout(reg) word, options(nomem, nostack, preserves_flags));
    }
    word
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

/// Counts a packet, and says in its control buffer what became of it. Whether it passes: all bits of it, or none.
#[inline(always)]
pub(crate) fn finish(bytes: &SocketBuffer, outcome: Outcome) -> i64 {
    bytes.mark(outcome);
    // Of these the code says all.
    const BY_CODE: u64 = 1 << Reason::Allowed as u32 | 1 << Reason::Denied as u32;
    if BY_CODE >> (outcome.number & 63) & 1 == 0 {
        count(&REASON_COUNTERS, outcome.number, bytes.len());
    }
    count(&CODE_COUNTERS, outcome.code, bytes.len());
    // Whether it is one of the first says the sign of the difference.
    hidden(u64::from(outcome.number).wrapping_sub(Reason::Denied as u64)).cast_signed() >> 63
}

/// What a program for interfaces returns: all bits where the packet passes ([`TC_ACT_UNSPEC`]), since whoever else is attached
/// has a say, too; else [`TC_ACT_SHOT`].
#[inline(always)]
pub(crate) fn action(passes: i64) -> i32 {
    const { assert!(TC_ACT_UNSPEC == -1) };
    (passes | !passes & i64::from(TC_ACT_SHOT)) as i32
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
