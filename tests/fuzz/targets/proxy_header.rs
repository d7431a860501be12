//! Any beginning of a connection: the address is what the specifications of PROXY headers say.
#![no_main]

use properties::proxy;

libfuzzer_sys::fuzz_target!(|input: &[u8]| proxy::header(input));
