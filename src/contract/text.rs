//! Writing JSON where what clients sent must pass verbatim, so that no serialiser can do the whole.

use std::fmt::Write as _;

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

/// Writes a string with its quotes.
pub(super) fn string(out: &mut String, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Writes a list of strings.
pub(super) fn list<'a>(out: &mut String, texts: impl Iterator<Item = &'a str>) {
    out.push('[');
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(out, text);
    }
    out.push(']');
}

/// Writes the member `attachments` in base64, with the comma before it, if there are any.
pub(super) fn attachments<'a>(out: &mut String, list: impl Iterator<Item = &'a Bytes>) {
    let mut open = ",\"attachments\":[";
    for bytes in list {
        let base64 = Base64Display::new(bytes, &BASE64_STANDARD);
        write!(out, "{open}\"{base64}\"").expect("a String takes everything");
        open = ",";
    }
    if open == "," {
        out.push(']');
    }
}
