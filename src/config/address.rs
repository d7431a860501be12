//! Addresses: listeners, networks, URLs, origins.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ::config::Value;
use ipnet::IpNet;

use super::value::{Reading, expected, quote, text};
use crate::webhook::settings::{Url, is_forbidden};

/// Names under which clouds give out credentials.
const METADATA_NAMES: [&str; 3] = [
    "metadata",
    "metadata.google.internal",
    "instance-data.ec2.internal",
];

/// Bytes that the path of a unix socket may have.
const MAX_SOCKET_PATH: usize = 107;

/// Where to listen.
pub(super) fn listen(value: &Value) -> Reading<SocketAddr> {
    match text(value).map(str::parse) {
        Ok(Ok(address)) => Ok(address),
        _ => expected(
            "an IP address and a port, such as \"127.0.0.1:3000\" or \"[::]:3000\"",
            value,
        ),
    }
}

/// A network, or one address.
pub(super) fn network(value: &Value) -> Reading<IpNet> {
    let written = text(value).unwrap_or_default();
    match written
        .parse()
        .or_else(|_| written.parse::<IpAddr>().map(IpNet::from))
    {
        Ok(network) => Ok(network),
        Err(_) => expected("a network such as \"10.0.0.0/8\" or \"fd00::/8\"", value),
    }
}

/// Where a backend is.
#[derive(Debug)]
pub(super) struct Backend {
    /// Its address.
    pub(super) url: Url,
    /// Whether requests to it stay on this machine.
    pub(super) is_local: bool,
    /// Whether it is reached by TLS.
    pub(super) is_tls: bool,
}

/// An upstream's URL: `http://`, `https://` or `unix:/socket:/path`.
pub(super) fn backend(value: &Value) -> Reading<Backend> {
    let written = text(value)?;
    if let Some(rest) = written.strip_prefix("unix:") {
        return unix(rest);
    }
    let url = http(written)?;
    let host = host(&url);
    Ok(Backend {
        is_local: is_loopback(host),
        is_tls: url.scheme() == "https",
        url: Url::Http(url.as_str().into()),
    })
}

fn unix(rest: &str) -> Reading<Backend> {
    let (socket, path) = rest.split_once(':').unwrap_or((rest, "/"));
    if !socket.starts_with('/') || socket.len() > MAX_SOCKET_PATH {
        return Err(format!(
            "expected `unix:` and an absolute path of at most {MAX_SOCKET_PATH} bytes, such as \"unix:/run/app.sock:/sockgate\""
        ));
    }
    if !is_path(path) {
        return Err("what follows the socket must be a path such as \"/sockgate\"".to_owned());
    }
    Ok(Backend {
        url: Url::Unix {
            socket: Path::new(socket).into(),
            path: path.into(),
        },
        is_local: true,
        is_tls: false,
    })
}

/// Whether this is the path of a URL: begins with `/`, and has no query, fragment or space.
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'))
}

/// The server behind `fallback`, as `http://host:port`.
pub(super) fn fallback(value: &Value) -> Reading<Box<str>> {
    let url = http(text(value)?)?;
    if url.scheme() != "http" {
        return Err("must be an http:// address: it is spoken to in plain HTTP/1.1".to_owned());
    }
    if url.path() != "/" || url.query().is_some() {
        return Err("must be an address without a path, such as \"http://app:8080\"".to_owned());
    }
    let port = url.port_or_known_default().unwrap_or(80);
    Ok(format!("http://{}:{port}", url.host_str().unwrap_or_default()).into())
}

fn http(written: &str) -> Reading<reqwest::Url> {
    let url = reqwest::Url::parse(written)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or("expected a URL such as \"http://app:8080/sockgate\"")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "must not hold a user name or password; an upstream's `headers` can carry them"
                .to_owned(),
        );
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment (`#…`)".to_owned());
    }
    let host = host(&url);
    if host.parse().is_ok_and(is_forbidden) || METADATA_NAMES.contains(&host) {
        return Err("link-local and metadata addresses are refused".to_owned());
    }
    Ok(url)
}

