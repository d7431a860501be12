//! What must hold whatever a connection begins with where a PROXY header is due.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::task::{Context, Poll};

use sockgate::server::proxy::{self, Beginning};
use tokio::io::{AsyncRead, ReadBuf};

use super::allocation::bounded_by;

/// Longest header.
const LONGEST: usize = 536;

/// A byte for the size of the portions, then the connection: the client's address and where the header ends are what the two
/// specifications say, whatever the portions; and a header that we write is read.
pub fn header(input: &[u8]) {
    let Some((&portion, stream)) = input.split_first() else {
        return;
    };
    let at_once = read(stream, usize::MAX);
    assert_eq!(read(stream, 1 + usize::from(portion % 64)), at_once);
    let expected = v1(stream).or_else(|| v2(stream));
    if let Some((client, rest)) = &at_once {
        assert_eq!(Some((*client, rest.as_slice())), expected);
    }
    written(stream);
}

/// The client and what comes behind the header, if there is one.
fn read(stream: &[u8], portion: usize) -> Option<(Option<IpAddr>, Vec<u8>)> {
    let mut portions = Portions { stream, portion };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    // Its buffer, and what it has read too much.
    let bound = 4 * LONGEST + super::allocation::SPARE;
    let reading = || runtime.block_on(proxy::read(&mut portions));
    let Beginning { client, rest } = bounded_by(bound, stream.len(), reading).ok()?;
    Some((client, [&rest[..], portions.stream].concat()))
}

struct Portions<'a> {
    stream: &'a [u8],
    portion: usize,
}

impl AsyncRead for Portions<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let size = self.portion.min(buffer.remaining()).min(self.stream.len());
        let (portion, rest) = self.stream.split_at(size);
        buffer.put_slice(portion);
        self.stream = rest;
        Poll::Ready(Ok(()))
    }
}

/// `PROXY TCP4 source destination port port\r\n`, or `PROXY UNKNOWN` and anything up to `\r\n`; 107 bytes at most.
fn v1(stream: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let longest = &stream[..stream.len().min(107)];
    let end = longest.windows(2).position(|bytes| bytes == b"\r\n")?;
    let (line, rest) = (&stream[..end], &stream[end + 2..]);
    if line.starts_with(b"PROXY UNKNOWN") {
        return Some((None, rest));
    }
    let line = std::str::from_utf8(line).ok()?;
    let words = line.strip_prefix("PROXY ")?;
    let words: Vec<&str> = words.split(' ').collect();
    let ["TCP4" | "TCP6", source, destination, from, to] = words[..] else {
        return None;
    };
    let _ports = (from.parse::<u16>().ok()?, to.parse::<u16>().ok()?);
    let (source, destination): (IpAddr, IpAddr) = (source.parse().ok()?, destination.parse().ok()?);
    let is_v4 = words[0] == "TCP4";
    (source.is_ipv4() == is_v4 && destination.is_ipv4() == is_v4)
        .then(|| (Some(source.to_canonical()), rest))
}

/// Twelve bytes, version and command, family, length, addresses.
fn v2(stream: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let rest = stream.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n")?;
    let [command, family, high, low, rest @ ..] = rest else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let (addresses, rest) = rest.split_at_checked(length)?;
    let client = match (command, family >> 4) {
        (0x21, 1) => {
            let ip: [u8; 4] = addresses.get(..12)?[..4].try_into().ok()?;
            Some(IpAddr::from(ip))
        }
        (0x21, 2) => {
            let ip: [u8; 16] = addresses.get(..36)?[..16].try_into().ok()?;
            Some(IpAddr::from(ip).to_canonical())
        }
        (0x20 | 0x21, _) => None,
        _ => return None,
    };
    Some((client, rest))
}

/// A header of version 1 for an address made of the bytes.
fn written(bytes: &[u8]) {
    let Some((seed, _)) = bytes.split_first_chunk::<16>() else {
        return;
    };
    let ip = if seed[0] % 2 == 0 {
        IpAddr::from(Ipv6Addr::from(*seed))
    } else {
        IpAddr::from(Ipv4Addr::new(seed[1], seed[2], seed[3], seed[4]))
    };
    let family = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
    let header = format!("PROXY {family} {ip} {ip} 4711 80\r\nGET /");
    let expected = (Some(ip.to_canonical()), b"GET /".to_vec());
    assert_eq!(read(header.as_bytes(), 7), Some(expected));
}
