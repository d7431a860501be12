//! Headers on their way: what concerns one connection stays there, and what is said about the client is true.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, COOKIE, EXPECT, FORWARDED, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::transport::address;
use crate::transport::settings::Settings;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

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
    let (mut hops, mut scheme) = (Vec::new(), None);
    if address::is_trusted(peer, trusted) {
        let values = headers.get_all(X_FORWARDED_FOR).iter();
        hops.extend(values.filter_map(|value| value.to_str().ok().map(str::to_owned)));
        scheme = headers.get(X_FORWARDED_PROTO).cloned();
    } else {
        let claimed: Vec<HeaderName> = headers
            .keys()
            .filter(|name| name.as_str().starts_with("x-forwarded-"))
            .cloned()
            .collect();
        for name in claimed.iter().chain(&[FORWARDED, X_REAL_IP]) {
            headers.remove(name);
        }
    }
    hops.push(peer.to_string());
    if let Ok(hops) = HeaderValue::try_from(hops.join(", ")) {
        headers.insert(X_FORWARDED_FOR, hops);
    }
    let scheme = scheme.unwrap_or(HeaderValue::from_static("http"));
    headers.insert(X_FORWARDED_PROTO, scheme);
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host);
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
