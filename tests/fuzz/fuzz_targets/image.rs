//! Any bytes to an image, and any image that is read to answers.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| verdict_tests::fuzz::image(bytes));
