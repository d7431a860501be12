//! A [`crate::session::backend::Backend`] over HTTP webhooks.

pub mod address;
pub mod backend;
pub mod breaker;
pub mod client;
pub mod connection;
pub mod counters;
pub mod exchange;
pub mod gate;
pub mod health;
pub mod log_limit;
pub mod notices;
pub mod outcome;
pub mod request;
pub mod retry;
pub mod settings;
pub mod signature;
pub mod upstream;

#[cfg(test)]
mod scripted;
