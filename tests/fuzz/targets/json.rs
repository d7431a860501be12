//! Any text: valid, deep and cut as a slow parser says.
#![no_main]

use properties::json;

libfuzzer_sys::fuzz_target!(|input: &[u8]| json::text(input));
