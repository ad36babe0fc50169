//! What the benchmark compares with: an empty program, one that reads packets and no more, the verdict path behind the
//! same reading, and lookups as Cilium lays out its maps.
//!
//! Every run of a program takes another address and other ports, from the map `flows`.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    missing_docs,
    reason = "the macros that make programs of functions drop what is said of them"
)]

mod environment;
mod maps;

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::{classifier, map};
use aya_ebpf::maps::Array;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::programs::TcContext;
use environment::{Kernel, SocketBuffer};
use verdict_abi::datapath::packet::{Packet, ethernet, packet};
use verdict_abi::datapath::{Direction, Subject, judge_packet};

/// An other end: the halves of its address, and what stands in the packet's ports (source, destination).
type Flow = [u64; 3];

#[map(name = "flows")]
static FLOWS: Array<Flow> = Array::with_max_entries(262_144, BPF_F_MMAPABLE);
/// The flow that is next, and the number of the last: one less than a power of two.
#[map(name = "next")]
static NEXT: Array<[u64; 2]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[classifier]
#[inline(always)]
pub fn noop(_: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

#[classifier]
#[inline(always)]
pub fn parse(context: TcContext) -> i32 {
    let bytes = SocketBuffer::new(context.skb.skb);
    match read(&bytes) {
        Some(packet) => {
            let ports = packet.transport.value ^ u32::from(packet.transport.src_port);
            let all = packet.src.upper ^ packet.src.lower ^ packet.dst.lower ^ u64::from(ports);
            // Never so, but for all that the compiler knows.
            if all == 1 { TC_ACT_SHOT } else { TC_ACT_UNSPEC }
        }
        None => TC_ACT_SHOT,
    }
}

#[classifier]
#[inline(always)]
pub fn verdict(context: TcContext) -> i32 {
    let bytes = SocketBuffer::new(context.skb.skb);
    let attachment = maps::attachment(bytes.interface());
    let (Some(packet), Some(attachment), Some(kernel)) = (read(&bytes), attachment, Kernel::new())
    else {
        return TC_ACT_SHOT;
    };
    let subject = Subject::Attached(attachment);
    let outcome = judge_packet(&kernel, &bytes, &packet, subject, Direction::Ingress);
    maps::action(maps::finish(&bytes, outcome))
}

/// Reads the packet, and takes the next flow's end for its source.
#[inline(always)]
fn read(bytes: &SocketBuffer) -> Option<Packet> {
    let (v4, offset) = ethernet(bytes).ok()?;
    let mut packet = packet(bytes, v4, offset).ok()?;
    let next = NEXT.get_ptr_mut(0)?;
    // SAFETY: the benchmark runs on one processor.
    let index = unsafe {
        let [next, last] = &mut *next;
        *next = (*next + 1) & *last;
        *next
    };
    let [upper, lower, ports] = FLOWS.get(index as u32)?;
    packet.src.upper = *upper;
    packet.src.lower = *lower;
    packet.transport.src_port = (*ports >> 16) as u16;
    packet.transport.dst_port = *ports as u16;
    packet.transport.value = *ports as u32 & 0xFFFF;
    Some(packet)
}

/// `struct policy_key` behind its prefix length: identity, direction, protocol, port.
#[repr(C)]
#[derive(Clone, Copy)]
struct Policy {
    identity: u32,
    direction: u8,
    protocol: u8,
    port: [u8; 2],
}

/// By `struct ipcache_key` of Cilium 1.20 behind its prefix length: the family, and the address.
#[map(name = "ipcache")]
static IPCACHE: LpmTrie<[u32; 5], [u32; 3]> =
    LpmTrie::with_max_entries(1_048_576, BPF_F_NO_PREALLOC);
#[map(name = "policy")]
static POLICY: LpmTrie<Policy, u64> = LpmTrie::with_max_entries(1_048_576, BPF_F_NO_PREALLOC);

#[classifier]
#[inline(always)]
pub fn cilium(context: TcContext) -> i32 {
    let bytes = SocketBuffer::new(context.skb.skb);
    let Some(packet) = read(&bytes) else {
        return TC_ACT_SHOT;
    };
    let address = [packet.src.upper, packet.src.lower];
    let words = if packet.v4 {
        [1 << 24, (packet.src.lower as u32).to_be(), 0, 0, 0]
    } else {
        let [a, b] = address.map(u64::to_be);
        [
            2 << 24,
            a as u32,
            (a >> 32) as u32,
            b as u32,
            (b >> 32) as u32,
        ]
    };
    let bits = if packet.v4 { 64 } else { 160 };
    let Some(info) = IPCACHE.get(Key::new(bits, words)) else {
        return TC_ACT_SHOT;
    };
    let [identity, ..] = *info;
    let mut key = Policy {
        identity,
        direction: 0,
        protocol: packet.protocol,
        port: packet.transport.dst_port.to_be_bytes(),
    };
    // With the identity, then with all of them; the more specific of both decides.
    let with_identity = POLICY.get(Key::new(64, key));
    key.identity = 0;
    let with_any = POLICY.get(Key::new(64, key));
    match (with_identity, with_any) {
        (None, None) => TC_ACT_SHOT,
        (one, other) => {
            if one.copied().unwrap_or(0) | other.copied().unwrap_or(0) == 7 {
                TC_ACT_SHOT
            } else {
                TC_ACT_UNSPEC
            }
        }
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier takes no program that could come here.
    loop {}
}

/// What the kernel asks of programs that use helpers under its licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
