//! Policy as Cilium's datapath has it: a policy map for each endpoint, and the identities and addresses of a node.
//!
//! Input: the policies, the snapshot and the switches ([`Enforcement`](crate::hir::Enforcement)), and a node. Output:
//! [`NodeMaps`], which can be printed as Cilium's command line prints it, and as bytes ([`bytes`]). Guarantee: a packet
//! that is looked up in them ([`lookup`]) gets what Cilium's own maps give it: verdict, precedence, redirect and what
//! the ends must prove. There are never more entries than Cilium has; those that decide nothing are left out.
//!
//! Numbers of identities, of endpoints and of proxies' ports are given here, since a cluster gives them as it comes.
//! Sources: Cilium 1.20 and 1.19, `pkg/policy` (`types/entry.go`, `mapstate.go`), `pkg/maps/policymap`,
//! `pkg/maps/ipcache`, `bpf/lib/policy.h`.

pub mod bytes;
mod entry;
pub mod lookup;
mod node;
mod numbers;
mod order;
mod rows;
mod said;

pub use entry::{Block, Demand, Entry, Packet};
pub(crate) use lookup::AGGREGATES;
pub use lookup::{Table, aggregate_of, cluster_of};
pub use node::{Address, Endpoint, MapsError, NodeMaps};
pub use numbers::{Known, Peer};
pub(crate) use numbers::{addresses, named_ports, reserved};
pub use order::{LevelsError, precedence};
pub use rows::Rows;
