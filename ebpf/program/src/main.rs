//! The BPF programs: what a packet meets at the edge of an endpoint.
//!
//! Input: packets at the host's side of an endpoint's interface (tcx), or at its
//! cgroup. Output: it passes or is dropped, and is counted. All decisions are made by [`verdict_abi::datapath`]; here
//! are the maps, and what of it only a kernel can do.
//!
//! Names of programs say the direction as the endpoint sees it: what `egress` judges comes *into* the host's side of
//! the interface. Every program writes what it decided into the first two words of the control buffer of the packet:
//! the number of the [`Reason`] and that of the verdict code.
//!
//! What the programs consist of is inlined, all of it: the name of a function that is not says, in a hash, in which folder
//! it was built.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    missing_docs,
    reason = "the macros that make programs of functions drop what is said of them"
)]

mod environment;
mod maps;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::macros::{cgroup_skb, classifier};
use aya_ebpf::programs::{SkBuffContext, TcContext};
use environment::{Kernel, SocketBuffer};
use verdict_abi::datapath::packet::{ethernet, network, packet};
use verdict_abi::datapath::{Direction, Outcome, Reason, Subject, judge};

/// What comes to an endpoint: attached to *egress* of the host's side of its interface.
#[classifier]
#[inline(always)]
pub fn ingress(context: TcContext) -> i32 {
    at_interface(context.skb.skb, Direction::Ingress)
}

/// What an endpoint sends: attached to *ingress* of the host's side of its interface.
#[classifier]
#[inline(always)]
pub fn egress(context: TcContext) -> i32 {
    at_interface(context.skb.skb, Direction::Egress)
}

/// What comes to the sockets of a cgroup.
#[cgroup_skb(ingress)]
#[inline(always)]
pub fn cgroup_ingress(context: SkBuffContext) -> i32 {
    at_cgroup(&context, Direction::Ingress)
}

/// What the sockets of a cgroup send.
#[cgroup_skb(egress)]
#[inline(always)]
pub fn cgroup_egress(context: SkBuffContext) -> i32 {
    at_cgroup(&context, Direction::Egress)
}

/// Nothing passes but what a link needs: for an endpoint that has no policies yet.
#[classifier]
#[inline(always)]
pub fn closed(context: TcContext) -> i32 {
    let bytes = SocketBuffer::new(context.skb.skb);
    // Attached in both directions: what an endpoint may not send is enough.
    let outcome = without_policies(ethernet(&bytes), &bytes, Direction::Egress, Reason::Closed);
    maps::action(maps::finish(&bytes, outcome))
}

/// Nothing passes: for a cgroup that has no policies yet.
#[cgroup_skb]
#[inline(always)]
pub fn cgroup_closed(context: SkBuffContext) -> i32 {
    let bytes = SocketBuffer::new(context.as_ptr().cast());
    let network = network(ethertype(&context), 0);
    let outcome = without_policies(network, &bytes, Direction::Egress, Reason::Closed);
    (maps::finish(&bytes, outcome) & 1) as i32
}

#[inline(always)]
fn without_policies(
    network: Result<(bool, u32), Reason>,
    bytes: &SocketBuffer,
    direction: Direction,
    otherwise: Reason,
) -> Outcome {
    Outcome::plain(match network {
        Err(reason) => reason,
        Ok((v4, offset)) => match packet(bytes, v4, offset) {
            Ok(packet) if packet.is_of_link(direction) => Reason::Neighbour,
            Ok(_) | Err(_) => otherwise,
        },
    })
}

#[inline(always)]
fn at_interface(skb: *mut __sk_buff, direction: Direction) -> i32 {
    let bytes = SocketBuffer::new(skb);
    let network = ethernet(&bytes);
    let outcome = match (Kernel::new(), maps::attachment(bytes.interface())) {
        (Some(kernel), Some(attachment)) => {
            let subject = Subject::Attached(attachment);
            judge(&kernel, &bytes, network, subject, direction)
        }
        // Nobody said whose interface it is: closed, but for what a link needs.
        _ => without_policies(network, &bytes, direction, Reason::NoEndpoint),
    };
    maps::action(maps::finish(&bytes, outcome))
}

/// What the link layer says that it is: at a cgroup a packet begins with its header of IP.
#[inline(always)]
fn ethertype(context: &SkBuffContext) -> u16 {
    u16::from_be(context.skb.protocol() as u16)
}

#[inline(always)]
fn at_cgroup(context: &SkBuffContext, direction: Direction) -> i32 {
    let bytes = SocketBuffer::new(context.as_ptr().cast());
    let network = network(ethertype(context), 0);
    let outcome = match Kernel::new() {
        Some(kernel) => judge(&kernel, &bytes, network, Subject::ByAddress, direction),
        None => without_policies(network, &bytes, direction, Reason::Closed),
    };
    (maps::finish(&bytes, outcome) & 1) as i32
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
