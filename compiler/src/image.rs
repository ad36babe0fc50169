//! The image of a node: its program as the bytes of BPF maps.
//!
//! Input: a [program](crate::lir::Program) of tables, the leaf of each address, and where rules are written
//! ([`Input`]). Output: the bytes of a file ([`encode()`]). [`Image::decode`] reads them back. Guarantees: equal input
//! gives equal bytes; an image that decodes is looked up without a panic and without reading out of bounds, and every
//! lookup finds an answer. The tables are those of [`verdict_abi`]; around them stand a header and the source table.

mod addresses;
mod ask;
mod decode;
pub mod demand;
mod encode;
mod error;
mod hosts;
mod kept;
mod layout;
mod limits;
mod memory;
mod open;
mod parts;
mod slots;
mod trie;

pub(crate) use addresses::Visited;
pub use ask::{Asked, End, NotAsked, Said};
pub(crate) use decode::COUNTS;
pub use decode::{Image, Known};
pub(crate) use encode::{Addresses, by_action};
pub use encode::{Common, encode, is_own};
pub use error::DecodeError;
pub(crate) use layout::{MOST_SECTIONS, SUBJECTS, WORLD};
pub use layout::{digest_text, hex, section_name};
pub use limits::{LimitError, Limits, Resource};
pub use memory::Memory;
pub(crate) use open::seen_by;
pub use open::{Written, seen, seen_pod};
pub use parts::{Part, Parts};
pub(crate) use parts::{Told, digest_of, size_of};

use crate::lir::Program;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use verdict_abi::Code;
use verdict_abi::open::Subjects;

/// What an image is made of.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a, O> {
    /// The program: every chain is a table.
    pub program: &'a Program,
    /// What is the same for all nodes.
    pub common: &'a Common,
    /// The addresses of each endpoint of the program.
    pub addresses: &'a [Vec<IpAddr>],
    /// Who the endpoints and the origins of codes are.
    pub source: &'a SourceTable<O>,
    /// By code of the program: one more than the index of its origin in the source table, or 0.
    pub origins: &'a [u32],
    /// How large it may be.
    pub limits: Limits,
    /// Who the endpoints are.
    pub subjects: &'a Subjects,
}

/// What the numbers of an image stand for. Who decides may be told as it is written: many images say it of the same rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTable<O = Origin> {
    /// The version of this table.
    pub version: u32,
    /// The node; `None` for pods whose node is not known.
    pub node: Option<Box<str>>,
    /// The endpoints: `namespace/name`.
    pub endpoints: Vec<Box<str>>,
    /// Who decides.
    pub origins: Vec<O>,
    /// What was left out of the policies, so that they may decide otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<Box<str>>,
}

impl SourceTable {
    /// Who decides where a code says so; none where it is nobody.
    #[must_use]
    pub fn decider(&self, code: Code) -> Option<&Origin> {
        self.decider_at(code.origin)
    }

    /// The same by the number of an origin: one more than its index.
    pub(crate) fn decider_at(&self, number: u32) -> Option<&Origin> {
        self.origins.get(number.checked_sub(1)? as usize)
    }
}

/// A rule, or a policy that isolates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The policy: `NetworkPolicy/shop/api`.
    pub policy: Box<str>,
    /// The path of the rule in it; none where the policy isolates and no rule allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Box<str>>,
    /// The file.
    pub file: Box<str>,
    /// The line, from 1.
    pub line: u32,
}
