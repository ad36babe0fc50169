//! What the data path asks of its surroundings, answered by the kernel.

use crate::maps::{self, CONNECTIONS, FRAGMENTS, OVERLAY, SETTINGS, TABLE};
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use aya_ebpf::programs::sk_buff::SkBuff;
use core::sync::atomic::AtomicU64;
use verdict_abi::datapath::connections::{Keys, Slot, TICK};
use verdict_abi::datapath::packet::{Address, Bytes};
use verdict_abi::datapath::{Environment, FragmentFacts, FragmentKey, Outcome};
use verdict_abi::{Section, Tables};

/// The packet that a program was called for.
pub(crate) struct SocketBuffer {
    buffer: SkBuff,
}

impl SocketBuffer {
    #[inline(always)]
    pub(crate) fn new(skb: *mut __sk_buff) -> Self {
        Self {
            buffer: SkBuff::new(skb),
        }
    }

    /// Its length in bytes.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        self.buffer.len()
    }

    /// The index of the interface where it is.
    #[inline(always)]
    pub(crate) fn interface(&self) -> u32 {
        // SAFETY: the kernel called the program with this buffer.
        unsafe { (*self.buffer.skb).ifindex }
    }

    /// Writes down what was decided.
    #[inline(always)]
    pub(crate) fn mark(&self, outcome: Outcome) {
        // SAFETY: as above; programs of this kind may write these words, and nobody else does meanwhile.
        unsafe {
            (*self.buffer.skb).cb[0] = outcome.number;
            (*self.buffer.skb).cb[1] = outcome.code;
        }
    }
}

impl Bytes for SocketBuffer {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.buffer.load::<[u8; N]>(offset as usize).ok()
    }
}

/// The maps and the clock. What each packet needs is looked up once.
pub(crate) struct Kernel {
    settings: &'static [u64; 2],
}

impl Kernel {
    #[inline(always)]
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            settings: SETTINGS.get(0)?,
        })
    }
}

impl Tables for Kernel {
    #[inline(always)]
    fn word(&self, section: Section, index: u32) -> Option<u64> {
        if section == Section::Config {
            return maps::config().get(index as usize).copied();
        }
        maps::words(section).get(index as usize).copied()
    }

    #[inline(always)]
    fn element<const N: usize>(&self, section: Section, index: u32) -> Option<[u64; N]> {
        let words = maps::words(section);
        let first = index as usize * N;
        words.get(first..first + N)?.try_into().ok()
    }

    #[inline(always)]
    fn half(&self, section: Section, index: u32) -> Option<u32> {
        maps::halves(section).get(index as usize).copied()
    }

    #[inline(always)]
    fn quarter(&self, section: Section, index: u32) -> Option<u32> {
        let value = maps::quarters(section).get(index as usize)?;
        Some((*value).into())
    }

    #[inline(always)]
    fn blur(&self, word: u64) -> u64 {
        let [_, zero] = self.settings;
        // SAFETY: the address comes from a reference. It is read each time, since the verifier takes what was read for
        // one value and remembers what it learns of it. Hidden, so that the compiler does not put it off: until then the
        // verifier tells the cases apart.
        maps::hidden(word | unsafe { core::ptr::from_ref(zero).read_volatile() })
    }

    #[inline(always)]
    fn hide(&self, word: u64) -> u64 {
        maps::hidden(word)
    }
}

impl Environment for Kernel {
    #[inline(always)]
    fn now(&self) -> u32 {
        // SAFETY: the helper takes nothing and returns a number.
        let now = unsafe { bpf_ktime_get_coarse_ns() };
        (now >> TICK) as u32
    }

    #[inline(always)]
    fn settings(&self) -> u64 {
        let [settings, _] = self.settings;
        *settings
    }

    #[inline(always)]
    fn overlay(&self, address: &Address) -> Option<u32> {
        // SAFETY: entries are not preallocated, so none is used again while a program runs.
        unsafe { OVERLAY.get(address) }.copied()
    }

    #[inline(always)]
    fn connection_table(&self) -> Option<(u32, &Keys)> {
        let (mask, keys) = TABLE.get(0)?;
        Some((*mask as u32, keys))
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<&Slot> {
        CONNECTIONS.get(index)
    }

    #[inline(always)]
    fn read(&self, word: &AtomicU64) -> u64 {
        // SAFETY: the address comes from a reference. Words are read and written whole on every machine with BPF.
        unsafe { word.as_ptr().read_volatile() }
    }

    #[inline(always)]
    fn write(&self, word: &AtomicU64, value: u64) {
        // SAFETY: as above, and whoever has a shared reference may write it.
        unsafe { word.as_ptr().write_volatile(value) }
    }

    #[inline(always)]
    fn exchange(&self, word: &AtomicU64, old: u64, new: u64) -> bool {
        let found: u64;
        // SAFETY: as above. The compiler for this target believes in a single thread and has no atomic exchange; the
        // machine has one.
        unsafe {
            core::arch::asm!(
                "r0 = cmpxchg_64({place} + 0, r0, {new})",
                place = in(reg) word.as_ptr(),
                new = in(reg) new,
                inlateout("r0") old => found,
            );
        }
        found == old
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentFacts> {
        // SAFETY: what is read may be overwritten meanwhile by the facts of another datagram. They are ports, for
        // which the fragment is then judged: no verdict.
        unsafe { FRAGMENTS.get(key) }.copied()
    }

    #[inline(always)]
    fn keep_fragment(&self, key: &FragmentKey, facts: &FragmentFacts) {
        // Where it cannot be kept, later fragments are dropped.
        let _ = FRAGMENTS.insert(key, facts, 0);
    }
}
