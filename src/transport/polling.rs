//! HTTP long-polling: a GET drains the outbox, a POST feeds the session (protocol 1.6, 1.7, 1.10).

use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;

use crate::hub::outbox::Outbox;
use crate::hub::reason::{Initiator, Reason};
use crate::protocol::engine_io::{self, Packet};
use crate::session::{Phase, Session, TransportKind};
use crate::transport::answer::{Answer, EngineError};
use crate::transport::settings::Settings;

/// While an upgrade is probed, a GET is released with a noop after this time, so that the client can stop polling.
const PROBE_RELEASE: Duration = Duration::from_millis(100);

const NOOP: &[u8] = b"6";
const CLOSE: &[u8] = b"1";
const NOOP_AND_CLOSE: &[u8] = b"6\x1e1";

/// Bytes of one polling response at most, unless a single frame is larger.
const RESPONSE_BYTES: usize = 4 << 20;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// More than `max_payload`: the session stays open.
    TooLarge,
    /// The client went away in the middle.
    Aborted,
    /// `body_timeout`.
    TimedOut,
    /// `application/octet-stream`, which revision 4 does not know.
    OctetStream,
}

/// Holds the lease of a GET; a GET that is dropped unanswered was aborted by the client, and that ends the session.
struct Lease<'a> {
    session: &'a Rc<Session>,
    answered: bool,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.session.transport() == TransportKind::Polling {
            self.session
                .shard
                .hub
                .outbox(self.session.key, |o| o.block(Instant::now()));
        }
        self.session.release();
        if !self.answered {
            lost(self.session);
        }
    }
}

/// A request was aborted: the end of a session that still polls. One that is upgraded goes on by its WebSocket.
fn lost(session: &Rc<Session>) {
    if session.transport() == TransportKind::Polling {
        session.gone(Reason::TransportError, Initiator::Client);
    }
}

/// Answers a GET once there is something to say.
pub async fn get(session: &Rc<Session>, settings: &Settings) -> Answer {
    session.seen(0);
    if !session.acquire() {
        // Overlap from the client: the request that waits gets a close.
        session.fail(Reason::ForcedClose, Initiator::Gateway);
        return Answer::empty(StatusCode::BAD_REQUEST);
    }
    let mut lease = Lease {
        session,
        answered: false,
    };
    session.shard.hub.outbox(session.key, Outbox::unblock);
    let late = !session.is_open();
    let waiting = wait(session, settings, late);
    let answer = if session.link.probed.get() {
        tokio::time::timeout(PROBE_RELEASE, waiting)
            .await
            .unwrap_or_else(|_| Answer::packets(NOOP))
    } else {
        waiting.await
    };
    lease.answered = true;
    drop(lease);
    session.wrote();
    answer
}

/// `late`: the session was closing when the request came, so nobody has told the client yet that it is over.
async fn wait(session: &Rc<Session>, settings: &Settings, late: bool) -> Answer {
    let probed = session.link.probed.get();
    std::future::poll_fn(|cx| {
        let frames = session.shard.hub.outbox(session.key, |outbox| {
            let former = outbox.register(cx.waker());
            (
                outbox.take(settings.polling_packets, RESPONSE_BYTES),
                former,
            )
        });
        let frames = frames.map(|(frames, _former)| frames).unwrap_or_default();
        if !frames.is_empty() {
            return Poll::Ready(Answer::packets(engine_io::encode_payload(&frames)));
        }
        if session.transport() != TransportKind::Polling || (session.link.probed.get() && !probed) {
            return Poll::Ready(Answer::packets(NOOP));
        }
        match session.phase() {
            Phase::Open => Poll::Pending,
            _ if session.link.aborted.get() => Poll::Ready(EngineError::SessionUnknown.answer()),
            _ if session.link.left.get() => Poll::Ready(Answer::packets(NOOP)),
            Phase::Closing(_) | Phase::Closed(_) => {
                session.gone(Reason::TransportClose, Initiator::Client);
                Poll::Ready(Answer::packets(if late { NOOP_AND_CLOSE } else { CLOSE }))
            }
        }
    })
    .await
}

