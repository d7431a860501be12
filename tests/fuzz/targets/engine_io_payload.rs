//! Any polling body: cut at the separators, and what is understood can be written and read again.
#![no_main]

use properties::engine_io;

libfuzzer_sys::fuzz_target!(|input: &[u8]| engine_io::payload(input));
