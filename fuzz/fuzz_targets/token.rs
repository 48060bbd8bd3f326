//! Tokens from the network, raw and sealed again. The body and its oracles are `sdk/token/tests/token/fuzz.rs`.
#![no_main]
#![allow(dead_code)] // the support is written for more than this target

#[path = "../../sdk/token/tests/token/fuzz.rs"]
mod fuzz;
#[path = "../../sdk/token/tests/token/spec.rs"]
mod spec;
#[path = "../../sdk/token/tests/token/support.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::token(data));