/// Marks that a body is being read; a POST that is dropped unanswered was aborted by the client.
struct Posting<'a> {
    session: &'a Rc<Session>,
    answered: bool,
}

impl Drop for Posting<'_> {
    fn drop(&mut self) {
        self.session.link.posting.set(false);
        if !self.answered {
            lost(self.session);
        }
    }
}

/// Reads a body and hands its packets over, one by one, as fast as the lanes take them.
pub async fn post(
    session: &Rc<Session>,
    settings: &Settings,
    body: impl Future<Output = Result<Bytes, BodyError>>,
) -> Answer {
    if !session.is_open() {
        return EngineError::SessionUnknown.answer();
    }
    if session.link.posting.replace(true) {
        // Overlap from the client: the first connection is ended without an answer.
        session.fail(Reason::TransportError, Initiator::Client);
        return Answer::empty(StatusCode::BAD_REQUEST);
    }
    let mut posting = Posting {
        session,
        answered: false,
    };
    let body = tokio::select! {
        biased;
        body = body => body,
        () = session.ended() => {
            posting.answered = true;
            return Answer::Abort;
        }
    };
    let answer = match body {
        Ok(body) => feed(session, settings, &body).await,
        Err(BodyError::TooLarge) => {
            session.shard.traffic.http_limits.increment("max_payload");
            Answer::empty(StatusCode::PAYLOAD_TOO_LARGE)
        }
        Err(BodyError::TimedOut) => {
            session.shard.traffic.http_limits.increment("body_timeout");
            session.fail(Reason::TransportError, Initiator::Client);
            Answer::empty(StatusCode::REQUEST_TIMEOUT)
        }
        Err(BodyError::OctetStream) => {
            session.fail(Reason::TransportError, Initiator::Client);
            Answer::empty(StatusCode::BAD_REQUEST)
        }
        Err(BodyError::Aborted) => return Answer::Abort,
    };
    posting.answered = true;
    answer
}

/// The answer is `ok` even where a packet has ended the session, as clients know it from Node; only a body with too many packets,
/// which no official client sends, is refused.
async fn feed(session: &Rc<Session>, settings: &Settings, body: &[u8]) -> Answer {
    session.seen(body.len());
    for packet in engine_io::decode_payload(body, settings.packets_per_payload) {
        match packet {
            Ok(packet) => receive(session, packet),
            Err(error) => {
                session.shard.traffic.parse_errors.increment("eio");
                session.fail(Reason::ParseError, Initiator::Gateway);
                if error == engine_io::DecodeError::TooManyPackets {
                    return Answer::empty(StatusCode::BAD_REQUEST);
                }
            }
        }
        if !session.is_open() {
            break;
        }
        if session.is_paused() {
            session.readable().await;
        }
        session.room_in_outbox().await;
    }
    Answer::ok()
}

/// What each packet does to an open session of revision 4 (protocol 1.4).
fn receive(session: &Rc<Session>, packet: Packet<'_>) {
    match packet {
        Packet::Message(text) => session.text(text),
        Packet::Binary(data) => session.binary(data),
        Packet::Pong(_) => session.pong(),
        Packet::Ping(_) => session.fail(Reason::TransportError, Initiator::Client),
        Packet::Close => {
            session.link.left.set(true);
            session.gone(Reason::TransportClose, Initiator::Client);
        }
        Packet::Open | Packet::Upgrade | Packet::Noop => {}
    }
}

/// A polling request was aborted before it was handled.
pub fn aborted(session: Option<Rc<Session>>) {
    if let Some(session) = session.filter(|s| s.transport() == TransportKind::Polling) {
        // A poll that overtook the aborted one, over another connection, is the second one.
        session.link.aborted.set(true);
        session.gone(Reason::TransportError, Initiator::Client);
    }
}

/// The session of a polling request must exist and still be polled.
pub fn find(session: Option<Rc<Session>>) -> Result<Rc<Session>, Answer> {
    let session = session.ok_or_else(|| EngineError::SessionUnknown.answer())?;
    if session.transport() != TransportKind::Polling {
        return Err(EngineError::BadRequest.answer());
    }
    Ok(session)
}
