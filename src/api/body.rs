//! [`Body`]: the body of a request, read within limits, or thrown away.
//!
//! A request that is refused early still has its body under way. If the connection were closed at once, the kernel would answer
//! the rest of it with a reset, which may destroy the refusal before the caller reads it. So the answer is sent at once, and what
//! comes after it is thrown away for a while; then the connection is closed (contract 9).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::body::Body as HttpBody;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HeaderName};
use tokio::time::{Instant, timeout, timeout_at};

use crate::contract::problem::{Code, Problem};

/// Bytes that are thrown away after a refusal at most.
const THROWN_AWAY: usize = 32 << 20;
/// How long they are.
const THROWING_AWAY: Duration = Duration::from_secs(5);
/// Memory that a body gets before it has come, at most.
const FIRST: usize = 64 << 10;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Checks what the headers say about the body of a POST.
///
/// # Why
/// A body without a type is refused too: a web page may send one to any address, and the API may be open (see `auth`).
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(IDEMPOTENCY_KEY) {
        let detail = "idempotency-key is not yet available";
        return Err(Problem::new(Code::BadHeader, detail));
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_json = types.next().is_some_and(|value| is_json(value.as_bytes()));
    let is_plain = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if !is_json || types.next().is_some() || !is_plain {
        let detail = "bodies are sent as content-type: application/json, without content-encoding";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    Ok(())
}

fn is_json(media_type: &[u8]) -> bool {
    let essence = media_type.split(|byte| *byte == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json")
}

/// The body of one request.
#[derive(Debug)]
pub(super) struct Body<B> {
    frames: B,
    has_ended: bool,
    /// The caller sends it only when it is told to go on (`expect: 100-continue`).
    is_withheld: bool,
}

impl<B> Body<B>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    pub(super) fn new(headers: &HeaderMap, body: B) -> Self {
        Self {
            has_ended: body.is_end_stream(),
            is_withheld: headers.contains_key(EXPECT),
            frames: body,
        }
    }

    /// All of it. Fails where it is too large, late, or broken off.
    pub(super) async fn read(&mut self, limit: usize, time: Duration) -> Result<Bytes, Problem> {
        let too_large = || {
            let detail = format!("the body is larger than {limit} bytes");
            Problem::new(Code::TooLarge, detail)
        };
        let hint = usize::try_from(self.frames.size_hint().lower()).unwrap_or(usize::MAX);
        if hint > limit {
            return Err(too_large());
        }
        self.is_withheld = false;
        let deadline = Instant::now() + time;
        let mut bytes = BytesMut::with_capacity(hint.min(FIRST));
        while let Some(data) = self.next(deadline).await? {
            if bytes.len() + data.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    }

    async fn next(&mut self, deadline: Instant) -> Result<Option<Bytes>, Problem> {
        let frame = timeout_at(deadline, self.frames.frame()).await;
        let frame =
            frame.map_err(|_| Problem::new(Code::Timeout, "the body did not arrive in time"))?;
        match frame {
            None => {
                self.has_ended = true;
                Ok(None)
            }
            // Trailers say nothing that we want to know.
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(_)) => {
                // Whoever broke it off does not read this.
                self.has_ended = true;
                Err(Problem::new(Code::MalformedJson, "the body is incomplete"))
            }
        }
    }

    /// Throws away what is still to come; true where the connection must be closed after the answer.
    pub(super) fn throw_away(self) -> bool {
        if self.has_ended {
            return false;
        }
        if !self.is_withheld {
            crate::tasks::spawn("api-body", discard(self.frames));
        }
        true
    }
}

/// Reads on while an answer is on its way.
async fn discard<B>(mut body: B)
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let reading = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > THROWN_AWAY {
                break;
            }
        }
    };
    // Whoever has not sent it all by now is cut off.
    timeout(THROWING_AWAY, reading).await.ok();
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn code(result: Result<impl std::fmt::Debug, Problem>) -> Code {
        result.expect_err("refused").code
    }

    /// Pieces without a word about their length.
    fn pieces(
        pieces: &[&'static str],
    ) -> impl HttpBody<Data = Bytes, Error = std::io::Error> + Send {
        let frame = |piece: &&'static str| Ok(Frame::data(Bytes::from_static(piece.as_bytes())));
        let frames: Vec<_> = pieces.iter().map(frame).collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    #[test]
    fn a_body_is_json_and_says_so() {
        for fine in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json;",
        ] {
            assert_eq!(check_headers(&headers(&[("content-type", fine)])), Ok(()));
        }
        for bad in ["text/plain", "application/jsonx", "application/msgpack", ""] {
            let headers = headers(&[("content-type", bad)]);
            assert_eq!(
                code(check_headers(&headers)),
                Code::UnsupportedMediaType,
                "{bad}"
            );
        }
        assert_eq!(
            code(check_headers(&headers(&[]))),
            Code::UnsupportedMediaType
        );
        let zipped = headers(&[
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ]);
        assert_eq!(code(check_headers(&zipped)), Code::UnsupportedMediaType);
    }

    #[test]
    fn an_idempotency_key_is_not_ignored() {
        let with = headers(&[
            ("content-type", "application/json"),
            ("idempotency-key", "abc"),
        ]);
        assert_eq!(code(check_headers(&with)), Code::BadHeader);
    }

    #[tokio::test]
    async fn a_body_may_have_as_many_bytes_as_the_limit_says() {
        let time = Duration::from_secs(10);
        let mut announced = Body::new(&headers(&[]), Full::new(Bytes::from_static(b"12345")));
        assert_eq!(announced.read(5, time).await.expect("fits"), "12345");
        assert!(!announced.throw_away());
        let mut announced = Body::new(&headers(&[]), Full::new(Bytes::from_static(b"12345")));
        assert_eq!(code(announced.read(4, time).await), Code::TooLarge);
        assert!(announced.throw_away());
        let mut unannounced = Body::new(&headers(&[]), pieces(&["123", "45"]));
        assert_eq!(unannounced.read(5, time).await.expect("fits"), "12345");
        assert!(!unannounced.throw_away());
        let mut unannounced = Body::new(&headers(&[]), pieces(&["123", "45"]));
        assert_eq!(code(unannounced.read(4, time).await), Code::TooLarge);
        assert!(unannounced.throw_away());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_a_timeout() {
        let never = futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>();
        let mut body = Body::new(&headers(&[]), StreamBody::new(never));
        let read = body.read(100, Duration::from_secs(10)).await;
        assert_eq!(code(read), Code::Timeout);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let broken = [
            Ok(Frame::data(Bytes::from_static(b"{"))),
            Err(std::io::ErrorKind::UnexpectedEof),
        ];
        let broken = StreamBody::new(futures_util::stream::iter(broken));
        let mut body = Body::new(&headers(&[]), broken);
        let read = body.read(100, Duration::from_secs(10)).await;
        assert_eq!(code(read), Code::MalformedJson);
        assert!(!body.throw_away());
    }

    #[tokio::test]
    async fn what_was_not_sent_yet_is_not_asked_for() {
        let withheld = headers(&[("expect", "100-continue")]);
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let watched = futures_util::stream::once(async move {
            sender.send(()).ok();
            Ok::<_, std::io::Error>(Frame::data(Bytes::new()))
        });
        let body = Body::new(&withheld, StreamBody::new(Box::pin(watched)));
        assert!(body.throw_away());
        assert!(receiver.await.is_err(), "it was never polled");
    }
}
