//! The query of an Engine.IO request (protocol 1.1), and what of a request is kept for backends.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderName};

use crate::session::backend::ConnectInfo;
use crate::transport::Context;

/// What Engine.IO reads of the query. Repeated keys: the last one wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// `EIO`.
    pub revision: Option<String>,
    /// `transport`.
    pub transport: Option<String>,
    /// `sid`; an empty one counts as absent.
    pub sid: Option<String>,
    /// Everything else, in order of first appearance; `t`, `j` and `b64` are left out.
    pub others: Vec<(String, String)>,
}

impl Query {
    /// Reads a query string. Malformed escapes are taken as they are, as browsers do.
    pub fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match &*key {
                "EIO" => parsed.revision = Some(value),
                "transport" => parsed.transport = Some(value),
                "sid" => parsed.sid = (!value.is_empty()).then_some(value),
                "t" | "j" | "b64" => {}
                _ => match parsed.others.iter_mut().find(|(k, _)| *k == *key) {
                    Some((_, known)) => *known = value,
                    None => parsed.others.push((key.into_owned(), value)),
                },
            }
        }
        parsed
    }
}

/// More headers are forwarded or passed than a connection may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyHeaders;

/// Copies what some namespace forwards or passes to its backend; nothing of the request itself is kept.
pub fn connect_info(
    context: &Context,
    headers: &HeaderMap,
    query: Query,
    ip: IpAddr,
) -> Result<ConnectInfo, TooManyHeaders> {
    let mut kept: Vec<(Box<str>, Box<str>)> = Vec::new();
    let mut bytes = 0;
    for name in headers
        .keys()
        .filter(|name| context.wanted_headers.contains(name.as_str()))
    {
        let own_cookie = context.settings.cookie.as_ref().map(|c| &*c.name);
        let Some(value) = joined(headers, name, own_cookie) else {
            continue;
        };
        bytes += name.as_str().len() + value.len();
        kept.push((name.as_str().into(), value.into()));
    }
    if bytes > context.settings.forwarded_headers {
        return Err(TooManyHeaders);
    }
    let wanted = &context.wanted_query;
    let own = [("EIO", query.revision), ("transport", query.transport)];
    let own = own
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let query = own
        .chain(query.others)
        .filter(|(key, _)| wanted.contains(key));
    let query = query
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    Ok(ConnectInfo {
        ip: Some(ip),
        headers: kept,
        query,
        protocol: 4,
        tls: false,
    })
}

/// All values of a header, joined; `None` where one of them is not UTF-8, or nothing is left.
fn joined(headers: &HeaderMap, name: &HeaderName, own_cookie: Option<&str>) -> Option<String> {
    let values = headers
        .get_all(name)
        .iter()
        .map(|v| std::str::from_utf8(v.as_bytes()));
    let values: Vec<&str> = values.collect::<Result<_, _>>().ok()?;
    if name != COOKIE {
        return Some(values.join(", "));
    }
    // The session id is a bearer secret and never leaves the gateway, not even inside a cookie.
    let pairs = values
        .iter()
        .flat_map(|v| v.split(';'))
        .map(str::trim)
        .filter(|p| !p.is_empty());
    let foreign = pairs.filter(|pair| pair.split('=').next().map(str::trim) != own_cookie);
    let foreign: Vec<&str> = foreign.collect();
    (!foreign.is_empty()).then(|| foreign.join("; "))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_repeated_keys_wins() {
        let query = Query::parse("EIO=3&transport=polling&EIO=4&a=1&b=x%20y&a=2");
        assert_eq!(query.revision.as_deref(), Some("4"));
        assert_eq!(
            query.others,
            [("a".into(), "2".into()), ("b".into(), "x y".into())]
        );
    }

    #[test]
    fn an_empty_sid_is_a_new_session() {
        assert_eq!(Query::parse("sid=").sid, None);
        assert_eq!(Query::parse("sid=x").sid.as_deref(), Some("x"));
    }

    #[test]
    fn secrets_and_cache_busters_are_not_kept() {
        assert!(Query::parse("sid=x&t=abc&j=0&b64=1").others.is_empty());
    }

    #[test]
    fn the_own_cookie_is_cut() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "a=1; io=SECRET".parse().unwrap());
        headers.append(COOKIE, "b=2".parse().unwrap());
        assert_eq!(
            joined(&headers, &COOKIE, Some("io")).as_deref(),
            Some("a=1; b=2")
        );
        let mut only = HeaderMap::new();
        only.append(COOKIE, "io=SECRET".parse().unwrap());
        assert_eq!(joined(&only, &COOKIE, Some("io")), None);
    }

    #[test]
    fn a_header_that_is_not_utf8_is_dropped() {
        let mut headers = HeaderMap::new();
        headers.append(
            "x-a",
            hyper::header::HeaderValue::from_bytes(b"\xff").unwrap(),
        );
        assert_eq!(
            joined(&headers, &HeaderName::from_static("x-a"), None),
            None
        );
    }
}
