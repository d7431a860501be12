//! Sockgate: a standalone real-time gateway. Socket.IO clients on one side, HTTP backends in any language on the other.
//!
//! **The house in one paragraph.** Bytes come in through a *transport*, become *packets*, and drive a *session*, which decides and
//! never touches I/O. What the session cannot decide alone it asks a *backend* through a *call*; the answer is a list of
//! *actions*. Actions also arrive from the REST API. Whoever brings them, they go through one door, the *switchboard*, which hands
//! them in order to the *shards* that have recipients; a shard pushes one shared *frame* to each recipient's *outbox*, and the
//! transport drains it.
//!
//! # Layers
//! ```text
//! protocol ◄ hub ◄ session ◄ contract ◄ { transport, webhook, builtin, api } ◄ server ◄ app ◄ main
//! ```
//! | module | what is in it |
//! | --- | --- |
//! | [`protocol`] | pure codecs: Engine.IO, Socket.IO, WebSocket frames, [`protocol::frame::Frame`] |
//! | [`hub`] | who is where, and delivery: roster, outboxes, [`hub::switchboard`]; no I/O |
//! | [`session`] | one client's conversation, its lanes, the [`session::backend::Backend`] seam; no I/O |
//! | [`contract`] | the public JSON of calls, replies, actions, REST; the `OpenAPI` document |
//! | [`transport`] | Engine.IO over HTTP: polling, WebSocket, upgrade |
//! | [`webhook`] | a backend over HTTP: signatures, retries, breaker, notices |
//! | [`api`] | the REST API |
//! | [`server`] | listeners, shard threads, probes, drain |
//! | [`config`], [`cli`], [`telemetry`], [`tasks`] | what an operator wrote and sees; spawning |
//! | [`app`] | the composition root: the only file that knows every component |
//!
//! No layer uses one to its right, and no edge knows another edge: `tests/it/layers.rs` checks it.
//!
//! # Threads
//! One *shard* per core: an OS thread with an event loop, which owns a part of the sessions and everything about them as plain
//! data. A control thread has the acceptor, the API and admin listeners, notices and signals. The switchboard is the only state
//! that threads share on the way of a message.
//!
//! # Flow A: an event of a client
//! ```text
//! pump ─► Packet ─► Conversation ─► Lane ─► Backend (webhook) ─► Reply ─► ack to the own outbox
//!                        │                                          └──► actions ─► Switchboard ─► shards ─► outboxes ─► pumps
//!                        └─► edge rule, answered in the reader's turn
//! ```
//! # Flow B: an action over REST
//! ```text
//! request ─► key ─► contract ─► Action (the packet is encoded here, once) ─► Switchboard ─► shards ─► outboxes ─► pumps
//! ```
//!
//! # Guarantees
//! - The effects of a socket's events are applied in the order in which the client sent them; with `max_in_flight = 1` the backend
//!   sees them in that order, too.
//! - Every member of a room sees the same order of what is sent to the room; who joins sees a suffix without gaps.
//! - A 2xx of the REST API means *applied*: what its caller does next is seen after it.
//! - To clients: at most once, unless they acknowledge; no reliable packet is dropped silently, a client that does not read is
//!   closed instead. Notices to backends: at least once within their retention and the life of the process.
//! - Failure of a backend is never reported to clients as a decision of the backend.
//! - Every queue is bounded; we wait for those who send to us, never for those we send to.
//!
//! # Non-goals
//! Exactly-once claims, an order over several rooms or nodes, server-side filters and expressions, push notifications, storage.
#![forbid(unsafe_code)]

pub mod api;
pub mod app;
pub mod builtin;
pub mod cli;
pub mod config;
pub mod contract;
pub mod hub;
pub mod protocol;
pub mod server;
pub mod session;
pub mod tasks;
pub mod telemetry;
pub mod transport;
pub mod webhook;
