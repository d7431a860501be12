//! Any arguments: placeholders are found and numbered as a slow parser says, all else stays.
#![no_main]

use properties::placeholders;

libfuzzer_sys::fuzz_target!(|input: &[u8]| placeholders::renumber(input));
