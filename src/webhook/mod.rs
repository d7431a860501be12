//! A [`Backend`](crate::session::backend::Backend) over HTTP webhooks: what a client did goes to a backend as a signed POST, and what
//! the backend answers comes back as a reply (contract 2 to 4, 6 and 8).
//!
//! It promises that a question ends within its time, that no backend gets more attempts at once than configured, that a backend
//! which fails is left alone for a while, and that a notice is delivered at least once as long as there is room and time for it. It
//! does not promise that a backend sees a call once: the id of a call, the same in all attempts, tells. Order is the lanes' business.
//!
//! ```text
//! lane ─► Webhook ─┬─ connect, event ─► Gate ─► Endpoint ─► exchange ─► Outcome ─┬─► contract ─► Reply
//!                  │                     ▲                                       │
//!                  │                     └───────────────── retry ◄──────────────┤
//!                  └─ disconnect ─► Notices ─► deliver ─► Gate ─► …              └─► BackendError
//! ```
//!
//! Of each upstream there is one [`Upstream`](upstream::Upstream), shared by all threads: gate, notices, what requests have in common.
//! Each shard has an [`Endpoint`](upstream::Endpoint), its own connections, and a [`Webhook`](backend::Webhook) for each route; the
//! control runtime has an endpoint too, for notices. What does not need the network is pure: [`breaker`], [`health`], [`retry`],
//! [`signature`], [`request`], [`notices::queue`].
//!
//! # Why
//! Connections are per shard because their tasks live on the runtime that made them; the gate is not, because a limit of 256 attempts
//! means the backend, not a thread of ours.

pub mod address;
pub mod backend;
pub mod breaker;
pub mod client;
pub mod connection;
pub mod counters;
pub mod exchange;
pub mod gate;
pub mod health;
pub mod notices;
pub mod outcome;
pub mod request;
pub mod retry;
pub mod settings;
pub mod signature;
pub mod upstream;

#[cfg(test)]
mod scripted;
