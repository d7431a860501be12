//! From bytes to frames: chunks of any size in, whole frames out.

use std::{ops::Range, time::Instant};

use super::{
    assembly::Assembly,
    error::CloseError,
    header::{Header, header_size},
    mask::unmask,
    message::{Limits, Message},
};

/// What is remembered of one connection between two reads.
///
/// 64 bytes, and no allocation unless half a frame, half a message or undecoded bytes wait.
#[derive(Debug, Default)]
pub struct Decoder {
    kept: Kept,
    assembly: Assembly,
    /// A close frame or an error came: what follows is not looked at.
    over: bool,
}

impl Decoder {
    /// Takes bytes that were just read (or none: to go on with what was left), for [`Received::next_message`] to decode.
    ///
    /// ```
    /// # use sockgate::protocol::websocket::{CloseError, Decoder, Limits, Message};
    /// let limits = Limits { message: 1_000_000, fragments: 1024, control_rate: 10 };
    /// let mut decoder = Decoder::default();
    /// let mut read = *b"\x81\x82\0\0\0\0hi\x89\x80\0\0\0\0\x81";
    /// let mut received = decoder.receive(&mut read, &limits, std::time::Instant::now());
    /// assert_eq!(received.next_message()?, Some(Message::Text("hi".into())));
    /// assert_eq!(received.next_message()?, Some(Message::Ping(b"")));
    /// assert_eq!(received.next_message()?, None);
    /// # Ok::<_, CloseError>(())
    /// ```
    ///
    /// The bytes are unmasked in place and messages are borrowed from them, so the buffer can belong to the thread: what has to
    /// outlast it is copied out when the [`Received`] is dropped. `now` may be the time at which the thread's turn began.
    ///
    /// Whoever stops before `None`, because those who take the messages are busy, must call this with no bytes before reading
    /// again: what it leaves undecoded is kept without a limit of its own, on top of what was left before.
    pub fn receive<'a>(
        &'a mut self,
        bytes: &'a mut [u8],
        limits: &'a Limits,
        now: Instant,
    ) -> Received<'a> {
        Received {
            decoder: self,
            bytes,
            at: 0,
            limits,
            now,
        }
    }

    /// Bytes of memory held until more arrives, or until they are decoded; 0 between messages.
    pub fn buffered(&self) -> usize {
        self.kept.bytes.capacity() + self.assembly.buffered()
    }
}

/// Bytes being decoded; see [`Decoder::receive`].
#[derive(Debug)]
pub struct Received<'a> {
    decoder: &'a mut Decoder,
    bytes: &'a mut [u8],
    /// Where the undecoded ones of `bytes` begin. They come after all the kept ones.
    at: usize,
    limits: &'a Limits,
    now: Instant,
}

