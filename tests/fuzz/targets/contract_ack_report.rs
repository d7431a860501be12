//! Any acknowledgements of clients: the backend gets them as they were, each with its own bytes.
#![no_main]

use properties::contract;

libfuzzer_sys::fuzz_target!(|input: &[u8]| contract::ack_report(input));