/// The host without the brackets of IPv6 and the dot at the end of a name.
fn host(url: &reqwest::Url) -> &str {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches([']', '.'])
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse()
            .is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

/// An origin as browsers send it: `https://app.example`, `https://*.example.com`, `capacitor://localhost`, `null`.
pub(super) fn origin(value: &Value) -> Reading<Box<str>> {
    let written = text(value)?;
    if written == "null" {
        return Ok(written.into());
    }
    if written == "*" {
        return Err("any origin is `insecure_any_origin = true`".to_owned());
    }
    let origin = written.to_ascii_lowercase();
    let (scheme, authority) = origin
        .split_once("://")
        .filter(|(scheme, authority)| is_scheme(scheme) && !authority.is_empty())
        .ok_or_else(|| {
            format!(
                "expected an origin such as \"https://app.example\", found {}",
                quote(written)
            )
        })?;
    if authority.contains(['/', '?', '#', '@']) || !authority.bytes().all(|b| b.is_ascii_graphic())
    {
        return Err(
            "an origin is a scheme, a host and perhaps a port, and nothing after it".to_owned(),
        );
    }
    let host = authority.strip_prefix("*.").unwrap_or(authority);
    if host.contains('*') || host.is_empty() || host.starts_with(['.', ':']) {
        return Err("a `*` stands only in front, as in \"https://*.example.com\"".to_owned());
    }
    let port = match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => Some(
            port.parse::<u16>()
                .map_err(|_| "has no valid port".to_owned())?,
        ),
        _ => None,
    };
    if matches!((scheme, port), ("https", Some(443)) | ("http", Some(80))) {
        return Err("browsers leave the scheme's own port out; so must this".to_owned());
    }
    Ok(origin.into())
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Value {
        Value::new(None, text)
    }

    #[test]
    fn backends_are_http_or_unix() {
        let backend = |text: &str| backend(&of(text)).map(|b| (b.url, b.is_local, b.is_tls));
        let http = |text: &str| Url::Http(text.into());
        assert_eq!(
            backend("http://app.internal:8080/sockgate"),
            Ok((http("http://app.internal:8080/sockgate"), false, false))
        );
        assert_eq!(
            backend("https://a.example"),
            Ok((http("https://a.example/"), false, true))
        );
        for local in [
            "http://localhost:1/x",
            "http://127.0.0.1/",
            "http://[::1]:5/",
            "http://a.localhost/",
        ] {
            assert!(
                backend(local).is_ok_and(|(_, is_local, _)| is_local),
                "{local}"
            );
        }
        assert_eq!(
            backend("unix:/run/app.sock:/sockgate"),
            Ok((
                Url::Unix {
                    socket: Path::new("/run/app.sock").into(),
                    path: "/sockgate".into()
                },
                true,
                false
            ))
        );
        for wrong in [
            "app:8080",
            "ftp://app/",
            "http://",
            "http://u:p@app/",
            "http://app/#x",
            "unix:app.sock",
            "unix:/run/app.sock:sockgate",
            "",
        ] {
            assert!(backend(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn metadata_addresses_are_refused_in_every_spelling() {
        for wrong in [
            "http://169.254.169.254/latest",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://metadata.google.internal/",
            "http://METADATA.google.internal./",
        ] {
            let error = backend(&of(wrong)).expect_err(wrong);
            assert!(error.contains("refused"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_fallback_is_an_origin() {
        assert_eq!(
            fallback(&of("http://app:8080")),
            Ok("http://app:8080".into())
        );
        assert_eq!(fallback(&of("http://app/")), Ok("http://app:80".into()));
        for wrong in [
            "https://app",
            "http://app/x",
            "http://app/?x",
            "app:80",
            "http://169.254.1.1",
        ] {
            assert!(fallback(&of(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        let origin = |text: &str| origin(&of(text));
        for right in [
            "https://app.example",
            "https://*.example.com",
            "capacitor://localhost",
            "null",
            "http://[::1]:3000",
            "http://localhost:5173",
        ] {
            assert_eq!(origin(right).as_deref(), Ok(right));
        }
        assert_eq!(
            origin("HTTPS://App.example").as_deref(),
            Ok("https://app.example")
        );
        for wrong in [
            "*",
            "app.example",
            "https://app.example/",
            "https://app.example:443",
            "http://app:80",
            "https://a.*.example",
            "https://*",
            "https://*.",
            "https://",
            "https://a:b",
            "https://ü.example",
            "https://u@app",
            "",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn networks_and_listeners() {
        assert!(network(&of("10.0.0.0/8")).is_ok());
        assert_eq!(
            network(&of("10.0.0.1")),
            Ok("10.0.0.1/32".parse().expect("a network"))
        );
        assert!(network(&of("10.0.0.0/33")).is_err());
        assert!(listen(&of("[::]:0")).is_ok());
        assert!(listen(&of("localhost:3000")).is_err());
        assert!(listen(&of(":3000")).is_err());
    }
}
