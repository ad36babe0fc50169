//! Where programs find the tables: what the loader writes into them.
//!
//! A table is the memory of a map of one element, frozen. In the programs two instructions stand for each table: one that loads
//! a number of 64 bits, for which the loader writes the address of the memory, as the kernel knows it (`BPF_PSEUDO_MAP_VALUE`), and
//! one that sets a register to a number of 32 bits, for which it writes how many words there are. So a program reads a table as it
//! reads its own memory, and the kernel's verifier knows where it ends: no lookup, and nothing that may not be found. Where the loader has written nothing, the verifier refuses the program.

use crate::Section;

/// The upper half of the number that stands for an address.
pub const PLACE: u32 = 0x5645_5244;
/// The upper bits of the number that stands for how many words there are.
pub const COUNT: u32 = 0x5645_5200;

/// The number that stands for the address of a table.
#[must_use]
pub const fn place(section: Section) -> u64 {
    (PLACE as u64) << 32 | section as u64
}

/// The number that stands for how many words a table has.
#[must_use]
pub const fn count(section: Section) -> u32 {
    COUNT | section as u32
}
