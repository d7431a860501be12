//! Any packet of Engine.IO: what the table of packet types says.
#![no_main]

use properties::engine_io;

libfuzzer_sys::fuzz_target!(|input: &[u8]| engine_io::packet(input));
