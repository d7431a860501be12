//! Compression of polling responses (protocol 1.13).

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use hyper::HeaderMap;
use hyper::header::ACCEPT_ENCODING;

/// A coding that we offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`.
    Gzip,
    /// `deflate` (the zlib format, as HTTP means it).
    Deflate,
}

impl Coding {
    /// The word in headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// The client's choice: the highest weight, on equal weight the first named.
    pub fn choose(headers: &HeaderMap) -> Option<Self> {
        let values = headers
            .get_all(ACCEPT_ENCODING)
            .iter()
            .filter_map(|v| v.to_str().ok());
        let mut best: Option<(Self, u16)> = None;
        for part in values.flat_map(|v| v.split(',')) {
            let mut fields = part.split(';').map(str::trim);
            let coding = match fields.next() {
                Some(name) if name.eq_ignore_ascii_case("gzip") || name == "*" => Self::Gzip,
                Some(name) if name.eq_ignore_ascii_case("deflate") => Self::Deflate,
                _ => continue,
            };
            let weight = fields
                .find_map(|f| f.strip_prefix("q="))
                .map_or(1000, thousandths);
            if weight > 0 && best.is_none_or(|(_, known)| weight > known) {
                best = Some((coding, weight));
            }
        }
        best.map(|(coding, _)| coding)
    }

    /// The body compressed quickly: it is sent once.
    pub fn encode(self, body: &[u8]) -> Vec<u8> {
        self.encode_with(body, Compression::fast())
    }

    /// The compressed body.
    pub fn encode_with(self, body: &[u8], level: Compression) -> Vec<u8> {
        let out = Vec::with_capacity(body.len() / 3);
        let encoded = match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, level);
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, level);
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
        };
        encoded.expect("writing to memory cannot fail")
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=1000 just before"
)]
fn thousandths(weight: &str) -> u16 {
    let weight: f32 = weight.trim().parse().unwrap_or(0.0);
    (weight.clamp(0.0, 1.0) * 1000.0) as u16
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn choose(value: &str) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, value.parse().unwrap());
        Coding::choose(&headers)
    }

    #[test]
    fn the_clients_order_decides_on_equal_weight() {
        assert_eq!(choose("deflate, gzip"), Some(Coding::Deflate));
        assert_eq!(choose("gzip, deflate, br"), Some(Coding::Gzip));
        assert_eq!(choose("gzip;q=0.5, deflate;q=0.8"), Some(Coding::Deflate));
        assert_eq!(choose("gzip;q=0, br"), None);
        assert_eq!(choose("identity"), None);
        assert_eq!(choose("gzip;q=nonsense"), None);
    }

    #[test]
    fn what_is_encoded_can_be_decoded() {
        let body = b"4hello".repeat(500);
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(&*Coding::Gzip.encode(&body))
            .read_to_end(&mut out)
            .unwrap();
        assert_eq!(out, body);
        out.clear();
        flate2::read::ZlibDecoder::new(&*Coding::Deflate.encode(&body))
            .read_to_end(&mut out)
            .unwrap();
        assert_eq!(out, body);
    }
}
