//! Anything that a client sends: its backend is told just that, as JSON.
#![no_main]

use properties::contract;

libfuzzer_sys::fuzz_target!(|input: &[u8]| contract::webhook_body(input));
