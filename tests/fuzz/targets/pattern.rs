//! Any patterns and a name: matched as a table says, covered as examples show.
#![no_main]

use properties::pattern;

libfuzzer_sys::fuzz_target!(|input: &[u8]| pattern::matching(input));
