//! WebSocket frames, just enough to load a server: whole text frames of known length; nothing fragmented, nothing extended.
//!
//! # Why
//! A client must mask what it sends; the mask may be any number, and with zero the masked payload is the payload (RFC 6455, 5.3).
//! So a frame is prepared once and only its digits change. A server that unmasks pays the same for zero as for any other key.

use anyhow::{Result, bail};

/// What a client sends in its opening handshake; the RFC's own example.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What a server must answer to [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The largest payload that is taken.
const MAX_PAYLOAD: usize = 2 << 20;

/// The meaning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole text message.
    Text,
    /// The other side closes.
    Close,
}

/// A frame within the bytes that were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Text or close.
    pub kind: Kind,
    /// Its payload.
    pub payload: &'a [u8],
    /// How many bytes the frame takes, header included.
    pub used: usize,
}

/// The first frame in `bytes`, if it is complete. Frames of clients must carry a mask of zero.
pub fn decode(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let kind = match first {
        0x81 => Kind::Text,
        0x88 => Kind::Close,
        _ => bail!("a frame that begins with {first:#04x}: only whole text frames are expected"),
    };
    let (length, extended) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 2),
        (127, [0, 0, 0, 0, a, b, c, d, ..]) => (u32::from_be_bytes([*a, *b, *c, *d]) as usize, 8),
        (127, rest) if rest.len() >= 8 => bail!("a frame of more than 4 GiB"),
        (126 | 127, _) => return Ok(None),
        (length, _) => (usize::from(length), 0),
    };
    if length > MAX_PAYLOAD {
        bail!("a frame of {length} bytes");
    }
    let mut begin = 2 + extended;
    if second & 0x80 != 0 {
        match bytes.get(begin..begin + 4) {
            None => return Ok(None),
            Some([0, 0, 0, 0]) => begin += 4,
            Some(_) => bail!("a mask that is not zero"),
        }
    }
    let used = begin + length;
    let payload = bytes.get(begin..used);
    Ok(payload.map(|payload| Frame {
        kind,
        payload,
        used,
    }))
}

/// A text frame as clients send it, with a mask of zero.
pub fn masked(text: &[u8]) -> Vec<u8> {
    frame(text, true)
}

/// A text frame as servers send it.
pub fn unmasked(text: &[u8]) -> Vec<u8> {
    frame(text, false)
}

fn frame(text: &[u8], masked: bool) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x81];
    match text.len() {
        length @ 0..126 => frame.push(mask + u8::try_from(length).expect("below 126")),
        length @ 126..0x1_0000 => {
            frame.push(mask + 126);
            frame.extend(u16::try_from(length).expect("below 65,536").to_be_bytes());
        }
        length => {
            frame.push(mask + 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    if masked {
        frame.extend([0; 4]);
    }
    frame.extend(text);
    frame
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_come_back_and_are_not_taken_before_they_are_complete() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let text: Vec<u8> = (0..length)
                .map(|i| b'a' + u8::try_from(i % 26).unwrap())
                .collect();
            for frame in [masked(&text), unmasked(&text)] {
                let mut two = frame.clone();
                two.extend(&frame);
                let decoded = decode(&two).unwrap().unwrap();
                assert_eq!((decoded.kind, decoded.used), (Kind::Text, frame.len()));
                assert_eq!(decoded.payload, text);
                for cut in (0..frame.len()).step_by(1 + length / 100) {
                    assert_eq!(decode(&frame[..cut]).unwrap(), None, "{cut} of {length}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_expected_is_an_error() {
        for bytes in [
            &[0x01, 0x00][..],                                 // a first fragment
            &[0x82, 0x00],                                     // binary
            &[0xc1, 0x00],                                     // compressed
            &[0x81, 0x81, 1, 2, 3, 4, 5],                      // a mask
            &[0x81, 0x7f, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff], // too large
            &[0x81, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0],             // far too large
        ] {
            decode(bytes).unwrap_err();
        }
        assert_eq!(decode(&[0x88, 0x00]).unwrap().unwrap().kind, Kind::Close);
    }
}
