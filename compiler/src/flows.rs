//! Sets of flows: who may send what to whom, for every pod, port and address at once.
//!
//! Input: a [`Cluster`](crate::cluster::Cluster) and the [`Program`](crate::ir::Program) of its policies.
//! Output: [`Connections`], which has the [`Answer`] for any two ends, for an end and the outside,
//! and for an end and a pod that does not exist.
//! Guarantee: a packet is in [`Answer::allow`] exactly where [`spec::judge`](crate::hir::spec::judge) allows
//! it in every family that carries it, in [`Answer::depends`] exactly where
//! [`combine`](crate::query::combine) of its judgements is `depends`, and denied otherwise.
//!
//! The algebra: [`Ranges`](crate::ranges::Ranges) of ports and addresses, [`Packets`] over protocols,
//! [`Answer`]s that partition packets. Addresses and ports are never enumerated, and work is done once per
//! class of ends that no rule tells apart ([`EndId`]).

mod answer;
mod connections;
mod ends;
mod fresh;
mod packets;
mod rows;
mod side;

pub(crate) use answer::Answers;
pub use answer::{Answer, AnswerId};
pub use connections::{Connections, Outside};
pub use ends::EndId;
pub use fresh::{Governed, PerFamily};
pub use packets::Packets;
