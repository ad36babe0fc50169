//! Any bytes as a trace: a capture, packed or not, or lines.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| verdict_tests::fuzz::trace(bytes));
