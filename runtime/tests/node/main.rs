//! `verdict-node` in a real kernel: what it says, what it pins, and what becomes of packets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests stand outside of test functions"
)]

/// The tests of some bodies, each with both ways of holding programs at an interface.
macro_rules! both_hooks {
    ($($name:ident)*) => {
        $(mod $name {
            #[test]
            fn by_tcx() {
                let name = concat!(module_path!(), "::by_tcx");
                crate::cage::caged(crate::cage::own(name), || super::$name("tcx"));
            }

            #[test]
            fn by_clsact() {
                let name = concat!(module_path!(), "::by_clsact");
                crate::cage::caged(crate::cage::own(name), || super::$name("clsact"));
            }
        })*
    };
}

mod cage;
mod net;
mod wire;
mod world;
mod traffic;
mod swap;
mod errors;
mod faults;
mod interfaces;
mod filters;
mod hosts;
mod kept;
mod places;
mod calls;
mod bundles;
mod attest;
