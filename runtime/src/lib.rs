//! Loads images into the kernel.
//!
//! Input: an [`Image`](verdict_compiler::image::Image) that was decoded, and so checked in full. Output: a
//! [`Generation`]: its tables in maps, and programs that decide by them. The decoder is the compiler's, since there is
//! one place that says what an image is; so are bundles, which the command reads.
//!
//! # The contract between loader and programs
//!
//! The programs are in one object ([`OBJECT`]), built from `ebpf/program`. One **generation** is one set of maps of its
//! own and one set of programs that were loaded against these maps. No program ever changes its maps: a swap replaces
//! the program of a link (or filter), in one step for each interface, and so each packet is judged by one generation.
//!
//! Programs, named after the direction as the endpoint sees it:
//!
//! | program | type | attached to |
//! | --- | --- | --- |
//! | `ingress` | `classifier` | *egress* of the host's side of a veth |
//! | `egress` | `classifier` | *ingress* of the host's side of a veth |
//! | `closed` | `classifier` | either, where there is no generation: ARP and neighbour discovery pass, nothing else |
//! | `cgroup_ingress`, `cgroup_egress` | `cgroup_skb` | the cgroup of a pod |
//! | `cgroup_closed` | `cgroup_skb` | the same, where there is no generation |
//!
//! A `classifier` returns `TC_ACT_UNSPEC` (-1) for what passes, so that others on the interface have a say, too, and
//! `TC_ACT_SHOT` (2) for what is dropped; `cgroup_skb` returns 1 and 0. All of them write the
//! [`Reason`](verdict_abi::datapath::Reason) and the number of the verdict code (or
//! [`NO_CODE`](verdict_abi::datapath::NO_CODE)) into `cb[0]` and `cb[1]` of the packet.
//!
//! Maps of a generation:
//!
//! | map | type | what |
//! | --- | --- | --- |
//! | by [`map_name`], one for each [`Section`] | array of one entry, `BPF_F_MMAPABLE` | the section, byte for byte; frozen. A section of no elements has a map for one, all zeros. These maps are not in the object: where their memory is, and how many words it has, is written into the programs before they are loaded ([`verdict_abi::places`]) |
//! | `attachments` | array of [`Attachment`](verdict_abi::datapath::Attachment) | by interface index: see [`Generation::attach_interface`]. Written before the interface gets the programs |
//! | `settings` | array of one entry of two words | word 0: [`OVERLAY`](verdict_abi::datapath::OVERLAY), [`PASS_FOREIGN`](verdict_abi::datapath::PASS_FOREIGN), [`LAZY`](verdict_abi::datapath::LAZY), [`PICK_UP`](verdict_abi::datapath::PICK_UP); word 1: 0 |
//! | `overlay` | hash: address (16 bytes as [`Address`](verdict_abi::datapath::packet::Address)) to leaf | addresses learnt later. Looked at only while `settings` says so |
//! | `code_counters` | array for each processor of [`Counter`](verdict_abi::datapath::Counter) | by number of the verdict code. Codes have other numbers in each generation, so these counters are read once more when one is given up |
//!
//! Maps of the node, which generations share ([`SHARED`]); pinned below [`Options::shared`]:
//!
//! | map | type | what |
//! | --- | --- | --- |
//! | `connections` | array of [`Slot`](verdict_abi::datapath::connections::Slot) | who opened which connection. It holds no verdicts, and needs no cleaning |
//! | `table` | array of one entry of six words | number of the last bucket (one less than a power of two), and the secret keys of the hash |
//! | `fragments` | LRU hash | the ports of datagrams in parts |
//! | `reason_counters` | array for each processor of [`Counter`](verdict_abi::datapath::Counter) | by [`Reason`](verdict_abi::datapath::Reason); `Allowed` and `Denied` are counted by code alone |
//!
//! Whose packet it is: a `classifier` looks for the interface in `attachments`. What is not there is closed. An
//! endpoint may send from the addresses of its entry and from those that [`Section::Addresses`] has for it, and
//! nothing else; and gets what is sent to them. A `cgroup_skb` program goes by the address alone, which must be that of
//! an endpoint of the image.

#![cfg(target_os = "linux")]

mod attachments;
mod attest;
pub mod cli;
mod error;
mod generation;
mod kernel;
mod memory;
mod netlink;
pub mod node;
mod object;

pub use attest::Witness;
pub use error::LoadError;
pub use generation::{Generation, Options};
pub use memory::fill;
pub use object::{OBJECT, SHARED, map_name};

#[cfg(doc)]
use verdict_abi::Section;