impl Received<'_> {
    /// The next message or control frame; `None`: what is left needs more bytes.
    ///
    /// After an error and after [`Message::Close`] there is only `None`: whatever the client still sends is thrown away.
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, CloseError> {
        if self.decoder.over {
            return Ok(None);
        }
        let Some(frame) = self
            .final_frame()
            .inspect_err(|_| self.decoder.over = true)?
        else {
            return Ok(None);
        };
        let Decoder {
            kept,
            assembly,
            over,
        } = &mut *self.decoder;
        let payload = frame.unmasked(kept, self.bytes);
        let message = assembly.complete(&frame.header, payload, self.limits, self.now);
        *over = matches!(message, Err(_) | Ok(Message::Close { .. }));
        message.map(Some)
    }

    /// The next frame that completes a message; fragments before it are put away.
    fn final_frame(&mut self) -> Result<Option<Frame>, CloseError> {
        while let Some(frame) = self.next_frame()? {
            if frame.header.is_final {
                return Ok(Some(frame));
            }
            let payload = frame.unmasked(&mut self.decoder.kept, self.bytes);
            (self.decoder.assembly).keep(&frame.header, payload, self.limits)?;
        }
        Ok(None)
    }

    /// The next whole frame; `None`: its beginning, if there is any, has been kept.
    fn next_frame(&mut self) -> Result<Option<Frame>, CloseError> {
        loop {
            let place = if self.decoder.kept.is_empty() {
                Place::Received
            } else {
                Place::Kept
            };
            let undecoded = match place {
                Place::Received => &self.bytes[self.at..],
                Place::Kept => self.decoder.kept.undecoded(),
            };
            if undecoded.is_empty() {
                return Ok(None);
            }
            match scan(undecoded, &self.decoder.assembly, self.limits)? {
                Scan::Whole(header, length) => {
                    let start = match place {
                        Place::Received => &mut self.at,
                        Place::Kept => &mut self.decoder.kept.start,
                    };
                    let payload = *start + header.size..*start + length;
                    *start = payload.end;
                    return Ok(Some(Frame {
                        header,
                        place,
                        payload,
                    }));
                }
                Scan::Incomplete { needed } if !self.keep(needed) => return Ok(None),
                Scan::Incomplete { .. } => {}
            }
        }
    }

    /// Moves received bytes behind the kept ones until those are `needed`; whether they are now.
    ///
    /// Never more than that: the frames that follow are decoded where they are.
    fn keep(&mut self, needed: usize) -> bool {
        let missing = needed - self.decoder.kept.undecoded().len();
        let received = &self.bytes[self.at..];
        let taken = missing.min(received.len());
        self.decoder.kept.append(&received[..taken], missing);
        self.at += taken;
        taken == missing
    }
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        if self.decoder.over {
            *self.decoder = Decoder {
                over: true,
                ..Decoder::default()
            };
            return;
        }
        let kept = &mut self.decoder.kept;
        kept.release();
        let rest = &self.bytes[self.at..];
        if !rest.is_empty() {
            kept.append(rest, rest.len());
        }
    }
}

/// Bytes that were read but not decoded.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Those before it are decoded. They stay until the rest is, since moving it up for each frame would be quadratic.
    start: usize,
}

impl Kept {
    fn undecoded(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn is_empty(&self) -> bool {
        self.undecoded().is_empty()
    }

    /// Gives the memory back, if all is decoded.
    fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Appends `bytes`, the first of `expected` ones; gives the memory of the decoded ones back.
    ///
    /// A length is only a claim until the bytes have come: no more than twice of what has come is taken for them.
    fn append(&mut self, bytes: &[u8], expected: usize) {
        let undecoded = self.undecoded().len();
        let length = undecoded + bytes.len();
        let capacity = length.saturating_mul(2).min(undecoded + expected);
        if self.start > 0 {
            let mut moved = Vec::with_capacity(capacity);
            moved.extend_from_slice(self.undecoded());
            *self = Self {
                bytes: moved,
                start: 0,
            };
        } else if self.bytes.capacity() < length {
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }
}

/// A whole frame, still masked, and where it lies.
#[derive(Debug)]
struct Frame {
    header: Header,
    place: Place,
    payload: Range<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Kept,
    Received,
}

impl Frame {
    /// The payload, unmasked in place; to be called once.
    fn unmasked<'a>(&self, kept: &'a mut Kept, received: &'a mut [u8]) -> &'a [u8] {
        let bytes = match self.place {
            Place::Kept => &mut kept.bytes,
            Place::Received => received,
        };
        let payload = &mut bytes[self.payload.clone()];
        unmask(payload, self.header.mask);
        payload
    }
}

/// What bytes begin with.
#[derive(Debug)]
enum Scan {
    /// A frame of so many bytes.
    Whole(Header, usize),
    /// A part of a frame: more can be said, or done, when there are so many bytes.
    Incomplete { needed: usize },
}

/// Looks at the header, and applies the limits before anything is stored for its payload.
fn scan(bytes: &[u8], assembly: &Assembly, limits: &Limits) -> Result<Scan, CloseError> {
    let Some(header) = Header::parse(bytes)? else {
        return Ok(Scan::Incomplete {
            needed: header_size(bytes),
        });
    };
    assembly.admit(&header, limits)?;
    let needed = usize::try_from(header.payload)
        .ok()
        .and_then(|payload| payload.checked_add(header.size))
        .ok_or(CloseError::TooBig)?;
    Ok(if bytes.len() < needed {
        Scan::Incomplete { needed }
    } else {
        Scan::Whole(header, needed)
    })
}
