//! Any bytes of a client: the same messages, the same answers and the same verdict as tungstenite's.
#![no_main]

use properties::websocket;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    websocket::differential(input);
});
