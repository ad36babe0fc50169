//! The kernel engine: packets given to the BPF programs get what the definition says, with the code that the image
//! says, on random worlds, on our own tables and on the conformance vectors; and every case of `testdata/datapath`
//! holds.
//!
//! `VERDICT_PACKETS` sets how many packets of random worlds are tried (50,000). Without root, or without BPF, the tests
//! say so and are skipped; with `VERDICT_REQUIRE_KERNEL=1` that is a failure.
#![cfg(target_os = "linux")]

mod agree;
mod cases;
