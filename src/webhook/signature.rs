//! Signatures of requests: Standard Webhooks, version 1 (contract 2).
//!
//! HMAC-SHA256 over `id.timestamp.body`, one signature per secret so that secrets can be rotated, separated by spaces. What is
//! signed are the very bytes that are sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::settings::Secret;

/// Signs with every secret of an upstream.
#[derive(Clone)]
pub struct Signer(Vec<Hmac<Sha256>>);

impl Signer {
    /// Takes the secrets in order; the first is the newest. Without secrets nothing is signed.
    pub fn new(secrets: &[Secret]) -> Self {
        let keyed = |secret: &Secret| {
            Hmac::new_from_slice(secret.expose()).expect("HMAC takes keys of every length")
        };
        Self(secrets.iter().map(keyed).collect())
    }

    /// The value of `webhook-signature`; `None` without secrets. `timestamp` is in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> Option<String> {
        let mut signatures = String::new();
        for keyed in &self.0 {
            let mut mac = keyed.clone();
            mac.update(id.as_bytes());
            mac.update(format!(".{timestamp}.").as_bytes());
            mac.update(body);
            if !signatures.is_empty() {
                signatures.push(' ');
            }
            signatures.push_str("v1,");
            STANDARD.encode_string(mac.finalize().into_bytes(), &mut signatures);
        }
        (!signatures.is_empty()).then_some(signatures)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} secrets)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;

    /// HMAC as its definition has it (RFC 2104), from SHA-256 alone.
    fn hmac_by_definition(key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut block = [0u8; 64];
        if key.len() > 64 {
            block[..32].copy_from_slice(&Sha256::digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let (inner, outer) = (block.map(|b| b ^ 0x36), block.map(|b| b ^ 0x5c));
        let inner = Sha256::digest([&inner[..], message].concat());
        Sha256::digest([&outer[..], &inner].concat()).to_vec()
    }

    fn secret(bytes: &[u8]) -> Secret {
        Secret::new(bytes)
    }

    #[test]
    fn the_example_of_the_standard() {
        // From the test vectors of the Standard Webhooks libraries.
        let key = STANDARD
            .decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .expect("base64");
        let signer = Signer::new(&[secret(&key)]);
        assert_eq!(
            signer
                .sign(
                    "msg_p5jXN8AQM9LWM0D4loKWxJek",
                    1_614_265_330,
                    br#"{"test": 2432232314}"#,
                )
                .as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn each_secret_signs_the_same_bytes() {
        let keys: [&[u8]; 3] = [b"a secret of some bytes!!", &[7; 64], &[9; 100]];
        let signer = Signer::new(&keys.map(secret));
        let signatures = signer
            .sign("evt_1", 5, b"{\"a\":1}")
            .expect("there are secrets");
        let expected: Vec<_> = keys
            .iter()
            .map(|key| hmac_by_definition(key, b"evt_1.5.{\"a\":1}"))
            .map(|mac| format!("v1,{}", STANDARD.encode(mac)))
            .collect();
        assert_eq!(signatures, expected.join(" "));
    }

    #[test]
    fn every_part_is_covered() {
        let signer = Signer::new(&[secret(b"key")]);
        let signatures = signer.sign("evt_1", 5, b"x");
        assert_ne!(signatures, signer.sign("evt_2", 5, b"x"));
        assert_ne!(signatures, signer.sign("evt_1", 6, b"x"));
        assert_ne!(signatures, signer.sign("evt_1", 5, b"y"));
    }

    #[test]
    fn without_secrets_there_is_no_signature() {
        assert_eq!(Signer::new(&[]).sign("evt_1", 5, b"x"), None);
    }
}
