//! Any bytes of a client: no panic, the limits hold, and portions make no difference.
#![no_main]

use properties::websocket;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    websocket::decode(input);
});
