//! What the tests and benchmarks share: generators of worlds, readers of the test corpora.

pub mod generate;
pub mod judging;
pub mod asking;
pub mod images;
pub mod bundles;
pub mod readings;
pub mod fuzz;
pub mod packets;
pub mod datapath;
#[cfg(target_os = "linux")]
pub mod kernel;
pub mod yardstick;
