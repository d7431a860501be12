//! The public contract as JSON: what backends are asked and answer, what they ask over REST and get, and the document that says so.
//!
//! ```text
//! Call ──[call]──► body of a webhook          body of a reply ──[reply]──┐
//!                                                                        ├─[action, audience]──► Action, Step
//! query ──[query]──► what a read asks for     body of a request ─[rest]──┘
//! items, reports ──[answer, acks]──► body of an answer        faults ──[problem]──► problem+json
//! ```
//!
//! Pure functions over bytes: no I/O, no clock, no HTTP. Whatever the bytes are, a reader gives a value that keeps every limit of
//! the contract, or all that is wrong with it by JSON pointer ([`fault`]); it never panics, and what it takes is bounded by the
//! length of what it reads. What is passed on to clients stays as it came, byte for byte.
//!
//! Not here: signatures and headers (webhook), keys and scopes (api), what an action does (hub).

pub mod acks;
pub mod action;
pub mod answer;
pub mod audience;
mod binary;
pub mod call;
mod clock;
mod decimal;
pub mod fault;
mod names;
pub mod openapi;
pub mod packet;
pub mod problem;
#[cfg(test)]
mod properties;
pub mod query;
mod reader;
pub mod reply;
pub mod rest;
#[cfg(test)]
mod samples;
mod text;
mod trim;
