//! Any bytes to documents.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| verdict_tests::fuzz::read(bytes));
