//! HTTP/1.1 messages with a `Content-Length`, over connections that are kept.

use anyhow::{Context as _, Result, bail};
use httparse::{EMPTY_HEADER, Header};

/// Header fields of a message, at most.
const FIELDS: usize = 32;

/// A response within the bytes that were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Its code.
    pub status: u16,
    /// The value of `Sec-WebSocket-Accept`; empty where there is none.
    pub accept: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
    /// How many bytes it takes.
    pub used: usize,
}

/// The first response in `bytes`, if it is complete.
pub fn response(bytes: &[u8]) -> Result<Option<Response<'_>>> {
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    if bytes.is_empty() {
        return Ok(None);
    }
    let Some(begin) = complete(head.parse(bytes).context("no HTTP response")?) else {
        return Ok(None);
    };
    let status = head.code.context("a response without a status")?;
    let length = match length(head.headers)? {
        Some(length) => length,
        None if matches!(status, 101 | 204) => 0,
        None => bail!("a response with status {status} and without a content-length"),
    };
    let accept = field(head.headers, "sec-websocket-accept").unwrap_or_default();
    let used = begin + length;
    Ok(bytes.get(begin..used).map(|body| Response {
        status,
        accept,
        body,
        used,
    }))
}

/// A request within the bytes that were received: its body, and how many bytes it takes.
pub fn request(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    if bytes.is_empty() {
        return Ok(None);
    }
    let Some(begin) = complete(head.parse(bytes).context("no HTTP request")?) else {
        return Ok(None);
    };
    let used = begin + length(head.headers)?.unwrap_or(0);
    Ok(bytes.get(begin..used).map(|body| (body, used)))
}

fn complete(status: httparse::Status<usize>) -> Option<usize> {
    match status {
        httparse::Status::Complete(used) => Some(used),
        httparse::Status::Partial => None,
    }
}

fn length(fields: &[Header<'_>]) -> Result<Option<usize>> {
    let Some(value) = field(fields, "content-length") else {
        return Ok(None);
    };
    let length = std::str::from_utf8(value)?.parse();
    Ok(Some(length.context("a content-length that is no number")?))
}

fn field<'a>(fields: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    let mut fields = fields.iter();
    fields
        .find(|field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_taken_when_its_body_is_complete() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1";
        for cut in 0..bytes.len() - 8 {
            assert_eq!(response(&bytes[..cut]).unwrap(), None, "{cut}");
        }
        let taken = response(bytes).unwrap().unwrap();
        assert_eq!(
            (taken.status, taken.body, taken.used),
            (200, &b"abc"[..], bytes.len() - 8)
        );
    }

    #[test]
    fn an_upgrade_has_no_body_and_an_accept() {
        let bytes = b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: xyz\r\n\r\n\x81";
        let taken = response(bytes).unwrap().unwrap();
        assert_eq!(
            (taken.status, taken.accept, taken.used),
            (101, &b"xyz"[..], bytes.len() - 1)
        );
    }

    #[test]
    fn a_request_is_taken_when_its_body_is_complete() {
        let bytes = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(request(&bytes[..bytes.len() - 1]).unwrap(), None);
        assert_eq!(request(bytes).unwrap(), Some((&b"{}"[..], bytes.len())));
    }

    #[test]
    fn a_body_of_unknown_length_is_an_error() {
        response(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap_err();
        response(b"nonsense\r\n\r\n").unwrap_err();
    }
}
