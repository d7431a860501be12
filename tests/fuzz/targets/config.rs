//! Any configuration file: it is one, or every problem has its place in it.
#![no_main]

use properties::config;

libfuzzer_sys::fuzz_target!(|input: &[u8]| config::file(input));
