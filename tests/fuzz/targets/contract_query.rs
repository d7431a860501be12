//! Any query of a REST read: what is taken is what a form decoder reads.
#![no_main]

use properties::contract;

libfuzzer_sys::fuzz_target!(|input: &[u8]| contract::rest_query(input));
