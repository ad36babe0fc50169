//! From texts to a cluster and a policy set.
//!
//! Input: [`crate::source::Sources`]. Output: [`crate::cluster::Cluster`], [`crate::hir::PolicySet`] and
//! every diagnostic of every file. Each dialect ends here: nothing below knows what Kubernetes is.

pub mod address;
pub mod identify;
pub mod kinds;
pub mod lower;
pub mod manifest;
mod report;
mod schema;
pub mod settings;
pub mod spell;
pub mod validate;
