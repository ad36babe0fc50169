//! A program in writing: printed by [`print()`], read back by [`parse`].
//!
//! One item a line; `#` begins a comment. Members of sets are numbers and ranges, transport keys are
//! `protocol/first-last`. What is printed and parsed is equal to what was there; the text does not name who stands
//! behind a leaf.

mod parse;
mod print;

pub use parse::{ParseError, parse};
pub use print::print;
