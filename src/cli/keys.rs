//! `keys`: a fresh API key and a fresh signing secret, with the lines that configure them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

use super::Answer;

/// Random bytes of each.
const BYTES: usize = 32;

/// Prints both; they are kept nowhere.
pub(super) fn keys() -> Answer {
    let key = format!("sgk_{}", URL_SAFE_NO_PAD.encode(random()));
    let secret = format!("whsec_{}", STANDARD.encode(random()));
    let mut sha256 = String::new();
    for byte in Sha256::digest(&key) {
        // Writing to a string does not fail.
        write!(sha256, "{byte:02x}").ok();
    }
    Answer::said(format!(
        r#"# API key: your backend sends it as `Authorization: Bearer …`; the gateway keeps only its hash.
{key}

[[api.key]]
name = "backend"
sha256 = "{sha256}"
scopes = ["emit", "rooms", "disconnect", "read"]

# Signing secret: your backend checks the signatures of the gateway's requests with it. Both need it; keep it out of files
# that are shared.
{secret}

# export APP_WHSEC={secret}
[[upstream]]
secrets = ["env:APP_WHSEC"]"#
    ))
}

/// Bytes of a cryptographic generator that the system seeds.
fn random() -> [u8; BYTES] {
    rand::rng().random()
}
