//! From texts to a cluster and a policy set.
//!
//! Input: [`crate::source::Sources`]. Output: [`crate::cluster::Cluster`], [`crate::hir::PolicySet`] and
//! every diagnostic of every file. Each dialect ends here: nothing below knows what Kubernetes is. The entry
//! is [`load::load`].

pub mod address;
mod template;
pub mod manifest;
pub mod settings;
pub mod kinds;
pub mod identify;
mod report;
mod standing;
mod cilium_config;
mod cilium_port;
mod icmp;
mod schema;
pub mod validate;
pub mod objects;
pub mod lower;
pub mod spell;
mod enforcement;
mod secret;
mod conflicts;
mod lint;
pub mod kept;
pub mod load;
