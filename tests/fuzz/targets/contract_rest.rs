//! Any body of a REST request: nothing is added to what it says, and nobody is meant by default.
#![no_main]

use properties::contract;

libfuzzer_sys::fuzz_target!(|input: &[u8]| contract::rest_body(input));
