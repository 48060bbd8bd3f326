//! The body and what it requires are in `fuzz/bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playgate_fuzz_bodies::relay(data));
