//! The PROXY protocol, versions 1 and 2: a load balancer tells whose connection it passes on (`server.proxy_protocol`).
//!
//! Where it is on, the header is mandatory: a connection that does not begin with one, whole within 2 s and at most 536 bytes long,
//! is ended, since its address could not be told. The load balancer's own connections (`LOCAL`, `UNKNOWN`) keep their address.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use proxy_header::{Error, ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Time for the header.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest header: that of version 2 with all addresses and some more.
const LONGEST: usize = 536;

/// Longest header of version 1, its line end included.
const LONGEST_LINE: usize = 107;

/// What was at the beginning of a connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The client; `None`: whoever has connected.
    pub client: Option<IpAddr>,
    /// What was read behind the header.
    pub rest: Bytes,
}

/// A connection that did not begin as it should.
#[derive(Debug, thiserror::Error)]
#[error("no PROXY header")]
pub struct NoHeader;

/// Reads the header.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Beginning, NoHeader> {
    let read = tokio::time::timeout(TIMEOUT, read_some(stream)).await;
    read.map_err(|_| NoHeader)?.map_err(|_| NoHeader)
}

async fn read_some(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Beginning> {
    let mut bytes = Vec::with_capacity(LONGEST);
    loop {
        let room = LONGEST - bytes.len();
        if room == 0
            || (&mut *stream)
                .take(room as u64)
                .read_buf(&mut bytes)
                .await?
                == 0
        {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if let Some(beginning) = parse(&bytes)? {
            return Ok(beginning);
        }
    }
}

/// `None`: the header goes on.
fn parse(bytes: &[u8]) -> io::Result<Option<Beginning>> {
    // The library takes any character for the space behind the first word.
    let word = b"PROXY";
    if bytes.starts_with(word) && bytes.get(word.len()).is_some_and(|byte| *byte != b' ') {
        return Err(io::ErrorKind::InvalidData.into());
    }
    match ProxyHeader::parse(bytes, ParseConfig::default()) {
        // The library looks at the length only where the line has not ended yet.
        Ok((_, length)) if bytes.starts_with(word) && length > LONGEST_LINE => {
            Err(io::ErrorKind::InvalidData.into())
        }
        Ok((header, length)) => Ok(Some(Beginning {
            client: header
                .proxied_address()
                .map(|address| address.source.ip().to_canonical()),
            rest: Bytes::copy_from_slice(&bytes[length..]),
        })),
        Err(Error::BufferTooShort) => Ok(None),
        Err(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short");
        let mut bytes = V2.to_vec();
        bytes.extend([command, family]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    async fn read_all(mut bytes: &[u8]) -> Result<(Option<String>, Vec<u8>), NoHeader> {
        let read = read(&mut bytes).await?;
        let mut behind = read.rest.to_vec();
        behind.extend(bytes);
        Ok((read.client.map(|ip| ip.to_string()), behind))
    }

    #[tokio::test]
    async fn both_versions_tell_the_client() {
        let (client, rest) = read_all(b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\nGET /")
            .await
            .expect("a header");
        assert_eq!(client.as_deref(), Some("203.0.113.7"));
        assert_eq!(rest, b"GET /");
        let mut addresses = vec![0; 36];
        addresses[..2].copy_from_slice(&[0x20, 0x01]);
        addresses[15] = 9;
        let mut bytes = v2(0x21, 0x21, &addresses);
        bytes.extend(b"GET /");
        let (client, rest) = read_all(&bytes).await.expect("a header");
        assert_eq!(client.as_deref(), Some("2001::9"));
        assert_eq!(rest, b"GET /");
    }

    #[tokio::test]
    async fn the_load_balancers_own_connections_keep_their_address() {
        for header in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0, b"")] {
            assert_eq!(read_all(&header).await.expect("a header").0, None);
        }
    }

    #[tokio::test]
    async fn a_longer_header_than_the_longest_is_none() {
        let fits = vec![0; LONGEST - 16];
        assert!(read_all(&v2(0x20, 0, &fits)).await.is_ok());
        let more = vec![0; LONGEST - 15];
        assert!(read_all(&v2(0x20, 0, &more)).await.is_err());
    }

    /// However it arrives: it was once let in where it came at once, and refused in two parts.
    #[tokio::test]
    async fn a_line_that_is_too_long_is_no_header() {
        let line = |length: usize| {
            let padding = "x".repeat(length - "PROXY UNKNOWN \r\n".len());
            format!("PROXY UNKNOWN {padding}\r\n").into_bytes()
        };
        assert!(read_all(&line(LONGEST_LINE)).await.is_ok());
        assert!(read_all(&line(LONGEST_LINE + 1)).await.is_err());
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"PROXY TCP4 1.2.3.4 nonsense 1 2\r\n",
            b"PROXY TCP4 1.2.3.4",
            b"PROXY0UNKNOWN\r\n",
            b"",
            &V2[..5],
        ] {
            assert!(read_all(bytes).await.is_err(), "{bytes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_not_waited_for() {
        let (_client, mut server) = tokio::io::duplex(64);
        assert!(read(&mut server).await.is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(start in 0..3usize, bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let start: &[u8] = [&b""[..], b"PROXY TCP", V2][start];
            drop(parse(&[start, &bytes].concat()));
        }
    }
}
