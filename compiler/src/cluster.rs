//! A snapshot of a cluster.
