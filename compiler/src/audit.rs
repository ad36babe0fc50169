//! Whether a node of Cilium's holds what the manifests say.
//!
//! Input: what the node holds, as Cilium's command line prints it ([`Dump`]), and the manifests. Output: an
//! [`AuditReport`]. Guarantee: compared is what a packet would get, not entry by entry. Every endpoint of the node,
//! direction, identity that the node knows and class of packets that an entry or a rule tells from another is looked
//! up in the node's maps as the datapath does it ([`lookup`](crate::policymap::lookup)) and judged by the definition of Cilium's semantics
//! ([`precedence`](crate::hir::spec::precedence)); every address that a packet may have leads to the same labels on
//! both sides. So a redundant entry is no difference, and neither is a number that the node gave otherwise.
//!
//! What the ends must prove before a packet passes hangs, on entries of equal precedence, on which entries there are: it
//! is compared with what Cilium would make of the manifests ([`policymap`](crate::policymap)).
//!
//! Not compared: tunnels and encryption keys, and the host's own endpoint.

pub mod dump;
mod addresses;
mod classes;
mod compare;
mod labels;
mod peers;
mod print;
mod verify;
pub mod report;

pub use compare::audit;
pub use dump::{Dump, DumpError, DumpFile};
pub use print::{IPCACHE, PINNED, policy_path, print};
pub use report::AuditReport;
pub use verify::{Verified, verify};
