//! From texts to a cluster and a policy set.
//!
//! Input: [`crate::source::Sources`]. Output: [`crate::cluster::Cluster`], [`crate::hir::PolicySet`] and
//! every diagnostic of every file. Each dialect ends here: nothing below knows what Kubernetes is.

pub mod address;
pub mod kinds;
pub mod lower;
pub mod manifest;
pub mod objects;
pub mod spell;
