//! Any head of a request: query, cookies, addresses, origins, codings.
#![no_main]

use properties::handshake;

libfuzzer_sys::fuzz_target!(|input: &[u8]| handshake::head(input));
