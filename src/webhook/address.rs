//! Addresses that no backend can have: link-local ones, where clouds answer with a machine's credentials (contract 8).
//!
//! Private ranges are allowed, since backends live there. Names are checked after they were resolved, on each new connection, so a
//! name that changes its address later gains nothing.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

// The configuration refuses the same addresses, and sees of a component only its settings.
pub use super::settings::is_forbidden;

/// A name has no address that may be used.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// It has forbidden addresses only.
    #[error("link-local and metadata addresses are refused")]
    Forbidden,
    /// The system does not find it.
    #[error(transparent)]
    Unknown(#[from] std::io::Error),
}

/// The system's resolver without the forbidden addresses.
#[derive(Clone, Copy, Debug)]
pub struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = resolve(name.as_str()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The addresses of a name, without the forbidden ones. Their port is 0: it is filled in by who asks.
pub async fn resolve(name: &str) -> Result<Vec<SocketAddr>, Unresolved> {
    allowed(tokio::net::lookup_host((name, 0)).await?)
}

fn allowed(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Unresolved> {
    let (forbidden, allowed): (Vec<_>, Vec<_>) =
        found.partition(|address| is_forbidden(address.ip()));
    if allowed.is_empty() && !forbidden.is_empty() {
        return Err(Unresolved::Forbidden);
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_forbidden_in_every_dress() {
        for text in [
            "169.254.169.254",
            "169.254.0.1",
            "168.63.129.16",
            "100.100.100.200",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
        ] {
            assert!(is_forbidden(text.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn private_and_public_addresses_are_allowed() {
        for text in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "203.0.113.7",
            "::1",
            "fd00::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
        ] {
            assert!(!is_forbidden(text.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn a_name_keeps_its_allowed_addresses_only() {
        let address = |text: &str| SocketAddr::new(text.parse().expect("an address"), 0);
        let (good, bad) = (address("10.0.0.1"), address("169.254.169.254"));
        assert_eq!(
            allowed([bad, good].into_iter()).expect("one is left"),
            [good]
        );
        assert!(allowed([bad].into_iter()).is_err());
        assert_eq!(allowed([].into_iter()).expect("nothing was found"), []);
    }
}
