//! `verdict-node` in a real kernel: what it says, what it pins, and what becomes of packets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests stand outside of test functions"
)]

#[macro_use]
mod cage;
mod net;
mod wire;
mod world;
mod traffic;
mod swap;
mod errors;
mod faults;
mod calls;
mod bundles;
mod attest;
