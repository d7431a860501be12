//! From polling to WebSocket (protocol 1.9).
//!
//! ```text
//! C: GET …transport=websocket&sid=S   S: 101
//! C: 2probe                           S: 3probe; a waiting GET is released with 6
//! C: 5                                S: the WebSocket drains the outbox from now on
//! ```
//!
//! Whatever goes wrong before the `5` closes the new connection only; the session goes on polling and may try again.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;

use crate::hub::id::SessionId;
use crate::protocol::engine_io::{PROBE_PONG, Packet, decode_text};
use crate::protocol::websocket::{self, Decoder, EMPTY_CLOSE, Message};
use crate::session::admission::Place;
use crate::session::{Session, TransportKind};
use crate::transport::Context;
use crate::transport::pump::{self, Io};

/// Bytes read at once while probing: two short packets.
const READ: usize = 1024;

/// Serves a WebSocket that was opened with a session id, until the connection ends.
pub async fn run(context: &Rc<Context>, sid: &SessionId, io: TcpStream, rest: &[u8], place: Place) {
    let io = Rc::new(Io(RefCell::new(io)));
    let session = context
        .shard
        .by_sid(sid)
        .filter(|s| may_upgrade(context, s));
    let Some(session) = session else {
        return pump::say_goodbye(&io, &EMPTY_CLOSE, &context.read_buffer).await;
    };
    session.link.upgrading.set(true);
    let mut decoder = Decoder::default();
    let probing = probe(context, &session, &io, &mut decoder, rest);
    let outcome = tokio::select! {
        biased;
        () = session.ended() => Err(Failed),
        outcome = tokio::time::timeout(context.settings.upgrade_timeout, probing) => outcome.unwrap_or(Err(Failed)),
    };
    session.link.upgrading.set(false);
    if outcome.is_err() || !session.is_open() {
        session.link.probed.set(false);
        context.shard.traffic.upgrades_failed.increment();
        return pump::say_goodbye(&io, &EMPTY_CLOSE, &context.read_buffer).await;
    }
    upgraded(&session);
    if session.inherit().await {
        pump::run(context, &session, io, decoder, &mut []).await;
    } else {
        pump::say_goodbye(&io, &EMPTY_CLOSE, &context.read_buffer).await;
    }
    drop(place);
}

fn may_upgrade(context: &Context, session: &Session) -> bool {
    context.settings.allow_upgrades
        && session.is_open()
        && session.transport() == TransportKind::Polling
        && !session.link.upgrading.get()
}

/// Anything but `2probe` and then `5`, or the end of the connection.
#[derive(Debug)]
pub struct Failed;

/// Waits for the probe, answers it, and waits for the upgrade packet.
async fn probe(
    context: &Context,
    session: &Session,
    io: &Io,
    decoder: &mut Decoder,
    rest: &[u8],
) -> Result<(), Failed> {
    let mut bytes = rest.to_vec();
    loop {
        let mut received = decoder.receive(&mut bytes, &context.frames, Instant::now());
        let mut answers = Vec::new();
        while let Some(message) = received.next_message().map_err(|_| Failed)? {
            match step(session, &message)? {
                Step::Answer(frame) => answers.push(frame),
                Step::Upgraded => return Ok(()),
            }
        }
        drop(received);
        for frame in answers {
            pump::write_all(io, &frame).await.map_err(|_| Failed)?;
            if frame == PROBE_PONG {
                probed(session);
            }
        }
        bytes = read(io).await?;
    }
}

/// The probe was answered: a polling request that waits is released.
pub fn probed(session: &Session) {
    session.link.probed.set(true);
    session.shard.hub.outbox(session.key, |o| o.wake());
}

/// The new connection becomes the transport: a polling request that waits is released, and gives the outbox back.
pub fn upgraded(session: &Session) {
    session.upgraded();
    session.shard.hub.outbox(session.key, |o| o.wake());
}

/// What a message of the new connection does.
#[derive(Debug)]
pub enum Step {
    /// This frame is sent back; after [`PROBE_PONG`] the session is [`probed`].
    Answer(bytes::Bytes),
    /// The connection becomes the session's transport.
    Upgraded,
}

/// Takes a message before the upgrade.
pub fn step(session: &Session, message: &Message<'_>) -> Result<Step, Failed> {
    match message {
        Message::Ping(payload) => Ok(Step::Answer(websocket::pong(payload))),
        Message::Text(text) => match decode_text(text) {
            Ok(Packet::Ping("probe")) => Ok(Step::Answer(PROBE_PONG.clone())),
            Ok(Packet::Upgrade) if session.link.probed.get() => Ok(Step::Upgraded),
            _ => Err(Failed),
        },
        Message::Binary(_) | Message::Pong | Message::Close { .. } => Err(Failed),
    }
}

async fn read(io: &Io) -> Result<Vec<u8>, Failed> {
    let mut buffer = [0; READ];
    let filled = poll_fn(|cx| {
        let mut read = ReadBuf::new(&mut buffer);
        let outcome = Pin::new(&mut *io.0.borrow_mut()).poll_read(cx, &mut read);
        outcome.map_ok(|()| read.filled().len())
    })
    .await;
    match filled {
        Ok(filled) if filled > 0 => Ok(buffer[..filled].to_vec()),
        _ => Err(Failed),
    }
}
