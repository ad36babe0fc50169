//! Any bytes to a manifest, and edits of a bundle to images.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| verdict_tests::fuzz::bundle(bytes));
