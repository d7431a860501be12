//! Engine.IO over HTTP: handshake, polling, WebSocket, upgrade, heartbeat (protocol 1).
//!
//! ```text
//! request ─► origin ─► query ─► no sid: handshake ──────────────► Session
//!                          └──► sid: its shard ─► polling GET: drains the outbox
//!                                              ├► polling POST: feeds the session
//!                                              └► WebSocket: probe, upgrade, then the pump does both
//! ```
//!
//! A request may arrive on another shard than its session's: what is needed of it travels there as [`Mail`] and the answer comes
//! back, so no sticky connections are needed. A WebSocket moves as a whole: its TCP stream is handed over.
//!
//! Not here: listeners, limits on connections, TLS, what a Socket.IO packet means.

pub mod address;
pub mod answer;
pub mod compress;
pub mod http;
mod opening;
pub mod origin;
pub mod polling;
pub mod pump;
pub mod request;
pub mod settings;
pub mod upgrade;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::hub::id::{SessionId, ShardId};
use crate::session::settings::Allow;
use crate::session::shard::Shard;
use crate::transport::answer::Answer;
use crate::transport::polling::BodyError;
use crate::transport::settings::Settings;

/// What a request that came to one shard wants of a session on another.
#[derive(Debug)]
pub enum Mail {
    /// A question whether there is such a session.
    Exists {
        /// The session.
        sid: SessionId,
        /// Where the answer goes.
        reply: oneshot::Sender<bool>,
    },
    /// There are too many sessions that sent no CONNECT, and this was the oldest.
    EndOpening {
        /// The session.
        sid: SessionId,
    },
    /// A polling request was aborted before it was handled.
    Aborted {
        /// The session.
        sid: SessionId,
    },
    /// A polling GET.
    Get {
        /// The session.
        sid: SessionId,
        /// Where the answer goes; closed when the client goes away.
        reply: oneshot::Sender<Answer>,
    },
    /// A polling POST; its body follows, so that what is refused is refused before it is read.
    Post {
        /// The session.
        sid: SessionId,
        /// The body, once it is read.
        body: oneshot::Receiver<Result<Bytes, BodyError>>,
        /// Where the answer goes.
        reply: oneshot::Sender<Answer>,
    },
    /// A WebSocket after its 101.
    Adopt {
        /// The session.
        sid: SessionId,
        /// The connection.
        io: std::net::TcpStream,
        /// Bytes that were read behind the request.
        rest: Vec<u8>,
        /// Keeps the place of the connection until it ends.
        place: crate::session::admission::Place,
    },
}

/// What the transports of one shard share.
#[derive(Debug)]
pub struct Context {
    /// The shard.
    pub shard: Rc<Shard>,
    /// What the operator has set.
    pub settings: Settings,
    /// Headers that some namespace wants to see.
    pub wanted_headers: Allow,
    /// Query parameters that some namespace wants to see.
    pub wanted_query: Allow,
    /// The way to every shard, by number.
    pub mail: Vec<mpsc::UnboundedSender<Mail>>,
    /// Whether new handshakes are refused because the process ends.
    pub draining: Arc<AtomicBool>,
    /// Whether new handshakes are refused because memory is full.
    pub memory: Arc<crate::telemetry::memory::Watch>,
    /// Origins that were refused and logged, for the node.
    pub refused: Arc<origin::Refused>,
    /// Where `WebSockets` are read to.
    pub read_buffer: pump::ReadBuffer,
    /// Limits of WebSocket messages.
    pub frames: crate::protocol::websocket::Limits,
}

impl Context {
    /// Whether new handshakes are refused because the process ends.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// There are too many sessions that sent no CONNECT, and this was the oldest.
    fn end_opening(&self, sid: SessionId) {
        match sid.shard(self.shard.node) {
            Some(shard) if shard != self.shard.id => self.send(shard, Mail::EndOpening { sid }),
            _ => self.shard.end_opening(&sid),
        }
    }

    /// Sends mail to a shard.
    pub fn send(&self, shard: ShardId, mail: Mail) {
        if let Some(sender) = self.mail.get(shard.index()) {
            // A shard that is gone takes its sessions along: whoever waits for an answer sees its channel close.
            drop(sender.send(mail));
        }
    }
}

/// Takes mail from other shards.
pub fn deliver(context: &Rc<Context>, mail: Mail) {
    let context = Rc::clone(context);
    crate::tasks::spawn_local("mail", async move {
        match mail {
            Mail::Exists { sid, reply } => drop(reply.send(context.shard.by_sid(&sid).is_some())),
            Mail::EndOpening { sid } => context.shard.end_opening(&sid),
            Mail::Aborted { sid } => polling::aborted(context.shard.by_sid(&sid)),
            Mail::Get { sid, mut reply } => {
                let answer = tokio::select! {
                    biased;
                    answer = http::get(&context, &sid) => answer,
                    () = reply.closed() => return,
                };
                drop(reply.send(answer));
            }
            Mail::Post {
                sid,
                body,
                mut reply,
            } => {
                let body = async { body.await.unwrap_or(Err(BodyError::Aborted)) };
                let answer = tokio::select! {
                    biased;
                    answer = http::post(&context, &sid, body) => answer,
                    () = reply.closed() => return,
                };
                drop(reply.send(answer));
            }
            Mail::Adopt {
                sid,
                io,
                rest,
                place,
            } => {
                if let Ok(io) = tokio::net::TcpStream::from_std(io) {
                    upgrade::run(&context, &sid, io, &rest, place).await;
                }
            }
        }
    });
}
