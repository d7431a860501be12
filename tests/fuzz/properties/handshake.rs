//! What must hold for the head of a request, whatever a client or a proxy before it writes there (protocol 1.1, contract 3 and 10).
//!
//! An input is a query, and behind a line end each a header as `name: value`.

use std::net::IpAddr;

use hyper::header::{ACCEPT_ENCODING, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Uri};
use sockgate::session::settings::Allow;
use sockgate::transport::compress::Coding;
use sockgate::transport::origin::{self, Verdict};
use sockgate::transport::request::{Query, joined, parameters};
use sockgate::transport::{address, settings::Cors};

use super::allocation::bounded;

/// Takes the input apart, and checks each part.
pub fn head(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let query = lines.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    if let Ok(query) = std::str::from_utf8(query) {
        parameters_are_those_of_a_form(query);
    }
    let size = input.len();
    cookies_lose_ours_alone(&headers, size);
    addresses_cannot_be_forged(&headers, size);
    origins_are_what_browsers_mean(&headers, size);
    codings_are_wanted(&headers, size);
}

/// The last of repeated parameters counts; ours are never told to a backend.
fn parameters_are_those_of_a_form(text: &str) {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let pairs: Vec<(String, String)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let last = |name: &str| {
        let mut pairs = pairs.iter().rev();
        pairs.find(|(n, _)| n == name).map(|(_, v)| v.clone())
    };
    let query = bounded(text.len(), || Query::parse(text));
    assert_eq!(query.revision, last("EIO"));
    assert_eq!(query.transport, last("transport"));
    assert_eq!(query.sid, last("sid").filter(|sid| !sid.is_empty()));

    let wanted = Allow::Only(["v", "EIO", "sid", "t"].map(Box::from).to_vec());
    let told = bounded(text.len(), || parameters(text, &wanted));
    let expected = ["EIO", "v"].into_iter();
    let expected: Vec<(Box<str>, Box<str>)> = expected
        .filter_map(|name| Some((name.into(), last(name)?.into())))
        .collect();
    assert_eq!(told, expected);

    let mut names: Vec<_> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    names.retain(|name| !["sid", "t", "j", "b64"].contains(name));
    names.sort_unstable();
    names.dedup();
    let all = parameters(text, &Allow::All);
    assert!(all.iter().map(|(name, _)| &**name).eq(names));
    assert!(
        all.iter()
            .all(|(name, value)| last(name).as_deref() == Some(value))
    );
}

