//! Secrets: `env:NAME` or `file:PATH`, and what they must look like.
//!
//! Promises that no message holds a secret, or what was written in the place of one.

use std::io::Read as _;

use ::config::{Value, ValueKind};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256};

use super::raw::Context;
use super::value::Reading;
use crate::webhook::settings::Secret;

/// Standard base64, with or without padding: both are found in the wild.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Largest file that holds a secret or certificates.
const MAX_FILE: u64 = 1 << 20;

/// Fewest characters of an API key after `sgk_`: 32 bytes in base64.
const API_KEY_TEXT: usize = 43;

/// The text that `env:` or `file:` names.
pub(super) fn resolve(context: &Context<'_>, value: &Value) -> Reading<String> {
    const FORMS: &str = "a secret is written as \"env:NAME\" or \"file:PATH\", never itself";
    let ValueKind::String(written) = &value.kind else {
        return Err(FORMS.to_owned());
    };
    if let Some(name) = written.strip_prefix("env:") {
        let text = context.environment.text(name);
        return match text {
            Ok("") => Err(format!("environment variable {name} is empty")),
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(format!("environment variable {name} {error}")),
        };
    }
    if let Some(path) = written.strip_prefix("file:") {
        return secret_file(context, path);
    }
    if context.built_in {
        return Ok(written.clone());
    }
    Err(FORMS.to_owned())
}

fn secret_file(context: &Context<'_>, path: &str) -> Reading<String> {
    let bytes = read_file(context, path)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("file {path} is not valid UTF-8"))?;
    let text = text
        .strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'))
        .unwrap_or(&text);
    if text.is_empty() {
        return Err(format!("file {path} is empty"));
    }
    Ok(text.to_owned())
}

/// The bytes of a file that the configuration names, relative to the directory of the configuration.
pub(super) fn read_file(context: &Context<'_>, path: &str) -> Reading<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(context.directory.join(path))
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read file {path}: {error}"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("file {path} is larger than {MAX_FILE} bytes"));
    }
    Ok(bytes)
}

/// `whsec_` and the base64 of 24–64 bytes (contract 2); gives the bytes.
pub(super) fn signing(context: &Context<'_>) -> impl Fn(&Value) -> Reading<Secret> {
    |value| {
        let text = resolve(context, value)?;
        let bytes = text
            .strip_prefix("whsec_")
            .and_then(|text| BASE64.decode(text).ok())
            .filter(|bytes| (24..=64).contains(&bytes.len()));
        match bytes {
            Some(bytes) => Ok(Secret::new(bytes)),
            None => Err(
                "the secret must be `whsec_` and the base64 of 24 to 64 bytes; `sockgate keys` makes one"
                    .to_owned(),
            ),
        }
    }
}

/// `sgk_` and at least 32 random bytes as text (contract 9); gives the hash.
pub(super) fn api_key(context: &Context<'_>) -> impl Fn(&Value) -> Reading<[u8; 32]> {
    |value| {
        let text = resolve(context, value)?;
        let key = text.strip_prefix("sgk_").filter(|random| {
            (API_KEY_TEXT..=200).contains(&random.len())
                && random
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        });
        match key {
            Some(_) => Ok(Sha256::digest(&text).into()),
            None => Err(format!(
                "the key must be `sgk_` and at least {API_KEY_TEXT} letters, digits, `-` or `_`; `sockgate keys` makes one"
            )),
        }
    }
}

/// The SHA-256 of an API key, as 64 hexadecimal digits.
pub(super) fn hash(value: &Value) -> Reading<[u8; 32]> {
    let digits = match &value.kind {
        ValueKind::String(text) if text.len() == 64 && text.is_ascii() => text.as_str(),
        _ => "",
    };
    let mut hash = [0; 32];
    let complete = digits.len() == 64
        && hash.iter_mut().enumerate().all(|(at, byte)| {
            let pair = &digits[2 * at..2 * at + 2];
            let hexadecimal = pair.bytes().all(|b| b.is_ascii_hexdigit());
            hexadecimal && u8::from_str_radix(pair, 16).map(|b| *byte = b).is_ok()
        });
    if complete {
        Ok(hash)
    } else {
        Err("expected 64 hexadecimal digits; `sockgate keys` prints them".to_owned())
    }
}
