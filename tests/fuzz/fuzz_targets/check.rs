//! Any bytes to all that `check` says about them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| verdict_tests::fuzz::check(bytes));
