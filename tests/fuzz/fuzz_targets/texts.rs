//! Any bytes to what is kept of texts between runs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| verdict_tests::fuzz::texts(bytes));
