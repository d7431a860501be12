//! HTTP clients for one upstream, built once per shard: their pools and connections live on the shard's runtime.
//!
//! They speak HTTP/1.1, follow no redirect, know no proxy, decompress nothing and repeat nothing. (A request on a pooled connection
//! that closed before a byte was written is sent again by the pool itself; the backend has not seen it.)

use std::net::IpAddr;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

use super::address::{Resolver, is_forbidden};
use super::connection::Watch;
use super::settings::{AuthoritiesError, Settings, Url, authorities};

/// Why there can be no client for an upstream: faults of the configuration or of the machine, found at start.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none of `http://`, `https://` with a host and without user, password and fragment.
    #[error("`url` must be http:// or https:// with a host, without user, password and fragment")]
    Url,
    /// The address is link-local or a metadata service.
    #[error("`url` is a link-local or metadata address")]
    Forbidden,
    /// A header's name or value cannot be sent; here is its name.
    #[error("header `{0}` cannot be sent")]
    Header(Box<str>),
    /// `ca` holds no certificates.
    #[error("`ca` cannot be used")]
    Ca(#[from] AuthoritiesError),
    /// TLS cannot be set up; most likely the system has no CA certificates.
    #[error("TLS cannot be set up; are CA certificates installed, or is `ca` set?")]
    Tls(#[source] reqwest::Error),
}

/// The clients of a shard for one upstream.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Keeps connections.
    pub pooled: Client,
    /// Opens a connection for each request, after a kept one turned out to be dead: the others may be dead too.
    pub fresh: Client,
}

impl Clients {
    /// Builds both.
    pub fn new(settings: &Settings) -> Result<Self, ClientError> {
        let url = request_url(&settings.url)?;
        let build = |idle: usize| {
            let builder = transport(settings).pool_max_idle_per_host(idle);
            tls(builder, settings, url.scheme())?
                .build()
                .map_err(ClientError::Tls)
        };
        Ok(Self {
            pooled: build(settings.concurrency)?,
            fresh: build(0)?,
        })
    }
}

fn transport(settings: &Settings) -> ClientBuilder {
    let builder = Client::builder()
        .http1_only()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(settings.keep_alive)
        .dns_resolver(Resolver)
        .connector_layer(Watch);
    match &settings.url {
        Url::Http(_) => builder,
        Url::Unix { socket, .. } => builder.unix_socket(&**socket),
    }
}

fn tls(
    builder: ClientBuilder,
    settings: &Settings,
    scheme: &str,
) -> Result<ClientBuilder, ClientError> {
    if scheme == "http" {
        // The system's certificates are not asked for: a machine without any can still speak plain HTTP.
        return Ok(builder.tls_certs_only([]));
    }
    let builder = builder.tls_danger_accept_invalid_certs(settings.insecure_skip_verify);
    let Some(pem) = &settings.ca else {
        return Ok(builder);
    };
    Ok(builder.tls_certs_merge(authorities(pem)?))
}

/// The address that requests carry; that of a Unix socket has a host only because HTTP wants one.
pub fn request_url(url: &Url) -> Result<reqwest::Url, ClientError> {
    let text = match url {
        Url::Http(text) => text.to_string(),
        Url::Unix { path, .. } => format!("http://localhost{path}"),
    };
    let url = reqwest::Url::parse(&text).map_err(|_| ClientError::Url)?;
    let host = url.host_str().ok_or(ClientError::Url)?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(ClientError::Url);
    }
    // The resolver never sees a literal; the parser has brought all its spellings into one.
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    match literal.parse::<IpAddr>() {
        Ok(address) if is_forbidden(address) => Err(ClientError::Forbidden),
        _ => Ok(url),
    }
}

#[cfg(test)]
mod tests;
