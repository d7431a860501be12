//! The query of an Engine.IO request (protocol 1.1), and what of a request is kept for backends.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderName, HeaderValue};

use crate::session::backend::ConnectInfo;
use crate::session::settings::Allow;
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
}

impl Query {
    /// Reads a query string. Malformed escapes are taken as they are, as browsers do.
    pub fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "EIO" => parsed.revision = Some(value.into_owned()),
                "transport" => parsed.transport = Some(value.into_owned()),
                "sid" => parsed.sid = (!value.is_empty()).then(|| value.into_owned()),
                _ => {}
            }
        }
        parsed
    }
}

/// The parameters of a query that are told to backends, by name; the last of repeated ones. `sid`, `t`, `j` and `b64` are never
/// told. What is not wanted takes no memory.
pub fn parameters(query: &str, wanted: &Allow) -> Vec<(Box<str>, Box<str>)> {
    let mut parameters: BTreeMap<Box<str>, Box<str>> = BTreeMap::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let is_ours = matches!(&*key, "sid" | "t" | "j" | "b64");
        if !is_ours && wanted.contains(&key) {
            parameters.insert(key.into(), value.into());
        }
    }
    parameters.into_iter().collect()
}

/// More is forwarded or passed than a connection may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

/// Copies what some namespace forwards or passes to its backend; nothing of the request itself is kept.
pub fn connect_info(
    context: &Context,
    headers: &HeaderMap,
    query: &str,
    ip: IpAddr,
) -> Result<ConnectInfo, TooMuch> {
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
    let query = parameters(query, &context.wanted_query);
    let told = query.iter().map(|(name, value)| name.len() + value.len());
    bytes += told.sum::<usize>();
    if bytes > context.settings.forwarded {
        return Err(TooMuch);
    }
    Ok(ConnectInfo {
        ip: Some(ip),
        headers: kept,
        query,
        protocol: 4,
        tls: false,
    })
}

/// All values of a header, joined; `None` where one of them is not UTF-8, or no cookie is left without our own.
pub fn joined(headers: &HeaderMap, name: &HeaderName, own_cookie: Option<&str>) -> Option<String> {
    let values = || headers.get_all(name).iter();
    let separators = 2 * values().count();
    let bytes = values().map(HeaderValue::len).sum::<usize>() + separators;
    if name != COOKIE {
        let mut all = String::with_capacity(bytes);
        for (index, value) in values().enumerate() {
            if index > 0 {
                all.push_str(", ");
            }
            all.push_str(std::str::from_utf8(value.as_bytes()).ok()?);
        }
        return Some(all);
    }
    // A pair has two bytes at least, with its `;`, and gets another one with its space.
    let mut all = String::with_capacity(bytes + bytes / 2);
    for value in values() {
        let pairs = std::str::from_utf8(value.as_bytes()).ok()?.split(';');
        for pair in pairs.map(str::trim).filter(|pair| !pair.is_empty()) {
            // The session id is a bearer secret and never leaves the gateway, not even inside a cookie.
            if pair.split('=').next().map(str::trim) == own_cookie {
                continue;
            }
            if !all.is_empty() {
                all.push_str("; ");
            }
            all.push_str(pair);
        }
    }
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_repeated_keys_wins() {
        let query = Query::parse("EIO=3&transport=polling&EIO=4&a=1&b=x%20y&a=2");
        assert_eq!(query.revision.as_deref(), Some("4"));
        let only = Allow::Only(vec!["a".into(), "b".into()]);
        assert_eq!(
            parameters("EIO=4&a=1&b=x%20y&c=3&a=2", &only),
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
        assert!(parameters("sid=x&t=abc&j=0&b64=1", &Allow::All).is_empty());
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
