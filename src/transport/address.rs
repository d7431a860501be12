//! The address of the client and the host it asked for, behind proxies that are trusted (contract 10, `trusted_proxies`).

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::HOST;
use ipnet::IpNet;

/// The right-most address of `X-Forwarded-For` that is no trusted proxy; the peer itself where it is none.
pub fn client_address(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    // From the right, and only as far as needed: what is further left is whatever the client wrote.
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    let mut last = peer;
    // Each for itself: a client that sends nonsense must not hide what the proxy writes behind it.
    for hop in hops.map(<[u8]>::trim_ascii) {
        let hop = std::str::from_utf8(hop).ok();
        let Some(address) = hop.and_then(parse) else {
            break;
        };
        last = address;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    last
}

/// Addresses stand alone, with a port, or in brackets.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.parse::<IpAddr>().ok();
    let with_port = || hop.parse::<std::net::SocketAddr>().ok().map(|a| a.ip());
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare.or_else(with_port)
        .or_else(bracketed)
        .map(|a: IpAddr| a.to_canonical())
}

/// Whether the address is one of a trusted proxy.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// The authority that the client asked for: `X-Forwarded-Host` from a trusted proxy, else `Host`.
pub fn host<'a>(headers: &'a HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> Option<&'a str> {
    let forwarded = is_trusted(peer.to_canonical(), trusted)
        .then(|| headers.get("x-forwarded-host"))
        .flatten();
    let host = forwarded.or_else(|| headers.get(HOST))?.to_str().ok()?;
    // A chain of proxies appends; the first is the client's.
    host.split(',').next().map(str::trim)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(forwarded: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        headers
    }

    fn address(forwarded: &str, peer: &str) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        client_address(&headers(forwarded), peer.parse().unwrap(), &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(address("203.0.113.7", "192.0.2.1"), "192.0.2.1");
        assert_eq!(address("203.0.113.7", "10.1.2.3"), "203.0.113.7");
        assert_eq!(address("203.0.113.7", "::ffff:10.1.2.3"), "203.0.113.7");
    }

    #[test]
    fn a_client_cannot_hide_its_address_by_what_it_claims() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        for claim in [
            &b"\xff"[..],
            b"garbage",
            b"",
            b"\x80, \xc3\x28",
            b"1.2.3.4\t",
        ] {
            let appended = [claim, b", 203.0.113.7"].concat();
            let mut headers = HeaderMap::new();
            headers.insert(
                "x-forwarded-for",
                HeaderValue::from_bytes(&appended).unwrap(),
            );
            let peer = "10.1.2.3".parse().unwrap();
            let found = client_address(&headers, peer, &trusted);
            assert_eq!(found.to_string(), "203.0.113.7", "{claim:?}");
        }
    }

    #[test]
    fn the_right_most_hop_that_is_no_proxy_counts() {
        assert_eq!(
            address("6.6.6.6, 203.0.113.7, 10.9.9.9", "10.1.2.3"),
            "203.0.113.7"
        );
        assert_eq!(address("10.9.9.9", "10.1.2.3"), "10.9.9.9");
        assert_eq!(address("garbage", "10.1.2.3"), "10.1.2.3");
        assert_eq!(address("203.0.113.7:4711", "10.1.2.3"), "203.0.113.7");
        assert_eq!(address("[2001:db8::1]:4711", "10.1.2.3"), "2001:db8::1");
    }
}
