//! Any answer to a webhook: nothing is added to what it says, or it is refused as a whole.
#![no_main]

use properties::contract;

libfuzzer_sys::fuzz_target!(|input: &[u8]| contract::webhook_reply(input));
