//! Which pages may connect (contract 10, *Origins*), and the CORS headers that browsers want (protocol 1.11).
//!
//! # Why
//! Stricter than Node on purpose: a WebSocket is not subject to CORS, so a server that only sends headers lets every page on the
//! web use its visitors' cookies. Here a request *with* an `Origin` is let in only if it is listed or comes from the same host.

use hashbrown::HashSet;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    HeaderValue, ORIGIN, VARY,
};
use hyper::{HeaderMap, Response, StatusCode};
use parking_lot::Mutex;

use bytes::Bytes;
use http_body_util::Full;

use crate::transport::settings::Cors;

/// Refused origins that are logged; clients choose them, so there must be an end.
const LOGGED: usize = 100;

/// What is decided about the origin of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No `Origin`: a native client, or a page's own same-origin GET.
    Absent,
    /// The same host: allowed, and browsers need no headers.
    SameHost,
    /// Listed: allowed, with headers.
    Listed(HeaderValue),
    /// Not allowed.
    Refused,
    /// Holds control characters or several values.
    Malformed,
}

/// Decides about the origin of a request.
pub fn check(headers: &HeaderMap, host: Option<&str>, cors: &Cors) -> Verdict {
    let mut values = headers.get_all(ORIGIN).iter();
    let Some(value) = values.next() else {
        return Verdict::Absent;
    };
    let (Ok(origin), None) = (value.to_str(), values.next()) else {
        return Verdict::Malformed;
    };
    if cors.any_origin || cors.origins.iter().any(|allowed| matches(allowed, origin)) {
        return Verdict::Listed(value.clone());
    }
    let authority = origin
        .split_once("://")
        .map(|(scheme, authority)| (default_port(scheme), authority));
    match (authority, host) {
        (Some((port, authority)), Some(host)) if same_authority(authority, host, port) => {
            Verdict::SameHost
        }
        _ => Verdict::Refused,
    }
}

/// `https://*.example.com` allows every subdomain, with the same scheme and port.
fn matches(allowed: &str, origin: &str) -> bool {
    let Some((scheme, rest)) = allowed.split_once("://*.") else {
        return allowed == origin;
    };
    let Some(authority) = origin
        .strip_prefix(scheme)
        .and_then(|o| o.strip_prefix("://"))
    else {
        return false;
    };
    let Some(subdomain) = authority
        .strip_suffix(rest)
        .and_then(|s| s.strip_suffix('.'))
    else {
        return false;
    };
    !subdomain.is_empty()
        && subdomain
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

fn default_port(scheme: &str) -> &'static str {
    match scheme {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => "",
    }
}

/// Host and port are compared; a port that is the scheme's own may be left out on either side.
fn same_authority(origin: &str, host: &str, port: &str) -> bool {
    let bare = |authority: &str| {
        authority
            .strip_suffix(port)
            .unwrap_or(authority)
            .to_ascii_lowercase()
    };
    !port.is_empty() && bare(origin) == bare(host)
}

/// Adds the headers that let a listed page read the answer.
pub fn decorate<B>(response: &mut Response<B>, verdict: &Verdict, cors: &Cors) {
    if let Verdict::Listed(origin) = verdict {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if cors.credentials {
            headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
    }
}

/// The answer to a preflight of an allowed origin.
pub fn preflight(requested: &HeaderMap, cors: &Cors) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    insert(
        headers,
        ACCESS_CONTROL_ALLOW_METHODS,
        &cors.methods.join(","),
    );
    if cors.headers.is_empty() {
        if let Some(asked) = requested.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        headers.append(
            VARY,
            HeaderValue::from_static("Access-Control-Request-Headers"),
        );
    } else {
        insert(
            headers,
            ACCESS_CONTROL_ALLOW_HEADERS,
            &cors.headers.join(","),
        );
    }
    insert(
        headers,
        ACCESS_CONTROL_MAX_AGE,
        &cors.max_age.as_secs().to_string(),
    );
    headers.insert(hyper::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

fn insert(headers: &mut HeaderMap, name: hyper::header::HeaderName, value: &str) {
    // Configured words; what is no header value was refused with the configuration.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Origins that were refused: the first time of each is logged, with the line that would let it in.
#[derive(Debug, Default)]
pub struct Refused(Mutex<HashSet<Box<str>>>);

impl Refused {
    /// Logs an origin that is refused for the first time.
    pub fn note(&self, headers: &HeaderMap) {
        let Some(origin) = headers.get(ORIGIN).and_then(|v| v.to_str().ok()) else {
            return;
        };
        let first = {
            let mut known = self.0.lock();
            known.len() < LOGGED
                && origin.len() <= 256
                && !known.contains(origin)
                && known.insert(origin.into())
        };
        if first {
            let hint = format!("to allow it, add it to [cors] origins: origins = [{origin:?}]");
            tracing::warn!(origin, hint, "a page of a foreign origin was refused");
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn verdict(origin: &str, host: &str, origins: &[&str]) -> Verdict {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, origin.parse().unwrap());
        let cors = Cors {
            origins: origins.iter().map(|o| (*o).into()).collect(),
            ..Cors::default()
        };
        check(&headers, Some(host), &cors)
    }

    #[test]
    fn the_same_host_is_allowed_whatever_the_scheme() {
        assert_eq!(
            verdict("https://app.example", "app.example", &[]),
            Verdict::SameHost
        );
        assert_eq!(
            verdict("http://app.example:80", "app.example", &[]),
            Verdict::SameHost
        );
        assert_eq!(
            verdict("https://app.example", "APP.example:443", &[]),
            Verdict::SameHost
        );
        assert_eq!(
            verdict("https://app.example:8443", "app.example", &[]),
            Verdict::Refused
        );
        assert_eq!(
            verdict("http://localhost:3000", "localhost:3000", &[]),
            Verdict::SameHost
        );
    }

    #[test]
    fn tricks_with_names_are_refused() {
        let list = ["https://app.example", "https://*.example.com"];
        for origin in [
            "https://evil-app.example",
            "https://app.example.evil.com",
            "http://app.example",
            "https://app.example:444",
            "https://example.com",
            "https://evil.com/.example.com",
            "https://evilexample.com",
            "null",
        ] {
            assert_eq!(
                verdict(origin, "gateway", &list),
                Verdict::Refused,
                "{origin}"
            );
        }
        for origin in [
            "https://app.example",
            "https://a.example.com",
            "https://a.b.example.com",
        ] {
            assert!(
                matches!(verdict(origin, "gateway", &list), Verdict::Listed(_)),
                "{origin}"
            );
        }
        assert!(matches!(
            verdict("null", "gateway", &["null"]),
            Verdict::Listed(_)
        ));
        assert!(matches!(
            verdict("capacitor://localhost", "g", &["capacitor://localhost"]),
            Verdict::Listed(_)
        ));
    }

    #[test]
    fn two_origins_are_malformed() {
        let mut headers = HeaderMap::new();
        headers.append(ORIGIN, "https://a".parse().unwrap());
        headers.append(ORIGIN, "https://b".parse().unwrap());
        assert_eq!(
            check(&headers, Some("a"), &Cors::default()),
            Verdict::Malformed
        );
    }

    #[test]
    fn requests_without_origin_are_native_clients() {
        assert_eq!(
            check(&HeaderMap::new(), Some("a"), &Cors::default()),
            Verdict::Absent
        );
    }
}
