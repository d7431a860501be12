//! Any messages of a client: nothing is accepted that the official parser refuses, or takes for something else.
#![no_main]

use properties::socket_io;

libfuzzer_sys::fuzz_target!(|input: &[u8]| socket_io::stream(input));
