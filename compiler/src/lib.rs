//! verdict reads network policy and a snapshot of a cluster, and says what becomes of any flow, and why.
//!
//! The library does no I/O and reads no clock, environment or randomness: texts go in, answers and
//! diagnostics come out. `main.rs` and `cli` are the only places with I/O.
//!
//! Modules stand in reading order; each uses only those above it.

mod ids;
mod hash;
mod lock;
mod packed;
pub mod invariant;
pub mod source;
pub mod diagnostic;
pub mod ranges;
mod kept;
pub mod cluster;
pub mod identity;
pub mod hir;
pub mod frontend;
pub mod query;
pub mod ir;
pub mod lir;
pub mod opt;
pub mod image;
pub mod verify;
pub mod compile;
pub mod bundle;
pub mod engine;
pub mod flows;
pub mod list;
pub mod explain;
pub mod diff;
pub mod suggest;
pub mod trace;
pub mod policymap;
pub mod audit;
pub mod cli;