/// How forms are written: `+` is a space, a malformed escape stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        let digit = |index: usize| char::from(*behind.get(index)?).to_digit(16);
        let escaped = || u8::try_from(digit(0)? * 16 + digit(1)?).ok();
        bytes.push(match first {
            b'+' => b' ',
            b'%' => escaped().map_or(b'%', |byte| {
                rest = &behind[2..];
                byte
            }),
            other => *other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Our own cookie is cut wherever it stands, and the others stay as they are, in order.
fn cookies_lose_ours_alone(headers: &HeaderMap, size: usize) {
    let told = bounded(size, || joined(headers, &COOKIE, Some("io")));
    let values: Option<Vec<_>> = headers
        .get_all(COOKIE)
        .iter()
        .map(|value| std::str::from_utf8(value.as_bytes()).ok())
        .collect();
    let Some(values) = values else {
        return assert_eq!(told, None);
    };
    let cookies = values.join(";");
    let cookies = cookies.split(';').map(str::trim);
    let is_ours = |cookie: &str| {
        cookie == "io" || {
            let name = cookie.split('=').next();
            name.is_some_and(|name| name.trim_end() == "io")
        }
    };
    let foreign: Vec<_> = cookies
        .filter(|cookie| !cookie.is_empty() && !is_ours(cookie))
        .collect();
    let expected = (!foreign.is_empty()).then(|| foreign.join("; "));
    assert_eq!(told, expected);

    let name = HeaderName::from_static("x-a");
    let told = bounded(size, || joined(headers, &name, None));
    let values: Result<Vec<_>, _> = headers
        .get_all(&name)
        .iter()
        .map(|value| std::str::from_utf8(value.as_bytes()))
        .collect();
    assert_eq!(told, values.ok().map(|values| values.join(", ")));
}

/// Only a trusted peer is believed, and what a client writes into the header before its proxy adds to it changes nothing.
fn addresses_cannot_be_forged(headers: &HeaderMap, size: usize) {
    let trusted = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().expect("a network"));
    let stranger: IpAddr = [203, 0, 113, 7].into();
    let proxy: IpAddr = [10, 1, 2, 3].into();
    let client = |headers: &HeaderMap, peer| {
        bounded(size + 64, || {
            address::client_address(headers, peer, &trusted)
        })
    };
    assert_eq!(client(headers, stranger), stranger);
    let told = client(headers, proxy);

    // The proxy appends whom it has seen.
    let mut appended = headers.clone();
    appended.append("x-forwarded-for", HeaderValue::from_static("198.51.100.9"));
    let seen: IpAddr = [198, 51, 100, 9].into();
    assert_eq!(client(&appended, proxy), seen);
    if !address::is_trusted(told, &trusted) {
        let mut forged = HeaderMap::new();
        forged.append("x-forwarded-for", HeaderValue::from_static("192.0.2.66, x"));
        for value in headers.get_all("x-forwarded-for") {
            forged.append("x-forwarded-for", value.clone());
        }
        assert_eq!(client(&forged, proxy), told);
    }
}

/// A page is let in only if its origin, as a browser understands it, is the host's or a listed one's.
fn origins_are_what_browsers_mean(headers: &HeaderMap, size: usize) {
    let cors = Cors {
        origins: ["https://app.example", "https://*.example.com:8443", "null"]
            .map(Box::from)
            .to_vec(),
        ..Cors::default()
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let verdict = bounded(size, || origin::check(headers, host, &cors));
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(written) = origins.next() else {
        return assert_eq!(verdict, Verdict::Absent);
    };
    let is_text = written.to_str().is_ok() && origins.next().is_none();
    assert_eq!(verdict == Verdict::Malformed, !is_text);
    let written = written.to_str().unwrap_or_default();
    match verdict {
        Verdict::Listed(_) if matches!(written, "null" | "https://app.example") => {}
        Verdict::Listed(_) => {
            let uri: Uri = written.parse().expect("a listed origin is one");
            let host = uri.host().expect("it has a host");
            assert_eq!(uri.scheme_str(), Some("https"));
            assert_eq!(uri.port_u16(), Some(8443));
            assert!(host.ends_with(".example.com") && host != ".example.com");
        }
        Verdict::SameHost => {
            let (scheme, authority) = written.split_once("://").expect("it has a scheme");
            let port = match scheme {
                "http" | "ws" => ":80",
                "https" | "wss" => ":443",
                other => panic!("{other} has no host"),
            };
            let whole = |authority: &str| authority.trim_end_matches(port).to_ascii_lowercase();
            assert_eq!(whole(authority), whole(host.unwrap_or_default()));
        }
        Verdict::Refused => {
            assert!(!matches!(written, "null" | "https://app.example"));
            let same = host.map(|host| format!("https://{host}"));
            assert_ne!(same.as_deref(), Some(written));
        }
        Verdict::Absent | Verdict::Malformed => {}
    }
}

/// A body is only compressed in a way that the client has named.
fn codings_are_wanted(headers: &HeaderMap, size: usize) {
    let Some(coding) = bounded(size, || Coding::choose(headers)) else {
        return;
    };
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let mut offered = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let is_it = |offer: &[u8]| {
        let offer = String::from_utf8_lossy(offer).to_ascii_lowercase();
        let name = offer
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        name == coding.as_str() || (name == "*" && coding == Coding::Gzip)
    };
    assert!(offered.any(is_it));
}
