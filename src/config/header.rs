//! Names of HTTP headers that the configuration lists, and which of them belong to the gateway alone.

use ::config::Value;
use hyper::header::{HeaderName, HeaderValue};

use super::value::{Reading, quote, text};

/// Headers about one connection (RFC 9110, 7.6.1, and those that older proxies know).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers whose values are secrets whatever they hold.
const SECRET: [&str; 2] = ["authorization", "cookie"];

/// A header's name in lower case.
pub(super) fn name(value: &Value) -> Reading<Box<str>> {
    parse(text(value)?)
}

fn parse(written: &str) -> Reading<Box<str>> {
    // The grammar lets a star in, but nobody sends one: what was meant is a pattern.
    HeaderName::try_from(written)
        .ok()
        .filter(|name| !name.as_str().contains('*'))
        .map(|name| name.as_str().into())
        .ok_or_else(|| format!("{} is no name of a header", quote(written)))
}

/// A header that a webhook request may carry besides the gateway's own (contract 2).
pub(super) fn sendable(written: &str) -> Reading<Box<str>> {
    let name = parse(written)?;
    let of_gateway = ["content-", "webhook-", "sockgate-"]
        .iter()
        .any(|prefix| name.starts_with(prefix));
    if of_gateway || HOP_BY_HOP.contains(&&*name) || matches!(&*name, "host" | "traceparent") {
        return Err(format!(
            "`{name}` cannot be sent: host, hop-by-hop headers, content-*, webhook-*, sockgate-* and traceparent belong to the gateway"
        ));
    }
    if *name == *"accept-encoding" {
        return Err("`accept-encoding` cannot be sent: replies are read as they are".to_owned());
    }
    Ok(name)
}

/// Whether the value of this header must be a secret.
pub(super) fn is_secret(name: &str) -> bool {
    SECRET.contains(&name)
}

/// Checks the value of a header; the message does not hold it.
pub(super) fn check_value(value: &str) -> Reading<()> {
    HeaderValue::try_from(value)
        .map(drop)
        .map_err(|_| "holds a character that a header cannot carry".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_own_headers_cannot_be_sent() {
        assert_eq!(sendable("X-Tenant").as_deref(), Ok("x-tenant"));
        assert_eq!(sendable("Cookie").as_deref(), Ok("cookie"));
        assert_eq!(sendable("authorization").as_deref(), Ok("authorization"));
        for wrong in [
            "Host",
            "connection",
            "TE",
            "Content-Length",
            "content-x",
            "webhook-id",
            "Sockgate-Type",
            "traceparent",
            "Accept-Encoding",
            "a b",
            "",
            "*",
        ] {
            assert!(sendable(wrong).is_err(), "{wrong}");
        }
        assert!(check_value("a\r\nb: c").is_err());
    }
}
