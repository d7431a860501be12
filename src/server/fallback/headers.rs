//! Headers on their way: what concerns one connection stays there, and what is said about the client is true.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, COOKIE, EXPECT, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::transport::address;
use crate::transport::settings::Settings;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What a connection's two ends tell each other (RFC 9110 7.6.1).
const HOPS: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Makes a client's headers those of the request that is passed on.
pub(super) fn onward(headers: &mut HeaderMap, settings: &Settings, peer: IpAddr) {
    without_hops(headers);
    // The gateway has answered it by reading the body.
    headers.remove(EXPECT);
    describe(headers, settings, peer);
    if let Some(cookie) = &settings.cookie {
        cut_cookie(headers, cookie.name.as_bytes());
    }
}

/// Removes what concerns one connection only, and what `Connection` names.
pub(super) fn without_hops(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in named.iter().chain(&HOPS) {
        headers.remove(name);
    }
}

/// `X-Forwarded-*`: what a trusted proxy said is kept, what anybody else said is replaced.
fn describe(headers: &mut HeaderMap, settings: &Settings, peer: IpAddr) {
    let trusted = &settings.trusted_proxies;
    let host = address::host(headers, peer, trusted).and_then(|host| host.parse().ok());
    let peer = peer.to_canonical();
    let is_believed = address::is_trusted(peer, trusted);
    remove_claims(headers, is_believed);
    let said = headers.get_all(X_FORWARDED_FOR).iter();
    let peer = peer.to_string();
    let hops: Vec<&[u8]> = said
        .map(HeaderValue::as_bytes)
        .chain([peer.as_bytes()])
        .collect();
    if let Ok(hops) = HeaderValue::from_bytes(&hops.join(&b", "[..])) {
        headers.insert(X_FORWARDED_FOR, hops);
    }
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// Removes what is said about the client, except by a proxy that is believed.
///
/// Servers that make variables of headers (CGI, WSGI, PHP) take `_` and `-` for the same; no proxy writes such names, so with `_`
/// they are nobody's but the client's.
fn remove_claims(headers: &mut HeaderMap, is_believed: bool) {
    let is_claim = |name: &HeaderName| {
        let plain = name.as_str().replace('_', "-");
        let is_about_client = plain.starts_with("x-forwarded-")
            || matches!(&*plain, "x-real-ip" | "forwarded" | "x-forwarded");
        is_about_client && !(is_believed && plain == name.as_str())
    };
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_claim(name))
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Cuts the cookie that holds the Engine.IO session, a bearer secret, from what the client sent.
fn cut_cookie(headers: &mut HeaderMap, own: &[u8]) {
    let values = headers.get_all(COOKIE).iter();
    let pairs = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let is_own =
        |pair: &[u8]| pair.split(|b| *b == b'=').next().map(<[u8]>::trim_ascii) == Some(own);
    let (mine, foreign): (Vec<&[u8]>, Vec<&[u8]>) = pairs
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .partition(|pair| is_own(pair));
    if mine.is_empty() {
        return;
    }
    match HeaderValue::from_bytes(&foreign.join(&b"; "[..])) {
        Ok(value) if !foreign.is_empty() => {
            headers.insert(COOKIE, value);
        }
        _ => {
            headers.remove(COOKIE);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn settings() -> Settings {
        Settings {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..Settings::default()
        }
    }

    fn described(pairs: &[(&str, &str)], peer: &str) -> HeaderMap {
        let mut headers = headers(pairs);
        describe(&mut headers, &settings(), peer.parse().unwrap());
        headers
    }

    const CLAIMS: [(&str, &str); 6] = [
        ("host", "gateway:3000"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "chat.example"),
        ("x-real-ip", "203.0.113.7"),
        ("x-forwarded-port", "443"),
    ];

    #[test]
    fn hops_and_what_connection_names_are_removed() {
        let mut headers = headers(&[
            ("connection", "close, X-Hop"),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("keep-alive", "timeout=5"),
            ("accept", "*/*"),
        ]);
        without_hops(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["accept"]);
    }

    #[test]
    fn nobody_is_believed_about_proxies() {
        let headers = described(&CLAIMS, "192.0.2.1");
        assert_eq!(headers["x-forwarded-for"], "192.0.2.1");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "gateway:3000");
        assert!(!headers.contains_key("x-real-ip"));
        assert!(!headers.contains_key("x-forwarded-port"));
        assert_eq!(headers["host"], "gateway:3000");
    }

    #[test]
    fn no_spelling_of_a_claim_gets_through() {
        let claims = [
            ("X_Forwarded_For", "6.6.6.6"),
            ("x-forwarded_for", "6.6.6.6"),
            ("X_Forwarded_Proto", "https"),
            ("X_Real_IP", "6.6.6.6"),
        ];
        for peer in ["192.0.2.1", "10.1.2.3"] {
            let all = [&CLAIMS[..], &claims, &[("forwarded", "for=6.6.6.6")]].concat();
            let headers = described(&all, peer);
            let with_underscore = headers.keys().find(|name| name.as_str().contains('_'));
            assert_eq!(with_underscore, None);
            assert_eq!(headers.contains_key("forwarded"), peer == "10.1.2.3");
        }
        let other = described(&[("x_tenant", "7")], "192.0.2.1");
        assert_eq!(other["x_tenant"], "7");
    }

    #[test]
    fn what_a_proxy_appends_to_nonsense_is_passed_on() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(b"\xff, 203.0.113.7").unwrap();
        headers.insert(X_FORWARDED_FOR, value);
        describe(&mut headers, &settings(), "10.1.2.3".parse().unwrap());
        let passed = headers[X_FORWARDED_FOR].as_bytes();
        assert_eq!(passed, b"\xff, 203.0.113.7, 10.1.2.3");
    }

    #[test]
    fn a_trusted_proxy_is_believed() {
        let headers = described(&CLAIMS, "10.1.2.3");
        assert_eq!(headers["x-forwarded-for"], "203.0.113.7, 10.1.2.3");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "chat.example");
        assert_eq!(headers["x-real-ip"], "203.0.113.7");
        assert_eq!(headers["host"], "gateway:3000");
    }

    #[test]
    fn the_session_is_cut_from_cookies() {
        let mut some = headers(&[("cookie", "a=1; io=SECRET; b=2"), ("cookie", "io=OTHER")]);
        cut_cookie(&mut some, b"io");
        assert_eq!(some[COOKIE], "a=1; b=2");
        let mut only = headers(&[("cookie", "io=SECRET")]);
        cut_cookie(&mut only, b"io");
        assert!(!only.contains_key(COOKIE));
        let mut none = headers(&[("cookie", "a=1;b=2 ; iot=3")]);
        cut_cookie(&mut none, b"io");
        assert_eq!(none[COOKIE], "a=1;b=2 ; iot=3");
    }
}
